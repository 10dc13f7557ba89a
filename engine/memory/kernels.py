"""Compiled loops over tokens: culling, nearest z-buffer, gathering of neighbours, bounds. ``raster.py`` has the
sub-cell geometry.

All release the GIL and run on disjoint ranges with private buffers, so that results do not depend on the number of
threads: buffers are merged by max or min, and every tie goes to the lower token index. Ready-made parallel loops are
avoided on purpose: the compiled code then is safe to call from several Python threads and after a fork.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numba.extending import overload

NO_KEY = np.int64(2**63 - 1)
NEAREST_Z = 1e-4
"""What is no deeper than that, in depths of where it was seen from, is not before a target."""
NEAR_M = 0.02
ALIVE = np.uint8(1)
FROZEN = np.uint8(2)
PLANAR = np.uint8(4)
WEAR_SHIFT, WEAR_BITS, WORN = np.uint8(3), np.uint8(3), np.uint8(2)
RIM, REAR = np.uint8(32), np.uint8(64)
"""Bits of a token's state: the lowest three, in the next two a number up to WORN, and two more."""
_FLOAT32_SHIFT = np.float32(2.0**112)


def decode(table: Any, row: int, column: int) -> Any:
    """One stored number as float32, NaN and infinities as NaN; ``table (n, m)`` is float32, or float16 as uint16
    bits.
    """
    value = table[row, column]
    return np.uint16(value).view(np.float16).astype(np.float32) if table.dtype == np.uint16 else value


@overload(decode)
def _decode(table: Any, row: int, column: int) -> Any:
    if table.dtype.name == "uint16":

        def half(table: Any, row: int, column: int) -> Any:
            # Shifting a half's exponent and mantissa into a float and rescaling is exact, subnormals included.
            bits = np.uint32(table[row, column])
            size = np.uint32((bits & np.uint32(0x7FFF)) << np.uint32(13)).view(np.float32) * _FLOAT32_SHIFT
            if size >= np.float32(65536.0):
                return np.float32(np.nan)
            return -size if bits & np.uint32(0x8000) else size

        return half

    def single(table: Any, row: int, column: int) -> Any:
        return table[row, column]

    return single


def ring_feature(codes: Any, steps: Any, keyframe: int, row: int, channel: int) -> Any:
    """A ring cell's feature: float32 as it is, or a 4-bit level (two to a byte) times the keyframe's step for the
    channel.
    """
    if codes.dtype == np.float32:
        return codes[row, channel]
    level = (codes[row, channel >> 1] >> (4 * (channel & 1))) & 15
    return (np.float32(level) - 7.5) * decode(steps, keyframe, channel)


@overload(ring_feature)
def _ring_feature(codes: Any, steps: Any, keyframe: int, row: int, channel: int) -> Any:
    if codes.dtype.name == "float32":

        def single(codes: Any, steps: Any, keyframe: int, row: int, channel: int) -> Any:
            return codes[row, channel]

        return single

    def packed(codes: Any, steps: Any, keyframe: int, row: int, channel: int) -> Any:
        level = (np.int32(codes[row, channel >> 1]) >> np.int32(4 * (channel & 1))) & np.int32(15)
        return (np.float32(level) - np.float32(7.5)) * decode(steps, keyframe, channel)

    return packed


@njit(cache=True, nogil=True)
def relative(keyframes: np.ndarray, index: int, P: np.ndarray, center: np.ndarray, out: np.ndarray) -> None:
    """``out (3, 4)`` float32 = [M | t] from keyframe ``index`` to a target with ``P = K_t R_t^T (3, 3)`` and ``center
    (3,)``, float64.

    ``keyframes (n, 16)`` rows hold R (9, row-major), position (3), fx, fy, cx, cy in latent units.
    """
    k = keyframes[index]
    for i in range(3):
        m0 = (P[i, 0] * k[0] + P[i, 1] * k[3] + P[i, 2] * k[6]) / k[12]
        m1 = (P[i, 0] * k[1] + P[i, 1] * k[4] + P[i, 2] * k[7]) / k[13]
        m2 = P[i, 0] * k[2] + P[i, 1] * k[5] + P[i, 2] * k[8]
        out[i, 0] = m0
        out[i, 1] = m1
        out[i, 2] = m2 - m0 * k[14] - m1 * k[15]
        out[i, 3] = P[i, 0] * (k[9] - center[0]) + P[i, 1] * (k[10] - center[1]) + P[i, 2] * (k[11] - center[2])


