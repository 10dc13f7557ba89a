"""The timeline: filmstrip, keyframe track and world tree under one row of controls."""

from __future__ import annotations

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtGui import QResizeEvent
from PyQt6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from engine.camera_path import CameraPath
from engine.messages import Checkout, Failed, Notice, ResolvePath, StepSummary, TreeUpdate, Update
from engine.path import describe_presets
from ui import theme
from ui.bridge import EngineBridge
from ui.history import StepHistory
from ui.path_model import PathModel
from ui.timeline.filmstrip import Filmstrip
from ui.timeline.key_editor import KeyframeEditor
from ui.timeline.path_files import PathFiles
from ui.timeline.toolbar import TimelineToolbar
from ui.timeline.track import KeyframeTrack
from ui.timeline.tree_layout import ancestors
from ui.timeline.tree_view import WorldTreePanel

TREE_SHARE = 0.24
TREE_WIDTH_PX = (210, 420)


class Timeline(QWidget):
    """What was flown, what will be flown, and every branch of both.

    Signals:
        compare_requested(int): show that tree node's branch in the second view. film_requested(): open the export
            dialog.
        noticed(Notice): something to tell the user.

    Slots for key bindings: :meth:`toggle_play`, :meth:`step`, :meth:`jump`, :meth:`add_keyframe`.
    """

    compare_requested = pyqtSignal(int)
    film_requested = pyqtSignal()
    noticed = pyqtSignal(object)

    def __init__(self, bridge: EngineBridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.bridge = bridge
        self.history = StepHistory.of(bridge)
        self.model = PathModel.of(bridge)
        self.setProperty("role", "panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.toolbar = TimelineToolbar(self.model, [(name, about) for name, _, about in describe_presets()])
        self.filmstrip = Filmstrip(self.history)
        self.track = KeyframeTrack(self.model)
        self.tree = WorldTreePanel(bridge)
        self.files = PathFiles(self.model, self)
        self.editor = KeyframeEditor(self.model, self)
        self.model.selected.connect(self._place_editor)
        self.model.changed.connect(self._place_editor)
        left = QVBoxLayout()
        left.setContentsMargins(0, 0, 0, 0)
        left.setSpacing(0)
        left.addWidget(self.toolbar)
        left.addWidget(self.filmstrip, 1)
        left.addWidget(self.track)
        line = QFrame()
        line.setFixedWidth(1)
        line.setStyleSheet(f"background: {theme.LINE};")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(left, 1)
        layout.addWidget(line)
        layout.addWidget(self.tree)
        self.filmstrip.step_chosen.connect(self.go_back)
        self.tree.compare_wanted.connect(self.compare_requested)
        self.toolbar.preset_wanted.connect(self.apply_preset)
        self.toolbar.import_wanted.connect(self.files.ask_import)
        self.toolbar.export_wanted.connect(self.files.ask_export)
        self.toolbar.film_wanted.connect(self.film_requested)
        self.files.noticed.connect(self.noticed)
        self._tree: TreeUpdate | None = bridge.tree
        bridge.updated.connect(self._take)

    def _place_editor(self, *_: object) -> None:
        """Over the selected keyframe, inside the timeline."""
        index = self.model.selection
        if index < 0:
            return
        self.editor.adjustSize()
        x = self.track.x() + self.track.x_of(float(self.model.times_s[index])) - self.editor.width() / 2
        right = self.tree.x() - self.editor.width() - 8
        self.editor.move(round(min(max(x, 8.0), max(right, 8))), self.track.y() - self.editor.height() + 4)
        self.editor.raise_()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Qt's hook."""
        super().resizeEvent(event)
        self.tree.setFixedWidth(round(min(max(TREE_SHARE * self.width(), TREE_WIDTH_PX[0]), TREE_WIDTH_PX[1])))
        self._place_editor()

    def toggle_play(self) -> None:
        """Play or pause the path."""
        self.toolbar.toggle()

    def step(self, frames: int) -> None:
        """Frames forward (or back) along the path."""
        if not self.model.empty:
            self.model.step(frames)

    def jump(self, direction: int) -> None:
        """To the next (+1) or previous (-1) keyframe."""
        if not self.model.empty:
            self.model.jump(direction)

    def add_keyframe(self) -> None:
        """Set a keyframe at the current view."""
        self.toolbar.add_keyframe()

    def go_back(self, step: StepSummary) -> None:
        """Stand again where a frame was generated, with the memory of that moment."""
        self.model.pause()
        self.bridge.do(Checkout(step.node, step.index))
        self.bridge.place(step.camera)

    def apply_preset(self, name: str) -> None:
        """A ready-made path from the current view."""
        start = self.bridge.camera
        if start is None and self.bridge.frame is not None:
            start = self.bridge.frame.result.camera
        if start is None:
            self.noticed.emit(Notice("info", "No view yet", "Open a world first; a path starts at the current view."))
            return
        title = name.replace("-", " ").capitalize()

        def arrived(reply: CameraPath | Failed) -> None:
            if isinstance(reply, CameraPath):
                self.model.set_fixed(reply, title)

        self.bridge.do(ResolvePath(name, start, self.toolbar.preset_frames, self.model.fps), arrived)

    def _take(self, update: Update) -> None:
        if update.frame is not None:
            self.filmstrip.set_current(update.frame.result.index)
        if update.tree is not None:
            self._tree = update.tree
            self.filmstrip.set_alive(ancestors(update.tree, update.tree.current))
