"""What surfaces are made of: albedo and relief of the ground, of plants, rocks and buildings."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from engine.worlds import objects as ob
from engine.worlds.noise import hash01, mix, smoothstep, value2, value3
from engine.worlds.paint import fade, paint
from engine.worlds.spec import (
    ACACIA,
    BARK,
    BRIDGE,
    BROADLEAF,
    CACTUS,
    CLIFF,
    CONIFER,
    COTTAGE,
    DUNE,
    FIELDS,
    FLOWERS,
    GATE,
    GRASS,
    GRASS2,
    KEEP,
    LEAF,
    LEAF3,
    LIGHTHOUSE,
    MILL,
    PALM,
    PATH,
    SAND,
    SEED,
    SHRUB,
    SNOW,
    TRACK,
)
from engine.worlds.terrain import forest, path_distance_m


@njit(cache=True, fastmath=True)
def ground_albedo(x: float, y: float, z: float, up: float, f: float, far: bool, p: np.ndarray, c: np.ndarray) -> float:
    """Albedo of the ground into c (3,); returns relief in [-1, 1] that bends the light a little."""
    s = int(p[SEED])
    broad = value2(x / 38.0, y / 38.0, s + 401)
    patch = value2(x / 9.0, y / 9.0, s + 402)
    w1 = fade(1.6, f)
    w2 = fade(0.42, f)
    w3 = fade(0.11, f)
    n1 = (value2(x / 0.8, y / 0.8, s + 403) - 0.5) * w1 if w1 > 0.0 else 0.0
    n2 = (value2(x * 4.7 + 1.3 * n1, y * 4.7, s + 404) - 0.5) * w2 if w2 > 0.0 else 0.0
    n3 = (value2(x * 18.0, y * 18.0, s + 405) - 0.5) * w3 if w3 > 0.0 else 0.0
    q = smoothstep(0.28, 0.72, 0.6 * broad + 0.4 * patch + 0.35 * n1)
    for k in range(3):
        c[k] = mix(p[GRASS + k], p[GRASS2 + k], q)
    relief = 0.9 * n1 + 0.9 * n2 + 0.6 * n3
    gain = 1.0 + 0.22 * n1 + 0.55 * n2 + 0.75 * n3 + 0.5 * (patch - 0.5) * (1.0 - 0.4 * broad)
    sandy = 0.0
    if p[DUNE] > 0.0:
        w = fade(0.9, f)
        bend = 2.2 * value2(x / 3.5, y / 3.5, s + 406)
        ripple = math.sin((0.8 * x + 0.6 * y) * 5.6 + 3.0 * bend) * w
        relief = 0.42 * ripple + 0.3 * n1 + 0.25 * n3
        gain = 1.0 + 0.075 * ripple + 0.10 * n1 + 0.06 * n2 + 0.16 * n3
    elif p[SNOW] > 0.0:
        relief = 0.5 * n1 + 0.35 * n2 + 0.2 * n3
        gain = 1.0 + 0.05 * n1 + 0.05 * n2 + 0.04 * n3
    if p[FIELDS] > 0.0:  # a patchwork of fields
        a = value2(x / 300.0, y / 300.0, s + 411) * 3.0
        ca = math.cos(a)
        sa = math.sin(a)
        u = (ca * x + sa * y) / 46.0
        v = (-sa * x + ca * y) / 64.0
        crop = hash01(math.floor(u), math.floor(v), s + 412)
        fu = u - math.floor(u)
        fv = v - math.floor(v)
        edge = min(min(fu, 1.0 - fu) * 46.0, min(fv, 1.0 - fv) * 64.0)
        inside = smoothstep(1.0, 2.2, edge) * (1.0 - smoothstep(0.14, 0.24, 1.0 - up))
        row = math.sin(u * 46.0 * 5.2) * fade(1.2, f)
        if crop > 0.78:
            paint(c, 0.56, 0.42, 0.09, 0.9 * inside)
            gain *= 1.0 + 0.2 * row * inside
        elif crop > 0.62:
            paint(c, 0.17, 0.115, 0.07, 0.8 * inside)
            gain *= 1.0 + 0.3 * row * inside
        elif crop > 0.5:
            paint(c, 0.24, 0.16, 0.45, 0.75 * inside * (0.6 + 0.4 * row))
    if p[FLOWERS] != 0.0 and not far:
        bloom = smoothstep(0.5, 0.72, value2(x / 21.0, y / 21.0, s + 421))
        if bloom > 0.0:
            if p[FLOWERS] < 0.0:  # heather
                t = bloom * (0.45 + 0.9 * n1 + 0.6 * n2)
                paint(c, 0.26, 0.10, 0.24, min(0.8, max(0.0, t)))
            else:
                u = x / 0.34
                v = y / 0.34
                cell = hash01(math.floor(u), math.floor(v), s + 422)
                w = fade(0.5, f)
                tint = 0.5 * hash01(math.floor(x / 3.3), math.floor(y / 3.3), s + 423)
                tint += 0.5 * value2(x / 14.0, y / 14.0, s + 424)
                fr, fg, fb = 0.85, 0.80, 0.74
                if tint > 0.62:
                    fr, fg, fb = 0.86, 0.58, 0.05
                elif tint < 0.36:
                    fr, fg, fb = 0.72, 0.10, 0.12
                elif tint < 0.45:
                    fr, fg, fb = 0.35, 0.22, 0.72
                if cell < 0.34 * bloom:
                    du = u - math.floor(u) - 0.5
                    dv = v - math.floor(v) - 0.5
                    paint(c, fr, fg, fb, w * smoothstep(0.36, 0.2, math.sqrt(du * du + dv * dv)))
                paint(c, fr, fg, fb, (1.0 - w) * 0.11 * bloom)
    cover = forest(x, y, p)
    if far:
        t = 0.85 * cover * smoothstep(0.8, 3.0, z)
        g = 0.55 + 0.5 * value2(x / 11.0, y / 11.0, s + 431)
        paint(c, p[LEAF + 0] * g, p[LEAF + 1] * g, p[LEAF + 2] * g, t)
    elif p[SNOW] <= 0.0 and p[DUNE] <= 0.0:  # litter under trees
        t = 0.45 * cover * (0.7 + 0.7 * n1)
        paint(c, 0.8 * p[LEAF3] + 0.06, 0.6 * p[LEAF3 + 1] + 0.03, 0.6 * p[LEAF3 + 2], min(0.7, max(0.0, t)))
    rough = value2(x / 5.0, y / 5.0 + z / 3.0, s + 441)
    strata = value2(z / 2.1 + 0.6 * rough, 0.5 + 0.02 * x, s + 442)
    steep = smoothstep(0.20, 0.38, (1.0 - up) + 0.12 * (rough - 0.5) + 0.05 * n1)
    high = smoothstep(85.0, 150.0, z + 40.0 * (broad - 0.5)) if p[SNOW] <= 0.0 else 0.0
    if p[DUNE] > 0.0:
        high = 0.0
    rocky = max(steep, 0.75 * high)
    if rocky > 0.0:
        g = 0.62 + 0.55 * strata + 0.35 * (rough - 0.5) + 0.5 * n1 + 0.35 * n2
        paint(c, p[CLIFF] * g, p[CLIFF + 1] * g, p[CLIFF + 2] * g, rocky)
        gain = mix(gain, 1.0 + 0.3 * n2 + 0.3 * n3, rocky)
    if p[SNOW] <= 0.0 and p[DUNE] <= 0.0:
        white = smoothstep(125.0, 165.0, z + 45.0 * (broad - 0.5)) * smoothstep(0.50, 0.30, 1.0 - up)
        paint(c, 0.84, 0.87, 0.92, white)
        gain = mix(gain, 1.0, white)
    sandy = smoothstep(1.5, 0.7, z + 0.9 * (patch - 0.5) + 0.25 * n1)
    if sandy > 0.0:
        paint(c, p[SAND], p[SAND + 1], p[SAND + 2], sandy)
        gain = mix(gain, 1.0 + 0.14 * n1 + 0.1 * n2 + 0.25 * n3, sandy)
        wet = 1.0 - 0.5 * smoothstep(0.32, 0.08, z)
        gain *= wet
    if p[PATH] > 0.0 and not far:
        d = path_distance_m(x, y, p)
        edge = p[PATH] + 0.5 * (n1 + n2) + 0.35 * (patch - 0.5)
        t = smoothstep(edge + 0.35 + f, edge - 0.35 - f, d) * (1.0 - 0.6 * rocky) * smoothstep(0.1, 0.5, z)
        if t > 0.0:
            g = 0.92 + 0.35 * n1 + 0.3 * n2 + 0.5 * n3
            paint(c, p[TRACK] * g, p[TRACK + 1] * g, p[TRACK + 2] * g, 0.92 * t)
            gain = mix(gain, 1.0, t)
    if p[SNOW] > 0.0:
        relief *= 0.7
    for k in range(3):
        c[k] = max(0.01, c[k] * gain)
    return relief


@njit(cache=True, fastmath=True)
def object_albedo(o: np.ndarray, x: float, y: float, z: float, nx: float, ny: float, nz: float, f: float, p: np.ndarray,
                   c: np.ndarray) -> tuple[float, float, float]:  # fmt: skip
    """Albedo of an object into c (3,); returns (occlusion, light through leaves, glow of windows)."""
    kind = int(o[ob.KIND])
    dx = x - o[ob.X]
    dy = y - o[ob.Y]
    lz = z - o[ob.Z]
    lx = o[ob.COS] * dx + o[ob.SIN] * dy
    ly = -o[ob.SIN] * dx + o[ob.COS] * dy
    h = o[ob.HEIGHT]
    r = o[ob.RADIUS]
    salt = int(o[ob.SALT])
    for k in range(3):
        c[k] = o[ob.RED + k]
    w1 = fade(0.9, f)
    w2 = fade(0.25, f)
    n1 = (value3(lx * 2.2, ly * 2.2, lz * 2.2, salt + 11) - 0.5) * w1 if w1 > 0.0 else 0.0
    n2 = (value3(lx * 8.5, ly * 8.5, lz * 8.5, salt + 12) - 0.5) * w2 if w2 > 0.0 else 0.0
    occlusion = 1.0
    through = 0.0
    glow = 0.0
    rho = math.sqrt(lx * lx + ly * ly)
    leafy = kind in (BROADLEAF, CONIFER, SHRUB, ACACIA, PALM)
    if leafy:
        bark = False
        if kind == BROADLEAF:
            bark = lz < h - 1.55 * r and rho < 0.42 * r
            occlusion = smoothstep(h - 2.3 * r, h - 0.1 * r, lz) * 0.65 + 0.35
        elif kind == CONIFER:
            bark = lz < 0.13 * h and rho < 0.05 * h
            edge = r * max(0.05, 1.0 - lz / h)
            occlusion = 0.35 + 0.65 * smoothstep(0.45, 1.05, rho / edge)
        elif kind == ACACIA:
            bark = lz < h - 0.72 * r
            occlusion = 0.45 + 0.55 * smoothstep(h - 0.8 * r, h - 0.1 * r, lz)
        elif kind == PALM:
            q = min(1.0, max(0.0, lz / h))
            bark = lz < h - 0.05 * r and abs(lx - 0.16 * h * q * q) < 0.4 and abs(ly) < 0.4
            occlusion = 0.7 + 0.3 * smoothstep(h - 0.6 * r, h + 0.3 * r, lz)
        else:
            occlusion = 0.5 + 0.5 * smoothstep(0.0, 0.8 * h, lz)
        if bark:
            ring = value2(math.atan2(ly, lx) * 3.0, lz * (6.0 if kind == PALM else 1.3), salt)
            g = 0.65 + 0.6 * ring + n2
            for k in range(3):
                c[k] = p[BARK + k] * g
            occlusion = 0.55 + 0.3 * smoothstep(0.0, 1.5, lz)
        else:
            g = 1.0 + 0.65 * n1 + 1.25 * n2
            for k in range(3):
                c[k] *= g
            c[0] *= 1.0 + 0.25 * n1 + 0.16 * nz
            c[1] *= 1.0 + 0.08 * nz
            occlusion *= 1.0 + 0.5 * n1 + 0.55 * n2
            through = 0.35
            if kind == PALM:
                through = 0.5
            if p[SNOW] > 0.0:
                t = smoothstep(0.18, 0.55, nz + 0.22 * n1 + 0.15 * n2)
                paint(c, 0.86, 0.9, 0.95, t)
                through *= 1.0 - t
    elif kind == COTTAGE:
        wall = 0.5 * h
        depth = 0.72 * r
        pitch = (h - wall) / (depth + 0.45)
        slant = 1.0 / math.sqrt(1.0 + pitch * pitch)
        top = (lz - h + pitch * abs(ly)) * slant
        is_roof = top > -0.31 and abs(nz) > 0.2
        side = 1.0 if hash01(salt, 4, 4) > 0.5 else -1.0
        stack = abs(lx - side * 0.55 * r) < 0.34 and abs(ly - 0.25 * depth) < 0.34 and top > 0.02
        if stack:
            paint(c, 0.36, 0.2, 0.15, 0.9)
        elif is_roof:
            pick = hash01(salt, 8, 8)
            if p[SEED] >= 0.0 and pick < 0.5:
                paint(c, 0.42, 0.115, 0.06, 1.0)
            elif pick < 0.8:
                paint(c, 0.24, 0.13, 0.08, 1.0)
            else:
                paint(c, 0.12, 0.17, 0.24, 1.0)
            tile = abs(math.sin(abs(ly) * 7.5)) * fade(0.5, f)
            col = hash01(math.floor(lx * 2.2), math.floor(abs(ly) * 2.4), salt)
            for k in range(3):
                c[k] *= 0.78 + 0.3 * tile + 0.3 * (col - 0.5) * fade(0.6, f) + 0.5 * n1
            if p[SNOW] > 0.0:
                paint(c, 0.88, 0.92, 0.97, smoothstep(0.1, 0.4, nz + 0.4 * n1))
        else:
            occlusion = 0.55 + 0.45 * smoothstep(0.0, 1.6, lz)
            occlusion *= 0.62 + 0.38 * smoothstep(0.0, 0.7, wall - lz)
            for k in range(3):
                c[k] *= 1.0 + 0.28 * n1 + 0.2 * n2
            # timber frame and windows
            along = lx if abs(ly) > depth - 0.25 else ly
            span = r if abs(ly) > depth - 0.25 else depth
            u = along / span * 2.5
            cell = math.floor(u + 0.5)
            fu = (u - cell) * span / 2.5
            timber = hash01(salt, 5, 5) < 0.55
            beam = abs(abs(along) - span + 0.12) < 0.14 or abs(lz - wall + 0.12) < 0.13 or lz < 0.25
            if lz > wall:
                fu = along
                cell = 1.0
                vz = lz - wall - 0.9
            else:
                vz = lz - 1.5
            place = abs(cell) < 2.0 and (cell != 0.0 or lz > wall or abs(ly) <= depth - 0.25)
            if place and abs(fu) < 0.46 and abs(vz) < 0.55:
                pane = abs(fu) < 0.36 and abs(vz) < 0.45
                bar = abs(fu) < 0.045 or abs(vz) < 0.045
                if pane and not bar:
                    paint(c, 0.05, 0.07, 0.1, 1.0)
                    glow = 1.0 if hash01(salt, int(cell) + 3, 6) < 0.75 else 0.0
                else:
                    paint(c, 0.30, 0.2, 0.12, 1.0)
            elif abs(lx + 0.15 * r) < 0.56 and ly > depth - 0.25 and lz < 2.1:
                paint(c, 0.20, 0.10, 0.05, 1.0)
            elif timber and beam:
                paint(c, 0.12, 0.07, 0.04, 0.9)
            elif lz < 0.7:
                paint(c, 0.3, 0.28, 0.26, 0.8)
    elif kind == KEEP:
        a = math.atan2(ly, lx)
        level = math.floor(lz / 0.62)
        brick = hash01(math.floor(a * r / 0.9 + 0.5 * (level - 2.0 * math.floor(level * 0.5))), int(level), salt)
        w = fade(1.0, f)
        joint = lz / 0.62 - level
        g = 1.0 + w * (0.35 * (brick - 0.5) - (0.3 if joint < 0.09 else 0.0)) + 0.4 * n1 + 0.3 * n2
        for k in range(3):
            c[k] *= g
        occlusion = 0.6 + 0.4 * smoothstep(0.0, 2.5, lz)
        if hash01(salt, 9, 9) < 0.6 and lz > 0.86 * h + 0.15:
            paint(c, 0.13 + 0.2 * hash01(salt, 6, 6), 0.10, 0.12 + 0.1 * hash01(salt, 7, 7), 1.0)
            g = 0.85 + 0.3 * abs(math.sin(lz * 6.0)) * fade(0.6, f) + 0.4 * n1
            for k in range(3):
                c[k] *= g
            if p[SNOW] > 0.0:
                paint(c, 0.86, 0.9, 0.96, 0.75)
        else:
            u = a * 3.0 / 6.2831853 * 2.0
            q = lz / 4.2
            across = abs(u - math.floor(u) - 0.5) * r * 1.05
            along = abs(q - math.floor(q) - 0.6) * 4.2
            if across < 0.24 and along < 0.7 and 2.0 < lz < 0.8 * h:
                paint(c, 0.03, 0.03, 0.035, 1.0)
                glow = 0.8 if hash01(math.floor(u), math.floor(q), salt) < 0.6 else 0.0
    elif kind == BRIDGE:
        deck = ob.deck_z(lx, h, r)
        if nz > 0.7 and abs(ly) < ob.BRIDGE_HALF_M - 0.1 and lz < deck + 0.1:
            g = 0.85 + 0.4 * n1 + 0.3 * n2
            paint(c, p[TRACK] * g, p[TRACK + 1] * g, p[TRACK + 2] * g, 0.8)
        else:
            level = math.floor((lz - deck) / 0.5)
            u = lx / 0.95 + 0.5 * (level - 2.0 * math.floor(level * 0.5))
            stone = hash01(math.floor(u), int(level), salt)
            joint = (lz - deck) / 0.5 - level
            g = 1.0 + fade(1.0, f) * (0.4 * (stone - 0.5) - (0.25 if joint < 0.1 else 0.0)) + 0.4 * n1 + 0.3 * n2
            for k in range(3):
                c[k] *= g
            paint(c, 0.10, 0.12, 0.06, 0.6 * smoothstep(0.9, 0.1, lz + 0.6 * n1))  # moss at the water
        occlusion = 0.6 + 0.4 * smoothstep(0.0, 1.5, lz)
    elif kind == LIGHTHOUSE:
        band = math.floor(lz / (h / 5.0))
        if band - 2.0 * math.floor(band * 0.5) > 0.5 and lz < h:
            paint(c, 0.62, 0.06, 0.05, 1.0)
        if lz > h + 0.15:
            if lz < h + 1.85:
                paint(c, 0.9, 0.8, 0.5, 1.0)
                glow = 1.6
            else:
                paint(c, 0.5, 0.06, 0.05, 1.0)
        for k in range(3):
            c[k] *= 1.0 + 0.16 * n1 + 0.1 * n2
        occlusion = 0.65 + 0.35 * smoothstep(0.0, 2.0, lz)
    elif kind == MILL:
        if ly > 0.8 * r and (rho > r or lz > h):
            paint(c, 0.75, 0.7, 0.6, 1.0)
        elif lz > h - 0.05:
            paint(c, 0.30, 0.09, 0.06, 1.0)
        else:
            a = math.atan2(ly, lx)
            u = a * 4.0 / 6.2831853 + 0.5
            if abs(u - math.floor(u) - 0.5) < 0.09 and abs(lz - 0.55 * h) < 0.6:
                paint(c, 0.05, 0.05, 0.06, 1.0)
                glow = 1.0
            for k in range(3):
                c[k] *= 1.0 + 0.2 * n1 + 0.1 * n2
        occlusion = 0.6 + 0.4 * smoothstep(0.0, 2.0, lz)
    elif kind == CACTUS:
        a = math.atan2(ly, lx)
        g = 0.85 + 0.25 * math.cos(a * 22.0) * fade(0.3, f) + 0.4 * n2
        for k in range(3):
            c[k] *= g
    else:  # rock
        strata = value2(lz * 1.6 + 0.8 * n1, 0.3, salt)
        g = 0.72 + 0.4 * strata + 0.55 * n1 + 0.4 * n2
        for k in range(3):
            c[k] *= g
        if kind == GATE:
            occlusion = 0.7 + 0.3 * smoothstep(0.0, 4.0, lz)
        else:
            occlusion = 0.5 + 0.5 * smoothstep(0.0, 0.5 * h, lz)
        if p[SNOW] > 0.0:
            paint(c, 0.87, 0.9, 0.95, smoothstep(0.35, 0.6, nz + 0.4 * n1))
        elif p[DUNE] <= 0.0:
            paint(c, 0.13, 0.16, 0.06, 0.55 * smoothstep(0.3, 0.8, nz + 0.8 * n1))
    return min(1.2, max(0.12, occlusion)), through, glow
