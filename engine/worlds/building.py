"""Signed distances of what a building is made of and furnished with. Local frame: metres, origin at the foot's middle.

A part spans +-r along x and +-d along y, and h upwards; its front looks along +y.
"""

from __future__ import annotations

import math

from numba import njit

from engine.worlds.noise import hash01, value3
from engine.worlds.spec import (
    BOOKCASE,
    CHAIR,
    CHANDELIER,
    COFFER,
    HEDGE,
    LAMP,
    PILLAR,
    POOL,
    POT,
    STATUE,
    TABLE,
    VAULT,
    WALL,
)

BLANK, PICTURE, PORTAL, ARCH, WINDOW, GLAZED = range(6)
"""What a piece of wall has, its ``salt`` modulo 8; a glazed window has a pane that ends every ray."""
WALL_HALF_M, PANE_HALF_M = 0.4, 0.07
SPRING_M, VAULT_R_M = 4.6, 2.72  # where vaults spring, and the radius of their barrels
CEILING_M = 8.0
OCULUS_M, LANTERN_M = 0.9, 1.9  # half widths of the openings in vaults and ceilings
SHELF_M = 0.425
TRIM_M = 0.3
PICTURE_Z_M = 3.0


@njit(cache=True, fastmath=True)
def box(x: float, y: float, z: float, hx: float, hy: float, hz: float) -> float:
    """Of a box around the origin with these half sides."""
    qx = abs(x) - hx
    qy = abs(y) - hy
    qz = abs(z) - hz
    ox = max(qx, 0.0)
    oy = max(qy, 0.0)
    oz = max(qz, 0.0)
    return math.sqrt(ox * ox + oy * oy + oz * oz) + min(0.0, max(qx, max(qy, qz)))


@njit(cache=True, fastmath=True)
def opening(x: float, z: float, what: int) -> float:
    """Distance in the plane of a wall to its round-headed opening, negative inside."""
    half, spring, sill = 2.1, 3.5, -9.0
    if what == ARCH:
        half, spring = 1.35, 2.7
    elif what == WINDOW:
        half, spring, sill = 1.05, 4.3, 1.25
    up = max(0.0, z - spring)
    return max(math.sqrt(x * x + up * up) - half, sill - z)


@njit(cache=True, fastmath=True)
def picture_size(salt: int) -> tuple[float, float]:
    """Half width and half height of a picture in its frame."""
    wide = hash01(salt, 3, 1)
    return 0.85 + 0.95 * wide, 1.25 - 0.25 * wide


@njit(cache=True, fastmath=True)
def _wall(x: float, y: float, z: float, h: float, r: float, d: float, salt: int) -> float:
    what = salt & 7
    glazed = what == GLAZED
    if glazed:
        what = WINDOW
    side = abs(y)
    solid = box(x, y, z - 0.5 * h, r, d, 0.5 * h)
    if what >= PORTAL:
        gap = opening(x, z, what)
        solid = max(solid, -gap)
        trim = max(max(gap - TRIM_M, -gap), max(side - d - 0.06, abs(x) - r))
        solid = min(solid, trim)
        if what == WINDOW:
            row = z - math.floor(z / 1.05 + 0.5) * 1.05
            bars = max(min(abs(x), abs(row)) - 0.05, side - PANE_HALF_M)
            if glazed:
                bars = side - PANE_HALF_M
            solid = min(solid, max(bars, gap))
    elif what == PICTURE:
        hw, hh = picture_size(salt)
        solid = min(solid, box(x, side - d, z - PICTURE_Z_M, hw + 0.12, 0.08, hh + 0.12))
    skirt = 0.05 if what != PORTAL and what != ARCH else -0.05
    solid = min(solid, box(x, y, z - 0.22, r, d + skirt, 0.22))
    if what in (PORTAL, ARCH):
        solid = max(solid, -opening(x, z, what))
    return min(solid, box(x, y, z - 7.45, r, d + 0.22 - 0.5 * abs(z - 7.45), 0.3))


