"""What a building's surfaces are made of: stone, plaster, wood, books, pictures, rugs, and the grass of its courts."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from engine.worlds.building import (
    OCULUS_M,
    PICTURE,
    PICTURE_Z_M,
    PORTAL,
    SHELF_M,
    SPRING_M,
    TRIM_M,
    WINDOW,
    opening,
    picture_size,
)
from engine.worlds.noise import hash01, mix, smoothstep, value2, value3
from engine.worlds.paint import fade, paint
from engine.worlds.plan import BLOCK_M, COURT, GREAT, LIBRARY, REFECTORY, purpose, style
from engine.worlds.spec import (
    BOOKCASE,
    CHANDELIER,
    COFFER,
    GRASS,
    GRASS2,
    HEDGE,
    LAMP,
    MARBLE,
    MARBLE2,
    PAINT,
    POOL,
    POT,
    RUG,
    SAND,
    SEED,
    VAULT,
    WALL,
    WOOD,
)

GOLD = (0.62, 0.40, 0.12)


@njit(cache=True, fastmath=True)
def _tiles(x: float, y: float, side_m: float, f: float) -> float:
    """1 on every other square tile, their mean where a pixel's footprint is about as large."""
    u = x / side_m
    v = y / side_m
    odd = (math.floor(u) + math.floor(v)) % 2.0
    return mix(0.5, odd, min(1.0, max(0.0, 1.8 - 2.0 * f / side_m)))


@njit(cache=True, fastmath=True)
def _rug(x: float, y: float, half_x: float, half_y: float, salt: int, f: float, p: np.ndarray, c: np.ndarray) -> None:
    """A rug around the origin, where it lies."""
    edge = min(half_x - abs(x), half_y - abs(y))
    if edge < 0.0:
        return
    pile = 1.0 + 0.25 * (value2(2.3 * x, 2.3 * y, salt) - 0.5)
    grey = 0.25 * (p[RUG] + p[RUG + 1] + p[RUG + 2]) / 3.0
    paint(c, (0.7 * p[RUG] + grey) * pile, (0.7 * p[RUG + 1] + grey) * pile, (0.7 * p[RUG + 2] + grey) * pile, 1.0)
    band = smoothstep(0.16, 0.22, edge) * smoothstep(0.86, 0.80, edge)
    paint(c, 0.10 + 0.2 * p[RUG], 0.08 + 0.2 * p[RUG + 1], 0.07 + 0.2 * p[RUG + 2], 0.9 * band)
    line = max(smoothstep(0.05, 0.03, abs(edge - 0.22)), smoothstep(0.05, 0.03, abs(edge - 0.80)))
    paint(c, 0.50, 0.39, 0.22, 0.8 * line * min(1.0, max(0.0, 1.6 - 6.0 * f)))
    u = x / 1.1
    v = y / 1.1
    diamond = abs(u - math.floor(u) - 0.5) + abs(v - math.floor(v) - 0.5)
    inside = smoothstep(0.9, 0.96, edge) * min(1.0, max(0.0, 1.6 - 2.0 * f))
    paint(
        c,
        0.35 * p[RUG] + 0.02,
        0.35 * p[RUG + 1] + 0.02,
        0.35 * p[RUG + 2] + 0.02,
        0.7 * inside * smoothstep(0.30, 0.27, diamond),
    )
    paint(c, 0.50, 0.39, 0.22, 0.55 * inside * smoothstep(0.14, 0.11, diamond))


