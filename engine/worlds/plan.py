"""The plan of an endless building: square blocks of five by five bays, each a vaulted hall, a great hall or a court.

Blocks meet in walls with a portal in the middle of each, so that one looks from hall to hall, and may walk on for ever.
Everything is a pure function of the world's seed and of where a block lies.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from engine.worlds import objects as ob
from engine.worlds.building import ARCH, BLANK, GLAZED, PICTURE, PORTAL, SPRING_M, WALL_HALF_M, WINDOW
from engine.worlds.noise import hash01
from engine.worlds.spec import (
    BASE,
    BOOKCASE,
    BROADLEAF,
    CHAIR,
    CHANDELIER,
    COFFER,
    GRASS,
    HEDGE,
    LAMP,
    LEAF,
    LEAF2,
    MARBLE,
    PANES,
    PILLAR,
    PLASTER,
    POOL,
    POT,
    SEED,
    SHRUB,
    STATUE,
    TABLE,
    VAULT,
    WALL,
    WOOD,
)

BAY_M = 6.0
BAYS = 5
BLOCK_M = BAY_M * BAYS
ROOF_M = 9.4
CHANDELIER_M = 5.2  # above the floor
VAULTED, GREAT, COURT = range(3)
LIBRARY, GALLERY, REFECTORY = range(3)
"""What a great hall is for."""
ROOMS = ((VAULTED, 0), (COURT, 0), (GREAT, LIBRARY), (GREAT, REFECTORY), (GREAT, GALLERY), (VAULTED, 0))
"""All kinds of rooms, in the order of the times of day that suit them."""
KINDS = tuple(dict.fromkeys(ROOMS))
"""The same, each once."""
EYE_M = 1.7


@njit(cache=True, fastmath=True)
def style(bi: int, bj: int, s: int) -> int:
    """What block (bi, bj) is. Courts never share a wall, so that no window looks into another court."""
    pick = hash01(bi, bj, s + 601)
    if (bi + bj) % 2 == 0 and pick < 0.5:
        return COURT
    return VAULTED if pick < 0.72 else GREAT


@njit(cache=True, fastmath=True)
def purpose(bi: int, bj: int, s: int) -> int:
    """What great hall (bi, bj) is for."""
    return int(3.0 * hash01(bi, bj, s + 602))


@njit(cache=True, fastmath=True)
def open_above(i: int, j: int, what: int) -> bool:
    """Whether bay (i, j) of a block of that style has an opening in its vault or ceiling."""
    if what == VAULTED:
        return (i == 1 or i == 3) and (j == 1 or j == 3)
    return (i == 2) != (j == 2) or (i == 2 and j == 2)


@njit(cache=True, fastmath=True)
def hung(i: int, j: int, what: int) -> bool:
    """Whether a chandelier hangs in bay (i, j) of a block of that style."""
    if what == VAULTED:
        return (i == 2 and j % 2 == 0) or (j == 2 and i % 2 == 0)
    return (i == 1 or i == 3) and (j == 1 or j == 3)


@njit(cache=True, fastmath=True)
def wall_kind(k: int, one: int, other: int, salt: float) -> int:
    """What bay k of a wall between blocks of two styles has."""
    if k == 2:
        return PORTAL
    if (one == COURT) != (other == COURT):
        return WINDOW
    if k % 2 == 1 and salt < 0.35:
        return ARCH
    return PICTURE if salt < 0.8 else BLANK


@njit(cache=True, fastmath=True)
def _put(table: np.ndarray, n: int, kind: int, x: float, y: float, z: float, h: float, r: float, d: float, quarter: int,
         salt: int, colour: np.ndarray, slot: int, low: float) -> int:  # fmt: skip
    """A part turned by quarters of a circle; its box begins ``low`` above its foot."""
    count = ob.add(table, n, kind, x, y, z, h, r, 0.0, salt, colour, slot, 1.0)
    if count == n:
        return n
    o = table[n]
    q = quarter % 4
    o[ob.COS] = 1.0 if q == 0 else (-1.0 if q == 2 else 0.0)
    o[ob.SIN] = 1.0 if q == 1 else (-1.0 if q == 3 else 0.0)
    o[ob.DEPTH] = d
    o[ob.BOUND] = math.sqrt(r * r + d * d)
    o[ob.ZMIN] = z + low
    o[ob.ZMAX] = z + h
    return count


@njit(cache=True, fastmath=True)
def _walls(bi: int, bj: int, p: np.ndarray, table: np.ndarray, n: int) -> int:
    """The walls on the low sides of a block; bookcases and figures before them, on both sides."""
    s = int(p[SEED])
    z = p[BASE]
    here = style(bi, bj, s)
    for along in range(2):
        there = style(bi - 1, bj, s) if along else style(bi, bj - 1, s)
        for k in range(BAYS):
            at = (k + 0.5) * BAY_M
            x = bi * BLOCK_M + (0.0 if along else at)
            y = bj * BLOCK_M + (at if along else 0.0)
            ci = 16 * bi + 3 * k + along
            pick = hash01(ci, bj, s + 603)
            what = wall_kind(k, here, there, pick)
            made = GLAZED if what == WINDOW and p[PANES] > 0.0 else what
            salt = 8 * int(1e5 * hash01(ci, bj, s + 604)) + made
            n = _put(table, n, WALL, x, y, z, ROOF_M, 0.5 * BAY_M, WALL_HALF_M, along, salt, p, PLASTER, -0.2)
            if what != BLANK:
                continue
            for side in range(2):
                room = here if side else there
                if room == COURT:
                    continue
                out = (WALL_HALF_M + 0.28) * (1.0 if side else -1.0)
                px = x + (out if along else 0.0)
                py = y + (0.0 if along else out)
                # A front looks along +y, and turned by one quarter along -x.
                quarter = (3 if side else 1) if along else (0 if side else 2)
                if hash01(ci, bj, s + 605 + side) < 0.75:
                    n = _put(table, n, BOOKCASE, px, py, z, 3.5, 2.3, 0.24, quarter, salt + side, p, WOOD, 0.0)
                else:
                    far = 0.45 * (1.0 if side else -1.0)
                    px += far if along else 0.0
                    py += 0.0 if along else far
                    n = _put(table, n, STATUE, px, py, z, 3.05, 0.6, 0.6, quarter, salt + side, p, MARBLE, 0.0)
    return n


@njit(cache=True, fastmath=True)
def _great_hall(bi: int, bj: int, p: np.ndarray, table: np.ndarray, n: int) -> int:
    """What a great hall is furnished with."""
    s = int(p[SEED])
    z = p[BASE]
    x0 = bi * BLOCK_M
    y0 = bj * BLOCK_M
    use = purpose(bi, bj, s)
    turn = 1 if hash01(bi, bj, s + 606) < 0.5 else 0
    for side in range(2):
        lift = 1.0 if side else -1.0
        for k in range(3):
            salt = int(1e5 * hash01(8 * bi + k, 8 * bj + side, s + 607))
            u = 7.5 * (k - 1)
            v = 6.0 * lift
            q = turn
            x = x0 + 15.0 + (v if turn else u)
            y = y0 + 15.0 + (u if turn else v)
            if use == LIBRARY:
                if k == 1:
                    continue
                # Two cases back to back.
                for back in range(2):
                    off = 0.25 if back else -0.25
                    cx = x + (off if turn else 0.0)
                    cy = y + (0.0 if turn else off)
                    face = (3 if back else 1) if turn else (0 if back else 2)
                    n = _put(table, n, BOOKCASE, cx, cy, z, 2.4, 2.3, 0.24, face, salt + back, p, WOOD, 0.0)
            elif use == GALLERY:
                if k == 1:
                    n = _put(table, n, TABLE, x, y, z, 0.46, 1.0, 0.3, q, salt, p, WOOD, 0.0)
                else:
                    n = _put(table, n, STATUE, x, y, z, 3.05, 0.6, 0.6, salt, salt, p, MARBLE, 0.0)
            else:
                n = _put(table, n, TABLE, x, y, z, 0.78, 2.4, 0.55, q, salt, p, WOOD, 0.0)
                for seat in range(6):
                    a = 1.5 * (seat % 3 - 1)
                    b = 0.85 if seat < 3 else -0.85
                    cx = x + (-b if turn else a)
                    cy = y + (a if turn else b)
                    face = (1 if b > 0.0 else 3) if turn else (2 if b > 0.0 else 0)
                    n = _put(table, n, CHAIR, cx, cy, z, 1.0, 0.27, 0.27, face, salt, p, WOOD, 0.0)
    if use == LIBRARY:
        for k in range(4):
            u = 7.5 if k % 2 else -7.5
            v = 2.9 if k < 2 else -2.9
            x = x0 + 15.0 + (v if turn else u)
            y = y0 + 15.0 + (u if turn else v)
            n = _put(table, n, TABLE, x, y, z, 0.76, 1.3, 0.5, turn, k, p, WOOD, 0.0)
            x += 0.0 if turn else 1.75
            y += 1.75 if turn else 0.0
            n = _put(table, n, LAMP, x, y, z, 1.95, 0.36, 0.36, 0, k, p, PLASTER, 0.0)
    return n


@njit(cache=True, fastmath=True)
def _court(bi: int, bj: int, p: np.ndarray, table: np.ndarray, n: int) -> int:
    """A pool, and around it hedges, benches, trees and shrubs in pots."""
    s = int(p[SEED])
    z = p[BASE]
    x = bi * BLOCK_M + 15.0
    y = bj * BLOCK_M + 15.0
    n = _put(table, n, POOL, x, y, z, 0.42, 2.4, 2.4, 0, 1, p, MARBLE, 0.0)
    for k in range(4):
        a = 1.0 if k % 2 else -1.0
        b = 1.0 if k < 2 else -1.0
        salt = int(1e5 * hash01(8 * bi + k, bj, s + 608))
        n = _put(table, n, HEDGE, x + 7.0 * a, y + 2.9 * b, z, 0.95, 3.6, 0.45, 0, salt, p, LEAF, 0.0)
        n = _put(table, n, HEDGE, x + 2.9 * a, y + 7.0 * b, z, 0.95, 3.6, 0.45, 1, salt + 1, p, LEAF, 0.0)
        n = _put(table, n, TABLE, x + 12.4 * a, y + 5.2 * b, z, 0.46, 1.0, 0.28, 1, salt, p, WOOD, 0.0)
        px, py = x + 3.7 * a, y + 12.6 * b
        n = _put(table, n, POT, px, py, z, 0.7, 0.42, 0.42, 0, salt, p, MARBLE, 0.0)
        g = hash01(8 * bi + k, bj, s + 609)
        salt = int(1e5 * hash01(8 * bi + k, bj, s + 610))
        n = ob.add(table, n, BROADLEAF, x + 7.2 * a, y + 7.2 * b, z - 0.1, 6.2 + 1.6 * g, 2.1 + 0.5 * g,
                   6.28 * hash01(salt, 1, 1), salt, p, LEAF + 3 * int(3.0 * g), 1.0)  # fmt: skip
        g = hash01(8 * bi + k + 4, bj, s + 609)
        salt = int(1e5 * hash01(8 * bi + k + 4, bj, s + 610))
        slot = GRASS if g < 0.3 else LEAF2
        n = ob.add(table, n, SHRUB, px, py, z + 0.62, 0.62, 0.55, 6.28 * hash01(salt, 1, 1), salt, p, slot, 1.0)
    return n


@njit(cache=True, fastmath=True)
def furnish(ci0: int, cj0: int, cells: int, p: np.ndarray, table: np.ndarray) -> int:
    """Fill the object table for ``cells`` a side from cell (ci0, cj0), a bay each; returns how many."""
    s = int(p[SEED])
    z = p[BASE]
    n = 0
    count = cells // BAYS + 3
    for bj in range(cj0 // BAYS - 1, cj0 // BAYS - 1 + count):
        for bi in range(ci0 // BAYS - 1, ci0 // BAYS - 1 + count):
            what = style(bi, bj, s)
            x0 = bi * BLOCK_M
            y0 = bj * BLOCK_M
            n = _walls(bi, bj, p, table, n)
            if what == COURT:
                n = _court(bi, bj, p, table, n)
                continue
            for j in range(BAYS):
                for i in range(BAYS):
                    x = x0 + (i + 0.5) * BAY_M
                    y = y0 + (j + 0.5) * BAY_M
                    lit = 1 if open_above(i, j, what) else 0
                    kind = VAULT if what == VAULTED else COFFER
                    low = SPRING_M if what == VAULTED else 7.9
                    half = 0.5 * BAY_M
                    n = _put(table, n, kind, x, y, z, ROOF_M, half, half, 0, lit, p, PLASTER, low)
                    if hung(i, j, what):
                        up = z + CHANDELIER_M - (0.6 if what == VAULTED else 0.0)
                        rod = 2.6 if what == VAULTED else 2.9
                        n = _put(table, n, CHANDELIER, x, y, up, rod, 1.0, 1.0, 0, 0, p, WOOD, 0.0)
                    if what == VAULTED and i > 0 and j > 0:
                        n = _put(table, n, PILLAR, x - half, y - half, z, SPRING_M, 0.5, 0.5, 0, 0, p, MARBLE, 0.0)
            if what == GREAT:
                n = _great_hall(bi, bj, p, table, n)
    return n


def nearest_block(s: int, what: int, use: int) -> tuple[int, int]:
    """The block nearest to the origin that is so, and, if it is a great hall, for that purpose."""
    blocks = sorted(((i, j) for i in range(-9, 10) for j in range(-9, 10)), key=lambda b: (b[0] ** 2 + b[1] ** 2, b))
    for bi, bj in blocks:
        if style(bi, bj, s) == what and (what != GREAT or purpose(bi, bj, s) == use):
            return bi, bj
    raise AssertionError("19 x 19 blocks without one")  # less likely than 1e-12
