"""Driving the compiled loops: the store seen from a camera, on one or two threads."""

from __future__ import annotations

from functools import cached_property, reduce

import numpy as np
import torch
from scipy.ndimage import maximum_filter

from engine.camera import Camera
from engine.memory import cellwise, kernels, levels, raster
from engine.memory.kernels import ALIVE, NO_KEY, WORN
from engine.memory.readout import SampleMap
from engine.memory.store import TokenStore
from engine.threads import in_parts, thread_count

SMALL = 256
"""Blocks below which one thread is quicker than two."""
AROUND = 2
"""Cells around what is asked for that are drawn too: by these it is told whether the near thing beside an edge is still
there, see :func:`engine.memory.raster.uncovered`."""


class View:
    """A store seen from a camera: the visible blocks and what the loops need to know of the target.

    Args:
        store: the tokens.
        camera: the target, sampled on the grid to be filled (latent cells or their samples).
    """

    def __init__(self, store: TokenStore, camera: Camera) -> None:
        self.store = store
        self.camera = camera
        self.P = np.ascontiguousarray(camera.K @ camera.c2w[:3, :3].T)
        self.center = np.array(camera.position)

    @cached_property
    def visible(self) -> np.ndarray:
        """(n,) int64 blocks that may be in view."""
        store = self.store
        found = np.empty(store.blocks.count, np.int64)
        seen = kernels.cull(store.spheres.rows, frustum(self.camera), self.center, store.alive_in_block.rows, found)
        return found[:seen]

    def drawable(self, only: np.ndarray | None) -> np.ndarray:
        """(n,) int64 visible blocks that show something of the target, or ``only (h, w)`` bool of these samples."""
        wanted = np.empty((0, 0), np.int32) if only is None else _sums(only, AROUND * self.store.samples)
        found, size = np.empty(len(self.visible), np.bool_), (self.camera.height, self.camera.width)
        blocks, keyframes, *_ = self._tables(self.store.state.rows)

        def work(_: int, first: int, last: int) -> None:
            seen, target = self.visible[first:last], (self.P, self.center, *size)
            raster.drawable(seen, self.store.bounds.rows, blocks, keyframes, *target, wanted, found[first:last])

        in_parts(len(found), thread_count() if len(found) >= SMALL else 1, work)
        return self.visible[found]

    def shown(self, per_cell: int, blocks: np.ndarray) -> np.ndarray:
        """(N,) uint8 state of the tokens of ``blocks (n,)``, those that another level stands for as if dead; the target
        has ``per_cell`` samples a side in each cell."""
        store, finer = self.store, self.store.finer.rows
        if not (finer >= 0).any():
            return store.state.rows
        hidden = np.zeros(len(store), np.uint8)
        tables, size = self._tables(store.state.rows), (self.camera.height, self.camera.width)
        target = self.P, self.center, store.samples, per_cell, store.most_cells, *size
        of = _levels(finer)[store.blocks.rows[blocks, 2]]
        for chosen in (blocks[of == n] for n in range(int(of.max(initial=-1)) + 1)):

            def work(_: int, first: int, last: int, chosen: np.ndarray = chosen) -> None:
                levels.hide(chosen[first:last], *tables, store.spans.rows, finer, *target, hidden)

            in_parts(len(chosen), thread_count() if 4 * len(chosen) >= SMALL else 1, work)
        return store.state.rows & ~(hidden * ALIVE)

    def _tables(self, state: np.ndarray) -> tuple[np.ndarray, ...]:
        """What every loop over tokens needs, in the order they take it."""
        store = self.store
        return (
            store.blocks.rows,
            store.keyframes.rows,
            store.grids.rows,
            store.geometry.rows,
            store.cells.rows,
            state,
        )

    def sample_map(self, only: np.ndarray | None = None) -> SampleMap:
        """Rasterise, select and resolve; the camera must be on the sample grid. ``only``: (h*s, w*s) bool, of other
        samples it shows nothing."""
        s = self.store.samples
        shape = (self.camera.height, self.camera.width)
        blocks = self.drawable(only)
        threads = thread_count() if len(blocks) >= SMALL else 1
        depth = np.zeros((threads, *shape), np.float32)
        keys, rest = np.full((2, threads, *shape), NO_KEY)
        token = np.empty(shape, np.int64)
        uv = np.empty((2, *shape), np.float32)
        log2_scale = np.empty(shape, np.float32)
        inverse_depth = np.empty(shape, np.float32)
        sky, behind = np.empty(shape, np.bool_), np.empty(shape, np.uint8)
        jacobian, relief = np.empty((2, 2, *shape), np.float32), np.empty((s * s, *shape), np.float32)

        tables = self._tables(self.shown(s, blocks))
        fragments: list[tuple[np.ndarray, ...]] = [()] * threads

        def draw(part: int, _first: int, _last: int) -> None:
            # Every other block: those that lie together take as long.
            its = np.ascontiguousarray(blocks[part::threads])
            fragments[part] = raster.rasterise(its, *tables, self.P, self.center, s, depth[part])

        def choose(part: int, _first: int, _last: int) -> None:
            raster.choose(*fragments[part], nearest.ravel(), keys[part].ravel(), rest[part].ravel())

        in_parts(threads, threads, draw)
        nearest = reduce(np.maximum, depth)
        in_parts(threads, threads, choose)
        best = reduce(np.minimum, keys), reduce(np.minimum, rest)

        def resolved(which: np.ndarray, keys: np.ndarray) -> None:
            def resolve(part: int, first: int, last: int) -> None:
                won = token, uv, log2_scale, inverse_depth, sky, jacobian, relief, behind
                raster.resolve(first, last, which, keys, nearest, *tables, self.P, self.center, s, *won)

            in_parts(shape[0], threads, resolve)

        resolved(np.ones(shape, np.bool_), best[0])
        ghosts = raster.uncovered(behind, inverse_depth, log2_scale, s)
        # What was truly seen, and is only a little of a ghost, is better than nothing.
        others = best[1][ghosts] < NO_KEY
        guessed = self.store.wear_at(token[ghosts]) >= WORN
        ghosts[ghosts] = (behind[ghosts] == raster.STRADDLES) | guessed | others
        if ghosts.any():
            resolved(ghosts, best[1])
        if only is not None:
            token[~only], log2_scale[~only], inverse_depth[~only], sky[~only] = -1, 0.0, 0.0, False
        return SampleMap(
            token=torch.from_numpy(token),
            uv=torch.from_numpy(uv),
            log2_scale=torch.from_numpy(log2_scale),
            inverse_depth=torch.from_numpy(inverse_depth),
            sky=torch.from_numpy(sky),
            jacobian=torch.from_numpy(jacobian),
            relief=torch.from_numpy(relief),
        )

    def nearest(self, cell_center: float) -> np.ndarray:
        """(h, w) int64 keys of the nearest readout; the camera must be on the latent grid."""
        store = self.store
        threads = thread_count() if len(self.visible) >= SMALL else 1
        keys = np.full((threads, self.camera.height, self.camera.width), NO_KEY)
        tables = self._tables(self.shown(1, self.visible))

        def work(part: int, first: int, last: int) -> None:
            seen = self.visible[first:last]
            kernels.nearest_keys(
                seen, self.store.bounds.rows, *tables, self.P, self.center, store.samples, cell_center, keys[part]
            )

        in_parts(len(self.visible), threads, work)
        return np.asarray(reduce(np.minimum, keys))

    def locate(self, winner: np.ndarray, cell_center: float) -> tuple[np.ndarray, np.ndarray]:
        """Offsets (2, h, w) and octaves of magnification (h, w), float32, of the cells' tokens ``winner (h, w)``."""
        offsets, scale = np.empty((2, *winner.shape), np.float32), np.empty(winner.shape, np.float32)
        focal = float(np.sqrt(self.camera.K[0, 0] * self.camera.K[1, 1]))
        samples = self.store.samples
        tables = self._tables(self.store.state.rows)
        cellwise.locate(winner, *tables, self.P, self.center, samples, cell_center, focal, offsets, scale)
        return offsets, scale

    def parallax(self, winner: np.ndarray, inverse_depth: np.ndarray) -> np.ndarray:
        """(h, w) float32, how far the camera stands from where the cells' tokens ``winner (h, w)`` were given, as a
        share of the distance to what they show, ``inverse_depth (h, w)`` in 1/m; see :attr:`Readout.parallax`."""
        given, moved = winner >= 0, np.zeros(winner.shape)
        given[given] = self.store.wear_at(winner[given]) == 0
        positions = self.store.keyframes.rows[self.store.keyframes_of(winner[given]), 9:12]
        moved[given] = np.linalg.norm(positions - self.camera.position, axis=-1)
        return (moved * inverse_depth).astype(np.float32)


