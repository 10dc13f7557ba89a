"""What a view must be before the memory takes it."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from engine.camera import Camera
from engine.errors import InputError
from engine.memory.config import LatentView, MemoryConfig
from engine.memory.store import pack_camera


def latent_camera(config: MemoryConfig, camera: Camera) -> Camera:
    """``camera`` on the latent grid.

    Raises:
        InputError: the image size is not a multiple of the stride.
    """
    stride = config.stride
    if camera.width % stride or camera.height % stride or camera.width < stride or camera.height < stride:
        nearest = [max(stride, size // stride * stride) for size in camera.size]
        raise InputError(
            f"The camera's image size must be a multiple of {stride}; {camera.height}x{camera.width} is not "
            f"(try {nearest[0]}x{nearest[1]})."
        )
    return camera.latent(stride)


def checked_view(config: MemoryConfig, view: LatentView) -> tuple[np.ndarray, np.ndarray, Camera]:
    """Latents (C, h, w) and inverse depth (hs, ws) as float32 arrays, and the camera on the latent grid.

    Raises:
        InputError: shapes do not fit the configuration, or values are not finite.
    """
    camera = latent_camera(config, view.camera)
    latents, inverse_depth = _as_array(view.latents), _as_array(view.inverse_depth)
    s, expected = config.samples, (config.channels, camera.height, camera.width)
    if latents.shape != expected:
        raise InputError(f"The memory expects latents of shape {expected} for this camera; they have {latents.shape}.")
    if inverse_depth.shape != (camera.height * s, camera.width * s):
        raise InputError(
            f"The memory expects inverse depth of shape {(camera.height * s, camera.width * s)}; "
            f"it has {inverse_depth.shape}."
        )
    if not np.isfinite(latents).all():
        raise InputError("The latents to be written hold values that are not numbers; the frame is not written.")
    if (inverse_depth < 0.0).any() or (inverse_depth > 6e4).any():
        raise InputError(
            "Inverse depth must be 0 (sky), positive per metre or NaN (unknown); "
            "this frame has negative or infinite values."
        )
    pack_camera(camera)
    return latents, inverse_depth, camera


def _as_array(values: Tensor | np.ndarray) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    return np.ascontiguousarray(values, dtype=np.float32)
