"""The filmstrip: every generated frame in small, with a heat strip of how much of it was remembered."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from PyQt6.QtCore import QEvent, QPoint, QRect, QRectF, QSize, Qt, pyqtSignal
from PyQt6.QtGui import (
    QFont,
    QHelpEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QPixmap,
    QResizeEvent,
    QWheelEvent,
)
from PyQt6.QtWidgets import QAbstractScrollArea, QFrame, QSizePolicy, QToolTip, QWidget

from engine.messages import STAGES, StepSummary
from ui import theme
from ui.compare.image_pane import to_qimage
from ui.history import StepHistory

THUMB_MIN_PX, THUMB_MAX_PX = 40, 112
GAP_PX = 5
HEAT_PX = 5
TOP_PX = 6
PIXMAPS_KEPT = 160
BAR_PX = 16


class Filmstrip(QAbstractScrollArea):
    """Scrolls sideways through the flight; paints only what is visible.

    Signals:
        step_chosen(StepSummary): a click or Enter on a frame.
    """

    step_chosen = pyqtSignal(object)

    def __init__(self, history: StepHistory, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.history = history
        self.current = -1
        self.alive: set[int] | None = None
        self._hover = -1
        self._pixmaps: OrderedDict[int, tuple[StepSummary, QPixmap]] = OrderedDict()  # the step keeps its id taken
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.setMinimumHeight(TOP_PX + THUMB_MIN_PX + 3 + HEAT_PX + BAR_PX)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("Filmstrip")
        self.setAccessibleDescription("Generated frames in order; arrow keys move, Enter goes back to a frame.")
        viewport = self.viewport()
        assert viewport is not None
        viewport.setMouseTracking(True)
        history.grew.connect(self._grow)
        history.reset.connect(self._restart)
        history.thinned.connect(self._restart)
        self._restart()

    # -------------------------------------------------------------------------------------------------- content

    def set_current(self, index: int) -> None:
        """Mark the step with this index as the one on screen."""
        if index != self.current:
            self.current = index
            self._update()

    def set_alive(self, nodes: set[int]) -> None:
        """Tree nodes of the branch we are on; frames of other branches are dimmed."""
        self.alive = nodes
        self._update()

    def _grow(self, added: int) -> None:
        bar = self.horizontalScrollBar()
        assert bar is not None
        at_end = bar.value() >= bar.maximum() - self._pitch()
        self._range()
        if at_end:
            bar.setValue(bar.maximum())
        self._update()

    def _restart(self) -> None:
        self._pixmaps.clear()
        self._hover = -1
        self._range()
        self._update()

    def _update(self) -> None:
        viewport = self.viewport()
        if viewport is not None:
            viewport.update()

    # ----------------------------------------------------------------------------------------------------- layout

    def thumb_height(self) -> int:
        """Thumbnails grow with the room there is."""
        return min(max(self.height() - TOP_PX - 3 - HEAT_PX - BAR_PX, THUMB_MIN_PX), THUMB_MAX_PX)

    def _thumb_width(self) -> int:
        steps = self.history.steps
        if not steps:
            return 96
        height, width = steps[-1].thumbnail.shape[:2]
        return max(24, round(self.thumb_height() * width / max(height, 1)))

    def _pitch(self) -> int:
        return self._thumb_width() + GAP_PX

    def _range(self) -> None:
        bar, viewport = self.horizontalScrollBar(), self.viewport()
        assert bar is not None and viewport is not None
        content = len(self.history.steps) * self._pitch() + 2 * GAP_PX
        bar.setPageStep(viewport.width())
        bar.setSingleStep(self._pitch())
        bar.setRange(0, max(0, content - viewport.width()))

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Qt's hook."""
        super().resizeEvent(event)
        if event is not None and event.size().height() != event.oldSize().height():
            self._pixmaps.clear()
        bar = self.horizontalScrollBar()
        at_end = bar is not None and bar.value() >= bar.maximum() - 2
        self._range()
        if bar is not None and at_end:
            bar.setValue(bar.maximum())

    def sizeHint(self) -> QSize:
        """Qt's hook: thumbnails at their own size."""
        return QSize(400, TOP_PX + 54 + 3 + HEAT_PX + BAR_PX)

    def step_rect(self, row: int) -> QRect:
        """Where the row-th thumbnail lies in the viewport."""
        bar = self.horizontalScrollBar()
        assert bar is not None
        return QRect(GAP_PX + row * self._pitch() - bar.value(), TOP_PX, self._thumb_width(), self.thumb_height())

    def row_at(self, at: QPoint) -> int:
        """The row under a point of the viewport, -1 for none."""
        bar = self.horizontalScrollBar()
        assert bar is not None
        row = (at.x() + bar.value() - GAP_PX) // self._pitch()
        return (
            int(row)
            if 0 <= row < len(self.history.steps) and self.step_rect(int(row)).adjusted(0, 0, 0, 10).contains(at)
            else -1
        )

    # --------------------------------------------------------------------------------------------------- painting

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Qt's hook."""
        viewport = self.viewport()
        assert viewport is not None
        painter = QPainter(viewport)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        steps = self.history.steps
        if not steps:
            painter.setPen(theme.color(theme.TEXT_FAINT))
            painter.drawText(
                viewport.rect(),
                int(Qt.AlignmentFlag.AlignCenter),
                "Generated frames collect here; click one to go back to it.",
            )
            return
        bar = self.horizontalScrollBar()
        assert bar is not None
        first = max(0, (bar.value() - GAP_PX) // self._pitch())
        last = min(len(steps), (bar.value() + viewport.width()) // self._pitch() + 1)
        for row in range(first, last):
            self._paint_step(painter, row, steps[row])

    def _paint_step(self, painter: QPainter, row: int, step: StepSummary) -> None:
        area = QRectF(self.step_rect(row))
        alive = self.alive is None or step.node in self.alive
        painter.setOpacity(1.0 if alive else 0.32)
        clip = QPainterPath()
        clip.addRoundedRect(area, 4, 4)
        painter.save()
        painter.setClipPath(clip)
        painter.drawPixmap(area.toRect(), self._pixmap(step))
        painter.restore()
        self._paint_heat(painter, QRectF(area.left(), area.bottom() + 3, area.width(), HEAT_PX), step.coverage_strip)
        painter.setOpacity(1.0)
        current = step.index == self.current
        if current or row == self._hover:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(
                QPen(theme.color(theme.ACCENT_HOVER if current else theme.TEXT_SOFT), 2.0 if current else 1.0)
            )
            painter.drawRoundedRect(area.adjusted(-1, -1, 1, 1), 5, 5)
        if current or row == self._hover or row % 5 == 0:
            self._paint_number(painter, area, step.index)

    def _paint_number(self, painter: QPainter, area: QRectF, index: int) -> None:
        font = QFont(self.font())
        font.setPointSizeF(font.pointSizeF() * 0.75)
        painter.setFont(font)
        text = str(index)
        box = QRectF(area.left() + 3, area.bottom() - 16, painter.fontMetrics().horizontalAdvance(text) + 8, 13)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.color(theme.GROUND, 0.7))
        painter.drawRoundedRect(box, 3, 3)
        painter.setPen(theme.color(theme.TEXT))
        painter.drawText(box, int(Qt.AlignmentFlag.AlignCenter), text)

    @staticmethod
    def _paint_heat(painter: QPainter, area: QRectF, strip: np.ndarray) -> None:
        colors = theme.coverage_rgb(np.asarray(strip, float))
        width = area.width() / max(len(colors), 1)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        for i, (r, g, b) in enumerate(colors):
            painter.setBrush(theme.color(f"#{r:02x}{g:02x}{b:02x}"))
            painter.drawRect(QRectF(area.left() + i * width, area.top(), width + 0.5, area.height()))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)

    def _pixmap(self, step: StepSummary) -> QPixmap:
        key = id(step)
        if key not in self._pixmaps:
            size = QSize(self._thumb_width(), self.thumb_height()) * self.devicePixelRatioF()
            image = to_qimage(step.thumbnail).scaled(
                size, Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.SmoothTransformation
            )
            self._pixmaps[key] = (step, QPixmap.fromImage(image))
            while len(self._pixmaps) > PIXMAPS_KEPT:
                self._pixmaps.popitem(last=False)
        self._pixmaps.move_to_end(key)
        return self._pixmaps[key][1]

    # ------------------------------------------------------------------------------------------------------ input

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Qt's hook."""
        if event is None:
            return
        row = self.row_at(event.position().toPoint())
        if row != self._hover:
            self._hover = row
            self.setCursor(Qt.CursorShape.PointingHandCursor if row >= 0 else Qt.CursorShape.ArrowCursor)
            self._update()

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        """Qt's hook: go back to a frame."""
        if event is not None and event.button() == Qt.MouseButton.LeftButton:
            row = self.row_at(event.position().toPoint())
            if row >= 0:
                self.step_chosen.emit(self.history.steps[row])

    def leaveEvent(self, event: QEvent | None) -> None:
        """Qt's hook."""
        self._hover = -1
        self._update()

    def wheelEvent(self, event: QWheelEvent | None) -> None:
        """Qt's hook: the wheel scrolls sideways."""
        bar = self.horizontalScrollBar()
        if event is None or bar is None:
            return
        delta = event.angleDelta().y() or event.angleDelta().x()
        bar.setValue(bar.value() - round(delta / 120.0 * 3 * self._pitch()))
        event.accept()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Qt's hook: arrows choose the neighbour of the current frame, Home and End the ends."""
        steps = self.history.steps
        if event is None or not steps:
            return
        row = next((i for i in range(len(steps) - 1, -1, -1) if steps[i].index == self.current), len(steps) - 1)
        moves = {
            Qt.Key.Key_Left: row - 1,
            Qt.Key.Key_Right: row + 1,
            Qt.Key.Key_Home: 0,
            Qt.Key.Key_End: len(steps) - 1,
        }
        if event.key() in moves:
            self.step_chosen.emit(steps[min(max(moves[Qt.Key(event.key())], 0), len(steps) - 1)])
        else:
            super().keyPressEvent(event)

    def viewportEvent(self, event: QEvent | None) -> bool:
        """Qt's hook: tool tips of frames."""
        if isinstance(event, QHelpEvent):
            row = self.row_at(event.pos())
            if row >= 0:
                step = self.history.steps[row]
                total = sum(step.timings_ms.get(stage, 0.0) for stage in STAGES)
                QToolTip.showText(
                    event.globalPos(),
                    f"<b>Step {step.index}</b><br>"
                    f"{step.coverage_mean:.0%} remembered, {step.tokens_written:,} tokens written<br>"
                    f"{step.steps} denoising steps, {total:.0f} ms",
                    self,
                )
            else:
                QToolTip.hideText()
            return True
        return super().viewportEvent(event)
