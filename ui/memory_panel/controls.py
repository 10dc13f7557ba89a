"""The memory panel's row of tools and its card of point options."""

from __future__ import annotations

from typing import cast

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QSlider,
    QToolButton,
    QWidget,
)

from ui import theme
from ui.buttons import tool_button
from ui.memory_panel.cloud import COLOR_MODES, ColorMode
from ui.memory_panel.view_camera import CameraMode

CAPS = (50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 4_000_000)


def short_count(count: int) -> str:
    """1,234 as it is, 12,345 as 12 k, 1,234,567 as 1.23 M."""
    if count >= 1_000_000:
        return f"{count / 1e6:.2f} M" if count % 1_000_000 else f"{count // 1_000_000} M"
    return f"{count / 1e3:.0f} k" if count >= 10_000 else f"{count:,}"


class MemoryTools(QWidget):
    """Colour, camera and tools.

    Signals:
        colored(str), camera_chosen(str): modes. fit_wanted(). selecting(bool), clipping(bool), options_shown(bool).
    """

    colored = pyqtSignal(str)
    camera_chosen = pyqtSignal(str)
    fit_wanted = pyqtSignal()
    selecting = pyqtSignal(bool)
    clipping = pyqtSignal(bool)
    options_shown = pyqtSignal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(8, 6, 8, 6)
        row.setSpacing(2)
        self.color_box = QComboBox()
        self.color_box.setAccessibleName("Colour of the points")
        for color, name in COLOR_MODES.items():
            self.color_box.addItem(name, color)
        self.color_box.currentIndexChanged.connect(lambda _: self.colored.emit(self.color_box.currentData()))
        row.addWidget(self.color_box)
        row.addStretch(1)
        cameras = QButtonGroup(self)
        self.camera_buttons: dict[CameraMode, QToolButton] = {}
        for mode, tip in (
            ("orbit", "Orbit around the cloud"),
            ("fly", "Fly through the cloud (W A S D E Q while this panel has the focus)"),
            ("follow", "Follow the explorer"),
        ):
            button = tool_button(mode, tip, checkable=True)
            button.clicked.connect(lambda _=False, chosen=mode: self.camera_chosen.emit(chosen))
            cameras.addButton(button)
            self.camera_buttons[cast(CameraMode, mode)] = button
            row.addWidget(button)
        self.camera_buttons["orbit"].setChecked(True)
        row.addWidget(tool_button("home", "Show the explored memory (Home)", self.fit_wanted.emit))
        row.addSpacing(6)
        self.select = tool_button("pick", "Select a region by dragging (B, or Ctrl and drag)", checkable=True)
        self.clip = tool_button("box", "Clip box", checkable=True)
        self.options = tool_button("settings", "Points: size, number, sky, grid", checkable=True)
        self.select.toggled.connect(self.selecting)
        self.clip.toggled.connect(self._clip_toggled)
        self.options.toggled.connect(self._options_toggled)
        for button in (self.select, self.clip, self.options):
            row.addWidget(button)

    def set_color(self, mode: ColorMode) -> None:
        """Show a mode as chosen, silently."""
        self.color_box.blockSignals(True)
        self.color_box.setCurrentIndex(self.color_box.findData(mode))
        self.color_box.blockSignals(False)

    def _clip_toggled(self, on: bool) -> None:
        if on:
            self.options.setChecked(False)  # both cards have the same corner
        self.clipping.emit(on)

    def _options_toggled(self, on: bool) -> None:
        if on:
            self.clip.setChecked(False)
        self.options_shown.emit(on)


class PointOptions(QFrame):
    """How points are drawn.

    Signals:
        sized(float): 1 is true size. capped(int): most points to draw.
        sky_shown(bool), grid_shown(bool), front_only(bool).
    """

    sized = pyqtSignal(float)
    capped = pyqtSignal(int)
    sky_shown = pyqtSignal(bool)
    grid_shown = pyqtSignal(bool)
    front_only = pyqtSignal(bool)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setProperty("role", "card")
        self.setAccessibleName("Point options")
        grid = QGridLayout(self)
        grid.setContentsMargins(14, 12, 14, 12)
        grid.setHorizontalSpacing(12)
        self.size_slider = QSlider(Qt.Orientation.Horizontal)
        self.size_slider.setRange(25, 300)
        self.size_slider.setValue(100)
        self.size_slider.setAccessibleName("Point size in percent of the tokens' true size")
        self.size_slider.valueChanged.connect(lambda value: self.sized.emit(value / 100.0))
        self.cap_box = QComboBox()
        self.cap_box.setAccessibleName("Most points to draw")
        for cap in CAPS:
            self.cap_box.addItem(short_count(cap), cap)
        self.cap_box.activated.connect(lambda _: self.capped.emit(self.cap_box.currentData()))
        rows: tuple[tuple[str, QWidget], ...] = (("Point size", self.size_slider), ("At most", self.cap_box))
        for row, (name, widget) in enumerate(rows):
            label = QLabel(name)
            theme.set_role(label, "soft")
            grid.addWidget(label, row, 0)
            grid.addWidget(widget, row, 1)
        self.sky, self.grid, self.front = (
            QCheckBox(text) for text in ("Sky", "Ground grid", "Select only what is in front")
        )
        for row, (box, signal) in enumerate(
            ((self.sky, self.sky_shown), (self.grid, self.grid_shown), (self.front, self.front_only)), start=2
        ):
            box.setChecked(True)
            box.toggled.connect(signal)
            grid.addWidget(box, row, 0, 1, 2)
        self.setMinimumWidth(240)
        self.hide()

    def show_cap(self, cap: int) -> None:
        """Show a cap as chosen."""
        self.cap_box.setCurrentIndex(CAPS.index(cap))
