"""Exporting on a real engine: films that play, cancelling, stills, and the same film from the command line."""

# ruff: noqa: F811 - fixtures are taken by name

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from engine.messages import ExportJob, Failed, Record, SaveSession, StepSummary
from tests.ui.panels_support import WAIT_MS, bridge, fly_on, open_bridge, shared_bridge, turned  # noqa: F401
from ui.bridge import EngineBridge
from ui.export_dialog import ExportDialog
from ui.export_dialog.estimate import duration_text, frame_seconds
from ui.path_model import PathModel


@pytest.fixture
def dialog(qtbot: QtBot, bridge: EngineBridge) -> ExportDialog:
    widget = ExportDialog(bridge)
    qtbot.addWidget(widget)
    widget.show()
    qtbot.waitExposed(widget)
    return widget


def set_path(bridge: EngineBridge, seconds: float = 0.5, fps: float = 10.0) -> PathModel:
    model = PathModel.of(bridge)
    model.set_fps(fps)
    model.add(bridge.camera)
    model.add(turned(bridge.camera, 40.0, 1.5))
    model.move(1, seconds)
    return model


def choose_file(qtbot: QtBot, dialog: ExportDialog, path: Path) -> None:
    dialog.form.path.setFocus()
    dialog.form.path.selectAll()
    qtbot.keyClicks(dialog.form.path, str(path))


def frames_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as film:
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]


def test_without_a_path_nothing_can_be_made(dialog: ExportDialog) -> None:
    assert not dialog.start.isEnabled()
    assert not dialog.copy.isEnabled()
    assert "nothing to film" in dialog.problem.text()


def test_a_film_of_the_path_plays(qtbot: QtBot, bridge: EngineBridge, dialog: ExportDialog, tmp_path: Path) -> None:
    model = set_path(bridge)
    target = tmp_path / "flight.mp4"
    choose_file(qtbot, dialog, target)
    qtbot.waitUntil(lambda: dialog.preview._second is not None, timeout=WAIT_MS)  # the still
    before = bridge.tree
    dialog.form.layout_buttons["side-by-side"].click()
    qtbot.mouseClick(dialog.start, Qt.MouseButton.LeftButton)
    assert dialog.film_id and not dialog.start.isEnabled()
    assert dialog.isVisible() and not dialog.isModal()
    qtbot.waitUntil(lambda: not dialog.film_id, timeout=WAIT_MS)
    frames = frames_of(target)
    assert len(frames) == len(model.cameras())
    height, width = bridge.world.size
    assert frames[0].shape == (height, 3 * width + 4, 3)
    assert "is ready" in dialog.progress.title.text()
    assert Path(dialog.form.path.text()).name == "flight-2.mp4"  # the next film does not replace this one
    assert bridge.tree.current == before.current  # the user's world is as it was


@pytest.mark.parametrize("ending", [".webm", ".gif", ""])
def test_other_kinds_of_film(
    qtbot: QtBot, bridge: EngineBridge, dialog: ExportDialog, tmp_path: Path, ending: str
) -> None:
    set_path(bridge, seconds=0.2)
    choose_file(qtbot, dialog, tmp_path / "flight.mp4")
    dialog.form.kind.setCurrentIndex(dialog.form.kind.findData(ending))
    target = Path(dialog.form.path.text())
    assert target.suffix == ending
    dialog.start_film()
    qtbot.waitUntil(lambda: not dialog.film_id, timeout=WAIT_MS)
    assert len(list(target.iterdir()) if ending == "" else frames_of(target)) == 3


def test_stopping_keeps_a_playable_film(
    qtbot: QtBot, bridge: EngineBridge, dialog: ExportDialog, tmp_path: Path
) -> None:
    set_path(bridge, seconds=60.0)
    target = tmp_path / "long.mp4"
    choose_file(qtbot, dialog, target)
    dialog.start_film()
    ident = dialog.film_id
    progress = dialog.progress
    qtbot.waitUntil(lambda: progress.progress is not None and progress.progress.frame >= 2, timeout=WAIT_MS)
    assert "frames/s" in progress.detail.text()
    fly_on_before = bridge.frame.result.index
    bridge.look(turned(bridge.camera, 15.0), moving=True)  # the app stays usable
    qtbot.waitUntil(lambda: bridge.frame.result.index > fly_on_before, timeout=WAIT_MS)
    qtbot.mouseClick(progress.cancel, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dialog.film_id != ident, timeout=WAIT_MS)
    assert progress.progress.cancelled
    frames = frames_of(target)
    assert 2 <= len(frames) < 600
    assert len(frames) == progress.progress.frame


