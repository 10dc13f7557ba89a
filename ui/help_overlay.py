"""Every key on one sheet; click a key to give the action another one."""

from __future__ import annotations

from itertools import groupby

from PyQt6.QtCore import QEvent, QObject, Qt, pyqtSignal
from PyQt6.QtGui import QGuiApplication, QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PyQt6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QPushButton, QToolButton, QVBoxLayout, QWidget

from ui import icons, theme
from ui.input.bindings import ACTIONS, KeyMap
from ui.input.keys import key_label, physical_key, platform_kind

_MOUSE: tuple[tuple[str, str], ...] = (
    ("Right button", "Hold and move to look"),
    ("Click", "Look without holding; Esc gives the pointer back"),
    ("Wheel", "Faster or slower"),
    ("Two fingers", "Look around on a touchpad"),
)
_SHORTCUTS: tuple[tuple[str, str], ...] = (
    ("Ctrl + Z", "Undo: back in the world tree"),
    ("Ctrl + Shift + Z", "Redo"),
    ("Ctrl + S", "Save this world"),
    ("Ctrl + E", "Take a film home"),
    ("Ctrl + R", "Record the flight"),
)


class KeyButton(QPushButton):
    """Shows a key and, once clicked, waits for another.

    Signals:
        chosen(str): name of the physical key that was pressed.
    """

    chosen = pyqtSignal(str)

    def __init__(self, label: str, action: str, parent: QWidget | None = None) -> None:
        super().__init__(label, parent)
        self._label = label
        self.setAccessibleName(f"{action}: {label}. Press to choose another key")
        self.setToolTip("Click, then press another key")
        self.setCheckable(True)
        self.setMinimumWidth(46)
        self.setStyleSheet("padding: 1px 8px; min-height: 16px; border-bottom-width: 2px; border-radius: 5px;")
        self.toggled.connect(lambda on: self.setText("press a key" if on else self._label))

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        if event is None or not self.isChecked():
            super().keyPressEvent(event)
            return
        name = physical_key(event, platform_kind(QGuiApplication.platformName()))
        self.setChecked(False)
        if name and name != "Escape":
            self.chosen.emit(name)

    def event(self, event: QEvent | None) -> bool:
        if event is not None and event.type() == QEvent.Type.FocusOut:
            self.setChecked(False)
        if (
            event is not None
            and event.type() == QEvent.Type.KeyPress
            and self.isChecked()
            and isinstance(event, QKeyEvent)
        ):
            self.keyPressEvent(event)  # also Tab, which would move the focus
            return True
        return super().event(event)