def _levels(finer: np.ndarray) -> np.ndarray:
    """How many coarser keyframes come before each that has a finer one, -1 for others, (k,) of ``finer (k,)``."""
    refined = np.flatnonzero(finer >= 0)
    level = np.full(len(finer), -1)
    while len(refined):
        level[refined] += 1
        refined = finer[refined]
        refined = refined[finer[refined] >= 0]
    return level


def _sums(wanted: np.ndarray, around: int) -> np.ndarray:
    """(h + 1, w + 1) int32: how many samples of ``wanted (h, w)`` bool, and ``around`` these, lie above and to the left
    of each corner."""
    grown = maximum_filter(wanted.view(np.uint8), 2 * around + 1, mode="constant")
    sums = np.zeros((wanted.shape[0] + 1, wanted.shape[1] + 1), np.int32)
    sums[1:, 1:] = grown.cumsum(axis=0, dtype=np.int32).cumsum(axis=1, dtype=np.int32)
    return sums


def frustum(camera: Camera) -> np.ndarray:
    """(5, 4) inward unit normals of left, right, top, bottom and near plane in the world, with their distance from the
    centre.

    One cell of slack on every side, because a token just outside may reach in.
    """
    fx, fy, cx, cy = camera.K[0, 0], camera.K[1, 1], camera.K[0, 2], camera.K[1, 2]
    left, right = (-1.0 - cx) / fx, (camera.width + 1.0 - cx) / fx
    top, bottom = (-1.0 - cy) / fy, (camera.height + 1.0 - cy) / fy
    normals = np.array([[1.0, 0.0, -left], [-1.0, 0.0, right], [0.0, 1.0, -top], [0.0, -1.0, bottom], [0.0, 0.0, 1.0]])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    distances = np.array([0.0, 0.0, 0.0, 0.0, kernels.NEAR_M])
    return np.concatenate([normals @ camera.c2w[:3, :3].T, distances[:, None]], axis=1)
