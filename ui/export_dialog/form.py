"""The settings of a film."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from PyQt6.QtCore import QSize, QStandardPaths, Qt, pyqtSignal
from PyQt6.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QToolButton,
    QWidget,
)

from engine.messages import ExportJob, Layout, QualityInfo, WorldInfo
from ui import icons
from ui.path_model import PathModel

KINDS: dict[str, tuple[str, str]] = {
    ".mp4": ("MP4, H.264", "plays everywhere"),
    ".webm": ("WebM, VP9", "for the web, smaller"),
    ".gif": ("GIF", "256 colours, short films"),
    "": ("PNG folder", "every frame, lossless"),
}
SIZES: tuple[tuple[int, int], ...] = ((128, 224), (192, 336), (256, 448), (320, 560), (384, 672), (512, 896))
LAYOUT_NAMES: dict[Layout, tuple[str, str]] = {
    "generated": ("Generated", "image"),
    "side-by-side": ("Side by side", "compare"),
    "with-memory": ("With memory", "memory"),
}
DEFAULT_STEPS = 4
MAX_STEPS = 64


def default_folder() -> Path:
    """Where films go unless the user says otherwise."""
    found = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.MoviesLocation)
    folder = Path(found) if found else Path.home()
    return folder if folder.is_dir() else Path.home()


class FpsSpinBox(QDoubleSpinBox):
    """Shows 24 as 24 and 23.976 as 23.976."""

    def textFromValue(self, value: float) -> str:
        """Qt's hook."""
        return f"{value:g}"