class HelpOverlay(QWidget):
    """Covers its parent, dimmed; closed by Esc, its cross, or a click beside the sheet.

    Signals:
        rebound(): a key has changed; keep it. closed().
    """

    rebound = pyqtSignal()
    closed = pyqtSignal()

    def __init__(self, keymap: KeyMap, parent: QWidget) -> None:
        super().__init__(parent)
        self._keymap = keymap
        self._sheet = QFrame(self)
        theme.set_role(self._sheet, "card")
        self._column = QVBoxLayout(self._sheet)
        self._column.setContentsMargins(30, 22, 30, 24)
        self._column.setSpacing(14)
        self.buttons: dict[str, KeyButton] = {}
        self._note = QLabel()
        self.setAccessibleName("Keys")
        parent.installEventFilter(self)
        self._fill()
        self.hide()

    @property
    def waiting(self) -> bool:
        """Whether a key is being chosen: then keys do not fly."""
        return any(button.isChecked() for button in self.buttons.values())

    def toggle(self) -> None:
        """Show or close."""
        if self.isVisible():
            self.dismiss()
            return
        self._cover()
        self.show()
        self.raise_()
        self.setFocus(Qt.FocusReason.OtherFocusReason)

    def dismiss(self) -> bool:
        """Close; True when it was open."""
        if not self.isVisible():
            return False
        self.hide()
        self.closed.emit()
        return True

    def _fill(self) -> None:
        head = QHBoxLayout()
        title = QLabel("Keys and mouse")
        theme.set_role(title, "title")
        reset = QPushButton("As delivered")
        theme.set_role(reset, "quiet")
        reset.setToolTip("Give every action its first key again")
        reset.clicked.connect(self._reset)
        close = QToolButton()
        close.setIcon(icons.icon("close"))
        close.setAccessibleName("Close this sheet")
        theme.set_role(close, "quiet")
        close.clicked.connect(self.dismiss)
        head.addWidget(title, 1)
        head.addWidget(reset)
        head.addWidget(close)
        self._column.addLayout(head)
        columns = QHBoxLayout()
        columns.setSpacing(44)
        groups = {name: list(actions) for name, actions in groupby(ACTIONS, key=lambda action: action.group)}
        left, middle, right = QVBoxLayout(), QVBoxLayout(), QVBoxLayout()
        for column, names in ((left, ("Move",)), (middle, ("Look",)), (right, ("Path", "Window"))):
            for name in names:
                column.addLayout(self._group(name, [(action.id, action.text) for action in groups[name]]))
                column.addSpacing(12)
        left.addLayout(self._plain("Mouse", _MOUSE))
        middle.addLayout(self._plain("Everywhere", _SHORTCUTS))
        for column in (left, middle, right):
            column.setSpacing(6)
            column.addStretch(1)
            columns.addLayout(column)
        self._column.addLayout(columns)
        theme.set_role(self._note, "faint")
        self._note.setText(
            "Keys are bound by where they are, not by what is printed on them. Click a key to choose another."
        )
        self._column.addWidget(self._note)

    def _grid(self, name: str) -> tuple[QVBoxLayout, QGridLayout]:
        box, grid = QVBoxLayout(), QGridLayout()
        title = QLabel(name)
        theme.set_role(title, "section")
        title.setStyleSheet(f"color: {theme.ACCENT};")
        grid.setHorizontalSpacing(14)
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(1, 1)
        box.setSpacing(6)
        box.addWidget(title)
        box.addLayout(grid)
        return box, grid

    def _group(self, name: str, rows: list[tuple[str, str]]) -> QVBoxLayout:
        box, grid = self._grid(name)
        for row, (action_id, text) in enumerate(rows):
            button = KeyButton(self._keymap.label_of(action_id), text)
            button.setEnabled(action_id != "release")
            button.chosen.connect(lambda key, action_id=action_id: self._bind(action_id, key))
            self.buttons[action_id] = button
            grid.addWidget(button, row, 0, Qt.AlignmentFlag.AlignRight)
            grid.addWidget(QLabel(text), row, 1)
        return box

    def _plain(self, name: str, rows: tuple[tuple[str, str], ...]) -> QVBoxLayout:
        box, grid = self._grid(name)
        for row, (key, text) in enumerate(rows):
            label = QLabel(key)
            theme.set_role(label, "key")
            grid.addWidget(label, row, 0, Qt.AlignmentFlag.AlignRight)
            grid.addWidget(QLabel(text), row, 1)
        return box

    def _bind(self, action_id: str, key: str) -> None:
        swapped = self._keymap.bind(action_id, key)
        self._relabel()
        if swapped is not None:
            other = next(action.text for action in ACTIONS if action.id == swapped)
            self._note.setText(f"{key_label(key)} was taken: “{other}” has the old key now.")
        self.rebound.emit()

    def _reset(self) -> None:
        self._keymap.reset()
        self._relabel()
        self.rebound.emit()

    def _relabel(self) -> None:
        for action_id, button in self.buttons.items():
            button._label = self._keymap.label_of(action_id)
            button.setText(button._label)

    def _cover(self) -> None:
        parent = self.parentWidget()
        if parent is None:
            return
        self.setGeometry(parent.rect())
        self._sheet.adjustSize()
        width, height = min(self._sheet.width(), self.width() - 24), min(self._sheet.height(), self.height() - 24)
        self._sheet.resize(width, height)
        self._sheet.move((self.width() - width) // 2, (self.height() - height) // 2)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        if event is not None and event.type() == QEvent.Type.Resize and self.isVisible():
            self._cover()
        return False

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        if event is not None and not self._sheet.geometry().contains(event.position().toPoint()):
            self.dismiss()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), theme.color("#05070a", 0.62))
