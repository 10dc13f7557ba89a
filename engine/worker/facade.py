"""What the user interface sees of the engine thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from engine.camera import Camera
from engine.messages import Command, EngineSettings, Notice, Update, WorkerState
from engine.worker.inbox import Inbox
from engine.worker.outbox import Outbox

if TYPE_CHECKING:
    from engine.world_model import WorldModel

log = logging.getLogger(__name__)


class EngineWorker:
    """One thread that owns torch, the model and the open world.

    Args:
        on_change: called from the engine thread, without arguments, when there is something to :meth:`take`; not called
            again
            before ``take`` was. Make it cheap: emit one queued signal.
        model_dir: folder of the embedded model; ``None``: the one that ships.
        settings: device, quality, budget, autosave.
        load_model: makes the model inside the thread, in place of loading ``model_dir``.

    All methods may be called from any thread and return at once (``stop`` waits up to its timeout).
    """

    def __init__(
        self,
        on_change: Callable[[], None],
        model_dir: Path | None = None,
        settings: EngineSettings | None = None,
        load_model: Callable[[EngineSettings], WorldModel] | None = None,
    ) -> None:
        self._settings = settings or EngineSettings()
        self._model_dir = model_dir
        self._load_model = load_model
        self._inbox = Inbox()
        self._outbox = Outbox(on_change)
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread: it loads and warms up the model (with progress) and then serves.

        Starting twice does nothing.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="mirage-engine")
            self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> bool:
        """Ask for the end, save what is unsaved (autosave), close open films, and wait.

        True when the thread has ended.
        """
        self._inbox.stop()
        thread = self._thread
        if thread is None:
            return True
        thread.join(timeout_s)
        return not thread.is_alive()

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def look(self, camera: Camera, *, moving: bool) -> int:
        """Generate for this camera; a newer look replaces one that was not begun.

        ``moving`` False lets the engine refine in place.
        """
        return self._inbox.look(camera, moving)

    def do(self, command: Command) -> int:
        """Queue a command; its reply, if it has one, comes in ``Update.replies`` under the id returned here."""
        return self._inbox.put(command)

    def cancel(self) -> None:
        """Stop the running work (opening, generating, exporting); what was finished stays, what was not leaves no
        trace.
        """
        self._inbox.cancel()

    def take(self) -> Update:
        """Everything new since the last call."""
        update, news = self._outbox.take()
        if news:
            self._inbox.admit_looks()
        return update

    def wait_for(self, done: Callable[[Update], bool], timeout_s: float) -> Update | None:
        """Take updates until one satisfies ``done`` (returned), or the time is over (``None``).

        For scripts and tests, not for a GUI.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            update = self.take()
            if done(update):
                return update
            if update.state is WorkerState.STOPPED:
                return None
            time.sleep(0.005)
        return None

    def _run(self) -> None:
        try:
            from engine.worker.loop import EngineLoop  # torch is imported here, off the caller's thread

            EngineLoop(self._inbox, self._outbox, self._settings, self._model_dir, self._load_model).run()
        except Exception as error:
            log.exception("the engine thread ended")
            text = (
                f"The engine stopped unexpectedly ({type(error).__name__}: {error}); save your work and restart Mirage."
            )
            self._outbox.publish(notice=Notice("error", "The engine has stopped", text))
        finally:
            self._outbox.publish(state=WorkerState.STOPPED)
