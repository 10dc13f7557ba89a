"""Light inside of a building: through openings above and windows, from lamps, and what walls throw back."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from engine.worlds import objects as ob
from engine.worlds.noise import mix
from engine.worlds.plan import (
    BAY_M,
    BAYS,
    BLOCK_M,
    CHANDELIER_M,
    COURT,
    GREAT,
    LIBRARY,
    ROOF_M,
    VAULTED,
    hung,
    open_above,
    purpose,
    style,
)
from engine.worlds.spec import AMBIENT, BASE, NIGHT, PLASTER, SEED, SUN, SUN_COLOUR

LAMP_COLOUR = (2.2, 1.22, 0.52)
REACHES_M = (0.14, 0.4, 1.0)


@njit(cache=True, fastmath=True)
def nook(x: float, y: float, z: float, nx: float, ny: float, nz: float, floor: float, meta: np.ndarray,
         table: np.ndarray, start: np.ndarray, items: np.ndarray, cells: int, cell_m: float) -> float:  # fmt: skip
    """Share of light from all around that is left in corners and below things, [0, 1]: how near other surfaces come
    along the normal (Evans 2006)."""
    left = 1.0
    for step in range(3):
        reach = REACHES_M[step]
        px = x + reach * nx
        py = y + reach * ny
        pz = z + reach * nz
        near = min(reach, pz - floor)
        i = math.floor((px - meta[0]) / cell_m)
        j = math.floor((py - meta[1]) / cell_m)
        if i >= 0 and j >= 0 and i < cells and j < cells:
            c = j * cells + i
            for k in range(start[c], start[c + 1]):
                o = table[items[k]]
                if pz < o[ob.ZMIN] - reach or pz > o[ob.ZMAX] + reach:
                    continue
                ex = px - o[ob.X]
                ey = py - o[ob.Y]
                far = o[ob.BOUND] + reach
                if ex * ex + ey * ey < far * far:
                    near = min(near, ob.distance(o, px, py, pz, 0.0))
        left -= 0.27 * max(0.0, reach - max(0.0, near)) / reach
    return max(0.12, left)


@njit(cache=True, fastmath=True)
def _from(x: float, y: float, z: float, nx: float, ny: float, nz: float, lx: float, ly: float, lz: float,
          size: float) -> tuple[float, float]:  # fmt: skip
    """How strongly a light at (lx, ly, lz) of that size falls on a surface, and how steeply it comes down."""
    dx = lx - x
    dy = ly - y
    dz = lz - z
    square = dx * dx + dy * dy + dz * dz
    inv = 1.0 / math.sqrt(square + 1e-6)
    facing = (nx * dx + ny * dy + nz * dz) * inv
    soft = max(0.0, (facing + 0.25) / 1.25)
    return soft * soft / (square + size), max(0.0, dz * inv)


@njit(cache=True, fastmath=True)
def light(x: float, y: float, z: float, nx: float, ny: float, nz: float, p: np.ndarray, out: np.ndarray) -> None:
    """What reaches a surface but direct sun, into out (3,), before nooks are darkened."""
    s = int(p[SEED])
    # A surface on the line between two blocks belongs to the side that it looks to.
    bi = math.floor((x + 0.3 * nx) / BLOCK_M)
    bj = math.floor((y + 0.3 * ny) / BLOCK_M)
    what = style(bi, bj, s)
    x0 = bi * BLOCK_M
    y0 = bj * BLOCK_M
    z0 = p[BASE]
    sky = 0.0
    lamp = 0.0
    if what == COURT:
        high = min(1.0, max(0.0, (z - z0) / ROOF_M))
        edge = min(min(x - x0, x0 + BLOCK_M - x), min(y - y0, y0 + BLOCK_M - y))
        sky = (0.55 + 0.45 * nz) * (0.6 + 0.4 * max(high, min(1.0, max(0.0, edge) / 9.0)))
        lamp = 0.04
    else:
        for j in range(BAYS):
            for i in range(BAYS):
                lx = x0 + (i + 0.5) * BAY_M
                ly = y0 + (j + 0.5) * BAY_M
                if open_above(i, j, what):
                    a, down = _from(x, y, z, nx, ny, nz, lx, ly, z0 + ROOF_M, 9.0)
                    sky += a * down * (11.0 if what == VAULTED else 22.0)
                if hung(i, j, what):
                    a, _ = _from(x, y, z, nx, ny, nz, lx, ly, z0 + CHANDELIER_M, 2.5)
                    lamp += 5.0 * a
        if what == GREAT and purpose(bi, bj, s) == LIBRARY:
            lamp *= 1.15
        for side in range(4):
            ox = (1 if side == 0 else -1) if side < 2 else 0
            oy = (1 if side == 2 else -1) if side >= 2 else 0
            if style(bi + ox, bj + oy, s) == COURT:
                far = x0 + BLOCK_M - x if ox > 0 else x - x0
                if oy != 0:
                    far = y0 + BLOCK_M - y if oy > 0 else y - y0
                facing = 0.5 + 0.5 * (nx * ox + ny * oy)
                sky += 0.75 * facing * math.exp(-max(0.0, far) / 7.0)
        sky += 0.10 + 0.03 * nz
        lamp += 0.09 - 0.03 * nz
    burning = max(p[NIGHT], 0.22)
    day = max(0.12, p[SUN + 2])
    grey = (p[AMBIENT] + p[AMBIENT + 1] + p[AMBIENT + 2]) / 3.0
    share = 0.85 if what == COURT else 0.35  # indoors most of it has met a wall before
    sun = (0.5 + day) * (0.25 if p[NIGHT] > 0.9 else 1.0) * (1.0 - 0.45 * nz)
    for k in range(3):
        daylight = mix(grey * (0.55 + 0.6 * p[PLASTER + k]), p[AMBIENT + k], share)
        out[k] = 2.0 * daylight * sky + 0.06 * p[SUN_COLOUR + k] * sun + 1.15 * burning * lamp * LAMP_COLOUR[k]
