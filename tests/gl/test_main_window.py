"""The whole window: real events, the real engine thread, real OpenGL; the tiny model."""

from __future__ import annotations

import gc
import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from PyQt6.QtCore import QEvent, QPointF, Qt, QTimer
from PyQt6.QtGui import QMouseEvent
from PyQt6.QtTest import QTest
from PyQt6.QtWidgets import QApplication, QLineEdit
from pytestqt.qtbot import QtBot

from engine.messages import Export, ExportJob, OpenImage, OpenWorld, WorkerState
from tests.gl.window_support import NOTHING, open_window, picture, spread
from tests.ui.panels_support import WAIT_MS, settle
from ui.app import install_excepthook
from ui.main_window import MainWindow

pytestmark = pytest.mark.gl


@pytest.fixture(scope="module")
def shared(request, qapp, tiny_model, tmp_path_factory) -> Iterator[MainWindow]:  # type: ignore[no-untyped-def]
    """One window for the tests that leave it as they found it: opening one takes longer than most of them."""
    with open_window(QtBot(request), tiny_model, tmp_path_factory.mktemp("window")) as opened:
        yield opened


@pytest.fixture
def window(shared: MainWindow, qtbot: QtBot) -> Iterator[MainWindow]:
    shared.activateWindow()
    shared.stage.view.setFocus()
    assert shared.in_world and shared.stage.view.showing == "generated"
    yield shared
    shared.keys.release_all()
    wait_idle(qtbot, shared)
    shared.messages.clear()
    shared.help.dismiss()


def hold(window: MainWindow, key: Qt.Key, milliseconds: int, qtbot: QtBot) -> None:
    """Hold a key in the live view for a while."""
    QTest.keyPress(window.stage.view, key)
    qtbot.wait(milliseconds)
    QTest.keyRelease(window.stage.view, key)


def ticking(window: MainWindow) -> int:
    """Timers that tick until they are stopped; those that delay something once stop by themselves."""
    return sum(timer.isActive() and not timer.isSingleShot() for timer in window.findChildren(QTimer))


def wait_idle(qtbot: QtBot, window: MainWindow) -> None:
    qtbot.waitUntil(lambda: window.bridge.state is WorkerState.IDLE and not window.pilot.moving, timeout=WAIT_MS)


def test_the_first_frame_is_on_screen_and_every_panel_is_there(window: MainWindow) -> None:
    view = window.stage.view
    assert view.showing == "generated" and spread(picture(view)) > 2.0
    assert all(dock.isVisible() for dock in window.docks.values())
    areas = {name: dock.width() * dock.height() for name, dock in window.docks.items()}
    assert view.width() * view.height() > max(areas.values())
    assert view.width() >= 0.55 * window.width()


def test_flying_previews_at_once_and_generates_after(window: MainWindow, qtbot: QtBot) -> None:
    bridge = window.bridge
    before, frame = bridge.camera, bridge.frame
    assert before is not None and frame is not None
    QTest.keyPress(window.stage.view, Qt.Key.Key_W)
    qtbot.waitUntil(lambda: window.stage.view.showing == "preview", timeout=2000)
    qtbot.wait(300)
    QTest.keyRelease(window.stage.view, Qt.Key.Key_W)
    qtbot.waitUntil(lambda: window.stage.view.showing == "generated", timeout=WAIT_MS)
    assert bridge.camera is not None and bridge.frame is not None
    travelled = (bridge.camera.position - before.position) @ before.forward
    assert 0.1 < travelled < 6.0
    assert bridge.frame.result.index > frame.result.index
    wait_idle(qtbot, window)


def test_looking_with_the_mouse_turns_the_camera(window: MainWindow, qtbot: QtBot) -> None:
    view = window.stage.view
    before = window.bridge.camera
    assert before is not None

    def send(kind: QEvent.Type, x: float, held: Qt.MouseButton) -> None:
        at = QPointF(x, 200)
        button = Qt.MouseButton.NoButton if kind == QEvent.Type.MouseMove else Qt.MouseButton.RightButton
        QApplication.sendEvent(
            view, QMouseEvent(kind, at, QPointF(view.mapToGlobal(at)), button, held, Qt.KeyboardModifier.NoModifier)
        )

    send(QEvent.Type.MouseButtonPress, 400, Qt.MouseButton.RightButton)
    send(QEvent.Type.MouseMove, 440, Qt.MouseButton.RightButton)
    send(QEvent.Type.MouseButtonRelease, 440, Qt.MouseButton.NoButton)
    assert window.bridge.camera is not None
    turned = (before.yaw_deg - window.bridge.camera.yaw_deg) % 360
    assert turned == pytest.approx(40 * window.pilot.settings.look_deg_per_px, abs=1e-6)
    qtbot.waitUntil(lambda: view.showing == "generated", timeout=WAIT_MS)


