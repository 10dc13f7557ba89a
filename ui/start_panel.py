"""The right-hand side of the start page: how to enter the chosen world, a picture of one's own, recent sessions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtGui import QDragEnterEvent, QDropEvent
from PyQt6.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from engine.messages import MemoryVariant, Notice, OpenImage, OpenSession
from ui import icons, theme
from ui.catalogue import GALLERY, MEMORIES, SEEDS, TIMES, GalleryWorld
from ui.settings import SettingsStore

IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
DEPTHS = (".npy", ".npz", ".exr", ".pfm", ".tif", ".tiff", ".png")
_WIDTH = 312
_MOST_RECENT = 4


def _label(text: str, role: str) -> QLabel:
    label = QLabel(text)
    theme.set_role(label, role)
    return label


def split_drop(paths: list[Path]) -> tuple[Path, Path | None] | None:
    """Which of one or two dropped files is the picture and which its depth; ``None`` when they are neither."""
    if len(paths) == 1 and paths[0].suffix.lower() in IMAGES:
        return paths[0], None
    if len(paths) != 2:
        return None
    first, second = paths
    for picture, depth in ((first, second), (second, first)):
        named = "depth" in depth.stem.lower() and "depth" not in picture.stem.lower()
        only = picture.suffix.lower() in IMAGES and depth.suffix.lower() in (".npy", ".npz", ".exr", ".pfm")
        if (named or only) and picture.suffix.lower() in IMAGES and depth.suffix.lower() in DEPTHS:
            return picture, depth
    return None


class StartPanel(QFrame):
    """Signals: changed() seed or time; enter_requested(); open_requested(command); noticed(Notice)."""

    changed = pyqtSignal()
    enter_requested = pyqtSignal()
    open_requested = pyqtSignal(object)
    noticed = pyqtSignal(object)

    def __init__(self, store: SettingsStore, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._store = store
        self._random = np.random.default_rng()
        theme.set_role(self, "card")
        self.setFixedWidth(_WIDTH)
        self._title = _label("", "title")
        self._line = _label("", "soft")
        self._line.setWordWrap(True)
        self.seed_box = QSpinBox()
        self.seed_box.setRange(0, 2**31 - 1)
        self.seed_box.setValue(store.values.seed)
        self.seed_box.setAccessibleName("Seed")
        self.seed_box.setKeyboardTracking(False)
        self.seed_box.setButtonSymbols(QSpinBox.ButtonSymbols.NoButtons)
        self.dice = QToolButton()
        self.dice.setIcon(icons.icon("dice"))
        self.dice.setToolTip("Another seed")
        self.dice.setAccessibleName("Throw the dice for another seed")
        self.time_box = QComboBox()
        self.time_box.setAccessibleName("Time of day")
        for key, text in TIMES:
            self.time_box.addItem(text, key)
        self.time_box.setCurrentIndex(max(0, self.time_box.findData(store.values.time)))
        self.memory_box = QComboBox()
        self.memory_box.setAccessibleName("Kind of memory")
        for variant, text, tip in MEMORIES:
            self.memory_box.addItem(text, variant)
            self.memory_box.setItemData(self.memory_box.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.memory_box.setCurrentIndex(max(0, self.memory_box.findData(store.values.memory)))
        self.view_button = QPushButton("A first view")
        self.nothing_button = QPushButton("Nothing")
        self.enter_button = QPushButton("Enter")
        theme.set_role(self.enter_button, "primary")
        self.enter_button.setStyleSheet("min-height: 28px;")
        self.enter_button.setDefault(True)
        self._recent = QVBoxLayout()
        self._build()
        self.dice.clicked.connect(self.throw)
        self.seed_box.valueChanged.connect(self.changed)
        self.time_box.currentIndexChanged.connect(self.changed)
        self.enter_button.clicked.connect(self.enter_requested)
        self.refresh_recent()

    def _build(self) -> None:
        starts = QButtonGroup(self)
        for button, tip in (
            (self.view_button, "Begin with the rendered first view of this world; everything after it is imagined."),
            (self.nothing_button, "Begin with an empty memory; even the first view is imagined, from the seed alone."),
        ):
            button.setCheckable(True)
            button.setToolTip(tip)
            button.setAccessibleName(f"Start from: {button.text()}")
            starts.addButton(button)
        (self.nothing_button if self._store.values.start == "nothing" else self.view_button).setChecked(True)
        seed_row = QHBoxLayout()
        seed_row.setSpacing(6)
        seed_row.addWidget(self.seed_box, 1)
        seed_row.addWidget(self.dice)
        start_row = QHBoxLayout()
        start_row.setSpacing(6)
        start_row.addWidget(self.view_button, 1)
        start_row.addWidget(self.nothing_button, 1)
        self._drop = QPushButton("Drop a picture, or choose one")
        self._drop.setIcon(icons.icon("image"))
        self._drop.setToolTip("A photograph or rendering; drop its depth map with it if you have one.")
        self._drop.setStyleSheet(
            f"QPushButton {{ border: 1px dashed {theme.LINE_STRONG}; background: transparent; min-height: 58px; }}"
        )
        self._drop.clicked.connect(self._choose_image)
        open_button = QPushButton("Open a session…")
        open_button.setIcon(icons.icon("folder"))
        theme.set_role(open_button, "quiet")
        open_button.clicked.connect(self._choose_session)
        column = QVBoxLayout(self)
        column.setContentsMargins(22, 20, 22, 16)
        column.setSpacing(8)
        column.addWidget(self._title)
        column.addWidget(self._line)
        column.addSpacing(10)
        column.addWidget(_label("Seed", "section"))
        column.addLayout(seed_row)
        column.addWidget(_label("Time of day", "section"))
        column.addWidget(self.time_box)
        column.addWidget(_label("Start from", "section"))
        column.addLayout(start_row)
        column.addWidget(_label("Memory", "section"))
        column.addWidget(self.memory_box)
        column.addSpacing(8)
        column.addWidget(self.enter_button)
        column.addSpacing(14)
        column.addWidget(self._drop)
        column.addStretch(1)
        column.addLayout(self._recent)
        column.addWidget(open_button, 0, Qt.AlignmentFlag.AlignLeft)

    @property
    def seed(self) -> int:
        return self.seed_box.value()

    @property
    def time(self) -> str:
        """Key of the time of day, "" for the seed's own."""
        return str(self.time_box.currentData())

    @property
    def memory(self) -> MemoryVariant:
        """Which memory the world is opened with."""
        return MEMORIES[self.memory_box.currentIndex()][0]

    @property
    def from_nothing(self) -> bool:
        """Begin with an empty memory."""
        return self.nothing_button.isChecked()

    def set_world(self, world: GalleryWorld) -> None:
        """The card that is chosen."""
        self._title.setText(world.title)
        self._line.setText(world.line)
        self.enter_button.setText(f"Enter {world.title.lower()}" if world.biome else "Go somewhere")

    def throw(self) -> None:
        """Another seed."""
        self.seed_box.setValue(int(self._random.integers(1, SEEDS)))

    def any_biome(self) -> str:
        """One of the gallery's, by chance."""
        return GALLERY[int(self._random.integers(len(GALLERY)))].biome

    def refresh_recent(self) -> None:
        """List the sessions that are still there."""
        while (item := self._recent.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        left_off = self._store.autosave if self._store.autosave is not None and self._store.autosave.exists() else None
        entries = [(left_off, "Where you left off")] if left_off is not None else []
        entries += [(path, path.stem) for path in self._store.values.recent_paths()[:_MOST_RECENT]]
        if entries:
            self._recent.addWidget(_label("Recent", "section"))
        for path, name in entries:
            button = QPushButton(name)
            button.setIcon(icons.icon("clock"))
            button.setToolTip(str(path))
            button.setAccessibleName(f"Open {name}")
            button.setStyleSheet("text-align: left;")
            theme.set_role(button, "quiet")
            button.clicked.connect(lambda _checked, path=path: self.open_requested.emit(OpenSession(path)))
            self._recent.addWidget(button)

    def _choose_image(self) -> None:
        pattern = " ".join(f"*{ending}" for ending in IMAGES)
        name, _ = QFileDialog.getOpenFileName(self, "A picture to enter", "", f"Pictures ({pattern});;All files (*)")
        if name:
            self.open_requested.emit(OpenImage(Path(name)))

    def _choose_session(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Open a session", "", "Mirage sessions (*.mirage);;All files (*)")
        if name:
            self.open_requested.emit(OpenSession(Path(name)))

    def drag_entered(self, event: object) -> None:
        """Files hover over the page."""
        if isinstance(event, QDragEnterEvent):
            data = event.mimeData()
            if data is not None and data.hasUrls():
                event.acceptProposedAction()
                self._drop.setText("Let go to enter it")

    def drag_left(self) -> None:
        """They went away again."""
        self._drop.setText("Drop a picture, or choose one")

    def dropped(self, event: object) -> None:
        """Files were let go over the page: a picture, a picture and its depth, or a session."""
        self.drag_left()
        data = event.mimeData() if isinstance(event, QDropEvent) else None
        if data is None:
            return
        self.open_files([Path(url.toLocalFile()) for url in data.urls() if url.isLocalFile()])

    def open_files(self, paths: list[Path]) -> None:
        """Open what was dropped, or say what would have been right."""
        if len(paths) == 1 and paths[0].suffix.lower() == ".mirage":
            self.open_requested.emit(OpenSession(paths[0]))
            return
        pair = split_drop(paths)
        if pair is None:
            text = (
                "Drop one picture, a picture with its depth map (a file with 'depth' in its name, or .npy), "
                "or a .mirage session."
            )
            self.noticed.emit(Notice("warning", "Mirage cannot enter that", text))
            return
        self.open_requested.emit(OpenImage(pair[0], pair[1]))
