"""What is going on, when it takes long: a few words and a thin bar over the view."""

from __future__ import annotations

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import QFrame, QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from engine.messages import ProgressInfo
from ui import theme
from ui.wording import sentence


class ProgressCard(QFrame):
    """Shown while the engine reports progress.

    Signals:
        cancelled(): the user asked to stop.
    """

    cancelled = pyqtSignal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("progressCard")
        self.setStyleSheet(
            f"#progressCard {{ background: {theme.PANEL}; border: 1px solid {theme.LINE_STRONG};"
            " border-radius: 12px; }"
        )
        self._text = QLabel(self)
        self._share = QLabel(self)
        theme.set_role(self._share, "mono")
        self._bar = QProgressBar(self)
        self._bar.setTextVisible(False)
        self._bar.setAccessibleName("Progress")
        self._stop = QPushButton("Stop", self)
        theme.set_role(self._stop, "quiet")
        self._stop.setAccessibleName("Stop what is running")
        self._stop.clicked.connect(self.cancelled)
        head = QHBoxLayout()
        head.addWidget(self._text, 1)
        head.addWidget(self._share)
        head.addWidget(self._stop)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 12, 14, 18)
        column.setSpacing(8)
        column.addLayout(head)
        column.addWidget(self._bar)
        self.setFixedWidth(380)
        self.hide()

    def set_stoppable(self, on: bool) -> None:
        """Whether there is a button to stop; loading the model has none."""
        self._stop.setVisible(on)

    def show_progress(self, progress: ProgressInfo | None) -> None:
        """Say how far it is; ``None``: done."""
        if progress is None:
            self.hide()
            return
        self._text.setText(sentence(progress.text))
        known = progress.fraction >= 0.0
        self._bar.setRange(0, 1000 if known else 0)
        if known:
            self._bar.setValue(round(1000 * min(progress.fraction, 1.0)))
        self._share.setText(f"{100 * min(progress.fraction, 1.0):.0f} %" if known else "")
        self.setAccessibleName(f"{self._text.text()} {self._share.text()}")
        self.adjustSize()
        self.show()
        self.raise_()

    def place(self, area_width: int, area_height: int) -> None:
        """Stand in the middle, a little low."""
        self.move((area_width - self.width()) // 2, round(0.62 * area_height) - self.height() // 2)
