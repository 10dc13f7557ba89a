"""A memory on disk: ``memory.json`` and one safetensors file that it names with its checksum.

The tensors are written first under a name that contains their checksum, then the JSON replaces the old one in a single
rename, so a save that is interrupted leaves the previous one whole. Nothing in the files is trusted: sizes are bounded
before anything is read, every index is checked, and what can be derived (blocks, bounds, liveness) is derived again.
"""

from __future__ import annotations

import hashlib
import json
import struct
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from engine.atomic import atomic_write
from engine.errors import SessionError
from engine.memory.grids import MAX_CODES, TILE, cell_of
from engine.memory.kernels import PLANAR, REAR, RIM, WEAR_SHIFT, WORN
from engine.memory.tree import MAX_LABEL, ROW_LISTS, Node, WorldTree

if TYPE_CHECKING:
    from engine.memory.latent_memory import LatentMemory

VERSION = 1
INDEX = "memory.json"
MAX_INDEX_BYTES = 64 * 2**20
MAX_HEADER_BYTES = 1 * 2**20
MAX_TENSOR_BYTES = 64 * 2**30
MAX_GRID = 4096
MAX_FINER = 8
KINDS = ("root", "write", "erase", "freeze", "thaw", "branch", "cross")
_LATER = {"backdrop": -1, "country": 0}
"""What earlier sessions say nothing of."""
SAVED_TABLES = (
    "features",
    "geometry",
    "cells",
    "reads",
    "ring_codes",
    "ring_steps",
    "ring_cells",
    "keyframes",
    "grids",
    "spans",
    "keyframe_node",
)


def save(memory: LatentMemory, folder: Path) -> None:
    """Write ``memory`` into ``folder``, which must exist.

    Raises:
        InputError: the folder is missing, read-only or full.
    """
    store, tree = memory.store, memory.tree
    tensors = {name: np.ascontiguousarray(store.tables[name].rows) for name in SAVED_TABLES}
    tensors["planar"] = ((store.state.rows & PLANAR) > 0).astype(np.uint8)
    tensors["rim"] = ((store.state.rows & RIM) > 0).astype(np.uint8)
    tensors["wear"] = store.wear
    for name in ROW_LISTS:
        lists = [getattr(node, name) for node in tree.nodes]
        tensors[f"node_{name}"] = np.concatenate(lists).astype(np.int64)
        tensors[f"node_{name}_count"] = np.array([len(rows) for rows in lists], np.int64)
    folder = Path(folder)
    with atomic_write(folder / "memory.safetensors.part") as temporary:
        save_file(tensors, temporary)
        checksum = _sha256(temporary)
        size = temporary.stat().st_size
        name = f"memory-{checksum[:16]}.safetensors"
        with atomic_write(folder / name) as final:
            temporary.replace(final)
            temporary.touch()
    (folder / "memory.safetensors.part").unlink(missing_ok=True)
    config = memory.config
    index = {
        "format": "mirage-memory",
        "version": VERSION,
        "channels": config.channels,
        "stride": config.stride,
        "samples": config.samples,
        "precision": config.precision,
        "tensors": name,
        "bytes": size,
        "sha256": checksum,
        "current": tree.current,
        "nodes": [
            {
                "parent": node.parent,
                "kind": node.kind,
                "label": node.label,
                "created_s": node.created_s,
                "keyframe": node.keyframe,
                "backdrop": node.backdrop,
                "finer": list(node.finer),
                "written": node.written,
                "country": node.country,
            }
            for node in tree.nodes
        ],
    }
    with atomic_write(folder / INDEX) as temporary:
        temporary.write_text(json.dumps(index, indent=1), encoding="utf-8")
    for old in folder.glob("memory-*.safetensors"):
        if old.name != name:
            old.unlink(missing_ok=True)


