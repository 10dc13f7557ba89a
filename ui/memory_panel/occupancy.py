"""The occupancy strip: how full the memory is, how much of the view it knew, and both over the flight."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PyQt6.QtCore import QRectF, Qt
from PyQt6.QtGui import QPainter, QPaintEvent
from PyQt6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from engine.messages import MemoryStats, Update
from ui import theme
from ui.bridge import EngineBridge
from ui.history import StepHistory


class BudgetBar(QWidget):
    """How much of the budget is used; empty without a budget."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.fraction: float | None = None
        self.setFixedHeight(4)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def set_fraction(self, fraction: float | None) -> None:
        """Share of the budget in use, ``None`` without one."""
        self.fraction = fraction
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Qt's hook."""
        if self.fraction is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.color(theme.LINE))
        painter.drawRoundedRect(QRectF(self.rect()), 2, 2)
        used = QRectF(0, 0, self.width() * min(self.fraction, 1.0), self.height())
        painter.setBrush(theme.color(theme.WARNING if self.fraction > 0.9 else theme.ACCENT))
        painter.drawRoundedRect(used, 2, 2)


class OccupancyStrip(QWidget):
    """Figures on the left, a live plot on the right."""

    def __init__(self, bridge: EngineBridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.history = StepHistory.of(bridge)
        self.stats = MemoryStats()
        self.values: dict[str, QLabel] = {}
        grid = QGridLayout()
        grid.setHorizontalSpacing(14)
        grid.setVerticalSpacing(1)
        for i, (key, name, tip) in enumerate(
            (
                ("points", "tokens", "Tokens alive at the present node"),
                ("mib", "memory", "All that the memory holds, against its budget"),
                ("bytes", "a token", "Bytes per stored token, geometry and bookkeeping included"),
                ("voxels", "voxels", "Cells of space that hold a living token"),
                ("view", "this view", "Share of the newest frame that the memory knew beforehand"),
                ("hits", "hit rate", "Share of cells that readouts found covered since the world was opened"),
            )
        ):
            value, label = QLabel("0"), QLabel(name)
            theme.set_role(value, "mono")
            value.setStyleSheet(f"color: {theme.TEXT};")
            theme.set_role(label, "faint")
            value.setAccessibleName(tip)
            for widget in (value, label):
                widget.setToolTip(tip)
            grid.addWidget(value, 2 * (i // 2), i % 2)
            grid.addWidget(label, 2 * (i // 2) + 1, i % 2)
            self.values[key] = value
        self.budget = BudgetBar()
        left = QVBoxLayout()
        left.setContentsMargins(12, 8, 4, 8)
        left.addLayout(grid)
        left.addStretch(1)
        left.addWidget(self.budget)
        self.plot = _plot()
        self.plot.setMinimumWidth(150)
        self._tokens_axis = pg.ViewBox()
        item = self.plot.getPlotItem()
        item.showAxis("right")
        item.scene().addItem(self._tokens_axis)
        item.getAxis("right").linkToView(self._tokens_axis)
        self._tokens_axis.setXLink(item)
        self._tokens_axis.setMouseEnabled(False, False)
        item.vb.sigResized.connect(self._align)
        remembered, faint = theme.color(theme.REMEMBERED), theme.color(theme.TEXT_SOFT)
        fill = theme.color(theme.REMEMBERED, 0.14)
        self._coverage = self.plot.plot(pen=pg.mkPen(remembered, width=1.5), fillLevel=0.0, brush=fill)
        self._tokens = pg.PlotCurveItem(pen=pg.mkPen(faint, width=1.5))
        self._tokens_axis.addItem(self._tokens)
        item.setYRange(0.0, 1.0, padding=0.02)
        item.getAxis("left").setTicks([[(0.0, "0"), (0.5, "50"), (1.0, "100 %")]])
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addLayout(left)
        layout.addWidget(self.plot, 1)
        self.setFixedHeight(132)
        bridge.updated.connect(self._take)
        if bridge.stats is not None:
            self.show_stats(bridge.stats)
        self.history.grew.connect(self._draw)
        self.history.reset.connect(self._draw)
        self._draw()

    def _align(self) -> None:
        self._tokens_axis.setGeometry(self.plot.getPlotItem().vb.sceneBoundingRect())

    def _take(self, update: Update) -> None:
        stats = update.stats
        if stats is None and update.frame is not None:
            stats = update.frame.result.stats
        if stats is not None:
            self.show_stats(stats)

    def show_stats(self, stats: MemoryStats) -> None:
        """Write the figures."""
        self.stats = stats
        self.values["points"].setText(f"{stats.tokens_living:,}")
        budget = "" if stats.budget_mib is None else f" / {stats.budget_mib:g}"
        self.values["mib"].setText(f"{stats.mib:.2f}{budget} MiB")
        self.values["bytes"].setText(f"{stats.bytes_per_token:.0f} B")
        self.values["voxels"].setText(f"{stats.voxels_occupied:,}")
        self.values["hits"].setText(f"{stats.hit_rate:.0%}")
        self.budget.set_fraction(None if not stats.budget_mib else stats.mib / stats.budget_mib)
        self.budget.setToolTip(f"{stats.evicted:,} tokens evicted to keep to the budget" if stats.evicted else "")

    def _draw(self, *_: object) -> None:
        steps = self.history.steps
        coverage = np.array([step.coverage_mean for step in steps])
        tokens = np.array([step.tokens_living for step in steps], float)
        at = np.arange(len(steps), dtype=float)
        self._coverage.setData(at, coverage)
        self._tokens.setData(at, tokens)
        self._tokens_axis.setYRange(0.0, max(float(tokens.max(initial=0.0)) * 1.08, 100.0), padding=0.0)
        self.plot.getPlotItem().setXRange(0.0, max(len(steps) - 1, 10), padding=0.01)
        self.values["view"].setText(f"{coverage[-1]:.0%}" if len(steps) else "-")


class CountAxis(pg.AxisItem):
    """Ticks as 500, 5 k, 1.2 M."""

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        """pyqtgraph's hook."""
        return [
            f"{v / 1e6:g} M" if v >= 1e6 else f"{v / 1e3:g} k" if v >= 1e3 else f"{v:g}"
            for v in (value * scale for value in values)
        ]


def _plot() -> pg.PlotWidget:
    plot = pg.PlotWidget(background=None, axisItems={"right": CountAxis("right")})
    plot.setMenuEnabled(False)
    plot.setMouseEnabled(False, False)
    plot.hideButtons()
    plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    plot.setAccessibleName("Coverage and tokens per step")
    plot.setToolTip("Per step: share of the frame that was remembered (left) and tokens alive (right)")
    item = plot.getPlotItem()
    for side in ("left", "bottom", "right"):
        item.showAxis(side)
        axis = item.getAxis(side)
        axis.setPen(theme.color(theme.LINE))
        axis.setTextPen(theme.color(theme.REMEMBERED if side == "left" else theme.TEXT_FAINT))
        axis.setStyle(tickLength=-3, tickTextOffset=3)
        font = axis.font()
        font.setPointSizeF(7.5)
        axis.setTickFont(font)
    item.getAxis("left").setWidth(40)
    item.getAxis("right").setWidth(36)
    item.getAxis("right").enableAutoSIPrefix(False)
    item.setContentsMargins(0, 6, 4, 0)
    return plot
