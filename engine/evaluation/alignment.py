"""A pose to a fraction of a pixel: direct image alignment (Steinbruecker et al. 2011, Kerl et al. 2013).

Corners are found to a pixel or so, which on a way of a few metres is more than what is to be measured. So the pose that
they give is moved until what the first view saw lies where the picture shows it, by grey levels.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

BLURS_PX = (3.0, 1.5, 0.8)
"""Coarse to fine."""
ROUNDS = 12
"""Gauss-Newton steps at each."""
TUKEY = 4.685
"""Standard deviations, from the median deviation, beyond which a pixel shows something else."""
LEAST_SLOPE = 1.0
"""Grey levels a pixel: where the first view has less texture, it tells nothing of where it is."""
LEAST_PIXELS = 200
SMALLEST_STEP = 1e-6


class Alignment:
    """Aligns pictures to one reference.

    Args:
        grey: (H, W) grey levels of the reference. points: (H, W, 3) world metres of its pixels, NaN where unknown.
    """

    def __init__(self, grey: np.ndarray, points: np.ndarray) -> None:
        self._grey, self._points = grey, points

    def aligned(self, w2c: np.ndarray, grey: np.ndarray, K: np.ndarray) -> np.ndarray:
        """``w2c (4, 4)``, about right, moved to where the picture ``grey (H, W)`` of a lens ``K`` agrees best with the
        reference, up to brightness and contrast; as it was where too little of it is in sight."""
        found = w2c
        for blur in BLURS_PX:
            reference = gaussian_filter(self._grey, blur)
            told = np.isfinite(self._points).all(axis=-1) & (np.hypot(*np.gradient(reference)) > LEAST_SLOPE / blur)
            moved = _descend(found, self._points[told], reference[told], gaussian_filter(grey, blur), K)
            if moved is None:
                return found
            found = moved
        return found


def _descend(
    w2c: np.ndarray, points: np.ndarray, reference: np.ndarray, grey: np.ndarray, K: np.ndarray
) -> np.ndarray | None:
    """Gauss-Newton from ``w2c`` over its six parameters, gain and offset, with Tukey's weights; ``None`` where fewer
    than ``LEAST_PIXELS`` of ``points (n, 3)``, that looked like ``reference (n,)``, are in the picture."""
    slopes = np.gradient(grey)
    height, width = grey.shape
    gain, offset = 1.0, 0.0
    for _ in range(ROUNDS):
        local = points @ w2c[:3, :3].T + w2c[:3, 3]
        x, y = (local @ K.T)[:, :2].T / np.maximum(local[:, 2], 1e-3)
        inside = (local[:, 2] > 0.1) & (x > 1) & (x < width - 1) & (y > 1) & (y < height - 1)
        if inside.sum() < LEAST_PIXELS:
            return None
        local, aim = local[inside], reference[inside]
        at = np.stack([y[inside] - 0.5, x[inside] - 0.5])
        shown, down, across = (map_coordinates(image, at, order=1) for image in (grey, *slopes))
        residual = shown - (gain * aim + offset)
        spread = 1.4826 * np.median(np.abs(residual)) + 1e-6
        weight = np.clip(1.0 - (residual / (TUKEY * spread)) ** 2, 0.0, None) ** 2
        # d pixel / d local, then local moves by a rotation and a translation in the camera's own frame
        z = local[:, 2]
        dx, dy = across * K[0, 0] / z, down * K[1, 1] / z
        dz = -(dx * local[:, 0] + dy * local[:, 1]) / z
        toward = np.stack([dx, dy, dz], axis=1)
        jacobian = np.concatenate([np.cross(local, toward), toward, -aim[:, None], -np.ones((len(aim), 1))], axis=1)
        weighted = jacobian * weight[:, None]
        step = np.linalg.lstsq(weighted.T @ jacobian, -weighted.T @ residual, rcond=None)[0]
        move = np.eye(4)
        move[:3, :3] = Rotation.from_rotvec(step[:3]).as_matrix()
        move[:3, 3] = step[3:6]
        w2c = move @ w2c
        gain, offset = gain + step[6], offset + step[7]
        if np.abs(step[:6]).max() < SMALLEST_STEP:
            break
    return w2c
