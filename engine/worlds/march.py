"""Where a ray meets the world: cells of objects and ground near by, a coarse lattice far away, the water plane."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from engine.worlds import objects as ob
from engine.worlds.bake import CELL_M, CELLS, FAR_N, FAR_STEP_M, STEP_M, SUPER
from engine.worlds.spec import ACACIA, BOULDER, BROADLEAF, CONIFER, SHRUB, WALL

# What is compiled here holds what it calls of objects.py and materials.py as it was when this file last changed:
# whoever changes a shape there touches this line, else old caches draw old shapes. Last: rows.
FAR_M = 1.0e9  # "nothing"; finite, because fastmath knows no infinity
SKY, GROUND, WATER, OBJECT, FAR_GROUND = range(5)
REACH_M = 3300.0
ROOM_M = 0.24
"""Trim, cornices and frames stand out of a wall by no more."""


@njit(cache=True, fastmath=True)
def lattice(field: np.ndarray, x: float, y: float, x0: float, y0: float, step_m: float) -> float:
    """Bilinear height at (x, y) of a lattice field (n, n) whose [0, 0] lies at (x0, y0)."""
    u = (x - x0) / step_m
    v = (y - y0) / step_m
    n = field.shape[0]
    u = min(max(u, 0.0), n - 1.001)
    v = min(max(v, 0.0), n - 1.001)
    i = int(u)
    j = int(v)
    u -= i
    v -= j
    a = field[j, i]
    b = field[j, i + 1]
    c = field[j + 1, i]
    d = field[j + 1, i + 1]
    return (a + (b - a) * u) + ((c + (d - c) * u) - (a + (b - a) * u)) * v


@njit(cache=True, fastmath=True)
def _within(x: float, dx: float, half: float, t0: float, t1: float) -> tuple[float, float]:
    """The part of a ray's [t0, t1] where |x + t dx| <= half; empty if t0 >= t1."""
    if abs(dx) < 1e-12:
        return (t0, t1) if abs(x) <= half else (1.0, 0.0)
    a = (-half - x) / dx
    b = (half - x) / dx
    return max(t0, min(a, b)), min(t1, max(a, b))


@njit(cache=True, fastmath=True)
def _marched(o: np.ndarray, x: float, y: float, z: float, dx: float, dy: float, dz: float, t0: float, t1: float,
             pixel: float, steps: int) -> float:  # fmt: skip
    """Sphere tracing (Hart 1996) of object o along [t0, t1]: distance of the first hit, or FAR_M."""
    if t0 >= t1:
        return FAR_M
    t = t0
    for _ in range(steps):
        f = pixel * t
        d = ob.distance(o, x + t * dx, y + t * dy, z + t * dz, f)
        eps = 0.004 + 0.35 * f
        if d < eps:
            return t
        t += max(d, eps)
        if t > t1:
            return FAR_M
    return FAR_M


@njit(cache=True, fastmath=True)
def hit_object(o: np.ndarray, x: float, y: float, z: float, dx: float, dy: float, dz: float, t0: float, t1: float,
               pixel: float) -> float:  # fmt: skip
    """Distance along the ray to object o within [t0, t1], or FAR_M."""
    ex = x - o[ob.X]
    ey = y - o[ob.Y]
    if o[ob.KIND] >= WALL:  # inside of its box, so that what is flat is hit at once, however it is looked along
        c = o[ob.COS]
        s = o[ob.SIN]
        t0, t1 = _within(c * ex + s * ey, c * dx + s * dy, o[ob.RADIUS] + ROOM_M, t0, t1)
        t0, t1 = _within(c * ey - s * ex, c * dy - s * dx, o[ob.DEPTH] + ROOM_M, t0, t1)
        middle = 0.5 * (o[ob.ZMIN] + o[ob.ZMAX])
        t0, t1 = _within(z - middle, dz, o[ob.ZMAX] - middle, t0, t1)
        return _marched(o, x, y, z, dx, dy, dz, t0, t1, pixel, 80)
    a = dx * dx + dy * dy
    b = ex * dx + ey * dy
    c = ex * ex + ey * ey - o[ob.BOUND] * o[ob.BOUND]
    if a > 1e-9:
        disc = b * b - a * c
        if disc <= 0.0:
            return FAR_M
        root = math.sqrt(disc)
        t0 = max(t0, (-b - root) / a)
        t1 = min(t1, (-b + root) / a)
    elif c > 0.0:
        return FAR_M
    if abs(dz) > 1e-9:
        ta = (o[ob.ZMIN] - z) / dz
        tb = (o[ob.ZMAX] - z) / dz
        t0 = max(t0, min(ta, tb))
        t1 = min(t1, max(ta, tb))
    elif z < o[ob.ZMIN] or z > o[ob.ZMAX]:
        return FAR_M
    return _marched(o, x, y, z, dx, dy, dz, t0, t1, pixel, 40)


