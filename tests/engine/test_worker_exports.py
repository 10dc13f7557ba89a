"""The engine thread: films and files, stopping and cancelling at any moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.messages import (
    Box,
    CancelExport,
    Command,
    EngineSettings,
    Export,
    ExportFrame,
    ExportJob,
    ExportPoints,
    ExportProgress,
    ExportStill,
    Failed,
    OpenImage,
    OpenSession,
    OpenWorld,
    Record,
    SaveSession,
    SelectRegion,
    SetNotes,
    SetQuality,
    WorkerState,
)
from engine.models.embedded import EmbeddedModel
from engine.worker import EngineWorker
from tests.engine.worker_support import WAIT_S, Listener, Slow, ahead, aside, film_frames, listening, make_picture


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_picture(tmp_path_factory.mktemp("picture"))


@pytest.fixture
def listener(tiny_model: EmbeddedModel, tmp_path: Path, picture: Path) -> Iterator[Listener]:
    with listening(tiny_model, tmp_path, picture) as one:
        yield one


def test_films_leave_the_world_alone_and_it_stays_usable(listener: Listener, tmp_path: Path) -> None:
    info = listener.open()
    listener.look(ahead(info.camera, 0.1))
    listener.rest()
    path = tuple(ahead(info.camera, 0.1, 8.0 * i) for i in range(8))
    tokens = listener.do(SelectRegion(Box(info.camera.position, np.full(3, 1e4))))
    job = ExportJob(tmp_path / "a.mp4", cameras=path, steps=1, layout="side-by-side", report=tmp_path / "a.json")
    ident = listener.worker.do(Export(job))
    listener.until(lambda update: bool(update.exports))
    live = listener.worker.look(ahead(info.camera, 0.1), moving=False)  # nothing new to generate, but it is heard
    done = listener.until(lambda update: ident in update.replies).replies[ident]
    assert isinstance(done, ExportProgress) and done.done and done.frame == 8 and live > ident
    assert film_frames(tmp_path / "a.mp4") == 8 and (tmp_path / "a.json").exists()
    assert len(listener.do(SelectRegion(Box(info.camera.position, np.full(3, 1e4)))).tokens) == len(tokens.tokens)
    kept = listener.do(Export(replace(job, path=tmp_path / "b.mp4", branch="film", layout="generated", report=None)))
    assert kept.done
    tree = next(update.tree for update in reversed(listener.updates) if update.tree is not None)
    assert any(node.label == "film" for node in tree.nodes) and tree.nodes[tree.current].label != "film"
    still = listener.do(ExportStill(job, 3))
    assert still.shape == (64, 340, 3)


def test_live_frames_come_between_the_frames_of_a_film(listener: Listener, tmp_path: Path) -> None:
    info = listener.open()
    listener.do(SetQuality(1))
    listener.model.delay_s = 0.02
    job = ExportJob(tmp_path / "a.mp4", cameras=tuple(ahead(info.camera, 0.1 * i) for i in range(30)), steps=1)
    ident = listener.worker.do(Export(job))
    frames = [listener.look(ahead(info.camera, 0.0, 2.0 * i), moving=True) for i in range(1, 5)]
    assert [frame.result.index for frame in frames] == [1, 2, 3, 4]
    listener.worker.do(CancelExport(ident))
    done = listener.until(lambda update: ident in update.replies).replies[ident]
    assert done.cancelled and 1 <= done.frame < 30
    assert film_frames(tmp_path / "a.mp4") == done.frame


def test_the_recorded_flight_becomes_a_film(listener: Listener, tmp_path: Path) -> None:
    info = listener.open()
    listener.worker.do(Record(True))
    frames = [listener.look(ahead(info.camera, 0.2 * i), moving=True) for i in range(1, 4)]
    listener.worker.do(Record(False))
    done = listener.do(Export(ExportJob(tmp_path / "flight.mp4", source="recorded")))
    assert done.frame == 3 and film_frames(tmp_path / "flight.mp4") == 3
    recorded = [update.world for update in listener.updates if update.world is not None][-1]
    assert recorded is not None and recorded.recorded == 3 and len(frames) == 3


def test_points_and_frames_are_exported(listener: Listener, tmp_path: Path) -> None:
    info = listener.open()
    frame = listener.look(ahead(info.camera))
    assert listener.do(ExportPoints(tmp_path / "p.ply")) == tmp_path / "p.ply"
    assert listener.do(ExportFrame(tmp_path / "f.png")) == tmp_path / "f.png"
    from PIL import Image

    assert Image.open(tmp_path / "f.png").size == (224, 128)
    assert isinstance(listener.do(ExportPoints(tmp_path / "p.xyz")), Failed)
    assert frame.result.index == 1


def test_save_open_and_autosave(listener: Listener, tmp_path: Path) -> None:
    info = listener.open()
    listener.do(SetQuality(1))
    listener.look(ahead(info.camera, 0.3))
    listener.worker.do(SetNotes({"keyframes": [1, 2]}))
    listener.rest()
    path = tmp_path / "world.mirage"
    assert isinstance(listener.do(SaveSession()), Failed)
    assert listener.do(SaveSession(path)) == path
    listener.look(ahead(info.camera, 0.6))
    back = listener.do(OpenSession(path))
    assert back.session == path and back.saved and back.notes == {"keyframes": [1, 2]} and back.epoch == 2
    made = len(listener.model.imagined)
    listener.worker.do(SetQuality("auto"))
    listener.worker.look(back.camera, moving=False)
    listener.rest()
    assert len(listener.model.imagined) == made, "what a session brings back is not refined"
    listener.do(SetQuality(1))
    assert back.camera.position == pytest.approx(ahead(info.camera, 0.3).position)
    assert listener.look(ahead(info.camera, 0.9)).result.index == 2
    time.sleep(0.1)
    listener.rest()
    recovered = listener.do(OpenSession(tmp_path / "auto"))
    assert recovered.session is None and not recovered.saved
    assert recovered.camera.position == pytest.approx(ahead(info.camera, 0.9).position)


@pytest.mark.parametrize("moment", ["loading", "warming", "opening", "generating", "exporting", "idle"])
def test_stops_within_two_seconds_at_any_moment(
    tiny_model: EmbeddedModel, tmp_path: Path, picture: Path, moment: str
) -> None:
    model = Slow(tiny_model)
    if moment == "warming":
        model.delay_s = 30.0
    loading = threading.Event()

    def load(settings: EngineSettings) -> Any:
        loading.set()
        return model

    worker = EngineWorker(lambda: None, settings=EngineSettings(autosave=tmp_path / "auto"), load_model=load)
    opening: Command = OpenImage(picture, None, 50.0)
    if moment == "opening":
        opening = OpenWorld("meadow", 3, "noon", "nothing")
    worker.start()
    assert loading.wait(WAIT_S)
    if moment not in ("loading", "warming"):
        ident = worker.do(opening)
        if moment == "opening":
            model.delay_s = 30.0
            time.sleep(0.2)
        else:
            update = worker.wait_for(lambda update: ident in update.replies, WAIT_S)
            assert update is not None
            info = update.replies[ident]
            if moment == "generating":
                model.delay_s = 30.0
                worker.look(aside(info.camera), moving=False)
                time.sleep(0.2)
            if moment == "exporting":
                worker.do(
                    Export(
                        ExportJob(tmp_path / "a.mp4", cameras=tuple(ahead(info.camera, 0.1 * i) for i in range(500)))
                    )
                )
                assert worker.wait_for(lambda u: any(p.frame for p in u.exports), WAIT_S) is not None
    started = time.monotonic()
    assert worker.stop(2.0)
    assert time.monotonic() - started < 2.0 and not worker.running
    assert worker.take().state is WorkerState.STOPPED
    if moment == "exporting":
        assert film_frames(tmp_path / "a.mp4") >= 1


def test_cancel_stops_what_runs_and_leaves_no_trace(listener: Listener) -> None:
    info = listener.open()
    listener.do(SetQuality(8))
    listener.model.delay_s = 5.0
    listener.worker.look(aside(info.camera), moving=False)
    listener.until(lambda update: update.state is WorkerState.GENERATING)
    listener.worker.cancel()
    listener.model.delay_s = 0.0
    listener.rest()
    assert [step.index for step in listener.steps] == [0]
    listener.model.delay_s = 5.0
    ident = listener.worker.do(OpenWorld("desert", 1, "noon", "nothing"))
    time.sleep(0.3)
    listener.worker.cancel()
    reply = listener.until(lambda update: ident in update.replies).replies[ident]
    assert isinstance(reply, Failed) and reply.title == "Cancelled"
    listener.model.delay_s = 0.0
    assert listener.look(ahead(info.camera, 0.2)).result.index == 1, "the world that was open still is"


def test_without_a_model_it_says_so_and_waits(tmp_path: Path) -> None:
    worker = EngineWorker(lambda: None, model_dir=tmp_path)
    worker.start()
    told = worker.wait_for(lambda update: bool(update.notices), WAIT_S)
    assert told is not None and "config" in told.notices[0].text
    ident = worker.do(OpenWorld("meadow", 1))
    update = worker.wait_for(lambda update: ident in update.replies, WAIT_S)
    assert update is not None and isinstance(update.replies[ident], Failed)
    assert worker.stop(10.0)
