"""The sky: a pure function of direction, so that a turned camera sees the same sky."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from engine.worlds.noise import hash01, mix, smoothstep, value2
from engine.worlds.spec import CLOUD, DISC, HORIZON, NIGHT, SEED, SUN, SUN_COLOUR, ZENITH


@njit(cache=True, fastmath=True)
def haze(dx: float, dy: float, dz: float, p: np.ndarray, out: np.ndarray) -> None:
    """Clear-sky radiance without sun disc or clouds into out (3,); also the colour of the fog."""
    up = max(dz, 0.0)
    q = 1.0 - math.exp(-4.2 * up)
    c = max(0.0, dx * p[SUN] + dy * p[SUN + 1] + dz * p[SUN + 2])
    low = 1.0 - smoothstep(0.05, 0.75, p[SUN + 2])
    glow = 0.09 * c**6 + 0.18 * c**40
    wide = low * 0.34 * c * c * math.exp(-5.0 * up)
    dark = 1.0 - 0.25 * low * (1.0 - c) * (1.0 - q)
    for k in range(3):
        base = mix(p[HORIZON + k], p[ZENITH + k], q) * dark
        out[k] = base + p[SUN_COLOUR + k] * (glow + wide) * (0.35 if p[NIGHT] > 0.9 else 0.8)


@njit(cache=True, fastmath=True)
def _cloud(u: float, v: float, seed: int, octaves: int) -> float:
    total = 0.0
    amplitude = 0.5
    for i in range(octaves):
        total += amplitude * value2(u, v, seed + i)
        u, v = 1.7 * u - 1.15 * v + 3.1, 1.15 * u + 1.7 * v + 1.7
        amplitude *= 0.5
    return total


@njit(cache=True, fastmath=True)
def sky(dx: float, dy: float, dz: float, p: np.ndarray, out: np.ndarray, sharp: bool) -> None:
    """Radiance of the sky in unit direction (dx, dy, dz) into out (3,)."""
    haze(dx, dy, dz, p, out)
    s = int(p[SEED])
    c = dx * p[SUN] + dy * p[SUN + 1] + dz * p[SUN + 2]
    if sharp and p[NIGHT] > 0.4 and dz > 0.02:  # stars
        u = math.atan2(dy, dx) * 150.0
        v = math.asin(dz) * 190.0
        cell = hash01(math.floor(u), math.floor(v), s + 301)
        if cell > 0.972:
            fu = u - math.floor(u) - 0.5
            fv = v - math.floor(v) - 0.5
            star = max(0.0, 1.0 - 7.0 * (fu * fu + fv * fv)) * (cell - 0.972) * 30.0 * smoothstep(0.4, 1.0, p[NIGHT])
            for k in range(3):
                out[k] += star * smoothstep(0.02, 0.25, dz) * 0.6
    disc = smoothstep(0.99935, 0.99975, c)
    for k in range(3):
        out[k] += p[DISC + k] * disc * (4.5 if p[NIGHT] < 0.9 else 1.3)
    if dz > 0.01:
        lift = 1.0 / (dz + 0.09)
        u = dx * lift * 1.15 + 17.0
        v = dy * lift * 1.15 - 9.0
        n = _cloud(u, v, s + 311, 5 if sharp else 3)
        cover = 0.60 - 0.20 * p[CLOUD]
        d = smoothstep(cover, cover + 0.17, n)
        if d > 0.0:
            m = _cloud(u + 0.22 * p[SUN], v + 0.22 * p[SUN + 1], s + 311, 3)
            thick = smoothstep(cover - 0.02, cover + 0.30, m)
            rim = max(0.0, c) ** 8
            fade = d * smoothstep(0.01, 0.16, dz) * 0.93
            for k in range(3):
                lit = 0.30 * p[SUN_COLOUR + k] * (1.0 - 0.62 * thick) * (1.0 + 1.2 * rim)
                shade = 0.42 * p[ZENITH + k] + 0.30 * p[HORIZON + k]
                out[k] = mix(out[k], lit + shade, fade)
