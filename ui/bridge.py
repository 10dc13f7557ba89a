"""The only door between the widgets and the engine thread.

The worker calls back from its own thread without a payload; one queued signal brings that to the GUI thread, where
everything new is taken at once. However fast the engine publishes, at most one call is pending, so the event loop never
drowns in frames.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PyQt6.QtCore import QObject, Qt, pyqtSignal

from engine.camera import Camera

if TYPE_CHECKING:
    from engine.memory.snapshot import MemorySnapshot
    from engine.messages import (
        Command,
        CompareImage,
        FrameUpdate,
        MemoryStats,
        ProgressInfo,
        QualityInfo,
        TreeUpdate,
        Update,
        WorkerState,
        WorldInfo,
    )
    from engine.worker import EngineWorker

log = logging.getLogger(__name__)

WorkerFactory = Callable[[Callable[[], None]], "EngineWorker"]
"""Builds the worker around the callback that it will call whenever something new waits to be taken."""


class EngineBridge(QObject):
    """GUI-side handle of the engine: commands go in, the newest state comes out on the GUI thread.

    Signals, all emitted on the GUI thread:
        updated(Update): everything new since the last one; every widget may listen.
        frame_arrived(FrameUpdate): a newly generated frame.
        camera_changed(Camera): the user's camera moved, whoever moved it.
        world_changed(WorldInfo): another world was opened (its ``epoch`` grew), or its state changed.
        state_changed(WorkerState), progress_changed(ProgressInfo or None), noticed(Notice).
    """

    updated = pyqtSignal(object)
    frame_arrived = pyqtSignal(object)
    camera_changed = pyqtSignal(object)
    world_changed = pyqtSignal(object)
    state_changed = pyqtSignal(object)
    progress_changed = pyqtSignal(object)
    noticed = pyqtSignal(object)
    _woken = pyqtSignal()

    def __init__(self, worker_factory: WorkerFactory, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.worker = worker_factory(self._wake)
        self.camera: Camera | None = None
        self.frame: FrameUpdate | None = None
        self.compare: CompareImage | None = None
        self.snapshot: MemorySnapshot | None = None
        self.stats: MemoryStats | None = None
        self.tree: TreeUpdate | None = None
        self.world: WorldInfo | None = None
        self.quality: QualityInfo | None = None
        self.state: WorkerState | None = None
        self.progress: ProgressInfo | None = None
        self._waiting: dict[int, Callable[[Any], None]] = {}
        self._stopped = False
        self._woken.connect(self._take, type=Qt.ConnectionType.QueuedConnection)  # type: ignore[call-arg]

    def start(self) -> None:
        """Start the engine thread; the model is loaded there."""
        self.worker.start()

    def stop(self, timeout_s: float = 2.0) -> bool:
        """Stop the engine; True when its thread ended in time. Nothing is emitted afterwards."""
        self._stopped = True
        self._waiting.clear()
        return bool(self.worker.stop(timeout_s))

    def look(self, camera: Camera, *, moving: bool) -> int:
        """Move the user's camera and ask for its view; the newest camera wins. Returns the request's id."""
        self.camera = camera
        request = self.worker.look(camera, moving=moving)
        self.camera_changed.emit(camera)
        return request

    def place(self, camera: Camera) -> None:
        """Move the user's camera without asking for a view, e.g. because the engine has just shown one from there."""
        self.camera = camera
        self.camera_changed.emit(camera)

    def do(self, command: Command, on_reply: Callable[[Any], None] | None = None) -> int:
        """Queue a command; commands are never dropped. ``on_reply`` gets the engine's answer on the GUI thread."""
        ident = self.worker.do(command)
        if on_reply is not None:
            self._waiting[ident] = on_reply
        return ident

    def cancel(self) -> None:
        """Stop the running step, export or plan; the memory stays as it was."""
        self.worker.cancel()

    def _wake(self) -> None:
        if self._stopped:
            return
        try:
            self._woken.emit()
        except RuntimeError:  # the QObject went away while the engine was finishing its last step
            log.debug("The window closed before the engine's last message.")

    def _take(self) -> None:
        if self._stopped:
            return
        update: Update = self.worker.take()
        self._keep(update)
        if update.world is not None:
            self.world_changed.emit(update.world)
        if update.frame is not None:
            self.frame_arrived.emit(update.frame)
        self.updated.emit(update)
        for ident, value in update.replies.items():
            callback = self._waiting.pop(ident, None)
            if callback is not None:
                callback(value)
        for notice in update.notices:
            self.noticed.emit(notice)

    def _keep(self, update: Update) -> None:
        """Remember the newest of everything for widgets that are made or shown later."""
        if update.world is not None:
            if self.world is None or update.world.epoch != self.world.epoch:
                self.frame = self.compare = self.snapshot = self.tree = None
            self.world = update.world
        for name in ("frame", "compare", "snapshot", "stats", "tree", "quality"):
            value = getattr(update, name)
            if value is not None:
                setattr(self, name, value)
        if update.state != self.state:
            self.state = update.state
            self.state_changed.emit(self.state)
        progress = None if update.progress_done else update.progress
        if progress is not None or update.progress_done:
            self.progress = progress
            self.progress_changed.emit(progress)
