"""Sky above a court: from its middle the walls hide sky that is seen above them from farther off."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from engine.camera import Camera
from engine.cells import cell_means
from engine.depth import SKY_INVERSE_DEPTH
from engine.hole_filling import fill_holes
from engine.memory import LatentView
from engine.places.bank import Place

OPEN = 0.5
"""So much sky is seen straight above in a court."""


def is_court(place: Place) -> bool:
    """Whether a place of a building has sky for a ceiling."""
    up = int(np.argmax([camera.c2w[2, 2] for camera in place.cameras]))
    return float(_sky(place.latents[up], place.inverse_depth[up]).float().mean()) > OPEN


def sky_behind(camera: Camera, latents: Tensor, inverse_depth: Tensor) -> LatentView | None:
    """A second layer of a view (C, h, w), (h*s, w*s) 1/m: its sky, without clouds, behind all that stands above the
    horizon; ``None`` where it shows none."""
    sky = _sky(latents, inverse_depth)
    if not bool(sky.any()):
        return None
    high = torch.from_numpy(camera.resized(sky.shape[1], sky.shape[0]).rays()[..., 2] > 0.0)
    side = inverse_depth.shape[-1] // sky.shape[-1]
    hidden = (high & ~sky).repeat_interleave(side, 0).repeat_interleave(side, 1)
    depth = torch.where(hidden, 0.0, float("nan"))
    return LatentView(camera, fill_holes(latents, sky), depth)


def _sky(latents: Tensor, inverse_depth: Tensor) -> Tensor:
    """(h, w) bool: cells of nothing but sky."""
    return cell_means((inverse_depth < SKY_INVERSE_DEPTH).float(), latents[0]) > 0.99
