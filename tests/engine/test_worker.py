"""The engine thread with the real model at a tiny width: looks, commands, films, errors, stopping."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.camera import Camera
from engine.messages import (
    COMPARE_SOURCES,
    Box,
    Branch,
    CancelExport,
    Checkout,
    Command,
    EngineSettings,
    Erase,
    Export,
    ExportFrame,
    ExportJob,
    ExportPoints,
    ExportProgress,
    ExportStill,
    Failed,
    FetchFrame,
    FrameUpdate,
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
    SetNotes,
    SetQuality,
    SetVariant,
    StepSummary,
    Undo,
    Update,
    WorkerState,
    WorldInfo,
)
from engine.models.embedded import EmbeddedModel
from engine.worker import EngineWorker
from engine.worker.cancelling import FrameCancel, far_apart, same_view
from engine.worker.inbox import Inbox
from engine.worker.outbox import Outbox
from engine.worker.quality import Quality
from engine.world_model import Chunk, ChunkRequest
from tests.engine.explorer_support import camera, first_view

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 60.0


class Slow:
    """The real model, with a gate before every denoising step and, if wanted, an error in its place."""

    def __init__(self, model: EmbeddedModel) -> None:
        self._model = model
        self.delay_s = 0.0
        self.error: BaseException | None = None
        self.imagined: list[Camera] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def imagine(self, request: ChunkRequest) -> Chunk:
        if self.error is not None:
            error, self.error = self.error, None
            raise error

        def progress(fraction: float, text: str) -> None:
            deadline = time.monotonic() + self.delay_s
            while time.monotonic() < deadline:
                request.cancel.check()
                time.sleep(0.002)
            if request.progress is not None:
                request.progress(fraction, text)

        chunk = self._model.imagine(replace(request, progress=progress))
        self.imagined.append(request.cameras[0])
        return chunk


class Listener:
    """A worker and everything that it has said."""

    def __init__(self, model: Slow, settings: EngineSettings, picture: Path) -> None:
        self.model = model
        self.picture = picture
        self.signals = 0
        self.updates: list[Update] = []
        self.worker = EngineWorker(self._signal, settings=settings, load_model=lambda _: model)  # type: ignore[arg-type, return-value]
        self.worker.start()

    def _signal(self) -> None:
        self.signals += 1

    def until(self, done: Callable[[Update], bool]) -> Update:
        def seen(update: Update) -> bool:
            self.updates.append(update)
            return done(update)

        update = self.worker.wait_for(seen, WAIT_S)
        assert update is not None, f"nothing came; the last words were {self.notices}"
        return update

    def do(self, command: Command) -> Any:
        """Run a command and return its reply."""
        ident = self.worker.do(command)
        return self.until(lambda update: ident in update.replies).replies[ident]

    def open(self, command: Command | None = None) -> WorldInfo:
        """Open a world: by default the quickest, a picture with depth."""
        info = self.do(command or OpenImage(self.picture, None, 50.0, "meadow", 3))
        assert isinstance(info, WorldInfo)
        return info

    def look(self, view: Camera, moving: bool = False) -> FrameUpdate:
        """Ask for a view and wait for its frame."""
        ident = self.worker.look(view, moving=moving)
        frame = self.until(lambda update: update.frame is not None and update.frame.look_id >= ident).frame
        assert frame is not None
        return frame

    def rest(self) -> None:
        """Wait until there is nothing to do, and a little longer."""
        self.until(lambda update: update.state is WorkerState.IDLE)
        time.sleep(0.05)
        self.updates.append(self.worker.take())

    @property
    def notices(self) -> list[Any]:
        return [notice for update in self.updates for notice in update.notices]

    @property
    def steps(self) -> list[StepSummary]:
        return [step for update in self.updates for step in update.steps]


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture with its depth beside it."""
    from PIL import Image

    path = tmp_path_factory.mktemp("picture") / "view.png"
    view = first_view()
    Image.fromarray((view.rgb.transpose(1, 2, 0) * 255).astype(np.uint8)).save(path)
    np.save(path.with_name("view_depth.npy"), view.depth_m)
    return path


@pytest.fixture
def listener(tiny_model: EmbeddedModel, tmp_path: Path, picture: Path) -> Iterator[Listener]:
    threads = threading.active_count()
    settings = EngineSettings(autosave=tmp_path / "auto", autosave_s=0.05, compare="none")
    one = Listener(Slow(tiny_model), settings, picture)
    yield one
    assert one.worker.stop(10.0)
    assert threading.active_count() == threads


def ahead(view: Camera, forward_m: float = 0.3, yaw_deg: float = 0.0) -> Camera:
    yaw = np.radians(yaw_deg)
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    c2w = view.c2w.copy()
    c2w[:3, 3] += forward_m * view.forward
    c2w[:3, :3] = view.c2w[:3, :3] @ turn
    return view.posed(c2w)


# ------------------------------------------------------------------------------------------- the parts


