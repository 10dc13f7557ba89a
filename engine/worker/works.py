"""Longer works in pieces: films, meshes and plans, done between the live frames without touching the user's world."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from engine import panels
from engine.atomic import check_writable_parent
from engine.dissolve import Dissolve
from engine.errors import InputError
from engine.explorer import Explorer
from engine.export import MeshJob
from engine.flight import Flight, layout_frame
from engine.messages import ExportJob, ExportProgress, Failed, Plan, PlanResult, StepResult
from engine.session import FrameRecord
from engine.video import FrameWriter
from engine.worker.cancelling import WorkCancel

if TYPE_CHECKING:
    from engine.worker.loop import EngineLoop
    from engine.worker.opened import OpenedWorld

PROGRESS_S = 0.1
THUMBNAIL_S = 0.5


class Work(Protocol):
    """Something long, done piece by piece. ``id`` is the command's."""

    id: int

    def advance(self, loop: EngineLoop) -> bool:
        """Do a piece; True when all is done (and replied)."""

    def cancel(self, loop: EngineLoop) -> None:
        """Stop; keep what is usable, reply."""

    def fail(self, loop: EngineLoop, failed: Failed) -> None:
        """An error ended it: keep what is usable, reply."""


class Film:
    """What films share: a writer, progress, a reply."""

    def __init__(self, ident: int, job: ExportJob, frames: int) -> None:
        self.id = ident
        self.job = job
        self.frames = frames
        self.done = 0
        self.writer = FrameWriter(job.path, job.fps)
        self._started = time.perf_counter()
        self._told_at = self._pictured_at = 0.0

    def tell(self, loop: EngineLoop, picture: np.ndarray | None, **flags: bool) -> ExportProgress:
        """Publish progress (not more often than a bar can show)."""
        now = time.perf_counter()
        rate = self.done / max(1e-6, now - self._started)
        small = None
        if picture is not None and now - self._pictured_at >= THUMBNAIL_S:
            small, self._pictured_at = panels.thumbnail(picture, 108), now
        left = (self.frames - self.done) / rate if self.done else float("nan")
        progress = ExportProgress(self.id, self.job.path, self.done, self.frames, rate, left, thumbnail=small, **flags)
        if flags or now - self._told_at >= PROGRESS_S:
            self._told_at = now
            loop.outbox.publish(export=progress)
        return progress

    def finish(self, loop: EngineLoop, **flags: bool) -> None:
        """Close the film, say so, reply."""
        self.writer.close()
        loop.outbox.publish(reply=(self.id, self.tell(loop, None, done=True, **flags)))

    def cancel(self, loop: EngineLoop) -> None:
        self.finish(loop, cancelled=True)

    def fail(self, loop: EngineLoop, failed: Failed) -> None:
        try:
            self.writer.close()
        finally:
            self.tell(loop, None, done=True, cancelled=True)
            loop.outbox.publish(reply=(self.id, failed))


class RecordedFilm(Film):
    """The recorded flight, frame by frame as it was seen."""

    def __init__(self, ident: int, job: ExportJob, world: OpenedWorld) -> None:
        by_index = {
            record.summary.index: record for record in world.frames if record.jpeg
        }  # a refinement is the newest
        self._records: list[FrameRecord] = [by_index[index] for index in world.recorded if index in by_index]
        if not self._records:
            raise InputError("There is no recorded flight yet; press record, fly, and export again.")
        super().__init__(ident, job, len(self._records))
        self._picture_size = self._records[0].picture().shape[:2]
        self._explorer = world.explorer
        self._dissolve = Dissolve(job.fps)

    def advance(self, loop: EngineLoop) -> bool:
        result = self._records[self.done].result()
        if self.job.layout == "side-by-side":
            preview = self._explorer.preview(result.camera)
            result = replace(result, readout_rgb=preview.rgb)
        size = self._records[0].summary.camera.size
        if result.rgb.shape[:2] != size:  # the size was changed during the flight
            fine = panels.enlarge(result.picture, *self._picture_size)
            result = replace(result, rgb=panels.enlarge(result.rgb, *size), fine_rgb=fine)
        picture = layout_frame(self._dissolve.shown(result), self.job.layout, self._explorer)
        self.writer.write(picture)
        self.done += 1
        self.tell(loop, picture)
        if self.done == self.frames:
            self.finish(loop)
        return self.done == self.frames