def restore(memory: LatentMemory, folder: Path) -> None:
    """Fill an empty ``memory`` from ``folder``.

    Raises:
        SessionError: one sentence saying what is wrong with which file.
    """
    folder = Path(folder)
    index = _read_index(folder / INDEX)
    config = memory.config
    for name in ("channels", "stride", "samples", "precision"):
        if index.get(name) != getattr(config, name):
            raise SessionError(
                f"The saved memory has {name} = {index.get(name)!r} but this model needs {getattr(config, name)!r}; "
                "open it with the model it was made with."
            )
    tensors = _read_tensors(folder, index)
    _check_tables(memory, tensors)
    tree = _read_tree(index, tensors)
    store = memory.store
    for name in SAVED_TABLES:
        store.tables[name].append(tensors[name])
    store.state.append(_state(tree, tensors))
    store.rebuild_blocks()
    store.finer.append(_finer_of(tree, tensors["grids"]))
    memory.tree = tree
    target, tree.current = tree.current, 0
    memory.checkout(target)


def _state(tree: WorldTree, tensors: dict[str, np.ndarray]) -> np.ndarray:
    """(N,) uint8 states of tokens that are all dead yet."""
    behind = np.zeros(len(tensors["spans"]), np.bool_)
    behind[[node.backdrop for node in tree.nodes if node.backdrop >= 0]] = True
    rear = np.repeat(behind, tensors["spans"][:, 1])
    state = tensors["wear"] << WEAR_SHIFT
    for bit, rows in ((PLANAR, tensors["planar"] > 0), (RIM, tensors["rim"] > 0), (REAR, rear)):
        state |= np.where(rows, bit, np.uint8(0))
    return state


def _finer_of(tree: WorldTree, grids: np.ndarray) -> np.ndarray:
    """(k,) int64: the keyframe that refines each, -1 for none. Scales in between may have been evicted."""
    finer = np.full(len(grids), -1, np.int64)
    for node in tree.nodes:
        for coarse, fine in pairwise((node.keyframe, *node.finer)):
            if coarse >= 0 and (grids[fine] == 2 * grids[coarse]).all():
                finer[coarse] = fine
    return finer


