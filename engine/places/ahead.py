"""Where in a place one can go on: not out over a lake, nor into a hill.

Water has no shape, so to a memory that has lost its own it is nearest of all; and who is over a lake would stay there,
for what it looks like most is a lake. Who flies into a hill or a crown sees nothing else until the next place. So a
place that renews a view is turned with open land ahead.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.ndimage import uniform_filter1d
from torch import Tensor

from engine.ground import clearance_m
from engine.places.bank import Place
from engine.places.matching import AZIMUTHS, columns_along

FARTHEST, STEEPEST = 1.0 / 250.0, 0.008
"""Inverse depth, 1/m, and slope: what is farther, or nearer to the horizon, tells nothing of its height."""
LEVEL, LEAST = 0.006, 0.04
"""Water is so level, as a share of how far it lies below the eye; so much of the ground that one sees is."""
LOWER = 0.005
"""No more lies lower than water does."""
AHEAD_RAD, BEFORE_RAD = math.radians(30.0), math.radians(12.0)
"""What lies so far to both sides lies ahead; and so far, before one."""
SOON_M, LOWEST, HIGHEST = 25.0, -0.4, 0.4
"""One soon flies into what is no farther, and between so much lower and higher than one is above the ground."""


def water_ahead(place: Place) -> Tensor:
    """(AZIMUTHS,) in [0, 1]: the share of water in the ground that one sees from a place in each direction, a metre of
    the way as much as any other that is so far in octaves: a sea beyond a beach is most of it."""
    points = _points(place)
    distance = np.hypot(points[:, 0], points[:, 1])
    ground = points[:, 2] < -STEEPEST * np.maximum(distance, 1.0)
    points, distance = points[ground], distance[ground]
    if not len(points):
        return torch.zeros(AZIMUTHS)
    below = np.log(-points[:, 2])
    counts, edges = np.histogram(below, np.arange(below.min(), below.max() + 2.0 * LEVEL, LEVEL))
    level = edges[counts.argmax()] + 0.5 * LEVEL
    water = np.abs(below - level) < LEVEL
    if water.mean() < LEAST or (below > level + LEVEL).mean() > LOWER:
        return torch.zeros(AZIMUTHS)
    # A row of a view sees so much less of the way in octaves as it looks farther.
    return _share_ahead(columns_along(points), water, distance, AHEAD_RAD)


def blocked_ahead(place: Place) -> Tensor:
    """(AZIMUTHS,) in [0, 1]: in how much of what lies before one in each direction something stands in the way."""
    eyes = [
        clearance_m(camera, inverse_depth, torch.ones(latents.shape[-2:], dtype=torch.bool))
        for latents, inverse_depth, camera in place.views()
    ]
    eye_m = float(np.median([eye for eye in eyes if eye] or [0.0]))
    points = _points(place)
    soon = np.hypot(points[:, 0], points[:, 1]) < SOON_M
    way = soon & (points[:, 2] > LOWEST * eye_m) & (points[:, 2] < HIGHEST * eye_m)
    column = np.arange(AZIMUTHS)
    blocked = np.isin(column, columns_along(points[way]))
    return _share_ahead(column, blocked, np.ones(AZIMUTHS), BEFORE_RAD)


def _points(place: Place) -> np.ndarray:
    """(n, 3) metres: what one sees from a place, but for what is far."""
    points = []
    for _, inverse_depth, camera in place.views():
        nearness = inverse_depth.numpy()
        near = nearness > FARTHEST
        rays = camera.resized(nearness.shape[1], nearness.shape[0]).rays()
        points.append(rays[near] / nearness[near][:, None] + camera.position)
    return np.concatenate(points)


def _share_ahead(column: np.ndarray, chosen: np.ndarray, weight: np.ndarray, beside_rad: float) -> Tensor:
    """(AZIMUTHS,) the share of the ``chosen`` by ``weight``, all (n,) with the ``column`` each lies in, so far to both
    sides of each direction."""
    sums = np.stack([np.bincount(column, part, minlength=AZIMUTHS) for part in (weight * chosen, weight)])
    beside = round(beside_rad * AZIMUTHS / (2.0 * math.pi))
    part, whole = uniform_filter1d(sums, 2 * beside + 1, axis=1, mode="wrap")
    return torch.from_numpy(part / np.maximum(whole, 1e-6))
