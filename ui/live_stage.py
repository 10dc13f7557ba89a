"""The live view with what floats over it: figures, progress, and a picture of where one is going."""

from __future__ import annotations

from PyQt6.QtCore import QRectF, Qt
from PyQt6.QtGui import QPainter, QPaintEvent, QPixmap
from PyQt6.QtWidgets import QVBoxLayout, QWidget

from engine.messages import FrameUpdate, ProgressInfo
from ui import theme
from ui.bridge import EngineBridge
from ui.hud import Hud
from ui.live_view import LiveView
from ui.progress_card import ProgressCard

_MARGIN = 14


class Veil(QWidget):
    """A dimmed picture of the world that is being opened, until its first frame is there."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._picture: QPixmap | None = None
        self.hide()

    def draw_over(self, picture: QPixmap | None) -> None:
        """Cover the view; without a picture only with the ground's colour."""
        self._picture = picture
        self.show()
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.fillRect(self.rect(), theme.color(theme.GROUND))
        picture = self._picture
        if picture is None or picture.isNull():
            return
        scale = max(self.width() / picture.width(), self.height() / picture.height())
        width, height = picture.width() * scale, picture.height() * scale
        painter.setOpacity(0.42)
        place = QRectF((self.width() - width) / 2, (self.height() - height) / 2, width, height)
        painter.drawPixmap(place, picture, QRectF(picture.rect()))


class LiveStage(QWidget):
    """The centre of the window."""

    def __init__(self, bridge: EngineBridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.view = LiveView(self)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.view)
        self.veil = Veil(self.view)
        self.hud = Hud(bridge, self.view)
        self.hud.hide()
        self.progress = ProgressCard(self.view)
        self.view.resized.connect(self.arrange)
        self.hud.resized.connect(self.arrange)

    def begin(self, picture: QPixmap | None) -> None:
        """Another world is being opened; ``picture`` may show it already."""
        self.view.clear()
        self.veil.draw_over(picture)
        self.progress.show_progress(ProgressInfo(-1.0, "Opening"))
        self.arrange()

    def show_frame(self, frame: FrameUpdate) -> None:
        """Show a generated frame."""
        self.veil.hide()
        self.hud.preview_fps = self.view.draws_per_s
        self.view.set_frame(frame)

    def arrange(self) -> None:
        """Give everything that floats its place."""
        width, height = self.view.width(), self.view.height()
        self.veil.setGeometry(self.view.rect())
        self.hud.move(width - self.hud.width() - _MARGIN, _MARGIN)
        self.progress.place(width, height)
