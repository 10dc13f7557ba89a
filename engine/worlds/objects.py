"""Signed distances and materials of everything that stands on the ground. Local frame: metres, origin at the foot."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from engine.worlds.building import box, built
from engine.worlds.noise import hash01, value3
from engine.worlds.spec import (
    ACACIA,
    BRIDGE,
    BROADLEAF,
    CACTUS,
    CONIFER,
    COTTAGE,
    GATE,
    KEEP,
    LIGHTHOUSE,
    MENHIR,
    MILL,
    PALM,
    SHRUB,
    WALL,
)

# What is compiled here holds what it calls of building.py as it was when this file last changed: whoever changes a
# shape there touches this line. Last: rows.
_SHAPES = 16
BRIDGE_HALF_M = 1.9
HUMP = 0.4  # a bridge's deck ends so much lower than it is in the middle


def _crown_shapes() -> np.ndarray:
    """Lobes of crowns (shapes, 6, 4): centre and radius in units of the crown's radius, around its middle."""
    rng = np.random.default_rng(20)
    out = np.empty((_SHAPES, 6, 4))
    for n in range(_SHAPES):
        for i in range(6):
            a = 1.0472 * i + rng.uniform(0.0, 1.0)
            off = rng.uniform(0.40, 0.58)
            out[n, i] = off * math.cos(a), off * math.sin(a), rng.uniform(-0.42, 0.53), rng.uniform(0.36, 0.52)
    return out


_LOBES = _crown_shapes()

# Columns of the object table (n, 16).
X, Y, Z, KIND, HEIGHT, RADIUS, COS, SIN, SALT, BOUND, ZMIN, ZMAX, RED, _, _, DEPTH = range(16)
COLUMNS = 16


@njit(cache=True, fastmath=True)
def add(table: np.ndarray, n: int, kind: int, x: float, y: float, z: float, h: float, r: float, turn: float, salt: int,
         colour: np.ndarray, slot: int, gain: float) -> int:  # fmt: skip
    """A row of the object table, and what bounds it; returns how many rows there are then."""
    if n >= table.shape[0]:
        return n
    o = table[n]
    o[X] = x
    o[Y] = y
    o[Z] = z
    o[KIND] = kind
    o[HEIGHT] = h
    o[RADIUS] = r
    o[COS] = math.cos(turn)
    o[SIN] = math.sin(turn)
    o[SALT] = salt
    bound = r * 1.12 + 0.25
    low = z - 0.6
    high = z + h * 1.05 + 0.4
    if kind == PALM:
        bound = 0.16 * h + r
        high = z + h + 0.5 * r
        low = z - 0.5
    elif kind == CACTUS:
        bound = 3.9 * r
    elif kind == COTTAGE:
        bound = 1.25 * r + 0.75
        high = z + h + 1.2
        low = z - 2.5
    elif kind == KEEP:
        bound = 1.4 * r
        high = z + h + 1.8 * r + 1.0
        low = z - 2.5
    elif kind == LIGHTHOUSE:
        high = z + h + 3.3
        low = z - 2.5
    elif kind == MILL:
        bound = max(0.64 * h, r * 1.1)
        high = z + h + 0.25 * r + 0.64 * h
        low = z - 2.5
    elif kind == GATE:
        bound = 1.25 * r
        high = z + 1.35 * h
    elif kind == BRIDGE:
        bound = r + 0.5
        low = z - 3.0
        high = z + h + 0.9
    elif kind == ACACIA:
        bound = 1.15 * r + 0.1 * h
    elif kind == MENHIR:
        bound = 1.6 * r
        high = z + 1.2 * h
    o[BOUND] = bound
    o[ZMIN] = low
    o[ZMAX] = high
    for c in range(3):
        o[RED + c] = colour[slot + c] * gain
    return n + 1


