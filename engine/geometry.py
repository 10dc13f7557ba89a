"""Lifting depth to points, projecting points to grids, and bringing depth to a token's samples.

The paper's section 3: latent intrinsics K_l = diag(w/W, h/H, 1) K (that is :meth:`engine.camera.Camera.resized`), a
write lifts p = E^-1 [d K_l^-1 (u + 1/2, v + 1/2, 1)], a readout projects back. Plain numpy, readable; the memory's fast
loops are tested against it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from engine.camera import Camera
from engine.errors import InputError

SAME_SURFACE = 0.05
"""Depths that differ by less than this share are one surface and may be averaged."""


def lift(depth_m: np.ndarray, camera: Camera, cell_center: float = 0.5) -> np.ndarray:
    """World points (h, w, 3) float64 of z-depths ``depth_m (h, w)`` on the camera's own grid.

    ``cell_center`` is where in its cell a depth sits: 0.5 as in the paper, 0.0 as in its released code. Infinite depth
    gives infinite points.
    """
    if depth_m.shape != camera.size:
        raise InputError(f"Depth of shape {depth_m.shape} does not belong to a camera of {camera.size}.")
    v, u = np.mgrid[: camera.height, : camera.width] + cell_center
    rays = np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(camera.K).T
    with np.errstate(invalid="ignore"):
        return np.asarray((rays * depth_m[..., None]) @ camera.c2w[:3, :3].T + camera.position)


def project(points: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixel coordinates x, y and z-depth in metres (n,) of world points (n, 3); x and y are NaN where z <= 0."""
    local = (points - camera.position) @ camera.c2w[:3, :3]
    pixels = local @ camera.K.T
    z = local[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(z > 0.0, 1.0 / z, np.nan)
    return pixels[:, 0] * scale, pixels[:, 1] * scale, z


def cells_of(x: np.ndarray, y: np.ndarray, camera: Camera, cell_center: float = 0.5) -> np.ndarray:
    """Row-major cell index (n,) int64 of pixel coordinates (n,), -1 outside the grid.

    With cell centres at 0.5 a cell holds what falls between its borders; at 0.0 (the released code) the nearest
    integer, half to even.
    """
    with np.errstate(invalid="ignore"):
        column, line = (np.rint(x), np.rint(y)) if cell_center == 0.0 else (np.floor(x), np.floor(y))
        inside = (column >= 0) & (column < camera.width) & (line >= 0) & (line < camera.height)
    index = np.where(inside, np.nan_to_num(line) * camera.width + np.nan_to_num(column), -1.0)
    return np.asarray(index.astype(np.int64))


def inverse_depth_samples(
    depth_m: np.ndarray, stride: int, samples: int, exclude: np.ndarray | None = None
) -> np.ndarray:
    """Inverse depth at the centres of a token's samples, from depth per pixel.

    A sample looks at the pixels around its centre. Where they are one surface they are averaged (in inverse depth); at
    a depth edge the nearest surface counts and nothing is mixed; a hole among them is left out, never averaged in. A
    sample is unknown if at least half of its area is excluded or has no depth, wherever in it that half lies.

    Args:
        depth_m: (H, W) z-depth in metres, inf for sky; 0, negative and NaN mean unknown. H and W are multiples of
            ``stride``.
        stride: pixels per token side, a multiple of ``samples``.
        samples: s, samples per token side.
        exclude: (H, W) bool, True where something moves and must not be remembered.

    Returns:
        (H // stride * s, W // stride * s) float32, 0 sky, NaN unknown.

    Raises:
        InputError: the sizes do not fit.
    """
    height, width = depth_m.shape
    if stride % samples or height % stride or width % stride:
        raise InputError(
            f"Depth of {height}x{width} pixels does not divide into tokens of {stride} pixels "
            f"with {samples}x{samples} samples."
        )
    if exclude is not None and exclude.shape != depth_m.shape:
        raise InputError(f"The mask of moving objects is {exclude.shape} but the depth is {depth_m.shape}.")
    step = stride // samples
    depth = np.asarray(depth_m, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.where(depth > 0.0, 1.0 / depth, np.nan)
    if exclude is not None:
        inverse[exclude] = np.nan
    areas = inverse.reshape(height // step, step, width // step, step).transpose(0, 2, 1, 3)
    known = (areas >= 0.0).mean(axis=(2, 3))
    low, high = (step - 1) // 2, step // 2 + 1
    middle = areas[:, :, low:high, low:high].reshape(*areas.shape[:2], -1)
    # Where the very centre is unknown but most of the sample is not, the rest of the sample answers.
    fallback = np.logical_not(np.any(middle >= 0.0, axis=2))
    whole = areas.reshape(*areas.shape[:2], -1)
    values = np.where(fallback[..., None], np.nan, middle)
    result = _one_surface(values)
    if fallback.any():
        result[fallback] = _one_surface(whole[fallback])
    result[known <= 0.5] = np.nan
    return result.astype(np.float32)


def _one_surface(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis where the known values are one surface, else their largest (the nearest surface); NaN if
    none is known."""
    valid = values >= 0.0
    low = np.where(valid, values, np.inf).min(axis=-1)
    high = np.where(valid, values, -1.0).max(axis=-1)
    mean = np.where(valid, values, 0.0).sum(axis=-1) / np.maximum(valid.sum(axis=-1), 1)
    nearest = np.where(high <= low * (1.0 + SAME_SURFACE), mean, high)
    return np.where(valid.any(axis=-1), nearest, np.nan)


def resize_bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """``image (H, W)`` resampled bilinearly with pixel centres aligned by area and no antialiasing; NaN spreads.

    This is how the paper's released code brings depth to the latent grid. It mixes holes and both sides of depth edges
    into surfaces that do not exist, so Mirage itself uses :func:`inverse_depth_samples`.
    """

    values = torch.from_numpy(np.ascontiguousarray(image, np.float32))[None, None]
    return np.asarray(functional.interpolate(values, size=(height, width), mode="bilinear", align_corners=False)[0, 0])


def resize_nearest(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """``image (H, W)`` sampled at the pixel below each target's top-left corner, as the released code does with
    masks."""
    lines = np.arange(height) * image.shape[0] // height
    columns = np.arange(width) * image.shape[1] // width
    return np.asarray(image[lines][:, columns])
