"""The ground: height, footpaths and forest density as functions of position."""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from engine.worlds.noise import fbm2, ridged2, smoothstep, value2, value2_gradient
from engine.worlds.spec import BASE, DUNE, FOREST, HALLS, HILL, HILL_LEN, MESA, MOUNT, PATH, RIVER, SEA, SEED


@njit(cache=True, fastmath=True)
def _winding(x: float, y: float, length: float, bend: float, bend_length: float, seed: int) -> tuple[float, float]:
    """A field that is 0 along winding lines, and how steep it is, 1/m; all in metres."""
    qx = x + bend * (value2(x / bend_length, y / bend_length, seed) - 0.5)
    qy = y + bend * (value2(x / bend_length, y / bend_length, seed + 1) - 0.5)
    n, gx, gy = value2_gradient(qx / length, qy / length, seed + 2)
    return n - 0.5, math.sqrt(gx * gx + gy * gy) / length


@njit(cache=True, fastmath=True)
def river_level(x: float, y: float, p: np.ndarray) -> tuple[float, float]:
    """A field that is 0 in the middle of rivers, and how steep it is, 1/m."""
    return _winding(x, y, 330.0, 46.0, 110.0, int(p[SEED]) + 81)


@njit(cache=True, fastmath=True)
def path_level(x: float, y: float, p: np.ndarray) -> tuple[float, float]:
    """A field that is 0 in the middle of footpaths, and how steep it is, 1/m."""
    return _winding(x, y, 100.0, 7.0, 23.0, int(p[SEED]) + 61)


@njit(cache=True, fastmath=True)
def ground(x: float, y: float, p: np.ndarray) -> float:
    """Height of the ground in metres above the water plane at (x, y)."""
    if p[HALLS] > 0.0:
        return p[BASE]
    s = int(p[SEED])
    wx = x + 50.0 * (value2(x / 160.0, y / 160.0, s + 1) - 0.5)
    wy = y + 50.0 * (value2(x / 160.0, y / 160.0, s + 2) - 0.5)
    length = p[HILL_LEN]
    h = p[BASE] + p[HILL] * 1.5 * fbm2(wx / length, wy / length, s + 3, 4)
    if p[SEA] > 0.0:
        h += p[SEA] * 2.2 * (value2(wx / 620.0, wy / 620.0, s + 9) - 0.5)
    if p[MOUNT] > 0.0:
        where = smoothstep(0.52, 0.85, value2(x / 1150.0, y / 1150.0, s + 17))
        if where > 0.0:
            h += p[MOUNT] * where * where * (0.15 + ridged2(wx / 760.0, wy / 760.0, s + 23, 5))
    if p[DUNE] > 0.0:
        angle = 0.7 + 5.0 * (value2(x / 900.0, y / 900.0, s + 31) - 0.5)
        along = (0.8 * wx + 0.6 * wy) / 62.0 + 0.35 * angle + 1.7 * value2(x / 95.0, y / 95.0, s + 32)
        u = along - math.floor(along)
        crest = u / 0.72 if u < 0.72 else (1.0 - u) / 0.28
        crest = crest * crest * (3.0 - 2.0 * crest)
        h += p[DUNE] * crest * (0.35 + value2(x / 210.0, y / 210.0, s + 33))
    if p[MESA] > 0.0:
        n = value2(wx / 240.0, wy / 240.0, s + 41) + 0.16 * fbm2(wx / 46.0, wy / 46.0, s + 42, 3)
        big = value2(x / 850.0, y / 850.0, s + 43)
        h += (
            p[MESA]
            * (0.4 + 0.6 * big)
            * (0.5 * smoothstep(0.70, 0.74, n) + 0.12 * smoothstep(0.6, 0.72, n) + 0.38 * smoothstep(0.80, 0.83, n))
        )
    h += 0.7 * (value2(x / 17.0, y / 17.0, s + 51) - 0.5) + 0.25 * (value2(x / 6.0, y / 6.0, s + 52) - 0.5)
    if p[RIVER] > 0.0:  # a valley that widens upwards; where the ground is lower already, it stays
        width = p[RIVER]
        n, slope = river_level(x, y, p)
        d = abs(n) / (slope + 0.0005)
        out = max(0.0, d - 1.4 * width)
        valley = -2.8 + 4.7 * smoothstep(0.5 * width, 1.4 * width, d) + 0.10 * out + 0.0016 * out * out
        k = max(4.0 - abs(h - valley), 0.0) / 4.0
        h = min(h, valley) - k * k
    return h - 0.62 * h * math.exp(-0.12 * h * h)  # shores run out flat


@njit(cache=True, fastmath=True)
def path_distance_m(x: float, y: float, p: np.ndarray) -> float:
    """Distance to the middle of the nearest footpath, metres (about 1e3 where the biome has none)."""
    if p[PATH] <= 0.0:
        return 1000.0
    n, slope = path_level(x, y, p)
    return abs(n) / (slope + 0.0006)


@njit(cache=True, fastmath=True)
def forest(x: float, y: float, p: np.ndarray) -> float:
    """Density of trees in [0, 1]."""
    s = int(p[SEED])
    n = 0.72 * value2(x / 85.0, y / 85.0, s + 71) + 0.28 * value2(x / 27.0, y / 27.0, s + 72)
    return p[FOREST] * smoothstep(0.38, 0.66, n) + 0.07 * p[FOREST]


@njit(cache=True, parallel=True, fastmath=True)
def bake_heights(x0: float, y0: float, step_m: float, n: int, p: np.ndarray) -> np.ndarray:
    """Ground heights (n, n) float32 on the lattice (x0 + i step, y0 + j step), indexed [j, i]."""
    out = np.empty((n, n), np.float32)
    for j in prange(n):
        for i in range(n):
            out[j, i] = ground(x0 + i * step_m, y0 + j * step_m, p)
    return out
