"""What a generated frame and its depth become so that a GPU can show them from another camera. Plain numpy, no GL.

A frame is a grid of quads between depth samples. A vertex holds where it is in the picture and its inverse depth ``q``;
seen from another camera it lies at ``R ray + q t`` (up to scale), which is exact for ``q = 0`` too: the sky moves by
rotation
alone. Quads that span a depth edge would stretch into rubber sheets; they carry the height of that edge, so that the
shader lets them
fade as the gap opens. Behind them lies a *far layer*: the surroundings of every edge continued from its far side,
blurred, which fills
holes softly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from engine.camera import Camera

VERTEX = np.dtype([("a_uv", np.float32, 2), ("a_q", np.float32), ("a_gap", np.float32)])
"""``a_uv`` in [0, 1] of the picture (v down), ``a_q`` inverse depth in 1/m, ``a_gap`` height of the depth edge in 1/m
(0: none).
"""

_EDGE_FLOOR = 0.004
_EDGE_SHARE = 0.22
_FAR_WINDOW = 11
_SOFT_SIZE = (16, 28)


@dataclass(frozen=True, eq=False)
class FrameMesh:
    """A frame ready to be drawn from another camera.

    Attributes:
        camera: where the frame was seen from.
        rgb: (H, W, 3) uint8.
        vertices: (4 * quads,) of ``VERTEX``; four corners a quad.
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


def _surface(q: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quads of ``q (h, w)``: vertices, indices of surfaces, indices of edges."""
    ringed = np.pad(q, 1, mode="edge")
    v, u = _grid_uv(*q.shape)
    gap = edge_gaps(ringed)
    rows, cols = gap.shape
    vertices = np.zeros((rows, cols, 4), VERTEX)
    for corner, (dy, dx) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        vertices["a_uv"][:, :, corner, 0] = u[None, dx : dx + cols]
        vertices["a_uv"][:, :, corner, 1] = v[dy : dy + rows, None]
        vertices["a_q"][:, :, corner] = ringed[dy : dy + rows, dx : dx + cols]
        vertices["a_gap"][:, :, corner] = gap
    first = 4 * np.arange(rows * cols)
    broken = gap.ravel() > 0.0
    return vertices.ravel(), _quad_indices(first[~broken], None), _quad_indices(first[broken], None)


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


def _box_down(image: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """Mean over blocks: ``image (H, W, 3)`` -> ``(rows, cols, 3)`` float32, by summed areas so that any ratio works."""
    height, width = image.shape[:2]
    table = np.zeros((height + 1, width + 1, 3), np.float64)
    table[1:, 1:] = image.cumsum(0, dtype=np.float64).cumsum(1)
    y = np.linspace(0, height, rows + 1).round().astype(int)
    x = np.linspace(0, width, cols + 1).round().astype(int)
    corners = table[y][:, x]
    total = corners[1:, 1:] - corners[:-1, 1:] - corners[1:, :-1] + corners[:-1, :-1]
    area = np.diff(y)[:, None] * np.diff(x)[None, :]
    return (total / np.maximum(area, 1)[..., None]).astype(np.float32)


def build_mesh(camera: Camera, rgb: np.ndarray, inverse_depth: np.ndarray) -> FrameMesh:
    """Prepare a frame: ``rgb (H, W, 3)`` uint8 and ``inverse_depth (hs, ws)`` float32, 1/m, 0 = sky; what is not
    finite counts as sky.
    """
    q = np.nan_to_num(np.asarray(inverse_depth, np.float32), nan=0.0, posinf=0.0, neginf=0.0).clip(min=0.0)
    vertices, solid, edges = _surface(q)
    rows, cols = q.shape
    q_far, far_rgb = _far_layer(_box_down(rgb, rows, cols), q)
    coarse = np.pad(q_far[1::2, 1::2], 1, mode="edge")
    v, u = _grid_uv(coarse.shape[0] - 2, coarse.shape[1] - 2)
    far_vertices = np.zeros(coarse.shape, VERTEX)
    far_vertices["a_uv"][..., 0] = u[None, :]
    far_vertices["a_uv"][..., 1] = v[:, None]
    far_vertices["a_q"] = coarse
    top_left = np.arange(coarse.size).reshape(coarse.shape)[:-1, :-1].ravel()
    soft = ndimage.gaussian_filter(_box_down(rgb, *_SOFT_SIZE), sigma=(1.2, 1.2, 0.0), mode="nearest")
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
    )


def relative_pose(source: Camera, target: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Rotation ``(3, 3)`` and translation ``(3,)`` in metres that take points of ``source``'s frame into ``target``'s.
    """
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
