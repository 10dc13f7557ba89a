"""What kind of room it is that one sees through a door.

Rooms differ by what stands where in them: pillars, a vault, hedges under the sky, rows of tables. Of that a door shows
little, from the far side of a hall a few dozen cells. How much each of them tells is learned
(:mod:`engine.training.kinds`); which of the stored rooms of that kind goes on best is compared
(:mod:`engine.places.rooms`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from engine.camera import Camera
from engine.memory import Readout
from engine.places.module import SIDES, Point

GEOMETRY = 6
"""Numbers beside its latents that describe a cell."""
FEWEST = 16
"""Fewer cells tell nothing."""
ALONG_M, UP_M, DEEPEST, COARSEST = 10.0, 5.0, 6.0, 4.0
"""Units of place, the most nepers of depth, and the most octaves of magnification, that are told apart."""


@dataclass(frozen=True, eq=False)
class Kinds:
    """Tells kinds of rooms.

    Attributes:
        tell: (n, C + GEOMETRY) cells, see :func:`described` -> (kinds,) how likely each kind is.
        of_rooms: the kind of each stored room, in order.
    """

    tell: Callable[[Tensor], Tensor]
    of_rooms: tuple[int, ...]


def described(features: Tensor, view: Readout, cells: Tensor, camera: Camera, middle: Point, side: int) -> Tensor:
    """What is told of the next room by some ``cells (h, w)`` bool of a view: (n, C + GEOMETRY), their looks, where in
    the room they lie as one comes in, how far away, whether that is sky, and how magnified they are.

    Args:
        features: (C, h, w), the view's, normalised. middle: of the next room. side: that it lies on, an index into
            :data:`engine.places.module.SIDES`.
    """
    h, w = cells.shape
    ahead = torch.tensor([*SIDES[side], 0.0])
    left = torch.stack([-ahead[1], ahead[0], ahead[2]])
    nearness = max_pool2d(view.inverse_depth[None], view.inverse_depth.shape[-1] // w)[0][cells]
    sky = nearness == 0.0
    rays = torch.from_numpy(camera.resized(w, h).rays()).float()[cells]
    here = torch.from_numpy(camera.position - np.asarray(middle)).float()
    points = torch.where(sky[:, None], 0.0, rays / nearness.clamp(min=1e-3)[:, None] + here)
    geometry = (
        points @ ahead / ALONG_M,
        points @ left / ALONG_M,
        points[:, 2] / UP_M,
        -torch.where(sky, DEEPEST, -nearness.clamp(min=1e-3).log()) + 0.5 * DEEPEST,
        sky.float(),
        view.log2_scale[cells].clamp(-COARSEST, COARSEST),
    )
    return torch.cat([features[:, cells].T, torch.stack(geometry, dim=1)], dim=1)