class FilmForm(QWidget):
    """Edits everything an :class:`ExportJob` needs.

    Signals:
        changed(): any setting.
    """

    changed = pyqtSignal()

    def __init__(self, model: PathModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = model
        self.world: WorldInfo | None = None
        self._named = False
        self.source = QComboBox()
        self.source.addItem("The camera path", "path")
        self.source.addItem("The recorded flight", "recorded")
        self.kind = QComboBox()
        for suffix, (name, about) in KINDS.items():
            self.kind.addItem(name, suffix)
            self.kind.setItemData(self.kind.count() - 1, about, Qt.ItemDataRole.ToolTipRole)
        self.layout_buttons: dict[Layout, QToolButton] = {}
        self.size_box = QComboBox()
        self.fps = FpsSpinBox()
        self.fps.setRange(0.1, 1000.0)
        self.fps.setDecimals(3)
        self.fps.setValue(model.fps)
        self.fps.setKeyboardTracking(False)
        self.steps = QSpinBox()
        self.steps.setRange(1, MAX_STEPS)
        self.steps.setValue(DEFAULT_STEPS)
        self.steps.setToolTip("Denoising steps of a frame in which something is new: more take time")
        self._steps_touched = False
        self.path = QLineEdit()
        self.path.setMinimumWidth(240)
        browse = QPushButton()
        browse.setIcon(icons.icon("folder"))
        browse.setIconSize(QSize(16, 16))
        browse.setToolTip("Choose where the film goes")
        browse.setAccessibleName("Choose where the film goes")
        browse.clicked.connect(lambda: self.browse())
        self.branch = QLineEdit()
        self.branch.setPlaceholderText("leave empty to keep the world as it is")
        self.branch.setToolTip(
            "Remember what the film's flight discovers, on a branch of the world tree with this name"
        )
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setHorizontalSpacing(14)
        form.setVerticalSpacing(9)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        file_row = QHBoxLayout()
        file_row.setSpacing(6)
        file_row.addWidget(self.path, 1)
        file_row.addWidget(browse)
        form.addRow("Film of", self.source)
        form.addRow("Layout", self._layouts())
        form.addRow("Generated at", self.size_box)
        form.addRow("Frames a second", self.fps)
        form.addRow("Denoising steps", self.steps)
        form.addRow("Format", self.kind)
        form.addRow("File", file_row)
        form.addRow("Keep as branch", self.branch)
        for widget, name in (
            (self.source, "What to film"),
            (self.size_box, "Size of the generated frames"),
            (self.fps, "Frames a second"),
            (self.steps, "Denoising steps a frame"),
            (self.kind, "Film format"),
            (self.path, "Film file"),
            (self.branch, "Name of the branch that keeps what the film discovers"),
        ):
            widget.setAccessibleName(name)
        self._fill_sizes(model.size)
        self.source.currentIndexChanged.connect(lambda _: self._source_changed())
        self.kind.currentIndexChanged.connect(lambda _: self._kind_changed())
        self.size_box.currentIndexChanged.connect(lambda _: self.changed.emit())
        self.fps.valueChanged.connect(self._fps_changed)
        self.steps.valueChanged.connect(lambda _: self._steps_edited())
        self.path.textEdited.connect(lambda _: self._path_edited())
        self.branch.textChanged.connect(lambda _: self.changed.emit())
        model.changed.connect(self._path_changed)
        self._suggest()
        self._source_changed()

    def _layouts(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(6)
        group = QButtonGroup(self)
        for layout, (name, icon) in LAYOUT_NAMES.items():
            button = QToolButton()
            button.setText(name)
            button.setIcon(icons.icon(icon))
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
            button.setCheckable(True)
            button.setAccessibleName(f"Layout: {name}")
            button.clicked.connect(lambda: self.changed.emit())
            group.addButton(button)
            row.addWidget(button, 1)
            self.layout_buttons[layout] = button
        self.layout_buttons["generated"].setChecked(True)
        return row

    # ---------------------------------------------------------------------------------------------------- reading

    def job(self) -> ExportJob:
        """The film as set; its cameras are () without a path."""
        recorded = self.source.currentData() == "recorded"
        size = cast("tuple[int, int]", self.size_box.currentData())
        path = self.model.cameras()
        cameras = () if recorded or path is None else path.fitted(size[1], size[0]).cameras
        layout = next(name for name, button in self.layout_buttons.items() if button.isChecked())
        return ExportJob(
            path=Path(self.path.text().strip()).expanduser(),
            source="recorded" if recorded else "path",
            cameras=cameras,
            fps=self.fps.value(),
            size=None if recorded else size,
            steps=None if recorded else self.steps.value(),
            layout=layout,
            branch="" if recorded else self.branch.text().strip(),
        )

    def frames(self) -> int:
        """Frames of the film."""
        if self.source.currentData() == "recorded":
            return self.world.recorded if self.world is not None else 0
        path = self.model.cameras()
        return 0 if path is None else len(path)

    # ---------------------------------------------------------------------------------------------------- changes

    def set_world(self, world: WorldInfo) -> None:
        """Another world, or another state of it."""
        before, self.world = self.world, world
        if before is None or (before.size, before.fine_scale) != (world.size, world.fine_scale):
            self._fill_sizes(world.size)
        if before is None or before.epoch != world.epoch:
            self._suggest()
        self._offer_sources()

    def set_quality(self, quality: QualityInfo) -> None:
        """Suggest the steps that a still view gets."""
        if not self._steps_touched:
            self.steps.blockSignals(True)
            self.steps.setValue(quality.steps_still)
            self.steps.blockSignals(False)
            self.changed.emit()

    def _offer_sources(self) -> None:
        """Choose what there is to film, if only one of the two is there."""
        recorded = self.world is not None and self.world.recorded > 0
        if self.model.empty and recorded:
            self.source.setCurrentIndex(self.source.findData("recorded"))
        elif not recorded:
            self.source.setCurrentIndex(self.source.findData("path"))
        self.changed.emit()

    def _fill_sizes(self, current: tuple[int, int]) -> None:
        chosen = self.size_box.currentData()
        chosen = chosen if chosen in SIZES else current
        self.size_box.blockSignals(True)
        self.size_box.clear()
        for size in sorted({*SIZES, current}):
            text = f"{size[1]} x {size[0]}"
            if self.world is not None and self.world.fine_scale > 1:
                height, width = self.world.film_size(size)
                text += f", drawn at {width} x {height}"
            text += "  (as now)" if size == current else ""
            self.size_box.addItem(text, size)
        offered = [self.size_box.itemData(row) for row in range(self.size_box.count())]
        self.size_box.setCurrentIndex(offered.index(chosen))
        self.size_box.blockSignals(False)

    def _source_changed(self) -> None:
        path = self.source.currentData() == "path"
        for widget in (self.size_box, self.steps, self.branch):
            widget.setEnabled(path)
        self.changed.emit()

    def _path_changed(self) -> None:
        self.fps.blockSignals(True)
        self.fps.setValue(self.model.fps)
        self.fps.blockSignals(False)
        self._offer_sources()

    def _fps_changed(self, fps: float) -> None:
        if self.source.currentData() == "path":
            self.model.set_fps(fps)
        self.changed.emit()

    def _steps_edited(self) -> None:
        self._steps_touched = True
        self.changed.emit()

    def _path_edited(self) -> None:
        self._named = True
        suffix = Path(self.path.text()).suffix.lower()
        if suffix in KINDS:
            self.kind.blockSignals(True)
            self.kind.setCurrentIndex(self.kind.findData(suffix))
            self.kind.blockSignals(False)
        self.changed.emit()

    def _kind_changed(self) -> None:
        path = Path(self.path.text())
        suffix = str(self.kind.currentData())
        if path.name:
            self.path.setText(str(path.with_suffix(suffix)))
        self.changed.emit()

    def _suggest(self) -> None:
        if self._named:
            return
        name = "mirage" if self.world is None else f"mirage-{self.world.biome or 'world'}-{self.world.seed}"
        folder, suffix = default_folder(), str(self.kind.currentData())
        path, number = folder / f"{name}{suffix}", 2
        while path.exists():
            path, number = folder / f"{name}-{number}{suffix}", number + 1
        self.path.setText(str(path))

    def next_name(self) -> None:
        """After a film: another name, so that the next one does not replace it."""
        path = Path(self.path.text())
        stem, number = path.stem, 2
        head, _, tail = stem.rpartition("-")
        if head and tail.isdigit() and int(tail) < 1000 and self._named:
            stem, number = head, int(tail) + 1
        while path.exists():
            path, number = path.with_name(f"{stem}-{number}{path.suffix}"), number + 1
        self.path.setText(str(path))
        self.changed.emit()

    def browse(self) -> QFileDialog:
        """Choose the file in a dialog."""
        suffix = str(self.kind.currentData())
        dialog = QFileDialog(self, "Where the film goes", str(Path(self.path.text()).parent))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.selectFile(Path(self.path.text()).name)
        if suffix:
            dialog.setDefaultSuffix(suffix[1:])
        dialog.fileSelected.connect(self._browsed)
        dialog.open()
        return dialog

    def _browsed(self, name: str) -> None:
        self.path.setText(name)
        self._path_edited()
