"""Immutable pictures of the memory for whoever draws it, without locks and without copying what was published
before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.memory import points
from engine.memory.store import Table, TokenStore
from engine.memory.tree import WorldTree

BASIS_TOKENS = 256


@dataclass(frozen=True, eq=False)
class MemorySnapshot:
    """The memory as points. Row i is token i; arrays are read-only.

    A view keeps ``generation`` and how many rows it has uploaded: as long as the generation is the same, rows below
    that number have not changed in ``positions``, ``rgb``, ``birth``, ``footprint_m`` and ``sky``, and only newer ones
    need to be taken. ``alive``, ``frozen`` and ``reads`` change with ``version``.

    Attributes:
        generation: grows when eviction renumbers tokens. version: grows with every change. node: the present node.
        positions: (n, 3) float32 metres (sky 1 km away). rgb: (n, 3) uint8, the features' three main components.
        birth: (n,) int32 node that wrote the token. keyframe: (n,) int32. footprint_m: (n,) float32, inf for sky.
        sky, alive, frozen: (n,) bool. reads: (n,) uint8.
        keyframe_c2w: (k, 4, 4) float64. keyframe_node: (k,) int64.
    """

    generation: int
    version: int
    node: int
    positions: np.ndarray
    rgb: np.ndarray
    birth: np.ndarray
    keyframe: np.ndarray
    footprint_m: np.ndarray
    sky: np.ndarray
    alive: np.ndarray
    frozen: np.ndarray
    reads: np.ndarray
    keyframe_c2w: np.ndarray
    keyframe_node: np.ndarray

    @property
    def count(self) -> int:
        """Points drawn at most; those with ``alive`` False are history."""
        return len(self.positions)


class SnapshotMaker:
    """Grows the drawable arrays as tokens are written; one per memory."""

    def __init__(self) -> None:
        self.generation = 0
        self._basis: tuple[np.ndarray, np.ndarray] | None = None
        self._reset()

    def _reset(self) -> None:
        self._drawn = {
            "positions": Table((3,), np.float32),
            "rgb": Table((3,), np.uint8),
            "birth": Table((), np.int32),
            "keyframe": Table((), np.int32),
            "footprint_m": Table((), np.float32),
            "sky": Table((), np.bool_),
        }
        self._poses = Table((4, 4), np.float64)
        self._last: MemorySnapshot | None = None

    def renumbered(self) -> None:
        """Tokens have new numbers: everything must be drawn anew."""
        self.generation += 1
        self._reset()

    def truncated(self, rows: int, keyframes: int) -> None:
        """Tokens from ``rows`` on and keyframes from ``keyframes`` on are gone; what was published of them keeps its
        arrays."""
        if self._drawn["positions"].count > rows:
            for table in self._drawn.values():
                table.keep(np.arange(table.count) < rows)
            self.generation += 1
        if self._poses.count > keyframes:
            self._poses.keep(np.arange(self._poses.count) < keyframes)
        self._last = None

    def take(self, store: TokenStore, tree: WorldTree, cell_center: float, version: int) -> MemorySnapshot:
        """The snapshot of ``version``; the same object as before if nothing changed."""
        if self._last is not None and self._last.version == version:
            return self._last
        self._extend(store, cell_center)
        self._last = MemorySnapshot(
            generation=self.generation,
            version=version,
            node=tree.current,
            **{name: _read_only(table.rows) for name, table in self._drawn.items()},
            alive=_read_only(store.alive),
            frozen=_read_only(store.frozen),
            reads=_read_only(store.reads.rows.copy()),
            keyframe_c2w=_read_only(self._poses.rows),
            keyframe_node=_read_only(store.keyframe_node.rows.copy()),
        )
        return self._last

    def _extend(self, store: TokenStore, cell_center: float) -> None:
        rows = np.arange(self._drawn["positions"].count, len(store))
        if len(rows):
            keyframe = store.keyframes_of(rows)
            drawn = self._drawn
            drawn["positions"].append(points.positions(store, rows, cell_center))
            drawn["rgb"].append(self._colours(store, rows))
            drawn["birth"].append(store.keyframe_node.rows[keyframe])
            drawn["keyframe"].append(keyframe)
            drawn["footprint_m"].append(points.footprints_m(store, rows))
            drawn["sky"].append(points.center_inverse_depth(store, rows) == 0.0)
        packed = store.keyframes.rows[self._poses.count :]
        poses = self._poses.extend(len(packed))
        poses[:, :3, :3] = packed[:, :9].reshape(-1, 3, 3)
        poses[:, :3, 3] = packed[:, 9:12]
        poses[:, 3, 3] = 1.0

    def _colours(self, store: TokenStore, rows: np.ndarray) -> np.ndarray:
        """(n, 3) uint8 by the principal components of the first tokens, which stay the same for the memory's whole
        life."""
        features = store.features.rows[rows].astype(np.float32)
        if self._basis is None or len(self._basis[0]) != features.shape[1]:
            self._basis = _principal(features)
            if len(features) < BASIS_TOKENS:
                basis, self._basis = self._basis, None
                return _apply(basis, features)
        return _apply(self._basis, features)


def _principal(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (C,) and axes (C, 3), scaled so that 2.5 standard deviations fill the range."""
    mean = features.mean(axis=0)
    _, spread, axes = np.linalg.svd(features - mean, full_matrices=False)
    found = min(3, len(axes))
    chosen = np.zeros((3, features.shape[1]), np.float32)
    deviation = np.maximum(spread[:found] / np.sqrt(max(len(features) - 1, 1)), 1e-6)
    chosen[:found] = axes[:found] / (2.5 * deviation[:, None])
    # An axis has no sign of its own; fix it so that colours are the same every time.
    strongest = np.take_along_axis(chosen, np.abs(chosen).argmax(axis=1)[:, None], axis=1)
    return mean, (chosen * np.where(strongest < 0.0, -1.0, 1.0)).T


def _apply(basis: tuple[np.ndarray, np.ndarray], features: np.ndarray) -> np.ndarray:
    return np.clip(127.5 * ((features - basis[0]) @ basis[1]) + 127.5, 0.0, 255.0).astype(np.uint8)


def _read_only(values: np.ndarray) -> np.ndarray:
    view = values.view()
    view.setflags(write=False)
    return view
