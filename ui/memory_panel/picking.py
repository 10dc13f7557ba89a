"""Which points are under the pointer or inside a rectangle: the shader's projection repeated in numpy on the uploaded
points.
"""

from __future__ import annotations

import numpy as np


def project(
    positions: np.ndarray, clip_from_world: np.ndarray, width: int, height: int
) -> tuple[np.ndarray, np.ndarray]:
    """``positions (n, 3)`` -> pixels ``(n, 2)`` float32 from the top left and depth ``(n,)`` along the view, <= 0
    behind the eye.
    """
    rows = clip_from_world[[0, 1, 3]].astype(np.float32)
    clip = positions.astype(np.float32, copy=False) @ rows[:, :3].T + rows[:, 3]
    depth = clip[:, 2]
    safe = np.where(depth > 1e-6, depth, 1.0)
    pixels = np.stack([(clip[:, 0] / safe + 1.0) * 0.5 * width, (1.0 - clip[:, 1] / safe) * 0.5 * height], axis=1)
    return pixels, depth


def nearest_point(
    positions: np.ndarray,
    visible: np.ndarray,
    clip_from_world: np.ndarray,
    size_px: tuple[int, int],
    at_px: tuple[float, float],
    radius_px: float = 9.0,
) -> int:
    """Index of the frontmost visible point within ``radius_px`` of the pointer, -1 if there is none.

    Args:
        positions: (n, 3). visible: (n,) bool. size_px: (width, height) of the view. at_px: pointer from the top left.
    """
    if len(positions) == 0:
        return -1
    pixels, depth = project(positions, clip_from_world, *size_px)
    distance = np.hypot(pixels[:, 0] - at_px[0], pixels[:, 1] - at_px[1])
    near = np.flatnonzero(visible & (depth > 1e-6) & (distance <= radius_px))
    if len(near) == 0:
        return -1
    front = depth[near].min()
    shell = near[
        depth[near] <= front * 1.05 + 0.05
    ]  # the surface in front, then whatever is closest to the pointer on it
    return int(shell[np.argmin(distance[shell])])


def points_in_rectangle(
    positions: np.ndarray,
    visible: np.ndarray,
    clip_from_world: np.ndarray,
    size_px: tuple[int, int],
    rectangle_px: tuple[float, float, float, float],
    front_only: bool = True,
    cell_px: int = 10,
) -> np.ndarray:
    """(n,) bool: visible points inside the rectangle (left, top, right, bottom).

    With ``front_only`` points hidden behind others are left out: a coarse z-buffer of ``cell_px`` cells decides, so a
    rectangle over a tree does
    not also take the hill behind it.
    """
    pixels, depth = project(positions, clip_from_world, *size_px)
    left, top, right, bottom = rectangle_px
    inside = visible & (depth > 1e-6)
    inside &= (pixels[:, 0] >= left) & (pixels[:, 0] <= right) & (pixels[:, 1] >= top) & (pixels[:, 1] <= bottom)
    if not front_only or not inside.any():
        return inside
    index = np.flatnonzero(inside)
    columns = int((right - left) // cell_px) + 1
    rows = int((bottom - top) // cell_px) + 1
    cell = ((pixels[index, 1] - top) // cell_px).astype(int) * columns + ((pixels[index, 0] - left) // cell_px).astype(
        int
    )
    front = np.full(rows * columns, np.inf, np.float32)
    np.minimum.at(front, cell, depth[index])
    inside[index] = depth[index] <= front[cell] * 1.15 + 0.3
    return inside
