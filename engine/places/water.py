"""Where a place is a lake.

Water has no shape, so to a memory that has lost its own it is nearest of all; and who is over a lake would stay there,
for what it looks like most is a lake. So a place that renews a view is turned with land ahead.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.ndimage import uniform_filter1d
from torch import Tensor

from engine.camera import Camera
from engine.places.bank import Place
from engine.places.matching import AZIMUTHS

FARTHEST, STEEPEST = 1.0 / 60.0, 0.02
"""Inverse depth, 1/m, and fall of a ray: what is farther, or nearer to the horizon, tells nothing of its height."""
LEVEL, LEAST = 0.006, 0.04
"""Water is so level, as a share of how far it lies below the eye; so much of the ground that one sees is."""
LOWER = 0.005
"""No more lies lower than water does."""
AHEAD_RAD = math.radians(30.0)
"""What lies so far to both sides lies ahead."""


def water_ahead(place: Place) -> Tensor:
    """(AZIMUTHS,) in [0, 1]: the share of water in the near ground that one sees from a place in each direction."""
    azimuth, height = (np.concatenate(parts) for parts in zip(*map(_ground, place.views()), strict=True))
    if not len(height):
        return torch.zeros(AZIMUTHS)
    below = np.log(height)
    counts, edges = np.histogram(below, np.arange(below.min(), below.max() + 2.0 * LEVEL, LEVEL))
    level = edges[counts.argmax()] + 0.5 * LEVEL
    water = np.abs(below - level) < LEVEL
    if water.mean() < LEAST or (below > level + LEVEL).mean() > LOWER:
        return torch.zeros(AZIMUTHS)
    column = np.floor(azimuth * (AZIMUTHS / (2.0 * math.pi))).astype(np.int64) % AZIMUTHS
    shares = np.stack([np.bincount(column[part], minlength=AZIMUTHS) for part in (water, np.ones_like(water))])
    beside = round(AHEAD_RAD * AZIMUTHS / (2.0 * math.pi))
    wet, ground = uniform_filter1d(shares.astype(np.float64), 2 * beside + 1, axis=1, mode="wrap")
    return torch.from_numpy(wet / np.maximum(ground, 1e-6))


def _ground(view: tuple[Tensor, Tensor, Camera]) -> tuple[np.ndarray, np.ndarray]:
    """Azimuths in radians and depths below the eye in metres, (n,) each, of the near ground in a view."""
    _, inverse_depth, camera = view
    nearness = inverse_depth.numpy()
    rays = camera.resized(nearness.shape[1], nearness.shape[0]).rays()
    ground = (nearness > FARTHEST) & (rays[..., 2] < -STEEPEST)
    points = rays[ground] / nearness[ground][:, None] + camera.position
    points = points[points[:, 2] < -STEEPEST]
    return np.arctan2(points[:, 1], points[:, 0]), -points[:, 2]
