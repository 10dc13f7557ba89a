"""The timeline on a real engine: filmstrip, keyframes, plan, tree, recording, path files."""

# ruff: noqa: F811 - fixtures are taken by name

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PyQt6.QtCore import QPoint, QPointF, Qt, QTimer
from PyQt6.QtWidgets import QInputDialog, QWidget
from pytestqt.qtbot import QtBot

from engine.formats import FORMATS
from engine.messages import Branch, Erase, Undo, Update, WorkerState
from engine.path import PRESETS
from tests.ui.panels_support import WAIT_MS, ask, bridge, fly_on, settle, shared_bridge, turned  # noqa: F401
from ui.bridge import EngineBridge
from ui.compare import CompareView
from ui.export_dialog import ExportDialog
from ui.path_model import PathModel
from ui.timeline import Timeline
from ui.timeline.tree_layout import layout_tree


@pytest.fixture
def timeline(qtbot: QtBot, bridge: EngineBridge) -> Timeline:
    widget = Timeline(bridge)
    qtbot.addWidget(widget)
    widget.resize(1200, 220)
    widget.show()
    qtbot.waitExposed(widget)
    return widget


def test_the_filmstrip_grows_and_a_click_goes_back(qtbot: QtBot, bridge: EngineBridge, timeline: Timeline) -> None:
    fly_on(qtbot, bridge, 3)
    strip = timeline.filmstrip
    steps = timeline.history.steps
    assert len(steps) >= 3
    assert strip.current == steps[-1].index
    wanted = steps[0]
    qtbot.mouseClick(strip.viewport(), Qt.MouseButton.LeftButton, pos=strip.step_rect(0).center())
    qtbot.waitUntil(lambda: bridge.tree is not None and bridge.tree.current == wanted.node, timeout=WAIT_MS)
    qtbot.waitUntil(lambda: strip.current == wanted.index, timeout=WAIT_MS)
    assert np.array_equal(bridge.camera.c2w, wanted.camera.c2w)
    assert steps[-1].node not in strip.alive  # the future is another branch now, drawn dimmed
    qtbot.keyClick(strip, Qt.Key.Key_End)
    qtbot.waitUntil(lambda: bridge.tree.current == steps[-1].node, timeout=WAIT_MS)


def test_a_step_that_is_drawn_again_is_one_picture_on_the_filmstrip(
    qtbot: QtBot, bridge: EngineBridge, timeline: Timeline
) -> None:
    """Refined, or looked at more closely while the camera rests."""
    fly_on(qtbot, bridge, 2)
    settle()
    steps = timeline.history.steps
    before, newest = len(steps), steps[-1]
    for refinement in (0, 1):
        drawn = replace(newest, refinement=refinement)
        bridge.updated.emit(Update(WorkerState.IDLE, steps=(drawn,)))
        assert len(steps) == before and steps[-1] is drawn
    assert [step.index for step in steps] == sorted({step.index for step in steps})


def test_keyframes_are_set_moved_edited_and_deleted(qtbot: QtBot, bridge: EngineBridge, timeline: Timeline) -> None:
    model, track = timeline.model, timeline.track
    start = bridge.camera
    for yaw in (0.0, 25.0, 50.0):
        bridge.place(turned(start, yaw, yaw / 10))
        qtbot.mouseClick(timeline.toolbar.add, Qt.MouseButton.LeftButton)
    assert len(model.keyframes) == 3
    assert model.selection == 2
    assert timeline.editor.isVisible()
    middle = QPoint(round(track.x_of(float(model.times_s[1]))), 50)
    qtbot.mousePress(track, Qt.MouseButton.LeftButton, pos=middle)
    assert model.selection == 1
    qtbot.mouseMove(track, middle + QPoint(12, 0))
    qtbot.mouseMove(track, middle + QPoint(60, 0))
    qtbot.mouseRelease(track, Qt.MouseButton.LeftButton, pos=middle + QPoint(60, 0))
    assert model.times_s[1] > 2.1
    assert model.times_s[2] == pytest.approx(4.0)  # the neighbours stay where they are
    editor = timeline.editor
    editor.fov.setFocus()
    editor.fov.selectAll()
    qtbot.keyClicks(editor.fov, "35")
    qtbot.keyClick(editor.fov, Qt.Key.Key_Return)
    assert model.keyframes[1].fov_deg == pytest.approx(35.0)
    editor.easing.setCurrentIndex(editor.easing.findData("hold"))
    editor.easing.activated.emit(editor.easing.currentIndex())
    assert model.keyframes[1].easing == "hold"
    track.setFocus()
    qtbot.keyClick(track, Qt.Key.Key_Delete)
    assert len(model.keyframes) == 2
    assert model.seconds == pytest.approx(4.0)
    qtbot.mouseClick(timeline.toolbar.clear, Qt.MouseButton.LeftButton)
    assert model.empty
    assert not timeline.toolbar.plan.isEnabled()


