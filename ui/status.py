"""The line at the bottom: what the engine is doing, how much it remembers, where one is."""

from __future__ import annotations

from PyQt6.QtCore import QRectF, QSize, Qt, QTimer
from PyQt6.QtGui import QPainter, QPaintEvent
from PyQt6.QtWidgets import QHBoxLayout, QLabel, QWidget

from engine.camera import Camera
from engine.messages import ProgressInfo, Update, WorkerState
from ui import theme
from ui.bridge import EngineBridge
from ui.wording import sentence, thousands

PLACE_EVERY_MS = 120
"""Figures that change with every mouse move are read at leisure, and each change composes the whole window again."""

_WORDS = {
    WorkerState.WARMING: ("Waking the model", theme.IMAGINED),
    WorkerState.IDLE: ("At rest", theme.TEXT_FAINT),
    WorkerState.GENERATING: ("Imagining", theme.ACCENT),
    WorkerState.EXPORTING: ("Making a film", theme.IMAGINED),
    WorkerState.STOPPED: ("The engine has stopped", theme.ERROR),
}


class Dot(QWidget):
    """A coloured dot."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tint = theme.TEXT_FAINT

    def set_tint(self, tint: str) -> None:
        if tint != self._tint:
            self._tint = tint
            self.update()

    def sizeHint(self) -> QSize:
        return QSize(14, 14)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.color(self._tint))
        painter.drawEllipse(QRectF(self.width() / 2 - 3.5, self.height() / 2 - 3.5, 7, 7))


class StatusLine(QWidget):
    """Fed by the bridge."""

    def __init__(self, bridge: EngineBridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Status")
        self._bridge = bridge
        self._dot = Dot(self)
        self._state = QLabel(self)
        self._hint = QLabel(self)
        self._memory = QLabel(self)
        self._place = QLabel(self)
        self._speed = QLabel(self)
        for label in (self._state, self._hint, self._memory, self._place, self._speed):
            theme.set_role(label, "faint")
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 0, 12, 0)
        row.setSpacing(6)
        row.addWidget(self._dot)
        row.addWidget(self._state)
        row.addSpacing(18)
        row.addWidget(self._hint, 1)
        for label in (self._memory, self._place, self._speed):
            row.addSpacing(12)
            row.addWidget(label)
        bridge.updated.connect(self._take)
        self._place_later = QTimer(self)
        self._place_later.setSingleShot(True)
        self._place_later.setInterval(PLACE_EVERY_MS)
        self._place_later.timeout.connect(self._show_place)
        bridge.camera_changed.connect(self._camera_moved)
        bridge.state_changed.connect(lambda _state: self._show_state(bridge.progress))
        bridge.progress_changed.connect(self._show_state)
        self._show_state(bridge.progress)

    def set_hint(self, text: str) -> None:
        """One line about what the user can do now."""
        self._hint.setText(text)

    def set_speed(self, speed_mps: float) -> None:
        """Metres a second."""
        self._speed.setText(f"{speed_mps:.1f} m/s")

    def _show_state(self, progress: ProgressInfo | None) -> None:
        words, tint = _WORDS[self._bridge.state or WorkerState.WARMING]
        self._dot.set_tint(tint)
        self._state.setText(sentence(progress.text) if progress is not None else words)

    def _take(self, update: Update) -> None:
        stats = update.stats
        if stats is None and update.frame is not None:
            stats = update.frame.result.stats
        if stats is not None:
            self._memory.setText(f"{thousands(stats.tokens_living)} points · {stats.mib:.2f} MiB")

    def _camera_moved(self, _camera: Camera) -> None:
        if not self._place_later.isActive():
            self._place_later.start()

    def _show_place(self) -> None:
        camera = self._bridge.camera
        if camera is None:
            return
        x, y, z = camera.position
        self._place.setText(f"{x:.1f}  {y:.1f}  {z:.1f} m · {camera.yaw_deg % 360:.0f}°")
