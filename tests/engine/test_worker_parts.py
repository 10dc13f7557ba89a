"""The parts of the engine thread, each by itself."""

from __future__ import annotations

import subprocess
import sys

from engine.messages import (
    Redo,
    SetQuality,
    Undo,
    WorkerState,
)
from engine.worker.cancelling import FrameCancel, far_apart, same_view
from engine.worker.inbox import Inbox
from engine.worker.outbox import Outbox
from engine.worker.quality import Quality
from tests.engine.explorer_support import camera
from tests.engine.worker_support import ROOT


def test_looks_replace_each_other_and_commands_queue() -> None:
    inbox = Inbox()
    ids = [inbox.look(camera(i), moving=True) for i in range(3)] + [inbox.put(Undo()), inbox.put(Redo())]
    assert ids == sorted(set(ids))
    look = inbox.newest_look
    assert look is not None and look.id == ids[2]
    assert [inbox.next_command() for _ in range(3)] == [(ids[3], Undo()), (ids[4], Redo()), None]
    inbox.bar_looks()
    inbox.look(camera(), moving=True)
    assert inbox.newest_look is None
    inbox.admit_looks()
    inbox.look(camera(), moving=True)
    assert inbox.newest_look is not None


def test_one_signal_until_it_is_taken() -> None:
    calls = []
    outbox = Outbox(lambda: calls.append(1))
    for i in range(400):
        outbox.publish(stats=i, reply=(i, i))
    assert len(calls) == 1
    update, _ = outbox.take()
    assert update.stats == 399 and len(update.replies) == 400
    empty, _ = outbox.take()
    assert empty.stats is None and not empty.replies and empty.state is WorkerState.WARMING
    outbox.publish(state=WorkerState.IDLE)
    assert len(calls) == 2 and outbox.take()[0].state is WorkerState.IDLE


def test_a_listener_that_fails_does_not_stop_the_engine() -> None:
    def broken() -> None:
        raise RuntimeError("slot")

    outbox = Outbox(broken)
    outbox.publish(state=WorkerState.IDLE)
    assert outbox.take()[0].state is WorkerState.IDLE


def test_auto_quality_keeps_to_the_budget() -> None:
    quality = Quality(SetQuality("auto", frame_budget_ms=100.0, refinements=2), 4, (64, 112), "cpu")
    assert quality.steps(True, 0) == 4
    for _ in range(20):
        quality.observe(4, {"imagine": 120.0, "readout": 10.0, "decode": 25.0, "write": 3.0})
    assert quality.steps(True, 0) == 2 and quality.steps(False, 1) == 8 and quality.steps(False, 2) == 16
    assert quality.wants_refinement(0, 2, 1.0) and not quality.wants_refinement(0, 4, 1.0)
    assert quality.wants_refinement(1, 8, 0.5) and not quality.wants_refinement(2, 8, 0.5)
    quality.observe(1, {"imagine": 5000.0})
    assert quality.steps(True, 0) >= 1
    fixed = Quality(SetQuality(3), 4, (64, 112), "cpu")
    assert fixed.steps(True, 0) == fixed.steps(False, 0) == 3 and not fixed.wants_refinement(0, 3, 0.0)
    sizes = []
    while (size := fixed.drop(8)) is not None:
        sizes.append(size)
    assert sizes and all(h % 8 == 0 and w % 8 == 0 for h, w in sizes) and sizes[-1] == (64, 64)


def test_a_frame_is_moot_only_while_young_and_never_twice() -> None:
    inbox = Inbox()
    here, near, far = camera(), camera(0.5, 5.0), camera(0.0, 90.0)
    assert (
        far_apart(here, far) and not far_apart(here, near) and same_view(here, camera()) and not same_view(here, near)
    )
    inbox.look(near, moving=True)
    assert not FrameCancel(inbox, here, patient=False, optional=False).cancelled
    assert FrameCancel(inbox, here, patient=False, optional=True).cancelled, "a refinement yields to any movement"
    inbox.look(far, moving=True)
    young = FrameCancel(inbox, here, patient=False, optional=False)
    assert young.cancelled and not FrameCancel(inbox, here, patient=True, optional=False).cancelled
    young.progress(0.6, "")
    assert not young.cancelled
    inbox.put(Undo())
    assert young.cancelled, "an edit makes it moot"


def test_the_window_needs_no_torch() -> None:
    code = "import sys, engine.worker, engine.messages; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
