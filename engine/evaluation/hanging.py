"""What hangs in the air: what a long flight leaves of a thing when it loses the rest of it."""

from __future__ import annotations

import numpy as np
import torch

from engine.camera import Camera, elevation_rad
from engine.cells import connected
from engine.depth import SKY_INVERSE_DEPTH
from engine.disocclusion import surfaces

LOWEST_DEG = 3.0
"""What reaches down to so little above the horizon stands on something, as far as anybody can tell."""
ALIKE = 1.5
"""Neighbouring cells of one thing differ no more in depth."""


def hanging(inverse_depth: np.ndarray, camera: Camera, cells: tuple[int, int]) -> np.ndarray:
    """``cells (h, w)`` bool: those of a view that show what nothing carries: no ground, and nothing nearer that could
    hide its foot.

    Args:
        inverse_depth: (h*s, w*s) 1/m; what is no nearer than the sky is sky.
    """
    h, w = cells
    nearness, _ = surfaces(torch.from_numpy(np.array(inverse_depth, np.float32)), cells)
    solid = nearness > 1.2 * SKY_INVERSE_DEPTH
    label = connected(solid, nearness, ALIKE)
    low = elevation_rad(camera.resized(w, h).rays()) < np.deg2rad(LOWEST_DEG)
    low[-1] = low[:, 0] = low[:, -1] = True  # it may go on beyond the edge

    def any_of(part: np.ndarray) -> np.ndarray:
        return np.bincount(label[part & solid], minlength=label.max() + 1) > 0

    above, below = np.s_[:-1], np.s_[1:]
    rests = solid[above] & solid[below] & (nearness[below] * ALIKE > nearness[above])
    carried = any_of(low)
    while True:
        more = carried | any_of(np.pad(rests & carried[label[below]], ((0, 1), (0, 0))))
        if (more == carried).all():
            return solid & ~carried[label]
        carried = more
