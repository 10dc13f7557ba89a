"""Lattice noise as pure functions of position and seed: the only source of randomness in a world.

Scalar numba functions; they are inlined into the kernels that bake, march and shade.
"""

from __future__ import annotations

import math

from numba import njit

_MASK = 0xFFFFFFFF


@njit(cache=True, fastmath=True)
def hash01(ix: int, iy: int, seed: int) -> float:
    """Uniform number in [0, 1) of an integer lattice point and a seed."""
    h = (ix * 374761393 + iy * 668265263 + seed * 974634599) & _MASK
    h = ((h ^ (h >> 15)) * 739982445) & _MASK
    h = ((h ^ (h >> 12)) * 695872825) & _MASK
    return float(h ^ (h >> 15)) * 2.3283064365386963e-10


@njit(cache=True, fastmath=True)
def value2(x: float, y: float, seed: int) -> float:
    """Value noise in [0, 1], lattice spacing 1."""
    fx = math.floor(x)
    fy = math.floor(y)
    ix = int(fx)
    iy = int(fy)
    u = x - fx
    v = y - fy
    u = u * u * u * (u * (u * 6.0 - 15.0) + 10.0)
    v = v * v * v * (v * (v * 6.0 - 15.0) + 10.0)
    a = hash01(ix, iy, seed)
    b = hash01(ix + 1, iy, seed)
    c = hash01(ix, iy + 1, seed)
    d = hash01(ix + 1, iy + 1, seed)
    return (a + (b - a) * u) + ((c + (d - c) * u) - (a + (b - a) * u)) * v


@njit(cache=True, fastmath=True)
def value2_gradient(x: float, y: float, seed: int) -> tuple[float, float, float]:
    """Value noise and its two partial derivatives."""
    fx = math.floor(x)
    fy = math.floor(y)
    ix = int(fx)
    iy = int(fy)
    u = x - fx
    v = y - fy
    su = u * u * u * (u * (u * 6.0 - 15.0) + 10.0)
    sv = v * v * v * (v * (v * 6.0 - 15.0) + 10.0)
    du = 30.0 * u * u * (u * (u - 2.0) + 1.0)
    dv = 30.0 * v * v * (v * (v - 2.0) + 1.0)
    a = hash01(ix, iy, seed)
    b = hash01(ix + 1, iy, seed)
    c = hash01(ix, iy + 1, seed)
    d = hash01(ix + 1, iy + 1, seed)
    k = a - b - c + d
    return a + (b - a) * su + (c - a) * sv + k * su * sv, du * (b - a + k * sv), dv * (c - a + k * su)


@njit(cache=True, fastmath=True)
def value3(x: float, y: float, z: float, seed: int) -> float:
    """Value noise in [0, 1] in three dimensions."""
    fx = math.floor(x)
    fy = math.floor(y)
    fz = math.floor(z)
    ix = int(fx)
    iy = int(fy)
    iz = int(fz)
    u = x - fx
    v = y - fy
    w = z - fz
    u = u * u * (3.0 - 2.0 * u)
    v = v * v * (3.0 - 2.0 * v)
    w = w * w * (3.0 - 2.0 * w)
    s0 = seed + iz * 7919
    s1 = s0 + 7919
    a = hash01(ix, iy, s0)
    b = hash01(ix + 1, iy, s0)
    c = hash01(ix, iy + 1, s0)
    d = hash01(ix + 1, iy + 1, s0)
    lo = (a + (b - a) * u) + ((c + (d - c) * u) - (a + (b - a) * u)) * v
    a = hash01(ix, iy, s1)
    b = hash01(ix + 1, iy, s1)
    c = hash01(ix, iy + 1, s1)
    d = hash01(ix + 1, iy + 1, s1)
    hi = (a + (b - a) * u) + ((c + (d - c) * u) - (a + (b - a) * u)) * v
    return lo + (hi - lo) * w


@njit(cache=True, fastmath=True)
def fbm2(x: float, y: float, seed: int, octaves: int) -> float:
    """Sum of octaves of value noise, centred: about [-1, 1]."""
    total = 0.0
    amplitude = 0.5
    for i in range(octaves):
        total += amplitude * (2.0 * value2(x, y, seed + i * 101) - 1.0)
        x, y = 1.62 * x - 1.18 * y + 11.3, 1.18 * x + 1.62 * y - 7.9  # rotated, so that lattices do not align
        amplitude *= 0.5
    return total


@njit(cache=True, fastmath=True)
def ridged2(x: float, y: float, seed: int, octaves: int) -> float:
    """Ridged noise in [0, 1]: sharp crests, broad valleys."""
    total = 0.0
    amplitude = 0.55
    weight = 1.0
    for i in range(octaves):
        n = 1.0 - abs(2.0 * value2(x, y, seed + i * 211) - 1.0)
        n = n * n * weight
        total += amplitude * n
        weight = min(1.0, max(0.0, n * 1.6))
        x, y = 1.62 * x - 1.18 * y + 5.1, 1.18 * x + 1.62 * y + 3.7
        amplitude *= 0.48
    return total


@njit(cache=True, fastmath=True)
def smoothstep(lo: float, hi: float, x: float) -> float:
    t = min(1.0, max(0.0, (x - lo) / (hi - lo)))
    return t * t * (3.0 - 2.0 * t)


@njit(cache=True, fastmath=True)
def mix(a: float, b: float, t: float) -> float:
    return a + (b - a) * t
