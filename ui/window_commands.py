"""What the window's commands do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from PyQt6.QtWidgets import QFileDialog, QMessageBox

from engine.messages import (
    Command,
    ExportFrame,
    ExportMesh,
    ExportPoints,
    Failed,
    Notice,
    OpenSession,
    Pause,
    Record,
    Redo,
    Reset,
    SaveSession,
    Undo,
)
from ui import icons

if TYPE_CHECKING:
    from ui.export_dialog import ExportDialog
    from ui.main_window import MainWindow

_SESSIONS = "Mirage sessions (*.mirage);;All files (*)"


class WindowCommands:
    """One method per entry of the menus, and the keys that are not menus."""

    def __init__(self, window: MainWindow) -> None:
        self._window = window
        self._dialog: ExportDialog | None = None

    def slots(self) -> dict[str, Callable[..., object]]:
        """By the ids of ``ui.window_actions.COMMANDS``."""
        window, bridge = self._window, self._window.bridge
        return {
            "start": window.show_start,
            "open": self.open_session,
            "save": self.save,
            "save_as": self.save_as,
            "export": self.export,
            "points": lambda: self._save_file("Points", "points.ply", "Point clouds (*.ply)", ExportPoints),
            "mesh": lambda: self._save_file("Mesh", "mesh.ply", "Meshes (*.ply *.glb)", ExportMesh),
            "frame": lambda: self._save_file("Frame", "frame.png", "Pictures (*.png)", ExportFrame),
            "again": self.begin_again,
            "quit": window.close,
            "undo": lambda: bridge.do(Undo()),
            "redo": lambda: bridge.do(Redo()),
            "record": lambda on: bridge.do(Record(on)),
            "pause": lambda on: bridge.do(Pause(on)),
            "stop": bridge.cancel,
            "hud": self.show_hud,
            "fullscreen": self.full_screen,
            "bigger": lambda: window.set_font_scale(window.store.values.font_scale + 0.1),
            "smaller": lambda: window.set_font_scale(window.store.values.font_scale - 0.1),
            "arrange": window.arrange_panels,
            "level": self.level,
            "invert": self.invert,
            "captures": self.captures,
            "help": lambda: window.help.toggle(),
            "about": self.about,
        }

    def act(self, action_id: str) -> None:
        """Do what a key asks for."""
        window, pilot, timeline = self._window, self._window.pilot, self._window.timeline
        deeds: dict[str, Callable[[], object]] = {
            "focus": pilot.approach,
            "reset": self.go_home,
            "orbit": self._orbit,
            "level": window.actions_["level"].toggle,
            "play": timeline.toggle_play,
            "step_back": lambda: timeline.step(-1),
            "step_forward": lambda: timeline.step(1),
            "previous_key": lambda: timeline.jump(-1),
            "next_key": lambda: timeline.jump(1),
            "add_key": timeline.add_keyframe,
            "help": window.help.toggle,
            "hud": window.actions_["hud"].toggle,
            "fullscreen": window.actions_["fullscreen"].toggle,
            "release": self.release,
        }
        deeds[action_id]()

    def release(self) -> None:
        """Esc: the mouse first, then what lies on top, then full screen."""
        window = self._window
        if window.mouse.release() or window.help.dismiss():
            return
        if window.messages.bars():
            window.messages.clear()
        elif window.isFullScreen():
            window.actions_["fullscreen"].setChecked(False)
        else:
            window.stage.view.setFocus()

    def go_home(self) -> None:
        """Stand where the world began."""
        world = self._window.bridge.world
        if world is not None:
            self._window.pilot.take_over(world.camera)
            self._window.bridge.look(world.camera, moving=False)

    def _orbit(self) -> None:
        on = self._window.pilot.toggle_orbit()
        text = "Looking now turns around what was in the middle." if on else "Looking turns your head again."
        self._window.say(Notice("info", "Orbit" if on else "Fly", text))

    def show_hud(self, on: bool) -> None:
        """Figures over the view."""
        stage = self._window.stage
        stage.hud.setVisible(on)
        stage.arrange()
        self._window.store.values.show_hud = on
        self._window.save_later()

    def full_screen(self, on: bool) -> None:
        """The whole screen, or a window."""
        if on:
            self._window.showFullScreen()
        else:
            self._window.showNormal()

    def level(self, on: bool) -> None:
        """On foot, or flying."""
        self._window.pilot.set_level(on)
        text = "Forward and back keep your height, and walls stop you." if on else "Forward and back go where you look."
        self._window.say(Notice("info", "On foot" if on else "Flying", text))

    def invert(self, on: bool) -> None:
        """Mouse up looks down."""
        self._window.store.values.invert_look = on
        self._window.pilot.settings = replace(self._window.pilot.settings, invert_y=on)
        self._window.save_later()

    def captures(self, on: bool) -> None:
        """Whether a click takes the mouse."""
        self._window.mouse.click_captures = self._window.store.values.click_captures = on
        self._window.save_later()

    def open_session(self) -> None:
        """Ask for a session and open it."""
        name, _ = QFileDialog.getOpenFileName(self._window, "Open a session", "", _SESSIONS)
        if name:
            self._window.open_world(OpenSession(Path(name)))

    def save(self) -> None:
        """Save where it was saved before, or ask."""
        world = self._window.bridge.world
        if world is None or world.session is None:
            self.save_as()
        else:
            self._window.bridge.do(SaveSession(), self._saved)

    def save_as(self) -> None:
        """Ask where, and save."""
        name, _ = QFileDialog.getSaveFileName(self._window, "Save this world", "world.mirage", _SESSIONS)
        if name:
            path = Path(name)
            self._window.bridge.do(SaveSession(path if path.suffix else path.with_suffix(".mirage")), self._saved)

    def _saved(self, reply: object) -> None:
        if isinstance(reply, Failed):
            return
        path = Path(str(reply))
        self._window.store.values.add_recent(path)
        self._window.save_later()
        self._window.say(Notice("info", "Saved", f"{path.name} holds this world with its memory."))

    def export(self) -> None:
        """The export dialog; it stays open beside the window while a film is made."""
        from ui.export_dialog import ExportDialog

        if self._dialog is None:
            self._dialog = ExportDialog(self._window.bridge, self._window)
        dialog = self._dialog
        dialog.show()
        dialog.raise_()
        dialog.activateWindow()

    def _save_file(self, title: str, name: str, pattern: str, command: Callable[[Path], Command]) -> None:
        chosen, _ = QFileDialog.getSaveFileName(self._window, title, name, pattern)
        if not chosen:
            return
        path = Path(chosen)
        target = path if path.suffix else path.with_suffix(Path(name).suffix)
        self._window.bridge.do(command(target), lambda reply: self._written(reply, target))

    def _written(self, reply: object, path: Path) -> None:
        if not isinstance(reply, Failed):
            self._window.say(Notice("info", "Written", f"{path.name} lies in {path.parent}."))

    def begin_again(self) -> None:
        """The same world with an empty memory."""
        box = QMessageBox(self._window)
        box.setWindowTitle("Begin again")
        box.setText("Forget everything and begin this world again?")
        box.setInformativeText("What is not saved is lost.")
        box.setStandardButtons(QMessageBox.StandardButton.Cancel)
        again = box.addButton("Begin again", QMessageBox.ButtonRole.DestructiveRole)
        box.exec()
        if box.clickedButton() is again:
            self._window.open_world(Reset())

    def about(self) -> None:
        """What this is."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            number = version("mirage-worlds")
        except PackageNotFoundError:
            number = "development version"
        box = QMessageBox(self._window)
        box.setWindowTitle("About Mirage")
        box.setIconPixmap(icons.logo(72, self._window.devicePixelRatioF()))
        box.setText(f"<b>Mirage</b> {number}")
        box.setInformativeText(
            "Explores worlds that a video world model imagines as you fly, and remembers them in latent space. "
            "The method follows “Latent Spatial Memory for Video World Models” (arXiv 2606.09828)."
        )
        box.exec()
