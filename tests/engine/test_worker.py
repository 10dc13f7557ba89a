"""The engine thread: looks, commands, errors, quality."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.messages import (
    COMPARE_SOURCES,
    Box,
    Branch,
    Checkout,
    Erase,
    Export,
    ExportJob,
    Failed,
    FetchFrame,
    Freeze,
    Inspect,
    OpenImage,
    OpenSession,
    OpenWorld,
    Pause,
    Plan,
    Provenance,
    QualityInfo,
    Record,
    Redo,
    RegionStats,
    RenameNode,
    Reset,
    SaveSession,
    SelectRegion,
    SetBudget,
    SetCompareSource,
    SetQuality,
    SetVariant,
    Undo,
)
from engine.models.embedded import EmbeddedModel
from engine.worker.cancelling import same_view
from tests.engine.worker_support import ROOT, WAIT_S, Listener, ahead, aside, listening, make_picture


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_picture(tmp_path_factory.mktemp("picture"))


@pytest.fixture
def listener(tiny_model: EmbeddedModel, tmp_path: Path, picture: Path) -> Iterator[Listener]:
    with listening(tiny_model, tmp_path, picture) as one:
        yield one


def test_opens_warm_and_generates_for_the_newest_look(listener: Listener) -> None:
    info = listener.open()
    assert info.biome == "meadow" and info.epoch == 1 and info.kind == "image" and not info.has_truth
    texts = [update.progress.text for update in listener.updates if update.progress is not None]
    assert texts and any(update.progress_done for update in listener.updates)
    listener.model.delay_s = 0.05
    ids = [listener.worker.look(aside(info.camera, 0.02 * i), moving=True) for i in range(40)]
    frame = listener.until(lambda update: update.frame is not None and update.frame.look_id == ids[-1]).frame
    assert frame is not None and same_view(frame.result.camera, aside(info.camera, 0.02 * 39))
    assert frame.input_to_photon_ms > 0 and not frame.recalled
    listener.rest()
    assert len(listener.model.imagined) < 20, "looks in between were skipped"
    indices = [step.index for step in listener.steps if step.refinement == 0]
    assert indices == list(range(len(indices))), "no summary was"
    snapshots = [update.snapshot for update in listener.updates if update.snapshot is not None]
    assert snapshots and snapshots[-1].count > 0


def test_progress_while_always_moving(listener: Listener) -> None:
    info = listener.open()
    listener.model.delay_s = 0.02
    listener.do(SetQuality(4))
    made = len(listener.model.imagined)
    deadline = time.monotonic() + WAIT_S
    yaw = 0.0
    while len(listener.model.imagined) < made + 3:
        assert time.monotonic() < deadline, "it starves"
        yaw += 30.0  # every look is far from the one before
        listener.worker.look(ahead(info.camera, 0.0, yaw), moving=True)
        time.sleep(0.01)


def test_still_cameras_are_refined_and_then_rest(listener: Listener) -> None:
    info = listener.open()
    view = ahead(info.camera, 0.0, 40.0)
    first = listener.look(view)
    assert first.refinement == 0
    listener.until(lambda update: update.frame is not None and update.frame.refinement == 2)
    listener.rest()
    refined = [step for step in listener.steps if step.refinement]
    assert [step.refinement for step in refined] == [1, 2] and refined[-1].steps > first.result.steps
    assert {step.index for step in refined} == {first.result.index}
    clock = time.thread_time()
    signals, imagined = listener.signals, len(listener.model.imagined)
    for _ in range(20):
        listener.worker.look(view, moving=False)  # a window that repeats itself
    time.sleep(0.2)
    assert (listener.signals, len(listener.model.imagined)) == (signals, imagined)
    assert time.thread_time() - clock < 0.2


def test_a_picture_is_drawn_closer_once_when_the_camera_comes_to_rest(listener: Listener) -> None:
    info = listener.open(OpenWorld("village", 3))
    assert info.fine_scale == 2
    listener.worker.do(Record(True))
    view = ahead(info.camera, 0.3, 0.0)
    moving = listener.look(view, moving=True)
    assert not moving.result.closer and moving.result.fine_rgb is not None
    listener.worker.look(view, moving=False)
    listener.until(lambda update: update.frame is not None and update.frame.result.closer)
    listener.rest()
    at_rest = [update.frame for update in listener.updates if update.frame is not None and update.frame.result.closer]
    assert at_rest[-1].result.index == moving.result.index
    tokens = at_rest[-1].result.stats.tokens_living
    listener.worker.look(view, moving=False)
    listener.rest()
    again = [update.frame for update in listener.updates if update.frame is not None and update.frame.result.closer]
    assert len(again) == len(at_rest) and again[-1].result.stats.tokens_living == tokens
    listener.worker.do(Record(False))
    listener.rest()
    assert [update.world for update in listener.updates if update.world is not None][-1].recorded == 1


def test_a_session_that_is_only_looked_at_stays_saved(listener: Listener, tmp_path: Path) -> None:
    info = listener.open(OpenWorld("village", 3))
    view = ahead(info.camera, 0.3, 0.0)
    listener.look(view)
    listener.rest()
    path = tmp_path / "kept.mirage"
    listener.do(SaveSession(path))
    opened = listener.do(OpenSession(path))
    assert opened.saved
    frames = [update.frame for update in listener.updates if update.frame is not None]
    listener.worker.look(frames[-1].result.camera, moving=False)  # a window that goes on asking for what it shows
    listener.rest()
    worlds = [update.world for update in listener.updates if update.world is not None]
    assert worlds[-1].saved
    assert [update.frame for update in listener.updates if update.frame is not None][-1] is frames[-1]


def test_undo_redo_branch_checkout(listener: Listener) -> None:
    info = listener.open()
    one = listener.look(ahead(info.camera, 0.0, 30.0))
    listener.rest()
    two = listener.look(ahead(info.camera, 0.0, 60.0))
    listener.rest()
    assert two.result.node > one.result.node
    assert listener.do(Undo()) == one.result.node
    frame = next(update.frame for update in reversed(listener.updates) if update.frame is not None)
    assert frame.recalled and same_view(frame.result.camera, one.result.camera)
    listener.worker.look(two.result.camera, moving=False)  # the window has not moved on yet
    listener.rest()
    assert listener.do(Redo()) == two.result.node
    assert listener.do(Redo()) == two.result.node, "nothing left to redo"
    assert listener.do(Checkout(1)) == 1
    assert listener.do(Undo()) == 1, "the first view is never undone"
    node = listener.do(Branch("another way"))
    assert listener.do(RenameNode(node, "better")) == node
    tree = next(update.tree for update in reversed(listener.updates) if update.tree is not None)
    assert tree.current == node and tree.nodes[node].label == "better" and tree.nodes[node].parent == 1
    fetched = listener.do(FetchFrame(one.result.node))
    assert fetched.recalled and fetched.result.rgb.shape == (64, 112, 3)
    assert isinstance(listener.do(Checkout(999)), Failed)
    assert listener.do(Undo()) != 0


def test_erase_freeze_select_inspect_plan(listener: Listener) -> None:
    info = listener.open()
    frame = listener.look(ahead(info.camera, 0.1))
    listener.rest()
    found = listener.do(Inspect((6, 7)))
    assert isinstance(found, Provenance) and found.token >= 0 and found.step == 0 and found.node == 1
    assert isinstance(listener.do(Inspect((99, 0))), Failed)
    everything = Box(info.camera.position, np.full(3, 1e4))
    stats = listener.do(SelectRegion(everything))
    assert isinstance(stats, RegionStats) and len(stats.tokens) > 10 and stats.mib > 0 and stats.steps[0] == 0
    assert len(listener.do(SelectRegion(Box(np.full(3, -1e5), np.ones(3)))).tokens) == 0
    plan = listener.do(Plan((info.camera, ahead(info.camera, 0.0, 180.0))))
    assert plan.coverage[0] > 0.9 and plan.coverage[1] < 0.1
    frozen = listener.do(Freeze(stats.tokens[:5]))
    assert listener.do(Freeze(stats.tokens[:5], frozen=False)) > frozen
    before = frame.result.stats.tokens_living
    listener.do(Erase(everything))
    again = listener.until(lambda update: update.frame is not None and not update.frame.refinement).frame
    assert again is not None and again.result.coverage_mean < 0.7, "the world is re-imagined there"
    assert again.result.stats.tokens_living >= 0.8 * before


def test_every_second_view(listener: Listener) -> None:
    info = listener.open(OpenWorld("meadow", 3, "noon"))
    assert info.has_truth
    listener.look(ahead(info.camera))
    for i in range(14):
        listener.look(ahead(info.camera, 0.0, 3.0 * i), moving=True)
    listener.look(info.camera)
    listener.rest()
    captions = {}
    for source in COMPARE_SOURCES:
        ident = listener.worker.do(SetCompareSource(source, 1))
        if source != "none":
            image = listener.until(lambda update: update.compare is not None).compare
            assert image is not None and image.source == source and image.rgb.shape == (64, 112, 3)
            assert image.rgb.dtype == np.uint8 and image.rgb.std() > 0
            captions[source] = image.caption
        assert ident > 0
    assert "steps ago" in captions["last-visit"] and not listener.notices
    assert isinstance(listener.do(SetCompareSource("mirror")), Failed)  # type: ignore[arg-type]


def test_errors_are_told_and_survived(listener: Listener) -> None:
    info = listener.open()
    failed = listener.do(OpenWorld("swamp", 1))
    assert isinstance(failed, Failed) and "swamp" in failed.text
    assert listener.notices[-1].text == failed.text
    assert isinstance(listener.do(OpenSession(ROOT / "nowhere.mirage")), Failed)
    assert isinstance(listener.do(OpenImage(ROOT / "nowhere.png")), Failed)
    assert isinstance(listener.do(SetQuality(0)), Failed)
    assert isinstance(listener.do(SetQuality(1, size=(63, 112))), Failed)
    assert isinstance(listener.do(Export(ExportJob(ROOT / "film.xyz", cameras=(info.camera,)))), Failed)
    assert isinstance(listener.do(Export(ExportJob(ROOT / "film.mp4", source="recorded"))), Failed)
    listener.worker.do(SetVariant("latent"))
    listener.worker.do(SetBudget(50.0))
    listener.model.error = RuntimeError("a bug")
    listener.worker.look(ahead(info.camera), moving=False)
    listener.until(lambda update: bool(update.notices))
    assert "a bug" in listener.notices[-1].text
    assert listener.look(ahead(info.camera, 0.5)).result.index == 1, "and goes on"


def test_out_of_gpu_memory_lowers_the_quality_and_says_so(listener: Listener) -> None:
    info = listener.open()
    listener.do(SetQuality(1, size=(96, 128)))
    listener.rest()
    listener.model.error = torch.cuda.OutOfMemoryError("CUDA out of memory")
    frame = listener.look(ahead(info.camera, 0.7))
    assert frame.result.rgb.shape[:2] < (96, 128)
    assert any(notice.level == "warning" and "memory" in notice.text for notice in listener.notices)
    quality = [update.quality for update in listener.updates if update.quality is not None][-1]
    assert isinstance(quality, QualityInfo) and quality.dropped and quality.size == frame.result.rgb.shape[:2]


def test_stale_looks_of_the_world_before_are_not_generated(listener: Listener) -> None:
    old = listener.open()
    for again in range(3):
        ident = listener.worker.do(OpenImage(listener.picture, None, 50.0, "desert", 5))
        elsewhere = ahead(old.camera, 5000.0)
        while True:  # a window that keeps asking for its old camera until it has heard the news
            listener.worker.look(elsewhere, moving=True)
            update = listener.worker.take()
            listener.updates.append(update)
            if update.world is not None and update.world.biome == "desert" and update.world.epoch > old.epoch + again:
                break
            time.sleep(0.001)
        assert ident > 0 and update.steps[0].index == 0, "nothing of the old world is in the news"
        listener.updates = [update]
        listener.rest()
        assert not any(same_view(step.camera, elsewhere) for step in listener.steps)


def test_pause_and_reset(listener: Listener) -> None:
    info = listener.open()
    listener.worker.do(Pause(True))
    made = len(listener.model.imagined)
    listener.worker.look(ahead(info.camera), moving=False)
    listener.rest()
    assert len(listener.model.imagined) == made
    listener.worker.do(Pause(False))
    listener.until(lambda update: update.frame is not None)
    again = listener.do(Reset())
    assert again.epoch == 2 and again.camera == info.camera
    assert listener.look(ahead(again.camera)).result.index == 1