@njit(cache=True, fastmath=True)
def trace(x: float, y: float, z: float, dx: float, dy: float, dz: float, pixel: float, meta: np.ndarray,
          heights: np.ndarray, far: np.ndarray, table: np.ndarray, start: np.ndarray, items: np.ndarray,
          top: np.ndarray, floor: np.ndarray, super_top: np.ndarray) -> tuple[int, float, int]:  # fmt: skip
    """First surface along a unit ray: (what, distance in metres, row of the object table or -1)."""
    limit = REACH_M
    what = SKY
    if dz > 1e-9:
        limit = min(limit, (meta[6] - z) / dz)
    elif dz < -1e-9 and z > 0.0:
        water = -z / dz
        if water < limit:
            limit = water
            what = WATER
    gx = (x - meta[0]) / CELL_M
    gy = (y - meta[1]) / CELL_M
    vx = dx / CELL_M
    vy = dy / CELL_M
    ix = 1.0 / vx if abs(vx) > 1e-12 else 1e12
    iy = 1.0 / vy if abs(vy) > 1e-12 else 1e12
    t = 0.0
    best = FAR_M
    owner = -1
    seen0 = seen1 = seen2 = seen3 = -1  # objects already tested: most reach into several cells
    while t < limit:
        te = t + 1e-4
        cx = math.floor(gx + te * vx)
        cy = math.floor(gy + te * vy)
        i = int(cx)
        j = int(cy)
        if i < 0 or j < 0 or i >= CELLS or j >= CELLS:
            break
        si = i // SUPER
        sj = j // SUPER
        bx = (si + 1.0) * SUPER if vx > 0.0 else si * 1.0 * SUPER
        by = (sj + 1.0) * SUPER if vy > 0.0 else sj * 1.0 * SUPER
        out = min(limit, min((bx - gx) * ix, (by - gy) * iy))
        out = max(out, te)
        if min(z + t * dz, z + out * dz) > super_top[sj, si]:
            t = out
            continue
        bx = cx + 1.0 if vx > 0.0 else cx
        by = cy + 1.0 if vy > 0.0 else cy
        out = min(limit, min((bx - gx) * ix, (by - gy) * iy))
        out = max(out, te)
        low = min(z + t * dz, z + out * dz)
        if low < top[j, i]:
            c = j * CELLS + i
            for k in range(start[c], start[c + 1]):
                row = items[k]
                if row in (seen0, seen1, seen2, seen3):
                    continue
                seen0, seen1, seen2, seen3 = row, seen0, seen1, seen2
                s = hit_object(table[row], x, y, z, dx, dy, dz, 0.0, min(best, limit), pixel)
                if s < best:
                    best = s
                    owner = row
            if low < floor[j, i]:
                count = 4 if t < 80.0 else (3 if t < 220.0 else 2)
                step = (out - t) / count
                t0 = t
                f0 = z + t0 * dz - lattice(heights, x + t0 * dx, y + t0 * dy, meta[2], meta[3], STEP_M)
                for _ in range(count):
                    t1 = t0 + step
                    f1 = z + t1 * dz - lattice(heights, x + t1 * dx, y + t1 * dy, meta[2], meta[3], STEP_M)
                    if f1 < 0.0:
                        for _k in range(5):
                            tm = t0 + (t1 - t0) * min(0.9, max(0.1, f0 / (f0 - f1 + 1e-9)))
                            fm = z + tm * dz - lattice(heights, x + tm * dx, y + tm * dy, meta[2], meta[3], STEP_M)
                            if fm < 0.0:
                                t1 = tm
                                f1 = fm
                            else:
                                t0 = tm
                                f0 = fm
                        if t1 < best:
                            return GROUND, t1, -1
                        break
                    t0 = t1
                    f0 = f1
            if best <= out:
                return OBJECT, best, owner
        t = out
    if best < limit:
        return OBJECT, best, owner
    if t < limit:  # far lattice
        edge = (FAR_N - 2) * FAR_STEP_M
        f0 = 1.0
        t0 = t
        while t < limit:
            px = x + t * dx - meta[4]
            py = y + t * dy - meta[5]
            if px < 0.0 or py < 0.0 or px > edge or py > edge:
                return SKY, FAR_M, -1
            f1 = z + t * dz - lattice(far, x + t * dx, y + t * dy, meta[4], meta[5], FAR_STEP_M)
            if f1 < 0.0:
                for _k in range(6):
                    tm = 0.5 * (t0 + t)
                    fm = z + tm * dz - lattice(far, x + tm * dx, y + tm * dy, meta[4], meta[5], FAR_STEP_M)
                    if fm < 0.0:
                        t = tm
                    else:
                        t0 = tm
                return FAR_GROUND, t, -1
            t0 = t
            f0 = f1
            t += max(10.0, 0.5 * f0)
    if what == WATER:
        return WATER, limit, -1
    return SKY, FAR_M, -1


