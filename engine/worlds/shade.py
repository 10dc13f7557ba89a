"""Light and material at a hit point; the kernel that renders a frame."""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from engine.worlds import objects as ob
from engine.worlds.bake import CELL_M, FAR_STEP_M, STEP_M
from engine.worlds.finishes import finish, floor_albedo
from engine.worlds.indoors import light as light_indoors
from engine.worlds.indoors import nook
from engine.worlds.march import FAR_GROUND, FAR_M, GROUND, OBJECT, SKY, WATER, lattice, sunlight, trace
from engine.worlds.materials import ground_albedo, object_albedo
from engine.worlds.noise import mix, smoothstep, value2
from engine.worlds.paint import fade
from engine.worlds.sky import haze, sky
from engine.worlds.spec import (
    AMBIENT,
    BASE,
    BOUNCE,
    EXPOSURE,
    FOG,
    HALLS,
    ICE,
    NIGHT,
    SAND,
    SEED,
    SUN,
    SUN_COLOUR,
    WALL,
)
from engine.worlds.spec import WATER as WATER_COLOUR

# What is compiled here holds what it calls of objects.py and materials.py as it was when this file last changed:
# whoever changes a shape there touches this line, else old caches draw old shapes. Last: rows.


@njit(cache=True, fastmath=True)
def _contact(x: float, y: float, z: float, skip: int, meta: np.ndarray, table: np.ndarray, start: np.ndarray,
             items: np.ndarray, cells: int, cell_m: float) -> float:  # fmt: skip
    """Ambient light left near the feet and below the crowns of the objects in this cell."""
    i = math.floor((x - meta[0]) / cell_m)
    j = math.floor((y - meta[1]) / cell_m)
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
def _differences(field: np.ndarray, x: float, y: float, e: float, x0: float, y0: float,
                 step_m: float) -> tuple[float, float]:  # fmt: skip
    """Central differences over +-e of a lattice along x and y."""
    a = lattice(field, x + e, y, x0, y0, step_m) - lattice(field, x - e, y, x0, y0, step_m)
    b = lattice(field, x, y + e, x0, y0, step_m) - lattice(field, x, y - e, x0, y0, step_m)
    return a, b


@njit(cache=True, fastmath=True)
def built_albedo(o: np.ndarray, x: float, y: float, z: float, f: float, p: np.ndarray, c: np.ndarray) -> float:
    """Albedo of a part of a building into c (3,); returns how it glows."""
    dx = x - o[ob.X]
    dy = y - o[ob.Y]
    for k in range(3):
        c[k] = o[ob.RED + k]
    return finish(int(o[ob.KIND]), o[ob.COS] * dx + o[ob.SIN] * dy, o[ob.COS] * dy - o[ob.SIN] * dx, z - o[ob.Z],
                  o[ob.HEIGHT], o[ob.RADIUS], o[ob.DEPTH], int(o[ob.SALT]), f, p, c)  # fmt: skip


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
        w = fade(2.2, f)
        w2 = fade(0.7, f)
        calm = 0.35 + 0.65 * value2(hx / 60.0, hy / 60.0, s + 502)
        a = (value2(hx / 1.1, hy / 2.1, s + 503) - 0.5) * w * calm
        b = (value2(hx / 1.1, hy / 2.1, s + 505) - 0.5) * w * calm
        a += 0.5 * (value2(hx * 2.6, hy * 1.5, s + 504) - 0.5) * w2
        b += 0.5 * (value2(hx * 2.6, hy * 1.5, s + 506) - 0.5) * w2
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
            if o[ob.KIND] >= WALL:
                glow = built_albedo(o, hx, hy, hz, f, p, albedo)
            else:
                occlusion, through, glow = object_albedo(o, hx, hy, hz, nx, ny, nz, f, p, albedo)
            gap = 0.06
        elif p[HALLS] > 0.0:
            nx = 0.0
            ny = 0.0
            nz = 1.0
            floor_albedo(hx, hy, f, p, albedo)
            gap = 0.03
        else:
            if what == GROUND:
                e = 1.2
                a, b = _differences(heights, hx, hy, e, meta[2], meta[3], STEP_M)
            else:
                e = 14.0
                a, b = _differences(far, hx, hy, e, meta[4], meta[5], FAR_STEP_M)
            nx = -a / (2.0 * e)
            ny = -b / (2.0 * e)
            inv = 1.0 / math.sqrt(nx * nx + ny * ny + 1.0)
            nx *= inv
            ny *= inv
            nz = inv
            relief = ground_albedo(hx, hy, hz, nz, f, what == FAR_GROUND, p, albedo)
            occlusion = min(1.1, max(0.4, 1.0 + 0.6 * relief))
            tilt = 0.35 * relief
            nx += tilt * sx
            ny += tilt * sy
            gap = 0.03
        lit = 1.0
        if what != FAR_GROUND:
            lit = sunlight(hx + gap * nx, hy + gap * ny, hz + gap * nz, sx, sy, sz, owner, meta, heights, table, start,
                           items, top)  # fmt: skip
            if p[HALLS] > 0.0:
                occlusion *= nook(hx, hy, hz, nx, ny, nz, p[BASE], meta, table, start, items, top.shape[0], CELL_M)
            else:
                occlusion *= _contact(hx, hy, hz, owner, meta, table, start, items, top.shape[0], CELL_M)
        facing = nx * sx + ny * sy + nz * sz
        direct = max(0.0, facing)
        if through > 0.0:
            direct = max(0.0, (facing + 0.35) / 1.35) * (0.55 + 0.45 * min(1.0, occlusion))
            direct += through * 0.25 * max(0.0, -facing)
        dome = 0.55 + 0.45 * nz
        if p[HALLS] > 0.0:
            light_indoors(hx, hy, hz, nx, ny, nz, p, air)
            for k in range(3):
                direct_light = p[SUN_COLOUR + k] * direct * lit * (0.5 + 0.5 * occlusion)
                rgb[k] = albedo[k] * (direct_light + air[k] * occlusion) * 0.62
            burning = glow * max(0.45, p[NIGHT])
            rgb[0] += 2.3 * burning
            rgb[1] += 1.55 * burning
            rgb[2] += 0.8 * burning
            return
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


@njit(cache=True, fastmath=True)
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
