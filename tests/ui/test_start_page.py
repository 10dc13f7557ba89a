"""The gallery: what it opens, its pictures, drops and recent sessions. The pictures come from the real process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PyQt6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PyQt6.QtGui import QDragEnterEvent, QDropEvent, QPixmap
from PyQt6.QtTest import QTest
from PyQt6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from engine.messages import EngineSettings, OpenImage, OpenSession, OpenWorld
from engine.thumbnails import main as serve_thumbnails
from engine.thumbnails import render_thumbnail, thumbnail_name
from engine.worker import EngineWorker
from ui.bridge import EngineBridge
from ui.catalogue import GALLERY, TIMES
from ui.settings import SettingsStore
from ui.start_page import StartPage
from ui.start_panel import split_drop
from ui.thumbnails import Thumbnails


@pytest.fixture
def page(qtbot: QtBot, tmp_path: Path) -> Iterator[StartPage]:
    """A page whose engine was never started: choosing needs none."""
    bridge = EngineBridge(lambda wake: EngineWorker(wake, settings=EngineSettings()))
    thumbnails = Thumbnails(tmp_path / "thumbnails")
    widget = StartPage(bridge, SettingsStore(tmp_path / "settings.json"), thumbnails)
    qtbot.addWidget(widget)
    widget.resize(1240, 700)
    widget.show()
    yield widget
    thumbnails.stop()


def opened(page: StartPage) -> list[object]:
    commands: list[object] = []
    page.open_requested.connect(commands.append)
    return commands


def test_the_gallery_shows_worlds_that_exist() -> None:
    from engine.worlds import BIOMES
    from engine.worlds import TIMES as ENGINE_TIMES

    assert {world.biome for world in GALLERY} == set(BIOMES)
    assert {key for key, _ in TIMES} - {""} == set(ENGINE_TIMES)


def test_choosing_a_card_and_entering(page: StartPage) -> None:
    commands = opened(page)
    card = next(card for card in page.cards if card.world.biome == "coast")
    QTest.mouseClick(card, Qt.MouseButton.LeftButton)
    page.panel.seed_box.setValue(42)
    page.panel.time_box.setCurrentIndex(page.panel.time_box.findData("dusk"))
    QTest.mouseClick(page.panel.enter_button, Qt.MouseButton.LeftButton)
    assert commands == [OpenWorld("coast", 42, "dusk", start="view")]
    assert SettingsStore(page._store.path).values.biome == "coast"


def test_from_nothing_by_keyboard_alone(page: StartPage, qtbot: QtBot) -> None:
    commands = opened(page)
    page.activateWindow()
    page.panel.nothing_button.setFocus()
    QTest.keyClick(page.panel.nothing_button, Qt.Key.Key_Space)
    page.panel.enter_button.setFocus()
    QTest.keyClick(page.panel.enter_button, Qt.Key.Key_Space)
    assert len(commands) == 1
    assert commands[0].start == "nothing"  # type: ignore[attr-defined]


def test_double_click_enters(page: StartPage) -> None:
    commands = opened(page)
    QTest.mouseDClick(page.cards[3], Qt.MouseButton.LeftButton)
    assert [c.biome for c in commands] == [GALLERY[3].biome]  # type: ignore[attr-defined]


def test_somewhere_is_one_of_the_biomes(page: StartPage) -> None:
    QTest.mouseClick(page.cards[-1], Qt.MouseButton.LeftButton)
    assert page.command().biome in {world.biome for world in GALLERY}


def test_dice_throw_another_seed(page: StartPage) -> None:
    seeds = set()
    for _ in range(4):
        QTest.mouseClick(page.panel.dice, Qt.MouseButton.LeftButton)
        seeds.add(page.panel.seed)
    assert len(seeds) > 1


def test_every_control_can_be_reached_and_has_a_name(page: StartPage) -> None:
    panel = page.panel
    controls = (*page.cards, panel.seed_box, panel.dice, panel.time_box, panel.view_button, panel.nothing_button)
    for control in controls:
        assert control.focusPolicy() & Qt.FocusPolicy.TabFocus
        assert control.accessibleName()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.png"], ("a.png", None)),
        (["a.jpg", "a_depth.png"], ("a.jpg", "a_depth.png")),
        (["z.npy", "a.jpg"], ("a.jpg", "z.npy")),
        (["a.png", "b.png"], None),
        (["notes.txt"], None),
        ([], None),
    ],
)
def test_what_is_dropped_is_told_apart(names: list[str], expected: tuple[str, str | None] | None) -> None:
    found = split_drop([Path(name) for name in names])
    assert found == (None if expected is None else (Path(expected[0]), Path(expected[1]) if expected[1] else None))


def drop(page: StartPage, *paths: Path) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(50, 50), Qt.DropAction.CopyAction, data, left, none)
    QApplication.sendEvent(page, enter)
    assert enter.isAccepted()
    QApplication.sendEvent(page, QDropEvent(QPointF(50, 50), Qt.DropAction.CopyAction, data, left, none))


def test_drag_and_drop(page: StartPage, tmp_path: Path) -> None:
    commands = opened(page)
    notices: list[object] = []
    page.noticed.connect(notices.append)
    drop(page, tmp_path / "house.png", tmp_path / "house_depth.npy")
    drop(page, tmp_path / "walk.mirage")
    assert commands == [
        OpenImage(tmp_path / "house.png", tmp_path / "house_depth.npy"),
        OpenSession(tmp_path / "walk.mirage"),
    ]
    drop(page, tmp_path / "notes.txt")
    assert len(commands) == 2 and len(notices) == 1


def test_recent_sessions_are_one_click_away(page: StartPage, tmp_path: Path) -> None:
    from PyQt6.QtWidgets import QPushButton

    session = tmp_path / "walk.mirage"
    session.touch()
    page._store.values.add_recent(session)
    page.panel.refresh_recent()
    commands = opened(page)
    button = next(b for b in page.panel.findChildren(QPushButton) if b.text() == "walk")
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    assert commands == [OpenSession(session.resolve())]


def test_thumbnails_are_rendered_once_and_cached(
    qapp: QApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.thumbnails.SIZE", (36, 64))
    path = render_thumbnail(tmp_path, "desert", 3, "noon")
    assert path.name == thumbnail_name("desert", 3, "noon")
    written = path.stat().st_mtime_ns
    assert render_thumbnail(tmp_path, "desert", 3, "noon").stat().st_mtime_ns == written
    assert not QPixmap(str(path)).isNull()


def test_thumbnails_say_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import io

    monkeypatch.setattr("os.nice", lambda _step: 0)
    monkeypatch.setattr("sys.stdin", io.StringIO("nowhere 3 -\n\nmeadow x -\n"))
    assert serve_thumbnails([str(tmp_path)]) == 0
    answers = capsys.readouterr().out.splitlines()
    assert len(answers) == 2 and all(answer.startswith("! ") for answer in answers)


def test_the_child_process_ends_with_the_gallery(qtbot: QtBot, tmp_path: Path) -> None:
    before = threading.active_count()
    thumbnails = Thumbnails(tmp_path)
    assert thumbnails.ask("meadow", 1, "") is None
    assert thumbnails._process is None  # not allowed yet: the engine is still warming up
    thumbnails.allow(True)
    process = thumbnails._process
    assert process is not None
    assert process.waitForStarted(5000)
    thumbnails.stop()
    assert process.state() == process.ProcessState.NotRunning
    assert threading.active_count() == before


def test_a_damaged_thumbnail_is_rendered_again(qtbot: QtBot, tmp_path: Path) -> None:
    path = tmp_path / thumbnail_name("meadow", 1, "")
    path.write_bytes(b"not a picture")
    assert Thumbnails(tmp_path).find("meadow", 1, "") is None
    assert not path.exists()


def test_the_kind_of_memory_can_be_chosen_and_is_kept(page: StartPage) -> None:
    from engine.messages import MEMORY_VARIANTS

    box = page.panel.memory_box
    assert tuple(box.itemData(k) for k in range(box.count())) == MEMORY_VARIANTS
    box.setCurrentIndex(box.findData("rgb"))
    assert page.command().memory == "rgb"
    page.enter()
    assert SettingsStore(page._store.path).values.memory == "rgb"


def test_where_one_left_off_is_offered(page: StartPage, tmp_path: Path) -> None:
    from PyQt6.QtWidgets import QPushButton

    autosave = tmp_path / "autosave.mirage"
    page._store.autosave = autosave
    page.panel.refresh_recent()
    assert not [b for b in page.panel.findChildren(QPushButton) if b.text() == "Where you left off"]
    autosave.touch()
    page.panel.refresh_recent()
    commands = opened(page)
    button = next(b for b in page.panel.findChildren(QPushButton) if b.text() == "Where you left off")
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    assert commands == [OpenSession(autosave)]
