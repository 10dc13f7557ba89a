"""What a generated frame and its depth become so that a GPU can show them from another camera. Plain numpy, no GL.

A frame is a grid of quads between depth samples. A vertex holds where it is in the picture and its inverse depth
``q``; seen from another camera it lies at ``R ray + q t`` (up to scale), which is exact for ``q = 0`` too: the sky
moves by rotation alone. Quads that span a depth edge would stretch into rubber sheets. Each is drawn twice instead,
once as part of the near side and once as part of the far side, and the shader cuts both along the contour between
their corners as soon as a gap opens. Behind them lies a *far layer*: the surroundings of every edge continued from
its far side, blurred, which fills holes softly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage

from engine.camera import Camera

VERTEX = np.dtype([("a_uv", np.float32, 2), ("a_q", np.float32), ("a_gap", np.float32), ("a_share", np.float32)])
"""``a_uv`` in [0, 1] of the picture (v down), ``a_q`` inverse depth in 1/m, ``a_gap`` height of the depth edge in 1/m
(0: none), ``a_share`` 1 where the vertex belongs to its copy of the quad, 0 where it belongs to the other side of the
edge.
"""

_CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))
_EDGE_FLOOR = 0.004
_EDGE_SHARE = 0.22
_FLAT = 0.0012
_FAR_WINDOW = 11
_SOFT_SIZE = (16, 28)


@dataclass(frozen=True, eq=False)
class FrameMesh:
    """A frame ready to be drawn from another camera.

    Attributes:
        camera: where the frame was seen from.
        rgb: (H, W, 3) uint8.
        vertices: (4 * n,) of ``VERTEX``; four corners a quad, surfaces first, then the two copies of quads across
        edges.
        solid, edges: (6 * n,) uint32 indices of quads on surfaces and of quads across depth edges.
        far_vertices: (rows * cols,) of ``VERTEX``. far_indices: (6 * n,) uint32.
        far_rgb: (hs, ws, 3) uint8, surroundings continued behind every edge. soft_rgb: (16, 28, 3) uint8, the frame as
        a blur.
    """

    camera: Camera
    rgb: np.ndarray
    vertices: np.ndarray
    solid: np.ndarray
    edges: np.ndarray
    far_vertices: np.ndarray
    far_indices: np.ndarray
    far_rgb: np.ndarray
    soft_rgb: np.ndarray
    inverse_depth_mean: float


def _edge_heights(q: np.ndarray, axis: int) -> np.ndarray:
    """How far each difference of ``q (h, w)`` along ``axis`` jumps beyond the slope around it, 1/m; a plane gives
    zeros.

    A surface at a slant has large differences too, but its neighbours share them; at a step at least one neighbour does
    not.
    """
    step = np.abs(np.diff(q, axis=axis))
    pad = [(0, 0), (0, 0)]
    pad[axis] = (1, 1)
    padded = np.pad(step, pad, mode="edge")
    before, after = (np.take(padded, np.arange(step.shape[axis]) + k, axis=axis) for k in (0, 2))
    return np.maximum(step - 1.6 * np.minimum(before, after), 0.0)


def edge_gaps(q: np.ndarray) -> np.ndarray:
    """Depth-edge height of every quad between samples of ``q (h, w)`` 1/m -> ``(h - 1, w - 1)`` 1/m, 0 where there is
    a surface.
    """
    across, down = _edge_heights(q, 1), _edge_heights(q, 0)
    gap = np.maximum(np.maximum(across[:-1], across[1:]), np.maximum(down[:, :-1], down[:, 1:]))
    nearest = ndimage.maximum_filter(q, size=2, origin=-1)[:-1, :-1]
    return np.where(gap > _EDGE_FLOOR + _EDGE_SHARE * nearest, gap, 0.0)


def _grid_uv(rows: int, cols: int) -> tuple[np.ndarray, np.ndarray]:
    """Picture coordinates of a grid of sample centres with a ring on the picture's border: ``(rows + 2,)``, ``(cols +
    2,)``.
    """
    v = np.concatenate([[0.0], (np.arange(rows) + 0.5) / rows, [1.0]])
    u = np.concatenate([[0.0], (np.arange(cols) + 0.5) / cols, [1.0]])
    return v, u


def _quad_indices(first: np.ndarray, row_stride: int | None) -> np.ndarray:
    """Two triangles a quad. ``first (n,)``: its top-left vertex; the others follow it, or lie on a grid of
    ``row_stride`` columns.
    """
    offsets = (
        np.array([0, 1, 2, 2, 1, 3])
        if row_stride is None
        else np.array([0, 1, row_stride, row_stride, 1, row_stride + 1])
    )
    return (first[:, None] + offsets).ravel().astype(np.uint32)


@lru_cache(maxsize=4)
def _quad_grid(rows: int, cols: int) -> np.ndarray:
    """Picture coordinates of every quad's corners for ``rows x cols`` samples: ``((rows + 1) * (cols + 1), 4, 2)``."""
    v, u = _grid_uv(rows, cols)
    uv = np.empty((rows + 1, cols + 1, 4, 2), np.float32)
    for corner, (dy, dx) in enumerate(_CORNERS):
        uv[:, :, corner, 0] = u[None, dx : dx + cols + 1]
        uv[:, :, corner, 1] = v[dy : dy + rows + 1, None]
    return uv.reshape(-1, 4, 2)