def test_motion_does_not_depend_on_the_frame_rate(window: MainWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    pilot, clock = window.pilot, [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    start = window.bridge.camera
    assert start is not None
    ends = []
    for steps in (10, 100):
        pilot.take_over(start)
        QTest.keyPress(window.stage.view, Qt.Key.Key_D)
        for _ in range(steps):
            clock[0] += 1.0 / steps
            pilot.tick()
        QTest.keyRelease(window.stage.view, Qt.Key.Key_D)
        assert pilot.camera is not None
        ends.append(pilot.camera.position)
        pilot.stop()
    assert abs(ends[0] - ends[1]).max() < 1e-6
    assert abs(ends[0] - start.position).max() > 1.0


def test_on_foot_a_wall_stops_one_and_in_flight_it_does_not(
    window: MainWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    pilot, clock = window.pilot, [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    start, frame = window.bridge.camera, window.bridge.frame
    assert start is not None and frame is not None
    two_metres = np.full_like(frame.result.inverse_depth, 0.5)
    wall = replace(frame, result=replace(frame.result, camera=start, inverse_depth=two_metres))
    ways_m = []
    for on_foot, arrives in ((True, True), (False, True), (True, False)):
        pilot.take_over(start)
        if arrives:
            pilot.set_level(on_foot)
            window.bridge.frame_arrived.emit(wall)
        else:  # it was there before
            monkeypatch.setattr(window.bridge, "frame", wall)
            pilot.set_level(on_foot)
        QTest.keyPress(window.stage.view, Qt.Key.Key_W)
        for _ in range(60):
            clock[0] += 1.0 / 60.0
            pilot.tick()
        QTest.keyRelease(window.stage.view, Qt.Key.Key_W)
        assert pilot.camera is not None
        ways_m.append(float(np.linalg.norm(pilot.camera.position - start.position)))
        pilot.stop()
    pilot.set_level(False)
    pilot.take_over(start)
    assert 1.2 < ways_m[0] < 1.8
    assert ways_m[1] > 3.0
    assert ways_m[2] == pytest.approx(ways_m[0], abs=0.05)


def test_in_a_building_one_walks_and_outdoors_one_flies(window: MainWindow, qtbot: QtBot) -> None:
    def risen() -> float:
        """Metres up while W is held and one looks up."""
        assert window.pilot.camera is not None
        window.pilot.turn(0.0, -150.0)
        before = window.pilot.camera.position[2]
        QTest.keyPress(window.stage.view, Qt.Key.Key_W)
        qtbot.wait(250)
        QTest.keyRelease(window.stage.view, Qt.Key.Key_W)
        wait_idle(qtbot, window)
        return float(window.pilot.camera.position[2] - before)

    assert risen() > 0.05
    window.open_world(replace(NOTHING, biome="interior"))
    qtbot.waitUntil(lambda: window.bridge.world.biome == "interior", timeout=WAIT_MS)  # type: ignore[union-attr]
    qtbot.waitUntil(lambda: window.stage.view.showing == "generated", timeout=WAIT_MS)
    window.stage.view.setFocus()
    assert risen() == 0.0 and window.actions_["level"].isChecked()
    QTest.keyClick(window.stage.view, Qt.Key.Key_L)
    assert risen() > 0.05 and not window.actions_["level"].isChecked()


def test_typing_in_a_field_of_the_window_never_flies(window: MainWindow, qtbot: QtBot) -> None:
    field = QLineEdit(window)
    field.move(20, 80)
    field.show()
    field.setFocus()
    before = window.bridge.camera
    QTest.keyClicks(field, "wasdeq")
    qtbot.wait(60)
    assert field.text() == "wasdeq"
    assert window.bridge.camera == before and not window.pilot.moving


def test_undo_goes_back_and_takes_the_camera_along(window: MainWindow, qtbot: QtBot) -> None:
    hold(window, Qt.Key.Key_D, 250, qtbot)
    qtbot.waitUntil(lambda: window.stage.view.showing == "generated", timeout=WAIT_MS)
    wait_idle(qtbot, window)
    tree = window.bridge.tree
    assert tree is not None
    if not window.actions_["undo"].isEnabled():
        pytest.fail("a flight to the side wrote nothing that could be undone")
    QTest.keyClick(window, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: window.bridge.tree.current != tree.current, timeout=WAIT_MS)  # type: ignore[union-attr]
    qtbot.waitUntil(lambda: window.bridge.frame.recalled, timeout=WAIT_MS)  # type: ignore[union-attr]
    assert window.bridge.camera == window.bridge.frame.result.camera  # type: ignore[union-attr]
    assert window.stage.view.showing == "generated" and window.actions_["redo"].isEnabled()
    window.actions_["redo"].trigger()
    qtbot.waitUntil(lambda: window.bridge.tree.current == tree.current, timeout=WAIT_MS)  # type: ignore[union-attr]


def test_figures_show_and_hide_and_are_remembered(window: MainWindow, qtbot: QtBot) -> None:
    QTest.keyClick(window.stage.view, Qt.Key.Key_I)
    assert window.stage.hud.isVisible()
    names = [name for name, _ in window.stage.hud.rows()]
    assert {"generated", "input to photon", "steps", "remembered", "points", "memory", "device"} <= set(names)
    assert {name for name, *_ in window.stage.hud.stages()} >= {"readout", "imagine", "decode", "write"}
    window.store.save()
    assert json.loads(window.store.path.read_text())["show_hud"] is True  # type: ignore[union-attr]
    QTest.keyClick(window.stage.view, Qt.Key.Key_F3)
    assert not window.stage.hud.isVisible()


def test_help_covers_the_window_and_escape_closes_it(window: MainWindow) -> None:
    QTest.keyClick(window.stage.view, Qt.Key.Key_H)
    assert window.help.isVisible() and window.help.size() == window.size()
    QTest.keyClick(window.help, Qt.Key.Key_Escape)
    assert not window.help.isVisible()


def test_losing_the_window_stops_the_flight(window: MainWindow, qtbot: QtBot) -> None:
    QTest.keyPress(window.stage.view, Qt.Key.Key_W)
    qtbot.waitUntil(lambda: window.pilot.moving, timeout=1000)
    QApplication.sendEvent(window, QEvent(QEvent.Type.WindowDeactivate))
    qtbot.waitUntil(lambda: not window.pilot.moving, timeout=WAIT_MS)
    here = window.bridge.camera
    qtbot.wait(100)
    assert window.bridge.camera == here


def test_the_gallery_and_back(window: MainWindow, qtbot: QtBot) -> None:
    window.show_start()
    assert not any(dock.isVisible() for dock in window.docks.values())
    QTest.keyPress(window.start_page, Qt.Key.Key_W)
    assert window.keys.held == frozenset()
    window.open_world(replace(NOTHING, seed=8))
    qtbot.waitUntil(lambda: window.bridge.world is not None and window.bridge.world.seed == 8, timeout=WAIT_MS)
    qtbot.waitUntil(lambda: window.stage.view.showing == "generated", timeout=WAIT_MS)
    assert window.in_world


def test_what_cannot_be_opened_is_said_and_the_world_stays(window: MainWindow, qtbot: QtBot, tmp_path: Path) -> None:
    window.open_world(OpenImage(tmp_path / "missing.png"))
    qtbot.waitUntil(lambda: bool(window.messages.bars()), timeout=WAIT_MS)
    notice = window.messages.bars()[0].notice
    assert notice.level == "error" and "missing.png" in notice.text
    qtbot.waitUntil(lambda: window.stage.view.frame is not None, timeout=WAIT_MS)
    assert not window.stage.veil.isVisible()


def test_an_error_in_a_slot_becomes_a_message(window: MainWindow, qtbot: QtBot) -> None:
    before = sys.excepthook
    try:
        install_excepthook(window.say)
        try:
            raise ValueError("a slot went wrong")
        except ValueError as error:
            sys.excepthook(ValueError, error, error.__traceback__)
    finally:
        sys.excepthook = before
    assert "a slot went wrong" in window.messages.bars()[-1].notice.text


def test_larger_text_and_back(window: MainWindow) -> None:
    window.actions_["bigger"].trigger()
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    assert app.font().pointSizeF() == pytest.approx(11.0)
    assert not picture(window).isNull()
    window.actions_["smaller"].trigger()
    assert app.font().pointSizeF() == pytest.approx(10.0)


def test_quality_is_asked_of_the_engine(window: MainWindow, qtbot: QtBot) -> None:
    QTest.mouseClick(window.quality.steps_buttons[2], Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: window.bridge.quality is not None and window.bridge.quality.steps == 2, timeout=WAIT_MS)
    assert window.header.quality_button.text() == "2 steps"


@pytest.mark.timeout(300)
def test_a_flight_of_three_hundred_generated_frames(window: MainWindow, qtbot: QtBot) -> None:
    """Held keys and mouse for 300 frames: the window stays alive, and no thread, timer or widget is left over."""
    view, bridge = window.stage.view, window.bridge
    hold(window, Qt.Key.Key_W, 120, qtbot)
    wait_idle(qtbot, window)
    threads, widgets = threading.active_count(), len(QApplication.allWidgets())
    timers = ticking(window)
    frames: list[int] = []
    bridge.frame_arrived.connect(lambda update: frames.append(update.result.index))
    last = bridge.frame.result.index + 300  # type: ignore[union-attr]
    keys = (Qt.Key.Key_W, Qt.Key.Key_D, Qt.Key.Key_S, Qt.Key.Key_A)
    deadline = time.monotonic() + 240
    turn = 0
    while bridge.frame.result.index < last and time.monotonic() < deadline:  # type: ignore[union-attr]
        key = keys[turn % len(keys)]
        QTest.keyPress(view, key)
        window.mouse.turned.emit(25.0, 4.0 if turn % 2 else -4.0)
        qtbot.wait(350)
        QTest.keyRelease(view, key)
        turn += 1
    assert bridge.frame.result.index >= last  # type: ignore[union-attr]
    assert frames == sorted(set(frames))
    wait_idle(qtbot, window)
    assert view.showing == "generated" and spread(picture(view)) > 2.0
    settle()
    assert threading.active_count() <= threads
    assert ticking(window) <= timers
    # A delay that was running when the flight ended runs out; one that is left over starts again and again.
    qtbot.waitUntil(lambda: not any(t.isActive() and t.isSingleShot() for t in window.findChildren(QTimer)))
    assert len(QApplication.allWidgets()) <= widgets + 2


def test_twenty_worlds_do_not_pile_up(window: MainWindow, qtbot: QtBot) -> None:
    def open_one(seed: int) -> None:
        window.open_world(replace(NOTHING, seed=seed))
        qtbot.waitUntil(
            lambda: window.bridge.world.seed == seed and window.stage.view.showing == "generated",  # type: ignore[union-attr]
            timeout=WAIT_MS,
        )

    for seed in range(30, 34):
        open_one(seed)
    settle()
    gc.collect()
    widgets, threads = len(QApplication.allWidgets()), threading.active_count()
    before = psutil.Process().memory_info().rss
    for seed in range(40, 60):
        open_one(seed)
    settle()
    gc.collect()
    assert len(QApplication.allWidgets()) <= widgets + 2
    assert threading.active_count() <= threads
    assert (psutil.Process().memory_info().rss - before) / 2**20 < 60.0


def test_it_stops_within_two_seconds_while_generating(qtbot: QtBot, tiny_model, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with open_window(qtbot, tiny_model, tmp_path, steps=8) as window:
        QTest.keyPress(window.stage.view, Qt.Key.Key_W)
        qtbot.wait(150)
        assert window.bridge.state is not WorkerState.STOPPED


def test_it_stops_within_two_seconds_while_warming_up(qtbot: QtBot, tiny_model, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with open_window(qtbot, tiny_model, tmp_path, first=None) as window:
        assert not window.in_world


def test_it_stops_within_two_seconds_while_exporting(qtbot: QtBot, tiny_model, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    film = tmp_path / "film.mp4"
    with open_window(qtbot, tiny_model, tmp_path) as window:
        camera = window.bridge.camera
        assert camera is not None
        window.bridge.do(Export(ExportJob(film, cameras=(camera,) * 400)))
        qtbot.waitUntil(lambda: window.bridge.state is WorkerState.EXPORTING, timeout=WAIT_MS)
        qtbot.wait(400)
    if film.exists():  # what was rendered is playable
        import av

        with av.open(str(film)) as container:
            assert next(container.decode(video=0)).width > 0


def test_settings_and_bindings_survive_a_restart(qtbot: QtBot, tiny_model, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with open_window(qtbot, tiny_model, tmp_path, first=None) as window:
        window.keymap.bind("forward", "KeyO")
        window.help.rebound.emit()
        window.pilot.set_speed(9.0)
    with open_window(qtbot, tiny_model, tmp_path, first=None) as window:
        assert window.keymap.key_of("forward") == "KeyO"
        assert window.pilot.speed_m_s == pytest.approx(9.0)
        assert window.help.buttons["forward"].text() == "O"


def test_a_window_leaves_no_threads_behind(qtbot: QtBot, tiny_model, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    before = {thread.name for thread in threading.enumerate()}
    with open_window(qtbot, tiny_model, tmp_path, first=OpenWorld("coast", 3, start="nothing")):
        assert "mirage-engine" in {thread.name for thread in threading.enumerate()}
    assert {thread.name for thread in threading.enumerate()} <= before
