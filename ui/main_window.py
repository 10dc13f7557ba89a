"""The window: the live view in the middle, everything that explains it around."""

from __future__ import annotations

import base64
import logging
from dataclasses import replace

from PyQt6.QtCore import QByteArray, QEvent, QObject, Qt, QTimer, pyqtSignal
from PyQt6.QtGui import QAction, QCloseEvent
from PyQt6.QtWidgets import (
    QApplication,
    QDockWidget,
    QMainWindow,
    QStackedWidget,
)

from engine.messages import Command, FrameUpdate, Notice, ProgressInfo, TreeUpdate, Update, WorkerState, WorldInfo
from ui import icons, theme
from ui.bridge import EngineBridge
from ui.catalogue import gallery_world
from ui.compare import CompareView
from ui.dock_title import DockTitle
from ui.header import Header
from ui.help_overlay import HelpOverlay
from ui.input.bindings import KeyMap
from ui.input.flying import FlyKeys
from ui.input.looking import LookMouse
from ui.input.pilot import SOFTWARE_TICK_MS, TICK_MS, Pilot
from ui.live_stage import LiveStage
from ui.memory_panel import MemoryPanel
from ui.message_bar import MessageArea
from ui.pace import SOFTWARE_PACE_S, WindowPace
from ui.quality import QualityPanel, quality_command, summary
from ui.settings import SettingsStore
from ui.start_page import StartPage
from ui.status import StatusLine
from ui.thumbnails import Thumbnails
from ui.timeline import Timeline
from ui.window_actions import WindowActions
from ui.window_commands import WindowCommands

log = logging.getLogger(__name__)
_LAYOUT_VERSION = 2
_ASPECT = 448 / 256
_SAVE_LATER_MS = 800


