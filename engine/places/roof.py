"""Sky above a court: from its middle the walls hide sky that is seen above them from farther off."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from engine.camera import Camera
from engine.hole_filling import fill_holes
from engine.memory import LatentView
from engine.places.bank import Place, unknown_cells
from engine.places.glow import sky_cells

OPEN = 0.5
"""So much sky is seen straight above in a court."""


def is_court(place: Place) -> bool:
    """Whether a place of a building has sky for a ceiling."""
    up = int(np.argmax([camera.c2w[2, 2] for camera in place.cameras]))
    return float(sky_cells(place.latents[up], place.inverse_depth[up]).float().mean()) > OPEN


def sky_behind(camera: Camera, latents: Tensor, inverse_depth: Tensor) -> LatentView | None:
    """A second layer of a view (C, h, w), (h*s, w*s) 1/m: its sky, without clouds, behind all that stands above the
    horizon; ``None`` where it shows none."""
    sky = sky_cells(latents, inverse_depth)
    if not bool(sky.any()):
        return None
    high = torch.from_numpy(camera.resized(sky.shape[1], sky.shape[0]).rays()[..., 2] > 0.0)
    side = inverse_depth.shape[-1] // sky.shape[-1]
    hidden = high & ~sky & ~unknown_cells(inverse_depth, sky.shape[1])
    hidden = hidden.repeat_interleave(side, 0).repeat_interleave(side, 1)
    depth = torch.where(hidden, 0.0, float("nan"))
    return LatentView(camera, fill_holes(latents, sky), depth)
