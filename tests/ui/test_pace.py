"""A window is drawn no more often than its pace, and never left with an old picture."""

from __future__ import annotations

from PyQt6.QtCore import QEventLoop, QTimer
from PyQt6.QtGui import QPaintEvent
from PyQt6.QtWidgets import QLabel, QMainWindow
from pytestqt.qtbot import QtBot

from ui.main_window import MainWindow
from ui.pace import WindowPace

MEASURED_MS, CHANGE_MS = 600, 10


class Shown(QLabel):
    """Remembers what it painted."""

    def __init__(self) -> None:
        super().__init__("0")
        self.painted: list[str] = []

    def paintEvent(self, event: QPaintEvent | None) -> None:
        self.painted.append(self.text())
        super().paintEvent(event)


def paint_count(qtbot: QtBot, pace_s: float) -> tuple[int, list[str]]:
    """Changes a label all the time: (changes, what was painted)."""
    window = QMainWindow()
    qtbot.addWidget(window)
    label = Shown()
    window.setCentralWidget(label)
    pace = WindowPace(window)
    with qtbot.waitExposed(window):
        window.show()
    qtbot.wait(100)
    pace.pace_s = pace_s
    label.painted.clear()
    changes = 0

    def change() -> None:
        nonlocal changes
        changes += 1
        label.setText(str(changes))

    timer = QTimer(window)
    timer.timeout.connect(change)
    timer.start(CHANGE_MS)
    loop = QEventLoop()
    QTimer.singleShot(MEASURED_MS, loop.quit)
    loop.exec()
    timer.stop()
    qtbot.waitUntil(lambda: label.painted[-1:] == [str(changes)], timeout=2000)
    return changes, label.painted


def test_changes_are_gathered_and_the_last_one_is_shown(qtbot: QtBot) -> None:
    changes, painted = paint_count(qtbot, 0.15)
    assert changes > 10  # a busy machine is slow, but far faster than the pace
    assert 2 <= len(painted) <= MEASURED_MS / 150 + 3
    assert painted == sorted(painted, key=int)


def test_without_a_pace_nothing_is_held_back(qtbot: QtBot) -> None:
    changes, painted = paint_count(qtbot, 0.0)
    assert len(painted) > 0.5 * changes


def test_the_window_leaves_the_interpreter_free_while_qt_draws_it() -> None:
    """A method of ours around Qt's own ``event`` would keep the interpreter locked for as long as OpenGL draws, twelve
    times a second or more, and the engine's thread with it: half of its frames were lost so.
    """
    ours = MainWindow.__mro__[: MainWindow.__mro__.index(QMainWindow)]
    assert not [kind for kind in ours if "event" in vars(kind)]