@njit(cache=True, fastmath=True)
def _trunk(x: float, y: float, z: float, top: float, r: float) -> float:
    """Tapered trunk with a flared foot."""
    q = min(1.0, max(0.0, z / top))
    radius = r * (1.0 - 0.55 * q) + 0.6 * r * math.exp(-4.0 * max(z, 0.0) / (top * 0.3 + 0.1))
    return max(math.sqrt(x * x + y * y) - radius, z - top) * 0.9


@njit(cache=True, fastmath=True)
def _crown(x: float, y: float, z: float, h: float, r: float, salt: int, detail: float) -> float:
    """Broad crown: six lobes, roughened by noise. The centre of the crown lies at h - 0.8 r."""
    zc = h - 0.95 * r
    far = math.sqrt(x * x + y * y + (z - zc) * (z - zc))
    if far > 1.6 * r:
        return far - 1.25 * r
    d = math.sqrt(x * x + y * y + (z - zc) * (z - zc) * 1.15) - 0.72 * r
    shape = salt & (_SHAPES - 1)
    for i in range(6):
        lx = x - r * _LOBES[shape, i, 0]
        ly = y - r * _LOBES[shape, i, 1]
        lz = z - zc - r * _LOBES[shape, i, 2]
        e = math.sqrt(lx * lx + ly * ly + lz * lz) - r * _LOBES[shape, i, 3]
        k = 0.12 * r
        m = max(k - abs(d - e), 0.0) / k
        d = min(d, e) - m * m * k * 0.25
    if d > 0.40 * r + 0.2:
        return (d - 0.2 * r - 0.15) * 0.9
    f = 2.8 / r
    d += 0.30 * r * (value3(x * f, y * f, z * f, salt) - 0.55)
    if detail > 0.0 and d < 0.5:
        d += detail * 0.36 * (value3(x * 2.9, y * 2.9, z * 2.9, salt + 1) - 0.5)
    return d * 0.72


@njit(cache=True, fastmath=True)
def _conifer(x: float, y: float, z: float, h: float, r: float, salt: int, detail: float) -> float:
    foot = 0.13 * h
    q = (z - foot) / (h - foot)
    rho = math.sqrt(x * x + y * y)
    if q < -0.12:
        return (foot - 0.07 * h - z) * 0.8
    cone = rho - r * max(0.0, 1.0 - max(q, 0.0))
    if cone > 0.7:
        return (cone - 0.25) * 0.9
    a = math.atan2(y, x)
    tiers = 6.5
    sway = 0.35 * math.sin(a * 5.0 + 6.28 * hash01(salt, 1, 2)) + 0.22 * math.sin(a * 9.0 + z * 0.8)
    u = q * tiers + 0.30 * sway
    u = u - math.floor(u)
    edge = r * max(0.0, 1.0 - max(q, 0.0)) * (1.0 - 0.44 * u) + 0.03
    d = rho - edge
    if detail > 0.0 and d < 0.8:
        d += detail * 0.42 * (value3(x * 2.7, y * 2.7, z * 2.7, salt) - 0.5)
    d = max(d, foot - 0.30 * rho - z + 0.1)
    return max(d * 0.55, (z - h) * 0.8)


@njit(cache=True, fastmath=True)
def _palm(x: float, y: float, z: float, h: float, r: float, salt: int) -> float:
    lean = 0.16 * h
    q = min(1.0, max(0.0, z / h))
    tx = x - lean * q * q
    trunk = max(math.sqrt(tx * tx + y * y) - (0.17 + 0.10 * (1.0 - q) * (1.0 - q)), z - h)
    cx = x - lean
    rho = math.sqrt(cx * cx + y * y)
    n = 9.0
    a = (math.atan2(y, cx) + 0.5 * hash01(salt, 3, 3)) * n / 6.2831853
    leaf = math.floor(a + 0.5)
    side = (a - leaf) * 6.2831853 / n * rho
    u = min(1.0, rho / r)
    lift = 0.55 * hash01(int(leaf) % 9, salt, 4)
    arc = h + r * ((0.45 + lift) * u - (0.85 + lift) * u * u)
    width = 0.46 * math.sin(3.0 * min(1.0, u + 0.06)) + 0.03
    across = max(abs(side) - width, 0.0)
    dz = z - arc + 0.35 * abs(side)
    d = max(math.sqrt(across * across + dz * dz) - 0.09, rho - r)
    nuts = math.sqrt(cx * cx + y * y + (z - h + 0.1) * (z - h + 0.1)) - 0.36
    return min(min(trunk * 0.9, nuts), d * 0.6)


