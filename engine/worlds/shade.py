"""Light and material at a hit point; the kernel that renders a frame."""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from engine.worlds import objects as ob
from engine.worlds.bake import FAR_STEP_M, STEP_M
from engine.worlds.march import FAR_GROUND, FAR_M, GROUND, OBJECT, SKY, WATER, lattice, sunlight, trace
from engine.worlds.noise import hash01, mix, smoothstep, value2, value3
from engine.worlds.sky import haze, sky
from engine.worlds.spec import (
    ACACIA,
    AMBIENT,
    BARK,
    BOUNCE,
    BROADLEAF,
    CACTUS,
    CLIFF,
    CONIFER,
    COTTAGE,
    DUNE,
    EXPOSURE,
    FIELDS,
    FLOWERS,
    FOG,
    GATE,
    GRASS,
    GRASS2,
    ICE,
    KEEP,
    LEAF,
    LEAF3,
    LIGHTHOUSE,
    MILL,
    NIGHT,
    PALM,
    PATH,
    SAND,
    SEED,
    SHRUB,
    SNOW,
    SUN,
    SUN_COLOUR,
    TRACK,
)
from engine.worlds.spec import WATER as WATER_COLOUR
from engine.worlds.terrain import forest, path_distance_m


@njit(cache=True, inline="always")
def _fade(wavelength_m: float, footprint_m: float) -> float:
    """Weight of a texture octave: full where a wave spans several pixels, 0 well before it could alias.

    Texture is kept calm and broad: what is finer than a few pixels a latent token of 8 x 8 pixels cannot carry from view to view.
    """
    return 0.6 * min(1.0, max(0.0, 1.6 - 8.0 * footprint_m / wavelength_m))


@njit(cache=True, fastmath=True)
def _paint(c: np.ndarray, r: float, g: float, b: float, t: float) -> None:
    c[0] += (r - c[0]) * t
    c[1] += (g - c[1]) * t
    c[2] += (b - c[2]) * t


