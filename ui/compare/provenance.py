"""The provenance card: which token a pixel was conditioned on, from which step and cell, how old, how deep."""

from __future__ import annotations

import math

import numpy as np
from PyQt6.QtCore import QPointF, QRectF, Qt, pyqtSignal
from PyQt6.QtGui import QImage, QPainter, QPaintEvent, QPen
from PyQt6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from engine.messages import Provenance
from ui import theme
from ui.buttons import tool_button
from ui.compare.image_pane import to_qimage


class SourceThumbnail(QWidget):
    """The frame that wrote the token, with its cell outlined and, enlarged, where inside the cell it was read."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._image: QImage | None = None
        self._cell: tuple[int, int] | None = None
        self._grid = (1, 1)
        self._offset = (0.0, 0.0)
        self.setFixedSize(232, 92)

    def show_source(
        self, thumbnail: np.ndarray | None, cell: tuple[int, int], grid: tuple[int, int], offset: tuple[float, float]
    ) -> None:
        """``thumbnail (h, w, 3)`` uint8 or ``None``; ``cell`` (row, col) of ``grid`` (rows, columns); ``offset`` in
        cells, (right, down).
        """
        self._image = None if thumbnail is None else to_qimage(thumbnail)
        self._cell, self._grid, self._offset = cell, grid, offset
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Qt's hook."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        picture = QRectF(0, 5, 140, 80)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.color(theme.GROUND))
        painter.drawRoundedRect(picture, 5, 5)
        if self._image is not None:
            painter.drawImage(picture, self._image)
        if self._cell is not None and min(self._cell) >= 0:
            center = QPointF(
                picture.left() + (self._cell[1] + 0.5) / self._grid[1] * picture.width(),
                picture.top() + (self._cell[0] + 0.5) / self._grid[0] * picture.height(),
            )
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(theme.color("#000000", 0.6), 3.0))
            painter.drawEllipse(center, 7, 7)
            painter.setPen(QPen(theme.color(theme.ACCENT_HOVER), 1.6))
            painter.drawEllipse(center, 7, 7)
            self._paint_offset(painter, QRectF(152, 5, 80, 80))

    def _paint_offset(self, painter: QPainter, area: QRectF) -> None:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.color(theme.GROUND))
        painter.drawRoundedRect(area, 5, 5)
        side = area.width() / 3
        painter.setPen(QPen(theme.color(theme.LINE_STRONG), 1.0))
        for i in (1, 2):
            painter.drawLine(
                QPointF(area.left() + i * side, area.top() + 4), QPointF(area.left() + i * side, area.bottom() - 4)
            )
            painter.drawLine(
                QPointF(area.left() + 4, area.top() + i * side), QPointF(area.right() - 4, area.top() + i * side)
            )
        middle = QRectF(area.center().x() - side / 2, area.center().y() - side / 2, side, side)
        painter.fillRect(middle, theme.color(theme.ACCENT, 0.16))
        painter.setPen(QPen(theme.color(theme.ACCENT, 0.8), 1.2))
        painter.drawRect(middle)
        at = area.center() + QPointF(self._offset[0] * side, self._offset[1] * side)
        painter.setPen(QPen(theme.color(theme.ACCENT, 0.7), 1.2, Qt.PenStyle.DotLine))
        painter.drawLine(area.center(), at)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.color(theme.TEXT))
        painter.drawEllipse(at, 3.2, 3.2)


class ProvenanceCard(QFrame):
    """Answers "where does this come from?" for one cell.

    Signals:
        go_to(int): the user wants the tree node that wrote the token. closed().
    """

    go_to = pyqtSignal(int)
    closed = pyqtSignal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "card")
        self.setAccessibleName("Provenance")
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self._node = -1
        self._title = QLabel()
        theme.set_role(self._title, "section")
        close = tool_button("close", "Close provenance", self.closed.emit, size_px=12)
        top = QHBoxLayout()
        top.addWidget(self._title, 1)
        top.addWidget(close)
        self._source = SourceThumbnail()
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(16)
        self._grid.setVerticalSpacing(3)
        self._text = QLabel()
        self._text.setWordWrap(True)
        self._text.setFixedWidth(232)
        theme.set_role(self._text, "soft")
        self._go = QPushButton("Go to that step")
        self._go.clicked.connect(lambda: self.go_to.emit(self._node))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(14, 8, 10, 12)
        layout.setSpacing(8)
        layout.addLayout(top)
        layout.addWidget(self._source)
        layout.addWidget(self._text)
        layout.addLayout(self._grid)
        layout.addWidget(self._go)

    def show_provenance(self, found: Provenance, thumbnail: np.ndarray | None, grid: tuple[int, int]) -> None:
        """Fill the card; ``thumbnail`` of the step that wrote the token, if it is still kept; ``grid`` (rows, columns)
        of a keyframe.
        """
        known = found.token >= 0
        self._node = found.node
        self._title.setText(f"Cell {found.cell[0]}, {found.cell[1]}")
        self._source.setVisible(known)
        self._go.setVisible(known and found.node >= 0)
        if not known:
            self._text.setText(
                "The memory knew nothing here. The model imagined this cell; it is remembered from now on."
            )
            self._rows([("covered", f"{found.coverage:.0%}")])
            return
        self._source.show_source(thumbnail, found.source_cell, grid, found.offset)
        born = "in this step" if found.age == 0 else f"{found.age} step{'s' if found.age != 1 else ''} ago"
        self._text.setText(f"From step {found.step}, {born}." + (" Frozen." if found.frozen else ""))
        depth = "sky" if math.isinf(found.depth_m) else f"{found.depth_m:.2f} m"
        size = "at infinity" if math.isinf(found.depth_m) else f"{100 * found.footprint_m:.1f} cm"
        self._rows(
            [
                ("token", f"{found.token}"),
                ("written at", f"keyframe {found.keyframe}, cell {found.source_cell[0]}, {found.source_cell[1]}"),
                ("depth", depth),
                ("footprint", size),
                ("seen", _magnification(found.log2_scale)),
                ("read", f"{found.reads} time{'s' if found.reads != 1 else ''}"),
                ("covered", f"{found.coverage:.0%}"),
            ]
        )

    def _rows(self, rows: list[tuple[str, str]]) -> None:
        while self._grid.count():
            item = self._grid.takeAt(0)
            widget = item.widget() if item is not None else None
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        for row, (name, value) in enumerate(rows):
            label, text = QLabel(name), QLabel(value)
            theme.set_role(label, "faint")
            theme.set_role(text, "mono")
            text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            self._grid.addWidget(label, row, 0)
            self._grid.addWidget(text, row, 1)
        self._grid.setColumnStretch(1, 1)
        self.adjustSize()


def _magnification(log2_scale: float) -> str:
    if log2_scale > 0.1:
        return f"{2**log2_scale:.1f}x enlarged (softer)"
    if log2_scale < -0.1:
        return f"{2**-log2_scale:.1f}x reduced"
    return "at its own size"
