"""The keyframe track: a ruler, the keyframes on it, the playhead, and the plan's colours under them."""

from __future__ import annotations

import numpy as np
from PyQt6.QtCore import QPointF, QRectF, Qt, pyqtSignal
from PyQt6.QtGui import QFont, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PyQt6.QtWidgets import QApplication, QSizePolicy, QWidget

from engine.keyframes import ease
from ui import theme
from ui.compare.image_pane import to_qimage
from ui.path_model import PathModel

MARGIN_PX = 14
RULER_PX = 18
BAND_PX = 14
KEY_PX = 7.0
NICE_STEPS_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0)


class KeyframeTrack(QWidget):
    """Time from left to right. Drag the playhead or a keyframe; Delete removes the selected keyframe.

    Signals:
        menu_wanted(int, QPoint): right click on a keyframe (-1: beside one), global position.
    """

    menu_wanted = pyqtSignal(int, object)

    def __init__(self, model: PathModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = model
        self._drag = ""
        self._pressed = QPointF()
        self._span_s = 0.0
        self.setFixedHeight(RULER_PX + BAND_PX + 34)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setAccessibleName("Keyframes")
        self.setAccessibleDescription("Left and right move by a frame, Delete removes the selected keyframe.")
        for signal in (model.changed, model.planned, model.selected):
            signal.connect(self._redraw)
        model.moved.connect(self._redraw)

    def _redraw(self, *_: object) -> None:
        self.update()

    # ---------------------------------------------------------------------------------------------------- layout

    @property
    def span_s(self) -> float:
        """Seconds from the left to the right end. Fixed while a keyframe is dragged, so that it stays under the
        pointer.
        """
        if self._drag == "key":
            return self._span_s
        return max(self.model.seconds * 1.08, 4.0)

    def x_of(self, seconds: float) -> float:
        """Widget x of a time."""
        return MARGIN_PX + seconds / self.span_s * (self.width() - 2 * MARGIN_PX)

    def time_of(self, x: float) -> float:
        """Time of a widget x, clamped to >= 0."""
        return max(0.0, (x - MARGIN_PX) / max(self.width() - 2 * MARGIN_PX, 1) * self.span_s)

    def keyframe_at(self, at: QPointF) -> int:
        """Index of the keyframe under a point, -1 for none."""
        if at.y() < RULER_PX:
            return -1
        for index, time in enumerate(self.model.times_s):
            if abs(self.x_of(float(time)) - at.x()) <= KEY_PX + 3:
                return index
        return -1

    # -------------------------------------------------------------------------------------------------- painting

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Qt's hook."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._paint_ruler(painter)
        if self.model.empty:
            painter.setPen(theme.color(theme.TEXT_FAINT))
            area = self.rect().adjusted(MARGIN_PX, RULER_PX, -MARGIN_PX, 0)
            painter.drawText(
                area,
                int(Qt.AlignmentFlag.AlignCenter),
                "No path yet. Fly somewhere and press Enter to set a keyframe, or take a preset.",
            )
            return
        self._paint_band(painter)
        self._paint_easing(painter)
        for index in range(len(self.model.keyframes)):
            self._paint_key(painter, index)
        self._paint_playhead(painter)

    def _paint_ruler(self, painter: QPainter) -> None:
        font = QFont(self.font())
        font.setPointSizeF(font.pointSizeF() * 0.78)
        painter.setFont(font)
        per_px = self.span_s / max(self.width() - 2 * MARGIN_PX, 1)
        step = next((s for s in NICE_STEPS_S if s / per_px >= 64), NICE_STEPS_S[-1])
        for i in range(int(self.span_s / step) + 1):
            x = self.x_of(i * step)
            painter.setPen(QPen(theme.color(theme.LINE_STRONG), 1.0))
            painter.drawLine(QPointF(x, RULER_PX - 5), QPointF(x, RULER_PX))
            for k in range(1, 5):
                minor = self.x_of((i + k / 5) * step)
                if minor < self.width() - MARGIN_PX:
                    painter.setPen(QPen(theme.color(theme.LINE), 1.0))
                    painter.drawLine(QPointF(minor, RULER_PX - 3), QPointF(minor, RULER_PX))
            if x + 34 > self.width():
                continue
            painter.setPen(theme.color(theme.TEXT_FAINT))
            painter.drawText(
                QRectF(x + 3, 0, 60, RULER_PX - 3), int(Qt.AlignmentFlag.AlignVCenter), _clock(i * step, step)
            )

    def _band(self) -> QRectF:
        left, right = self.x_of(0.0), self.x_of(self.model.seconds)
        return QRectF(left, RULER_PX + 5, max(right - left, 2.0), BAND_PX)

    def _paint_band(self, painter: QPainter) -> None:
        band = self._band()
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.color(theme.RAISED))
        painter.drawRoundedRect(band, 4, 4)
        columns = max(int(band.width()), 2)
        coverage = self.model.coverage_at(np.linspace(0.0, self.model.seconds, columns))
        if coverage is not None:
            painter.drawImage(band, self._heat(coverage))
            known = float(np.mean(coverage))
            self._paint_on_band(painter, f"{known:.0%} remembered, {1 - known:.0%} imagined", theme.GROUND)
        elif self.model.fixed is not None:
            text = f"{self.model.fixed_name}:  {len(self.model.fixed)} frames, exactly as given"
            self._paint_on_band(painter, text, theme.TEXT_SOFT)

    def _paint_on_band(self, painter: QPainter, text: str, color: str) -> None:
        band = self._band()
        font = QFont(self.font())
        font.setPointSizeF(font.pointSizeF() * 0.82)
        painter.setFont(font)
        painter.setPen(theme.color(color))
        elided = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, int(band.width()) - 12)
        painter.drawText(band.adjusted(8, 0, -4, 0), int(Qt.AlignmentFlag.AlignVCenter), elided)

    @staticmethod
    def _heat(coverage: np.ndarray) -> QImage:
        return to_qimage(theme.coverage_rgb(coverage)[None])

    def _paint_easing(self, painter: QPainter) -> None:
        """Between two keyframes, how time runs: a small curve from the lower left to the upper right."""
        keys, times = self.model.keyframes, self.model.times_s
        base, height = RULER_PX + 5 + BAND_PX + 24.0, 16.0
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(theme.color(theme.LINE_STRONG), 1.3))
        u = np.linspace(0.0, 1.0, 17)
        for i in range(len(keys) - 1):
            left, right = self.x_of(float(times[i])) + KEY_PX + 4, self.x_of(float(times[i + 1])) - KEY_PX - 4
            if right - left < 12:
                continue
            curve = ease(keys[i].easing, u)
            points = [
                QPointF(left + float(a) * (right - left), base - float(b) * height)
                for a, b in zip(u, curve, strict=True)
            ]
            painter.drawPolyline(QPolygonF(points))

    def _paint_key(self, painter: QPainter, index: int) -> None:
        x = self.x_of(float(self.model.times_s[index]))
        y = RULER_PX + 5 + BAND_PX + 15.0
        chosen = index == self.model.selection
        painter.setPen(QPen(theme.color(theme.LINE_STRONG), 1.0))
        painter.drawLine(QPointF(x, RULER_PX + 5 + BAND_PX), QPointF(x, y - KEY_PX))
        size = KEY_PX + (1.0 if chosen else 0.0)
        diamond = QPolygonF([QPointF(x, y - size), QPointF(x + size, y), QPointF(x, y + size), QPointF(x - size, y)])
        painter.setPen(QPen(theme.color(theme.GROUND), 1.5))
        painter.setBrush(theme.color(theme.ACCENT if chosen else theme.TEXT_SOFT))
        painter.drawPolygon(diamond)

    def _paint_playhead(self, painter: QPainter) -> None:
        x = self.x_of(self.model.playhead_s)
        painter.setPen(QPen(theme.color(theme.TEXT), 1.4))
        painter.drawLine(QPointF(x, 8), QPointF(x, self.height() - 4))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.color(theme.TEXT))
        painter.drawPolygon(
            QPolygonF([QPointF(x - 5, 2), QPointF(x + 5, 2), QPointF(x + 5, 8), QPointF(x, 13), QPointF(x - 5, 8)])
        )

    # ----------------------------------------------------------------------------------------------------- input

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Qt's hook."""
        if event is None:
            return
        at = event.position()
        index = self.keyframe_at(at)
        if event.button() == Qt.MouseButton.RightButton:
            if index >= 0:
                self.model.select(index)
            self.menu_wanted.emit(index, event.globalPosition().toPoint())
            return
        if event.button() != Qt.MouseButton.LeftButton or self.model.empty:
            return
        self.model.pause()
        self._pressed, self._span_s = at, self.span_s
        if index >= 0:
            self._drag = "maybe-key"
            self.model.select(index)
            self.model.seek(float(self.model.times_s[index]))
        else:
            self._drag = "playhead"
            self.model.select(-1)
            self.model.seek(self.time_of(at.x()))

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Qt's hook."""
        if event is None:
            return
        at = event.position()
        if self._drag == "maybe-key" and abs(at.x() - self._pressed.x()) >= QApplication.startDragDistance() / 2:
            self._drag = "key"
        if self._drag == "key":
            self.model.move(self.model.selection, self.time_of(at.x()))
        elif self._drag == "playhead":
            self.model.seek(self.time_of(at.x()))
        else:
            self.setCursor(Qt.CursorShape.SizeHorCursor if self.keyframe_at(at) > 0 else Qt.CursorShape.ArrowCursor)

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        """Qt's hook."""
        self._drag = ""
        self.update()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Qt's hook."""
        if event is None:
            return
        key = event.key()
        if key in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace) and self.model.selection >= 0:
            self.model.remove(self.model.selection)
        elif key in (Qt.Key.Key_Left, Qt.Key.Key_Right) and not self.model.empty:
            self.model.step(1 if key == Qt.Key.Key_Right else -1)
        elif key == Qt.Key.Key_Home:
            self.model.seek(0.0)
        elif key == Qt.Key.Key_End:
            self.model.seek(self.model.seconds)
        else:
            super().keyPressEvent(event)


def _clock(seconds: float, step: float) -> str:
    minutes, rest = divmod(seconds, 60.0)
    if minutes:
        return f"{int(minutes)}:{rest:02.0f}"
    return f"{rest:.1f} s" if step < 1 else f"{rest:.0f} s"
