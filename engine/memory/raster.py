"""Sub-cell geometry of the learned readout: every token is a small planar patch, drawn on the target's sample grid and
inverted. What a patch is, :mod:`engine.memory.patches` says.

The tokens are drawn once, which leaves the nearest inverse depth of every sample and fragments of the patches that it
may show; then, among those within a tolerance of it, the one is chosen that holds the sample inside, suits its scale
best, and is oldest. A token that straddles a depth edge is drawn sample by sample.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from engine.memory.kernels import (
    ALIVE,
    NO_KEY,
    PLANAR,
    REAR,
    RIM,
    block_hidden,
    block_of,
    decode,
    place_of,
    relative,
    shows_none,
)
from engine.memory.patches import DEPTH_TOLERANCE, central, classify, edge_of, level_of, patch_homography
from engine.memory.surface import EDGE, NEAR_THING

MARGIN = 0.08
"""Patches are enlarged by this share of a token on every side, which closes the gaps between their planes."""
BEHIND = np.int64(1) << np.int64(50)
"""Key bit of samples behind an edge of their token, which shows the near thing too: any other is asked first,"""
GUESSED = np.int64(1) << np.int64(51)
"""but for those of a backdrop, which are asked when the near thing is gone."""
GUESS_HIDES = 0.1
"""What was seen and lies so little behind a backdrop (relative inverse depth) is not hidden by it."""
STRADDLES, BESIDE = np.uint8(1), np.uint8(2)
"""Why a sample is true only while a near thing stands beside it: its token shows both sides of an edge, or lies beside
one. So many tokens away from the sample the near thing may be."""
MOST_REACH = 4
"""Samples of a cell, in all directions, are searched for it at most so many times over."""
RELIEF = np.float32(2.0)
"""Octaves beyond which it does not matter how much nearer or farther another side of a token lies."""
MAX_EXTENT = 40.0
"""A magnified patch covers at most this many target samples to each side of its centre."""


@njit(cache=True, nogil=True)
def _splat(
    h: np.ndarray,
    a: float,
    b: float,
    c: float,
    half: float,
    row: int,
    s: int,
    depth: np.ndarray,
    behind: int,
    lasts: bool,
    sample: np.ndarray,
    nearness: np.ndarray,
    key: np.ndarray,
    count: int,
) -> int:
    """Rasterise one patch: its inverse depth into ``depth`` by max; and a fragment for every sample that it may show,
    from ``count`` on; the new count. ``lasts``: though a near thing beside it has gone."""
    rows, columns = depth.shape
    extent_x = min(h[12], np.float32(MAX_EXTENT))
    extent_y = min(h[13], np.float32(MAX_EXTENT))
    first_x = int(np.ceil(h[10] - extent_x - np.float32(0.5)))
    last_x = int(np.floor(h[10] + extent_x - np.float32(0.5)))
    first_y = int(np.ceil(h[11] - extent_y - np.float32(0.5)))
    last_y = int(np.floor(h[11] + extent_y - np.float32(0.5)))
    forced = last_x < first_x or last_y < first_y
    if forced:  # smaller than a sample: it still claims the sample it falls into, so that thin things survive
        first_x = last_x = int(np.floor(h[10]))
        first_y = last_y = int(np.floor(h[11]))
    first_x = max(first_x, 0)
    first_y = max(first_y, 0)
    last_x = min(last_x, columns - 1)
    last_y = min(last_y, rows - 1)
    for y in range(first_y, last_y + 1):
        py = np.float32(y) + np.float32(0.5)
        for x in range(first_x, last_x + 1):
            px = np.float32(x) + np.float32(0.5)
            w = h[6] * px + h[7] * py + h[8]
            if w == 0.0:
                continue
            inverse = np.float32(1.0) / w
            du = (h[0] * px + h[1] * py + h[2]) * inverse
            dv = (h[3] * px + h[4] * py + h[5]) * inverse
            reach = max(abs(du), abs(dv))
            if reach > half and not forced:
                continue
            depth_scale = h[9] * inverse
            if depth_scale <= 0.0:
                continue
            q = (a + b * du + c * dv) / depth_scale if reach <= half else central(h, a)
            hides = q * np.float32(1.0 - GUESS_HIDES) if behind == GUESSED else q
            if hides > depth[y, x]:
                depth[y, x] = hides
            if h[9] <= 0.0 or q < depth[y, x] * np.float32(1.0 - DEPTH_TOLERANCE):
                continue  # a surface seen from behind hides what lies farther but shows nothing
            area = h[9] / (depth_scale * depth_scale * depth_scale * np.float32(s * s))
            excess = reach - (half - np.float32(MARGIN))
            miss = 0 if excess <= 1e-3 else 1 + min(30, int(excess * np.float32(64.0)))
            place = y * columns + x
            sample[count] = place if lasts else ~place
            nearness[count] = q
            key[count] = (
                behind | (np.int64(miss) << np.int64(45)) | (np.int64(level_of(area)) << np.int64(40)) | np.int64(row)
            )
            count += 1
    return count


@njit(cache=True, nogil=True)
def drawable(
    visible: np.ndarray,
    bounds: np.ndarray,
    blocks: np.ndarray,
    keyframes: np.ndarray,
    P: np.ndarray,
    center: np.ndarray,
    rows: int,
    columns: int,
    wanted: np.ndarray,
    found: np.ndarray,
) -> None:
    """Which of the ``visible (n,)`` blocks show something of a target of ``rows`` x ``columns`` samples, into ``found
    (n,)`` bool. ``wanted``: as for :func:`engine.memory.kernels.shows_none`, or without a row: all of it."""
    m = np.empty((3, 4), np.float32)
    previous = -1
    for index in range(visible.shape[0]):
        block = visible[index]
        keyframe = blocks[block, 2]
        if keyframe != previous:
            relative(keyframes, keyframe, P, center, m)
            previous = keyframe
        found[index] = not block_hidden(m, bounds[block], rows, columns)
        if found[index] and wanted.shape[0] > 0:
            found[index] = not shows_none(m, bounds[block], wanted)


@njit(cache=True, nogil=True)
def rasterise(
    visible: np.ndarray,
    blocks: np.ndarray,
    keyframes: np.ndarray,
    grids: np.ndarray,
    geometry: np.ndarray,
    cells: np.ndarray,
    state: np.ndarray,
    P: np.ndarray,
    center: np.ndarray,
    s: int,
    depth: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw the living tokens of the ``visible`` blocks on the target's sample grid: ``depth (hs, ws)`` becomes the
    nearest inverse depth of every sample.

    ``blocks (n, 3)`` int64: first row, count, keyframe. ``grids (k, 2)`` int32: h, w of each keyframe.

    Returns:
        Fragments, for :func:`choose`: (n,) int32 their sample, of all in a row, or that complemented where they do not
        last once a near thing beside them has gone; (n,) float32 inverse depth; (n,) int64 key, the least is the best.
    """
    m = np.empty((3, 4), np.float32)
    h = np.empty(14, np.float32)
    plane = np.empty(3, np.float32)
    most = (2 * int(MAX_EXTENT) + 1) ** 2  # fragments of one patch
    room = 4 * depth.size + most
    sample, nearness, key = np.empty(room, np.int32), np.empty(room, np.float32), np.empty(room, np.int64)
    count = 0
    previous = -1
    tiles = 1
    middle = np.float32(0.5 * (s - 1))
    step = np.float32(1.0 / s)
    for index in range(visible.shape[0]):
        block = visible[index]
        keyframe = blocks[block, 2]
        if keyframe != previous:
            relative(keyframes, keyframe, P, center, m)
            tiles = (grids[keyframe, 1] + 7) >> 3
            previous = keyframe
        for row in range(blocks[block, 0], blocks[block, 0] + blocks[block, 1]):
            if state[row] & ALIVE == 0:
                continue
            kind = classify(geometry, state[row] & PLANAR > 0, row, s, plane)
            if kind == 3:
                continue
            column, line = place_of(cells, row, tiles)
            u0, v0 = np.float32(column) + np.float32(0.5), np.float32(line) + np.float32(0.5)
            behind, lasts = GUESSED if state[row] & REAR > 0 else np.int64(0), state[row] & RIM == 0
            flat = kind < 2
            edge = np.float32(0.0) if flat else edge_of(geometry, row, s)
            half = np.float32(0.5 + MARGIN) if flat else np.float32(0.5) * step + np.float32(MARGIN)
            a, b, c = plane[0], plane[1], plane[2]
            for j in range(1 if flat else s * s):
                u, v, its, kept = u0, v0, behind, lasts
                if not flat:
                    a, b, c = decode(geometry, row, j), np.float32(0.0), np.float32(0.0)
                    if not a >= 0.0:
                        continue
                    u += (np.float32(j % s) - middle) * step
                    v += (np.float32(j // s) - middle) * step
                    if behind == 0 and a < edge:
                        its, kept = BEHIND, False
                if not patch_homography(m, u, v, a, b, c, half, depth.shape[0], depth.shape[1], h):
                    continue
                if count + most > room:
                    room *= 2
                    sample, nearness, key = _grown(sample, room), _grown(nearness, room), _grown(key, room)
                count = _splat(h, a, b, c, half, row, s, depth, its, kept, sample, nearness, key, count)
    return sample[:count], nearness[:count], key[:count]


@njit(cache=True, nogil=True)
def _grown(values: np.ndarray, room: int) -> np.ndarray:
    """``values (n,)`` with ``room`` for more."""
    grown = np.empty(room, values.dtype)
    grown[: len(values)] = values
    return grown


@njit(cache=True, nogil=True)
def choose(
    sample: np.ndarray,
    nearness: np.ndarray,
    key: np.ndarray,
    nearest: np.ndarray,
    keys: np.ndarray,
    rest: np.ndarray,
) -> None:
    """Of the fragments of :func:`rasterise` that are as near as the ``nearest (hs*ws,)`` of their sample, the best
    key into ``keys (hs*ws,)`` by min, and of those that last into ``rest (hs*ws,)``."""
    for index in range(len(sample)):
        lasts = sample[index] >= 0
        place = sample[index] if lasts else ~sample[index]
        if nearness[index] < nearest[place] * np.float32(1.0 - DEPTH_TOLERANCE):
            continue
        if key[index] < keys[place]:
            keys[place] = key[index]
        if lasts and key[index] < rest[place]:
            rest[place] = key[index]


@njit(cache=True, nogil=True)
def _relief(geometry: np.ndarray, row: int, a: float, relief: np.ndarray) -> None:
    """How many octaves nearer than ``a`` each sample of a token lies, into ``relief (s*s,)``."""
    for j in range(relief.shape[0]):
        q = decode(geometry, row, j)
        if not q >= 0.0 or q == a:
            relief[j] = 0.0
        elif a == 0.0 or q == 0.0:
            relief[j] = RELIEF if a == 0.0 else -RELIEF
        else:
            relief[j] = min(max(np.log2(q / a), -RELIEF), RELIEF)


@njit(cache=True, nogil=True)
def resolve(
    first: int,
    last: int,
    which: np.ndarray,
    keys: np.ndarray,
    nearest: np.ndarray,
    blocks: np.ndarray,
    keyframes: np.ndarray,
    grids: np.ndarray,
    geometry: np.ndarray,
    cells: np.ndarray,
    state: np.ndarray,
    P: np.ndarray,
    center: np.ndarray,
    s: int,
    token: np.ndarray,
    uv: np.ndarray,
    log2_scale: np.ndarray,
    inverse_depth: np.ndarray,
    sky: np.ndarray,
    jacobian: np.ndarray,
    relief: np.ndarray,
    behind: np.ndarray,
) -> None:
    """Exact source position, scale and depth of every won target sample of ``which (hs, ws)`` bool in rows ``first`` to
    ``last``; outputs as in SampleMap, and ``behind (hs, ws)`` uint8, 0, STRADDLES or BESIDE."""
    m = np.empty((3, 4), np.float32)
    h = np.empty(14, np.float32)
    plane = np.empty(3, np.float32)
    previous = -1
    tiles = 1
    columns = keys.shape[1]
    middle = np.float32(0.5 * (s - 1))
    step = np.float32(1.0 / s)
    limit = np.float32(0.5 + MARGIN)
    for y in range(first, last):
        for x in range(columns):
            if not which[y, x]:
                continue
            token[y, x] = -1
            uv[0, y, x] = 0.0
            uv[1, y, x] = 0.0
            log2_scale[y, x] = 0.0
            inverse_depth[y, x] = 0.0
            sky[y, x] = False
            jacobian[:, :, y, x] = 0.0
            relief[:, y, x] = 0.0
            behind[y, x] = 0
            if keys[y, x] == NO_KEY:
                continue
            row = keys[y, x] & ((np.int64(1) << np.int64(40)) - 1)
            keyframe = blocks[block_of(blocks, blocks.shape[0], row), 2]
            if keyframe != previous:
                relative(keyframes, keyframe, P, center, m)
                tiles = (grids[keyframe, 1] + 7) >> 3
                previous = keyframe
            kind = classify(geometry, state[row] & PLANAR > 0, row, s, plane)
            column, line = place_of(cells, row, tiles)
            u0, v0 = np.float32(column) + np.float32(0.5), np.float32(line) + np.float32(0.5)
            px = np.float32(x) + np.float32(0.5)
            py = np.float32(y) + np.float32(0.5)
            guess, lies = state[row] & REAR, BESIDE if state[row] & RIM > 0 else np.uint8(0)
            patches = 1 if kind < 2 else s * s
            edge = edge_of(geometry, row, s) if kind == 2 else np.float32(0.0)
            best = np.float32(np.inf)
            for j in range(patches):
                shift_u = np.float32(0.0)
                shift_v = np.float32(0.0)
                a, b, c = plane[0], plane[1], plane[2]
                half = limit
                if kind == 2:
                    a = decode(geometry, row, j)
                    if not a >= 0.0:
                        continue
                    b = np.float32(0.0)
                    c = np.float32(0.0)
                    shift_u = (np.float32(j % s) - middle) * step
                    shift_v = (np.float32(j // s) - middle) * step
                    half = np.float32(0.5) * step + np.float32(MARGIN)
                if not patch_homography(m, u0 + shift_u, v0 + shift_v, a, b, c, half, keys.shape[0], columns, h):
                    continue
                w = h[6] * px + h[7] * py + h[8]
                if w == 0.0 or h[9] / w <= 0.0:
                    continue
                depth_scale = h[9] / w
                du = (h[0] * px + h[1] * py + h[2]) / w
                dv = (h[3] * px + h[4] * py + h[5]) / w
                per_cell = np.float32(s) / w
                du_dx, du_dy = (h[0] - du * h[6]) * per_cell, (h[1] - du * h[7]) * per_cell
                dv_dx, dv_dy = (h[3] - dv * h[6]) * per_cell, (h[4] - dv * h[7]) * per_cell
                excess = max(np.float32(0.0), max(abs(du), abs(dv)) - (half - np.float32(MARGIN)))
                reach = max(abs(du), abs(dv))
                q = (a + b * du + c * dv) / depth_scale if reach <= half else central(h, a)
                du = min(max(du, -half), half)
                dv = min(max(dv, -half), half)
                if q < nearest[y, x] * np.float32(1.0 - DEPTH_TOLERANCE):
                    excess += np.float32(100.0)  # a sample of this token that lies behind: only if nothing else fits
                if excess < best:
                    best = excess
                    area = abs(h[9]) / abs(depth_scale * depth_scale * depth_scale * np.float32(s * s))
                    token[y, x] = row
                    uv[0, y, x] = min(max(shift_u + du, -limit), limit)
                    uv[1, y, x] = min(max(shift_v + dv, -limit), limit)
                    log2_scale[y, x] = np.float32(0.5) * np.log2(
                        max(min(area, np.float32(4096.0)), np.float32(1.0 / 4096.0))
                    )
                    inverse_depth[y, x] = q
                    sky[y, x] = a == 0.0
                    behind[y, x] = STRADDLES if guess == 0 and a < edge else lies
                    jacobian[0, 0, y, x], jacobian[0, 1, y, x] = du_dx, du_dy
                    jacobian[1, 0, y, x], jacobian[1, 1, y, x] = dv_dx, dv_dy
                    if kind == 2:
                        _relief(geometry, row, a, relief[:, y, x])


@njit(cache=True, nogil=True)
def uncovered(behind: np.ndarray, inverse_depth: np.ndarray, log2_scale: np.ndarray, s: int) -> np.ndarray:
    """(hs, ws) bool: samples ``behind`` or beside an edge (see :func:`resolve`) whose near thing is no longer there.

    A token at an edge shows both of its sides at once. Once the near thing has passed, the far side is not what lies
    there, but its ghost.
    """
    rows, columns = behind.shape
    found = np.zeros((rows, columns), np.bool_)
    for y in range(rows):
        for x in range(columns):
            if behind[y, x] == 0:
                continue
            limit = np.float32(EDGE) * inverse_depth[y, x]
            reach = s
            if behind[y, x] == BESIDE:
                limit = max(limit, np.float32(NEAR_THING))
                larger = np.float32(2.0) * max(np.float32(1.0), np.float32(2.0) ** log2_scale[y, x])
                reach = s * int(np.ceil(min(larger, np.float32(MOST_REACH))))
            beside = False
            for j in range(max(0, y - reach), min(rows, y + reach + 1)):
                for i in range(max(0, x - reach), min(columns, x + reach + 1)):
                    beside |= inverse_depth[j, i] > limit
            found[y, x] = not beside
    return found