@njit(cache=True, fastmath=True)
def _cactus(x: float, y: float, z: float, h: float, r: float, salt: int) -> float:
    zc = min(max(z, 0.0), h - r)
    a = math.atan2(y, x)
    d = math.sqrt(x * x + y * y + (z - zc) * (z - zc)) - r * (1.0 + 0.07 * math.cos(a * 11.0))
    for i in range(2):
        side = 1.0 if i == 0 else -1.0
        level = h * (0.35 + 0.2 * hash01(salt, i, 1))
        out = r * 3.0
        rise = h * (0.2 + 0.25 * hash01(salt, i, 2))
        px = side * x
        ex = px - min(max(px, 0.0), out)
        d = min(d, math.sqrt(ex * ex + y * y + (z - level) * (z - level)) - 0.62 * r)
        uz = z - min(max(z, level), level + rise)
        ux = px - out
        d = min(d, math.sqrt(ux * ux + y * y + uz * uz) - 0.66 * r)
    return d * 0.9


@njit(cache=True, fastmath=True)
def _cottage(x: float, y: float, z: float, h: float, r: float, salt: int) -> float:
    """Walls 2r x 1.44r, a gable roof along x with eaves, a chimney."""
    wall = 0.5 * h
    depth = 0.72 * r
    body = box(x, y, z - 0.5 * wall + 1.0, r, depth, 0.5 * wall + 1.0)
    pitch = (h - wall) / (depth + 0.45)
    slant = 1.0 / math.sqrt(1.0 + pitch * pitch)
    top = (z - h + pitch * abs(y)) * slant
    roof = max(abs(top + 0.14) - 0.14, max(abs(x) - r - 0.45, abs(y) - depth - 0.5))
    gable = max(max(top, abs(x) - r), max(wall - 0.1 - z, abs(y) - depth))
    side = 1.0 if hash01(salt, 4, 4) > 0.5 else -1.0
    chimney = box(x - side * 0.55 * r, y - 0.25 * depth, z - h + 0.5, 0.32, 0.32, 1.25)
    door = box(x + 0.15 * r, y - depth, z - 1.0, 0.52, 0.1, 1.05)
    return min(min(max(body, -door), roof * 0.9), min(gable, chimney))


@njit(cache=True, fastmath=True)
def _keep(x: float, y: float, z: float, h: float, r: float, salt: int) -> float:
    """Round tower, flared crown with battlements, or a pointed roof for every other one."""
    rho = math.sqrt(x * x + y * y)
    head = 0.86 * h if hash01(salt, 9, 9) < 0.6 else h
    radius = r * (1.08 - 0.12 * min(1.0, max(0.0, z / h)))
    body = max(rho - radius, max(z - head, -2.0 - z))
    ring = max(rho - r * 1.2, max(abs(z - head + 0.5) - 0.75, -1.0))
    if head < h:  # roof
        q = (h + 1.6 * r - z) / (h + 1.6 * r - head)
        roof = max((rho - 1.38 * r * q) * 0.55, head - 0.05 - z)
        return min(min(body, ring), roof)
    a = math.atan2(y, x) * 10.0 / 6.2831853
    gap = abs(a - math.floor(a) - 0.5) * 0.628 * r
    merlon = max(max(rho - r * 1.2, r * 0.86 - rho), max(abs(z - h - 0.9) - 0.75, 0.17 * r - gap))
    return min(min(body, ring), merlon * 0.8)


