"""Films where country gives way to other country: the one dissolves into the other, as it does before one's eyes.

A frame in which much changes at once looks like a cut. So the last one before it goes on, carried along by its own
depth, and fades: each pixel of the new view looks for what it shows along its ray, by fixed-point iteration (Bowles et
al. 2012, "Iterative Image Warping").
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from engine.camera import Camera
from engine.messages import StepResult

DISSOLVE_S = 0.5
"""So long it takes."""
STEPS = 6
"""Iterations. Where a near thing hid what there is to be seen they end somewhere beside it, which will do."""


class Dissolve:
    """Remembers what the last frames of a film showed.

    Args:
        fps: frames per second of the film.
    """

    def __init__(self, fps: float) -> None:
        self._frames = round(DISSOLVE_S * fps)
        self._left = 0
        self._last: StepResult | None = None
        self._leaving: StepResult | None = None

    def shown(self, result: StepResult) -> StepResult:
        """The next frame of the film, with what it shows instead of its pictures; the same one where nothing gave way
        lately."""
        if result.renewed and self._last is not None:
            self._left, self._leaving = self._frames, self._last
        if self._left and self._leaving is not None and self._leaving.rgb.shape == result.rgb.shape:
            share = self._left / (self._frames + 1)
            self._left -= 1
            fine = result.fine_rgb
            if fine is not None and self._leaving.fine_rgb is not None:
                fine = _mixed(fine, self._leaving.fine_rgb, self._leaving, result.camera, share)
            rgb = _mixed(result.rgb, self._leaving.rgb, self._leaving, result.camera, share)
            result = replace(result, rgb=rgb, fine_rgb=fine)
        else:
            self._left, self._leaving = 0, None
        self._last = result
        return result


def _mixed(rgb: np.ndarray, leaving: np.ndarray, seen: StepResult, camera: Camera, share: float) -> np.ndarray:
    """``rgb (H, W, 3)`` uint8 with a ``share`` of ``leaving``, which ``seen`` showed, as ``camera`` would see it."""
    height, width = rgb.shape[:2]
    at, found = source_of(seen.camera.resized(width, height), camera.resized(width, height), seen.inverse_depth)
    old = torch.tensor(leaving).permute(2, 0, 1)[None].float()
    old = grid_sample(old, at[None], mode="bilinear", padding_mode="border", align_corners=False)[0].permute(1, 2, 0)
    mixed = torch.lerp(torch.tensor(rgb).float(), old, share * found[..., None].float())
    picture = mixed.round().clamp(0.0, 255.0).to(torch.uint8).numpy()
    picture.setflags(write=False)
    return picture


def source_of(old: Camera, new: Camera, inverse_depth: np.ndarray) -> tuple[Tensor, Tensor]:
    """Where in ``old`` what each pixel of ``new`` shows was seen.

    Args:
        inverse_depth: (hs, ws) of the old view, 1/m; 0 is sky.

    Returns:
        (H, W, 2) in [-1, 1], as :func:`torch.nn.functional.grid_sample` has it, and (H, W) bool where that is in
        the picture.
    """
    rays = torch.tensor(new.rays() @ old.c2w[:3, :3], dtype=torch.float32)
    eye = torch.tensor((new.position - old.position) @ old.c2w[:3, :3], dtype=torch.float32)
    K = torch.tensor(old.K, dtype=torch.float32)
    depths = torch.tensor(inverse_depth, dtype=torch.float32)[None, None]
    size = torch.tensor([old.width, old.height], dtype=torch.float32)
    along = rays / rays[..., 2:].clamp(min=1e-3)

    def pixel(nearness: Tensor) -> Tensor:
        """(H, W, 2) where the point on each ray that lies so near (1/m) to the old view is seen in it."""
        point = (1.0 - nearness * eye[2]) * along + nearness * eye
        return (point @ K.T)[..., :2]

    at = pixel(torch.zeros(new.height, new.width, 1))
    for _ in range(STEPS):
        grid = 2.0 * at / size - 1.0
        nearness = grid_sample(depths, grid[None], padding_mode="border", align_corners=False)[0, 0]
        at = pixel(nearness[..., None])
    before = (rays[..., 2] > 1e-3) & (nearness * eye[2] < 1.0)
    inside = ((at >= 0.0) & (at <= size)).all(-1)
    return 2.0 * at / size - 1.0, before & inside