def test_what_is_previewed_is_what_is_rendered(qtbot: QtBot, bridge: EngineBridge, timeline: Timeline) -> None:
    model = timeline.model
    for yaw in (0.0, 20.0, 45.0):
        model.add(turned(bridge.camera, yaw, 1.0))
    path = model.cameras()
    assert path is not None and model.spec is not None
    assert path == model.spec.evaluate(model.size, fps=model.fps)
    for index in (0, 7, len(path) - 1):
        camera = model.camera_at(index / (len(path) - 1) * model.seconds)
        assert camera is not None
        assert np.allclose(camera.c2w, path[index].c2w, atol=1e-12)


def test_playing_moves_the_users_camera_along_the_path(qtbot: QtBot, bridge: EngineBridge, timeline: Timeline) -> None:
    start = bridge.camera
    model = timeline.model
    model.add(start)
    model.add(turned(start, 30.0, 1.0))
    model.move(1, 0.3)
    model.seek(0.0, look=False)
    seen: list[np.ndarray] = []
    bridge.camera_changed.connect(lambda camera: seen.append(camera.c2w))
    qtbot.mouseClick(timeline.toolbar.play, Qt.MouseButton.LeftButton)
    assert model.playing
    qtbot.waitUntil(lambda: not model.playing, timeout=WAIT_MS)
    assert len(seen) >= 2
    assert np.allclose(seen[-1], model.keyframes[1].c2w)
    qtbot.mouseClick(timeline.toolbar.back, Qt.MouseButton.LeftButton)
    assert model.playhead_s < 0.3
    timeline.jump(-1)
    assert model.playhead_s == 0.0
    assert model.selection == 0


def test_a_plan_tells_remembered_from_imagined(qtbot: QtBot, bridge: EngineBridge, timeline: Timeline) -> None:
    fly_on(qtbot, bridge, 2)
    model = timeline.model
    here = bridge.camera
    model.add(here)
    model.add(turned(here, 179.0))
    qtbot.mouseClick(timeline.toolbar.plan, Qt.MouseButton.LeftButton)
    assert model.planning
    qtbot.waitUntil(lambda: model.plan is not None, timeout=WAIT_MS)
    coverage = model.coverage_at(np.array([0.0, model.seconds]))
    assert coverage is not None
    assert coverage[0] > 0.9  # just seen
    assert coverage[1] < coverage[0]  # behind us
    model.add(turned(here, 90.0))
    assert model.plan is None  # the path has changed: the plan has lapsed


def test_the_world_tree_branches_renames_and_compares(qtbot: QtBot, bridge: EngineBridge, timeline: Timeline) -> None:
    fly_on(qtbot, bridge, 2, yaw_deg=30.0)
    panel = timeline.tree
    first_tip = bridge.tree.current
    lanes = len({item.y for item in layout_tree(bridge.tree)})
    qtbot.mouseClick(panel.undo, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bridge.tree.current != first_tip, timeout=WAIT_MS)
    assert panel.redo.isEnabled()
    panel.start_branch()
    dialog = panel.findChild(QInputDialog)
    dialog.setTextValue("north")
    dialog.accept()
    qtbot.waitUntil(lambda: any(node.label == "north" for node in bridge.tree.nodes), timeout=WAIT_MS)
    fly_on(qtbot, bridge, 1, yaw_deg=-70.0)
    assert len({item.y for item in layout_tree(bridge.tree)}) == lanes + 1  # another branch, another lane
    asked: list[int] = []
    timeline.compare_requested.connect(asked.append)
    qtbot.mouseClick(panel.compare, Qt.MouseButton.LeftButton)
    assert asked == [first_tip]
    graph = panel.graph
    tip = next(item for item in graph.items if item.node.id == first_tip)
    qtbot.mouseClick(graph, Qt.MouseButton.LeftButton, pos=graph.place(tip).toPoint())
    qtbot.waitUntil(lambda: bridge.tree.current == first_tip, timeout=WAIT_MS)
    panel.rename(first_tip)
    dialog = panel.findChildren(QInputDialog)[-1]
    dialog.setTextValue("the lake")
    dialog.accept()
    qtbot.waitUntil(lambda: any(node.label == "the lake" for node in bridge.tree.nodes), timeout=WAIT_MS)
    assert any(item.name == "the lake" for item in graph.items)


def test_recording_shows_how_many_frames_it_has(qtbot: QtBot, bridge: EngineBridge, timeline: Timeline) -> None:
    qtbot.mouseClick(timeline.toolbar.record, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bridge.world is not None and bridge.world.recording, timeout=WAIT_MS)
    fly_on(qtbot, bridge, 2)
    qtbot.mouseClick(timeline.toolbar.record, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not bridge.world.recording, timeout=WAIT_MS)
    assert bridge.world.recorded >= 2
    assert timeline.toolbar.recorded.text() == str(bridge.world.recorded)
    assert timeline.toolbar.film.isEnabled()  # without a path there is still the recorded flight