@njit(cache=True, nogil=True)
def cull(spheres: np.ndarray, planes: np.ndarray, center: np.ndarray, alive: np.ndarray, out: np.ndarray) -> int:
    """Indices of blocks that may be in view, into ``out``; returns how many.

    ``spheres (n, 8)`` float32: finite points (x, y, z, radius) in the world, then sky directions (x, y, z, radius) on
    the unit sphere; a negative radius means none. ``planes (5, 4)`` float64: inward unit normals of the view's sides
    and its near plane, and their distance. ``alive (n,)`` counts the living tokens of a block.
    """
    n = 0
    for b in range(spheres.shape[0]):
        if alive[b] == 0:
            continue
        inside = False
        s = spheres[b]
        if s[3] >= 0.0:
            x, y, z = s[0] - center[0], s[1] - center[1], s[2] - center[2]
            inside = True
            for p in range(5):
                if planes[p, 0] * x + planes[p, 1] * y + planes[p, 2] * z - planes[p, 3] < -s[3]:
                    inside = False
                    break
        if not inside and s[7] >= 0.0:
            inside = True
            for p in range(4):
                if planes[p, 0] * s[4] + planes[p, 1] * s[5] + planes[p, 2] * s[6] < -s[7]:
                    inside = False
                    break
        if inside:
            out[n] = b
            n += 1
    return n


@njit(cache=True, nogil=True)
def block_hidden(m: np.ndarray, bounds: np.ndarray, rows: int, columns: int) -> bool:
    """Whether a block lies wholly outside a target of ``rows`` x ``columns``, one cell of slack included.

    ``m (3, 4)`` from :func:`relative`; ``bounds (6,)`` = ranges of u, v and inverse depth in the keyframe. Being
    inside one
    of the view's planes is linear in (u, v, q), so its maximum over the block is exact, end by end.
    """
    for plane in range(5):
        largest = np.float32(0.0)
        for j in range(4):
            if plane == 0:
                weight = m[2, j]
            elif plane == 1:
                weight = m[0, j] + m[2, j]
            elif plane == 2:
                weight = np.float32(columns + 1) * m[2, j] - m[0, j]
            elif plane == 3:
                weight = m[1, j] + m[2, j]
            else:
                weight = np.float32(rows + 1) * m[2, j] - m[1, j]
            if j == 2:
                largest += weight
            else:
                axis = 2 * j if j < 2 else 4
                largest += weight * (bounds[axis + 1] if weight > 0.0 else bounds[axis])
        if largest < 0.0:
            return True
    return False


