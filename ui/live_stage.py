"""The live view with what floats over it: figures and progress."""

from __future__ import annotations

from PyQt6.QtWidgets import QVBoxLayout, QWidget

from ui.bridge import EngineBridge
from ui.hud import Hud
from ui.live_view import LiveView
from ui.progress_card import ProgressCard

_MARGIN = 14


class LiveStage(QWidget):
    """The centre of the window."""

    def __init__(self, bridge: EngineBridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.view = LiveView(self)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.view)
        self.hud = Hud(bridge, self.view)
        self.hud.hide()
        self.progress = ProgressCard(self.view)
        self.view.resized.connect(self.arrange)
        self.hud.resized.connect(self.arrange)

    def arrange(self) -> None:
        """Give everything that floats its place."""
        width, height = self.view.width(), self.view.height()
        self.hud.move(width - self.hud.width() - _MARGIN, _MARGIN)
        self.progress.place(width, height)