def test_a_path_leaves_and_comes_back_in_every_format(bridge: EngineBridge, timeline: Timeline, tmp_path: Path) -> None:
    model = timeline.model
    for yaw in (0.0, 20.0):
        model.add(turned(bridge.camera, yaw, 1.0))
    model.move(1, 0.5)
    spec, before = model.spec, model.cameras()
    assert spec is not None and before is not None
    for name, entry in FORMATS.items():
        model.set_spec(spec)
        target = tmp_path / name / entry.default_name
        target.parent.mkdir()
        assert timeline.files.save(target, name), name
        model.clear()
        assert timeline.files.load(target), name
        after = model.cameras()
        assert after is not None
        assert len(after) == len(before), name
        assert np.allclose(after.c2ws, before.c2ws, atol=1e-5), name
        assert (model.spec is not None) == (name == "mirage")  # our own files stay editable


def test_a_file_that_is_no_path_is_one_sentence(bridge: EngineBridge, timeline: Timeline, tmp_path: Path) -> None:
    notices = []
    timeline.noticed.connect(notices.append)
    broken = tmp_path / "broken.json"
    broken.write_text('{"camera_path": [')
    assert not timeline.files.load(broken)
    assert len(notices) == 1
    assert "broken.json" in notices[0].text
    assert timeline.model.empty


def test_every_preset_flies_from_the_current_view(qtbot: QtBot, bridge: EngineBridge, timeline: Timeline) -> None:
    menu = timeline.toolbar.presets.menu()
    entries = [entry for entry in menu.actions() if entry.text() and entry.menu() is None]
    assert len(entries) == len(PRESETS)
    for entry in entries:
        timeline.model.clear()
        entry.trigger()
        qtbot.waitUntil(lambda: timeline.model.fixed is not None, timeout=WAIT_MS)
        path = timeline.model.cameras()
        assert path is not None and len(path) == 120
        assert np.allclose(path[0].c2w, bridge.camera.c2w)
        assert path[0].size == timeline.model.size
    timeline.model.to_keyframes()
    assert len(timeline.model.keyframes) == 8


def test_the_path_comes_back_with_the_session(
    qtbot: QtBot, bridge: EngineBridge, timeline: Timeline, tmp_path: Path
) -> None:
    from engine.messages import OpenSession, SaveSession

    model = timeline.model
    for yaw in (0.0, 20.0):
        model.add(turned(bridge.camera, yaw, 1.0))
    model.edit(0, easing="smooth", name="gate")
    kept = model.spec
    model._send_notes()
    saved = ask(qtbot, bridge, SaveSession(tmp_path / "world.mirage"))
    model.clear()
    model._note.stop()
    ask(qtbot, bridge, OpenSession(Path(saved)))
    qtbot.waitUntil(lambda: model.spec is not None, timeout=WAIT_MS)
    assert model.spec == kept


def test_edits_show_in_the_tree(qtbot: QtBot, bridge: EngineBridge, timeline: Timeline) -> None:
    before = bridge.tree.current
    ask(qtbot, bridge, Branch("gate"))
    bridge.do(Erase(np.arange(5)))
    qtbot.waitUntil(lambda: bridge.tree.current != before, timeout=WAIT_MS)
    graph = timeline.tree.graph
    qtbot.waitUntil(lambda: any(item.name in ("gate", "edit") for item in graph.items), timeout=WAIT_MS)
    bridge.do(Undo())
    qtbot.waitUntil(lambda: graph.current_item() is not None, timeout=WAIT_MS)
    assert graph.item_at(QPointF(-50, -50)) == -1


def test_models_are_shared_and_cleared_with_the_world(qtbot: QtBot, bridge: EngineBridge, timeline: Timeline) -> None:
    from engine.messages import OpenWorld

    assert PathModel.of(bridge) is timeline.model
    timeline.model.add(bridge.camera)
    epoch = bridge.world.epoch
    bridge.do(OpenWorld("snow", 3, start="nothing"))
    qtbot.waitUntil(lambda: bridge.world.epoch > epoch, timeout=WAIT_MS)
    qtbot.waitUntil(lambda: timeline.model.empty, timeout=WAIT_MS)
    assert len(timeline.history.steps) <= 1


def test_panels_leave_nothing_behind(qtbot: QtBot, bridge: EngineBridge) -> None:
    """Opened and closed panels are gone: the bridge, which outlives them, keeps none of them alive."""
    kept: list[weakref.ref[QWidget]] = []
    timers = len(bridge.findChildren(QTimer))
    for kind in (Timeline, CompareView, ExportDialog):
        widget = kind(bridge)
        widget.show()
        qtbot.waitExposed(widget)
        kept.append(weakref.ref(widget))
        widget.close()
        widget.deleteLater()
        del widget
        settle()
    gc.collect()
    settle()
    gc.collect()
    assert [reference() for reference in kept if reference() is not None] == []
    assert len(bridge.findChildren(QTimer)) == timers
