"""The real window over a real engine with the tiny model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from PyQt6.QtGui import QImage
from PyQt6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from engine.messages import OpenWorld
from tests.ui.panels_support import WAIT_MS, settle
from ui import theme
from ui.app import AppOptions, close_all, make_bridge, make_window
from ui.settings import SettingsStore

if TYPE_CHECKING:
    from engine.models.embedded.model import EmbeddedModel
    from ui.main_window import MainWindow

NOTHING = OpenWorld("meadow", 7, start="nothing")


@contextmanager
def open_window(
    qtbot: QtBot, model: EmbeddedModel, folder: Path, first: OpenWorld | None = NOTHING, steps: int = 1
) -> Iterator[MainWindow]:
    """The window as ``run`` makes it; with ``first``, until the first generated frame is on screen."""
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    theme.apply(app)
    options = AppOptions(
        first=first,
        settings_path=folder / "settings.json",
        cache_dir=folder,
        load_model=lambda _settings: model,
    )
    store = SettingsStore(options.settings_path)
    store.values.steps = steps
    bridge = make_bridge(options, store)
    bridge.start()
    window = make_window(options, bridge, store)
    try:
        window.show()
        window.activateWindow()
        if first is not None:
            qtbot.waitUntil(lambda: window.stage.view.showing == "generated", timeout=WAIT_MS)
            qtbot.waitUntil(window.isActiveWindow, timeout=WAIT_MS)
            window.stage.view.setFocus()
        yield window
    finally:
        window.close()
        stopped = close_all(window, bridge)
        settle()
        assert stopped, "the engine did not stop within two seconds"


def picture(widget: QWidget) -> QImage:
    """What is on screen."""
    for _ in range(2):
        QApplication.processEvents()
    return widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)


def spread(image: QImage) -> float:
    """Standard deviation of grey levels on a coarse grid: 0 for a plain surface."""
    import statistics

    greys = [
        image.pixelColor(x, y).lightness()
        for x in range(20, image.width() - 20, 23)
        for y in range(60, image.height() - 20, 17)
    ]
    return statistics.pstdev(greys)