@njit(cache=True, fastmath=True)
def _vault(x: float, y: float, z: float, h: float, salt: int) -> float:
    """Groin vault: two barrels of the same radius cross."""
    up = max(0.0, z - SPRING_M)
    one = math.sqrt(x * x + up * up) - VAULT_R_M
    other = math.sqrt(y * y + up * up) - VAULT_R_M
    solid = max(max(-min(one, other), z - h), SPRING_M - z)
    if salt & 1:
        solid = max(solid, OCULUS_M - math.sqrt(x * x + y * y))
    return solid


@njit(cache=True, fastmath=True)
def _coffer(x: float, y: float, z: float, h: float, salt: int) -> float:
    solid = max(CEILING_M - z, z - h)
    if salt & 1:
        bars = max(min(abs(x), abs(y)) - 0.06, abs(z - h + 0.2) - 0.08)
        return min(max(solid, -box(x, y, z - h, LANTERN_M, LANTERN_M, 4.0)), bars)
    return max(solid, -box(abs(x) - 1.5, abs(y) - 1.5, z - CEILING_M, 1.15, 1.15, 0.45))


@njit(cache=True, fastmath=True)
def _pillar(x: float, y: float, z: float, h: float, r: float) -> float:
    rho = math.sqrt(x * x + y * y)
    q = z / h
    shaft = max(rho - 0.36 * (1.0 - 0.12 * q * q), max(z - h, -z)) * 0.95
    foot = box(x, y, z - 0.12, r - 0.02, r - 0.02, 0.12)
    ring = math.sqrt(max(rho - 0.38, 0.0) ** 2 + (z - 0.32) ** 2) - 0.09
    flare = max(rho - 0.30 - 0.28 * max(0.0, (z - h + 0.75) / 0.75), max(z - h + 0.18, h - 0.75 - z)) * 0.85
    slab = box(x, y, z - h + 0.09, r - 0.02, r - 0.02, 0.09)
    return min(min(min(shaft, foot), min(ring, flare)), slab)


@njit(cache=True, fastmath=True)
def _bookcase(x: float, y: float, z: float, h: float, r: float, d: float) -> float:
    body = box(x, y, z - 0.5 * h, r, d, 0.5 * h)
    shelf = math.floor(z / SHELF_M)
    across = abs(z - (shelf + 0.5) * SHELF_M) - 0.5 * SHELF_M + 0.03
    inside = max(max(abs(x) - r + 0.07, across), max(z - h + 0.12, 0.1 - z))
    return max(body, -max(inside, d - 0.07 - y))


@njit(cache=True, fastmath=True)
def _table(x: float, y: float, z: float, h: float, r: float, d: float) -> float:
    top = box(x, y, z - h + 0.035, r, d, 0.035)
    leg = box(abs(x) - r + 0.12, abs(y) - d + 0.1, z - 0.5 * h, 0.045, 0.045, 0.5 * h)
    rail = box(x, abs(y) - d + 0.1, z - h + 0.13, r - 0.12, 0.02, 0.06)
    return min(top, min(leg, rail))


@njit(cache=True, fastmath=True)
def _chair(x: float, y: float, z: float, h: float) -> float:
    seat = box(x, y, z - 0.45, 0.23, 0.23, 0.03)
    leg = box(abs(x) - 0.19, abs(y) - 0.19, z - 0.22, 0.025, 0.025, 0.23)
    post = box(abs(x) - 0.2, y + 0.21, z - 0.5 * h, 0.025, 0.025, 0.5 * h)
    back = box(x, y + 0.21, z - h + 0.16, 0.2, 0.02, 0.16)
    return min(min(seat, leg), min(post, back))


