"""Compiled loops over the target's cells: which token stands for a cell, and where its centre lies."""

from __future__ import annotations

import numpy as np
from numba import njit

from engine.memory.kernels import PLANAR, block_of, center_inverse_depth, place_of, relative

OFFSET_LIMIT = 8.0
SCALE_LIMIT = 6.0


@njit(cache=True, nogil=True)
def summarise(
    token: np.ndarray,
    inverse_depth: np.ndarray,
    log2_scale: np.ndarray,
    s: int,
    winner: np.ndarray,
    coverage: np.ndarray,
    scale: np.ndarray,
    nearest: np.ndarray,
    single: np.ndarray,
) -> None:
    """From samples (hs, ws) to cells (h, w): the nearest sample's token, scale and inverse depth, the first of equals;
    the covered share; and whether all samples see that token."""
    for y in range(winner.shape[0]):
        for x in range(winner.shape[1]):
            best = np.float32(-1.0)
            count = 0
            winner[y, x] = -1
            scale[y, x] = 0.0
            single[y, x] = True
            for j in range(y * s, y * s + s):
                for i in range(x * s, x * s + s):
                    if token[j, i] < 0:
                        continue
                    count += 1
                    if inverse_depth[j, i] > best:
                        best = inverse_depth[j, i]
                        winner[y, x] = token[j, i]
                        scale[y, x] = log2_scale[j, i]
            for j in range(y * s, y * s + s):
                for i in range(x * s, x * s + s):
                    single[y, x] &= token[j, i] >= 0 and token[j, i] == winner[y, x]
            nearest[y, x] = max(best, np.float32(0.0))
            coverage[y, x] = np.float32(count) / np.float32(s * s)


@njit(cache=True, nogil=True)
def locate(
    winner: np.ndarray,
    blocks: np.ndarray,
    keyframes: np.ndarray,
    grids: np.ndarray,
    geometry: np.ndarray,
    cells: np.ndarray,
    state: np.ndarray,
    P: np.ndarray,
    center: np.ndarray,
    s: int,
    cell_center: float,
    focal: float,
    offsets: np.ndarray,
    scale: np.ndarray,
) -> None:
    """Where the centres of the cells' tokens (h, w) lie relative to the cells, and how much tokens that face the line
    of sight are magnified.

    ``offsets (2, h, w)`` in cells, ``scale (h, w)`` in octaves; ``focal`` is the target's, in cells.
    """
    m = np.empty((3, 4), np.float32)
    previous = -1
    tiles = 1
    shift = np.float32(cell_center)
    for y in range(winner.shape[0]):
        for x in range(winner.shape[1]):
            offsets[0, y, x] = 0.0
            offsets[1, y, x] = 0.0
            scale[y, x] = 0.0
            row = winner[y, x]
            if row < 0:
                continue
            keyframe = blocks[block_of(blocks, blocks.shape[0], row), 2]
            if keyframe != previous:
                relative(keyframes, keyframe, P, center, m)
                tiles = (grids[keyframe, 1] + 7) >> 3
                previous = keyframe
            q = center_inverse_depth(geometry, state[row] & PLANAR > 0, row, s)
            u0, v0 = place_of(cells, row, tiles)
            u, v = np.float32(u0) + shift, np.float32(v0) + shift
            z = m[2, 0] * u + m[2, 1] * v + m[2, 2] + q * m[2, 3]
            if not z > 0.0:
                continue
            px = (m[0, 0] * u + m[0, 1] * v + m[0, 2] + q * m[0, 3]) / z
            py = (m[1, 0] * u + m[1, 1] * v + m[1, 2] + q * m[1, 3]) / z
            limit = np.float32(OFFSET_LIMIT)
            offsets[0, y, x] = min(max(px - np.float32(x) - shift, -limit), limit)
            offsets[1, y, x] = min(max(py - np.float32(y) - shift, -limit), limit)
            # Depths are 1/q before and z/q now; for sky both are infinite and only z, the turn, remains.
            octaves = np.log2(focal / np.sqrt(keyframes[keyframe, 12] * keyframes[keyframe, 13]) / z)
            scale[y, x] = min(max(octaves, -SCALE_LIMIT), SCALE_LIMIT)
