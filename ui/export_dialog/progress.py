"""A film being made: its newest frame, how far it is, how long it will take, and a way to stop."""

from __future__ import annotations

from PyQt6.QtCore import Qt, QUrl, pyqtSignal
from PyQt6.QtGui import QDesktopServices
from PyQt6.QtWidgets import QFrame, QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from engine.messages import ExportProgress
from ui import theme
from ui.export_dialog.estimate import duration_text


class FilmProgress(QFrame):
    """Shown while a film is made and after it.

    Signals:
        cancel_wanted(int): stop this film, keep what is there.
    """

    cancel_wanted = pyqtSignal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "card")
        self.progress: ExportProgress | None = None
        self.title = QLabel()
        self.detail = QLabel()
        theme.set_role(self.detail, "soft")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Film progress")
        self.cancel = QPushButton("Stop and keep")
        self.cancel.setToolTip("Stop here; the film so far is kept and plays")
        self.cancel.clicked.connect(self._cancel)
        self.show_folder = QPushButton("Show folder")
        self.show_folder.clicked.connect(self._show_folder)
        text = QVBoxLayout()
        text.setSpacing(5)
        text.addWidget(self.title)
        text.addWidget(self.bar)
        text.addWidget(self.detail)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(14, 10, 12, 10)
        layout.setSpacing(14)
        layout.addLayout(text, 1)
        layout.addWidget(self.cancel, alignment=Qt.AlignmentFlag.AlignVCenter)
        layout.addWidget(self.show_folder, alignment=Qt.AlignmentFlag.AlignVCenter)
        self.hide()

    def show_progress(self, progress: ExportProgress) -> None:
        """The engine's newest word on the film."""
        self.progress = progress
        self.bar.setRange(0, max(progress.frames, 1))
        self.bar.setValue(progress.frame)
        self.cancel.setVisible(not progress.done)
        self.cancel.setEnabled(True)
        self.show_folder.setVisible(progress.done and progress.frame > 0)
        self.bar.setVisible(not progress.done)
        if progress.done:
            self._show_end(progress)
        else:
            self.title.setText(f"Making {progress.path.name}")
            left = duration_text(progress.time_left_s)
            parts = [f"frame {progress.frame} of {progress.frames}", f"{progress.frames_per_s:.1f} frames/s"]
            self.detail.setText(",  ".join([*parts, f"{left} left"] if left else parts))
        self.show()

    def _show_end(self, progress: ExportProgress) -> None:
        if progress.frame == 0:
            self.title.setText("Stopped before the first frame")
            self.detail.setText("Nothing was written.")
        elif progress.cancelled:
            self.title.setText(f"Stopped: {progress.path.name} holds the first {progress.frame} frames")
            self.detail.setText(str(progress.path))
        else:
            self.title.setText(f"{progress.path.name} is ready")
            self.detail.setText(f"{progress.frame} frames,  {progress.path.parent}")

    def _cancel(self) -> None:
        if self.progress is not None:
            self.cancel.setEnabled(False)
            self.detail.setText("Stopping after this frame…")
            self.cancel_wanted.emit(self.progress.id)

    def _show_folder(self) -> None:
        if self.progress is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.progress.path.parent)))
