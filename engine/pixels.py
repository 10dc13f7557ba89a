"""Pictures on their way into the engine and out of it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class RgbdView(Protocol):
    """A picture with depth: ``engine.images.RgbdImage``, ``engine.worlds.Frame``."""

    @property
    def rgb(self) -> np.ndarray | Tensor:
        """(3, H, W) float32 in [0, 1]."""

    @property
    def depth_m(self) -> np.ndarray | Tensor:
        """(H, W) float32 z-depth; inf is sky, NaN unknown."""


def to_uint8(rgb: Tensor) -> np.ndarray:
    """``rgb (3, H, W)`` in [0, 1] -> (H, W, 3) uint8, read-only."""
    image = (rgb.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()
    image.setflags(write=False)
    return image


def frozen_numpy(tensor: Tensor) -> np.ndarray:
    """A read-only copy of a tensor as numpy."""
    array = tensor.detach().cpu().numpy().copy()
    array.setflags(write=False)
    return array
