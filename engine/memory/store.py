"""Where tokens live: growable tables of features, geometry and liveness, keyframes, and blocks for culling.

A token's row number is its id. Rows of one keyframe are consecutive and sorted by cell; neighbours that a readout of
those tokens needs but that are no tokens themselves (the ring) keep their features only. 3D points follow from geometry
and camera and are never stored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.camera import Camera
from engine.errors import InputError
from engine.memory.bounds import bound_blocks
from engine.memory.config import MemoryConfig
from engine.memory.grids import cell_of, dilate, tile_order
from engine.memory.kernels import ALIVE, FROZEN, PLANAR, REAR, RIM, WEAR_BITS, WEAR_SHIFT

BLOCK = 64
"""Most tokens in a block: the unit of culling and of eviction."""


class Table:
    """A growable array: appending is amortised O(added), rows that exist are never moved within a capacity."""

    def __init__(self, width: tuple[int, ...], dtype: type | np.dtype, capacity: int = 0) -> None:
        self._data = np.zeros((capacity, *width), dtype=dtype)
        self.count = 0

    @property
    def rows(self) -> np.ndarray:
        """(count, ...) view of the rows in use."""
        return self._data[: self.count]

    @property
    def row_bytes(self) -> int:
        return int(self._data.itemsize * np.prod(self._data.shape[1:], dtype=np.int64))

    @property
    def used_bytes(self) -> int:
        return self.count * self.row_bytes

    @property
    def reserved_bytes(self) -> int:
        return self._data.nbytes

    def append(self, rows: np.ndarray) -> None:
        self.extend(len(rows))[...] = rows

    def extend(self, added: int) -> np.ndarray:
        """Room for ``added`` rows at the end, as a view to be filled (zeros until then)."""
        needed = self.count + added
        if needed > len(self._data):
            grown = np.zeros((max(needed, int(1.5 * len(self._data))), *self._data.shape[1:]), dtype=self._data.dtype)
            grown[: self.count] = self.rows
            self._data = grown
        self.count = needed
        fresh = self._data[self.count - added : needed]
        fresh[...] = 0
        return fresh

    def truncate(self, count: int) -> None:
        """Forget the rows from ``count`` on."""
        self.count = min(self.count, count)

    def keep(self, mask: np.ndarray) -> None:
        """Drop the rows where ``mask (count,)`` is False."""
        self._data = np.ascontiguousarray(self.rows[mask])
        self.count = len(self._data)


@dataclass(frozen=True)
class Keyframe:
    """One written view.

    Attributes:
        node: the tree node that wrote it.
        camera: on its latent grid.
        first, count: its rows.
    """

    node: int
    camera: Camera
    first: int
    count: int


class TokenStore:
    """All tokens ever written and not evicted, living or not."""

    def __init__(self, config: MemoryConfig) -> None:
        half = config.precision == "half"
        self.samples = config.samples
        self.channels = config.channels
        self.most_cells = float(4.0**config.detail_log2)
        self.features = Table((config.channels,), np.float16 if half else np.float32)
        self.geometry = Table((config.samples**2,), np.uint16 if half else np.float32)
        self.cells = Table((), np.uint16)
        self.state = Table((), np.uint8)
        self.reads = Table((), np.uint8)
        self.ring_codes = Table(
            ((config.channels + 1) // 2,) if half else (config.channels,), np.uint8 if half else np.float32
        )
        self.ring_steps = Table((config.channels,), np.uint16 if half else np.float32)
        self.ring_cells = Table((), np.uint16)
        self.keyframes = Table((16,), np.float64)
        self.grids = Table((2,), np.int32)
        self.spans = Table((4,), np.int64)
        self.keyframe_node = Table((), np.int64)
        self.finer = Table((), np.int64)
        self.blocks = Table((3,), np.int64)
        self.spheres = Table((8,), np.float32)
        self.bounds = Table((6,), np.float32)
        self.alive_in_block = Table((), np.int32)
        self.block_read = Table((), np.int64)
        self._changes: list[tuple[np.ndarray, bool]] = []

    @property
    def tables(self) -> dict[str, Table]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Table)}

    def __len__(self) -> int:
        return self.cells.count

    @property
    def used_bytes(self) -> int:
        """Bytes of everything that tokens need, rings, keyframes, blocks and liveness included."""
        return sum(table.used_bytes for table in self.tables.values())

    def append(
        self,
        camera: Camera,
        latents: np.ndarray,
        inverse_depth: np.ndarray,
        planar: np.ndarray,
        written: np.ndarray,
        node: int,
        refines: int = -1,
        wear: np.ndarray | None = None,
        rim: np.ndarray | None = None,
        rear: bool = False,
    ) -> np.ndarray:
        """Store the ``written (h, w)`` bool cells of a view as a keyframe; returns their rows (n,) int64, alive.

        Args:
            camera: on the latent grid (h, w).
            latents: (C, h, w) float32.
            inverse_depth: (h, w, s*s) float32, NaN unknown.
            planar: (h, w) bool, see ``surface.planar_tokens``.
            refines: index of the keyframe of the same view with half as many cells a side, -1 for none.
            wear: (h, w) uint8 up to WORN, see :meth:`wear`; ``None``: none.
            rim: (h, w) bool, see ``surface.rims``; ``None``: none. rear: it is a backdrop.
        """
        height, width = written.shape
        order, codes = tile_order(height, width)
        flat = written.ravel()
        chosen = flat[order]
        ring = (dilate(written) & ~written).ravel()[order]
        by_cell = latents.reshape(self.channels, -1).T
        first, keyframe = len(self), self.keyframes.count
        picked, ring_picked = order[chosen], order[ring]
        count = len(picked)
        self.features.append(by_cell[picked])
        values = inverse_depth.reshape(height * width, -1)[picked]
        if self.geometry.rows.dtype == np.uint16:
            self.geometry.append(values.astype(np.float16).view(np.uint16))
        else:
            self.geometry.append(values)
        self.cells.append(codes[chosen])
        state = np.where(planar.ravel()[picked], ALIVE | PLANAR, ALIVE) | (REAR if rear else np.uint8(0))
        if rim is not None:
            state |= np.where(rim.ravel()[picked], RIM, np.uint8(0))
        self.state.append(state if wear is None else state | (wear.ravel()[picked] << WEAR_SHIFT))
        self.reads.extend(count)
        ring_first = self.ring_cells.count
        self._append_ring(by_cell[ring_picked])
        self.ring_cells.append(codes[ring])
        self.keyframes.append(pack_camera(camera)[None])
        self.grids.append(np.array([[height, width]]))
        self.spans.append(np.array([[first, count, ring_first, len(ring_picked)]]))
        self.keyframe_node.append(np.array([node]))
        self.finer.append(np.array([-1]))
        if refines >= 0:
            self.finer.rows[refines] = keyframe
        self._add_blocks(keyframe, first, count)
        rows = np.arange(first, first + count)
        self._changes.append((rows, True))
        return rows

    def _append_ring(self, features: np.ndarray) -> None:
        """Keep features of ring cells (n, C): 4 bits a channel and one step per keyframe and channel, for they are
        context only.
        """
        if self.ring_codes.rows.dtype == np.float32:
            self.ring_codes.append(features)
            self.ring_steps.append(np.ones((1, self.channels), np.float32))
            return
        steps = (np.abs(features).max(axis=0, initial=1e-3) / 7.5).astype(np.float16)
        levels = np.clip(np.rint(features / steps.astype(np.float32) + 7.5), 0, 15).astype(np.uint8)
        if self.channels % 2:
            levels = np.concatenate([levels, np.zeros((len(levels), 1), np.uint8)], axis=1)
        self.ring_codes.append(levels[:, ::2] | (levels[:, 1::2] << 4))
        self.ring_steps.append(steps.view(np.uint16)[None])

    @property
    def feature_bits(self) -> np.ndarray:
        """(N, C) features as the compiled loops take them: float32, or float16 as uint16 bits."""
        features = self.features.rows
        return features.view(np.uint16) if features.dtype == np.float16 else features

    def drop_newest_keyframe(self) -> None:
        """Forget the keyframe written last, with its tokens and its ring."""
        keyframe = self.keyframes.count - 1
        first, _, ring_first, _ = (int(value) for value in self.spans.rows[keyframe])
        block = int(np.searchsorted(self.blocks.rows[:, 0], first))
        self._truncate(tokens=first, rings=ring_first, keyframes=keyframe, blocks=block)

    def _truncate(self, *, tokens: int, rings: int, keyframes: int, blocks: int) -> None:
        for table in (self.features, self.geometry, self.cells, self.state, self.reads):
            table.truncate(tokens)
        for table in (self.ring_codes, self.ring_cells):
            table.truncate(rings)
        for table in (self.keyframes, self.grids, self.spans, self.keyframe_node, self.finer, self.ring_steps):
            table.truncate(keyframes)
        for table in (self.blocks, self.spheres, self.bounds, self.alive_in_block, self.block_read):
            table.truncate(blocks)
        self.finer.rows[self.finer.rows >= keyframes] = -1

    @property
    def pending_changes(self) -> int:
        return len(self._changes)

    def take_changes(self) -> list[tuple[np.ndarray, bool]]:
        """Rows that came to life (True) or died (False) since the last call, in order."""
        taken, self._changes = self._changes, []
        return taken

    def _add_blocks(self, keyframe: int, first: int, count: int) -> None:
        pieces = -(-count // BLOCK)
        bounds = first + (np.arange(pieces + 1) * count) // max(pieces, 1)
        at = self.blocks.count
        self.blocks.append(np.stack([bounds[:-1], np.diff(bounds), np.full(pieces, keyframe)], axis=1))
        self.spheres.extend(pieces)
        self.bounds.extend(pieces)
        self.alive_in_block.append(np.diff(bounds))
        self.block_read.extend(pieces)
        bound_blocks(
            at,
            self.blocks.rows,
            self.keyframes.rows,
            self.grids.rows,
            self.geometry.rows,
            self.cells.rows,
            self.samples,
            self.spheres.rows,
            self.bounds.rows,
        )

    def keep(self, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Drop the rows where ``mask (N,)`` is False, keyframes that became empty, and rings nobody needs.

        Returns:
            new row of every old row and new index of every old keyframe, -1 where dropped.
        """
        spans, grids = self.spans.rows.copy(), self.grids.rows.copy()
        owner = np.repeat(np.arange(len(spans)), spans[:, 1])
        left = np.bincount(owner[mask], minlength=len(spans))
        ring_owner = np.repeat(np.arange(len(spans)), spans[:, 3])
        ring_keep = left[ring_owner] > 0
        for index in np.flatnonzero((left > 0) & (left < spans[:, 1])):
            ring_keep[ring_owner == index] = self._ring_needed(
                spans[index], int(grids[index, 0]), int(grids[index, 1]), mask
            )
        rows = np.where(mask, np.cumsum(mask) - 1, -1)
        used = left > 0
        keyframes = np.where(used, np.cumsum(used) - 1, -1)
        read = np.repeat(self.block_read.rows, self.blocks.rows[:, 1])[mask]
        for table in (self.features, self.geometry, self.cells, self.state, self.reads):
            table.keep(mask)
        for table in (self.ring_codes, self.ring_cells):
            table.keep(ring_keep)
        for table in (self.keyframes, self.grids, self.keyframe_node, self.finer, self.ring_steps):
            table.keep(used)
        finer = self.finer.rows
        finer[...] = np.where(finer >= 0, keyframes[finer], -1)
        ring_left = np.bincount(ring_owner[ring_keep], minlength=len(spans))[used]
        left = left[used]
        self.spans.truncate(0)
        self.spans.append(np.stack([np.cumsum(left) - left, left, np.cumsum(ring_left) - ring_left, ring_left], axis=1))
        self.rebuild_blocks()
        firsts = self.blocks.rows[:, 0]
        if len(firsts):
            self.block_read.rows[...] = np.maximum.reduceat(read, firsts)
        return rows, keyframes

    def _ring_needed(self, span: np.ndarray, height: int, width: int, mask: np.ndarray) -> np.ndarray:
        """(ring count,) bool: ring cells of a keyframe beside a token that stays."""
        cells = self.cells.rows[span[0] : span[0] + span[1]][mask[span[0] : span[0] + span[1]]]
        u, v = cell_of(cells, width)
        stays = np.zeros((height, width), np.bool_)
        stays[v, u] = True
        ring_u, ring_v = cell_of(self.ring_cells.rows[span[2] : span[2] + span[3]], width)
        return np.asarray(dilate(stays)[ring_v, ring_u])

    def rebuild_blocks(self) -> None:
        """Blocks, their bounds and their living counts, from the spans and the tokens' state."""
        for table in (self.blocks, self.spheres, self.bounds, self.alive_in_block, self.block_read):
            table.truncate(0)
        for keyframe, (first, count, _, _) in enumerate(self.spans.rows):
            self._add_blocks(keyframe, int(first), int(count))
        if len(self):
            self.alive_in_block.rows[...] = np.add.reduceat(self.alive.astype(np.int32), self.blocks.rows[:, 0])

    def blocks_of(self, rows: np.ndarray) -> np.ndarray:
        """Block index of each row (n,)."""
        return np.searchsorted(self.blocks.rows[:, 0], rows, side="right") - 1

    def keyframes_of(self, rows: np.ndarray) -> np.ndarray:
        """Keyframe index of each row (n,)."""
        return self.blocks.rows[self.blocks_of(rows), 2]

    def set_alive(self, rows: np.ndarray, alive: bool) -> None:
        """Bring tokens (n,) to life or let them die; rows that already are as asked stay so."""
        state = self.state.rows
        changed = rows[((state[rows] & ALIVE) > 0) != alive]
        state[changed] ^= ALIVE
        np.add.at(self.alive_in_block.rows, self.blocks_of(changed), 1 if alive else -1)
        if len(changed):
            self._changes.append((changed, alive))

    def set_frozen(self, rows: np.ndarray, frozen: bool) -> None:
        state = self.state.rows
        state[rows] = state[rows] | FROZEN if frozen else state[rows] & ~FROZEN

    @property
    def alive(self) -> np.ndarray:
        """(N,) bool."""
        return (self.state.rows & ALIVE) > 0

    def frozen_at(self, rows: np.ndarray) -> np.ndarray:
        """Whether tokens (any shape) are frozen."""
        return (self.state.rows[rows] & FROZEN) > 0

    @property
    def frozen(self) -> np.ndarray:
        """(N,) bool."""
        return (self.state.rows & FROZEN) > 0

    @property
    def wear(self) -> np.ndarray:
        """(N,) uint8: 0 for what was given, by a first view or a place, else how many octaves nearer it was drawn
        since; WORN is so far or farther, or imagined."""
        return self.wear_at(np.arange(len(self)))

    def wear_at(self, rows: np.ndarray) -> np.ndarray:
        """:attr:`wear` of tokens (any shape)."""
        return (self.state.rows[rows] >> WEAR_SHIFT) & WEAR_BITS

    def inverse_depth(self, rows: np.ndarray) -> np.ndarray:
        """(n, s*s) float32 stored samples, NaN unknown."""
        values = self.geometry.rows[rows]
        return values.view(np.float16).astype(np.float32) if values.dtype == np.uint16 else values

    def rows_of(self, keyframe: int) -> np.ndarray:
        """(n,) int64, a keyframe's tokens."""
        first, count = self.spans.rows[keyframe, :2]
        return np.arange(first, first + count)

    def keyframe(self, index: int) -> Keyframe:
        first, count = self.spans.rows[index, :2]
        height, width = self.grids.rows[index]
        camera = _unpack_camera(self.keyframes.rows[index], int(width), int(height))
        return Keyframe(int(self.keyframe_node.rows[index]), camera, int(first), int(count))

    def cell(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Column u and line v (n,) of each token in its keyframe."""
        return cell_of(self.cells.rows[rows], self.grids.rows[self.keyframes_of(rows), 1])


def pack_camera(camera: Camera) -> np.ndarray:
    """(16,) float64: R row-major, position, fx, fy, cx, cy.

    Raises:
        InputError: the camera is no finite pinhole without skew.
    """
    K = camera.K
    if (
        K[0, 1] != 0.0
        or K[1, 0] != 0.0
        or not np.array_equal(K[2], [0.0, 0.0, 1.0])
        or K[0, 0] <= 0.0
        or K[1, 1] <= 0.0
    ):
        raise InputError(
            "The memory needs pinhole intrinsics with positive focal lengths and no skew; "
            "this camera's K is something else."
        )
    if not np.isfinite(camera.c2w).all() or not np.isfinite(K).all():
        raise InputError("The camera holds values that are not numbers; give it a finite pose and finite intrinsics.")
    return np.concatenate([camera.c2w[:3, :3].ravel(), camera.c2w[:3, 3], [K[0, 0], K[1, 1], K[0, 2], K[1, 2]]])


def _unpack_camera(packed: np.ndarray, width: int, height: int) -> Camera:
    c2w = np.eye(4)
    c2w[:3, :3] = packed[:9].reshape(3, 3)
    c2w[:3, 3] = packed[9:12]
    fx, fy, cx, cy = packed[12:]
    return Camera(c2w, np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]), width, height)
