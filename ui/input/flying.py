"""Keys that fly: which are down now, wherever in the window the focus is, except where text is typed."""

from __future__ import annotations

from PyQt6.QtCore import QEvent, QObject, Qt, pyqtSignal
from PyQt6.QtGui import QGuiApplication, QKeyEvent, QWindow
from PyQt6.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QKeySequenceEdit,
    QLineEdit,
    QPlainTextEdit,
    QTextEdit,
    QWidget,
)

from ui.input.bindings import Action, KeyMap
from ui.input.keys import physical_key, platform_kind

_TEXT = (QLineEdit, QTextEdit, QPlainTextEdit, QAbstractSpinBox, QKeySequenceEdit)


def takes_text(widget: QObject | None) -> bool:
    """Whether keys belong to this widget because something is typed into it."""
    return isinstance(widget, _TEXT) or (isinstance(widget, QComboBox) and widget.isEditable())


class FlyKeys(QObject):
    """Watches the application's key events and keeps the set of held actions.

    Args:
        window: keys count only while this window is active.
        view: the live view; actions of scope ``view`` need the focus there.

    Signals:
        held_changed(): the set of held actions changed. acted(str): a one-shot action was asked for.
    """

    held_changed = pyqtSignal()
    acted = pyqtSignal(str)

    def __init__(self, window: QWidget, view: QWidget, keymap: KeyMap) -> None:
        super().__init__(window)
        self._window = window
        self._view = view
        self.keymap = keymap
        self.enabled = True
        self._platform = platform_kind(QGuiApplication.platformName())
        self._down: dict[str, str] = {}
        app = QApplication.instance()
        assert isinstance(app, QApplication)
        app.installEventFilter(self)
        app.focusChanged.connect(self._focus_changed)
        app.applicationStateChanged.connect(self._application_state_changed)

    @property
    def held(self) -> frozenset[str]:
        """Ids of the actions whose keys are down."""
        return frozenset(self._down.values())

    def release_all(self) -> None:
        """Let go of every key, as if they had been released."""
        if self._down:
            self._down.clear()
            self.held_changed.emit()

    def set_enabled(self, on: bool) -> None:
        """Whether keys fly at all; off on the start page."""
        self.enabled = on
        if not on:
            self.release_all()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        if event is None or isinstance(watched, QWindow):  # the same key comes again, for the widget in it
            return False
        kind = event.type()
        if kind == QEvent.Type.KeyRelease and isinstance(event, QKeyEvent):
            return self._released(event)
        if kind in (QEvent.Type.KeyPress, QEvent.Type.ShortcutOverride) and isinstance(event, QKeyEvent):
            if not self._listens(watched):
                return False
            if kind == QEvent.Type.ShortcutOverride:
                return self._claims(event)
            return self._pressed(event)
        if kind == QEvent.Type.WindowDeactivate and watched is self._window:
            self.release_all()
        return False

    def _listens(self, watched: QObject | None) -> bool:
        if not (self.enabled and isinstance(watched, QWidget) and watched.window() is self._window):
            return False
        return QApplication.activeModalWidget() is None and QApplication.activePopupWidget() is None

    def _action(self, event: QKeyEvent) -> Action | None:
        """What this key asks for here and now."""
        modifiers = event.modifiers()
        if modifiers & (Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.MetaModifier):
            return None
        focus = QApplication.focusWidget()
        key = physical_key(event, self._platform)
        action = self.keymap.find(key, shift=bool(modifiers & Qt.KeyboardModifier.ShiftModifier)) if key else None
        if action is None or (takes_text(focus) and action.id != "release"):
            return None
        in_view = focus is None or focus is self._view or focus is self._window
        needs_view = action.scope == "view" or key.startswith("Arrow")
        return action if in_view or not needs_view else None

    def _claims(self, event: QKeyEvent) -> bool:
        """Take a flying key before a menu's mnemonic does: Alt is *slow* here."""
        action = self._action(event)
        if action is not None and action.scope == "held":
            event.accept()
            return True
        return False

    def _pressed(self, event: QKeyEvent) -> bool:
        action = self._action(event)
        if action is None:
            return False
        if event.isAutoRepeat():
            return action.id != "release"
        if action.scope == "held":
            self._down[physical_key(event, self._platform)] = action.id
            self.held_changed.emit()
            return True
        self.acted.emit(action.id)
        return True

    def _released(self, event: QKeyEvent) -> bool:
        key = physical_key(event, self._platform)
        if key not in self._down:
            return False
        if not event.isAutoRepeat():
            del self._down[key]
            self.held_changed.emit()
        return True

    def _focus_changed(self, _old: QWidget | None, new: QWidget | None) -> None:
        # A key that goes up elsewhere is never heard of again, so nothing may stay held when the focus leaves.
        if new is None or new.window() is not self._window or takes_text(new):
            self.release_all()

    def _application_state_changed(self, state: Qt.ApplicationState) -> None:
        if state != Qt.ApplicationState.ApplicationActive:
            self.release_all()
