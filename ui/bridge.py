"""The only door between the widgets and the engine thread.

The worker calls back from its own thread without a payload; one queued signal brings that to the GUI thread, where everything new is
taken at once. However fast the engine publishes, at most one call is pending, so the event loop never drowns in frames.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PyQt6.QtCore import QObject, Qt, pyqtSignal

from engine.camera import Camera

if TYPE_CHECKING:
    from engine.messages import EngineState, FrameUpdate, Update
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
        state_changed(EngineState), progress_changed(object): ``(fraction, text)`` or None, noticed(Notice).
    """

    updated = pyqtSignal(object)
    frame_arrived = pyqtSignal(object)
    camera_changed = pyqtSignal(object)
    state_changed = pyqtSignal(object)
    progress_changed = pyqtSignal(object)
    noticed = pyqtSignal(object)
    _woken = pyqtSignal()

    def __init__(self, worker_factory: WorkerFactory, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.worker = worker_factory(self._wake)
        self.camera: Camera | None = None
        self.frame: FrameUpdate | None = None
        self.snapshot: Any = None
        self.tree: Any = None
        self.state: EngineState | None = None
        self.progress: tuple[float, str] | None = None
        self._waiting: dict[int, Callable[[Any], None]] = {}
        self._stopped = False
        self._woken.connect(self._take, Qt.ConnectionType.QueuedConnection)

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

    def do(self, command: object, on_reply: Callable[[Any], None] | None = None) -> int:
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
        if update.frame is not None:
            self.frame = update.frame
        if update.snapshot is not None:
            self.snapshot = update.snapshot
        if update.tree is not None:
            self.tree = update.tree
        if update.state != self.state:
            self.state = update.state
            self.state_changed.emit(self.state)
        if update.progress != self.progress:
            self.progress = update.progress
            self.progress_changed.emit(self.progress)


