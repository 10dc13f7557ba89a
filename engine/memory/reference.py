"""Both readouts once more, plainly: no culling, no tricks, one token after the other. Slow; tests hold the fast ones to
it.

Geometry here is intersected in 3D. A patch whose inverse depth is planar in its keyframe, ``1/Z = a + b (u - u0) + c (v
- v0)``, lies in the plane ``n . p = 1`` of keyframe space with ``n = (b fx, c fy, a + b (cx - u0) + c (cy - v0))``; a
target ray ``o + t r`` meets it at ``t = (1 - n . o) / (n . r)``, and ``1 - n . o > 0`` says that the target is on the
side that the keyframe saw. Sky has ``n = 0``: only directions count.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from engine.camera import Camera
from engine.geometry import cells_of
from engine.memory import points
from engine.memory.kernels import NEAR_M, PLANAR, REAR, RIM, WORN
from engine.memory.patches import DEPTH_TOLERANCE
from engine.memory.raster import BESIDE, GUESS_HIDES, MARGIN, MAX_EXTENT, MOST_REACH, STRADDLES
from engine.memory.store import TokenStore
from engine.memory.surface import EDGE, NEAR_THING

GUESS = 3


@dataclass(frozen=True)
class Hits:
    """Where a patch meets the target's samples (hs, ws): by how much it misses them, in steps, 0 for not; which it
    is drawn on; its inverse depth there, source position, octaves; whether it is seen from the ``front``; and why it is
    ``less`` than others, if it is: its token STRADDLES an edge in front of it, lies BESIDE one, or is a GUESS."""

    miss: np.ndarray
    reached: np.ndarray
    inverse_depth: np.ndarray
    uv: np.ndarray
    log2_scale: np.ndarray
    front: bool
    less: int = 0


def nearest(store: TokenStore, grid: Camera, cell_center: float = 0.5) -> np.ndarray:
    """(h, w) int64: the paper's readout, the living token with the largest inverse depth in each cell, lower ids first;
    -1 none."""
    winner = np.full(grid.size, -1, np.int64)
    best = np.full(grid.size, -1.0)
    rows = np.flatnonzero(store.alive)
    x, y, inverse_depth = points.project(store, rows, grid, cell_center)
    cells = cells_of(x, y, grid, cell_center)
    for row, cell, q in zip(rows, cells, inverse_depth):
        if cell >= 0 and q > best.flat[cell]:
            best.flat[cell] = q
            winner.flat[cell] = row
    return winner


def sample_map(store: TokenStore, camera: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Token (hs, ws), uv (2, hs, ws), octaves (hs, ws) and inverse depth (hs, ws) of the learned readout; ``camera`` is
    on the sample grid."""
    rows = np.flatnonzero(store.alive)
    hits = [(int(row), hit) for row in rows for hit in _token_hits(store, int(row), camera)]
    nearest_depth = np.zeros(camera.size)
    for _, hit in hits:
        hides = hit.inverse_depth * (1.0 - GUESS_HIDES * (hit.less == GUESS))
        nearest_depth = np.where(hit.reached, np.maximum(nearest_depth, hides), nearest_depth)
    token, uv, log2_scale, depth, less = _won(hits, nearest_depth)
    others = _won([(row, hit) for row, hit in hits if hit.less not in (STRADDLES, BESIDE)], nearest_depth)
    gone = np.zeros(camera.size, bool)
    for y, x in zip(*np.nonzero((less == STRADDLES) | (less == BESIDE)), strict=True):
        tokens, least = 1.0, EDGE * depth[y, x]
        if less[y, x] == BESIDE:
            tokens, least = min(2.0 * max(1.0, 2.0 ** log2_scale[y, x]), MOST_REACH), max(least, NEAR_THING)
        reach = store.samples * int(np.ceil(tokens))
        around = depth[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
        guessed = store.wear_at(token[y, x]) >= WORN
        gone[y, x] = (around <= least).all() and (less[y, x] == STRADDLES or guessed or others[0][y, x] >= 0)
    return (
        np.where(gone, others[0], token),
        np.where(gone, others[1], uv),
        np.where(gone, others[2], log2_scale),
        np.where(gone, others[3], depth),
    )


def _won(
    hits: list[tuple[int, Hits]], nearest_depth: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Token, uv, octaves and inverse depth of each sample's best hit, and why it is less than others, if it is."""
    size = nearest_depth.shape
    token, less = np.full(size, -1, np.int64), np.zeros(size, np.uint8)
    uv, log2_scale, depth = np.zeros((2, *size)), np.zeros(size), np.zeros(size)
    best_rank = np.full(size, np.inf)
    for row, hit in hits:
        if not hit.front:
            continue
        fits = hit.reached & (hit.inverse_depth >= nearest_depth * (1.0 - DEPTH_TOLERANCE))
        # Not behind an edge nor guessed, then how far off in the margin, then how badly the scale suits in half
        # octaves, then age (rows come in order).
        octaves = np.floor(2.0 * hit.log2_scale + 0.5)
        level = np.where(octaves > 0, octaves, np.floor(-octaves / 2))
        rank = level + 1000.0 * hit.miss + {GUESS: 2e6, STRADDLES: 1e6}.get(hit.less, 0.0)
        wins = fits & (rank < best_rank)
        best_rank = np.where(wins, rank, best_rank)
        token = np.where(wins, row, token)
        uv = np.where(wins, hit.uv, uv)
        log2_scale = np.where(wins, hit.log2_scale, log2_scale)
        depth = np.where(wins, hit.inverse_depth, depth)
        less = np.where(wins, hit.less, less)
    return token, uv, log2_scale, depth, less


def _token_hits(store: TokenStore, row: int, camera: Camera) -> list[Hits]:
    """The patches of a token: itself if one plane describes it, else its valid samples, each facing its keyframe."""
    s = store.samples
    values = store.inverse_depth(np.array([row]))[0].reshape(s, s).astype(np.float64)
    offsets = (np.arange(s) - 0.5 * (s - 1)) / s
    state = store.state.rows[row]
    less = GUESS if state & REAR else int(BESIDE) if state & RIM else 0
    planar = bool(state & PLANAR) and bool((values >= 0.0).all())
    flat = planar and bool((values == 0.0).all())
    if planar and s > 2:
        a, b, c = _plane(values, offsets)
        residual = np.abs(values - (a + b * offsets[None, :] + c * offsets[:, None])).max()
        planar = flat or bool(residual <= 0.5 * DEPTH_TOLERANCE * a)
    if planar:
        a, b, c = _plane(values, offsets)
        return [replace(_intersect(store, row, camera, (0.0, 0.0), (a, b, c), 0.5), less=less)]
    edge = np.nanmax(values, initial=0.0) / EDGE
    return [
        replace(
            _intersect(
                store, row, camera, (float(offsets[i]), float(offsets[j])), (float(values[j, i]), 0.0, 0.0), 0.5 / s
            ),
            less=int(STRADDLES) if less != GUESS and values[j, i] < edge else less,
        )
        for j in range(s)
        for i in range(s)
        if values[j, i] >= 0.0
    ]


def _plane(values: np.ndarray, offsets: np.ndarray) -> tuple[float, float, float]:
    """Least-squares a, b, c of ``a + b du + c dv`` through the samples (s, s)."""
    power = float((offsets**2).sum()) * len(offsets)
    if power == 0.0:
        return float(values.mean()), 0.0, 0.0
    return (
        float(values.mean()),
        float((values * offsets[None, :]).sum() / power),
        float((values * offsets[:, None]).sum() / power),
    )


def _intersect(
    store: TokenStore,
    row: int,
    camera: Camera,
    shift: tuple[float, float],
    surface: tuple[float, float, float],
    half: float,
) -> Hits:
    """Meet every sample ray of ``camera`` with a patch centred ``shift`` tokens from the token's centre."""
    keyframe = store.keyframe(int(store.keyframes_of(np.array([row]))[0])).camera
    column, line = (int(value[0]) for value in store.cell(np.array([row])))
    u0, v0 = column + 0.5 + shift[0], line + 0.5 + shift[1]
    a, b, c = surface
    fx, fy, cx, cy = keyframe.K[0, 0], keyframe.K[1, 1], keyframe.K[0, 2], keyframe.K[1, 2]
    normal = np.array([b * fx, c * fy, a + b * (cx - u0) + c * (cy - v0)])
    origin = (camera.position - keyframe.position) @ keyframe.c2w[:3, :3]
    side = 1.0 - normal @ origin

    def meet(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Source du, dv, whether in front of both, and the target's inverse depth, for target sample coordinates."""
        rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(camera.K).T
        rays = rays @ camera.c2w[:3, :3].T @ keyframe.c2w[:3, :3]
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = rays @ normal / side if a > 0.0 else np.zeros(x.shape)
            local = rays + inverse[..., None] * origin if a > 0.0 else rays
            du = fx * local[..., 0] / local[..., 2] + cx - u0
            dv = fy * local[..., 1] / local[..., 2] + cy - v0
        return du, dv, (local[..., 2] > 0.0) & (inverse >= 0.0), inverse

    y, x = np.mgrid[: camera.height, : camera.width] + 0.5

    def drawn(reach: float) -> tuple[np.ndarray, np.ndarray, float]:
        """(hs, ws) bool: the samples that a patch may be drawn on; and the one that it falls into, if it is too small
        to hold the middle of any: thin things survive. And the inverse depth of its own middle."""
        offsets = np.array([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)])
        local = np.stack([(u0 + offsets[:, 0] - cx) / fx, (v0 + offsets[:, 1] - cy) / fy, np.ones(3)], axis=-1)
        nearness = a + offsets @ np.array([b, c])
        there = local @ keyframe.c2w[:3, :3].T + nearness[:, None] * (keyframe.position - camera.position)
        middle, right, below = there @ camera.c2w[:3, :3] @ camera.K.T
        slopes = np.stack([right - middle, below - middle])
        allowed, forced = np.zeros((2, *camera.size), bool)
        nearest_z = middle[2] - reach * np.abs(slopes[:, 2]).sum()
        if nearest_z <= max(NEAR_M * a, 0.05 * middle[2]):
            return allowed, forced, 0.0  # partly behind the target, or so near that it would be everywhere
        at = middle[:2] / middle[2]
        extent = reach * np.abs(slopes[:, :2] - at * slopes[:, 2:]).sum(axis=0) / nearest_z
        off = np.stack([x, y]) - at[:, None, None]
        allowed = (np.abs(off) <= MAX_EXTENT).all(axis=0)
        extent = np.minimum(extent, MAX_EXTENT)
        if (np.floor(at + extent - 0.5) < np.ceil(at - extent - 0.5)).any():
            forced = (np.floor(np.stack([x, y])) == np.floor(at)[:, None, None]).all(axis=0)
        return allowed, forced, a / middle[2]

    du, dv, ahead, inverse = meet(x, y)
    step = 1e-4
    du_x, dv_x, _, _ = meet(x + step, y)
    du_y, dv_y, _, _ = meet(x, y + step)
    with np.errstate(divide="ignore", invalid="ignore"):
        source_area = np.abs((du_x - du) * (dv_y - dv) - (du_y - du) * (dv_x - dv)) / step**2
        log2_scale = -0.5 * np.log2(source_area * store.samples**2)
        reach = np.maximum(np.abs(du), np.abs(dv))
        miss = 1 + np.nan_to_num(64.0 * (reach - half)).clip(0, 30).astype(int)
    allowed, forced, central = drawn(half + MARGIN)
    reached = ahead & (allowed & (reach <= half + MARGIN) | forced)
    du, dv = (np.where(forced, np.clip(d, -half - MARGIN, half + MARGIN), d) for d in (du, dv))
    inverse = np.where(forced & (reach > half + MARGIN), central, inverse)
    return Hits(
        miss=np.where(reach <= half + 1e-3, 0, miss),
        reached=reached,
        inverse_depth=np.where(reached, inverse, 0.0),
        uv=np.stack([du + shift[0], dv + shift[1]]),
        log2_scale=log2_scale,
        front=side > 0.0,
    )
