"""Bounds of blocks, made once when their tokens are written: spheres in the world and ranges in the keyframe."""

from __future__ import annotations

import numpy as np
from numba import njit

from engine.memory.kernels import decode, place_of


@njit(cache=True, nogil=True)
def _extend_bounds(bounds: np.ndarray, u: int, v: int) -> None:
    """Include a cell, with half a cell around it for the margin of its patch."""
    bounds[0] = min(bounds[0], np.float32(u - 0.5))
    bounds[1] = max(bounds[1], np.float32(u + 1.5))
    bounds[2] = min(bounds[2], np.float32(v - 0.5))
    bounds[3] = max(bounds[3], np.float32(v + 1.5))


@njit(cache=True, nogil=True)
def _extend_depth(bounds: np.ndarray, geometry: np.ndarray, row: int, s: int) -> None:
    """Include a token's inverse depths, as far as its patch may reach beyond its samples."""
    low = np.float32(np.inf)
    high = np.float32(0.0)
    for j in range(s * s):
        q = decode(geometry, row, j)
        if q >= 0.0:
            low = min(low, q)
            high = max(high, q)
    reach = high - low
    bounds[4] = min(bounds[4], max(np.float32(0.0), low - reach))
    bounds[5] = max(bounds[5], high + reach)


@njit(cache=True, nogil=True)
def bound_blocks(
    first: int,
    blocks: np.ndarray,
    keyframes: np.ndarray,
    grids: np.ndarray,
    geometry: np.ndarray,
    cells: np.ndarray,
    s: int,
    spheres: np.ndarray,
    bounds: np.ndarray,
) -> None:
    """Bounding spheres (see ``kernels.cull``) and bounds (see ``kernels.block_hidden``) of the blocks from index
    ``first``
    on.
    """
    low = np.empty(6, np.float64)
    high = np.empty(6, np.float64)
    ray = np.empty(3, np.float64)
    for b in range(first, blocks.shape[0]):
        k = keyframes[blocks[b, 2]]
        tiles = (np.int64(grids[blocks[b, 2], 1]) + 7) >> 3
        bounds[b, 0::2] = np.float32(np.inf)
        bounds[b, 1::2] = np.float32(-np.inf)
        for sweep in range(2):
            if sweep == 0:
                low[:] = np.inf
                high[:] = -np.inf
            else:
                spheres[b, 3] = -1.0
                spheres[b, 7] = -1.0
                for i in range(3):
                    spheres[b, i] = 0.5 * (low[i] + high[i])
                    spheres[b, 4 + i] = 0.5 * (low[3 + i] + high[3 + i])
            for row in range(blocks[b, 0], blocks[b, 0] + blocks[b, 1]):
                column, line = place_of(cells, row, tiles)
                if sweep == 0:
                    _extend_bounds(bounds[b], column, line)
                    _extend_depth(bounds[b], geometry, row, s)
                for j in range(s * s):
                    q = np.float64(decode(geometry, row, j))
                    if not q >= 0.0:
                        continue
                    x = (column + (j % s + 0.5) / s - k[14]) / k[12]
                    y = (line + (j // s + 0.5) / s - k[15]) / k[13]
                    length = np.sqrt(x * x + y * y + 1.0)
                    at = 3 if q == 0.0 else 0
                    distance = 0.0
                    for i in range(3):
                        ray[i] = k[3 * i] * x + k[3 * i + 1] * y + k[3 * i + 2]
                        ray[i] = ray[i] / length if at == 3 else k[9 + i] + ray[i] / q
                        low[at + i] = min(low[at + i], ray[i])
                        high[at + i] = max(high[at + i], ray[i])
                        if sweep == 1:
                            distance += (ray[i] - spheres[b, (4 if at == 3 else 0) + i]) ** 2
                    if sweep == 1:
                        # A token reaches farther than the centres of its samples: one token's width is enough.
                        reach = np.sqrt(distance) + (1.0 if at == 3 else 1.0 / q) / min(k[12], k[13])
                        slot = 7 if at == 3 else 3
                        spheres[b, slot] = max(spheres[b, slot], np.float32(reach * 1.0001))