def test_what_cannot_work_is_said_at_once(
    qtbot: QtBot, bridge: EngineBridge, dialog: ExportDialog, tmp_path: Path
) -> None:
    set_path(bridge)
    choose_file(qtbot, dialog, tmp_path / "missing" / "flight.mp4")
    assert "does not exist" in dialog.problem.text()
    assert not dialog.start.isEnabled()
    choose_file(qtbot, dialog, tmp_path / "flight.avi")
    assert ".avi" in dialog.problem.text()
    choose_file(qtbot, dialog, tmp_path / "flight.mp4")
    assert not dialog.problem.isVisible()
    assert dialog.start.isEnabled()


def test_the_copied_command_renders_the_same_frames(
    qtbot: QtBot,
    tmp_path: Path,
    tiny_model,  # type: ignore[no-untyped-def]
) -> None:
    """The app's film and the command's, frame for frame, in a memory that has been flown through before."""
    from engine.models.embedded import EmbeddedModel
    from mirage_app.cli import main

    folder = tmp_path / "model"
    tiny_model.save(folder)
    with open_bridge(EmbeddedModel.load(folder)) as bridge:
        dialog = ExportDialog(bridge)
        qtbot.addWidget(dialog)
        dialog.show()
        fly_on(qtbot, bridge, 2)
        set_path(bridge, seconds=0.4)
        mine = tmp_path / "app"
        choose_file(qtbot, dialog, mine)
        QApplication.clipboard().clear()
        qtbot.mouseClick(dialog.copy, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: QApplication.clipboard().text().startswith("mirage fly"), timeout=WAIT_MS)
        words = shlex.split(QApplication.clipboard().text())
        dialog.start_film()
        qtbot.waitUntil(lambda: not dialog.film_id, timeout=WAIT_MS)
    theirs = tmp_path / "command"
    words[words.index("--out") + 1] = str(theirs)
    assert main([*words[1:], "--model", str(folder)]) == 0
    ours, again = sorted(mine.iterdir()), sorted(theirs.iterdir())
    assert len(ours) == len(again) == 5
    for a, b in zip(ours, again, strict=True):
        assert np.array_equal(png(a), png(b)), a.name


def png(path: Path) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(path))


def test_estimates_follow_steps_and_pixels(bridge: EngineBridge) -> None:
    camera = bridge.camera
    history = [
        StepSummary(
            index=i,
            node=i,
            camera=camera,
            thumbnail=np.zeros((2, 2, 3), np.uint8),
            coverage_mean=1.0,
            coverage_strip=np.ones(16, np.float32),
            tokens_written=0,
            tokens_living=0,
            mib=0.0,
            timings_ms={"readout": 10.0, "imagine": 40.0, "decode": 30.0, "write": 20.0},
            steps=2,
        )
        for i in range(5)
    ]
    assert frame_seconds(history, ExportJob(Path("a.mp4"))) == pytest.approx(0.1)
    assert frame_seconds(history, ExportJob(Path("a.mp4"), steps=4)) == pytest.approx(0.14)
    known = [replace(step, steps=0) for step in history]
    assert frame_seconds(known, ExportJob(Path("a.mp4"), steps=4)) == pytest.approx(0.1), "nothing was imagined"
    double = (camera.height * 2, camera.width * 2)
    assert frame_seconds(history, ExportJob(Path("a.mp4"), size=double)) == pytest.approx(0.4)
    assert not np.isfinite(frame_seconds([], ExportJob(Path("a.mp4"))))
    assert duration_text(200) == "3 min 20 s"
    assert duration_text(4000) == "1 h 6 min"
    assert duration_text(float("nan")) == ""


def test_a_failing_save_is_told_in_the_dialog(
    qtbot: QtBot, bridge: EngineBridge, dialog: ExportDialog, tmp_path: Path
) -> None:
    set_path(bridge)
    choose_file(qtbot, dialog, tmp_path / "nowhere" / "flight.mp4")
    dialog.copy_command()
    assert "nowhere" in dialog.problem.text()
    replies: list[object] = []
    bridge.do(SaveSession(tmp_path / "nowhere" / "world.mirage"), replies.append)
    qtbot.waitUntil(lambda: bool(replies), timeout=WAIT_MS)
    assert isinstance(replies[0], Failed)


def test_the_recorded_flight_becomes_a_film(
    qtbot: QtBot, bridge: EngineBridge, dialog: ExportDialog, tmp_path: Path
) -> None:
    bridge.do(Record(True))
    fly_on(qtbot, bridge, 3)
    bridge.do(Record(False))
    qtbot.waitUntil(lambda: not bridge.world.recording and bridge.world.recorded >= 3, timeout=WAIT_MS)
    assert dialog.form.source.currentData() == "recorded"  # nothing else is there to film
    assert not dialog.copy.isEnabled()
    target = tmp_path / "seen.mp4"
    choose_file(qtbot, dialog, target)
    dialog.start_film()
    qtbot.waitUntil(lambda: not dialog.film_id, timeout=WAIT_MS)
    assert len(frames_of(target)) == bridge.world.recorded
