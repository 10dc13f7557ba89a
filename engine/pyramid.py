"""A first view at several scales: what is given finer than frames is remembered as finely.

A flight comes nearer to what it first saw, and frames hold no more of it than they show. But a world can be looked at
more closely, and a photograph has more pixels than a frame. So a first view may be a pyramid (Williams 1983); each of
its levels is encoded by itself, and the memory shows the one that suits, see :mod:`engine.memory.levels`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from engine.backdrop import backdrop
from engine.camera import Camera
from engine.cells import in_samples
from engine.depth import sample_inverse_depth
from engine.errors import InputError
from engine.memory import LatentView, fits_memory
from engine.pixels import RgbdView
from engine.world_model import WorldModel

if TYPE_CHECKING:
    from engine.worlds import World

FINEST_LEVEL = 2
"""Times that the finest level doubles a frame's pixels a side."""
FARTHEST_M = 150.0
"""What lies farther is not looked at from much nearer soon: it has no finer level."""


@dataclass(frozen=True, eq=False)
class Pyramid:
    """A picture with depth, and the same picture finer.

    Attributes:
        base: of a frame's size.
        finer: (3, H, W) float32 in [0, 1] each, with twice as many pixels a side as the one before.
        depth_m: (H, W) of the finest, as :class:`RgbdView` has it.

    Raises:
        InputError: sizes do not double, or the depth is not of the finest one's.
    """

    base: RgbdView
    finer: tuple[np.ndarray | Tensor, ...] = ()
    depth_m: np.ndarray | Tensor | None = None

    def __post_init__(self) -> None:
        height, width = self.base.rgb.shape[-2:]
        for n, rgb in enumerate(self.finer, start=1):
            if tuple(rgb.shape) != (3, height << n, width << n):
                raise InputError(
                    f"Level {n} of a first view must be {height << n}x{width << n}; it is {tuple(rgb.shape)}."
                )
        size = (height << len(self.finer), width << len(self.finer))
        if self.finer and (self.depth_m is None or tuple(self.depth_m.shape) != size):
            raise InputError(f"A first view's depth must be of its finest level, {size[0]}x{size[1]}.")


FirstView = RgbdView | Pyramid
"""What a world begins with."""


def levels_for(size: tuple[int, int], stride: int) -> int:
    """How many finer levels a first view of frames of ``size`` (height, width) has: as many as the memory can take."""
    h, w = size[0] // stride, size[1] // stride
    return sum(fits_memory(h << level, w << level) for level in range(1, FINEST_LEVEL + 1))


def finer_views(
    model: WorldModel, camera: Camera, pyramid: Pyramid, *, layered: bool = True
) -> tuple[list[LatentView], LatentView | None]:
    """What is remembered of a pyramid's finer levels.

    Args:
        camera: of the base. layered: what stands behind near things may be guessed.

    Returns:
        the levels, coarse to fine: latents, and depth where a surface is near enough to be worth it, in whole tokens of
        the level before, NaN elsewhere; and what stands behind near things, as the first of them has it.
    """
    views: list[LatentView] = []
    behind = None
    for rgb in pyramid.finer:
        picture = torch.as_tensor(rgb, dtype=torch.float32)
        latents = model.encode(picture[None].to(model.device))[0]
        h, w = latents.shape[-2:]
        s = model.spec.geometry_samples
        inverse = sample_inverse_depth(torch.as_tensor(pyramid.depth_m, dtype=torch.float32), h * s, w * s)
        near = (inverse > 1.0 / FARTHEST_M).view(h // 2, 2 * s, w // 2, 2 * s).any(dim=3).any(dim=1)
        worth = in_samples(near, inverse)
        view = camera.resized(picture.shape[-1], picture.shape[-2])
        if layered and not views:
            everywhere = torch.ones(h, w, dtype=torch.bool)
            behind = backdrop(view, latents.float(), inverse, everywhere, fineness=2)
        views.append(LatentView(view, latents, torch.where(worth, inverse, float("nan"))))
    return views, behind


def see_first(world: World, camera: Camera, levels: int, supersample: int = 2) -> FirstView:
    """A procedural world's view from ``camera``, by ``supersample`` rays a pixel's side, with ``levels`` finer ones; of
    a building with pictures on the panes of its windows."""
    from engine.worlds import reconstruct

    base = world.render(camera, supersample, panes=True)
    if not levels:
        return base
    fine = world.render(camera.resized(camera.width << levels, camera.height << levels), panes=True)
    finer = [fine.rgb]
    while len(finer) < levels:
        finer.insert(0, reconstruct(avg_pool2d(finer[0][None], 2)[0]))
    return Pyramid(base, tuple(finer), fine.depth_m)