@njit(cache=True, fastmath=True)
def floor_albedo(x: float, y: float, f: float, p: np.ndarray, c: np.ndarray) -> None:
    """Albedo of the floor into c (3,): flags in vaulted halls, parquet in great ones, paths and grass in courts."""
    s = int(p[SEED])
    bi = math.floor(x / BLOCK_M)
    bj = math.floor(y / BLOCK_M)
    what = style(int(bi), int(bj), s)
    lx = x - (bi + 0.5) * BLOCK_M
    ly = y - (bj + 0.5) * BLOCK_M
    cloud = value2(x / 1.3, y / 1.3, s + 621) - 0.5
    fine = (value2(x * 3.1, y * 3.1, s + 622) - 0.5) * fade(0.33, f)
    if what == COURT:
        path = min(abs(lx), abs(ly))
        walk = 15.0 - max(abs(lx), abs(ly))
        middle = math.sqrt(lx * lx + ly * ly)
        paved = max(smoothstep(2.25, 2.1, path), max(smoothstep(3.1, 2.95, walk), smoothstep(5.1, 4.95, middle)))
        g = 1.0 + 0.35 * cloud + 0.7 * fine
        for k in range(3):
            c[k] = mix(p[GRASS + k], p[GRASS2 + k], value2(x / 4.0, y / 4.0, s + 623)) * g
        flag = hash01(math.floor(x / 0.75), math.floor(y / 0.75), s + 624) - 0.5
        g = 0.75 * (1.0 + 0.22 * flag * fade(0.75, f) + 0.2 * cloud + 0.3 * fine)
        paint(c, p[SAND] * g, p[SAND + 1] * g, p[SAND + 2] * g, paved)
    elif what == GREAT:
        u = x / 0.9
        v = y / 0.9
        odd = (math.floor(u) + math.floor(v)) % 2.0
        plank = hash01(math.floor(4.0 * u), math.floor(v), s + 625)
        grain = value2(x * 1.5, y * 9.0, s + 626) - 0.5
        if odd > 0.5:
            plank = hash01(math.floor(u), math.floor(4.0 * v), s + 625)
            grain = value2(x * 9.0, y * 1.5, s + 626) - 0.5
        g = 2.3 * (1.0 + (0.35 * (plank - 0.5) + 0.12 * (odd - 0.5)) * fade(0.5, f) + 0.3 * grain * fade(0.2, f))
        for k in range(3):
            c[k] = p[WOOD + k] * g * (1.0 + 0.1 * cloud)
        use = purpose(int(bi), int(bj), s)
        salt = s + int(bi) * 31 + int(bj)
        if use == LIBRARY:
            _rug(lx, ly, 9.0, 9.0, salt, f, p, c)
        elif use == REFECTORY:
            _rug(lx, ly, 11.5, 3.0, salt, f, p, c)
            _rug(ly, lx, 2.0, 14.0, salt, f, p, c)
        else:
            _rug(lx, ly, 6.0, 6.0, salt, f, p, c)
    else:
        bay = max(abs(lx), abs(ly))
        dark = _tiles(lx + ly, lx - ly, 1.7, f)
        border = min(abs(lx - 6.0 * math.floor(lx / 6.0 + 0.5) + 3.0), abs(ly - 6.0 * math.floor(ly / 6.0 + 0.5) + 3.0))
        border = 6.0 * min(abs(lx / 6.0 - math.floor(lx / 6.0) - 0.5), abs(ly / 6.0 - math.floor(ly / 6.0) - 0.5))
        vein = smoothstep(0.06, 0.0, abs(value2(x / 0.9 + cloud, y / 0.9, s + 627) - 0.5)) * fade(0.4, f)
        dark = mix(dark, 1.0, smoothstep(0.42, 0.40, border))
        dark = mix(dark, 0.0, smoothstep(13.2, 13.3, bay))
        for k in range(3):
            stone = mix(p[MARBLE + k], p[MARBLE2 + k], dark) * (1.0 + 0.16 * cloud)
            c[k] = stone * (1.0 + 0.25 * vein * (dark - 0.4))


@njit(cache=True, fastmath=True)
def _canvas(u: float, v: float, salt: int, f: float, c: np.ndarray) -> None:
    """A landscape in oils; u, v in [-1, 1], v upwards."""
    tone = hash01(salt, 5, 2)
    dusk = hash01(salt, 7, 2)
    ridge = 0.35 * (value2(2.2 * u + 9.0, 0.5, salt) - 0.5) + 0.15 * (hash01(salt, 6, 2) - 0.5)
    near = -0.45 + 0.5 * (value2(1.6 * u + 3.0, 0.5, salt + 1) - 0.5)
    c[0], c[1], c[2] = mix(0.20, 0.62, dusk), mix(0.32, 0.36, dusk), mix(0.46, 0.20, dusk)
    glow = smoothstep(1.1, 0.0, abs(v - ridge - 0.1)) * smoothstep(1.5, 0.1, abs(u - 0.8 * (tone - 0.5)))
    paint(c, 0.80, 0.66, 0.40, 0.85 * glow)
    w = 0.04 + 2.0 * f
    paint(c, mix(0.10, 0.20, dusk), mix(0.16, 0.10, dusk), 0.16, smoothstep(ridge + w, ridge - w, v))
    paint(c, mix(0.09, 0.20, tone), mix(0.14, 0.11, tone), 0.04, smoothstep(near + w, near - w, v))
    if tone > 0.5:  # a sail on a sea
        paint(c, 0.10, 0.20, 0.24, smoothstep(near + w, near - w, v))
        sail = abs(u - 1.2 * (dusk - 0.5)) * 2.6 + (v - near)
        paint(c, 0.75, 0.70, 0.60, smoothstep(0.42 + w, 0.42 - w, sail) * smoothstep(near - w, near + w, v))
    g = 1.0 + 0.5 * (value2(6.0 * u, 6.0 * v, salt + 2) - 0.5)
    for k in range(3):
        c[k] *= g