@njit(cache=True, fastmath=True)
def sunlight(x: float, y: float, z: float, sx: float, sy: float, sz: float, skip: int, meta: np.ndarray,
             heights: np.ndarray, table: np.ndarray, start: np.ndarray, items: np.ndarray,
             top: np.ndarray) -> float:  # fmt: skip
    """How much of the sun reaches a point, [0, 1]. Crowns cast soft shadows as ellipsoids, walls exact ones."""
    light = 1.0
    gx = (x - meta[0]) / CELL_M
    gy = (y - meta[1]) / CELL_M
    vx = sx / CELL_M
    vy = sy / CELL_M
    ix = 1.0 / vx if abs(vx) > 1e-12 else 1e12
    iy = 1.0 / vy if abs(vy) > 1e-12 else 1e12
    t = 0.0
    seen0 = seen1 = seen2 = seen3 = -1
    while t < 130.0 and light > 0.02:
        te = t + 1e-4
        cx = math.floor(gx + te * vx)
        cy = math.floor(gy + te * vy)
        i = int(cx)
        j = int(cy)
        if i < 0 or j < 0 or i >= CELLS or j >= CELLS:
            break
        bx = cx + 1.0 if vx > 0.0 else cx
        by = cy + 1.0 if vy > 0.0 else cy
        out = max(min((bx - gx) * ix, (by - gy) * iy), te)
        if z + t * sz < top[j, i]:
            c = j * CELLS + i
            for k in range(start[c], start[c + 1]):
                row = items[k]
                if row in (skip, seen0, seen1, seen2, seen3):
                    continue
                seen0, seen1, seen2, seen3 = row, seen0, seen1, seen2
                o = table[row]
                kind = int(o[ob.KIND])
                if kind in (BROADLEAF, CONIFER, SHRUB, BOULDER, ACACIA):
                    r = o[ob.RADIUS]
                    h = o[ob.HEIGHT]
                    rz = r
                    cz = h - 0.95 * r
                    if kind == CONIFER:
                        rz = 0.5 * h
                        cz = 0.48 * h
                        r *= 0.62
                    elif kind == ACACIA:
                        cz = h - 0.3 * r
                        rz = 0.4 * r
                    elif kind in (SHRUB, BOULDER):
                        cz = 0.2 * h
                        rz = 0.7 * h
                        r *= 0.8
                    ex = (x - o[ob.X]) / r
                    ey = (y - o[ob.Y]) / r
                    ez = (z - o[ob.Z] - cz) / rz
                    fx = sx / r
                    fy = sy / r
                    fz = sz / rz
                    a = fx * fx + fy * fy + fz * fz
                    b = ex * fx + ey * fy + ez * fz
                    s = -b / a
                    if s > 0.0:
                        near = math.sqrt(max(0.0, ex * ex + ey * ey + ez * ez - b * b / a))
                        soft = 0.10 + min(0.35, 0.018 * s)
                        q = min(1.0, max(0.0, (near - 1.0 + 0.5 * soft + 0.08) / soft))
                        light *= q * q * (3.0 - 2.0 * q)
                elif hit_object(o, x, y, z, sx, sy, sz, 0.05, 130.0, 0.004) < FAR_M:
                    light = 0.0
        t = out
    t = 2.5
    for _ in range(13):  # hills
        gap = z + 0.25 + t * sz - lattice(heights, x + t * sx, y + t * sy, meta[2], meta[3], STEP_M)
        light *= min(1.0, max(0.0, 0.5 + gap / (0.7 + 0.09 * t)))
        t *= 1.42
    return light