class MainWindow(QMainWindow):
    """Puts the parts together and keeps the settings.

    Args:
        bridge: the engine; it may still be warming up.
        store: the settings, saved when they change and at the end.
        thumbnails: pictures for the gallery.

    Signals:
        closing(): the user closes the window.
    """

    closing = pyqtSignal()

    def __init__(self, bridge: EngineBridge, store: SettingsStore, thumbnails: Thumbnails) -> None:
        super().__init__()
        self.bridge = bridge
        self.store = store
        self.thumbnails = thumbnails
        self.keymap = KeyMap(store.values.keys)
        self.setWindowTitle("Mirage")
        self.setWindowIcon(icons.app_icon())
        self.setMinimumSize(960, 600)
        self.resize(1280, 800)
        self.setDockOptions(QMainWindow.DockOption.AnimatedDocks | QMainWindow.DockOption.AllowNestedDocks)
        self.stage = LiveStage(bridge)
        self.start_page = StartPage(bridge, store, thumbnails)
        self.pages = QStackedWidget()
        self.pages.addWidget(self.start_page)
        self.pages.addWidget(self.stage)
        self.setCentralWidget(self.pages)
        self.docks: dict[str, QDockWidget] = {}
        self.compare = CompareView(bridge)
        self.memory = MemoryPanel(bridge)
        self.timeline = Timeline(bridge)
        self._add_docks()
        self.status = StatusLine(bridge)
        bar = self.statusBar()
        assert bar is not None
        bar.setSizeGripEnabled(False)
        bar.addWidget(self.status, 1)
        self.messages = MessageArea(self)
        self.help = HelpOverlay(self.keymap, self)
        self.keys = FlyKeys(self, self.stage.view, self.keymap)
        self.mouse = LookMouse(self.stage.view)
        self.pilot = Pilot(bridge, self.keys, self.mouse, self)
        self.commands = WindowCommands(self)
        self.actions_ = WindowActions(self, self.commands.slots())
        self.quality = QualityPanel(bridge, store)
        self._add_header()
        self._save_later = QTimer(self)
        self._save_later.setSingleShot(True)
        self._save_later.setInterval(_SAVE_LATER_MS)
        self._save_later.timeout.connect(store.save)
        self._epoch = -1
        self._asked_quality = False
        self._layout_kept = QByteArray()
        self._sizes_itself = True
        self._connect()
        self._use_settings()
        self.pace = WindowPace(self)
        self.installEventFilter(self)
        self.show_start()

    # ------------------------------------------------------------------------------------------------ building

    def _add_docks(self) -> None:
        self.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)
        self.setCorner(Qt.Corner.TopRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)
        right, bottom = Qt.DockWidgetArea.RightDockWidgetArea, Qt.DockWidgetArea.BottomDockWidgetArea
        for name, title, icon, widget, area in (
            ("compare", "What the memory knew", "compare", self.compare, right),
            ("memory", "Memory", "memory", self.memory, right),
            ("timeline", "Timeline", "timeline", self.timeline, bottom),
        ):
            dock = QDockWidget(title, self)
            dock.setObjectName(name)
            dock.setWidget(widget)
            dock.setTitleBarWidget(DockTitle(dock, icon))
            self.addDockWidget(area, dock)
            self.docks[name] = dock

    def arrange_panels(self) -> None:
        """Sizes that suit the window: the live view keeps most of it, in the shape of its frames."""
        for name, area in (
            ("compare", Qt.DockWidgetArea.RightDockWidgetArea),
            ("memory", Qt.DockWidgetArea.RightDockWidgetArea),
            ("timeline", Qt.DockWidgetArea.BottomDockWidgetArea),
        ):
            dock = self.docks[name]
            dock.setFloating(False)
            self.addDockWidget(area, dock)
            dock.show()
        self._sizes_itself = True
        self._size_docks()

    def _size_docks(self) -> None:
        central = self.pages.height() + self.docks["timeline"].height()
        width, height = self.width(), max(central, self.height() - 80)
        frame = self.bridge.camera
        aspect = frame.width / frame.height if frame is not None else _ASPECT
        bottom = min(max(0.24 * height, 190), 360)
        side = round(min(max(width - (height - bottom) * aspect, 0.3 * width), 0.37 * width))
        bottom = round(min(max(height - (width - side) / aspect, 180), 400))
        upper = round(min(0.46 * height, side / aspect + 108))
        self.resizeDocks([self.docks["compare"], self.docks["memory"]], [side, side], Qt.Orientation.Horizontal)
        self.resizeDocks(
            [self.docks["compare"], self.docks["memory"]], [upper, height - upper], Qt.Orientation.Vertical
        )
        self.resizeDocks([self.docks["timeline"]], [bottom], Qt.Orientation.Vertical)

    def _add_header(self) -> None:
        panels: list[QAction] = []
        for dock in self.docks.values():
            action = dock.toggleViewAction()
            assert action is not None
            panels.append(action)
        self.header = Header(self.actions_, panels, self.quality, self)
        self.header.home_requested.connect(self.show_start)
        self.setMenuWidget(self.header)

    def _connect(self) -> None:
        bridge, view = self.bridge, self.stage.view
        bridge.world_changed.connect(self._world_changed)
        bridge.frame_arrived.connect(self._show_frame)
        bridge.camera_changed.connect(view.set_camera)
        bridge.updated.connect(self._take)
        bridge.noticed.connect(self.messages.show_notice)
        bridge.progress_changed.connect(self._show_progress)
        bridge.state_changed.connect(self._state_changed)
        self.start_page.open_requested.connect(self.open_world)
        self.start_page.noticed.connect(self.messages.show_notice)
        self.timeline.noticed.connect(self.messages.show_notice)
        self.timeline.film_requested.connect(self.commands.export)
        self.timeline.compare_requested.connect(self._compare_branch)
        self.stage.progress.cancelled.connect(bridge.cancel)
        self.keys.acted.connect(self.commands.act)
        self.pilot.speed_changed.connect(self._keep_speed)
        self.mouse.captured_changed.connect(self._show_hint)
        self.help.rebound.connect(self._keep_keys)
        self.quality.changed.connect(self._ask_quality)
        view.drawn.connect(self._first_paint)

    def _use_settings(self) -> None:
        values = self.store.values
        self.pilot.set_speed(values.speed_mps)
        self.status.set_speed(self.pilot.speed_m_s)
        self.pilot.settings = replace(
            self.pilot.settings, look_deg_per_px=values.look_degrees_per_px, invert_y=values.invert_look
        )
        self.mouse.click_captures = values.click_captures
        self.actions_.set_checked("invert", values.invert_look)
        self.actions_.set_checked("captures", values.click_captures)
        self.actions_.set_checked("hud", values.show_hud)
        self.stage.hud.setVisible(values.show_hud)
        self.header.quality_button.setText(summary(None, values.steps))
        self._size_docks()
        if values.geometry:
            self.restoreGeometry(QByteArray(base64.b64decode(values.geometry)))
        if values.layout:
            self._layout_kept = QByteArray(base64.b64decode(values.layout))

    # --------------------------------------------------------------------------------------------------- pages

    @property
    def in_world(self) -> bool:
        """Whether the live view is on screen."""
        return self.pages.currentWidget() is self.stage

    def show_start(self) -> None:
        """Back to the gallery; the open world stays open behind it."""
        if self.in_world:
            self._keep_layout()
        self.keys.set_enabled(False)
        self.mouse.release()
        self.pages.setCurrentWidget(self.start_page)
        for dock in self.docks.values():
            dock.hide()
        self.status.set_hint("")
        self.start_page.activate(True)
        self.actions_.set_world_open(False)

    def show_world(self) -> None:
        """The live view and its panels."""
        if self.in_world:
            return
        self.start_page.activate(False)
        self.thumbnails.stop()
        self.pages.setCurrentWidget(self.stage)
        for dock in self.docks.values():
            dock.show()
        if not self._layout_kept.isEmpty():
            self._sizes_itself = not self.restoreState(self._layout_kept, _LAYOUT_VERSION)
        if self._sizes_itself:
            self._size_docks()
            QTimer.singleShot(0, self._size_docks)  # again, once the shown panels have their places
        self.keys.set_enabled(True)
        self.actions_.set_world_open(True)
        self._show_tree(self.bridge.tree)
        self.stage.view.setFocus(Qt.FocusReason.OtherFocusReason)
        self._show_hint()

    def open_world(self, command: Command) -> None:
        """Ask the engine for a world; the view shows how far it is."""
        self.bridge.do(command, self._opened)
        self.messages.clear()
        self.show_world()
        self.stage.begin(self.start_page.picture_of(command))

    def _opened(self, _reply: object) -> None:
        if self.bridge.world is None:
            self.show_start()
        elif self.bridge.frame is not None and self.stage.view.frame is None:
            self._show_frame(self.bridge.frame)  # it failed: what was open is still there

    # ----------------------------------------------------------------------------------------------- the engine

    def _world_changed(self, world: WorldInfo) -> None:
        name = gallery_world(world.biome).title if world.kind in ("world", "nothing") else world.kind.capitalize()
        if world.session is not None and world.session != self.store.autosave:
            name = world.session.stem
        self.header.set_name(name)
        self.setWindowTitle(f"{name}{'' if world.saved else ' •'} – Mirage")
        self.actions_.set_checked("record", world.recording)
        if world.epoch != self._epoch:
            self._epoch = world.epoch
            self.pilot.set_level(gallery_world(world.biome).indoors)
            self.actions_.set_checked("level", self.pilot.level)
            self.stage.view.clear()
            self.bridge.place(world.camera)
            self.show_world()
        kept = world.session is not None and world.session != self.store.autosave
        if kept and world.session is not None and self.store.values.recent[:1] != [str(world.session.resolve())]:
            self.store.values.add_recent(world.session)
            self._save_later.start()

    def _show_frame(self, frame: FrameUpdate) -> None:
        self.stage.show_frame(frame)
        if not self.store.values.seen_help:
            self.store.values.seen_help = True
            self._save_later.start()
            self.say(Notice("info", "You are flying", f"{self._keys_in_words()}."))
        if frame.recalled:
            self.bridge.place(frame.result.camera)

    def _take(self, update: Update) -> None:
        if update.quality is not None:
            self.header.quality_button.setText(summary(update.quality, self.store.values.steps))
        if update.tree is not None:
            self._show_tree(update.tree)

    def _show_tree(self, tree: TreeUpdate | None) -> None:
        if self.in_world:
            self.actions_["undo"].setEnabled(tree is not None and tree.can_undo)
            self.actions_["redo"].setEnabled(tree is not None and tree.can_redo)

    def _state_changed(self, state: WorkerState) -> None:
        self.stage.progress.set_stoppable(state is not WorkerState.WARMING or self.bridge.world is not None)
        if state in (WorkerState.IDLE, WorkerState.GENERATING) and not self._asked_quality:
            self._asked_quality = True
            self._ask_quality()

    def _show_progress(self, progress: ProgressInfo | None) -> None:
        exporting = self.bridge.state is WorkerState.EXPORTING
        waiting = self.stage.view.frame is None or not exporting
        self.stage.progress.show_progress(progress if waiting else None)
        self.stage.arrange()

    def _ask_quality(self) -> None:
        self.header.quality_button.setText(summary(self.bridge.quality, self.store.values.steps))
        self.bridge.do(quality_command(self.store))
        self._save_later.start()

    def _first_paint(self) -> None:
        self.stage.view.drawn.disconnect(self._first_paint)
        software = self.stage.view.software
        self.pilot.set_interval(SOFTWARE_TICK_MS if software else TICK_MS)
        self.pace.pace_s = SOFTWARE_PACE_S if software else 0.0

    def _show_hint(self, _on: bool = False) -> None:
        if self.mouse.captured:
            self.status.set_hint("Esc gives the mouse back")
        else:
            self.status.set_hint(self._keys_in_words(" · "))

    def _keys_in_words(self, between: str = ", ") -> str:
        names = "".join(self.keymap.label_of(action) for action in ("forward", "left", "back", "right"))
        words = (
            f"{names} to fly",
            "hold the right mouse button to look",
            f"{self.keymap.label_of('help')} for all keys",
        )
        return between.join(words)

    # ------------------------------------------------------------------------------------------------- settings

    def _compare_branch(self, node: int) -> None:
        self.docks["compare"].show()
        self.compare.set_source("branch", node)

    def _keep_speed(self, speed_mps: float) -> None:
        self.store.values.speed_mps = speed_mps
        self.status.set_speed(speed_mps)
        self._save_later.start()

    def _keep_keys(self) -> None:
        self.store.values.keys = self.keymap.changed()
        self._show_hint()
        self._save_later.start()

    def _keep_layout(self) -> None:
        if self._sizes_itself:  # nobody has touched it: let it follow the window's size next time, too
            return
        self._layout_kept = self.saveState(_LAYOUT_VERSION)
        self.store.values.layout = base64.b64encode(self._layout_kept.data()).decode()

    def save_later(self) -> None:
        """Keep the settings, soon."""
        self._save_later.start()

    def say(self, notice: Notice) -> None:
        """Tell the user something."""
        self.messages.show_notice(notice)

    def set_font_scale(self, scale: float) -> None:
        """Larger or smaller text everywhere."""
        self.store.values.font_scale = min(max(round(scale, 2), 0.8), 2.0)
        app = QApplication.instance()
        if isinstance(app, QApplication):
            theme.apply(app, self.store.values.font_scale)
        self._save_later.start()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Qt's hook for the window's own events; ``event`` itself would keep the interpreter locked, and so the engine
        waiting, for as long as Qt puts a picture of the window together.
        """
        if event is not None and watched is self:
            if event.type() == QEvent.Type.Resize and self._sizes_itself and self.in_world:
                QTimer.singleShot(0, self._size_docks)
            elif event.type() == QEvent.Type.MouseButtonPress:
                self._sizes_itself = False  # only the gaps between panels are left for it: somebody drags one
        return False

    def shut(self) -> None:
        """Let go of OpenGL and the child process; the engine has been stopped."""
        self.thumbnails.stop()
        self.memory.shut()
        self.stage.view.shut()
        self.deleteLater()

    def closeEvent(self, event: QCloseEvent | None) -> None:
        if self.in_world:
            self._keep_layout()
        self.store.values.geometry = base64.b64encode(self.saveGeometry().data()).decode()
        self._save_later.stop()
        self.store.save()
        self.keys.set_enabled(False)
        self.mouse.release()
        self.pilot.stop()
        self.thumbnails.stop()
        self.closing.emit()
        super().closeEvent(event)