@njit(cache=True, fastmath=True)
def _books(x: float, z: float, salt: int, f: float, c: np.ndarray) -> None:
    """The backs of books on a shelf; here and there a gap."""
    shelf = math.floor(z / SHELF_M)
    up = z - shelf * SHELF_M - 0.03
    u = x / 0.085 + 7.0 * hash01(int(shelf), salt, 631)
    book = math.floor(u)
    run = math.floor(u / 6.0)
    pick = hash01(int(book), int(shelf) + 17 * salt, 632)
    shared = hash01(int(run), int(shelf) + 17 * salt, 633)
    tone = mix(shared, pick, 0.45)
    r, g, b = 0.30, 0.09, 0.06
    if tone > 0.78:
        r, g, b = 0.10, 0.16, 0.11
    elif tone > 0.60:
        r, g, b = 0.09, 0.12, 0.22
    elif tone > 0.44:
        r, g, b = 0.42, 0.30, 0.14
    elif tone < 0.16:
        r, g, b = 0.55, 0.48, 0.36
    tall = 0.24 + 0.09 * mix(shared, pick, 0.6)
    t = fade(0.17, f) / 0.6
    g0 = 1.0 + t * 0.5 * (pick - 0.5)
    edge = abs(u - book - 0.5)
    g0 *= 1.0 - 0.55 * t * smoothstep(0.34, 0.5, edge)
    c[0], c[1], c[2] = r * g0, g * g0, b * g0
    paint(c, GOLD[0], GOLD[1], GOLD[2], 0.55 * t * (pick > 0.55) * smoothstep(0.02, 0.012, abs(up - 0.6 * tall)))
    paint(c, 0.035, 0.025, 0.018, smoothstep(tall - 0.012 - f, tall + 0.012 + f, up))
    if shared > 0.93:
        paint(c, 0.03, 0.022, 0.016, 0.85)


@njit(cache=True, fastmath=True)
def _wall_albedo(x: float, y: float, z: float, h: float, d: float, salt: int, n1: float, f: float, p: np.ndarray,
                 c: np.ndarray) -> None:  # fmt: skip
    what = salt & 7
    gap = opening(x, z, what) if what >= PORTAL else 9.0
    w = 0.01 + f
    g = 1.0 + 0.14 * n1 + 0.10 * (value2(x / 2.6, z / 2.6, salt) - 0.5)
    for k in range(3):
        c[k] *= g
    # A painted dado, and a line above it.
    dado = smoothstep(1.32 + w, 1.32 - w, z)
    paint(c, 0.72 * p[PAINT] + 0.05, 0.72 * p[PAINT + 1] + 0.05, 0.72 * p[PAINT + 2] + 0.05, 0.85 * dado)
    paint(c, GOLD[0], GOLD[1], GOLD[2], 0.8 * smoothstep(0.05 + w, 0.05 - w, abs(z - 1.36)))
    stone = max(smoothstep(TRIM_M + w, TRIM_M - w, gap), smoothstep(0.44 + w, 0.44 - w, z))
    stone = max(stone, smoothstep(0.33 + w, 0.33 - w, abs(z - 7.45)))
    joint = abs(z / 0.8 - math.floor(z / 0.8) - 0.5)
    g = 0.86 + 0.2 * n1 - 0.2 * smoothstep(0.46, 0.5, joint) * fade(0.3, f)
    paint(c, p[MARBLE] * g, p[MARBLE + 1] * g, p[MARBLE + 2] * g, stone)
    if what == WINDOW and gap < 0.0 and abs(y) < 0.09:
        paint(c, 0.10, 0.075, 0.05, 1.0)
    if what == PICTURE and abs(y) > d + 0.01:
        hw, hh = picture_size(salt)
        u = x if y > 0.0 else -x
        v = z - PICTURE_Z_M
        edge = max(abs(u) - hw, abs(v) - hh)
        if edge < 0.125:
            if edge < 0.0:
                _canvas(u / hw, v / hh, salt + (1 if y > 0.0 else 0), f, c)
            else:
                g = 0.75 + 0.5 * smoothstep(0.0, 0.1, edge)
                paint(c, GOLD[0] * g, GOLD[1] * g, GOLD[2] * g, 1.0)


