"""A real engine with a tiny model behind a bridge, for tests of panels.

Opening a world is what takes time, so the tests of a module share one: each takes it as the last one left it, without
a path.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PyQt6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from engine.camera import Camera
from engine.messages import EngineSettings, OpenWorld, SetQuality, WorkerState
from engine.worker import EngineWorker
from ui.bridge import EngineBridge
from ui.path_model import PathModel

if TYPE_CHECKING:
    from engine.models.embedded.model import EmbeddedModel

WAIT_MS = 60_000
OPEN_S = 240.0
"""The first world may have to wait for the worlds' kernels to be compiled."""


def turned(camera: Camera, yaw_deg: float = 0.0, ahead_m: float = 0.0) -> Camera:
    """``camera`` turned about the vertical and moved along its view."""
    c, s = np.cos(np.radians(yaw_deg)), np.sin(np.radians(yaw_deg))
    c2w = camera.c2w.copy()
    c2w[:3, :3] = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) @ c2w[:3, :3]
    c2w[:3, 3] += ahead_m * c2w[:3, 2]
    return camera.posed(c2w)


def wait_until(check: Callable[[], bool], timeout_s: float = WAIT_MS / 1000.0) -> None:
    """Run the event loop until ``check()`` holds."""
    deadline = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < deadline, "the engine did not get there in time"
        QApplication.processEvents()
        time.sleep(0.002)


@contextmanager
def open_bridge(model: EmbeddedModel) -> Iterator[EngineBridge]:
    """A started engine with an imagined world and its first frame on this side."""
    settings = EngineSettings(threads=1, quality=SetQuality(steps=1, refinements=0))
    bridge = EngineBridge(lambda wake: EngineWorker(wake, settings=settings, load_model=lambda _: model))
    bridge.start()
    try:
        bridge.do(OpenWorld("meadow", 7, start="nothing"))
        wait_until(lambda: bridge.frame is not None and bridge.snapshot is not None, OPEN_S)
        assert bridge.frame is not None
        bridge.place(bridge.frame.result.camera)
        yield bridge
    finally:
        assert bridge.stop(20.0)


@pytest.fixture(scope="module")
def shared_bridge(qapp: QApplication, tiny_model: EmbeddedModel) -> Iterator[EngineBridge]:
    """The module's engine."""
    with open_bridge(tiny_model) as bridge:
        yield bridge


@pytest.fixture
def bridge(shared_bridge: EngineBridge) -> Iterator[EngineBridge]:
    """The module's engine at rest, with no path to fly."""
    PathModel.of(shared_bridge).clear()
    snapshot = shared_bridge.snapshot
    yield shared_bridge
    settle()
    wait_until(lambda: shared_bridge.state is WorkerState.IDLE)
    if shared_bridge.snapshot is not None and shared_bridge.snapshot.count > 100_000:  # a test's own, not the engine's
        shared_bridge.snapshot = snapshot


def fly_on(qtbot: QtBot, bridge: EngineBridge, frames: int, yaw_deg: float = 9.0, ahead_m: float = 0.3) -> None:
    """Generate some frames one after the other."""
    assert bridge.camera is not None and bridge.frame is not None
    for _ in range(frames):
        before = bridge.frame.result.index
        bridge.look(turned(bridge.camera, yaw_deg, ahead_m), moving=True)
        qtbot.waitUntil(lambda seen=before: bridge.frame.result.index > seen, timeout=WAIT_MS)
    qtbot.waitUntil(lambda: bridge.state is WorkerState.IDLE, timeout=WAIT_MS)


def ask(qtbot: QtBot, bridge: EngineBridge, command: object) -> Any:
    """Do a command and wait for its reply."""
    replies: list[Any] = []
    bridge.do(command, replies.append)
    qtbot.waitUntil(lambda: bool(replies), timeout=WAIT_MS)
    return replies[0]


def settle() -> None:
    """Let queued events run, deferred deletions too."""
    for _ in range(3):
        QApplication.processEvents()
        QApplication.sendPostedEvents(None, 52)  # DeferredDelete
