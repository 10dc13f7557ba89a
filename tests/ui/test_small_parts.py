"""Badge, figures, messages, progress, help, icons, theme."""

from __future__ import annotations

import numpy as np
import pytest
from PyQt6.QtCore import Qt
from PyQt6.QtGui import QColor, QImage
from PyQt6.QtTest import QTest
from PyQt6.QtWidgets import QApplication, QLabel, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from engine.messages import Notice, ProgressInfo
from ui import icons, theme
from ui.badge import Badge
from ui.header import _TOOLS
from ui.help_overlay import HelpOverlay
from ui.input.bindings import ACTIONS, KeyMap
from ui.message_bar import MessageArea, shorten
from ui.progress_card import ProgressCard
from ui.window_actions import COMMANDS, MENUS
from ui.wording import sentence, thousands


@pytest.fixture
def host(qtbot: QtBot) -> QWidget:
    widget = QWidget()
    widget.resize(1000, 700)
    qtbot.addWidget(widget)
    widget.show()
    return widget


def luminance(value: str) -> float:
    """Relative luminance as WCAG defines it."""
    channels = np.array(QColor(value).getRgbF()[:3])
    linear = np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("text", ["TEXT", "TEXT_SOFT", "TEXT_FAINT", "ACCENT", "IMAGINED", "ERROR"])
@pytest.mark.parametrize("ground", ["GROUND", "PANEL", "RAISED"])
def test_text_is_legible_on_every_ground(text: str, ground: str) -> None:
    lighter, darker = luminance(getattr(theme, text)), luminance(getattr(theme, ground))
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def test_the_style_sheet_has_no_holes_and_scales(qtbot: QtBot) -> None:
    assert "@" not in theme.style_sheet()
    assert "13.0pt" in theme.style_sheet(1.0)
    assert "19.5pt" in theme.style_sheet(1.5)


def test_the_look_reaches_the_application(qtbot: QtBot) -> None:
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    before = (app.styleSheet(), app.font(), app.palette())
    try:
        theme.apply(app, 1.2)
        assert app.font().pointSizeF() == pytest.approx(12.0)
        assert app.palette().window().color() == QColor(theme.GROUND)
    finally:
        app.setStyleSheet(before[0])
        app.setFont(before[1])
        app.setPalette(before[2])


def test_every_icon_that_is_named_can_be_drawn(qtbot: QtBot) -> None:
    names = {command.icon for command in COMMANDS if command.icon} | {p.stem for p in theme.ICON_DIR.glob("*.svg")}
    for name in names:
        image = icons.pixmap(name, 24).toImage().convertToFormat(QImage.Format.Format_ARGB32)
        alphas = [image.pixelColor(x, y).alpha() for x in range(24) for y in range(24)]
        assert max(alphas) > 100, name
    assert not icons.app_icon().isNull()


def test_menus_and_tools_name_commands_that_exist() -> None:
    known = {command.id for command in COMMANDS}
    named = {entry for _, entries in MENUS for entry in entries.split()} - {"-", "PANELS"}
    assert named == known
    assert {name for group in _TOOLS for name in group} - {"QUALITY"} <= known


def test_shortcuts_are_unique() -> None:
    keys = [command.keys for command in COMMANDS if command.keys]
    assert len(keys) == len(set(keys))


def test_the_badge_says_what_it_is_in_words_too(host: QWidget) -> None:
    badge = Badge(host)
    assert not badge.isVisible()
    badge.set_state("preview")
    assert badge.isVisible() and badge.text == "preview" and "preview" in badge.accessibleName()
    badge.set_state("generated", 0.834)
    assert badge.text == "generated" and badge.detail == "83 % remembered"
    badge.set_state("nothing")
    assert not badge.isVisible()


def test_messages_stack_count_and_go_away(host: QWidget, qtbot: QtBot) -> None:
    area = MessageArea(host)
    notice = Notice("error", "The disk is full", "Free some space and save again.")
    for _ in range(3):
        area.show_notice(notice)
    assert len(area.bars()) == 1 and area.bars()[0].count == 3
    for k in range(5):
        area.show_notice(Notice("info", f"Message {k}", "Text."))
    assert len(area.bars()) == 3
    QApplication.processEvents()
    assert all(bar.height() >= bar.minimumSizeHint().height() > 40 for bar in area.bars())
    bar = area.bars()[-1]
    assert any(label.text() == "Text." for label in bar.findChildren(QLabel))
    area.clear()
    assert area.bars() == [] and not area.isVisible()


def test_a_message_never_fills_the_window(host: QWidget) -> None:
    area = MessageArea(host)
    area.show_notice(Notice("error", "That did not work", "\x1b[1mTypingError\x1b[0m\n" + "one of many words " * 400))
    assert area.height() < 160
    label = next(label for label in area.bars()[0].findChildren(QLabel) if label.text().startswith("TypingError"))
    assert label.text().endswith("…") and "\x1b" not in label.text()
    assert shorten("Short.") == "Short."


def test_progress_is_shown_and_can_be_stopped(host: QWidget) -> None:
    card = ProgressCard(host)
    stops: list[bool] = []
    card.cancelled.connect(lambda: stops.append(True))
    card.show_progress(ProgressInfo(0.25, "waking the model"))
    assert card.isVisible() and card._bar.value() == 250 and "Waking the model" in card.accessibleName()
    card.show_progress(ProgressInfo(-1.0, "working"))
    assert card._bar.maximum() == 0
    QTest.mouseClick(card._stop, Qt.MouseButton.LeftButton)
    assert stops == [True]
    card.show_progress(None)
    assert not card.isVisible()


def test_the_help_lists_every_key_and_rebinds(host: QWidget, qtbot: QtBot) -> None:
    keys = KeyMap()
    overlay = HelpOverlay(keys, host)
    overlay.toggle()
    assert overlay.isVisible()
    assert set(overlay.buttons) == {action.id for action in ACTIONS}
    button = overlay.buttons["forward"]
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    assert overlay.waiting
    with qtbot.waitSignal(overlay.rebound, timeout=1000):
        QTest.keyClick(button, Qt.Key.Key_Up)
    assert keys.key_of("forward") == "ArrowUp" and button.text() == "↑"
    assert overlay.buttons["look_up"].text() == "W"  # it had that key: exchanged
    assert not overlay.waiting
    reset = next(b for b in overlay.findChildren(QPushButton) if b.text() == "As delivered")
    QTest.mouseClick(reset, Qt.MouseButton.LeftButton)
    assert keys.changed() == {} and button.text() == "W"
    QTest.mouseClick(overlay, Qt.MouseButton.LeftButton, pos=host.rect().bottomRight())
    assert not overlay.isVisible()


def test_escape_leaves_a_key_as_it_was(host: QWidget) -> None:
    keys = KeyMap()
    overlay = HelpOverlay(keys, host)
    overlay.toggle()
    button = overlay.buttons["back"]
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    QTest.keyClick(button, Qt.Key.Key_Escape)
    assert keys.changed() == {} and not overlay.waiting and button.text() == "S"


def test_wording() -> None:
    assert sentence("waking") == "Waking" and sentence("") == ""
    assert thousands(1234567) == "1\u2009234\u2009567"