@njit(cache=True, fastmath=True)
def _ground_albedo(x: float, y: float, z: float, up: float, f: float, far: bool, p: np.ndarray, c: np.ndarray) -> float:
    """Albedo of the ground into c (3,); returns relief in [-1, 1] that bends the light a little."""
    s = int(p[SEED])
    broad = value2(x / 38.0, y / 38.0, s + 401)
    patch = value2(x / 9.0, y / 9.0, s + 402)
    w1 = _fade(1.6, f)
    w2 = _fade(0.42, f)
    w3 = _fade(0.11, f)
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
        w = _fade(0.9, f)
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
        crop = hash01(int(math.floor(u)), int(math.floor(v)), s + 412)
        edge = min(min(u - math.floor(u), 1.0 - u + math.floor(u)) * 46.0, min(v - math.floor(v), 1.0 - v + math.floor(v)) * 64.0)
        inside = smoothstep(1.0, 2.2, edge) * (1.0 - smoothstep(0.14, 0.24, 1.0 - up))
        row = math.sin(u * 46.0 * 5.2) * _fade(1.2, f)
        if crop > 0.78:
            _paint(c, 0.56, 0.42, 0.09, 0.9 * inside)
            gain *= 1.0 + 0.2 * row * inside
        elif crop > 0.62:
            _paint(c, 0.17, 0.115, 0.07, 0.8 * inside)
            gain *= 1.0 + 0.3 * row * inside
        elif crop > 0.5:
            _paint(c, 0.24, 0.16, 0.45, 0.75 * inside * (0.6 + 0.4 * row))
    if p[FLOWERS] != 0.0 and not far:
        bloom = smoothstep(0.5, 0.72, value2(x / 21.0, y / 21.0, s + 421))
        if bloom > 0.0:
            if p[FLOWERS] < 0.0:  # heather
                t = bloom * (0.45 + 0.9 * n1 + 0.6 * n2)
                _paint(c, 0.26, 0.10, 0.24, min(0.8, max(0.0, t)))
            else:
                u = x / 0.34
                v = y / 0.34
                cell = hash01(int(math.floor(u)), int(math.floor(v)), s + 422)
                w = _fade(0.5, f)
                tint = hash01(int(math.floor(x / 3.3)), int(math.floor(y / 3.3)), s + 423) * 0.5 + 0.5 * value2(x / 14.0, y / 14.0, s + 424)
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
                    _paint(c, fr, fg, fb, w * smoothstep(0.36, 0.2, math.sqrt(du * du + dv * dv)))
                _paint(c, fr, fg, fb, (1.0 - w) * 0.11 * bloom)
    cover = forest(x, y, p)
    if far:
        t = 0.85 * cover * smoothstep(0.8, 3.0, z)
        g = 0.55 + 0.5 * value2(x / 11.0, y / 11.0, s + 431)
        _paint(c, p[LEAF + 0] * g, p[LEAF + 1] * g, p[LEAF + 2] * g, t)
    elif p[SNOW] <= 0.0 and p[DUNE] <= 0.0:  # litter under trees
        t = 0.45 * cover * (0.7 + 0.7 * n1)
        _paint(c, 0.8 * p[LEAF3] + 0.06, 0.6 * p[LEAF3 + 1] + 0.03, 0.6 * p[LEAF3 + 2], min(0.7, max(0.0, t)))
    rough = value2(x / 5.0, y / 5.0 + z / 3.0, s + 441)
    strata = value2(z / 2.1 + 0.6 * rough, 0.5 + 0.02 * x, s + 442)
    steep = smoothstep(0.20, 0.38, (1.0 - up) + 0.12 * (rough - 0.5) + 0.05 * n1)
    high = smoothstep(85.0, 150.0, z + 40.0 * (broad - 0.5)) if p[SNOW] <= 0.0 else 0.0
    if p[DUNE] > 0.0:
        high = 0.0
    rocky = max(steep, 0.75 * high)
    if rocky > 0.0:
        g = 0.62 + 0.55 * strata + 0.35 * (rough - 0.5) + 0.5 * n1 + 0.35 * n2
        _paint(c, p[CLIFF] * g, p[CLIFF + 1] * g, p[CLIFF + 2] * g, rocky)
        gain = mix(gain, 1.0 + 0.3 * n2 + 0.3 * n3, rocky)
    if p[SNOW] <= 0.0 and p[DUNE] <= 0.0:
        white = smoothstep(125.0, 165.0, z + 45.0 * (broad - 0.5)) * smoothstep(0.50, 0.30, 1.0 - up)
        _paint(c, 0.84, 0.87, 0.92, white)
        gain = mix(gain, 1.0, white)
    sandy = smoothstep(1.5, 0.7, z + 0.9 * (patch - 0.5) + 0.25 * n1)
    if sandy > 0.0:
        _paint(c, p[SAND], p[SAND + 1], p[SAND + 2], sandy)
        gain = mix(gain, 1.0 + 0.14 * n1 + 0.1 * n2 + 0.25 * n3, sandy)
        wet = 1.0 - 0.5 * smoothstep(0.32, 0.08, z)
        gain *= wet
    if p[PATH] > 0.0 and not far:
        d = path_distance_m(x, y, p)
        edge = p[PATH] + 0.5 * (n1 + n2) + 0.35 * (patch - 0.5)
        t = smoothstep(edge + 0.35 + f, edge - 0.35 - f, d) * (1.0 - 0.6 * rocky) * smoothstep(0.1, 0.5, z)
        if t > 0.0:
            g = 0.92 + 0.35 * n1 + 0.3 * n2 + 0.5 * n3
            _paint(c, p[TRACK] * g, p[TRACK + 1] * g, p[TRACK + 2] * g, 0.92 * t)
            gain = mix(gain, 1.0, t)
    if p[SNOW] > 0.0:
        relief *= 0.7
    for k in range(3):
        c[k] = max(0.01, c[k] * gain)
    return relief