def _merge_flat(
    ringed: np.ndarray, gap: np.ndarray, v: np.ndarray, u: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Join 2 x 2 quads where the surface is flat enough: software rasterisers pay for every triangle.

    Returns corners of the joined quads in the picture ``(n, 4, 2)``, their inverse depths ``(n, 4)``, and which quads
    of ``gap`` are still on their own, ``(rows, cols)`` bool. The ring of half-width quads is left alone.
    """
    rows, cols = ((side - 2) // 2 for side in gap.shape)
    y, x = slice(1, 1 + 2 * rows), slice(1, 1 + 2 * cols)

    def at(dy: int, dx: int) -> np.ndarray:
        return ringed[1 + dy : 1 + dy + 2 * rows : 2, 1 + dx : 1 + dx + 2 * cols : 2]

    a, b, c, d = at(0, 0), at(0, 2), at(2, 0), at(2, 2)
    bend = np.abs(at(1, 1) - 0.25 * (a + b + c + d))
    for middle, one, other in ((at(0, 1), a, b), (at(2, 1), c, d), (at(1, 0), a, c), (at(1, 2), b, d)):
        bend = np.maximum(bend, np.abs(middle - 0.5 * (one + other)))
    whole = gap[y, x].reshape(rows, 2, cols, 2).max(axis=(1, 3)) == 0.0
    flat = whole & (bend < _FLAT)
    single = np.ones(gap.shape, bool)
    single[y, x] = ~np.repeat(np.repeat(flat, 2, axis=0), 2, axis=1)
    r, k = np.nonzero(flat)
    top, left = 1 + 2 * r, 1 + 2 * k
    uv = np.stack([np.stack([u[left + 2 * dx], v[top + 2 * dy]], axis=-1) for dy, dx in _CORNERS], axis=1)
    return uv, np.stack([a[flat], b[flat], c[flat], d[flat]], axis=-1), single


def _surface(q: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quads of ``q (h, w)``: vertices, indices of surfaces, indices of the copies of quads across edges, far ones
    first.
    """
    ringed = np.pad(q, 1, mode="edge")
    gap = edge_gaps(ringed)
    rows, cols = gap.shape
    corners_q = np.stack([ringed[dy : dy + rows, dx : dx + cols] for dy, dx in _CORNERS], axis=-1).reshape(-1, 4)
    uv = _quad_grid(*q.shape)
    merged_uv, merged_q, single = _merge_flat(ringed, gap, *_grid_uv(*q.shape))
    broken = gap.ravel() > 0.0
    kept = ~broken & single.ravel()
    n_merged, n_broken = len(merged_q), int(broken.sum())
    n_solid = n_merged + int(kept.sum())
    vertices = np.zeros((n_solid + 2 * n_broken, 4), VERTEX)
    solid, far, near = vertices[:n_solid], vertices[n_solid : n_solid + n_broken], vertices[n_solid + n_broken :]
    solid["a_uv"][:n_merged], solid["a_q"][:n_merged] = merged_uv, merged_q
    solid["a_uv"][n_merged:], solid["a_q"][n_merged:] = uv[kept], corners_q[kept]
    solid["a_share"] = 1.0
    edge_q = corners_q[broken]
    low, high = edge_q.min(axis=1, keepdims=True), edge_q.max(axis=1, keepdims=True)
    is_near = edge_q > 0.5 * (low + high)
    for part, mine, fill in (
        (far, ~is_near, np.where(is_near, -np.inf, edge_q).max(axis=1, keepdims=True)),
        (near, is_near, np.where(is_near, edge_q, np.inf).min(axis=1, keepdims=True)),
    ):
        part["a_uv"] = uv[broken]
        part["a_q"] = np.where(mine, edge_q, fill)
        part["a_gap"] = high - low
        part["a_share"] = mine
    first = 4 * np.arange(n_solid + 2 * n_broken)
    return vertices.ravel(), _quad_indices(first[:n_solid], None), _quad_indices(first[n_solid:], None)


def _far_layer(rgb_small: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverse depth and colours of what may lie behind: ``rgb_small (h, w, 3)`` float, ``q (h, w)`` -> ``q_far (h,
    w)``, ``(h, w, 3)`` float.
    """
    q_far = ndimage.uniform_filter(ndimage.minimum_filter(q, size=_FAR_WINDOW, mode="nearest"), size=5, mode="nearest")
    far_side = np.exp(-np.maximum(q - q_far, 0.0) / (0.08 * q_far + 0.006)) + 1e-4
    weight = ndimage.uniform_filter(far_side, size=9, mode="nearest")
    colours = np.stack(
        [ndimage.uniform_filter(far_side * rgb_small[..., c], size=9, mode="nearest") / weight for c in range(3)],
        axis=-1,
    )
    return q_far, colours


def _down(image: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """``image (H, W, 3)`` -> ``(rows, cols, 3)`` float32: the mean of four pixels around every sample."""
    height, width = image.shape[:2]
    ys = [np.minimum(((np.arange(rows) + part) * height / rows).astype(int), height - 1) for part in (0.25, 0.75)]
    xs = [np.minimum(((np.arange(cols) + part) * width / cols).astype(int), width - 1) for part in (0.25, 0.75)]
    total = sum(image[y][:, x].astype(np.float32) for y in ys for x in xs)
    return np.asarray(total * 0.25, np.float32)


def build_mesh(
    camera: Camera, rgb: np.ndarray, inverse_depth: np.ndarray, coarse_rgb: np.ndarray | None = None
) -> FrameMesh:
    """Prepare a frame: ``rgb (H, W, 3)`` uint8 and ``inverse_depth (hs, ws)`` float32, 1/m, 0 = sky; what is not
    finite counts as sky. ``coarse_rgb``: the same picture with fewer pixels, which are cheaper to blur.
    """
    q = np.nan_to_num(np.asarray(inverse_depth, np.float32), nan=0.0, posinf=0.0, neginf=0.0).clip(min=0.0)
    vertices, solid, edges = _surface(q)
    small = _down(rgb if coarse_rgb is None else coarse_rgb, *q.shape)
    q_far, far_rgb = _far_layer(small, q)
    stride = 4 if min(q.shape) >= 8 else 1
    coarse = np.pad(q_far[stride // 2 :: stride, stride // 2 :: stride], 1, mode="edge")
    v, u = _grid_uv(coarse.shape[0] - 2, coarse.shape[1] - 2)
    far_vertices = np.zeros(coarse.shape, VERTEX)
    far_vertices["a_uv"][..., 0] = u[None, :]
    far_vertices["a_uv"][..., 1] = v[:, None]
    far_vertices["a_q"] = coarse
    top_left = np.arange(coarse.size).reshape(coarse.shape)[:-1, :-1].ravel()
    soft = _down(ndimage.uniform_filter(small, size=(9, 9, 1), mode="nearest"), *_SOFT_SIZE)
    return FrameMesh(
        camera=camera,
        rgb=np.ascontiguousarray(rgb),
        vertices=vertices,
        solid=solid,
        edges=edges,
        far_vertices=far_vertices.ravel(),
        far_indices=_quad_indices(top_left, coarse.shape[1]),
        far_rgb=far_rgb.round().clip(0, 255).astype(np.uint8),
        soft_rgb=soft.round().clip(0, 255).astype(np.uint8),
        inverse_depth_mean=float(q.mean()),
    )


def relative_pose(source: Camera, target: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Rotation ``(3, 3)`` and translation ``(3,)`` in metres from ``source`` to ``target`` coordinates."""
    target_from_source = target.w2c @ source.c2w
    return target_from_source[:3, :3], target_from_source[:3, 3]


def normalised_intrinsics(camera: Camera) -> tuple[float, float, float, float]:
    """``fx, fy, cx, cy`` in units of the picture's width and height."""
    k = camera.K
    return k[0, 0] / camera.width, k[1, 1] / camera.height, k[0, 2] / camera.width, k[1, 2] / camera.height


def same_view(a: Camera, b: Camera) -> bool:
    """Whether two cameras show the same picture: pose to within a millimetre and a hundredth of a degree, and the same
    field of view.
    """
    rotation, translation = relative_pose(a, b)
    angle = np.arccos(np.clip(0.5 * (np.trace(rotation) - 1.0), -1.0, 1.0))
    close = float(np.linalg.norm(translation)) < 1e-3 and angle < 2e-4
    return bool(close and np.allclose(normalised_intrinsics(a), normalised_intrinsics(b), atol=1e-5))