@njit(cache=True, fastmath=True)
def finish(kind: int, x: float, y: float, z: float, h: float, r: float, d: float, salt: int, f: float, p: np.ndarray,
           c: np.ndarray) -> float:  # fmt: skip
    """Albedo of a part of a building into c (3,), which holds its row's colour; local frame. Returns how it glows."""
    w1 = fade(0.9, f)
    n1 = (value3(x * 2.2, y * 2.2, z * 2.2, salt + 11) - 0.5) * w1 if w1 > 0.0 else 0.0
    grain = value3(x * 1.5, y * 9.0, z * 9.0, salt + 12) - 0.5
    rho = math.sqrt(x * x + y * y)
    w = 0.01 + f
    if kind == WALL:
        _wall_albedo(x, y, z, h, d, salt, n1, f, p, c)
    elif kind == VAULT:
        rib = abs(abs(x) - abs(y))
        across = max(abs(x), abs(y))
        up = smoothstep(SPRING_M + 0.4, SPRING_M + 2.4, z)
        paint(c, p[PAINT], p[PAINT + 1], p[PAINT + 2], 0.75 * up)
        u = math.floor(x / 0.55)
        v = math.floor(y / 0.55)
        if hash01(int(u), int(v), salt + 641) < 0.5:
            star = math.sqrt((x / 0.55 - u - 0.5) ** 2 + (y / 0.55 - v - 0.5) ** 2)
            paint(c, GOLD[0], GOLD[1], GOLD[2], fade(0.5, f) / 0.6 * up * smoothstep(0.2, 0.14, star))
        stone = max(smoothstep(0.15 + w, 0.15 - w, rib), smoothstep(2.6 - w, 2.6 + w, across))
        if salt & 1:
            stone = max(stone, smoothstep(OCULUS_M + 0.28 + w, OCULUS_M + 0.28 - w, rho))
        g = 0.9 + 0.25 * n1
        paint(c, p[MARBLE] * g, p[MARBLE + 1] * g, p[MARBLE + 2] * g, stone)
    elif kind == COFFER:
        deep = smoothstep(8.02, 8.1, z)
        rim = max(abs(abs(x) - 1.5), abs(abs(y) - 1.5))
        paint(c, 0.8 * p[PAINT] + 0.04, 0.8 * p[PAINT + 1] + 0.04, 0.8 * p[PAINT + 2] + 0.04,
              0.8 * smoothstep(8.3, 8.42, z) * (1.0 - (salt & 1)))  # fmt: skip
        paint(
            c,
            GOLD[0],
            GOLD[1],
            GOLD[2],
            0.7 * (1.0 - deep) * (1.0 - (salt & 1)) * smoothstep(0.06 + w, 0.06 - w, abs(rim - 1.22)),
        )
        paint(c, 0.9 * p[WOOD], 0.9 * p[WOOD + 1], 0.9 * p[WOOD + 2],
              (1.0 - deep) * smoothstep(2.78 - w, 2.78 + w, max(abs(x), abs(y))))  # fmt: skip
        if salt & 1 and z > h - 0.35 and min(abs(x), abs(y)) < 0.08:
            paint(c, 0.08, 0.07, 0.06, 1.0)
    elif kind == BOOKCASE:
        back = y < d - 0.03 and y > d - 0.1 and abs(x) < r - 0.065 and z > 0.1 and z < h - 0.12
        if back:
            _books(x, z, salt, f, c)
        else:
            g = 0.8 + 0.4 * grain * fade(0.2, f)
            for k in range(3):
                c[k] *= g
    elif kind in (CHANDELIER, LAMP):
        paint(c, 0.30, 0.20, 0.08, 1.0)
        if (kind == LAMP and z > h - 0.43 and rho > 0.06) or (kind == CHANDELIER and z < 0.6 and z > 0.26):
            paint(c, 0.9, 0.75, 0.5, 1.0)
            return 1.0
    elif kind == POOL:
        g = 0.85 + 0.3 * n1
        for k in range(3):
            c[k] *= g
        if rho < r - 0.36 and z < 0.3:
            g = 0.8 + 0.5 * (value2(1.7 * x, 1.7 * y, salt) - 0.5)
            paint(c, 0.05 * g, 0.17 * g, 0.19 * g, 1.0)
            u = math.floor(x / 0.62)
            v = math.floor(y / 0.62)
            leaf = math.sqrt((x / 0.62 - u - 0.5) ** 2 + (y / 0.62 - v - 0.5) ** 2)
            if hash01(int(u), int(v), salt + 651) < 0.3 * (rho > 0.45 * r):  # water lilies
                paint(c, 0.09, 0.22, 0.07, smoothstep(0.44, 0.38, leaf))
    elif kind == HEDGE:
        g = 0.95 + 1.1 * (value3(6.0 * x, 6.0 * y, 6.0 * z, salt + 2) - 0.5) * fade(0.25, f) / 0.6 + 0.3 * n1
        for k in range(3):
            c[k] *= g
    elif kind == POT:
        paint(c, 0.36, 0.15, 0.08, 0.85)
    else:  # carved stone, or carpentry
        g = 0.95 + 0.25 * n1 + 0.15 * grain * fade(0.2, f)
        for k in range(3):
            c[k] *= g
    return 0.0