@njit(cache=True, fastmath=True)
def _object_albedo(o: np.ndarray, x: float, y: float, z: float, nx: float, ny: float, nz: float, f: float, p: np.ndarray,
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
    w1 = _fade(0.9, f)
    w2 = _fade(0.25, f)
    n1 = (value3(lx * 2.2, ly * 2.2, lz * 2.2, salt + 11) - 0.5) * w1 if w1 > 0.0 else 0.0
    n2 = (value3(lx * 8.5, ly * 8.5, lz * 8.5, salt + 12) - 0.5) * w2 if w2 > 0.0 else 0.0
    occlusion = 1.0
    through = 0.0
    glow = 0.0
    rho = math.sqrt(lx * lx + ly * ly)
    leafy = kind == BROADLEAF or kind == CONIFER or kind == SHRUB or kind == ACACIA or kind == PALM
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
                _paint(c, 0.86, 0.9, 0.95, t)
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
            _paint(c, 0.36, 0.2, 0.15, 0.9)
        elif is_roof:
            pick = hash01(salt, 8, 8)
            if p[SEED] >= 0.0 and pick < 0.5:
                _paint(c, 0.42, 0.115, 0.06, 1.0)
            elif pick < 0.8:
                _paint(c, 0.24, 0.13, 0.08, 1.0)
            else:
                _paint(c, 0.12, 0.17, 0.24, 1.0)
            tile = abs(math.sin(abs(ly) * 7.5)) * _fade(0.5, f)
            col = hash01(int(math.floor(lx * 2.2)), int(math.floor(abs(ly) * 2.4)), salt)
            for k in range(3):
                c[k] *= 0.78 + 0.3 * tile + 0.3 * (col - 0.5) * _fade(0.6, f) + 0.5 * n1
            if p[SNOW] > 0.0:
                _paint(c, 0.88, 0.92, 0.97, smoothstep(0.1, 0.4, nz + 0.4 * n1))
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
            win = abs(fu) < 0.46 and abs(vz) < 0.55 and abs(cell) < 2.0 and (cell != 0.0 or lz > wall or abs(ly) <= depth - 0.25)
            if win:
                pane = abs(fu) < 0.36 and abs(vz) < 0.45
                bar = abs(fu) < 0.045 or abs(vz) < 0.045
                if pane and not bar:
                    _paint(c, 0.05, 0.07, 0.1, 1.0)
                    glow = 1.0 if hash01(salt, int(cell) + 3, 6) < 0.75 else 0.0
                else:
                    _paint(c, 0.30, 0.2, 0.12, 1.0)
            elif abs(lx + 0.15 * r) < 0.56 and ly > depth - 0.25 and lz < 2.1:
                _paint(c, 0.20, 0.10, 0.05, 1.0)
            elif timber and beam:
                _paint(c, 0.12, 0.07, 0.04, 0.9)
            elif lz < 0.7:
                _paint(c, 0.3, 0.28, 0.26, 0.8)
    elif kind == KEEP:
        a = math.atan2(ly, lx)
        level = math.floor(lz / 0.62)
        brick = hash01(int(math.floor(a * r / 0.9 + 0.5 * (level - 2.0 * math.floor(level * 0.5)))), int(level), salt)
        w = _fade(1.0, f)
        joint = lz / 0.62 - level
        g = 1.0 + w * (0.35 * (brick - 0.5) - (0.3 if joint < 0.09 else 0.0)) + 0.4 * n1 + 0.3 * n2
        for k in range(3):
            c[k] *= g
        occlusion = 0.6 + 0.4 * smoothstep(0.0, 2.5, lz)
        if hash01(salt, 9, 9) < 0.6 and lz > 0.86 * h + 0.15:
            _paint(c, 0.13 + 0.2 * hash01(salt, 6, 6), 0.10, 0.12 + 0.1 * hash01(salt, 7, 7), 1.0)
            g = 0.85 + 0.3 * abs(math.sin(lz * 6.0)) * _fade(0.6, f) + 0.4 * n1
            for k in range(3):
                c[k] *= g
            if p[SNOW] > 0.0:
                _paint(c, 0.86, 0.9, 0.96, 0.75)
        else:
            u = a * 3.0 / 6.2831853 * 2.0
            q = lz / 4.2
            if abs(u - math.floor(u) - 0.5) * r * 1.05 < 0.24 and abs(q - math.floor(q) - 0.6) * 4.2 < 0.7 and lz < 0.8 * h and lz > 2.0:
                _paint(c, 0.03, 0.03, 0.035, 1.0)
                glow = 0.8 if hash01(int(math.floor(u)), int(math.floor(q)), salt) < 0.6 else 0.0
    elif kind == LIGHTHOUSE:
        band = math.floor(lz / (h / 5.0))
        if band - 2.0 * math.floor(band * 0.5) > 0.5 and lz < h:
            _paint(c, 0.62, 0.06, 0.05, 1.0)
        if lz > h + 0.15:
            if lz < h + 1.85:
                _paint(c, 0.9, 0.8, 0.5, 1.0)
                glow = 1.6
            else:
                _paint(c, 0.5, 0.06, 0.05, 1.0)
        for k in range(3):
            c[k] *= 1.0 + 0.16 * n1 + 0.1 * n2
        occlusion = 0.65 + 0.35 * smoothstep(0.0, 2.0, lz)
    elif kind == MILL:
        if ly > 0.8 * r and (rho > r or lz > h):
            _paint(c, 0.75, 0.7, 0.6, 1.0)
        elif lz > h - 0.05:
            _paint(c, 0.30, 0.09, 0.06, 1.0)
        else:
            a = math.atan2(ly, lx)
            u = a * 4.0 / 6.2831853 + 0.5
            if abs(u - math.floor(u) - 0.5) < 0.09 and abs(lz - 0.55 * h) < 0.6:
                _paint(c, 0.05, 0.05, 0.06, 1.0)
                glow = 1.0
            for k in range(3):
                c[k] *= 1.0 + 0.2 * n1 + 0.1 * n2
        occlusion = 0.6 + 0.4 * smoothstep(0.0, 2.0, lz)
    elif kind == CACTUS:
        a = math.atan2(ly, lx)
        g = 0.85 + 0.25 * math.cos(a * 22.0) * _fade(0.3, f) + 0.4 * n2
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
            _paint(c, 0.87, 0.9, 0.95, smoothstep(0.35, 0.6, nz + 0.4 * n1))
        elif p[DUNE] <= 0.0:
            _paint(c, 0.13, 0.16, 0.06, 0.55 * smoothstep(0.3, 0.8, nz + 0.8 * n1))
    return min(1.2, max(0.12, occlusion)), through, glow


@njit(cache=True, fastmath=True)
def _contact(x: float, y: float, z: float, skip: int, meta: np.ndarray, table: np.ndarray, start: np.ndarray,
             items: np.ndarray, cells: int, cell_m: float) -> float:  # fmt: skip
    """Ambient light left near the feet and below the crowns of the objects in this cell."""
    i = int(math.floor((x - meta[0]) / cell_m))
    j = int(math.floor((y - meta[1]) / cell_m))
    if i < 0 or j < 0 or i >= cells or j >= cells:
        return 1.0
    left = 1.0
    c = j * cells + i
    for k in range(start[c], start[c + 1]):
        row = items[k]
        if row == skip:
            continue
        o = table[row]
        if z > o[ob.ZMAX]:
            continue
        ex = x - o[ob.X]
        ey = y - o[ob.Y]
        q = math.sqrt(ex * ex + ey * ey) / (o[ob.BOUND] + 0.2)
        t = max(0.0, 1.0 - q * q)
        left *= 1.0 - 0.62 * t * t
    return left


@njit(cache=True, fastmath=True)
def shade(what: int, t: float, owner: int, x: float, y: float, z: float, dx: float, dy: float, dz: float, pixel: float,
          p: np.ndarray, meta: np.ndarray, heights: np.ndarray, far: np.ndarray, table: np.ndarray, start: np.ndarray,
          items: np.ndarray, top: np.ndarray, rgb: np.ndarray, air: np.ndarray) -> None:  # fmt: skip
    """Linear radiance that arrives along the ray into rgb (3,); air (3,) is scratch."""
    if what == SKY:
        sky(dx, dy, dz, p, rgb, True)
        return
    hx = x + t * dx
    hy = y + t * dy
    hz = z + t * dz
    f = pixel * t
    s = int(p[SEED])
    sx = p[SUN]
    sy = p[SUN + 1]
    sz = p[SUN + 2]
    if what == WATER:
        depth = -lattice(heights, hx, hy, meta[2], meta[3], STEP_M)
        if t > 560.0:
            depth = -lattice(far, hx, hy, meta[4], meta[5], FAR_STEP_M)
        depth = max(0.0, depth)
        w = _fade(2.2, f)
        w2 = _fade(0.7, f)
        calm = 0.35 + 0.65 * value2(hx / 60.0, hy / 60.0, s + 502)
        a = (value2(hx / 1.1, hy / 2.1, s + 503) - 0.5) * w * calm + 0.5 * (value2(hx * 2.6, hy * 1.5, s + 504) - 0.5) * w2
        b = (value2(hx / 1.1, hy / 2.1, s + 505) - 0.5) * w * calm + 0.5 * (value2(hx * 2.6, hy * 1.5, s + 506) - 0.5) * w2
        nx = 0.13 * a
        ny = 0.13 * b
        up = max(0.02, -dz + nx * dx + ny * dy)
        fresnel = 0.03 + 0.80 * (1.0 - up) ** 5
        rx = dx + 2.0 * up * nx
        ry = dy + 2.0 * up * ny
        rz = max(0.015, abs(dz) + 0.03)
        inv = 1.0 / math.sqrt(rx * rx + ry * ry + rz * rz)
        sky(rx * inv, ry * inv, rz * inv, p, air, False)
        lit = sunlight(hx, hy, 0.05, sx, sy, sz, -1, meta, heights, table, start, items, top)
        clear = math.exp(-0.55 * depth)
        foam = smoothstep(0.22, 0.02, depth + 0.10 * (value2(hx / 1.6, hy / 1.6, s + 508) - 0.35)) * 0.55
        if p[ICE] > 0.0:
            crack = abs(value2(hx / 4.0 + a, hy / 4.0, s + 509) - 0.5)
            ice = 0.5 * smoothstep(0.5, 0.62, value2(hx / 33.0, hy / 33.0, s + 510))
            foam = max(foam, ice * (0.75 + 0.5 * smoothstep(0.03, 0.0, crack) * w))
        for k in range(3):
            body = p[WATER_COLOUR + k] * (0.45 + 0.25 * a * w)
            bed = p[SAND + k] * 0.75 * math.exp(-(0.9 - 0.33 * k) * depth)
            base = mix(body, bed, clear)
            base = mix(base, 0.78, foam)
            light = p[SUN_COLOUR + k] * max(0.15, sz) * lit * 0.36 + p[AMBIENT + k] * 0.75
            rgb[k] = mix(base * light, air[k], fresnel * (1.0 - foam))
    else:
        albedo = np.empty(3)
        occlusion = 1.0
        through = 0.0
        glow = 0.0
        gap = 0.0
        if what == OBJECT:
            o = table[owner]
            e = max(0.03, 0.9 * f)
            a = ob.distance(o, hx + e, hy - e, hz - e, f)
            b = ob.distance(o, hx - e, hy - e, hz + e, f)
            c = ob.distance(o, hx - e, hy + e, hz - e, f)
            d = ob.distance(o, hx + e, hy + e, hz + e, f)
            nx = a - b - c + d
            ny = -a - b + c + d
            nz = -a + b - c + d
            inv = 1.0 / math.sqrt(nx * nx + ny * ny + nz * nz + 1e-12)
            nx *= inv
            ny *= inv
            nz *= inv
            occlusion, through, glow = _object_albedo(o, hx, hy, hz, nx, ny, nz, f, p, albedo)
            gap = 0.06
        else:
            if what == GROUND:
                e = 1.2
                a = lattice(heights, hx + e, hy, meta[2], meta[3], STEP_M) - lattice(heights, hx - e, hy, meta[2], meta[3], STEP_M)
                b = lattice(heights, hx, hy + e, meta[2], meta[3], STEP_M) - lattice(heights, hx, hy - e, meta[2], meta[3], STEP_M)
            else:
                e = 14.0
                a = lattice(far, hx + e, hy, meta[4], meta[5], FAR_STEP_M) - lattice(far, hx - e, hy, meta[4], meta[5], FAR_STEP_M)
                b = lattice(far, hx, hy + e, meta[4], meta[5], FAR_STEP_M) - lattice(far, hx, hy - e, meta[4], meta[5], FAR_STEP_M)
            nx = -a / (2.0 * e)
            ny = -b / (2.0 * e)
            inv = 1.0 / math.sqrt(nx * nx + ny * ny + 1.0)
            nx *= inv
            ny *= inv
            nz = inv
            relief = _ground_albedo(hx, hy, hz, nz, f, what == FAR_GROUND, p, albedo)
            occlusion = min(1.1, max(0.4, 1.0 + 0.6 * relief))
            tilt = 0.35 * relief
            nx += tilt * sx
            ny += tilt * sy
            gap = 0.03
        lit = 1.0
        if what != FAR_GROUND:
            lit = sunlight(hx + gap * nx, hy + gap * ny, hz + gap * nz, sx, sy, sz, owner, meta, heights, table, start, items, top)
            occlusion *= _contact(hx, hy, hz, owner, meta, table, start, items, top.shape[0], 6.0)
        facing = nx * sx + ny * sy + nz * sz
        direct = max(0.0, facing)
        if through > 0.0:
            direct = max(0.0, (facing + 0.35) / 1.35) * (0.55 + 0.45 * min(1.0, occlusion)) + through * 0.25 * max(0.0, -facing)
        dome = 0.55 + 0.45 * nz
        for k in range(3):
            light = p[SUN_COLOUR + k] * direct * lit * min(1.0, 0.4 + 0.6 * occlusion)
            light += p[AMBIENT + k] * dome * occlusion + p[BOUNCE + k] * (1.0 - dome) * occlusion
            rgb[k] = albedo[k] * light * 0.62
        if glow > 0.0 and p[NIGHT] > 0.0:
            rgb[0] += 2.3 * glow * p[NIGHT]
            rgb[1] += 1.25 * glow * p[NIGHT]
            rgb[2] += 0.42 * glow * p[NIGHT]
    haze(dx, dy, max(dz, 0.02), p, air)
    q = t / p[FOG]
    fog = 1.0 - math.exp(-(q**1.25) * (1.0 + 0.8 * math.exp(-max(0.0, hz) / 30.0)))
    for k in range(3):
        rgb[k] = mix(rgb[k], air[k], fog)


@njit(cache=True, inline="always")
def _tone(v: float) -> float:
    """Filmic curve (Narkowicz 2015) and sRGB gamma."""
    v = max(0.0, v)
    v = v * (2.51 * v + 0.03) / (v * (2.43 * v + 0.59) + 0.14)
    v = min(1.0, v)
    return 1.055 * v ** (1.0 / 2.4) - 0.055 if v > 0.0031308 else 12.92 * v


@njit(cache=True, parallel=True, fastmath=True)
def render_kernel(c2w: np.ndarray, k_inv: np.ndarray, width: int, height: int, supersample: int, p: np.ndarray,
                  meta: np.ndarray, heights: np.ndarray, far: np.ndarray, table: np.ndarray, start: np.ndarray,
                  items: np.ndarray, top: np.ndarray, floor: np.ndarray, super_top: np.ndarray, rgb: np.ndarray,
                  depth: np.ndarray) -> None:  # fmt: skip
    """Render into rgb (3, H, W) and depth (H, W), z-depth in metres, FAR_M where sky."""
    n = supersample
    sub = 1.0 / n
    for row in prange(height):
        colour = np.empty(3)
        air = np.empty(3)
        for col in range(width):
            r = 0.0
            g = 0.0
            b = 0.0
            for v in range(n):
                for u in range(n):
                    px = col + (u + 0.5) * sub
                    py = row + (v + 0.5) * sub
                    cx = k_inv[0, 0] * px + k_inv[0, 2]
                    cy = k_inv[1, 1] * py + k_inv[1, 2]
                    inv = 1.0 / math.sqrt(cx * cx + cy * cy + 1.0)
                    dx = (c2w[0, 0] * cx + c2w[0, 1] * cy + c2w[0, 2]) * inv
                    dy = (c2w[1, 0] * cx + c2w[1, 1] * cy + c2w[1, 2]) * inv
                    dz = (c2w[2, 0] * cx + c2w[2, 1] * cy + c2w[2, 2]) * inv
                    pixel = k_inv[1, 1] * sub * inv
                    what, t, owner = trace(c2w[0, 3], c2w[1, 3], c2w[2, 3], dx, dy, dz, pixel, meta, heights, far,
                                           table, start, items, top, floor, super_top)  # fmt: skip
                    if u == n // 2 and v == n // 2:
                        depth[row, col] = t * inv if t < FAR_M else FAR_M
                    shade(what, t, owner, c2w[0, 3], c2w[1, 3], c2w[2, 3], dx, dy, dz, pixel, p, meta, heights, far,
                          table, start, items, top, colour, air)  # fmt: skip
                    r += colour[0]
                    g += colour[1]
                    b += colour[2]
            scale = p[EXPOSURE] * sub * sub
            grey = 0.13 * (0.25 * r + 0.65 * g + 0.10 * b)  # film does not hold neon
            rgb[0, row, col] = _tone((0.87 * r + grey) * scale)
            rgb[1, row, col] = _tone((0.87 * g + grey) * scale)
            rgb[2, row, col] = _tone((0.87 * b + grey) * scale)