class PathFilm(Film):
    """A path through the world as it is now, rendered by an explorer of its own.

    Without a branch the flight explores a copy of the memory, which is forgotten. With one it shares the memory and
    keeps to its own
    branch of the tree: around every frame the present is moved there and back.
    """

    def __init__(self, ident: int, job: ExportJob, world: OpenedWorld) -> None:
        if not job.cameras:
            raise InputError("The path has no cameras; add keyframes or choose a preset first.")
        super().__init__(ident, job, len(job.cameras))
        source = world.explorer
        self._explorer = fork(source, job, share=bool(job.branch))
        self._shared = source.memory.latent if job.branch else None
        self._node = 0
        if self._shared is not None:
            home = self._shared.current
            self._node = self._shared.branch(job.branch)
            self._shared.checkout(home)
        self._flight = Flight(self._explorer, job.cameras, self.writer, layout=job.layout, steps=job.steps)

    def advance(self, loop: EngineLoop) -> bool:
        cancel = WorkCancel(loop.inbox)
        with self._present():
            result = self._flight.advance(cancel)
        self.done = self._flight.done
        self.tell(loop, result.rgb)
        if self._flight.finished:
            self._report()
            if self._shared is not None:
                loop.memory_changed()
            self.finish(loop)
        return self._flight.finished

    def cancel(self, loop: EngineLoop) -> None:
        self._flight.cancelled = True
        if self.done:
            self._report()
            if self._shared is not None:
                loop.memory_changed()
        super().cancel(loop)

    def _report(self) -> None:
        if self.job.report is not None:
            self._flight.report(film=str(self.job.path)).write(self.job.report)

    def _present(self) -> AbstractContextManager[None]:
        return self._on_branch() if self._shared is not None else nullcontext()

    @contextmanager
    def _on_branch(self) -> Iterator[None]:
        memory = self._shared
        assert memory is not None
        home = memory.current
        memory.checkout(self._node)
        try:
            yield
        finally:
            self._node = memory.current
            memory.checkout(home)


def fork(source: Explorer, job: ExportJob, share: bool) -> Explorer:
    """An explorer for a job: of its size, with a copy of the memory or, to keep a branch, the memory itself."""
    other = source.fork(job.size, share=share)
    if job.steps is not None and job.steps < 1:
        raise InputError(f"A film needs at least 1 denoising step a frame; {job.steps} were asked for.")
    return other


def still(world: OpenedWorld, job: ExportJob, index: int, cancel: WorkCancel) -> np.ndarray:
    """One frame of a job, laid out, from a copy of the memory: nothing is remembered."""
    if job.source == "recorded":
        by_index = {record.summary.index: record for record in world.frames if record.jpeg}
        indices = [i for i in world.recorded if i in by_index]
        if not indices:
            raise InputError("There is no recorded flight yet; press record, fly, and export again.")
        result: StepResult = by_index[indices[min(index, len(indices) - 1)]].result()
        if job.layout == "side-by-side":
            result = replace(result, readout_rgb=world.explorer.preview(result.camera).rgb)
        return layout_frame(result, job.layout, world.explorer)
    if not job.cameras:
        raise InputError("The path has no cameras; add keyframes or choose a preset first.")
    explorer = fork(world.explorer, job, share=False)
    camera = job.cameras[min(index, len(job.cameras) - 1)]
    result = explorer.step(camera, steps=job.steps, with_readout=job.layout == "side-by-side", cancel=cancel)
    return layout_frame(result, job.layout, explorer)


class MeshWork:
    """Waiting for a mesh that another process makes."""

    WAIT_S = 0.1

    def __init__(self, ident: int, job: MeshJob) -> None:
        self.id = ident
        self._job = job

    def advance(self, loop: EngineLoop) -> bool:
        if not self._job.wait(0.0 if loop.look_waits else self.WAIT_S):
            loop.progress(-1.0, f"fusing {self._job.path.name}")
            return False
        loop.progress_done()
        loop.outbox.publish(reply=(self.id, self._job.path))
        return True

    def cancel(self, loop: EngineLoop) -> None:
        self._job.cancel()
        loop.progress_done()
        loop.outbox.publish(
            reply=(self.id, Failed("Cancelled", "The mesh was stopped before it was done; nothing was written."))
        )

    def fail(self, loop: EngineLoop, failed: Failed) -> None:
        loop.progress_done()
        loop.outbox.publish(reply=(self.id, failed))


class PlanWork:
    """How much of a path is remembered, a few cameras at a time."""

    SLICE_S = 0.02

    def __init__(self, ident: int, command: Plan, world: OpenedWorld) -> None:
        self.id = ident
        self._cameras = command.cameras
        self._explorer = world.explorer
        self._coverage: list[float] = []

    def advance(self, loop: EngineLoop) -> bool:
        until = time.perf_counter() + self.SLICE_S
        while len(self._coverage) < len(self._cameras) and time.perf_counter() < until:
            self._coverage.append(self._explorer.coverage(self._cameras[len(self._coverage)]))
        if len(self._coverage) < len(self._cameras):
            return False
        loop.outbox.publish(reply=(self.id, PlanResult(self._cameras, np.array(self._coverage, np.float32))))
        return True

    def cancel(self, loop: EngineLoop) -> None:
        loop.outbox.publish(reply=(self.id, Failed("Cancelled", "Planning was stopped before it was done.")))

    def fail(self, loop: EngineLoop, failed: Failed) -> None:
        loop.outbox.publish(reply=(self.id, failed))


def check_film(job: ExportJob, world: OpenedWorld) -> None:
    """Raise :class:`InputError` for what can be known before the first frame."""
    from engine.video import check_output

    size = job.size or world.explorer.size
    widths = {"generated": size[1], "side-by-side": 3 * size[1] + 4, "with-memory": 2 * size[1] + 2}
    check_output(job.path, (size[0], widths[job.layout]) if job.source == "path" else None, job.fps)
    if job.report is not None:
        check_writable_parent(job.report.absolute())