def _damaged(what: str) -> SessionError:
    return SessionError(f"The saved memory is damaged: {what}; open an earlier copy of the session.")


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_index(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_INDEX_BYTES:
            raise _damaged(f"{path.name} is larger than {MAX_INDEX_BYTES >> 20} MiB")
        index = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SessionError(
            f"{path} cannot be read ({error.strerror or error}); choose a folder that Mirage saved."
        ) from error
    except (ValueError, RecursionError) as error:
        raise _damaged(f"{path.name} is not valid JSON") from error
    if not isinstance(index, dict) or index.get("format") != "mirage-memory":
        raise _damaged(f"{path.name} is not the index of a memory")
    if index.get("version") != VERSION:
        raise SessionError(
            f"The saved memory is of version {index.get('version')!r}; this Mirage reads version {VERSION}."
        )
    return index


def _read_tensors(folder: Path, index: dict[str, Any]) -> dict[str, np.ndarray]:
    name = index.get("tensors")
    if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
        raise _damaged("its index names no tensor file")
    path = folder / name
    try:
        size = path.stat().st_size
        if size != index.get("bytes") or size > MAX_TENSOR_BYTES:
            raise _damaged(f"{name} has {size} bytes where {index.get('bytes')!r} were saved")
        with open(path, "rb") as file:
            head = file.read(8)
        if len(head) < 8 or struct.unpack("<Q", head)[0] > min(MAX_HEADER_BYTES, size - 8):
            raise _damaged(f"{name} has an impossible header")
        if _sha256(path) != index.get("sha256"):
            raise _damaged(f"{name} does not have the checksum it was saved with")
        return dict(load_file(path))
    except OSError as error:
        raise SessionError(
            f"{path} cannot be read ({error.strerror or error}); the session is not complete."
        ) from error
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(f"{name} is not a valid safetensors file") from error


def _check_tables(memory: LatentMemory, tensors: dict[str, np.ndarray]) -> None:
    """Shapes, ranges and cross references of everything that indexes something else."""
    tables = memory.store.tables
    for name in SAVED_TABLES:
        empty = tables[name].rows
        value = tensors.get(name)
        if (
            value is None
            or value.dtype != empty.dtype
            or value.shape[1:] != empty.shape[1:]
            or value.ndim != empty.ndim
        ):
            raise _damaged(f"its {name} are missing or of another kind")
    count, rings, keyframes = len(tensors["cells"]), len(tensors["ring_cells"]), len(tensors["keyframes"])
    planar = tensors.get("planar")
    lengths = {
        "features": count,
        "geometry": count,
        "reads": count,
        "ring_codes": rings,
        "ring_steps": keyframes,
        "grids": keyframes,
        "spans": keyframes,
    }
    lengths["keyframe_node"] = keyframes
    for name, length in lengths.items():
        if len(tensors[name]) != length:
            raise _damaged(f"its {name} are {len(tensors[name])} where {length} belong together")
    if planar is None or planar.shape != (count,) or planar.dtype != np.uint8:
        raise _damaged("its surface flags are missing or of another kind")
    wear = tensors.setdefault("wear", np.zeros(count, np.uint8))  # earlier sessions kept no account of it
    if wear.shape != (count,) or wear.dtype != np.uint8 or (wear > WORN).any():
        raise _damaged("its tokens are worn in an impossible way")
    rim = tensors.setdefault("rim", np.zeros(count, np.uint8))  # nor of that
    if rim.shape != (count,) or rim.dtype != np.uint8:
        raise _damaged("what its tokens lie beside is of another kind")
    scales = tensors["ring_steps"]
    numbers = {"features": tensors["features"], "ring_codes": tensors["ring_codes"]}
    numbers["ring_steps"] = scales.view(np.float16) if scales.dtype == np.uint16 else scales
    for name, values in numbers.items():
        if not np.isfinite(values).all():
            raise _damaged(f"its {name} hold values that are not numbers")
    geometry = tensors["geometry"]
    depth = geometry.view(np.float16) if geometry.dtype == np.uint16 else geometry
    if np.isinf(depth).any() or (depth < 0).any() or np.isnan(depth).all(axis=1).any():
        raise _damaged("its depths are negative, infinite or absent")
    _check_cameras(tensors["keyframes"])
    _check_spans(tensors, count, rings)


def _check_cameras(packed: np.ndarray) -> None:
    rotation = packed[:, :9].reshape(-1, 3, 3)
    rigid = np.isfinite(packed).all() and np.allclose(rotation @ rotation.transpose(0, 2, 1), np.eye(3), atol=1e-3)
    if not rigid or (packed[:, 12:14] <= 0.0).any() or (np.abs(packed[:, 9:]) > 1e9).any():
        raise _damaged("one of its cameras is impossible")


def _check_spans(tensors: dict[str, np.ndarray], count: int, rings: int) -> None:
    """Spans must cut the rows into keyframes without gaps, and cells must lie in their grids in ascending order."""
    spans, grids = tensors["spans"], tensors["grids"].astype(np.int64)
    if (
        (grids < 1).any()
        or (grids > MAX_GRID).any()
        or ((-(-grids // TILE)).prod(axis=1) * TILE * TILE > MAX_CODES).any()
    ):
        raise _damaged("one of its latent grids has an impossible size")
    for first, number, total, name in ((0, 1, count, "cells"), (2, 3, rings, "ring_cells")):
        lengths = spans[:, number]
        if (lengths < (1 if number == 1 else 0)).any() or (lengths > MAX_CODES).any() or lengths.sum() != total:
            raise _damaged("its keyframes do not add up to its tokens")
        if not np.array_equal(spans[:, first], np.cumsum(lengths) - lengths):
            raise _damaged("its keyframes overlap")
        owner = np.repeat(np.arange(len(spans)), lengths)
        u, v = cell_of(tensors[name], grids[owner, 1])
        ascending = np.diff(tensors[name].astype(np.int64)) > 0
        if (u >= grids[owner, 1]).any() or (v >= grids[owner, 0]).any() or not (ascending | (np.diff(owner) > 0)).all():
            raise _damaged("its tokens do not fit their keyframes")


def _read_tree(index: dict[str, Any], tensors: dict[str, np.ndarray]) -> WorldTree:
    entries, count, keyframes = index.get("nodes"), len(tensors["cells"]), len(tensors["keyframes"])
    if not isinstance(entries, list) or not entries:
        raise _damaged("its history is missing")
    lists: dict[str, list[np.ndarray]] = {}
    if "node_revived" not in tensors:  # earlier sessions knew one country only
        tensors |= {"node_revived": np.empty(0, np.int64), "node_revived_count": np.zeros(len(entries), np.int64)}
    for name in ROW_LISTS:
        rows, lengths = tensors.get(f"node_{name}"), tensors.get(f"node_{name}_count")
        if (
            rows is None
            or lengths is None
            or not rows.dtype == lengths.dtype == np.int64
            or rows.ndim != 1
            or lengths.shape != (len(entries),)
            or len(lengths[(lengths < 0) | (lengths > count)])
            or lengths.sum() != len(rows)
        ):
            raise _damaged("its history does not fit its tokens")
        if len(rows) and (rows.min() < 0 or rows.max() >= count):
            raise _damaged("its history names tokens that do not exist")
        lists[name] = np.split(rows, np.cumsum(lengths)[:-1])
    tree = WorldTree()
    tree.nodes.clear()
    tree.children.clear()
    used: set[int] = set()
    countries = {0}
    for number, entry in enumerate(entries):
        node = _read_node(number, entry, keyframes)
        if node.kind == "write" and node.country == number:
            countries.add(number)
        if node.country not in countries:
            raise _damaged(f"node {number} of its history lies in no country")
        for keyframe in node.keyframes:
            if keyframe in used or tensors["keyframe_node"][keyframe] != number:
                raise _damaged(f"node {number} of its history claims a keyframe of another node")
            used.add(keyframe)
        tree.nodes.append(node)
        tree.children.append([])
        if number:
            tree.children[node.parent].append(number)
        tree.record(node, **{name: np.unique(lists[name][number]) for name in ROW_LISTS})
    if len(used) != keyframes:
        raise _damaged("some of its keyframes belong to no node")
    current = index.get("current")
    if not isinstance(current, int) or isinstance(current, bool) or not 0 <= current < len(tree.nodes):
        raise _damaged("its present node does not exist")
    tree.current = current
    return tree


def _read_node(number: int, entry: Any, keyframes: int) -> Node:
    if not isinstance(entry, dict):
        raise _damaged(f"node {number} of its history is not an object")
    numbers: dict[str, int] = {
        name: value
        for name in ("parent", "keyframe", "backdrop", "written", "country")
        if isinstance(value := entry.get(name, _LATER.get(name)), int) and not isinstance(value, bool)
    }
    whole = len(numbers) == 5
    finer = entry.get("finer", [])
    if not isinstance(finer, list) or len(finer) > MAX_FINER or not all(type(index) is int for index in finer):
        raise _damaged(f"node {number} of its history is incomplete")
    label, kind, created = entry.get("label"), entry.get("kind"), entry.get("created_s")
    if not whole or not isinstance(label, str) or len(label) > MAX_LABEL or kind not in KINDS:
        raise _damaged(f"node {number} of its history is incomplete")
    if not isinstance(created, int | float) or not 0 <= created < 1e12:
        raise _damaged(f"node {number} of its history has no time")
    if (
        not all(-1 <= numbers[name] < keyframes for name in ("keyframe", "backdrop"))
        or not all(before < index < keyframes for before, index in pairwise((max(numbers["keyframe"], -1), *finer)))
        or numbers["written"] < 0
        or (max(numbers["keyframe"], numbers["backdrop"], *finer) >= 0 and kind != "write")
    ):
        raise _damaged(f"node {number} of its history names a keyframe that does not exist")
    if not (0 <= numbers["parent"] < number) if number else numbers["parent"] != -1 or kind != "root":
        raise _damaged(f"node {number} of its history has an impossible parent")
    parent, keyframe, backdrop, written, country = numbers.values()
    return Node(number, parent, kind, label, float(created), keyframe, backdrop, tuple(finer), written, country)