@njit(cache=True, fastmath=True)
def _lighthouse(x: float, y: float, z: float, h: float, r: float) -> float:
    rho = math.sqrt(x * x + y * y)
    q = min(1.0, max(0.0, z / h))
    body = max(rho - r * (1.0 - 0.45 * q), max(z - h, -2.0 - z)) * 0.95
    deck = max(rho - r * 0.85, abs(z - h) - 0.18)
    lamp = max(rho - r * 0.42, abs(z - h - 0.9) - 0.95)
    cap = max((rho - 0.62 * (h + 3.2 - z) * r * 0.6) * 0.7, max(h + 1.8 - z, z - h - 3.2))
    return min(min(body, deck), min(lamp, cap))


@njit(cache=True, fastmath=True)
def _gate(x: float, y: float, z: float, h: float, r: float, salt: int, rough: float) -> float:
    """Natural arch: a half ring standing in the xz plane."""
    qx = x / r
    qz = z / h
    ring = (math.sqrt(qx * qx + qz * qz) - 0.80) * min(r, h)
    thick = 0.20 * h * (1.0 + 0.35 * abs(qx))
    d = math.sqrt(ring * ring + y * y) - thick
    return (d + rough * (value3(x * 0.35, y * 0.35, z * 0.55, salt) - 0.5)) * 0.7


@njit(cache=True, fastmath=True)
def _mill(x: float, y: float, z: float, h: float, r: float, salt: int) -> float:
    """Windmill: tapered tower, cap, four sails facing +y."""
    rho = math.sqrt(x * x + y * y)
    q = min(1.0, max(0.0, z / h))
    body = max(rho - r * (1.0 - 0.38 * q), max(z - h, -2.0 - z)) * 0.93
    cap = (math.sqrt(rho * rho + 1.3 * max(z - h, 0.0) * max(z - h, 0.0)) - 0.72 * r) * 0.85
    cap = max(cap, h - 0.1 - z)
    hub = h + 0.25 * r
    turn = 0.785 * hash01(salt, 2, 2) + 0.3
    c = math.cos(turn)
    s = math.sin(turn)
    u = c * x + s * (z - hub)
    v = -s * x + c * (z - hub)
    if abs(u) < abs(v):
        u, v = v, u
    u = abs(u)
    dy = y - 0.86 * r
    spar = box(u - 0.5 * h * 0.62, v, dy, 0.31 * h, 0.07, 0.07)
    sail = box(u - 0.36 * h, v - 0.34, dy, 0.25 * h, 0.42, 0.05)
    return min(min(body, cap), min(spar, sail))


@njit(cache=True, fastmath=True)
def _opening(x: float, z: float, a: float, b: float) -> float:
    """Signed distance, a bound, to an ellipse."""
    return (math.sqrt((x / a) * (x / a) + (z / b) * (z / b)) - 1.0) * min(a, b)


@njit(cache=True, fastmath=True)
def deck_z(x: float, h: float, r: float) -> float:
    """Height of a bridge's deck over the water."""
    q = x / r
    return h * (1.0 - HUMP * q * q)


@njit(cache=True, fastmath=True)
def _bridge(x: float, y: float, z: float, h: float, r: float) -> float:
    """Stone bridge along x over water at z = 0, of half length r: one arch, or three if it is long; parapets."""
    deck = deck_z(x, h, r)
    half = BRIDGE_HALF_M
    body = max(max(abs(y) - half, abs(x) - r), max(z - deck, -3.0 - z))
    if r < 10.0:
        arch = _opening(x, z + 0.6, 0.60 * r, h - 0.1)
    else:
        arch = _opening(x, z + 0.6, 0.30 * r, h - 0.1)
        arch = min(arch, _opening(abs(x) - 0.60 * r, z + 0.6, 0.21 * r, 0.84 * h - 0.3))
    wall = max(max(abs(abs(y) - half) - 0.16, abs(x) - r), max(z - deck - 0.75, deck - 0.5 - z))
    return min(max(body, -arch), wall) * 0.8


