"""What lies over the memory panel's canvas: the colour legend, the selection rectangle and the card of the selected
region.
"""

from __future__ import annotations

import numpy as np
from PyQt6.QtCore import QRectF, Qt, pyqtSignal
from PyQt6.QtGui import QFont, QPainter, QPaintEvent, QPen
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

from engine.messages import RegionStats
from ui import icons, theme
from ui.buttons import tool_button
from ui.compare.image_pane import to_qimage


class Legend(QWidget):
    """A colour bar with its two ends named."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFixedSize(190, 44)
        self._title, self._low, self._high = "", "", ""
        self._colors = np.zeros((256, 3), np.uint8)

    def show_scale(self, title: str, colors: np.ndarray, low: str, high: str) -> None:
        """``colors (256, 3)`` uint8 from ``low`` to ``high``."""
        self._title, self._low, self._high, self._colors = title, low, high, colors
        self.setAccessibleName(f"{title}: from {low} to {high}")
        self.show()
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Qt's hook."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.color(theme.GROUND, 0.72))
        painter.drawRoundedRect(QRectF(self.rect()), theme.RADIUS, theme.RADIUS)
        bar = QRectF(10, 21, self.width() - 20, 6)
        painter.drawImage(bar, to_qimage(self._colors[None]))
        font = QFont(self.font())
        font.setPointSizeF(font.pointSizeF() * 0.82)
        painter.setFont(font)
        painter.setPen(theme.color(theme.TEXT_SOFT))
        painter.drawText(QRectF(10, 3, bar.width(), 16), int(Qt.AlignmentFlag.AlignVCenter), self._title)
        painter.setPen(theme.color(theme.TEXT_FAINT))
        ends = QRectF(10, 28, bar.width(), 14)
        painter.drawText(ends, int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft), self._low)
        painter.drawText(ends, int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight), self._high)


class SelectionBand(QWidget):
    """The rectangle while it is drawn."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.hide()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Qt's hook."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), theme.color(theme.ACCENT, 0.14))
        painter.setPen(QPen(theme.color(theme.ACCENT_HOVER), 1.0, Qt.PenStyle.DashLine))
        painter.drawRect(self.rect().adjusted(0, 0, -1, -1))


class RegionCard(QFrame):
    """Statistics of the selected tokens and what can be done with them.

    Signals:
        erase(), freeze(bool), closed().
    """

    erase = pyqtSignal()
    freeze = pyqtSignal(bool)
    closed = pyqtSignal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setProperty("role", "card")
        self.setAccessibleName("Selected region")
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.title = QLabel()
        theme.set_role(self.title, "section")
        close = tool_button("close", "Clear the selection (Esc)", self.closed.emit, size_px=12)
        top = QHBoxLayout()
        top.addWidget(self.title, 1)
        top.addWidget(close)
        self._rows: dict[str, QLabel] = {}
        self.details = QWidget()
        grid = QGridLayout(self.details)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(18)
        grid.setVerticalSpacing(2)
        for row, name in enumerate(("written in", "median age", "footprint", "read", "memory")):
            label, value = QLabel(name), QLabel()
            theme.set_role(label, "faint")
            theme.set_role(value, "mono")
            grid.addWidget(label, row, 0)
            grid.addWidget(value, row, 1)
            self._rows[name] = value
        grid.setColumnStretch(1, 1)
        self.erase_button = QPushButton("Erase")
        self.erase_button.setIcon(icons.icon("erase", theme.ERROR))
        self.erase_button.setToolTip(
            "Forget these tokens; the next look imagines the place anew (undo brings them back)"
        )
        theme.set_role(self.erase_button, "danger")
        self.erase_button.clicked.connect(self.erase)
        self.freeze_button = QPushButton("Freeze")
        self.freeze_button.setIcon(icons.icon("freeze"))
        self.freeze_button.setToolTip("Keep these tokens as they are: never superseded, never evicted")
        self.freeze_button.clicked.connect(lambda: self.freeze.emit(not self._frozen))
        self._frozen = False
        buttons = QHBoxLayout()
        buttons.setSpacing(6)
        buttons.addWidget(self.erase_button, 1)
        buttons.addWidget(self.freeze_button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(14, 8, 10, 12)
        layout.setSpacing(8)
        layout.addLayout(top)
        layout.addWidget(self.details)
        layout.addLayout(buttons)
        self.setMinimumWidth(236)
        self.hide()

    def show_count(self, count: int, frozen: bool) -> None:
        """A new selection; its statistics are on their way."""
        self._frozen = frozen
        self.title.setText(f"{count:,} token{'s' if count != 1 else ''}")
        self.freeze_button.setText("Thaw" if frozen else "Freeze")
        for label in self._rows.values():
            label.setText("…")
        self.adjustSize()
        self.show()
        self.raise_()

    def set_compact(self, on: bool) -> None:
        """Only the number of tokens and the buttons, where there is little room."""
        self.details.setVisible(not on)

    def show_stats(self, stats: RegionStats) -> None:
        """The engine's answer."""
        first, last = stats.steps
        age = stats.age_median
        self._rows["written in"].setText(f"step {first}" if first == last else f"steps {first} to {last}")
        self._rows["median age"].setText(
            "this step" if age < 0.5 else f"{age:.0f} step{'s' if round(age) != 1 else ''}"
        )
        self._rows["footprint"].setText(
            "at infinity" if not np.isfinite(stats.footprint_median_m) else f"{100 * stats.footprint_median_m:.1f} cm"
        )
        self._rows["read"].setText(f"{stats.reads:,} time{'s' if stats.reads != 1 else ''}")
        self._rows["memory"].setText(f"{1024 * stats.mib:.1f} KiB" if stats.mib < 1 else f"{stats.mib:.2f} MiB")
        self.adjustSize()
