"""The selected keyframe in one row: time, field of view, easing, pose."""

from __future__ import annotations

from typing import cast

from PyQt6.QtWidgets import QComboBox, QDoubleSpinBox, QFrame, QHBoxLayout, QLabel, QWidget

from engine.keyframes import EASINGS, Easing
from ui import theme
from ui.buttons import tool_button
from ui.path_model import PathModel

EASING_NAMES: dict[Easing, str] = {
    "linear": "Flowing",
    "smooth": "Rest at both",
    "ease-in": "Ease in",
    "ease-out": "Ease out",
    "hold": "Hold, then jump",
}


class KeyframeEditor(QFrame):
    """A card over the selected keyframe; every change is applied at once."""

    def __init__(self, model: PathModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = model
        self.setProperty("role", "card")
        self.setAccessibleName("Selected keyframe")
        self._name = QLabel()
        theme.set_role(self._name, "section")
        self.time = self._spin("Time of the keyframe in seconds", " s", 0.0, 86_400.0, 2)
        self.fov = self._spin("Vertical field of view in degrees", "°", 1.0, 170.0, 1)
        self.easing = QComboBox()
        self.easing.setAccessibleName("Easing to the next keyframe")
        self.easing.setToolTip("How time runs to the next keyframe")
        self.easing.setMinimumContentsLength(8)
        self.easing.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        for kind in EASINGS:
            self.easing.addItem(EASING_NAMES[kind], kind)
        self.to_view = tool_button("camera", "Move this keyframe to the current view", self._to_view)
        self.delete = tool_button("trash", "Delete this keyframe (Delete)", lambda: model.remove(model.selection))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 5, 8, 5)
        layout.setSpacing(6)
        for widget in (self._name, self.time, self.fov, self.easing, self.to_view, self.delete):
            layout.addWidget(widget)
        self.time.valueChanged.connect(lambda value: model.move(model.selection, value))
        self.fov.valueChanged.connect(lambda value: model.edit(model.selection, fov_deg=value))
        self.easing.activated.connect(
            lambda _: model.edit(model.selection, easing=cast(Easing, self.easing.currentData()))
        )
        model.selected.connect(self.refresh)
        model.changed.connect(self.refresh)
        self.refresh()

    def _spin(self, name: str, suffix: str, low: float, high: float, decimals: int) -> QDoubleSpinBox:
        spin = QDoubleSpinBox()
        spin.setRange(low, high)
        spin.setDecimals(decimals)
        spin.setSuffix(suffix)
        spin.setKeyboardTracking(False)
        spin.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        spin.setFixedWidth(72)
        spin.setAccessibleName(name)
        spin.setToolTip(name)
        return spin

    def _to_view(self) -> None:
        camera = self.model.bridge.camera
        if camera is not None:
            self.model.edit(self.model.selection, c2w=camera.c2w, fov_deg=camera.fov_deg)

    def refresh(self, *_: object) -> None:
        """Show the selected keyframe, or hide."""
        index = self.model.selection
        self.setVisible(index >= 0)
        if index < 0:
            return
        key = self.model.keyframes[index]
        self._name.setText(f"Key {index + 1}")
        for widget in (self.time, self.fov, self.easing):
            widget.blockSignals(True)
        self.time.setValue(float(self.model.times_s[index]))
        self.time.setEnabled(index > 0)
        self.fov.setValue(key.fov_deg)
        self.easing.setCurrentIndex(self.easing.findData(key.easing))
        self.easing.setEnabled(
            index < len(self.model.keyframes) - 1 or bool(self.model.spec and self.model.spec.closed)
        )
        for widget in (self.time, self.fov, self.easing):
            widget.blockSignals(False)
