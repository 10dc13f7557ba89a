"""Quality: how many denoising steps, how large a picture, or *auto*, which holds a frame budget."""

from __future__ import annotations

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtWidgets import QButtonGroup, QComboBox, QHBoxLayout, QLabel, QPushButton, QSlider, QVBoxLayout, QWidget

from engine.messages import QualityInfo, SetQuality
from ui import theme
from ui.bridge import EngineBridge
from ui.settings import SettingsStore

STEPS = (0, 1, 2, 4, 8)
"""0 is auto."""
SIZES: tuple[tuple[str, int, int], ...] = (
    ("The model's own", 0, 0),
    ("Small · 320 × 192", 192, 320),
    ("Medium · 448 × 256", 256, 448),
    ("Large · 576 × 320", 320, 576),
    ("Very large · 672 × 384", 384, 672),
)


def quality_command(store: SettingsStore) -> SetQuality:
    """What the settings ask of the engine."""
    values = store.values
    return SetQuality(
        steps=values.steps or "auto",
        size=(values.height, values.width) if values.height and values.width else None,
        frame_budget_ms=values.frame_budget_ms,
    )


def summary(info: QualityInfo | None, steps: int) -> str:
    """A few words for a button."""
    if steps:
        return f"{steps} step{'s' if steps > 1 else ''}"
    if info is None:
        return "Auto"
    return f"Auto · {info.steps_moving} to {info.steps_still} steps"


class QualityPanel(QWidget):
    """Edits the quality in the settings.

    Signals:
        changed(): ask the engine for it.
    """

    changed = pyqtSignal()

    def __init__(self, bridge: EngineBridge, store: SettingsStore, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._store = store
        self._group = QButtonGroup(self)
        self.steps_buttons: dict[int, QPushButton] = {}
        steps_row = QHBoxLayout()
        steps_row.setSpacing(4)
        for steps in STEPS:
            button = QPushButton("Auto" if steps == 0 else str(steps))
            button.setCheckable(True)
            button.setChecked(steps == store.values.steps)
            button.setMinimumWidth(40)
            button.setAccessibleName("Steps chosen by the frame budget" if steps == 0 else f"{steps} denoising steps")
            button.clicked.connect(lambda _checked, steps=steps: self._set_steps(steps))
            self._group.addButton(button)
            self.steps_buttons[steps] = button
            steps_row.addWidget(button)
        self.size_box = QComboBox()
        self.size_box.setAccessibleName("Size of generated frames")
        for text, height, width in SIZES:
            self.size_box.addItem(text, (height, width))
        current = (store.values.height, store.values.width)
        self.size_box.setCurrentIndex(next((k for k, (_, h, w) in enumerate(SIZES) if (h, w) == current), 0))
        self.size_box.currentIndexChanged.connect(self._set_size)
        self.budget = QSlider(Qt.Orientation.Horizontal)
        self.budget.setRange(50, 1000)
        self.budget.setSingleStep(25)
        self.budget.setPageStep(100)
        self.budget.setValue(round(store.values.frame_budget_ms))
        self.budget.setAccessibleName("Milliseconds a frame may take while moving")
        self.budget.valueChanged.connect(self._set_budget)
        self._budget_text = QLabel()
        theme.set_role(self._budget_text, "mono")
        self._in_force = QLabel()
        self._in_force.setWordWrap(True)
        theme.set_role(self._in_force, "faint")
        budget_head = QHBoxLayout()
        budget_head.addWidget(self._section("Frame budget while moving"), 1)
        budget_head.addWidget(self._budget_text)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 14, 16, 14)
        column.setSpacing(8)
        column.addWidget(self._section("Denoising steps"))
        column.addLayout(steps_row)
        column.addLayout(budget_head)
        column.addWidget(self.budget)
        column.addWidget(self._section("Frame size"))
        column.addWidget(self.size_box)
        column.addWidget(self._in_force)
        self.setMinimumWidth(280)
        self._show_budget()
        self.show_quality(bridge.quality)
        bridge.updated.connect(lambda update: self.show_quality(update.quality) if update.quality is not None else None)

    @staticmethod
    def _section(text: str) -> QLabel:
        label = QLabel(text)
        theme.set_role(label, "section")
        return label

    def show_quality(self, info: QualityInfo | None) -> None:
        """What the engine has settled on."""
        if info is None:
            self._in_force.setText("Auto spends few steps while you move and more when you stand still, in place.")
            return
        height, width = info.size
        text = f"Now {info.steps_moving} steps moving, {info.steps_still} standing still"
        self._in_force.setText(f"{text}, {width} × {height} on {info.device}. {info.dropped}".strip())

    def _set_steps(self, steps: int) -> None:
        self._store.values.steps = steps
        self._show_budget()
        self.changed.emit()

    def _set_size(self) -> None:
        self._store.values.height, self._store.values.width = self.size_box.currentData()
        self.changed.emit()

    def _set_budget(self, value: int) -> None:
        self._store.values.frame_budget_ms = float(value)
        self._show_budget()
        self.changed.emit()

    def _show_budget(self) -> None:
        self.budget.setEnabled(self._store.values.steps == 0)
        self._budget_text.setText(f"{self._store.values.frame_budget_ms:.0f} ms")
