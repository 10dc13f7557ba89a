"""Starts and ends the app: Qt with its look, the engine thread, the window."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

from PyQt6.QtCore import QCoreApplication, QEvent, QSocketNotifier, Qt
from PyQt6.QtGui import QGuiApplication, QSurfaceFormat
from PyQt6.QtWidgets import QApplication
from PyQt6.sip import voidptr

from engine.messages import Command, EngineSettings, Notice
from ui import icons, theme
from ui.bridge import EngineBridge
from ui.quality import quality_command
from ui.settings import SettingsStore
from ui.thumbnails import Thumbnails

if TYPE_CHECKING:
    from engine.world_model import WorldModel
    from ui.main_window import MainWindow

log = logging.getLogger(__name__)
STOP_S = 2.0
_SWITCH_S = 0.001
"""How long a Python thread may keep the others waiting. A step of the model takes the interpreter hundreds of times,
and with the usual 5 ms each of them could wait that long for a window that is painting."""


@dataclass(frozen=True)
class AppOptions:
    """What the window is started with.

    Attributes:
        first: what to open at once instead of the gallery.
        settings_path: JSON file of the user's settings; ``None``: nothing is kept.
        cache_dir: folder for thumbnails. autosave: file for the engine's autosave, ``None``: none.
        model_dir: folder of the model's weights, ``None``: the one that ships. load_model: makes the model in its
            place. device, in_full: as :class:`EngineSettings`.
    """

    first: Command | None = None
    settings_path: Path | None = None
    cache_dir: Path = field(default_factory=lambda: Path.home() / ".cache" / "mirage")
    autosave: Path | None = None
    model_dir: Path | None = None
    load_model: Callable[[EngineSettings], WorldModel] | None = None
    device: str = "auto"
    in_full: bool = False


def make_application(arguments: list[str] | None = None) -> QApplication:
    """The one ``QApplication``, prepared for OpenGL widgets in several windows."""
    existing = QApplication.instance()
    if isinstance(existing, QApplication):
        return existing
    QCoreApplication.setAttribute(Qt.ApplicationAttribute.AA_ShareOpenGLContexts)
    QGuiApplication.setHighDpiScaleFactorRoundingPolicy(Qt.HighDpiScaleFactorRoundingPolicy.PassThrough)
    surface = QSurfaceFormat.defaultFormat()
    surface.setProfile(
        QSurfaceFormat.OpenGLContextProfile.CompatibilityProfile
    )  # one profile for all: widgets share a window
    surface.setDepthBufferSize(24)
    QSurfaceFormat.setDefaultFormat(surface)
    app = QApplication(arguments or sys.argv[:1])
    app.setApplicationName("Mirage")
    app.setApplicationDisplayName("Mirage")
    app.setDesktopFileName("mirage")
    return app


def install_excepthook(show: Callable[[Notice], None]) -> None:
    """PyQt ends the process on an exception that leaves a slot; log it, tell the user and go on instead."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            QCoreApplication.quit()
            return
        log.critical("Unexpected error in the window", exc_info=(kind, error, trace))
        text = f"{kind.__name__}: {error}. The log has the details; save, and restart Mirage if it behaves oddly."
        show(Notice("error", "Something in the window went wrong", text))

    sys.excepthook = hook


def make_bridge(options: AppOptions, store: SettingsStore) -> EngineBridge:
    """The engine thread, not yet started, behind its bridge."""
    from engine.worker import EngineWorker

    settings = EngineSettings(
        device=options.device,
        in_full=options.in_full,
        quality=quality_command(store),
        autosave=options.autosave,
    )
    return EngineBridge(lambda wake: EngineWorker(wake, options.model_dir, settings, options.load_model))


def make_window(options: AppOptions, bridge: EngineBridge, store: SettingsStore) -> MainWindow:
    """The window, not yet shown."""
    from ui.main_window import MainWindow

    window = MainWindow(bridge, store, Thumbnails(options.cache_dir / "thumbnails"))
    if options.first is not None:
        window.open_world(options.first)
    return window


def close_all(window: MainWindow, bridge: EngineBridge) -> bool:
    """Stop the engine and let go of everything that holds the window; True when the engine ended in time."""
    began = time.perf_counter()
    stopped = bridge.stop(STOP_S)
    window.shut()
    log.info(
        "Stopped in %.0f ms%s",
        1000 * (time.perf_counter() - began),
        "" if stopped else "; the engine is still finishing",
    )
    return stopped


def run(options: AppOptions) -> int:
    """Show the window until it is closed. Returns the process's exit code."""
    sys.setswitchinterval(_SWITCH_S)
    app = make_application()
    store = SettingsStore(options.settings_path, options.autosave)
    theme.apply(app, store.values.font_scale)
    app.setWindowIcon(icons.app_icon())
    bridge = make_bridge(options, store)
    bridge.start()  # first: the model loads while the window is built
    try:
        window = make_window(options, bridge, store)
        install_excepthook(window.say)
        _let_ctrl_c_through(window)
    except BaseException:  # Ctrl-C too: the engine's thread would keep the process alive for ever
        bridge.stop(STOP_S)
        raise
    window.show()
    code = app.exec()
    sys.excepthook = sys.__excepthook__
    close_all(window, bridge)
    # Widgets and their OpenGL objects go while Qt is still there; left to the interpreter's end they may outlive it.
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QCoreApplication.processEvents()
    return code


def _let_ctrl_c_through(window: MainWindow) -> None:
    """Close on Ctrl+C and on a polite kill. While Qt sleeps Python handles no signals, so a socket wakes it: no
    polling.
    """

    def leave(_number: int, _frame: FrameType | None) -> None:
        window.close()

    reader, writer = socket.socketpair()
    for end in (reader, writer):
        end.setblocking(False)
    try:
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        before = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread
        reader.close()
        writer.close()
        return
    notifier = QSocketNotifier(voidptr(reader.fileno()), QSocketNotifier.Type.Read, window)

    def drain() -> None:
        with contextlib.suppress(OSError):  # closed in the same turn of the event loop
            reader.recv(16)

    def forget() -> None:
        notifier.setEnabled(False)
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)
        reader.close()
        writer.close()

    notifier.activated.connect(drain)
    window.closing.connect(forget)
