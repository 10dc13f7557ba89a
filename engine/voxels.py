"""Voxels of the world as single numbers, so that they can be counted, sorted and compared. Plain numpy."""

from __future__ import annotations

import numpy as np

AXIS_BITS = 21
_MASK = (1 << AXIS_BITS) - 1


def voxel_keys(points: np.ndarray, voxel_m: float | np.ndarray) -> np.ndarray:
    """One non-negative int64 per point (n, 3): its voxel, of a size or of three, 21 bits an axis, x first (beyond a
    million voxels from the origin they wrap). Without its lowest 21 bits it is that of the column."""
    cell = np.floor(points.astype(np.float64) / voxel_m).astype(np.int64) & _MASK
    return np.asarray((cell[:, 0] << (2 * AXIS_BITS)) | (cell[:, 1] << AXIS_BITS) | cell[:, 2])


def voxels_of(keys: np.ndarray) -> np.ndarray:
    """(n, 3) int64, the voxels that :func:`voxel_keys` (n,) stand for, counted from the origin."""
    fields = np.stack([(keys >> (AXIS_BITS * place)) & _MASK for place in (2, 1, 0)], axis=1)
    half = 1 << (AXIS_BITS - 1)
    return np.asarray((fields ^ half) - half)
