"""A listener for the engine thread, on the real model at a tiny width."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.camera import Camera
from engine.messages import (
    Command,
    EngineSettings,
    FrameUpdate,
    OpenImage,
    StepSummary,
    Update,
    WorkerState,
    WorldInfo,
)
from engine.models.embedded import EmbeddedModel
from engine.worker import EngineWorker
from engine.world_model import Chunk, ChunkRequest
from tests.engine.explorer_support import first_view

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 60.0


class Slow:
    """The real model, with a gate before every denoising step (see :func:`aside`) and, if wanted, an error instead."""

    def __init__(self, model: EmbeddedModel) -> None:
        self._model = model
        self.delay_s = 0.0
        self.error: BaseException | None = None
        self.imagined: list[Camera] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def imagine(self, request: ChunkRequest) -> Chunk:
        if self.error is not None:
            error, self.error = self.error, None
            raise error

        def progress(fraction: float, text: str) -> None:
            deadline = time.monotonic() + self.delay_s
            while time.monotonic() < deadline:
                request.cancel.check()
                time.sleep(0.002)
            if request.progress is not None:
                request.progress(fraction, text)

        chunk = self._model.imagine(replace(request, progress=progress))
        self.imagined.append(request.cameras[0])
        return chunk


class Listener:
    """A worker and everything that it has said."""

    def __init__(self, model: Slow, settings: EngineSettings, picture: Path) -> None:
        self.model = model
        self.picture = picture
        self.signals = 0
        self.updates: list[Update] = []
        self.worker = EngineWorker(self._signal, settings=settings, load_model=lambda _: model)  # type: ignore[arg-type, return-value]
        self.worker.start()

    def _signal(self) -> None:
        self.signals += 1

    def until(self, done: Callable[[Update], bool]) -> Update:
        def seen(update: Update) -> bool:
            self.updates.append(update)
            return done(update)

        update = self.worker.wait_for(seen, WAIT_S)
        assert update is not None, f"nothing came; the last words were {self.notices}"
        return update

    def do(self, command: Command) -> Any:
        """Run a command and return its reply."""
        ident = self.worker.do(command)
        return self.until(lambda update: ident in update.replies).replies[ident]

    def open(self, command: Command | None = None) -> WorldInfo:
        """Open a world: by default the quickest, a picture with depth."""
        info = self.do(command or OpenImage(self.picture, None, 50.0, "meadow", 3))
        assert isinstance(info, WorldInfo)
        return info

    def look(self, view: Camera, moving: bool = False) -> FrameUpdate:
        """Ask for a view and wait for its frame."""
        ident = self.worker.look(view, moving=moving)
        frame = self.until(lambda update: update.frame is not None and update.frame.look_id >= ident).frame
        assert frame is not None
        return frame

    def rest(self) -> None:
        """Wait until there is nothing to do, and a little longer."""
        self.until(lambda update: update.state is WorkerState.IDLE)
        time.sleep(0.05)
        self.updates.append(self.worker.take())

    @property
    def notices(self) -> list[Any]:
        return [notice for update in self.updates for notice in update.notices]

    @property
    def steps(self) -> list[StepSummary]:
        return [step for update in self.updates for step in update.steps]


def ahead(view: Camera, forward_m: float = 0.3, yaw_deg: float = 0.0) -> Camera:
    yaw = np.radians(yaw_deg)
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    c2w = view.c2w.copy()
    c2w[:3, 3] += forward_m * view.forward
    c2w[:3, :3] = view.c2w[:3, :3] @ turn
    return view.posed(c2w)


def aside(view: Camera, forward_m: float = 0.0) -> Camera:
    """Where nothing is known yet: only what is unknown is imagined, so only there the denoiser has to be waited for."""
    return ahead(view, forward_m, 90.0)


def film_frames(path: Path) -> int:
    """Frames that a player finds."""
    import av

    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def make_picture(folder: Path) -> Path:
    """A picture with its depth beside it."""
    from PIL import Image

    path = folder / "view.png"
    view = first_view()
    Image.fromarray((view.rgb.transpose(1, 2, 0) * 255).astype(np.uint8)).save(path)
    np.save(path.with_name("view_depth.npy"), view.depth_m)
    return path


@contextmanager
def listening(model: EmbeddedModel, folder: Path, picture: Path) -> Iterator[Listener]:
    """A running worker that leaves no thread behind."""
    threads = threading.active_count()
    settings = EngineSettings(autosave=folder / "auto", autosave_s=0.05, compare="none")
    one = Listener(Slow(model), settings, picture)
    yield one
    assert one.worker.stop(10.0)
    assert threading.active_count() == threads
