"""What stands in one's way on foot, by what generated frames have shown.

Who walks through a wall sees what nobody has stored: the inside of a wall. So the surroundings are remembered as
voxels, as deep as the newest frames show them, and whoever walks keeps his distance from what stands upright in them
and slides along it. Floors, slopes and thresholds do not stand: they are not high enough at one place.
"""

from __future__ import annotations

import math

import numpy as np

from engine.camera import Camera
from engine.voxels import AXIS_BITS, voxel_keys, voxels_of

VOXEL_M, COLUMN_M = 0.25, 0.2
"""How high and how wide a voxel is, metres."""
REACH_M = 6.0
"""What is farther is seen again before one gets there."""
LOW_M, HIGH_M = 1.2, 0.1
"""So far below one's eyes, and above them, something stands in the way."""
UPRIGHT = 3
"""So many voxels of a column are something that stands."""
BODY_M = 0.3
"""Half as wide is one who walks."""
STEP_M = 0.1
"""No longer are the steps of a way."""
SURE = 0.06
"""A surface is seen where it is, to such a share of its distance: what lies nearer by that and a column is gone."""
_NEAR_M = 0.2
_SIZE_M = np.array([COLUMN_M, COLUMN_M, VOXEL_M])


class Obstacles:
    """Voxels around one who walks. Not thread-safe.

    Frames know best: what was believed to stand where they see farther is forgotten.
    """

    def __init__(self) -> None:
        self._voxels = np.empty(0, np.int64)
        self._standing: dict[tuple[int, int], np.ndarray] = {}

    def clear(self) -> None:
        """Forget all: one stands elsewhere, or in another world."""
        self._voxels = np.empty(0, np.int64)
        self._standing.clear()

    def see(self, camera: Camera, inverse_depth: np.ndarray) -> None:
        """Learn from a frame: ``inverse_depth (h, w)`` 1/m, 0 for sky, as ``camera`` saw it."""
        h, w = inverse_depth.shape
        seen = camera.resized(w, h)
        nearness = np.nan_to_num(np.asarray(inverse_depth, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        near = nearness > 1.0 / REACH_M
        points = seen.position + seen.rays()[near] / nearness[near][:, None]
        left = self._voxels[self._left(seen, nearness)]
        self._voxels = np.unique(np.concatenate([left, voxel_keys(points, _SIZE_M)]))
        self._standing.clear()

    def _left(self, camera: Camera, nearness: np.ndarray) -> np.ndarray:
        """(n,) bool: voxels that a view does not see through; those far away do not count."""
        centers = (voxels_of(self._voxels) + 0.5) * _SIZE_M - camera.position
        seen_by = centers @ camera.c2w[:3, :3] @ camera.K.T
        depth_m = seen_by[:, 2]
        ahead = depth_m > _NEAR_M
        at = np.floor(seen_by[:, :2] / np.where(ahead, depth_m, 1.0)[:, None]).astype(np.int64)
        inside = ahead & (at >= 0).all(axis=1) & (at < nearness.shape[::-1]).all(axis=1)
        through = np.zeros(len(centers), np.bool_)
        through[inside] = nearness[at[inside, 1], at[inside, 0]] * (depth_m[inside] + COLUMN_M) < 1.0 - SURE
        return ~through & (np.linalg.norm(centers, axis=1) < 2.0 * REACH_M)

    def standing(self, eye_m: float) -> np.ndarray:
        """(n, 2) the middles of the columns that stand in the way of one whose eyes are ``eye_m`` high, metres."""
        low, high = (math.floor((eye_m + beside_m) / VOXEL_M) for beside_m in (-LOW_M, HIGH_M))
        if (low, high) not in self._standing:
            height = voxels_of(self._voxels)[:, 2]
            between = self._voxels[(height >= low) & (height <= high)]
            columns, count = np.unique(between >> AXIS_BITS, return_counts=True)
            corners = voxels_of(columns[count >= UPRIGHT] << AXIS_BITS)
            self._standing[low, high] = (corners[:, :2] + 0.5) * COLUMN_M
        return self._standing[low, high]

    def walked(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """(3,) how far one gets on the way from ``start`` to ``end (3,)``: as far, or along what stands there.

        Who stands in something already, closer than a column is wide, is not held by anything.
        """
        way = np.asarray(end[:2] - start[:2], np.float64)
        columns = self.standing(float(end[2]))
        columns = columns[np.linalg.norm(columns - start[:2], axis=1) < np.linalg.norm(way) + BODY_M + COLUMN_M]
        if not len(columns) or np.linalg.norm(columns - start[:2], axis=1).min() < COLUMN_M:
            return np.asarray(end)
        here, steps = np.array(start[:2], np.float64), max(1, math.ceil(np.linalg.norm(way) / STEP_M))
        for _ in range(steps):
            here = _beside(columns, here, here + way / steps)
        return np.array([*here, end[2]])


def _beside(columns: np.ndarray, here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """(2,) where one gets from ``here`` who wants to go ``there (2,)``: no nearer to a column than he may be, or is."""
    least = np.minimum(np.linalg.norm(columns - here, axis=1), BODY_M + 0.5 * COLUMN_M)
    for _ in range(3):
        apart = there - columns
        apart_m = np.linalg.norm(apart, axis=1)
        worst = int(np.argmax(least - apart_m))
        if apart_m[worst] > least[worst] - 1e-6:
            return there
        there = columns[worst] + apart[worst] * (least[worst] / max(apart_m[worst], 1e-9))
    return here  # in a corner
