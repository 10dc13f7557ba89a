"""The window's commands: menus, the row of tools, and what a key asks for. The window does them; here they are only
named and arranged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PyQt6.QtGui import QAction, QKeySequence
from PyQt6.QtWidgets import QMainWindow, QToolButton

from ui import icons


@dataclass(frozen=True)
class Command:
    """One entry: ``id`` names the slot, ``world``: only with a world open."""

    id: str
    text: str
    icon: str = ""
    keys: str = ""
    tip: str = ""
    checkable: bool = False
    world: bool = False


COMMANDS: tuple[Command, ...] = (
    Command("start", "&Worlds…", "home", "Ctrl+N", "Choose another world"),
    Command("open", "&Open a session…", "folder", "Ctrl+O"),
    Command("save", "&Save", "save", "Ctrl+S", "Save this world with its memory", world=True),
    Command("save_as", "Save &as…", "", "Ctrl+Shift+S", world=True),
    Command(
        "export",
        "Take a &film home…",
        "export",
        "Ctrl+E",
        "Make a film of the path or of the recorded flight",
        world=True,
    ),
    Command("points", "Points as &PLY…", "memory", world=True),
    Command("mesh", "&Mesh as PLY or GLB…", "box", world=True),
    Command("frame", "This &frame as PNG…", "image", "Ctrl+P", world=True),
    Command("again", "Be&gin again", "reset", tip="Open the same world with an empty memory", world=True),
    Command("quit", "&Quit", "", "Ctrl+Q"),
    Command("undo", "&Undo", "undo", "Ctrl+Z", "Back to the step before", world=True),
    Command("redo", "&Redo", "redo", "Ctrl+Shift+Z", "Forward to the step undone", world=True),
    Command(
        "record",
        "&Record the flight",
        "record",
        "Ctrl+R",
        "Keep every generated frame as a flight",
        checkable=True,
        world=True,
    ),
    Command(
        "pause", "&Pause imagining", "pause", "Ctrl+Space", "Look around without generating", checkable=True, world=True
    ),
    Command("stop", "&Stop what is running", "stop", "Ctrl+."),
    Command("hud", "&Figures", "hud", "", "Frames a second, delay, cost of each stage", checkable=True),
    Command("fullscreen", "F&ull screen", "fullscreen", "", checkable=True),
    Command("bigger", "&Larger text", "plus", "Ctrl++"),
    Command("smaller", "S&maller text", "minus", "Ctrl+-"),
    Command("arrange", "&Arrange panels as delivered", "layout"),
    Command("level", "&On foot", tip="Forward and back stay level, and walls stop you", checkable=True),
    Command("invert", "&Invert looking up and down", checkable=True),
    Command("captures", "Click in the view to &capture the mouse", checkable=True),
    Command("help", "&Keys and mouse", "help", tip="All keys, and how to change them"),
    Command("about", "&About Mirage", "info"),
)
MENUS: tuple[tuple[str, str], ...] = (
    ("&World", "start open - save save_as again - export frame points mesh - quit"),
    ("&Edit", "undo redo - record pause stop"),
    ("&View", "PANELS - hud fullscreen - bigger smaller arrange - level invert captures"),
    ("&Help", "help about"),
)


class WindowActions:
    """Makes one ``QAction`` per command and hangs them into menus and tools.

    Args:
        slots: what each command does, by id; checkable ones get a bool.
    """

    def __init__(self, window: QMainWindow, slots: dict[str, Callable[..., object]]) -> None:
        self._window = window
        self.actions: dict[str, QAction] = {}
        for command in COMMANDS:
            action = QAction(command.text, window)
            if command.icon:
                action.setIcon(icons.icon(command.icon))
            if command.keys:
                action.setShortcut(QKeySequence(command.keys))
            if command.tip:
                action.setToolTip(command.tip)
                action.setStatusTip("")
            action.setCheckable(command.checkable)
            slot = slots[command.id]
            if command.checkable:
                action.toggled.connect(slot)
            else:
                action.triggered.connect(lambda _checked=False, slot=slot: slot())
            window.addAction(action)
            self.actions[command.id] = action

    def __getitem__(self, command_id: str) -> QAction:
        return self.actions[command_id]

    def set_world_open(self, on: bool) -> None:
        """Grey out what needs a world."""
        for command in COMMANDS:
            if command.world:
                self.actions[command.id].setEnabled(on)

    def set_checked(self, command_id: str, on: bool) -> None:
        """Show a state that came from elsewhere, without doing anything."""
        action = self.actions[command_id]
        action.blockSignals(True)
        action.setChecked(on)
        action.blockSignals(False)
        for widget in action.associatedObjects():
            if isinstance(widget, QToolButton):
                widget.setChecked(on)
