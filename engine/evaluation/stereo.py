"""Depth of a recorded clip's first frame from its own posed frames: a plane sweep (Collins 1996).

Recordings come without depth, and every variant begins with the same first view; this gives it one that no memory made.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

from engine.camera import Camera

PLANES = 72
WINDOW = 7
NEAREST_BASELINES, FARTHEST_BASELINES = 1.5, 150.0
"""Depths that are tried, as multiples of the largest baseline."""
TRUNCATE = 0.2
DISTINCT = 0.75
"""A depth counts where its cost is below this share of the typical cost over all planes."""
GOOD_COST = 0.06


def plane_sweep(rgb: Tensor, camera: Camera, others: Sequence[tuple[Tensor, Camera]]) -> Tensor:
    """z-depth (H, W) of ``rgb (3, H, W)``, NaN where the other views do not agree on one.

    Args:
        others: views (3, H, W) in [0, 1] of the same size with their cameras, some way off.

    For every fronto-parallel plane the other views are warped into the reference and compared in a window (truncated
    L1);
    the better half of the views decides, so that what is hidden in some does not count.
    """
    baseline = max(float(np.linalg.norm(other.position - camera.position)) for _, other in others)
    inverse = torch.linspace(1.0 / (NEAREST_BASELINES * baseline), 1.0 / (FARTHEST_BASELINES * baseline), PLANES)
    rays = torch.from_numpy(camera.rays())
    costs = torch.empty(PLANES, *rgb.shape[1:])
    for n, rho in enumerate(inverse.tolist()):
        points = rays / rho
        per_view = torch.stack([_mismatch(rgb, points, camera, image, other) for image, other in others])
        costs[n] = per_view.sort(dim=0).values[: max(1, (len(others) + 1) // 2)].mean(0)
    best, index = costs.min(0)
    depth_m = 1.0 / _between_planes(costs, index, inverse)
    certain = (best < GOOD_COST) & (best < DISTINCT * costs.median(0).values) & (index > 0) & (index < PLANES - 1)
    return torch.where(certain, depth_m, torch.nan)


def _between_planes(costs: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
    """Inverse depth at the vertex of the parabola through the best plane and its neighbours; all (H, W)."""
    inner = index.clamp(1, len(inverse) - 2)
    low, middle, high = (costs.gather(0, (inner + k)[None])[0] for k in (-1, 0, 1))
    shift = (0.5 * (low - high) / (low - 2.0 * middle + high).clamp(min=1e-6)).clamp(-0.5, 0.5)
    return inverse[inner] + shift * (inverse[1] - inverse[0])


def _mismatch(rgb: Tensor, points: Tensor, camera: Camera, image: Tensor, other: Camera) -> Tensor:
    """(H, W) windowed truncated L1 of ``rgb`` and ``image`` at ``points (H, W, 3)``, metres from ``camera``."""
    offset = torch.from_numpy(camera.position - other.position)
    local = (points + offset) @ torch.from_numpy(other.c2w[:3, :3].copy())
    pixels = local @ torch.from_numpy(other.K.copy()).T
    z = pixels[..., 2].clamp(min=1e-6)
    size = torch.tensor([other.width, other.height])
    grid = ((pixels[..., :2] / z[..., None]) / size * 2.0 - 1.0).float()
    warped = grid_sample(image[None], grid[None], mode="bilinear", padding_mode="border", align_corners=False)[0]
    difference = (warped - rgb).abs().mean(0)
    outside = (grid.abs() > 1.0).any(-1) | (local[..., 2] <= 0)
    difference = torch.where(outside, difference.new_tensor(TRUNCATE), difference.clamp(max=TRUNCATE))
    pad = WINDOW // 2
    return avg_pool2d(difference[None, None], WINDOW, stride=1, padding=pad, count_include_pad=False)[0, 0]
