"""Keys and mouse as they really arrive: pressed, repeated, lost with the focus, typed into fields."""

from __future__ import annotations

import pytest
from PyQt6.QtCore import QEvent, QPoint, QPointF, Qt
from PyQt6.QtGui import QKeyEvent, QMouseEvent, QPointingDevice, QWheelEvent
from PyQt6.QtTest import QTest
from PyQt6.QtWidgets import (
    QApplication,
    QLineEdit,
    QListWidget,
    QMainWindow,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)
from pytestqt.qtbot import QtBot

from ui.input.bindings import KeyMap
from ui.input.flying import FlyKeys, takes_text
from ui.input.looking import LookMouse


class Desk:
    """A window with a view, a field, a button and a list."""

    def __init__(self, qtbot: QtBot) -> None:
        self.window = QMainWindow()
        host = QWidget()
        column = QVBoxLayout(host)
        self.view, self.field, self.spin = QWidget(), QLineEdit(), QSpinBox()
        self.button, self.list = QPushButton("A button"), QListWidget()
        self.list.addItems(["one", "two", "words"])
        self.view.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.view.setMinimumSize(300, 200)
        for widget in (self.view, self.field, self.spin, self.button, self.list):
            column.addWidget(widget)
        self.window.setCentralWidget(host)
        qtbot.addWidget(self.window)
        self.keys = FlyKeys(self.window, self.view, KeyMap())
        self.mouse = LookMouse(self.view)
        self.acted: list[str] = []
        self.keys.acted.connect(self.acted.append)
        self.window.show()
        self.window.activateWindow()
        qtbot.waitUntil(self.window.isActiveWindow, timeout=5000)
        self.view.setFocus()


@pytest.fixture
def desk(qtbot: QtBot) -> Desk:
    return Desk(qtbot)


def test_keys_are_held_until_they_are_let_go(desk: Desk) -> None:
    QTest.keyPress(desk.view, Qt.Key.Key_W)
    QTest.keyPress(desk.view, Qt.Key.Key_D)
    assert desk.keys.held == {"forward", "right"}
    QTest.keyRelease(desk.view, Qt.Key.Key_W)
    assert desk.keys.held == {"right"}
    QTest.keyRelease(desk.view, Qt.Key.Key_D)
    assert desk.keys.held == frozenset()


def test_auto_repeat_neither_lets_go_nor_repeats(desk: Desk) -> None:
    changes: list[frozenset[str]] = []
    desk.keys.held_changed.connect(lambda: changes.append(desk.keys.held))
    QTest.keyPress(desk.view, Qt.Key.Key_W)
    for _ in range(5):  # a held key sends release and press again, marked as repeats
        for kind in (QEvent.Type.KeyRelease, QEvent.Type.KeyPress):
            repeat = QKeyEvent(kind, Qt.Key.Key_W, Qt.KeyboardModifier.NoModifier, "w", True)
            QApplication.sendEvent(desk.view, repeat)
    assert desk.keys.held == {"forward"}
    assert len(changes) == 1
    QTest.keyPress(desk.view, Qt.Key.Key_R)
    QApplication.sendEvent(
        desk.view, QKeyEvent(QEvent.Type.KeyPress, Qt.Key.Key_R, Qt.KeyboardModifier.NoModifier, "r", True)
    )
    assert desk.acted == ["reset"]


def test_typing_never_flies(desk: Desk) -> None:
    desk.field.setFocus()
    QTest.keyClicks(desk.field, "was wide awake")
    assert desk.field.text() == "was wide awake"
    assert desk.keys.held == frozenset()
    assert desk.acted == []
    desk.spin.setFocus()
    QTest.keyPress(desk.spin, Qt.Key.Key_E)
    assert desk.keys.held == frozenset()
    assert takes_text(desk.field) and takes_text(desk.spin) and not takes_text(desk.button)


def test_flying_survives_focus_on_a_button_or_a_list(desk: Desk) -> None:
    for widget in (desk.button, desk.list):
        widget.setFocus()
        QTest.keyPress(widget, Qt.Key.Key_W)
        assert desk.keys.held == {"forward"}
        QTest.keyRelease(widget, Qt.Key.Key_W)
    assert desk.keys.held == frozenset()


def test_buttons_keep_space_and_lists_keep_arrows(desk: Desk) -> None:
    pressed: list[bool] = []
    desk.button.clicked.connect(pressed.append)
    desk.button.setFocus()
    QTest.keyClick(desk.button, Qt.Key.Key_Space)
    assert len(pressed) == 1 and desk.acted == []
    desk.list.setFocus()
    desk.list.setCurrentRow(0)
    QTest.keyClick(desk.list, Qt.Key.Key_Down)
    assert desk.list.currentRow() == 1 and desk.keys.held == frozenset()
    desk.view.setFocus()
    QTest.keyClick(desk.view, Qt.Key.Key_Space)
    assert desk.acted == ["play"]


