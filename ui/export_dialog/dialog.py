"""The export dialog: a film of the path or of the recorded flight, made while the app stays usable."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PyQt6.QtCore import Qt, QTimer
from PyQt6.QtGui import QCloseEvent, QGuiApplication, QShowEvent
from PyQt6.QtWidgets import QDialog, QFileDialog, QHBoxLayout, QLabel, QPushButton, QSlider, QVBoxLayout, QWidget

from engine.errors import MirageError
from engine.messages import (
    CancelExport,
    Export,
    ExportFrame,
    ExportMesh,
    ExportPoints,
    ExportProgress,
    ExportStill,
    Failed,
    SaveSession,
    Update,
)
from engine.video import check_output
from ui import icons, theme
from ui.bridge import EngineBridge
from ui.compare.image_pane import ImagePane
from ui.compare.zoom import ZoomModel
from ui.export_dialog.command import fly_command, path_file_for, session_file_for, write_path_file
from ui.export_dialog.estimate import duration_text, frame_seconds
from ui.export_dialog.form import FilmForm
from ui.export_dialog.progress import FilmProgress
from ui.history import StepHistory
from ui.path_model import PathModel

STILL_DELAY_MS = 500
LAYOUT_WIDTHS = {"generated": (1, 0), "side-by-side": (3, 4), "with-memory": (2, 2)}
"""Film width as multiples of the frame's, plus pixels between the pictures."""


