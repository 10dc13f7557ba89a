"""Levels of detail: a view that is remembered at several scales shows each surface at the one that suits.

A first view may be given finer than frames are: then its keyframe has finer ones, each with twice as many tokens a side
(a mipmap, Williams 1983, but of tokens). For a camera each token either stands for itself or lets its four finer ones
stand for it, by how magnified it is; never both, for the coarse outline would show around the fine one.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from engine.memory.kernels import ALIVE, PLANAR, center_inverse_depth, find_cell, relative
from engine.memory.raster import classify, patch_homography


@njit(cache=True, nogil=True)
def hide(
    visible: np.ndarray,
    blocks: np.ndarray,
    keyframes: np.ndarray,
    grids: np.ndarray,
    geometry: np.ndarray,
    cells: np.ndarray,
    state: np.ndarray,
    spans: np.ndarray,
    finer: np.ndarray,
    P: np.ndarray,
    center: np.ndarray,
    s: int,
    per_cell: int,
    most: float,
    rows: int,
    columns: int,
    hidden: np.ndarray,
) -> None:
    """Mark in ``hidden (N,)`` uint8 the tokens of the ``visible`` blocks that another level stands for, on a target of
    ``rows`` x ``columns`` samples, ``per_cell`` of them a side in each of its cells. Finer tokens show for those larger
    than ``most`` cells.

    ``finer (k,)`` int64: the next finer keyframe of each, -1 for none; it comes later than the keyframe it refines.
    """
    m = np.empty((3, 4), np.float32)
    h = np.empty(14, np.float32)
    plane = np.empty(3, np.float32)
    children = np.empty(4, np.int64)
    previous = -1
    half = np.float32(0.5)
    for index in range(visible.shape[0]):
        block = visible[index]
        keyframe = blocks[block, 2]
        fine = finer[keyframe]
        if fine < 0:
            continue
        if keyframe != previous:
            relative(keyframes, keyframe, P, center, m)
            previous = keyframe
        tiles = (grids[keyframe, 1] + 7) >> 3
        fine_tiles = (grids[fine, 1] + 7) >> 3
        for row in range(blocks[block, 0], blocks[block, 0] + blocks[block, 1]):
            if state[row] & ALIVE == 0:
                continue
            tile = np.int64(cells[row]) >> 6
            within = np.int64(cells[row]) & 63
            u = (tile % tiles) * 8 + (within & 7)
            v = (tile // tiles) * 8 + (within >> 3)
            whole = True
            for j in range(4):
                x, y = 2 * u + (j & 1), 2 * v + (j >> 1)
                code = (((y >> 3) * fine_tiles + (x >> 3)) << 6) | ((y & 7) << 3) | (x & 7)
                children[j] = find_cell(cells, spans[fine, 0], spans[fine, 1], code)
                whole = whole and children[j] >= 0
            show_fine = False
            if not hidden[row]:
                planar = state[row] & PLANAR > 0
                kind = classify(geometry, planar, row, s, plane)
                if kind > 1:
                    plane[0] = center_inverse_depth(geometry, planar, row, s)
                    plane[1] = 0.0
                    plane[2] = 0.0
                if patch_homography(
                    m, np.float32(u) + half, np.float32(v) + half, plane[0], plane[1], plane[2], half, rows, columns, h
                ):
                    scale = h[9] / (h[6] * h[10] + h[7] * h[11] + h[8])
                    show_fine = whole and abs(h[9]) > most * (per_cell * per_cell) * abs(scale * scale * scale)
                else:
                    show_fine = True  # not drawn as a whole; what is left of it may be
                if show_fine:
                    hidden[row] = 1
            if not show_fine:
                for j in range(4):
                    if children[j] >= 0:
                        hidden[children[j]] = 1