def test_looks_replace_each_other_and_commands_queue() -> None:
    inbox = Inbox()
    ids = [inbox.look(camera(i), moving=True) for i in range(3)] + [inbox.put(Undo()), inbox.put(Redo())]
    assert ids == sorted(set(ids))
    look = inbox.newest_look
    assert look is not None and look.id == ids[2]
    assert [inbox.next_command() for _ in range(3)] == [(ids[3], Undo()), (ids[4], Redo()), None]
    inbox.bar_looks()
    inbox.look(camera(), moving=True)
    assert inbox.newest_look is None
    inbox.admit_looks()
    inbox.look(camera(), moving=True)
    assert inbox.newest_look is not None


def test_one_signal_until_it_is_taken() -> None:
    calls = []
    outbox = Outbox(lambda: calls.append(1))
    for i in range(400):
        outbox.publish(stats=i, reply=(i, i))
    assert len(calls) == 1
    update, _ = outbox.take()
    assert update.stats == 399 and len(update.replies) == 400
    empty, _ = outbox.take()
    assert empty.stats is None and not empty.replies and empty.state is WorkerState.WARMING
    outbox.publish(state=WorkerState.IDLE)
    assert len(calls) == 2 and outbox.take()[0].state is WorkerState.IDLE


def test_a_listener_that_fails_does_not_stop_the_engine() -> None:
    def broken() -> None:
        raise RuntimeError("slot")

    outbox = Outbox(broken)
    outbox.publish(state=WorkerState.IDLE)
    assert outbox.take()[0].state is WorkerState.IDLE


def test_auto_quality_keeps_to_the_budget() -> None:
    quality = Quality(SetQuality("auto", frame_budget_ms=100.0, refinements=2), 4, (64, 112), "cpu")
    assert quality.steps(True, 0) == 4
    for _ in range(20):
        quality.observe(4, {"imagine": 120.0, "readout": 10.0, "decode": 25.0, "write": 3.0})
    assert quality.steps(True, 0) == 2 and quality.steps(False, 1) == 8 and quality.steps(False, 2) == 16
    assert quality.wants_refinement(0, 2, 1.0) and not quality.wants_refinement(0, 4, 1.0)
    assert quality.wants_refinement(1, 8, 0.5) and not quality.wants_refinement(2, 8, 0.5)
    quality.observe(1, {"imagine": 5000.0})
    assert quality.steps(True, 0) >= 1
    fixed = Quality(SetQuality(3), 4, (64, 112), "cpu")
    assert fixed.steps(True, 0) == fixed.steps(False, 0) == 3 and not fixed.wants_refinement(0, 3, 0.0)
    sizes = []
    while (size := fixed.drop(8)) is not None:
        sizes.append(size)
    assert sizes and all(h % 8 == 0 and w % 8 == 0 for h, w in sizes) and sizes[-1] == (64, 64)


def test_a_frame_is_moot_only_while_young_and_never_twice() -> None:
    inbox = Inbox()
    here, near, far = camera(), camera(0.5, 5.0), camera(0.0, 90.0)
    assert (
        far_apart(here, far) and not far_apart(here, near) and same_view(here, camera()) and not same_view(here, near)
    )
    inbox.look(near, moving=True)
    assert not FrameCancel(inbox, here, patient=False, optional=False).cancelled
    assert FrameCancel(inbox, here, patient=False, optional=True).cancelled, "a refinement yields to any movement"
    inbox.look(far, moving=True)
    young = FrameCancel(inbox, here, patient=False, optional=False)
    assert young.cancelled and not FrameCancel(inbox, here, patient=True, optional=False).cancelled
    young.progress(0.6, "")
    assert not young.cancelled
    inbox.put(Undo())
    assert young.cancelled, "an edit makes it moot"


def test_the_window_needs_no_torch() -> None:
    code = "import sys, engine.worker, engine.messages; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


# ------------------------------------------------------------------------------------------- living


def test_opens_warm_and_generates_for_the_newest_look(listener: Listener) -> None:
    info = listener.open()
    assert info.biome == "meadow" and info.epoch == 1 and info.kind == "image" and not info.has_truth
    texts = [update.progress.text for update in listener.updates if update.progress is not None]
    assert texts and any(update.progress_done for update in listener.updates)
    listener.model.delay_s = 0.05
    ids = [listener.worker.look(ahead(info.camera, 0.02 * i), moving=True) for i in range(40)]
    frame = listener.until(lambda update: update.frame is not None and update.frame.look_id == ids[-1]).frame
    assert frame is not None and same_view(frame.result.camera, ahead(info.camera, 0.02 * 39))
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


# ------------------------------------------------------------------------------------------- films and files


def film_frames(path: Path) -> int:
    import av

    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


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

    assert Image.open(tmp_path / "f.png").size == (112, 64)
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


# ------------------------------------------------------------------------------------------- stopping


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
                worker.look(ahead(info.camera), moving=False)
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
    listener.worker.look(ahead(info.camera), moving=False)
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
