"""Levels of detail: a view that is remembered at several scales shows each surface at the one that suits.

A first view may be given finer than frames are: then its keyframe has finer ones, each with twice as many tokens a side
(a mipmap, Williams 1983, but of tokens). For a camera each token either stands for itself or lets its four finer ones
stand for it, by how magnified it is; never both, for the coarse outline would show around the fine one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from engine.memory import points
from engine.memory.grids import cell_of, codes_of
from engine.memory.kernels import ALIVE, PLANAR, center_inverse_depth, code_of, find_cell, place_of, relative
from engine.memory.patches import classify, patch_homography

if TYPE_CHECKING:
    from engine.memory.store import TokenStore
    from engine.memory.tree import WorldTree

ONE_SURFACE = 1.05
"""Inverse depths of two tokens of one cell that show the same differ by no more."""


def with_other_scales(store: TokenStore, rows: np.ndarray) -> np.ndarray:
    """Token ids (n,) int64 and those that show the same at other scales: all finer ones, and a coarser one where most
    of its finer ones are among them."""
    pairs = [(coarse, int(fine)) for coarse, fine in enumerate(store.finer.rows) if fine >= 0]
    if not pairs or not len(rows):
        return rows
    chosen = np.zeros(len(store), np.bool_)
    chosen[rows] = True
    families = [_family(store, coarse, fine) for coarse, fine in pairs]
    for parents, children in reversed(families):
        size, found = (np.bincount(parents[part], minlength=len(store)) for part in (slice(None), chosen[children]))
        chosen |= 2 * found > size
    for parents, children in families:
        chosen[children] |= chosen[parents]
    return np.flatnonzero(chosen)


def with_second_layer(store: TokenStore, tree: WorldTree, rows: np.ndarray) -> np.ndarray:
    """Token ids (n,) int64 and those of second layers that show the same: around things these repeat what is seen."""
    found, owner = [rows], store.keyframes_of(rows)
    for keyframe in np.unique(owner):
        behind = tree[int(store.keyframe_node.rows[keyframe])].backdrop
        if behind in (-1, keyframe) or (store.grids.rows[behind] != store.grids.rows[keyframe]).any():
            continue
        first, count, _, _ = store.spans.rows[behind]
        cells, asked = store.cells.rows[first : first + count], rows[owner == keyframe]
        at = np.minimum(np.searchsorted(cells, store.cells.rows[asked]), count - 1)
        there = cells[at] == store.cells.rows[asked]
        asked, twins = asked[there], first + at[there]
        one, other = (points.center_inverse_depth(store, part) for part in (asked, twins))
        found.append(twins[np.maximum(one, other) <= ONE_SURFACE * np.minimum(one, other)])
    return np.unique(np.concatenate(found))


def _family(store: TokenStore, coarse: int, fine: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows (n,) of a keyframe's tokens and of each of their finer ones in another."""
    first, count, _, _ = store.spans.rows[fine]
    children = np.arange(first, first + count)
    u, v = cell_of(store.cells.rows[children], int(store.grids.rows[fine, 1]))
    codes = codes_of(u // 2, v // 2, int(store.grids.rows[coarse, 1]))
    first, count, _, _ = store.spans.rows[coarse]
    cells = store.cells.rows[first : first + count].astype(np.int64)
    at = np.minimum(np.searchsorted(cells, codes), count - 1)
    found = cells[at] == codes
    return first + at[found], children[found]


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
    """Mark in ``hidden (N,)`` uint8 the tokens of the ``visible`` blocks of one level, and of the next finer one, that
    another stands for, on a target of ``rows`` x ``columns`` samples, ``per_cell`` of them a side in each of its cells.
    Finer tokens show for those larger than ``most`` cells, or, if they are not flat, longer than such a square or seen
    from behind.

    ``finer (k,)`` int64: the next finer keyframe of each, -1 for none; coarser levels come first.
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
        fine_tiles, last = (grids[fine, 1] + 7) >> 3, spans[fine, 0] + spans[fine, 1]
        for row in range(blocks[block, 0], blocks[block, 0] + blocks[block, 1]):
            if state[row] & ALIVE == 0:
                continue
            u, v = place_of(cells, row, tiles)
            whole = True
            for j in range(4):
                code = code_of(2 * u + (j & 1), 2 * v + (j >> 1), fine_tiles)
                beside = children[j - 1] + 1 if j & 1 and children[j - 1] >= 0 else last
                if beside < last and cells[beside] == code:
                    children[j] = beside
                else:
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
                drawn = patch_homography(
                    m, np.float32(u) + half, np.float32(v) + half, plane[0], plane[1], plane[2], half, rows, columns, h
                )
                w = h[6] * h[10] + h[7] * h[11] + h[8] if drawn else np.float32(0.0)
                if w != 0.0:
                    scale = h[9] / w
                    large = abs(h[9]) > most * (per_cell * per_cell) * abs(scale * scale * scale)
                    if kind == 2:  # not flat: from the side a slat, beside which one sees through; from behind a fence
                        length = 2.0 * max(h[12], h[13])
                        large = large or h[9] < 0.0 or length * length > most * (per_cell * per_cell)
                    show_fine = whole and large
                else:
                    show_fine = True  # not drawn as a whole; what is left of it may be
                if show_fine:
                    hidden[row] = 1
            if not show_fine:
                for j in range(4):
                    if children[j] >= 0:
                        hidden[children[j]] = 1