@njit(cache=True, fastmath=True)
def distance(o: np.ndarray, x: float, y: float, z: float, footprint_m: float) -> float:
    """Signed distance (a safe bound) from world point (x, y, z) to the object with table row o (16,).

    Fine relief fades out where a pixel's footprint_m could not resolve it.
    """
    kind = int(o[KIND])
    dx = x - o[X]
    dy = y - o[Y]
    lz = z - o[Z]
    lx = o[COS] * dx + o[SIN] * dy
    ly = -o[SIN] * dx + o[COS] * dy
    h = o[HEIGHT]
    r = o[RADIUS]
    salt = int(o[SALT])
    if kind >= WALL:
        return built(kind, lx, ly, lz, h, r, o[DEPTH], salt)
    detail = min(1.0, max(0.0, 1.5 - footprint_m * 8.0))
    if kind == BROADLEAF:
        return min(_trunk(lx, ly, lz, h - r, 0.045 * h), _crown(lx, ly, lz, h, r, salt, detail))
    if kind == CONIFER:
        return min(_trunk(lx, ly, lz, 0.4 * h, 0.028 * h), _conifer(lx, ly, lz, h, r, salt, detail))
    if kind == ACACIA:
        lean = 0.07 * h * lz / h
        k = 2.3
        flat = _crown(lx - 0.07 * h, ly, (lz - h) * k + h, h, r, salt, detail) * 0.6
        v = abs(lx - lean) - 0.22 * max(0.0, lz - 0.45 * h)
        branch = max(math.sqrt(v * v + ly * ly) - 0.03 * h * (1.3 - lz / h), lz - h + 0.3 * r)
        return min(branch * 0.85, flat)
    if kind == PALM:
        return _palm(lx, ly, lz, h, r, salt)
    if kind == CACTUS:
        return _cactus(lx, ly, lz, h, r, salt)
    if kind == COTTAGE:
        return _cottage(lx, ly, lz, h, r, salt)
    if kind == KEEP:
        return _keep(lx, ly, lz, h, r, salt)
    if kind == LIGHTHOUSE:
        return _lighthouse(lx, ly, lz, h, r)
    if kind == MILL:
        return _mill(lx, ly, lz, h, r, salt)
    if kind == BRIDGE:
        return _bridge(lx, ly, lz, h, r)
    if kind == GATE:
        return _gate(lx, ly, lz, h, r, salt, 0.22 * h)
    if kind == MENHIR:
        n = value3(lx, ly, lz * 0.7, salt)
        taper = r * (1.0 - 0.3 * lz / h)
        return (box(lx, ly, lz - 0.4 * h, taper, 0.6 * taper, 0.6 * h) + 0.5 * r * (n - 0.5) - 0.1) * 0.75
    if kind == SHRUB:
        qz = lz / (h / r)
        d = (math.sqrt(lx * lx + ly * ly + qz * qz) - 0.8 * r) * 0.7
        if d > 0.5 * r:
            return d - 0.3 * r
        f = 2.4 / r
        d += 0.55 * r * (value3(lx * f, ly * f, lz * f, salt) - 0.5)
        return (d + detail * 0.16 * (value3(lx * 5.0, ly * 5.0, lz * 5.0, salt + 1) - 0.5)) * 0.6
    f = 1.4 / r  # boulder
    qz = lz / (h / r)
    d = math.sqrt(lx * lx + 1.5 * ly * ly + qz * qz) - 0.8 * r
    if d > 0.7 * r:
        return (d - 0.37 * r) * 0.7
    d += 0.6 * r * (value3(lx * f, ly * f, lz * f, salt) - 0.5)
    d += 0.14 * r * (value3(lx * f * 3.1, ly * f * 3.1, lz * f * 3.1, salt + 1) - 0.5)
    return d * 0.55
