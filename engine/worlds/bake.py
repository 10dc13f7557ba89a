"""What a view needs of an endless world: heights on a lattice and the objects nearby, sorted into cells.

Every value depends on the world's parameters and its own global position alone, so windows overlap exactly.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from engine.worlds import objects as ob
from engine.worlds.noise import hash01, smoothstep, value2
from engine.worlds.plan import furnish
from engine.worlds.spec import (
    ACACIA,
    ARCH,
    BIOME,
    BOULDER,
    BRIDGE,
    BROADLEAF,
    BUSH,
    CACTUS,
    CLIFF,
    CONIFER,
    COTTAGE,
    GATE,
    GRASS,
    HALLS,
    HOUSE,
    KEEP,
    LEAF,
    LEAF2,
    LEAF3,
    LIGHTHOUSE,
    MENHIR,
    MILL,
    PALM,
    RIVER,
    ROCK,
    SEED,
    SHRUB,
    TOWER,
    TOWER_KIND,
    TREE2_KIND,
    TREE2_SHARE,
    TREE_KIND,
    TREE_SIZE,
    WALL,
)
from engine.worlds.terrain import bake_heights, forest, ground, path_distance_m, path_level, river_level

CELL_M = 6.0
CELLS = 208  # a side; +-624 m
SUPER = 8  # cells a side of a supercell
STEP_M = 2.0
FAR_STEP_M = 16.0
FAR_N = 448
SNAP_M = 192.0
PLOT = 7  # cells a side of a building plot
CROSSING = 12  # cells a side of a square that has one bridge at most
SHORE_M = 0.8  # so high is the ground that a bridge ends on
NARROWEST_M, WIDEST_M = 8.0, 26.0  # from shore to shore, and from the middle to each


class Window(NamedTuple):
    """Baked surroundings of one place; all arrays are C-contiguous.

    meta (8,): cell origin x, y; height origin x, y; far origin x, y; highest z; unused.
    heights (n, n) f32 at STEP_M; far (FAR_N, FAR_N) f32; table (objects, 16) f64;
    start (CELLS^2 + 1,) i32 and items (k,) i32: objects of each cell; top, floor (CELLS, CELLS) f32: highest z
    of anything / of the ground in a cell; super_top (CELLS/8, CELLS/8) f32.
    """

    meta: np.ndarray
    heights: np.ndarray
    far: np.ndarray
    table: np.ndarray
    start: np.ndarray
    items: np.ndarray
    top: np.ndarray
    floor: np.ndarray
    super_top: np.ndarray


@njit(cache=True, fastmath=True)
def _plot(pi: int, pj: int, p: np.ndarray, out: np.ndarray) -> int:
    """What stands on building plot (pi, pj): kind or -1; out (5,) gets x, y, z, radius, random number."""
    s = int(p[SEED])
    pick = hash01(pi, pj, s + 201)
    village = smoothstep(0.45, 0.7, value2(pi * 0.23, pj * 0.23, s + 202))
    chance = p[HOUSE] * (0.15 + 1.3 * village)
    kind = -1
    if pick < chance:
        kind = COTTAGE
    elif pick < chance + p[TOWER]:
        kind = int(p[TOWER_KIND])
    elif pick < chance + p[TOWER] + p[ARCH]:
        kind = GATE if p[BIOME] == 3.0 else MENHIR
    if kind < 0:
        return -1
    size = PLOT * CELL_M
    x = (pi + 0.25 + 0.5 * hash01(pi, pj, s + 203)) * size
    y = (pj + 0.25 + 0.5 * hash01(pi, pj, s + 204)) * size
    e = 5.0
    a = ground(x - e, y, p)
    b = ground(x + e, y, p)
    c = ground(x, y - e, p)
    d = ground(x, y + e, p)
    low = min(min(a, b), min(c, d))
    high = max(max(a, b), max(c, d))
    steep = 2.6 if kind == COTTAGE else 5.0
    if low < 0.7 or high - low > steep or high > 140.0:
        return -1
    if path_distance_m(x, y, p) < 8.0:
        return -1
    out[0] = x
    out[1] = y
    out[2] = 0.5 * (low + ground(x, y, p))
    out[3] = 9.0 if kind == GATE else 6.0
    out[4] = hash01(pi, pj, s + 205)
    return kind


@njit(cache=True, fastmath=True)
def _shore_m(x: float, y: float, ux: float, uy: float, p: np.ndarray) -> float:
    """How far it is from (x, y) to the shore along (ux, uy); WIDEST_M if it is farther."""
    far = 0.0
    while far < WIDEST_M and ground(x + far * ux, y + far * uy, p) < SHORE_M:
        far += 0.5
    return far


@njit(cache=True, fastmath=True)
def crossing(bi: int, bj: int, p: np.ndarray, out: np.ndarray) -> bool:
    """Where a footpath crosses a river in square (bi, bj), if a bridge fits there; out (5,) gets x, y, height of the
    deck, half length, direction."""
    size = CROSSING * CELL_M
    x = (bi + 0.5) * size
    y = (bj + 0.5) * size
    e = 0.5
    for _ in range(14):  # Newton's method on both fields
        a, _ = path_level(x, y, p)
        b, _ = river_level(x, y, p)
        ax = (path_level(x + e, y, p)[0] - path_level(x - e, y, p)[0]) / (2.0 * e)
        ay = (path_level(x, y + e, p)[0] - path_level(x, y - e, p)[0]) / (2.0 * e)
        bx = (river_level(x + e, y, p)[0] - river_level(x - e, y, p)[0]) / (2.0 * e)
        by = (river_level(x, y + e, p)[0] - river_level(x, y - e, p)[0]) / (2.0 * e)
        det = ax * by - ay * bx
        if abs(det) < 1e-9:
            return False
        dx = (a * by - b * ay) / det
        dy = (b * ax - a * bx) / det
        far = math.sqrt(dx * dx + dy * dy)
        gain = min(1.0, 12.0 / (far + 1e-9))
        x -= gain * dx
        y -= gain * dy
        if abs(x - (bi + 0.5) * size) > size or abs(y - (bj + 0.5) * size) > size:
            return False
    if far > 0.05 or math.floor(x / size) != bi or math.floor(y / size) != bj:
        return False
    steep = math.sqrt(bx * bx + by * by)
    along = math.sqrt(ax * ax + ay * ay)
    if abs(ax * bx + ay * by) > 0.8 * steep * along:  # a path that runs beside the river
        return False
    ux = bx / steep
    uy = by / steep
    one = _shore_m(x, y, ux, uy, p)
    other = _shore_m(x, y, -ux, -uy, p)
    if max(one, other) >= WIDEST_M or one + other < NARROWEST_M:
        return False
    out[0] = x + 0.5 * (one - other) * ux
    out[1] = y + 0.5 * (one - other) * uy
    out[3] = 0.5 * (one + other) + 1.6
    out[2] = (SHORE_M + 0.4) / (1.0 - ob.HUMP) + 0.05 * out[3]
    out[4] = math.atan2(uy, ux)
    return True


@njit(cache=True, fastmath=True)
def _block(blocked: np.ndarray, x: float, y: float, reach_m: float, ci0: int, cj0: int) -> None:
    """Keep plants out of the cells around (x, y); the first of ``blocked`` is (ci0, cj0)."""
    reach = math.ceil(reach_m / CELL_M)
    ci = math.floor(x / CELL_M) - ci0
    cj = math.floor(y / CELL_M) - cj0
    for j in range(max(0, cj - reach), min(CELLS, cj + reach + 1)):
        for i in range(max(0, ci - reach), min(CELLS, ci + reach + 1)):
            blocked[j, i] = 1


@njit(cache=True, fastmath=True)
def _populate(ci0: int, cj0: int, p: np.ndarray, table: np.ndarray) -> int:
    """Fill the object table for CELLS x CELLS cells from (ci0, cj0); returns how many."""
    s = int(p[SEED])
    n = 0
    plot = np.zeros(5)
    palette = np.zeros(18)
    palette[0:3] = (0.80, 0.74, 0.62)  # plaster
    palette[3:6] = (0.46, 0.42, 0.37)  # stone
    palette[6:9] = (0.88, 0.86, 0.82)  # whitewash
    palette[9:12] = (0.045, 0.105, 0.05)  # needles
    margin = 2
    pi0 = (ci0 - margin) // PLOT - 1
    pj0 = (cj0 - margin) // PLOT - 1
    count = (CELLS + 2 * margin) // PLOT + 3
    blocked = np.zeros((CELLS, CELLS), np.uint8)
    for pj in range(pj0, pj0 + count):
        for pi in range(pi0, pi0 + count):
            kind = _plot(pi, pj, p, plot)
            if kind < 0:
                continue
            x, y, z, q = plot[0], plot[1], plot[2], plot[4]
            salt = int(q * 1e6)
            turn = 6.28 * hash01(pi, pj, s + 206)
            if kind == COTTAGE:
                slot = 6 if p[BIOME] == 4.0 else (3 if q < 0.35 else 0)
                r = 3.6 + 1.6 * hash01(pi, pj, s + 207)
                n = ob.add(table, n, COTTAGE, x, y, z, 5.0 + 1.8 * q, r, turn, salt, palette, slot, 1.0)
            elif kind == KEEP:
                n = ob.add(table, n, KEEP, x, y, z, 12.0 + 9.0 * q, 3.2 + 1.2 * q, turn, salt, palette, 3, 1.0)
            elif kind == LIGHTHOUSE:
                n = ob.add(table, n, LIGHTHOUSE, x, y, z, 15.0 + 7.0 * q, 2.7, turn, salt, palette, 6, 1.0)
            elif kind == MILL:
                n = ob.add(table, n, MILL, x, y, z, 9.0 + 3.0 * q, 3.1, turn, salt, palette, 6, 1.0)
            elif kind == GATE:
                n = ob.add(table, n, GATE, x, y, z - 1.5, 9.0 + 12.0 * q, 9.0 + 9.0 * q, turn, salt, p, CLIFF, 1.0)
            else:
                for k in range(7):  # a ring of standing stones
                    a = turn + 0.9 * k
                    mx = x + 7.5 * math.cos(a)
                    my = y + 7.5 * math.sin(a)
                    hh = 2.2 + 1.9 * hash01(salt, k, 3)
                    mz = ground(mx, my, p) - 0.3
                    n = ob.add(table, n, MENHIR, mx, my, mz, hh, 0.75, a + 1.57, salt + k, p, CLIFF, 1.0)
            _block(blocked, x, y, plot[3] + 3.0, ci0, cj0)
    if p[RIVER] > 0.0:
        count = CELLS // CROSSING + 3
        for bj in range(cj0 // CROSSING - 1, cj0 // CROSSING - 1 + count):
            for bi in range(ci0 // CROSSING - 1, ci0 // CROSSING - 1 + count):
                if not crossing(bi, bj, p, plot):
                    continue
                x, y, r = plot[0], plot[1], plot[3]
                salt = int(hash01(bi, bj, s + 241) * 1e6)
                n = ob.add(table, n, BRIDGE, x, y, 0.0, plot[2], r, plot[4], salt, palette, 3, 1.0)
                _block(blocked, x, y, r + 1.0, ci0, cj0)
    for j in range(CELLS):
        cj = cj0 + j
        for i in range(CELLS):
            ci = ci0 + i
            x = (ci + 0.12 + 0.76 * hash01(ci, cj, s + 211)) * CELL_M
            y = (cj + 0.12 + 0.76 * hash01(ci, cj, s + 212)) * CELL_M
            wood = forest(x, y, p)
            tree = hash01(ci, cj, s + 213) < wood
            salt = int(hash01(ci, cj, s + 214) * 1e6)
            v = hash01(ci, cj, s + 215)
            w = hash01(ci, cj, s + 216)
            if tree and blocked[j, i] == 0:
                z = ground(x, y, p)
                slope = abs(ground(x + 2.0, y, p) - z) + abs(ground(x, y + 2.0, p) - z)
                if z > 0.9 and z < 75.0 + 50.0 * v and slope < 1.9 and path_distance_m(x, y, p) > 3.2:
                    kind = int(p[TREE_KIND])
                    if hash01(ci, cj, s + 217) < p[TREE2_SHARE]:
                        kind = int(p[TREE2_KIND])
                    if kind == PALM and z > 14.0:
                        kind = BROADLEAF
                    size = p[TREE_SIZE] * (0.72 + 0.62 * v)
                    mood = value2(x / 60.0, y / 60.0, s + 218) * 0.6 + 0.4 * w
                    slot = LEAF if mood < 0.42 else (LEAF2 if mood < 0.62 else LEAF3)
                    gain = 0.82 + 0.4 * w
                    turn = 6.28 * w
                    h = 8.2
                    r = 2.5 + 1.2 * w
                    sink = 0.1
                    if kind == CONIFER:
                        h = 11.5
                        r = 2.0 + 0.7 * w
                        gain *= 0.8
                    elif kind == PALM:
                        h = 7.5
                        r = 2.9
                        sink = 0.2
                    elif kind == ACACIA:
                        h = 6.8
                        r = 3.4 + 1.4 * w
                    elif kind == CACTUS:
                        h = 4.2
                        r = 0.36
                        sink = 0.2
                    if kind == CONIFER and p[TREE_KIND] != CONIFER:  # needles stay green among autumn leaves
                        n = ob.add(
                            table, n, kind, x, y, z - sink, h * size, r * size, turn, salt, palette, 9, 1.25 * gain
                        )
                    else:
                        n = ob.add(table, n, kind, x, y, z - sink, h * size, r * size, turn, salt, p, slot, gain)
            if blocked[j, i] == 0:
                for k in range(2):
                    u = hash01(ci, cj, s + 230 + k)
                    bx = (ci + hash01(ci, cj, s + 232 + k)) * CELL_M
                    by = (cj + hash01(ci, cj, s + 234 + k)) * CELL_M
                    near = smoothstep(0.3, 0.7, value2(bx / 37.0, by / 37.0, s + 236))
                    bush = p[BUSH] * (0.25 + near)
                    rock = p[ROCK] * (0.3 + 1.2 * value2(bx / 51.0, by / 51.0, s + 237))
                    if u > bush + rock:
                        continue
                    z = ground(bx, by, p)
                    if z < 0.25 or path_distance_m(bx, by, p) < 2.2:
                        continue
                    g = hash01(ci, cj, s + 238 + k)
                    if u < bush:
                        r = 0.45 + 0.7 * g * g
                        slot = GRASS if g < 0.3 else (LEAF2 if g < 0.65 else LEAF)
                        n = ob.add(table, n, SHRUB, bx, by, z - 0.05, r * 0.85, r, 0.0, salt + k, p, slot, 0.85)
                    else:
                        r = 0.4 + 1.7 * g * g * g + 0.4 * g
                        h = r * (0.65 + 0.3 * v)
                        n = ob.add(table, n, BOULDER, bx, by, z - 0.2 * r, h, r, 6.28 * w, salt + k, p, CLIFF, 1.0)
    return n


@njit(cache=True, fastmath=True)
def _sort(table: np.ndarray, n: int, ox: float, oy: float, heights: np.ndarray, hx: float, hy: float):  # type: ignore[no-untyped-def]
    """Objects into cells, and the highest z of each cell."""
    start = np.zeros(CELLS * CELLS + 1, np.int32)
    box = np.empty((n, 4), np.int32)
    for k in range(n):
        o = table[k]
        rx = o[ob.BOUND]
        ry = rx
        if o[ob.KIND] >= WALL:  # turned by quarters: what fills a bay is in one cell
            a = o[ob.RADIUS] - 1e-3
            b = o[ob.DEPTH] - 1e-3
            rx = abs(o[ob.COS]) * a + abs(o[ob.SIN]) * b
            ry = abs(o[ob.SIN]) * a + abs(o[ob.COS]) * b
        box[k, 0] = max(0, math.floor((o[ob.X] - rx - ox) / CELL_M))
        box[k, 1] = min(CELLS - 1, math.floor((o[ob.X] + rx - ox) / CELL_M))
        box[k, 2] = max(0, math.floor((o[ob.Y] - ry - oy) / CELL_M))
        box[k, 3] = min(CELLS - 1, math.floor((o[ob.Y] + ry - oy) / CELL_M))
        for j in range(box[k, 2], box[k, 3] + 1):
            for i in range(box[k, 0], box[k, 1] + 1):
                start[j * CELLS + i + 1] += 1
    for c in range(CELLS * CELLS):
        start[c + 1] += start[c]
    fill = start[:-1].copy()
    items = np.empty(max(1, start[-1]), np.int32)
    top = np.empty((CELLS, CELLS), np.float32)
    floor = np.empty((CELLS, CELLS), np.float32)
    span = int(CELL_M / STEP_M)
    for j in range(CELLS):
        a = int((oy + j * CELL_M - hy) / STEP_M + 0.5)
        for i in range(CELLS):
            b = int((ox + i * CELL_M - hx) / STEP_M + 0.5)
            high = heights[a, b]
            for v in range(a, a + span + 1):
                for u in range(b, b + span + 1):
                    high = max(high, heights[v, u])
            floor[j, i] = high + 0.02
            top[j, i] = high + 0.02
    for k in range(n):
        for j in range(box[k, 2], box[k, 3] + 1):
            for i in range(box[k, 0], box[k, 1] + 1):
                c = j * CELLS + i
                items[fill[c]] = k
                fill[c] += 1
                top[j, i] = max(top[j, i], table[k, ob.ZMAX])
    m = CELLS // SUPER
    super_top = np.empty((m, m), np.float32)
    for j in range(m):
        for i in range(m):
            super_top[j, i] = np.max(top[j * SUPER : (j + 1) * SUPER, i * SUPER : (i + 1) * SUPER])
    return start, items, top, floor, super_top


def bake(x: float, y: float, p: np.ndarray) -> Window:
    """The window around (x, y) metres of the world with parameters p; x, y should already be multiples of SNAP_M."""
    half = CELLS // 2
    ci0 = round(x / CELL_M) - half
    cj0 = round(y / CELL_M) - half
    ox, oy = ci0 * CELL_M, cj0 * CELL_M
    hx, hy = ox - 4 * STEP_M, oy - 4 * STEP_M
    n = int(CELLS * CELL_M / STEP_M) + 9
    heights = bake_heights(hx, hy, STEP_M, n, p)
    fx = x - FAR_N // 2 * FAR_STEP_M
    fy = y - FAR_N // 2 * FAR_STEP_M
    far = bake_heights(fx, fy, FAR_STEP_M, FAR_N, p)
    table = np.zeros((CELLS * CELLS * 4, ob.COLUMNS))
    count = furnish(ci0, cj0, CELLS, p, table) if p[HALLS] > 0.0 else _populate(ci0, cj0, p, table)
    table = np.ascontiguousarray(table[: max(1, count)])
    start, items, top, floor, super_top = _sort(table, count, ox, oy, heights, hx, hy)
    highest = max(float(top.max()), float(far.max())) + 1.0
    meta = np.array([ox, oy, hx, hy, fx, fy, highest, 0.0])
    return Window(meta, heights, far, table, start, items, top, floor, super_top)
