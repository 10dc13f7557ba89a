"""Compiled loops of the memory: culling, planar-patch rasterisation, nearest z-buffer, neighbour gathering.

All release the GIL and run on disjoint ranges with private buffers, so that results do not depend on the number of threads: buffers
are merged by max or min, and every tie goes to the lower token index. Ready-made parallel loops are avoided on purpose: the
compiled code then is safe to call from several Python threads and after a fork.

Notation. A keyframe pixel ``(u, v)`` in latent units with inverse depth ``q`` is seen by the target at ``(X/Z, Y/Z)`` with
``(X, Y, Z) = M (u, v, 1) + q t`` where ``M = K_t R_t^T R_k K_k^-1`` and ``t = K_t R_t^T (c_k - c_t)``; its inverse depth there is ``q/Z``.
Sky is ``q = 0``: rotation alone. On a patch whose inverse depth is planar, ``q = a + b du + c dv``, that map is a homography with
columns ``A = M_0 + b t``, ``B = M_1 + c t``, ``C = M (u0, v0, 1) + a t``, so going *back* from a target sample to its exact source
position is closed form.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numba.extending import overload

NO_KEY = np.int64(2**63 - 1)
EDGE_RATIO = 1.2
"""Where a token must be one point, it is its nearest surface if inverse depths inside it differ by more than this, else their mean."""
DEPTH_TOLERANCE = 0.04
"""Relative inverse depth within which two patches count as one surface."""
MARGIN = 0.08
"""Patches are enlarged by this share of a token on every side, which closes the gaps between their planes."""
MAX_EXTENT = 16.0
"""A magnified patch covers at most this many target samples to each side of its centre."""
NEAR_M = 0.02
ALIVE = np.uint8(1)
FROZEN = np.uint8(2)
PLANAR = np.uint8(4)
_FLOAT32_SHIFT = np.float32(2.0**112)


def inverse_depth_at(table: Any, row: int, sample: int) -> Any:
    """One stored inverse depth as float32, NaN where unknown; ``table`` is float32, or float16 as uint16 bits."""
    value = table[row, sample]
    return np.uint16(value).view(np.float16).astype(np.float32) if table.dtype == np.uint16 else value


@overload(inverse_depth_at)
def _inverse_depth_at(table: Any, row: int, sample: int) -> Any:
    if table.dtype.name == "uint16":

        def half(table: Any, row: int, sample: int) -> Any:
            # Shifting a half's exponent and mantissa into a float and rescaling is exact, subnormals included.
            bits = np.uint32(table[row, sample] & np.uint16(0x7FFF)) << np.uint32(13)
            value = np.uint32(bits).view(np.float32) * _FLOAT32_SHIFT
            return np.float32(np.nan) if value >= np.float32(65536.0) else value

        return half

    def single(table: Any, row: int, sample: int) -> Any:
        return table[row, sample]

    return single


@njit(cache=True, nogil=True)
def relative(keyframes: np.ndarray, index: int, P: np.ndarray, center: np.ndarray, out: np.ndarray) -> None:
    """``out (3, 4)`` float32 = [M | t] from keyframe ``index`` to a target with ``P = K_t R_t^T (3, 3)`` and ``center (3,)``, float64.

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

    ``spheres (n, 8)`` float32: finite points (x, y, z, radius) in the world, then sky directions (x, y, z, radius) on the unit sphere; a
    negative radius means none. ``planes (5, 4)`` float64: inward unit normals of the view's sides and its near plane, and their distance.
    ``alive (n,)`` counts the living tokens of a block.
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


