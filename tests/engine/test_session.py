"""Sessions: they come back whole, survive kill -9, and nothing hostile opens."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InputError, SessionError
from engine.explorer import Explorer
from engine.models.embedded import EmbeddedModel
from engine.places import Match
from engine.reopen import capture, memory_saver, reopen
from engine.session import FolderSession, FrameRecord, FrameStore, open_session, save_session
from engine.session.container import parse_json, safe_name
from engine.session.state import state_from_json
from tests.engine.explorer_support import camera, explorer, first_view

ROOT = Path(__file__).resolve().parents[2]


def flown(model: EmbeddedModel, steps: int = 3) -> tuple[Explorer, FrameStore]:
    one, frames = explorer(model), FrameStore()
    frames.add(FrameRecord.of(one.begin(camera(), first_view())))
    for i in range(1, steps):
        frames.add(FrameRecord.of(one.step(camera(0.2 * i, 5.0 * i))))
    return one, frames


def write(path: Path, one: Explorer, frames: FrameStore) -> None:
    state = capture(
        one, kind="image", camera=camera(0.3), first=camera(), recorded=(0, 2), notes={"keys": [1, {"name": "é"}]}
    )
    save_session(path, state, list(frames), memory_saver(one))


@pytest.fixture(scope="module")
def saved(tiny_model: EmbeddedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "world.mirage"
    write(path, *flown(tiny_model))
    return path


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_session_comes_back_whole(tiny_model: EmbeddedModel, tmp_path: Path, kind: str) -> None:
    one, frames = flown(tiny_model)
    memory = one.memory.latent
    assert memory is not None
    memory.branch("side")
    path = tmp_path / "world.mirage"
    if kind == "folder":
        path.mkdir()
    write(path, one, frames)
    back = reopen(path, tiny_model)
    assert back.state.camera == camera(0.3) and back.state.first == camera() and back.state.kind == "image"
    assert back.state.recorded == (0, 2) and back.state.notes == {"keys": [1, {"name": "é"}]}
    assert [r.summary.index for r in back.frames] == [0, 1, 2]
    for was, now in zip(frames, back.frames, strict=True):
        assert was.jpeg == now.jpeg and was.summary.camera == now.summary.camera
        assert was.summary.node == now.summary.node and was.summary.tokens_written == now.summary.tokens_written
        assert np.array_equal(was.inverse_depth, now.inverse_depth) and np.array_equal(was.coverage, now.coverage)
        assert was.result().rgb.shape == (64, 112, 3)
    restored = back.explorer.memory.latent
    assert restored is not None and restored.current == memory.current
    assert [(n.parent, n.kind, n.label) for n in restored.tree.nodes] == [
        (n.parent, n.kind, n.label) for n in memory.tree.nodes
    ]
    a, b = one.step(camera(0.9, 20.0)), back.explorer.step(camera(0.9, 20.0))
    assert np.array_equal(a.rgb, b.rgb) and a.index == b.index and a.node == b.node, "it goes on as if never closed"


def test_folders_grow_by_what_is_new(tiny_model: EmbeddedModel, tmp_path: Path) -> None:
    one, frames = flown(tiny_model, 2)
    session = FolderSession(tmp_path / "auto")

    def save() -> set[str]:
        session.save(capture(one, kind="image", camera=camera()), list(frames), memory_saver(one))
        return {entry.name for entry in (tmp_path / "auto").iterdir()}

    save()
    first_segment = (tmp_path / "auto" / "frames-1.safetensors").stat().st_mtime_ns
    for i in range(2, 5):
        frames.add(FrameRecord.of(one.step(camera(0.2 * i))))
        names = save()
    assert names == {
        "manifest.json", "manifest.previous.json", "memory-3", "memory-4",
        "frames-1.safetensors", "frames-2.safetensors", "frames-3.safetensors", "frames-4.safetensors",
    }  # fmt: skip
    assert (tmp_path / "auto" / "frames-1.safetensors").stat().st_mtime_ns == first_segment
    assert len(reopen(tmp_path / "auto", tiny_model).frames) == 5
    shutil.rmtree(tmp_path / "auto" / "memory-4")
    assert len(reopen(tmp_path / "auto", tiny_model).frames) == 4, "the save before opens when the newest is damaged"


def test_another_world_in_the_same_folder_starts_over(tiny_model: EmbeddedModel, tmp_path: Path) -> None:
    session = FolderSession(tmp_path / "auto")
    for steps in (4, 2, 3):
        one, frames = flown(tiny_model, steps)
        session.save(capture(one, kind="image", camera=camera()), list(frames), memory_saver(one))
        assert len(reopen(tmp_path / "auto", tiny_model).frames) == steps


def test_pixels_of_the_oldest_frames_go(tiny_model: EmbeddedModel) -> None:
    one = explorer(tiny_model)
    frames = FrameStore(limit=2)
    results = [one.begin(camera(), first_view()), *(one.step(camera(0.3 * i)) for i in range(1, 4))]
    for result in results:
        frames.add(FrameRecord.of(result))
    assert [bool(record.jpeg) for record in frames] == [False, False, True, True]
    assert frames.at_index(3) is not None and frames.at_node(results[0].node) is not None
    nearest = frames.nearest(camera(0.65), before=10)
    assert nearest is not None and nearest.summary.index == 2
    assert frames.nearest(camera(50.0), before=10) is None


def test_saving_where_one_cannot_says_so(tiny_model: EmbeddedModel, tmp_path: Path) -> None:
    one, frames = flown(tiny_model, 1)
    with pytest.raises(InputError, match="does not exist"):
        write(tmp_path / "nowhere" / "world.mirage", one, frames)
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------- hostile files


def rezip(source: Path, target: Path, change: Callable[[dict[str, bytes]], None], **kind: int) -> Path:
    """A copy of a session with changed members."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w", kind.get("compression", zipfile.ZIP_STORED)) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, kind.get("compression", zipfile.ZIP_STORED))
    return target


