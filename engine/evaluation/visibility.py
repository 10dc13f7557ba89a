"""What one true view shows of another: masks and warps from exact depth, independent of any memory."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

from engine.camera import Camera

SAME_SURFACE = 0.03
"""A surface within this share of the depth that the other view has at that pixel is the same one."""


def reproject(camera: Camera, depth_m: Tensor, other: Camera) -> tuple[Tensor, Tensor]:
    """Where the pixels of ``camera`` with ``depth_m (H, W)`` (inf: sky) lie in ``other``.

    Returns:
        pixels (H, W, 2) float32 x, y in ``other``'s pixels, NaN behind it; z_m (H, W) float32, inf for sky.
    """
    rays = torch.from_numpy(camera.rays())  # world directions with camera z = 1
    rotation = torch.from_numpy(other.c2w[:3, :3].copy())
    depth = depth_m.double()
    sky = torch.isinf(depth)
    offset = torch.from_numpy(camera.position - other.position)
    world = torch.where(sky[..., None], rays, rays * depth.nan_to_num(posinf=1.0)[..., None] + offset)
    local = world @ rotation
    z = local[..., 2]
    image = local @ torch.from_numpy(other.K.copy()).T
    ahead = z > 1e-6
    pixels = torch.where(ahead[..., None], image[..., :2] / z.clamp(min=1e-6)[..., None], torch.nan)
    return pixels.float(), torch.where(sky, torch.inf, z).float()


def _inside(pixels: Tensor, camera: Camera) -> Tensor:
    x, y = pixels[..., 0], pixels[..., 1]
    return (x >= 0.5) & (x <= camera.width - 0.5) & (y >= 0.5) & (y <= camera.height - 0.5)


def _sample(image: Tensor, pixels: Tensor, mode: str) -> Tensor:
    """``image (C, H, W)`` at ``pixels (h, w, 2)`` -> (C, h, w)."""
    size = image.new_tensor([image.shape[-1], image.shape[-2]])
    grid = (pixels.nan_to_num(nan=-1e4) / size * 2.0 - 1.0)[None]
    return grid_sample(image[None], grid, mode=mode, padding_mode="border", align_corners=False)[0]


def seen_from(target: Camera, target_depth_m: Tensor, source: Camera, source_depth_m: Tensor) -> Tensor:
    """(H, W) bool: pixels of ``target`` whose surface (or sky) the view from ``source`` saw too.

    Args:
        target_depth_m, source_depth_m: (H, W) float32 exact z-depth, inf for sky.
    """
    pixels, z = reproject(target, target_depth_m, source)
    there = _sample(source_depth_m.nan_to_num(nan=0.0, posinf=1e9)[None].float(), pixels, "nearest")[0]
    surface = (there - z).abs() <= SAME_SURFACE * z + 0.05
    same = torch.where(torch.isinf(z), there >= 1e9, surface & (there < 1e9))
    return same & _inside(pixels, source) & ~torch.isnan(target_depth_m)


def whole_cells(mask: Tensor, stride: int, share: float = 0.99) -> Tensor:
    """``mask (H, W)`` bool -> (h, w) bool: cells of which at least ``share`` is set."""
    return avg_pool2d(mask[None, None].float(), stride)[0, 0] >= share


def cells_to_pixels(cells: Tensor, stride: int) -> np.ndarray:
    """``cells (h, w)`` bool -> (h * stride, w * stride) bool numpy."""
    return cells.repeat_interleave(stride, 0).repeat_interleave(stride, 1).cpu().numpy()


class Warp:
    """From one true view into another by exact depth; computed once and applied to the frames of every variant.

    Args:
        source, target: cameras. source_depth_m, target_depth_m: (H, W) float32 exact z-depth, inf for sky.
    """

    def __init__(self, source: Camera, source_depth_m: Tensor, target: Camera, target_depth_m: Tensor) -> None:
        self._pixels, _ = reproject(target, target_depth_m, source)
        self.valid = seen_from(target, target_depth_m, source, source_depth_m).numpy()
        """(H, W) bool: in sight of both views."""

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """``image (H, W, 3)`` uint8 of the source as it must look from the target: (H, W, 3) float64 in [0, 1]."""
        rgb = torch.from_numpy(image.astype(np.float32) / 255.0).permute(2, 0, 1)
        return _sample(rgb, self._pixels, "bilinear").permute(1, 2, 0).numpy().astype(np.float64)
