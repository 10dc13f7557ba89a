"""Saving, loading, damaged files, and the budget."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from engine.errors import InputError, SessionError
from engine.memory import LatentMemory, MemoryConfig
from engine.memory.saving import _sha256
from tests.engine.memory_support import CHANNELS, STRIDE, camera_at, memory_of, scene_view

TARGET = camera_at(0.3, 0, 1.6, 10, -8, size=(32, 48))
VIEWS = [scene_view(camera_at(0.3 * i, 0.0, 1.6, 20.0 * i, -8, size=(32, 48)), i) for i in range(8)]


@pytest.fixture
def memory() -> LatentMemory:
    built = memory_of(VIEWS[:3])
    built.freeze(built.living()[::7])
    built.erase(built.living()[3::5], "some")
    built.undo()
    built.branch("other")
    built.write(VIEWS[4], label="there")
    built.readout_nearest(TARGET)
    return built


def same(a: LatentMemory, b: LatentMemory) -> None:
    for node in range(len(a.tree)):
        a.checkout(node)
        b.checkout(node)
        np.testing.assert_array_equal(a.store.state.rows, b.store.state.rows)
        np.testing.assert_array_equal(a.store.alive_in_block.rows, b.store.alive_in_block.rows)
        one, two = a.readout_learned(TARGET), b.readout_learned(TARGET)
        assert torch.equal(one.features, two.features) and torch.equal(one.token, two.token)
        assert a.tree[node].label == b.tree[node].label and a.tree[node].kind == b.tree[node].kind


def test_a_saved_memory_comes_back_with_its_history(memory: LatentMemory, tmp_path: Path) -> None:
    memory.save(tmp_path)
    memory.save(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    loaded = LatentMemory.load(tmp_path, memory.config, memory.network)
    assert loaded.current == memory.current and loaded.stats().mib == memory.stats().mib
    assert loaded.stats().voxels_occupied == memory.stats().voxels_occupied
    np.testing.assert_array_equal(loaded.token_info(loaded.living()).reads, memory.token_info(memory.living()).reads)
    same(memory, loaded)
    loaded.write(VIEWS[6])
    memory.checkout(loaded.tree[loaded.current].parent)
    memory.write(VIEWS[6])
    same(memory, loaded)


def test_saving_again_replaces_the_old_files(memory: LatentMemory, tmp_path: Path) -> None:
    memory.save(tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    memory.write(VIEWS[7])
    memory.save(tmp_path)
    after = {path.name for path in tmp_path.iterdir()}
    assert len(after) == 2 and before != after
    assert LatentMemory.load(tmp_path, memory.config).current == memory.current
    with pytest.raises(InputError):
        memory.save(tmp_path / "missing")


def test_an_empty_memory_can_be_saved(tmp_path: Path) -> None:
    memory_of([]).save(tmp_path)
    loaded = LatentMemory.load(tmp_path, MemoryConfig(channels=CHANNELS, stride=STRIDE))
    assert len(loaded.store) == 0 and loaded.write(VIEWS[0]).tokens_written > 0


@pytest.mark.parametrize("settings", [{"channels": 5}, {"stride": 16}, {"samples": 4}, {"precision": "single"}])
def test_another_models_memory_is_refused(memory: LatentMemory, tmp_path: Path, settings: dict[str, int]) -> None:
    memory.save(tmp_path)
    config = MemoryConfig(**{"channels": CHANNELS, "stride": STRIDE, **settings})  # type: ignore[arg-type]
    with pytest.raises(SessionError, match=next(iter(settings))):
        LatentMemory.load(tmp_path, config)


def tamper_index(folder: Path, **changes: object) -> None:
    path = folder / "memory.json"
    index = json.loads(path.read_text())
    index.update(changes)
    path.write_text(json.dumps(index))


def tamper_tensors(folder: Path, name: str, value: np.ndarray | None) -> None:
    """Change a tensor and make sizes and checksum fit again, so that only the content is wrong."""
    path = next(folder.glob("*.safetensors"))
    tensors = dict(load_file(path))
    if value is None:
        del tensors[name]
    else:
        tensors[name] = value
    save_file(tensors, path)
    tamper_index(folder, bytes=path.stat().st_size, sha256=_sha256(path))


def refused(folder: Path) -> str:
    with pytest.raises(SessionError) as caught:
        LatentMemory.load(folder, MemoryConfig(channels=CHANNELS, stride=STRIDE))
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence
    return sentence


def test_damaged_files_are_named_in_one_sentence(memory: LatentMemory, tmp_path: Path) -> None:
    assert "memory.json" in refused(tmp_path)
    memory.save(tmp_path)
    index, tensors = tmp_path / "memory.json", next(tmp_path.glob("*.safetensors"))
    good_index, good = index.read_bytes(), tensors.read_bytes()
    for broken in (
        b"",
        b"{",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"format": "mirage-memory"}',
        b"[" * 100_000,
        good_index[:200],
    ):
        index.write_bytes(broken)
        refused(tmp_path)
    index.write_bytes(good_index)
    flipped = bytearray(good)
    flipped[-3] ^= 1
    giant = (2**62).to_bytes(8, "little") + good[8:]
    for broken in (b"", good[:100], good + b"x", bytes(flipped), giant):
        tensors.write_bytes(broken)
        refused(tmp_path)
    tensors.write_bytes(giant)
    tamper_index(tmp_path, sha256=_sha256(tensors))
    assert "header" in refused(tmp_path)
    tensors.unlink()
    assert "cannot be read" in refused(tmp_path)
    index.write_bytes(good_index)
    tamper_index(tmp_path, tensors="../outside.safetensors")
    refused(tmp_path)


def test_tensors_that_do_not_fit_each_other_are_refused(memory: LatentMemory, tmp_path: Path) -> None:
    store = memory.store
    n = len(store)
    spans, keyframes = store.spans.rows.copy(), store.keyframes.rows.copy()
    bad_span, overlap, bent, far = spans.copy(), spans.copy(), keyframes.copy(), keyframes.copy()
    bad_span[0, 1] += 1
    overlap[1, 0] -= 1
    bent[0, 0] = 7.0
    far[0, 9] = np.inf
    nan_features = store.features.rows.copy()
    nan_features[3, 1] = np.nan
    minus = store.geometry.rows.copy()
    minus[2] = np.array([-1.0] * 4, np.float16).view(np.uint16)
    blank = store.geometry.rows.copy()
    blank[2] = np.array([np.nan] * 4, np.float16).view(np.uint16)
    wrong: list[tuple[str, np.ndarray | None]] = [
        ("features", None),
        ("features", nan_features),
        ("features", store.features.rows[:-1].copy()),
        ("features", store.features.rows.astype(np.float32)),
        ("geometry", minus),
        ("geometry", blank),
        ("cells", store.cells.rows[::-1].copy()),
        ("cells", np.full(n, 60000, np.uint16)),
        ("spans", bad_span),
        ("spans", overlap),
        ("spans", spans - 10),
        ("keyframes", bent),
        ("keyframes", far),
        ("grids", store.grids.rows * 0),
        ("grids", store.grids.rows * 1000),
        ("keyframe_node", store.keyframe_node.rows + 1),
        ("planar", np.ones(n + 1, np.uint8)),
        ("node_killed", np.array([n], np.int64)),
        ("node_killed_count", np.full(len(memory.tree), -1, np.int64)),
        ("node_frozen_count", None),
        ("reads", store.reads.rows[:5].copy()),
    ]
    for name, value in wrong:
        memory.save(tmp_path)
        tamper_tensors(tmp_path, name, value)
        assert "damaged" in refused(tmp_path), name


def test_an_impossible_history_is_refused(memory: LatentMemory, tmp_path: Path) -> None:
    memory.save(tmp_path)
    nodes = json.loads((tmp_path / "memory.json").read_text())["nodes"]

    def changed(number: int, **values: object) -> list[object]:
        return [{**node, **values} if i == number else node for i, node in enumerate(nodes)]

    wrong: list[object] = [
        [],
        None,
        nodes[:-1],
        changed(2, parent=2),
        changed(2, parent=99),
        changed(0, parent=0),
        changed(1, keyframe=99),
        changed(1, keyframe=1),
        changed(1, keyframe=-1),
        changed(3, kind="explode"),
        changed(3, label="x" * 1000),
        changed(3, label=7),
        changed(3, created_s=float("nan")),
        changed(1, written=-4),
        changed(1, parent=True),
        [*nodes[:-1], "node"],
    ]
    for value in wrong:
        memory.save(tmp_path)
        tamper_index(tmp_path, nodes=value)
        refused(tmp_path)
    for current in (-1, 99, "0", True, None):
        memory.save(tmp_path)
        tamper_index(tmp_path, current=current)
        refused(tmp_path)
    memory.save(tmp_path)
    tamper_index(tmp_path, version=2)
    assert "version" in refused(tmp_path)


def test_the_budget_is_kept_by_the_stated_rule(tmp_path: Path) -> None:
    unlimited = memory_of(VIEWS[:1], policy="append")
    per_view = unlimited.stats().mib
    memory = memory_of([], policy="append", budget_mib=per_view * 4.5)
    frozen_rows = None
    for i, view in enumerate(VIEWS):
        memory.write(view)
        if i == 0:
            memory.freeze(memory.living()[:3])
            frozen_rows = memory.token_info(memory.living()[:3]).cell
        if i == 1:
            memory.erase(memory.living()[-20:])
        memory.readout_nearest(VIEWS[2].camera)  # the third view is the one in use
        assert memory.stats().mib <= per_view * 4.5
        if i != 1:
            assert memory.sample_map(view.camera).covered.all()  # the newest always stays
    stats = memory.stats()
    assert stats.evicted > 0 and stats.tokens_living < 8 * 24
    kept = memory.token_info(memory.living())
    first = kept.keyframe == 0
    assert kept.frozen[first].sum() == 3
    np.testing.assert_array_equal(kept.cell[kept.frozen], frozen_rows)
    # The dead went first: nothing that is stored is dead.
    assert stats.tokens_stored == stats.tokens_living
    # Numbers changed consistently: history still walks, files still close the circle.
    memory.save(tmp_path)
    loaded = LatentMemory.load(tmp_path, memory.config, memory.network)
    same(memory, loaded)


def test_what_is_read_outlives_what_is_not() -> None:
    behind = scene_view(camera_at(0.0, 0.0, 1.6, 180.0, -8, size=(32, 48)), 9)
    views = [VIEWS[0], behind, VIEWS[4], VIEWS[5]]
    memory = memory_of([], policy="append", budget_mib=0.95 * memory_of(views, policy="append").stats().mib)
    for view in views:
        memory.write(view)
        memory.readout_nearest(VIEWS[0].camera)
    nodes = set(memory.token_info(memory.living()).node.tolist())
    assert nodes == {1, 3, 4}
    alive = memory.store.alive
    counts = [int(alive[first : first + n].sum()) for first, n, _ in memory.store.blocks.rows]
    np.testing.assert_array_equal(memory.store.alive_in_block.rows, counts)
    snapshot = memory.snapshot()
    assert snapshot.generation > 0 and snapshot.count == memory.stats().tokens_stored
