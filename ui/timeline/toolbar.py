"""Transport, recording, keyframes, paths and plan: the timeline's row of controls."""

from __future__ import annotations

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtGui import QActionGroup
from PyQt6.QtWidgets import QFrame, QHBoxLayout, QLabel, QMenu, QPushButton, QSizePolicy, QToolButton, QWidget

from engine.messages import Record, Update, WorldInfo
from ui import icons, theme
from ui.buttons import tool_button
from ui.path_model import PathModel

PRESET_LENGTHS = (60, 120, 240, 480)


class TimelineToolbar(QWidget):
    """Buttons over a :class:`PathModel`.

    Signals:
        import_wanted(), export_wanted(): path files. film_wanted(): make a film of the path.
    """

    import_wanted = pyqtSignal()
    export_wanted = pyqtSignal()
    film_wanted = pyqtSignal()
    preset_wanted = pyqtSignal(str)

    def __init__(self, model: PathModel, presets: list[tuple[str, str]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = model
        self.world: WorldInfo | None = None
        self.preset_frames = PRESET_LENGTHS[1]
        layout = QHBoxLayout(self)
        layout.setContentsMargins(8, 4, 8, 4)
        layout.setSpacing(2)
        self.previous = tool_button("previous-key", "Previous keyframe (<)", lambda: model.jump(-1))
        self.back = tool_button("step-back", "One frame back (,)", lambda: model.step(-1))
        self.play = tool_button("play", "Play the path (Space)", self.toggle)
        self.forward = tool_button("step-forward", "One frame on (.)", lambda: model.step(1))
        self.next = tool_button("next-key", "Next keyframe (>)", lambda: model.jump(1))
        self.record = tool_button("record", "Record generated frames as a flight", self._record)
        self.record.setIcon(icons.icon("record", checked=theme.ERROR))
        self.record.setCheckable(True)
        self.recorded = QLabel()
        theme.set_role(self.recorded, "mono")
        self.add = tool_button("key-add", "Set a keyframe at the current view (Enter)", self.add_keyframe)
        self.presets = tool_button("fly", "A ready-made path from the current view", lambda: None)
        self.presets.setMenu(self._preset_menu(presets))
        self.presets.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.importer = tool_button("import", "Import a camera path…", self.import_wanted.emit)
        self.exporter = tool_button(
            "save", "Save the camera path in another program's format…", self.export_wanted.emit
        )
        self.clear = tool_button("trash", "Remove the path", model.clear)
        self.to_keys = tool_button("key", "Turn this fixed path into keyframes that can be edited", model.to_keyframes)
        self.plan = QPushButton("Plan")
        self.plan.setIcon(icons.icon("plan"))
        self.plan.setToolTip("Colour the path by how much of it is remembered and how much would be imagined")
        self.plan.clicked.connect(model.request_plan)
        self.film = QPushButton("Film…")
        self.film.setIcon(icons.icon("export"))
        self.film.setToolTip("Export a film of this path or of the recorded flight")
        self.film.clicked.connect(self.film_wanted)
        self.summary = QLabel()
        theme.set_role(self.summary, "soft")
        self.summary.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        for group in (
            (self.previous, self.back, self.play, self.forward, self.next),
            (self.record, self.recorded),
            (self.add, self.presets, self.importer, self.exporter, self.clear),
        ):
            for widget in group:
                layout.addWidget(widget)
            layout.addWidget(self._line())
        layout.addWidget(self.to_keys)
        layout.addSpacing(8)
        layout.addWidget(self.summary, 1)
        layout.addWidget(self.plan)
        layout.addSpacing(4)
        layout.addWidget(self.film)
        self._extent = ""
        model.changed.connect(self._measure)
        for signal in (model.planned, model.playing_changed, model.moved):
            signal.connect(self.refresh)
        model.bridge.updated.connect(self._take)
        self._measure()

    @staticmethod
    def _line() -> QFrame:
        line = QFrame()
        line.setFixedSize(1, 20)
        line.setStyleSheet(f"background: {theme.LINE};")
        return line

    def _preset_menu(self, presets: list[tuple[str, str]]) -> QMenu:
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        for name, about in presets:
            entry = menu.addAction(name.replace("-", " ").capitalize())
            assert entry is not None
            entry.setToolTip(about)
            entry.triggered.connect(lambda _=False, n=name: self.preset_wanted.emit(n))
        menu.addSeparator()
        lengths = menu.addMenu("Length")
        group = QActionGroup(menu)
        assert lengths is not None
        for frames in PRESET_LENGTHS:
            entry = lengths.addAction(f"{frames} frames")
            assert entry is not None
            entry.setCheckable(True)
            entry.setChecked(frames == self.preset_frames)
            group.addAction(entry)
            entry.triggered.connect(lambda _=False, n=frames: self._set_length(n))
        return menu

    def _set_length(self, frames: int) -> None:
        self.preset_frames = frames

    def toggle(self) -> None:
        """Play or pause."""
        if self.model.playing:
            self.model.pause()
        else:
            self.model.play()

    def add_keyframe(self) -> None:
        """Set a keyframe where the user is."""
        if self.model.bridge.camera is not None:
            self.model.add(self.model.bridge.camera)

    def _record(self) -> None:
        self.model.bridge.do(Record(self.record.isChecked()))

    def _take(self, update: Update) -> None:
        if update.world is not None:
            self.world = update.world
            self.record.setChecked(update.world.recording)
            self.recorded.setText(f"{update.world.recorded}" if update.world.recorded or update.world.recording else "")
            self.refresh()

    def refresh(self, *_: object) -> None:
        """Enable what can be done and say what there is."""
        model = self.model
        for widget in (
            self.previous,
            self.back,
            self.play,
            self.forward,
            self.next,
            self.exporter,
            self.clear,
            self.plan,
        ):
            widget.setEnabled(not model.empty)
        self.play.setEnabled(model.seconds > 0)
        self.film.setEnabled(not model.empty or bool(self.world and self.world.recorded))
        self.play.setIcon(icons.icon("pause" if model.playing else "play"))
        self.to_keys.setVisible(model.fixed is not None)
        self.plan.setEnabled(not model.empty and not model.planning)
        self.summary.setText(self._summary())

    def _measure(self) -> None:
        """Length of the path, only when it has changed: playing refreshes this row thirty times a second."""
        path = self.model.cameras()
        self._extent = "" if path is None else f"     {len(path)} frames, {path.length_m:.1f} m"
        self.refresh()

    def _summary(self) -> str:
        model = self.model
        if model.empty:
            return ""
        if model.planning:
            return "Planning…"
        return f"{model.playhead_s:.2f} / {model.seconds:.2f} s{self._extent}"
