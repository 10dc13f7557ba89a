"""The clip box: six sliders around the cloud; only what lies inside is shown, picked and selected."""

from __future__ import annotations

import numpy as np
from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget
from superqt import QRangeSlider

from ui import theme

STEPS = 1000
FOREVER_M = 1e6


class ClipBoxControls(QFrame):
    """Signals:
    changed(object): (low (3,), high (3,)) in world metres, or ``None`` when the box is off.
    """

    changed = pyqtSignal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "card")
        self.setAccessibleName("Clip box")
        self.low, self.high = np.zeros(3), np.ones(3)
        title = QLabel("Clip box")
        theme.set_role(title, "section")
        reset = QPushButton("Whole cloud")
        theme.set_role(reset, "quiet")
        reset.clicked.connect(self.reset)
        top = QHBoxLayout()
        top.addWidget(title, 1)
        top.addWidget(reset)
        grid = QGridLayout()
        grid.setHorizontalSpacing(10)
        grid.setVerticalSpacing(8)
        self.sliders: list[QRangeSlider] = []
        self.values: list[QLabel] = []
        for row, (axis, name) in enumerate((("X", "east"), ("Y", "north"), ("Z", "up"))):
            label, value = QLabel(axis), QLabel()
            theme.set_role(label, "soft")
            theme.set_role(value, "mono")
            value.setMinimumWidth(132)
            value.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            slider = QRangeSlider(Qt.Orientation.Horizontal)
            slider.setRange(0, STEPS)
            slider.setValue((0, STEPS))
            slider.setMinimumWidth(150)
            slider.setAccessibleName(f"Clip range along {axis} ({name})")
            slider.setStyleSheet(f"QRangeSlider {{ qproperty-barColor: {theme.ACCENT_PRESSED}; }}")
            slider.valueChanged.connect(lambda _: self._emit())
            for column, widget in enumerate((label, slider, value)):
                grid.addWidget(widget, row, column)
            self.sliders.append(slider)
            self.values.append(value)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(14, 10, 14, 12)
        layout.addLayout(top)
        layout.addLayout(grid)
        self.hide()

    def set_bounds(self, low: np.ndarray, high: np.ndarray) -> None:
        """What the sliders span: ``low (3,)`` to ``high (3,)`` metres."""
        self.low, self.high = low, high
        self._emit()

    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """The chosen corners; a handle at its end reaches on for ever."""
        ends = np.array([slider.value() for slider in self.sliders], float) / STEPS
        span = self.high - self.low
        low, high = self.low + ends[:, 0] * span, self.low + ends[:, 1] * span
        return np.where(ends[:, 0] <= 0.0, -FOREVER_M, low), np.where(ends[:, 1] >= 1.0, FOREVER_M, high)

    def reset(self) -> None:
        """Everything inside again."""
        for slider in self.sliders:
            slider.setValue((0, STEPS))
        self._emit()

    def _emit(self) -> None:
        low, high = self.box()
        for label, a, b in zip(self.values, low, high, strict=True):
            label.setText("everything" if b - a > FOREVER_M * 1.5 else f"{_metres(a)} to {_metres(b)} m")
        self.changed.emit((low, high) if self.isVisible() else None)

    def showEvent(self, event) -> None:  # type: ignore[no-untyped-def]
        """Qt's hook: the box is on while its controls are shown."""
        super().showEvent(event)
        self._emit()

    def hideEvent(self, event) -> None:  # type: ignore[no-untyped-def]
        """Qt's hook."""
        super().hideEvent(event)
        self._emit()


def _metres(value: float) -> str:
    return "…" if abs(value) >= FOREVER_M else f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}"