@njit(cache=True, nogil=True, inline="always")
def classify(geometry: np.ndarray, planar: bool, row: int, s: int, plane: np.ndarray) -> int:
    """Surface of a token into ``plane`` = (a, b, c) per token; returns 0 for planar, 1 for sky, 2 for sample-by-sample, 3 for nothing valid."""
    n = s * s
    high = np.float32(0.0)
    total = np.float32(0.0)
    du = np.float32(0.0)
    dv = np.float32(0.0)
    valid = 0
    middle = np.float32(0.5 * (s - 1))
    for j in range(n):
        q = inverse_depth_at(geometry, row, j)
        if q >= 0.0:
            valid += 1
            high = max(high, q)
            total += q
            du += q * (np.float32(j % s) - middle)
            dv += q * (np.float32(j // s) - middle)
    if valid == 0:
        return 3
    plane[0] = total / np.float32(valid)
    plane[1] = 0.0
    plane[2] = 0.0
    if valid < n:
        return 2
    if high == 0.0:
        return 1
    if not planar:
        return 2
    if s == 1:
        return 0
    # Least squares on a regular grid: slope per sample = sum(q x) / sum(x^2), times s samples per token.
    norm = np.float32(s) / np.float32(s * s * (s * s - 1) / 12.0)
    plane[1] = du * norm
    plane[2] = dv * norm
    if s > 2:
        limit = np.float32(0.5 * DEPTH_TOLERANCE) * plane[0]
        for j in range(n):
            x = (np.float32(j % s) - middle) / np.float32(s)
            y = (np.float32(j // s) - middle) / np.float32(s)
            if abs(inverse_depth_at(geometry, row, j) - plane[0] - plane[1] * x - plane[2] * y) > limit:
                return 2
    return 0


@njit(cache=True, nogil=True, inline="always")
def patch_homography(
    m: np.ndarray, u0: float, v0: float, a: float, b: float, c: float, half: float, h: np.ndarray
) -> bool:
    """Rows of the inverse homography of a patch into ``h``; False if it is (partly) behind the target.

    ``h`` = [B x C (3), C x A (3), A x B (3), det, x0, y0, extent_x, extent_y]; a target point p = (x, y, 1) then has
    du = h[0:3].p / h[6:9].p, dv = h[3:6].p / h[6:9].p and Z = det / h[6:9].p.
    """
    a0 = m[0, 0] + b * m[0, 3]
    a1 = m[1, 0] + b * m[1, 3]
    a2 = m[2, 0] + b * m[2, 3]
    b0 = m[0, 1] + c * m[0, 3]
    b1 = m[1, 1] + c * m[1, 3]
    b2 = m[2, 1] + c * m[2, 3]
    c2 = m[2, 0] * u0 + m[2, 1] * v0 + m[2, 2] + a * m[2, 3]
    if c2 - half * (abs(a2) + abs(b2)) <= max(np.float32(NEAR_M) * a, np.float32(0.05) * c2):
        return False
    if c2 <= np.float32(1e-6):
        return False
    c0 = m[0, 0] * u0 + m[0, 1] * v0 + m[0, 2] + a * m[0, 3]
    c1 = m[1, 0] * u0 + m[1, 1] * v0 + m[1, 2] + a * m[1, 3]
    h[0] = b1 * c2 - b2 * c1
    h[1] = b2 * c0 - b0 * c2
    h[2] = b0 * c1 - b1 * c0
    h[3] = c1 * a2 - c2 * a1
    h[4] = c2 * a0 - c0 * a2
    h[5] = c0 * a1 - c1 * a0
    h[6] = a1 * b2 - a2 * b1
    h[7] = a2 * b0 - a0 * b2
    h[8] = a0 * b1 - a1 * b0
    h[9] = a0 * h[0] + a1 * h[1] + a2 * h[2]
    inverse = np.float32(1.0) / c2
    x0 = c0 * inverse
    y0 = c1 * inverse
    h[10] = x0
    h[11] = y0
    # First-order extents, enlarged by the perspective foreshortening across the patch.
    stretch = half / (np.float32(1.0) - half * (abs(a2) + abs(b2)) * inverse) * inverse
    h[12] = stretch * (abs(a0 - x0 * a2) + abs(b0 - x0 * b2))
    h[13] = stretch * (abs(a1 - y0 * a2) + abs(b1 - y0 * b2))
    return True


@njit(cache=True, nogil=True, inline="always")
def level_of(area: float) -> int:
    """How badly a patch of that area (target tokens per source token) suits: 0 near scale 1, growing with each half octave of magnification."""
    bits = np.float32(area * np.float32(1.4142135)).view(np.int32)
    octaves = (bits >> 23) - 127
    level = octaves if octaves > 0 else (-octaves) // 2
    return min(level, 31)


@njit(cache=True, nogil=True)
def _splat(
    select: bool,
    h: np.ndarray,
    a: float,
    b: float,
    c: float,
    half: float,
    row: int,
    s: int,
    depth: np.ndarray,
    keys: np.ndarray,
) -> None:
    """Rasterise one patch: its inverse depth into ``depth`` by max, or, if ``select``, its key into ``keys`` by min."""
    rows, columns = depth.shape
    extent_x = min(h[12], np.float32(MAX_EXTENT))
    extent_y = min(h[13], np.float32(MAX_EXTENT))
    if h[10] + extent_x < 0.0 or h[10] - extent_x > columns or h[11] + extent_y < 0.0 or h[11] - extent_y > rows:
        return
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
            if reach > half:
                if not forced:
                    continue
                du = min(max(du, -half), half)
                dv = min(max(dv, -half), half)
            depth_scale = h[9] * inverse
            if depth_scale <= 0.0:
                continue
            q = (a + b * du + c * dv) / depth_scale
            if not select:
                if q > depth[y, x]:
                    depth[y, x] = q
                continue
            if h[9] <= 0.0 or q < depth[y, x] * np.float32(1.0 - DEPTH_TOLERANCE):
                continue  # a surface seen from behind hides what lies farther but shows nothing
            area = h[9] / (depth_scale * depth_scale * depth_scale * np.float32(s * s))
            excess = reach - (half - np.float32(MARGIN))
            miss = 0 if excess <= 1e-3 else 1 + min(30, int(excess * np.float32(64.0)))
            key = (np.int64(miss) << np.int64(45)) | (np.int64(level_of(area)) << np.int64(40)) | np.int64(row)
            if key < keys[y, x]:
                keys[y, x] = key


@njit(cache=True, nogil=True)
def rasterise(
    select: bool,
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
    keys: np.ndarray,
) -> None:
    """Draw the living tokens of the ``visible`` blocks on the target's sample grid; see :func:`_splat`.

    ``blocks (n, 3)`` int64: first row, count, keyframe. ``grids (k, 2)`` int32: h, w of each keyframe. ``depth, keys (hs, ws)``.
    """
    m = np.empty((3, 4), np.float32)
    h = np.empty(14, np.float32)
    plane = np.empty(3, np.float32)
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
            tile = np.int64(cells[row]) >> 6
            within = np.int64(cells[row]) & 63
            u0 = np.float32((tile % tiles) * 8 + (within & 7)) + np.float32(0.5)
            v0 = np.float32((tile // tiles) * 8 + (within >> 3)) + np.float32(0.5)
            if kind < 2:
                half = np.float32(0.5 + MARGIN)
                if patch_homography(m, u0, v0, plane[0], plane[1], plane[2], half, h):
                    _splat(select, h, plane[0], plane[1], plane[2], half, row, s, depth, keys)
                continue
            half = np.float32(0.5) * step + np.float32(MARGIN)
            for j in range(s * s):
                q = inverse_depth_at(geometry, row, j)
                if not q >= 0.0:
                    continue
                u = u0 + (np.float32(j % s) - middle) * step
                v = v0 + (np.float32(j // s) - middle) * step
                if patch_homography(m, u, v, q, np.float32(0.0), np.float32(0.0), half, h):
                    _splat(select, h, q, np.float32(0.0), np.float32(0.0), half, row, s, depth, keys)


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


@njit(cache=True, nogil=True)
def resolve(
    first: int,
    last: int,
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
) -> None:
    """Exact source position, scale and depth of every won target sample in rows ``first`` to ``last``; outputs as in SampleMap."""
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
            token[y, x] = -1
            uv[0, y, x] = 0.0
            uv[1, y, x] = 0.0
            log2_scale[y, x] = 0.0
            inverse_depth[y, x] = 0.0
            sky[y, x] = False
            if keys[y, x] == NO_KEY:
                continue
            row = keys[y, x] & ((np.int64(1) << np.int64(40)) - 1)
            keyframe = blocks[block_of(blocks, blocks.shape[0], row), 2]
            if keyframe != previous:
                relative(keyframes, keyframe, P, center, m)
                tiles = (grids[keyframe, 1] + 7) >> 3
                previous = keyframe
            kind = classify(geometry, state[row] & PLANAR > 0, row, s, plane)
            tile = np.int64(cells[row]) >> 6
            within = np.int64(cells[row]) & 63
            u0 = np.float32((tile % tiles) * 8 + (within & 7)) + np.float32(0.5)
            v0 = np.float32((tile // tiles) * 8 + (within >> 3)) + np.float32(0.5)
            px = np.float32(x) + np.float32(0.5)
            py = np.float32(y) + np.float32(0.5)
            patches = 1 if kind < 2 else s * s
            best = np.float32(np.inf)
            for j in range(patches):
                shift_u = np.float32(0.0)
                shift_v = np.float32(0.0)
                a, b, c = plane[0], plane[1], plane[2]
                half = limit
                if kind == 2:
                    a = inverse_depth_at(geometry, row, j)
                    if not a >= 0.0:
                        continue
                    b = np.float32(0.0)
                    c = np.float32(0.0)
                    shift_u = (np.float32(j % s) - middle) * step
                    shift_v = (np.float32(j // s) - middle) * step
                    half = np.float32(0.5) * step + np.float32(MARGIN)
                if not patch_homography(m, u0 + shift_u, v0 + shift_v, a, b, c, half, h):
                    continue
                w = h[6] * px + h[7] * py + h[8]
                if w == 0.0 or h[9] / w <= 0.0:
                    continue
                depth_scale = h[9] / w
                du = (h[0] * px + h[1] * py + h[2]) / w
                dv = (h[3] * px + h[4] * py + h[5]) / w
                excess = max(np.float32(0.0), max(abs(du), abs(dv)) - (half - np.float32(MARGIN)))
                du = min(max(du, -half), half)
                dv = min(max(dv, -half), half)
                q = (a + b * du + c * dv) / depth_scale
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


@njit(cache=True, nogil=True)
def nearest_keys(
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
    cell_center: float,
    keys: np.ndarray,
) -> None:
    """Paper's readout: the token with the largest inverse depth in each cell, as (depth, row) keys into ``keys (h, w)`` by min."""
    m = np.empty((3, 4), np.float32)
    plane = np.empty(3, np.float32)
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
        for row in range(blocks[block, 0], blocks[block, 0] + blocks[block, 1]):
            if state[row] & ALIVE == 0:
                continue
            q = center_inverse_depth(geometry, row, s, plane)
            tile = np.int64(cells[row]) >> 6
            within = np.int64(cells[row]) & 63
            u = np.float32((tile % tiles) * 8 + (within & 7)) + shift
            v = np.float32((tile // tiles) * 8 + (within >> 3)) + shift
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
def center_inverse_depth(geometry: np.ndarray, row: int, s: int, plane: np.ndarray) -> float:
    """Inverse depth of a token as one point: the mean of its samples, or its nearest surface where it straddles an edge."""
    if s == 1:
        return inverse_depth_at(geometry, row, 0)
    low = np.float32(np.inf)
    high = np.float32(0.0)
    total = np.float32(0.0)
    valid = 0
    for j in range(s * s):
        q = inverse_depth_at(geometry, row, j)
        if q >= 0.0:
            low = min(low, q)
            high = max(high, q)
            total += q
            valid += 1
    return total / np.float32(max(valid, 1)) if high <= np.float32(EDGE_RATIO) * low else high


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
    ring_features: np.ndarray,
    out: np.ndarray,
    valid: np.ndarray,
) -> None:
    """3x3 source neighbours of tokens: ``out (n, 9, C)`` (float bits are copied as they are) and ``valid (n, 9)``.

    ``spans (k, 4)`` int64: first row, count, first ring row, ring count of each keyframe.
    """
    channels = features.shape[1]
    for i in range(rows.shape[0]):
        row = rows[i]
        if i > 0 and row == rows[i - 1]:
            for j in range(9):
                valid[i, j] = valid[i - 1, j]
                for c in range(channels):
                    out[i, j, c] = out[i - 1, j, c]
            continue
        keyframe = blocks[block_of(blocks, blocks.shape[0], row), 2]
        height, width = np.int64(grids[keyframe, 0]), np.int64(grids[keyframe, 1])
        tiles = (width + 7) >> 3
        tile = np.int64(cells[row]) >> 6
        within = np.int64(cells[row]) & 63
        u0 = (tile % tiles) * 8 + (within & 7)
        v0 = (tile // tiles) * 8 + (within >> 3)
        for j in range(9):
            u = u0 + j % 3 - 1
            v = v0 + j // 3 - 1
            found = -1
            if 0 <= u < width and 0 <= v < height:
                code = (((v >> 3) * tiles + (u >> 3)) << 6) | ((v & 7) << 3) | (u & 7)
                found = find_cell(cells, spans[keyframe, 0], spans[keyframe, 1], code)
                if found >= 0:
                    for c in range(channels):
                        out[i, j, c] = features[found, c]
                else:
                    found = find_cell(ring_cells, spans[keyframe, 2], spans[keyframe, 3], code)
                    if found >= 0:
                        for c in range(channels):
                            out[i, j, c] = ring_features[found, c]
            valid[i, j] = found >= 0
            if found < 0:
                for c in range(channels):
                    out[i, j, c] = 0


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
) -> None:
    """Bounding spheres (see :func:`cull`) of the blocks from index ``first`` on."""
    low = np.empty(6, np.float64)
    high = np.empty(6, np.float64)
    ray = np.empty(3, np.float64)
    for b in range(first, blocks.shape[0]):
        k = keyframes[blocks[b, 2]]
        tiles = (np.int64(grids[blocks[b, 2], 1]) + 7) >> 3
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
                tile = np.int64(cells[row]) >> 6
                within = np.int64(cells[row]) & 63
                for j in range(s * s):
                    q = np.float64(inverse_depth_at(geometry, row, j))
                    if not q >= 0.0:
                        continue
                    x = ((tile % tiles) * 8 + (within & 7) + (j % s + 0.5) / s - k[14]) / k[12]
                    y = ((tile // tiles) * 8 + (within >> 3) + (j // s + 0.5) / s - k[15]) / k[13]
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