@njit(cache=True, fastmath=True)
def _ellipsoid(x: float, y: float, z: float, a: float, b: float, c: float) -> float:
    k0 = math.sqrt((x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2)
    return (k0 - 1.0) * min(a, min(b, c))


@njit(cache=True, fastmath=True)
def _smooth(a: float, b: float, k: float) -> float:
    m = max(k - abs(a - b), 0.0) / k
    return min(a, b) - 0.25 * m * m * k


@njit(cache=True, fastmath=True)
def _statue(x: float, y: float, z: float, salt: int) -> float:
    """A draped figure on a plinth."""
    plinth = min(box(x, y, z - 0.55, 0.4, 0.4, 0.55), box(x, y, z - 1.1, 0.46, 0.46, 0.06))
    lean = 0.10 * (hash01(salt, 1, 1) - 0.5)
    u = x - lean * (z - 1.1)
    robe = _ellipsoid(u, y, z - 1.65, 0.30, 0.26, 0.85)
    chest = _ellipsoid(u, y, z - 2.25, 0.29, 0.19, 0.38)
    arm = 1.0 if hash01(salt, 2, 1) > 0.5 else -1.0
    raised = _ellipsoid(u - arm * 0.30, y - 0.08, z - 2.45 + 0.3 * abs(u), 0.10, 0.10, 0.42)
    head = math.sqrt((u - lean) ** 2 + y * y + (z - 2.78) ** 2) - 0.16
    figure = _smooth(_smooth(robe, chest, 0.2), _smooth(raised, head, 0.05), 0.12)
    return min(plinth, max(figure, 1.1 - z) * 0.8)


@njit(cache=True, fastmath=True)
def _lamp(x: float, y: float, z: float, h: float) -> float:
    rho = math.sqrt(x * x + y * y)
    pole = max(rho - 0.03, max(z - h, -z))
    foot = max(rho - 0.2, abs(z - 0.03) - 0.03)
    shade = max(rho - 0.30 + 0.35 * (z - h + 0.4), max(z - h, h - 0.42 - z)) * 0.9
    return min(pole, min(foot, shade))


@njit(cache=True, fastmath=True)
def _chandelier(x: float, y: float, z: float, h: float, r: float) -> float:
    """A ring of eight globes; it hangs on a rod."""
    rho = math.sqrt(x * x + y * y)
    ring = math.sqrt((rho - r + 0.2) ** 2 + (z - 0.2) ** 2) - 0.045
    rod = max(rho - 0.03, max(z - h, 0.2 - z))
    spoke = max(min(abs(x), abs(y)) - 0.02, max(rho - r + 0.2, abs(z - 0.2) - 0.02))
    a = math.atan2(y, x) * 8.0 / 6.2831853
    side = (a - math.floor(a) - 0.5) * 0.7853982 * rho
    globe = math.sqrt((rho - r + 0.2) ** 2 + side * side + (z - 0.34) ** 2) - 0.15
    return min(min(ring, rod), min(spoke, globe)) * 0.9


@njit(cache=True, fastmath=True)
def _pool(x: float, y: float, z: float, r: float) -> float:
    """A round basin full of water."""
    rho = math.sqrt(x * x + y * y)
    rim = max(abs(rho - r + 0.2) - 0.17, abs(z - 0.2) - 0.2)
    water = max(rho - r + 0.2, abs(z - 0.13) - 0.14)
    return min(rim, water)


@njit(cache=True, fastmath=True)
def built(kind: int, x: float, y: float, z: float, h: float, r: float, d: float, salt: int) -> float:
    """Signed distance (a safe bound) to a part of a building, whose table row has h, r, d and salt."""
    if kind == WALL:
        return _wall(x, y, z, h, r, d, salt)
    if kind == VAULT:
        return _vault(x, y, z, h, salt)
    if kind == COFFER:
        return _coffer(x, y, z, h, salt)
    if kind == PILLAR:
        return _pillar(x, y, z, h, r)
    if kind == BOOKCASE:
        return _bookcase(x, y, z, h, r, d)
    if kind == TABLE:
        return _table(x, y, z, h, r, d)
    if kind == CHAIR:
        return _chair(x, y, z, h)
    if kind == STATUE:
        return _statue(x, y, z, salt)
    if kind == LAMP:
        return _lamp(x, y, z, h)
    if kind == CHANDELIER:
        return _chandelier(x, y, z, h, r)
    if kind == POOL:
        return _pool(x, y, z, r)
    if kind == POT:
        rho = math.sqrt(x * x + y * y)
        return max(rho - r * (0.72 + 0.24 * z / h), max(z - h, -z)) * 0.9
    assert kind == HEDGE
    body = box(x, y, z - 0.5 * h + 0.08, r - 0.12, d - 0.12, 0.5 * h - 0.08)
    return (body - 0.16 * value3(4.0 * x, 4.0 * y, 4.0 * z, salt)) * 0.7