class ExportDialog(QDialog):
    """Non-modal; closing it hides it and lets a running film go on."""

    def __init__(self, bridge: EngineBridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.bridge = bridge
        self.model = PathModel.of(bridge)
        self.history = StepHistory.of(bridge)
        self.setWindowTitle("Export")
        self.setModal(False)
        self.form = FilmForm(self.model)
        self.progress = FilmProgress()
        self.film_id = 0
        self._still_asked: object = None
        self._still_timer = QTimer(self)
        self._still_timer.setSingleShot(True)
        self._still_timer.setInterval(STILL_DELAY_MS)
        self._still_timer.timeout.connect(self._ask_still)
        self._build()
        self.form.changed.connect(self._changed)
        self.progress.cancel_wanted.connect(lambda ident: bridge.do(CancelExport(ident)))
        bridge.updated.connect(self._take)
        if bridge.world is not None:
            self.form.set_world(bridge.world)
        if bridge.quality is not None:
            self.form.set_quality(bridge.quality)
        self._changed()

    # -------------------------------------------------------------------------------------------------- building

    def _build(self) -> None:
        title = QLabel("Export a film")
        theme.set_role(title, "title")
        self.preview = ImagePane(ZoomModel(self))
        self.preview.setAccessibleName("Still preview of the film")
        self.preview.setMinimumSize(360, 230)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName("Frame of the still preview")
        self.slider.setToolTip("Which frame the preview shows")
        self.slider.valueChanged.connect(lambda _: self._still_timer.start())
        self.frame_label = QLabel()
        theme.set_role(self.frame_label, "faint")
        scrub = QHBoxLayout()
        scrub.addWidget(self.slider, 1)
        scrub.addWidget(self.frame_label)
        left = QVBoxLayout()
        left.setSpacing(8)
        left.addWidget(self.preview, 1)
        left.addLayout(scrub)
        left.addWidget(_section("Other things to take home"))
        left.addLayout(self._others())
        self.summary = QLabel()
        self.summary.setWordWrap(True)
        theme.set_role(self.summary, "soft")
        self.problem = QLabel()
        self.problem.setWordWrap(True)
        self.problem.setStyleSheet(f"color: {theme.WARNING};")
        self.copy = QPushButton("Copy as command")
        self.copy.setIcon(icons.icon("copy"))
        self.copy.setToolTip(
            "Saves the world and the path beside the film, and copies a command that renders the same frames "
            "without a window"
        )
        self.copy.clicked.connect(self.copy_command)
        self.start = QPushButton("Make film")
        theme.set_role(self.start, "primary")
        self.start.setDefault(True)
        self.start.clicked.connect(self.start_film)
        buttons = QHBoxLayout()
        buttons.addWidget(self.copy)
        buttons.addStretch(1)
        buttons.addWidget(self.start)
        right = QVBoxLayout()
        right.setSpacing(12)
        right.addWidget(self.form)
        right.addWidget(self.summary)
        right.addWidget(self.problem)
        right.addStretch(1)
        right.addLayout(buttons)
        columns = QHBoxLayout()
        columns.setSpacing(24)
        columns.addLayout(left, 1)
        columns.addLayout(right, 0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(22, 18, 22, 20)
        layout.setSpacing(14)
        layout.addWidget(title)
        layout.addLayout(columns, 1)
        layout.addWidget(self.progress)
        self.resize(940, 560)

    def _others(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(6)
        for icon, text, tip, action in (
            ("image", "Frame", "The newest frame as a PNG", self.save_frame),
            ("memory", "Points", "The memory as a coloured point cloud, PLY", self.save_points),
            ("box", "Mesh", "A mesh fused from the generated frames and their depth, PLY or GLB", self.save_mesh),
        ):
            button = QPushButton(f"{text}…")
            button.setIcon(icons.icon(icon))
            button.setToolTip(tip)
            button.clicked.connect(action)
            row.addWidget(button, 1)
        return row

    # --------------------------------------------------------------------------------------------------- updates

    def _take(self, update: Update) -> None:
        if update.world is not None:
            self.form.set_world(update.world)
        if update.quality is not None:
            self.form.set_quality(update.quality)
        for progress in update.exports:
            if progress.id == self.film_id:
                self._progressed(progress)

    def _progressed(self, progress: ExportProgress) -> None:
        self.progress.show_progress(progress)
        if progress.thumbnail is not None and not progress.done:
            self.preview.labels = ("", "Being made")
            self.preview.set_second(progress.thumbnail)
        if progress.done:
            self.film_id = 0
            self.preview.labels = ("", "")
            if progress.frame:
                self.form.next_name()
            self._changed()

    def _changed(self) -> None:
        job, frames = self.form.job(), self.form.frames()
        self.slider.setRange(0, max(frames - 1, 0))
        self.slider.setEnabled(frames > 1)
        self.frame_label.setText(f"frame {self.slider.value() + 1} of {frames}" if frames else "")
        problem = self._problem(frames)
        self.problem.setText(problem)
        self.problem.setVisible(bool(problem))
        self.start.setEnabled(not problem and not self.film_id)
        self.copy.setEnabled(job.source == "path" and frames > 0)
        each = frame_seconds(self.history.steps, job)
        parts = [f"{frames} frames", f"{frames / job.fps:.1f} s of film"] if frames else []
        time = duration_text(each * frames)
        if frames and time:
            parts.append(f"about {time} to make")
        self.summary.setText(",  ".join(parts))
        if not frames:
            self.preview.placeholder = (
                "A film needs a path (keyframes or a preset in the timeline) or a recorded flight."
            )
        self._still_timer.start()

    def _problem(self, frames: int) -> str:
        if not frames:
            return "There is nothing to film yet."
        job = self.form.job()
        if not job.path.name:
            return "Give the film a file name."
        height, width = job.size or (self.form.world.size if self.form.world is not None else self.model.size)
        if job.layout == "generated" and self.form.world is not None:
            height, width = self.form.world.film_size((height, width))
        times, gap = LAYOUT_WIDTHS[job.layout]
        try:
            check_output(job.path, (height, width * times + gap), job.fps)
        except MirageError as error:
            return str(error)
        return ""

    def showEvent(self, event: QShowEvent | None) -> None:
        """Qt's hook."""
        super().showEvent(event)
        self._changed()

    def closeEvent(self, event: QCloseEvent | None) -> None:
        """Qt's hook: a film goes on, questions for previews end."""
        self._still_timer.stop()
        super().closeEvent(event)

    # ------------------------------------------------------------------------------------------------------ still

    def _ask_still(self) -> None:
        frames = self.form.frames()
        self.frame_label.setText(f"frame {self.slider.value() + 1} of {frames}" if frames else "")
        if not self.isVisible() or self.film_id or not frames:
            return
        asked = object()
        self._still_asked = asked
        self.preview.placeholder = "Rendering a still…"
        self.preview.update()
        job = self.form.job()
        self.bridge.do(ExportStill(job, self.slider.value()), lambda reply: self._show_still(asked, reply))

    def _show_still(self, asked: object, reply: np.ndarray | Failed) -> None:
        if asked is not self._still_asked or self.film_id:
            return
        if isinstance(reply, Failed):
            self.preview.set_second(None)
            self.preview.placeholder = reply.text
        else:
            self.preview.placeholder = ""
            self.preview.set_second(reply)

    # ---------------------------------------------------------------------------------------------------- actions

    def start_film(self) -> None:
        """Begin; the dialog shows how it goes."""
        job = self.form.job()
        if self.film_id or self._problem(self.form.frames()):
            return
        self._still_asked = None
        self.film_id = self.bridge.do(Export(job), self._ended)
        waiting = ExportProgress(self.film_id, job.path, 0, self.form.frames(), 0.0, float("nan"))
        self.progress.show_progress(waiting)
        self._changed()

    def _ended(self, reply: ExportProgress | Failed) -> None:
        if isinstance(reply, Failed):
            self.film_id = 0
            self.progress.hide()
            self._changed()
            self.problem.setText(reply.text)
            self.problem.show()
        elif reply.id == self.film_id:
            self._progressed(reply)

    def copy_command(self) -> None:
        """Save what the command needs, then put it on the clipboard."""
        job = self.form.job()
        job = replace(job, path=job.path.absolute())
        session = self.form.world.session if self.form.world is not None else None
        target = session if session is not None else session_file_for(job.path)
        try:
            path_file = write_path_file(job, path_file_for(job.path), self.model.spec)
        except MirageError as error:
            self.problem.setText(str(error))
            self.problem.show()
            return

        def saved(reply: Path | Failed) -> None:
            if isinstance(reply, Failed):
                self.problem.setText(reply.text)
                self.problem.show()
                return
            clipboard = QGuiApplication.clipboard()
            assert clipboard is not None
            clipboard.setText(fly_command(job, Path(reply), path_file))
            self.copy.setText("Copied")
            QTimer.singleShot(1600, self._uncopied)

        self.bridge.do(SaveSession(target), saved)

    def _uncopied(self) -> None:
        self.copy.setText("Copy as command")

    def save_frame(self) -> None:
        """The newest frame as a PNG."""
        self._save_as("Save the frame", "mirage-frame.png", "png", lambda path: ExportFrame(path))

    def save_points(self) -> None:
        """The memory as a point cloud."""
        self._save_as("Save the memory's points", "mirage-points.ply", "ply", lambda path: ExportPoints(path))

    def save_mesh(self) -> None:
        """The generated frames fused to a mesh."""
        self._save_as("Save a mesh (.ply or .glb)", "mirage-mesh.glb", "glb", lambda path: ExportMesh(path))

    def _save_as(self, title: str, name: str, suffix: str, command) -> QFileDialog:  # type: ignore[no-untyped-def]
        dialog = QFileDialog(self, title, str(self.form.job().path.parent))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix(suffix)
        dialog.selectFile(name)
        dialog.fileSelected.connect(lambda chosen: self.bridge.do(command(Path(chosen))))
        dialog.open()
        return dialog


def _section(text: str) -> QLabel:
    label = QLabel(text)
    theme.set_role(label, "section")
    return label
