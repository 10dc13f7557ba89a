"""What hangs in the air once what it stood on is forgotten: the top of a crown without its trunk.

Left there, it would be taken for a ridge on the horizon, which goes on.
"""

from __future__ import annotations

import numpy as np

from engine.camera import Camera
from engine.cells import connected, sky_share
from engine.disocclusion import surfaces
from engine.memory import Readout

LOWEST_DEG = 3.0
"""What reaches down to so little above the horizon stands on something, as far as anybody can tell."""
ALIKE = 1.5
"""Neighbouring cells of one thing differ no more in depth."""


def hanging(readout: Readout, camera: Camera, gone: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(h, w) bool: cells of a view that nothing carries any more: no ground, nothing nearer that could hide their foot.

    Args:
        gone: (h, w) bool, what is forgotten of ``readout``. true: (h, w) bool, what is as it was given: a mountain may
            stand behind a forgotten wood.
    """
    h, w = gone.shape
    nearness, _ = surfaces(readout.inverse_depth, (h, w))
    known = (readout.coverage > 0.0).cpu()
    solid = (known & (sky_share(readout, readout.coverage) <= 0.5).cpu()).numpy() & ~gone & (nearness > 0.0)
    label = connected(solid, nearness, ALIKE)
    low = elevation_deg(camera.resized(w, h).rays()) < LOWEST_DEG
    low[-1] = low[:, 0] = low[:, -1] = True  # it may go on beyond the edge

    def any_of(cells: np.ndarray) -> np.ndarray:
        return np.bincount(label[cells & solid], minlength=label.max() + 1) > 0

    above, below = np.s_[:-1], np.s_[1:]
    hides = nearness[below] * ALIKE > nearness[above]
    behind = true[above] & gone[below] & (nearness[below] > ALIKE * nearness[above])
    carried = any_of(low) | any_of(np.pad(behind, ((0, 1), (0, 0))))
    while True:
        on_top = solid[above] & solid[below] & hides & carried[label[below]]
        more = carried | any_of(np.pad(on_top, ((0, 1), (0, 0))))
        if (more == carried).all():
            return solid & ~carried[label]
        carried = more


def elevation_deg(directions: np.ndarray) -> np.ndarray:
    """(..., 3) world directions -> (...), degrees above the horizon."""
    return np.asarray(np.rad2deg(np.arctan2(directions[..., 2], np.hypot(directions[..., 0], directions[..., 1]))))