def manifest(change: Callable[[dict], object]) -> Callable[[dict[str, bytes]], None]:  # type: ignore[type-arg]
    def apply(members: dict[str, bytes]) -> None:
        values = json.loads(members["manifest.json"])
        change(values)
        members["manifest.json"] = json.dumps(values).encode()

    return apply


def tensor_file(members: dict[str, bytes], prefix: str) -> str:
    return next(name for name in members if name.startswith(prefix) and name.endswith(".safetensors"))


def huge_header(members: dict[str, bytes]) -> None:
    name = tensor_file(members, "frames-")
    members[name] = struct.pack("<Q", 1 << 30) + members[name][8:]


def not_finite(members: dict[str, bytes]) -> None:
    name = tensor_file(members, "frames-")
    data = bytearray(members[name])
    length = struct.unpack("<Q", data[:8])[0]
    begin = json.loads(data[8 : 8 + length])["0.inverse_depth"]["data_offsets"][0] + 8 + length
    data[begin : begin + 2] = np.array([np.nan], np.float16).tobytes()
    members[name] = bytes(data)


def cut_memory(members: dict[str, bytes]) -> None:
    name = tensor_file(members, "memory-")
    members[name] = members[name][: len(members[name]) // 2]


HOSTILE: dict[str, tuple[Callable[[dict[str, bytes]], object], str]] = {
    "traversal": (lambda m: m.update({"../../evil.txt": b"x"}), "unsafe name"),
    "absolute": (lambda m: m.update({"/etc/evil": b"x"}), "unsafe name"),
    "backslash": (lambda m: m.update({"..\\evil": b"x"}), "unsafe name"),
    "no manifest": (lambda m: m.pop("manifest.json"), "no manifest"),
    "not json": (lambda m: m.update({"manifest.json": b"{"}), "not valid JSON"),
    "NaN": (lambda m: m.update({"manifest.json": b'{"a": NaN}'}), "not valid JSON"),
    "huge number": (lambda m: m.update({"manifest.json": b'{"a": 1e999}'}), "not valid JSON"),
    "deep": (lambda m: m.update({"manifest.json": b"[" * 200_000}), "not valid JSON"),
    "list": (lambda m: m.update({"manifest.json": b"[]"}), "object"),
    "format": (manifest(lambda v: v.update(format="zip")), "not a Mirage session"),
    "version": (manifest(lambda v: v.update(version=99)), "version 99"),
    "model": (manifest(lambda v: v["world"].update(checksum="0" * 64)), "belongs to the model"),
    "frames path": (manifest(lambda v: v.update(frames=["../x.safetensors"])), "unsafe file"),
    "memory path": (manifest(lambda v: v.update(memory="..")), "unsafe folder"),
    "memory gone": (manifest(lambda v: v.update(memory="memory-9")), "lacks its memory"),
    "size": (manifest(lambda v: v["world"].update(size=[1 << 30, 8])), "size"),
    "camera": (manifest(lambda v: v["world"]["camera"]["c2w"][0].__setitem__(0, 5.0)), "rigid"),
    "camera shape": (manifest(lambda v: v["world"]["camera"].update(K=[1, 2])), "malformed"),
    "camera text": (manifest(lambda v: v["world"]["camera"].update(c2w="abc")), "malformed"),
    "seed": (manifest(lambda v: v["world"].update(seed="seven")), "'seed'"),
    "biome": (manifest(lambda v: v["world"].update(biome="swamp")), "swamp"),
    "index": (manifest(lambda v: v["world"].update(next_index=-1)), "'next_index'"),
    "quality": (manifest(lambda v: v["world"].pop("quality")), "quality"),
    "gigabyte header": (huge_header, "damaged"),
    "NaN depth": (not_finite, "not finite"),
    "short memory": (cut_memory, "memory"),
    "no frames": (lambda m: m.pop(tensor_file(m, "frames-")), "missing"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_sessions_get_one_sentence(tiny_model: EmbeddedModel, saved: Path, tmp_path: Path, name: str) -> None:
    change, words = HOSTILE[name]
    path = rezip(saved, tmp_path / "bad.mirage", change)  # type: ignore[arg-type]
    with pytest.raises(SessionError, match=words) as caught:
        reopen(path, tiny_model)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    assert {entry.name for entry in tmp_path.iterdir()} == {"bad.mirage"}


def test_bombs_and_wrecks_get_one_sentence(tiny_model: EmbeddedModel, saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.mirage"
    rezip(saved, path, lambda m: m.update(bomb=bytes(1 << 20)), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(SessionError, match="compressed"):
        reopen(path, tiny_model)
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(5000):
            archive.writestr(f"f{i}", b"")
    with pytest.raises(SessionError, match="5000 files"):
        reopen(path, tiny_model)
    with pytest.warns(UserWarning), zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", b"1")
        archive.writestr("a", b"2")
    with pytest.raises(SessionError, match="twice"):
        reopen(path, tiny_model)
    path.write_bytes(b"")
    with pytest.raises(SessionError, match="damaged"):
        reopen(path, tiny_model)
    with pytest.raises(SessionError, match="no session"):
        reopen(tmp_path / "none.mirage", tiny_model)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SessionError, match=r"no manifest\.json"):
        reopen(tmp_path / "empty", tiny_model)


def test_links_out_of_a_folder_are_refused(tiny_model: EmbeddedModel, tmp_path: Path) -> None:
    (tmp_path / "auto").mkdir()
    write(tmp_path / "auto", *flown(tiny_model, 1))
    (tmp_path / "auto" / "memory-1").rename(tmp_path / "elsewhere")
    (tmp_path / "auto" / "memory-1").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SessionError, match="link"):
        reopen(tmp_path / "auto", tiny_model)


@given(st.data())
def test_no_damage_opens_or_escapes(tiny_model: EmbeddedModel, saved: Path, data: st.DataObject) -> None:
    """Cut or flipped anywhere, a file either gives one sentence or, where the damage hits nothing that counts, opens.
    """
    content = bytearray(saved.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        for _ in range(data.draw(st.integers(1, 8))):
            content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path = saved.with_name("damaged.mirage")
    path.write_bytes(content)
    try:
        with open_session(path, model="embedded", checksum="tiny-0") as opened:
            assert len(opened.frames) == 3
    except SessionError as error:
        assert "\n" not in str(error)


@given(st.text(max_size=60))
def test_safe_names_stay_inside(name: str) -> None:
    if safe_name(name):
        assert (Path("/base") / name).resolve().is_relative_to("/base") and not name.startswith(("/", "."))


@given(st.binary(max_size=200))
def test_json_of_any_bytes(data: bytes) -> None:
    with contextlib.suppress(SessionError):
        assert isinstance(parse_json(data, "x"), dict)


# ------------------------------------------------------------------------------------------- kill -9


NURSERY = """
import mmap, os, struct, sys
from pathlib import Path
import numpy as np
from engine.camera import Camera
from engine.messages import MemoryStats, StepResult
from engine.session import FolderSession, FrameRecord, FrameStore, SessionState, save_session
from safetensors.numpy import save_file
folder, kind = Path(sys.argv[1]), sys.argv[2]
camera = Camera.look_at(np.zeros(3), np.array([1.0, 0, 0]), 50.0, 112, 64)
noise = np.random.default_rng(0).integers(0, 255, (64, 112, 3)).astype(np.uint8)
shared = mmap.mmap(-1, 8)

def work():
    frames, session = FrameStore(), FolderSession(folder)
    for index in range(100000):
        stats = MemoryStats()
        result = StepResult(index, 0, camera, noise, np.ones((16, 28)), np.ones((8, 14)), None, {}, 1, 1, 0, stats)
        frames.add(FrameRecord.of(result))
        state = SessionState("image", "", 1, "", "latent", (64, 112), "m", "c", camera, index + 1)
        save = lambda into: save_file({"index": np.full(20000, index)}, into / "tokens.safetensors")
        if kind == "folder":
            session.save(state, list(frames), save)
        else:
            save_session(folder, state, list(frames), save)
        shared[:] = struct.pack("<q", index)

FrameRecord.of(StepResult(0, 0, camera, noise, np.ones((16, 28)), np.ones((8, 14)), None, {}, 1, 1, 0, MemoryStats()))
for line in sys.stdin:
    shared[:] = struct.pack("<q", -1)
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(1)
    print(child, flush=True)
    os.waitpid(child, 0)
    print(struct.unpack("<q", shared[:])[0], flush=True)
"""


@pytest.mark.parametrize(("kind", "kills"), [("folder", 40), ("file", 10)])
def test_kill_at_any_moment_loses_at_most_the_save_in_progress(tmp_path: Path, kind: str, kills: int) -> None:
    """The real save in a process that is killed without warning, again and again; each is forked from one that is warm.
    """
    place = tmp_path / "place"
    place.mkdir()
    nursery = subprocess.Popen(
        [sys.executable, "-c", NURSERY, str(place / "world"), kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)},
    )
    assert nursery.stdin is not None and nursery.stdout is not None
    rng = random.Random(5)
    try:
        for round_ in range(kills):
            nursery.stdin.write("go\n")
            nursery.stdin.flush()
            child = int(nursery.stdout.readline())
            while round_ == 0 and not any(place.glob("world" if kind == "file" else "world/manifest.json")):
                time.sleep(0.01)  # somebody must finish a first save
            time.sleep(rng.uniform(0.0, 0.1))
            os.kill(child, signal.SIGKILL)
            done = int(nursery.stdout.readline())  # the last save that the child knew to be complete, -1 for none
            with open_session(place / "world", model="m", checksum="c") as session:
                assert session.state.next_index == len(session.frames) and session.memory_folder is not None
                assert session.state.next_index >= done + 1
    finally:
        nursery.stdin.close()
        nursery.wait(timeout=10)


def test_the_bays_of_a_room_come_back_and_no_others(tiny_model: EmbeddedModel) -> None:
    one, _ = flown(tiny_model)
    room = Match(0, 0.0, math.inf, (15.0, 15.0, 2.9), bays=(*range(19), -1))
    one.match = replace(Match(0, 0.0, math.inf), bays=room.bays, rooms=(room,))
    values = capture(one, kind="image", camera=camera(), first=camera(), recorded=(), notes={}).to_json()
    again = state_from_json(json.loads(json.dumps(values)))
    assert again.match == one.match
    for bays in ([0] * 19, [0] * 21, [20] * 20, [-2] * 20, [0.5] * 20, "walls"):
        values["match"]["bays"] = bays
        with pytest.raises(SessionError, match=r"^[^\n]*bays[^\n]*$"):
            state_from_json(values)
