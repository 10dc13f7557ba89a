"""A world in the gallery: its picture, its name, a line about it."""

from __future__ import annotations

from PyQt6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, pyqtSignal
from PyQt6.QtGui import (
    QEnterEvent,
    QFont,
    QLinearGradient,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QPixmap,
)
from PyQt6.QtWidgets import QAbstractButton, QSizePolicy, QWidget

from ui import theme
from ui.catalogue import GalleryWorld

_RADIUS = 10.0
CARD_ASPECT = 16 / 9


class WorldCard(QAbstractButton):
    """Checkable; a double click (or Enter while checked) asks to enter.

    Signals:
        entered(): go there.
    """

    entered = pyqtSignal()

    def __init__(self, world: GalleryWorld, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.world = world
        self.setCheckable(True)
        self.setText(world.title)
        self.setAccessibleName(f"{world.title}. {world.line}")
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumSize(150, 84)
        self._picture: QPixmap | None = None

    def set_picture(self, picture: QPixmap | None) -> None:
        """Show a picture, or the stand-in."""
        self._picture = picture
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(224, 126)

    def mouseDoubleClickEvent(self, event: QMouseEvent | None) -> None:
        super().mouseDoubleClickEvent(event)
        if event is not None and event.button() == Qt.MouseButton.LeftButton:
            self.setChecked(True)
            self.entered.emit()

    def enterEvent(self, event: QEnterEvent | None) -> None:
        super().enterEvent(event)
        self.update()

    def leaveEvent(self, event: QEvent | None) -> None:
        super().leaveEvent(event)
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        painter = QPainter(self)
        painter.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform)
        box = QRectF(self.rect()).adjusted(2, 2, -2, -2)
        shape = QPainterPath()
        shape.addRoundedRect(box, _RADIUS, _RADIUS)
        painter.save()
        painter.setClipPath(shape)
        if self._picture is not None:
            self._paint_picture(painter, box, self._picture)
        else:
            self._paint_stand_in(painter, box)
        shade = QLinearGradient(box.topLeft(), box.bottomLeft())
        shade.setColorAt(0.45, theme.color("#000000", 0.0))
        shade.setColorAt(1.0, theme.color("#05070a", 0.78))
        painter.fillRect(box, shade)
        if self.underMouse() and not self.isChecked():
            painter.fillRect(box, theme.color("#ffffff", 0.05))
        painter.restore()
        self._paint_words(painter, box)
        self._paint_frame(painter, box)

    def _paint_picture(self, painter: QPainter, box: QRectF, picture: QPixmap) -> None:
        scale = max(box.width() / picture.width(), box.height() / picture.height())
        width, height = picture.width() * scale, picture.height() * scale
        place = QRectF(box.center().x() - width / 2, box.center().y() - height / 2, width, height)
        painter.drawPixmap(place, picture, QRectF(picture.rect()))

    def _paint_stand_in(self, painter: QPainter, box: QRectF) -> None:
        """Sky, a far ridge and a near slope in the biome's colours."""
        sky = QLinearGradient(box.topLeft(), box.bottomLeft())
        sky.setColorAt(0.0, theme.color(self.world.sky).darker(165))
        sky.setColorAt(0.6, theme.color(self.world.sky).darker(120))
        painter.fillRect(box, sky)
        for tint, level, swing in ((self.world.far, 0.56, 0.07), (self.world.near, 0.72, -0.05)):
            ridge = QPainterPath(QPointF(box.left(), box.top() + box.height() * (level + swing)))
            ridge.cubicTo(
                QPointF(box.left() + box.width() * 0.3, box.top() + box.height() * (level - 2.2 * swing)),
                QPointF(box.left() + box.width() * 0.6, box.top() + box.height() * (level + 2.0 * swing)),
                QPointF(box.right(), box.top() + box.height() * (level - swing)),
            )
            ridge.lineTo(box.bottomRight())
            ridge.lineTo(box.bottomLeft())
            painter.fillPath(ridge, theme.color(tint).darker(150))

    def _paint_words(self, painter: QPainter, box: QRectF) -> None:
        title = QFont(self.font())
        title.setWeight(QFont.Weight.DemiBold)
        title.setPointSizeF(self.font().pointSizeF() * 1.1)
        line = QFont(self.font())
        line.setPointSizeF(self.font().pointSizeF() * 0.88)
        painter.setFont(line)
        area = box.adjusted(13, 0, -10, -10)
        painter.setPen(theme.color("#ffffff", 0.78))
        place = painter.boundingRect(area, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom, self.world.line)
        painter.drawText(area, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom, self.world.line)
        painter.setFont(title)
        painter.setPen(theme.color("#ffffff"))
        above = area.adjusted(0, 0, 0, -place.height() - 1)
        painter.drawText(above, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom, self.world.title)

    def _paint_frame(self, painter: QPainter, box: QRectF) -> None:
        if self.isChecked():
            pen = QPen(theme.color(theme.ACCENT), 2.2)
        elif self.hasFocus():
            pen = QPen(theme.color(theme.TEXT), 1.6)
        else:
            pen = QPen(theme.color("#ffffff", 0.1), 1.0)
        painter.setPen(pen)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(box, _RADIUS, _RADIUS)
        if self.isChecked() and self.hasFocus():
            painter.setPen(QPen(theme.color("#ffffff", 0.85), 1.0))
            painter.drawRoundedRect(box.adjusted(3, 3, -3, -3), _RADIUS - 3, _RADIUS - 3)
