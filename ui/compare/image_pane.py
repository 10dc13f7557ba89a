"""A picture, or two with a wipe between them: zoom, drag, click a pixel."""

from __future__ import annotations

import numpy as np
from PyQt6.QtCore import QPointF, QRectF, QSizeF, Qt, pyqtSignal
from PyQt6.QtGui import (
    QColor,
    QFont,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPolygonF,
    QWheelEvent,
)
from PyQt6.QtWidgets import QApplication, QSizePolicy, QWidget

from ui import theme
from ui.compare.zoom import ZoomModel

GRIP_PX = 15.0
GRAB_PX = 12.0
SHARP_FROM = 3.0
"""Screen pixels per picture pixel above which pixels are drawn as squares, not blurred."""


def to_qimage(rgb: np.ndarray) -> QImage:
    """``rgb (H, W, 3)`` uint8 -> a QImage that owns its pixels."""
    data = np.ascontiguousarray(rgb)
    height, width = data.shape[:2]
    return QImage(data.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888).copy()


class ImagePane(QWidget):
    """Shows ``second`` and, left of the wipe, ``first``.

    Signals:
        pixel_clicked(float, float): a click, as fractions of the picture's width and height.
        wipe_moved(float): the handle's new place, fraction of the picture's width.
    """

    pixel_clicked = pyqtSignal(float, float)
    wipe_moved = pyqtSignal(float)

    def __init__(self, zoom: ZoomModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.zoom = zoom
        self.wiping = False
        self.wipe = 0.5
        self.blocky = False
        self.labels = ("", "")
        self.placeholder = ""
        self.cells: tuple[int, int] = (0, 0)
        self.marked: tuple[int, int] | None = None
        self._first: QImage | None = None
        self._second: QImage | None = None
        self._pressed: QPointF | None = None
        self._last = QPointF()
        self._dragging = ""
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(120, 80)
        self.setAccessibleName("Picture")
        zoom.changed.connect(self.update)

    # -------------------------------------------------------------------------------------------------- content

    def set_first(self, rgb: np.ndarray | None) -> None:
        """What lies left of the wipe, ``(H, W, 3)`` uint8."""
        self._first = None if rgb is None else to_qimage(rgb)
        self.update()

    def set_second(self, rgb: np.ndarray | None) -> None:
        """The picture, ``(H, W, 3)`` uint8."""
        self._second = None if rgb is None else to_qimage(rgb)
        self.update()

    def set_wiping(self, on: bool) -> None:
        """Show the handle and both pictures."""
        self.wiping = on
        self.setAccessibleDescription("Arrow keys move the wipe handle." if on else "")
        self.update()

    def set_wipe(self, place: float) -> None:
        """Put the handle at a fraction of the picture's width."""
        self.wipe = min(max(place, 0.0), 1.0)
        self.update()
        self.wipe_moved.emit(self.wipe)

    def mark(self, cell: tuple[int, int] | None, cells: tuple[int, int] = (0, 0)) -> None:
        """Outline a cell (row, col) of a grid of ``cells`` (rows, columns)."""
        self.marked, self.cells = cell, cells
        self.update()

    def picture_rect(self) -> QRectF:
        """Where the picture lies, in widget coordinates."""
        image = self._second or self._first
        if image is None:
            return QRectF()
        return self.zoom.target(QRectF(self.rect()), QSizeF(image.size()))

    # ------------------------------------------------------------------------------------------------- painting

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Qt's hook."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), theme.color(theme.GROUND))
        target = self.picture_rect()
        if target.isEmpty():
            self._paint_placeholder(painter)
            return
        image = self._second or self._first
        assert image is not None
        sharp = self.blocky or target.width() / image.width() > SHARP_FROM * 2
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, not sharp)
        visible = target.intersected(QRectF(self.rect()))
        painter.setClipRect(visible)
        if self._second is not None:
            painter.drawImage(target, self._second)
        split = target.left() + self.wipe * target.width()
        if self.wiping and self._first is not None:
            painter.setRenderHint(
                QPainter.RenderHint.SmoothPixmapTransform, target.width() / image.width() <= SHARP_FROM * 2
            )
            painter.setClipRect(
                visible.intersected(QRectF(target.left(), target.top(), split - target.left(), target.height()))
            )
            painter.drawImage(target, self._first)
            painter.setClipRect(visible)
        if self.placeholder:
            self._paint_placeholder(painter)
        self._paint_mark(painter, target)
        painter.setClipping(False)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self.wiping:
            self._paint_handle(painter, visible, split)
        self._paint_labels(painter, visible)
        if self.hasFocus() and self.focusReason_is_key:
            painter.setPen(QPen(theme.color(theme.ACCENT), 1.0))
            painter.drawRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5))

    @property
    def focusReason_is_key(self) -> bool:
        """Whether to draw a focus frame: only for people who got here with the keyboard."""
        return bool(self.property("keyboardFocus"))

    def focusInEvent(self, event) -> None:  # type: ignore[no-untyped-def]
        """Qt's hook."""
        by_key = event.reason() in (Qt.FocusReason.TabFocusReason, Qt.FocusReason.BacktabFocusReason)
        self.setProperty("keyboardFocus", by_key)
        super().focusInEvent(event)
        self.update()

    def _paint_placeholder(self, painter: QPainter) -> None:
        painter.setPen(theme.color(theme.TEXT_FAINT))
        area = self.rect().adjusted(24, 24, -24, -24)
        painter.drawText(area, int(Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap), self.placeholder)

    def _paint_mark(self, painter: QPainter, target: QRectF) -> None:
        if self.marked is None or not all(self.cells):
            return
        width, height = target.width() / self.cells[1], target.height() / self.cells[0]
        cell = QRectF(target.left() + self.marked[1] * width, target.top() + self.marked[0] * height, width, height)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(0, 0, 0, 160), 3.0))
        painter.drawRect(cell.adjusted(-1, -1, 1, 1))
        painter.setPen(QPen(theme.color(theme.TEXT), 1.5))
        painter.drawRect(cell.adjusted(-1, -1, 1, 1))

    def _paint_handle(self, painter: QPainter, visible: QRectF, split: float) -> None:
        x = min(max(split, visible.left()), visible.right())
        painter.setPen(QPen(QColor(0, 0, 0, 90), 4.0))
        painter.drawLine(QPointF(x, visible.top()), QPointF(x, visible.bottom()))
        painter.setPen(QPen(QColor(255, 255, 255, 235), 1.5))
        painter.drawLine(QPointF(x, visible.top()), QPointF(x, visible.bottom()))
        center = QPointF(x, visible.center().y())
        painter.setPen(QPen(QColor(0, 0, 0, 90), 1.0))
        painter.setBrush(QColor(250, 251, 253, 240))
        painter.drawEllipse(center, GRIP_PX, GRIP_PX)
        painter.setBrush(theme.color(theme.GROUND))
        painter.setPen(Qt.PenStyle.NoPen)
        for side in (-1, 1):
            tip = center + QPointF(side * 9.5, 0)
            back = center + QPointF(side * 4.0, 0)
            painter.drawPolygon(QPolygonF([tip, back + QPointF(0, -4.5), back + QPointF(0, 4.5)]))

    def _paint_labels(self, painter: QPainter, visible: QRectF) -> None:
        font = QFont(painter.font())
        font.setPointSizeF(font.pointSizeF() * 0.88)
        font.setWeight(QFont.Weight.DemiBold)
        painter.setFont(font)
        metrics = painter.fontMetrics()
        sides = ((self.labels[0], True), (self.labels[1], False)) if self.wiping else ((self.labels[1], True),)
        for text, left in sides:
            if not text:
                continue
            text = metrics.elidedText(
                text, Qt.TextElideMode.ElideRight, int(visible.width() * (0.44 if self.wiping else 0.9))
            )
            width = metrics.horizontalAdvance(text) + 18
            x = visible.left() + 10 if left else visible.right() - width - 10
            box = QRectF(x, visible.top() + 10, width, metrics.height() + 8)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.color(theme.GROUND, 0.72))
            painter.drawRoundedRect(box, box.height() / 2, box.height() / 2)
            painter.setPen(theme.color(theme.TEXT))
            painter.drawText(box, int(Qt.AlignmentFlag.AlignCenter), text)

    # ---------------------------------------------------------------------------------------------------- input

    def _fraction(self, at: QPointF) -> QPointF:
        target = self.picture_rect()
        if target.isEmpty():
            return QPointF(0.5, 0.5)
        return QPointF((at.x() - target.left()) / target.width(), (at.y() - target.top()) / target.height())

    def _on_handle(self, at: QPointF) -> bool:
        target = self.picture_rect()
        return (
            self.wiping and not target.isEmpty() and abs(at.x() - target.left() - self.wipe * target.width()) <= GRAB_PX
        )

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Qt's hook."""
        if event is None:
            return
        self._pressed = self._last = event.position()
        self._dragging = "wipe" if self._on_handle(event.position()) else ""

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Qt's hook."""
        if event is None:
            return
        at = event.position()
        if self._pressed is None:
            self.setCursor(Qt.CursorShape.SplitHCursor if self._on_handle(at) else Qt.CursorShape.CrossCursor)
            return
        if not self._dragging and (at - self._pressed).manhattanLength() >= QApplication.startDragDistance() / 2:
            self._dragging = "pan"
        target = self.picture_rect()
        if self._dragging == "wipe":
            self.set_wipe(self._fraction(at).x())
        elif self._dragging == "pan" and not target.isEmpty():
            delta = at - self._last
            self.zoom.pan(QPointF(delta.x() / target.width(), delta.y() / target.height()))
        self._last = at

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        """Qt's hook."""
        if event is None:
            return
        if self._pressed is not None and not self._dragging and event.button() == Qt.MouseButton.LeftButton:
            at = self._fraction(event.position())
            if 0 <= at.x() < 1 and 0 <= at.y() < 1:
                self.pixel_clicked.emit(at.x(), at.y())
        self._pressed, self._dragging = None, ""

    def mouseDoubleClickEvent(self, event: QMouseEvent | None) -> None:
        """Qt's hook: the whole picture again."""
        self.zoom.reset()

    def wheelEvent(self, event: QWheelEvent | None) -> None:
        """Qt's hook: zoom to the pointer."""
        if event is not None and event.angleDelta().y():
            self.zoom.zoom_at(self._fraction(event.position()), 1.2 ** (event.angleDelta().y() / 120.0))
            event.accept()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Qt's hook: arrows move the wipe, + and - zoom, 0 resets."""
        if event is None:
            return
        key = event.key()
        step = 0.1 if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else 0.02
        if self.wiping and key in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            self.set_wipe(self.wipe + (step if key == Qt.Key.Key_Right else -step))
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            self.zoom.zoom_at(QPointF(self.zoom.center), 1.25)
        elif key == Qt.Key.Key_Minus:
            self.zoom.zoom_at(QPointF(self.zoom.center), 0.8)
        elif key == Qt.Key.Key_0:
            self.zoom.reset()
        else:
            super().keyPressEvent(event)