def test_held_keys_die_when_a_field_or_another_window_takes_the_focus(desk: Desk, qtbot: QtBot) -> None:
    QTest.keyPress(desk.view, Qt.Key.Key_W)
    desk.field.setFocus()
    assert desk.keys.held == frozenset()
    QTest.keyRelease(desk.field, Qt.Key.Key_W)
    desk.view.setFocus()
    QTest.keyPress(desk.view, Qt.Key.Key_S)
    assert desk.keys.held == {"back"}
    QApplication.sendEvent(desk.window, QEvent(QEvent.Type.WindowDeactivate))
    assert desk.keys.held == frozenset()


def test_shortcuts_with_control_do_not_fly(desk: Desk) -> None:
    QTest.keyPress(desk.view, Qt.Key.Key_S, Qt.KeyboardModifier.ControlModifier)
    assert desk.keys.held == frozenset()


def test_rebinding_takes_effect_at_once(desk: Desk) -> None:
    desk.keys.keymap.bind("forward", "KeyI")
    QTest.keyPress(desk.view, Qt.Key.Key_I)
    assert desk.keys.held == {"forward"}
    QTest.keyRelease(desk.view, Qt.Key.Key_I)
    QTest.keyClick(desk.view, Qt.Key.Key_W)  # had been forward; it got the figures' key in exchange
    assert desk.acted == ["hud"]


def test_nothing_flies_while_disabled(desk: Desk) -> None:
    QTest.keyPress(desk.view, Qt.Key.Key_W)
    desk.keys.set_enabled(False)
    assert desk.keys.held == frozenset()
    QTest.keyPress(desk.view, Qt.Key.Key_D)
    assert desk.keys.held == frozenset()


# ------------------------------------------------------------------------------------------------------------ mouse


def send(view: QWidget, kind: QEvent.Type, at: tuple[int, int], button: Qt.MouseButton, held: Qt.MouseButton) -> None:
    """A mouse event with an exact position."""
    place = QPointF(*at)
    event = QMouseEvent(kind, place, QPointF(view.mapToGlobal(place)), button, held, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(view, event)


def test_hold_right_button_to_look(desk: Desk) -> None:
    turns: list[tuple[float, float]] = []
    desk.mouse.turned.connect(lambda dx, dy: turns.append((dx, dy)))
    right, none = Qt.MouseButton.RightButton, Qt.MouseButton.NoButton
    send(desk.view, QEvent.Type.MouseMove, (120, 100), none, none)
    send(desk.view, QEvent.Type.MouseButtonPress, (120, 100), right, right)
    assert desk.mouse.looking
    send(desk.view, QEvent.Type.MouseMove, (130, 96), none, right)
    send(desk.view, QEvent.Type.MouseMove, (133, 96), none, right)
    send(desk.view, QEvent.Type.MouseButtonRelease, (133, 96), right, none)
    send(desk.view, QEvent.Type.MouseMove, (150, 96), none, none)
    assert turns == [(10.0, -4.0), (3.0, 0.0)]
    assert not desk.mouse.looking


def test_click_captures_and_escape_releases(desk: Desk) -> None:
    desk.keys.acted.connect(lambda action: desk.mouse.release() if action == "release" else None)
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    desk.mouse._can_warp = True
    send(desk.view, QEvent.Type.MouseButtonPress, (120, 100), left, left)
    send(desk.view, QEvent.Type.MouseButtonRelease, (120, 100), left, none)
    assert desk.mouse.captured and desk.mouse.looking
    QTest.keyClick(desk.view, Qt.Key.Key_Escape)
    assert not desk.mouse.captured and not desk.mouse.looking
    assert QWidget.mouseGrabber() is None


def test_losing_the_focus_gives_the_mouse_back(desk: Desk) -> None:
    right = Qt.MouseButton.RightButton
    send(desk.view, QEvent.Type.MouseButtonPress, (120, 100), right, right)
    assert desk.mouse.looking
    desk.field.setFocus()
    assert not desk.mouse.looking


def wheel(view: QWidget, pixels: QPoint, angle: QPoint, phase: Qt.ScrollPhase) -> None:
    place = QPointF(100, 100)
    event = QWheelEvent(
        place, QPointF(view.mapToGlobal(place)), pixels, angle, Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, phase, False, Qt.MouseEventSource.MouseEventNotSynthesized,
        QPointingDevice.primaryPointingDevice(),
    )  # fmt: skip
    QApplication.sendEvent(view, event)


def test_wheel_changes_the_speed_and_two_fingers_look(desk: Desk) -> None:
    notches: list[float] = []
    turns: list[tuple[float, float]] = []
    desk.mouse.scrolled.connect(notches.append)
    desk.mouse.turned.connect(lambda dx, dy: turns.append((dx, dy)))
    wheel(desk.view, QPoint(), QPoint(0, 240), Qt.ScrollPhase.NoScrollPhase)
    assert notches == [2.0] and turns == []
    wheel(desk.view, QPoint(6, -4), QPoint(12, -8), Qt.ScrollPhase.ScrollUpdate)
    assert notches == [2.0] and turns == [(-6.0, 4.0)]
