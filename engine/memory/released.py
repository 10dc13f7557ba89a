"""The released code's rules for what enters the memory, so that its results can be reproduced with ours.

They differ from Mirage's own in ways that its authors' data shows to be wrong (see ``engine.geometry``): depth is
resized bilinearly across holes and edges, masks are sampled at one pixel a cell, and cells sit at integer coordinates.
Nothing but comparisons uses them.
"""

from __future__ import annotations

import numpy as np
import torch

from engine.camera import Camera
from engine.geometry import resize_bilinear, resize_nearest
from engine.memory.config import LatentView, MemoryConfig


def released_config(channels: int, stride: int = 8) -> MemoryConfig:
    """A memory that behaves like the released one: every token appended, nearest readout, exact storage, no sky."""
    return MemoryConfig(
        channels=channels,
        stride=stride,
        samples=1,
        policy="append",
        readout="nearest",
        cell_center=0.0,
        precision="single",
        sky=False,
    )


def released_camera(c2w: np.ndarray, K_latent: np.ndarray, height: int, width: int, stride: int = 8) -> Camera:
    """The image-size camera whose latent grid of (height, width) cells has intrinsics ``K_latent (3, 3)``."""
    scale = np.diag([stride, stride, 1.0])
    return Camera(c2w, scale @ K_latent, width * stride, height * stride)


def released_depth(
    depth_m: np.ndarray, height: int, width: int, mask: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Depth (height, width) float32 at latent size and which of it is valid, from ``depth_m (H, W)`` and an excluding
    mask (H, W)."""
    depth = resize_bilinear(depth_m, height, width)
    with np.errstate(invalid="ignore"):
        valid = np.isfinite(depth) & (depth > 0.0)
    if mask is not None:
        valid &= ~resize_nearest(mask, height, width)
    return depth, valid


def released_view(
    depth_m: np.ndarray, K: np.ndarray, c2w: np.ndarray, latents: np.ndarray, mask: np.ndarray | None, stride: int = 8
) -> LatentView:
    """What the released code would write of one frame.

    Args:
        depth_m: (H, W) float32; zero, negative and NaN are invalid.
        K: (3, 3) intrinsics of the depth image. c2w: (4, 4).
        latents: (C, h, w) float32.
        mask: (H, W) bool, True is excluded, or None.
    """
    height, width = latents.shape[1:]
    depth, valid = released_depth(depth_m, height, width, mask)
    K_latent = latent_intrinsics(K, depth_m.shape, height, width)
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse_depth = np.where(valid, 1.0 / depth, np.nan).astype(np.float32)
    return LatentView(released_camera(c2w, K_latent, height, width, stride), latents, inverse_depth)


def released_points(depth_m: np.ndarray, K: np.ndarray, c2w: np.ndarray, height: int, width: int) -> np.ndarray:
    """World points (n, 3) float32 of the valid cells of ``depth_m (H, W)``, row-major, in the released code's float32
    arithmetic."""
    depth, valid = released_depth(depth_m, height, width)
    K_latent, pose = latent_intrinsics(K, depth_m.shape, height, width), c2w.astype(np.float32)
    line, column = (index[valid].astype(np.float32) for index in np.mgrid[:height, :width])
    z = depth[valid]
    x, y = (column - K_latent[0, 2]) * z / K_latent[0, 0], (line - K_latent[1, 2]) * z / K_latent[1, 1]
    local, rotation = torch.from_numpy(np.stack([x, y, z], axis=1)), torch.from_numpy(pose[:3, :3].copy())
    return np.asarray((local @ rotation.T).numpy() + pose[:3, 3])


def latent_intrinsics(K: np.ndarray, image_size: tuple[int, ...], height: int, width: int) -> np.ndarray:
    """(3, 3) float32 ``K`` of an image of ``image_size`` (H, W), for its latent grid."""
    scaled = K.astype(np.float32)
    scaled[0] *= np.float32(width / image_size[1])
    scaled[1] *= np.float32(height / image_size[0])
    return scaled