@njit(cache=True, nogil=True)
def shows_none(m: np.ndarray, bounds: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether none of what is wanted of a target lies where a block may be drawn, one sample of slack included.

    ``m`` and ``bounds`` as for :func:`block_hidden`; ``wanted (rows + 1, columns + 1)`` int32, how many samples lie
    above and to the left of each corner. A block lies between the images of its corners, as far as it is before the
    target.
    """
    least = np.float32(NEAREST_Z)
    left, top, right, bottom = np.float32(np.inf), np.float32(np.inf), np.float32(-np.inf), np.float32(-np.inf)
    for corner in range(8):
        u, v, q = bounds[corner & 1], bounds[2 + (corner >> 1 & 1)], bounds[4 + (corner >> 2)]
        x = m[0, 0] * u + m[0, 1] * v + m[0, 2] + q * m[0, 3]
        y = m[1, 0] * u + m[1, 1] * v + m[1, 2] + q * m[1, 3]
        z = m[2, 0] * u + m[2, 1] * v + m[2, 2] + q * m[2, 3]
        if z > least:
            left, right = min(left, x / z), max(right, x / z)
            top, bottom = min(top, y / z), max(bottom, y / z)
        for axis in range(3):  # and where the edges from here come out of what lies behind
            way = bounds[2 * axis + 1] - bounds[2 * axis]
            way = -way if corner >> axis & 1 else way
            column = axis if axis < 2 else 3
            dz = way * m[2, column]
            if z > least or not z + dz > least:
                continue
            share = (least - z) / dz
            across, down = (x + share * way * m[0, column]) / least, (y + share * way * m[1, column]) / least
            left, right = min(left, across), max(right, across)
            top, bottom = min(top, down), max(bottom, down)
    if left > right:
        return True
    rows, columns = wanted.shape
    x0 = int(min(max(left - np.float32(1.0), np.float32(0.0)), np.float32(columns - 1)))
    y0 = int(min(max(top - np.float32(1.0), np.float32(0.0)), np.float32(rows - 1)))
    x1 = int(np.ceil(min(max(right + np.float32(1.0), np.float32(0.0)), np.float32(columns - 1))))
    y1 = int(np.ceil(min(max(bottom + np.float32(1.0), np.float32(0.0)), np.float32(rows - 1))))
    return wanted[y1, x1] - wanted[y0, x1] - wanted[y1, x0] + wanted[y0, x0] == 0


@njit(cache=True, nogil=True, inline="always")
def block_of(blocks: np.ndarray, count: int, row: int) -> int:
    """Index of the block that holds ``row``."""
    low, high = 0, count
    while high - low > 1:
        middle = (low + high) >> 1
        if blocks[middle, 0] <= row:
            low = middle
        else:
            high = middle
    return low


@njit(cache=True, nogil=True, inline="always")
def place_of(cells: np.ndarray, row: int, tiles: int) -> tuple[Any, Any]:
    """Column and line of a token in its keyframe, which is ``tiles`` tiles wide; see :mod:`engine.memory.grids`."""
    tile = np.int64(cells[row]) >> 6
    within = np.int64(cells[row]) & 63
    return (tile % tiles) * 8 + (within & 7), (tile // tiles) * 8 + (within >> 3)


@njit(cache=True, nogil=True, inline="always")
def code_of(u: int, v: int, tiles: int) -> int:
    """The inverse: the code of a cell."""
    return (((v >> 3) * tiles + (u >> 3)) << 6) | ((v & 7) << 3) | (u & 7)


@njit(cache=True, nogil=True)
def nearest_keys(
    visible: np.ndarray,
    bounds: np.ndarray,
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
    keys: np.ndarray,
) -> None:
    """Paper's readout: the token with the largest inverse depth in each cell, as (depth, row) keys into ``keys (h, w)``
    by min."""
    m = np.empty((3, 4), np.float32)
    previous = -1
    tiles = 1
    rows, columns = keys.shape
    shift = np.float32(cell_center)
    for index in range(visible.shape[0]):
        block = visible[index]
        keyframe = blocks[block, 2]
        if keyframe != previous:
            relative(keyframes, keyframe, P, center, m)
            tiles = (grids[keyframe, 1] + 7) >> 3
            previous = keyframe
        if block_hidden(m, bounds[block], rows, columns):
            continue
        for row in range(blocks[block, 0], blocks[block, 0] + blocks[block, 1]):
            if state[row] & ALIVE == 0:
                continue
            q = center_inverse_depth(geometry, state[row] & PLANAR > 0, row, s)
            u0, v0 = place_of(cells, row, tiles)
            u, v = np.float32(u0) + shift, np.float32(v0) + shift
            z = m[2, 0] * u + m[2, 1] * v + m[2, 2] + q * m[2, 3]
            if not z > 0.0:
                continue
            inverse = np.float32(1.0) / z
            x = (m[0, 0] * u + m[0, 1] * v + m[0, 2] + q * m[0, 3]) * inverse
            y = (m[1, 0] * u + m[1, 1] * v + m[1, 2] + q * m[1, 3]) * inverse
            if not (x > -1.0 and y > -1.0 and x < columns + 1.0 and y < rows + 1.0):
                continue
            if shift == 0.0:
                column = int(np.rint(x))
                line = int(np.rint(y))
            else:
                column = int(np.floor(x))
                line = int(np.floor(y))
            if column < 0 or line < 0 or column >= columns or line >= rows:
                continue
            bits = np.float32(q * inverse).view(np.int32)
            key = ((np.int64(0x7FFFFFFF) - np.int64(bits)) << np.int64(32)) | np.int64(row)
            if key < keys[line, column]:
                keys[line, column] = key


@njit(cache=True, nogil=True, inline="always")
def center_inverse_depth(geometry: np.ndarray, planar: bool, row: int, s: int) -> Any:
    """Inverse depth of a token as one point: the mean of its samples, or its nearest surface where it straddles an
    edge."""
    if s == 1:
        return decode(geometry, row, 0)
    high = np.float32(0.0)
    total = np.float32(0.0)
    valid = 0
    for j in range(s * s):
        q = decode(geometry, row, j)
        if q >= 0.0:
            high = max(high, q)
            total += q
            valid += 1
    return total / np.float32(max(valid, 1)) if planar else high


@njit(cache=True, nogil=True, inline="always")
def find_cell(cells: np.ndarray, start: int, count: int, code: int) -> int:
    """Row of a cell among a keyframe's sorted cell codes, -1 if it is not there."""
    if code < count and cells[start + code] == code:
        return start + code
    low, high = 0, count
    while low < high:
        middle = (low + high) >> 1
        if cells[start + middle] < code:
            low = middle + 1
        else:
            high = middle
    if low < count and cells[start + low] == code:
        return start + low
    return -1


@njit(cache=True, nogil=True)
def gather_neighbours(
    rows: np.ndarray,
    blocks: np.ndarray,
    spans: np.ndarray,
    grids: np.ndarray,
    cells: np.ndarray,
    ring_cells: np.ndarray,
    features: np.ndarray,
    ring_codes: np.ndarray,
    ring_steps: np.ndarray,
    slots: np.ndarray,
    out: np.ndarray,
    valid: np.ndarray,
) -> None:
    """3x3 source neighbours of tokens (n,): into rows ``slots (n,)`` of ``out (m, 9, C)`` float32 and ``valid (m, 9)``.

    ``spans (k, 4)`` int64: first row, count, first ring row, ring count of each keyframe.
    """
    channels = features.shape[1]
    for i in range(rows.shape[0]):
        row, slot = rows[i], slots[i]
        if i > 0 and row == rows[i - 1]:
            for j in range(9):
                valid[slot, j] = valid[slots[i - 1], j]
                for c in range(channels):
                    out[slot, j, c] = out[slots[i - 1], j, c]
            continue
        keyframe = blocks[block_of(blocks, blocks.shape[0], row), 2]
        height, width = np.int64(grids[keyframe, 0]), np.int64(grids[keyframe, 1])
        tiles = (width + 7) >> 3
        u0, v0 = place_of(cells, row, tiles)
        for j in range(9):
            u = u0 + j % 3 - 1
            v = v0 + j // 3 - 1
            found = -1
            if 0 <= u < width and 0 <= v < height:
                code = code_of(u, v, tiles)
                found = find_cell(cells, spans[keyframe, 0], spans[keyframe, 1], code)
                if found >= 0:
                    for c in range(channels):
                        out[slot, j, c] = decode(features, found, c)
                else:
                    found = find_cell(ring_cells, spans[keyframe, 2], spans[keyframe, 3], code)
                    if found >= 0:
                        for c in range(channels):
                            out[slot, j, c] = ring_feature(ring_codes, ring_steps, keyframe, found, c)
            valid[slot, j] = found >= 0
            if found < 0:
                for c in range(channels):
                    out[slot, j, c] = 0.0
