"""The lie of the land behind what stands on it.

What a tree hides of the ground is ground as well. A plane's inverse depth is linear in a picture, so it goes on as the
ground around does: by locally weighted regression (Cleveland 1979) of what is seen of it. Its look is that of the
ground beside, softly: what grows there is for the denoiser to draw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import binary_dilation
from torch import Tensor

from engine.camera import Camera
from engine.cells import cell_means
from engine.disocclusion import STANDS, farthest_around, surfaces

FARTHEST = 1.0 / 300.0
"""Inverse depth, 1/m: ground beyond is a line on the horizon."""
STEEPEST = 0.7
"""Ground rises no more than so many times what it recedes."""
SHAPE_CELLS, LOOK_CELLS = (3.0, 10.0), (1.0, 5.0)
"""Rows and columns (standard deviations) that speak for where it passes, and for what it looks like; of a frame, those
of a finer view are smaller."""
BUMP = 1.25
"""Whatever is so many times nearer than the ground around is a bush."""
SLOPE, LOWEST, LEAST_BELOW = 0.08, 0.8, 16
"""How far below the camera ground lies is told where rays fall at least so steeply; crowns and roofs are below it too,
so that quantile is; by no fewer cells."""
LEAST_CELLS, SOME = 6.0, 0.003
"""Fewer, weighted by how near they lie, tell nothing of where it passes, or of what it looks like."""


@dataclass(frozen=True, eq=False)
class Ground:
    """What the ground of a view is like, seen or not.

    Attributes:
        told: (h, w) bool, where anything is known about it.
        nearness: (h, w) float64, 1/m, at the middle of each cell.
        inverse_depth: (h*s, w*s) float32, 1/m. latents: (C, h, w) float32.
    """

    told: np.ndarray
    nearness: np.ndarray
    inverse_depth: Tensor
    latents: Tensor


def ground_behind(camera: Camera, latents: Tensor, inverse_depth: Tensor, fineness: int = 1) -> Ground | None:
    """The ground of a view; ``None`` where too little of it is seen.

    Args:
        camera: the view. latents: (C, h, w) and inverse_depth: (h*s, w*s) 1/m; NaN unknown, 0 sky.
        fineness: cells of the view for one of a frame, a side.
    """
    shape = (latents.shape[-2], latents.shape[-1])
    nearest, one = surfaces(inverse_depth, shape)
    weight = _seen(camera, np.nan_to_num(nearest), one & np.isfinite(nearest), fineness).astype(np.float64)
    if weight.sum() < LEAST_CELLS:
        return None
    spread = (fineness * SHAPE_CELLS[0], fineness * SHAPE_CELLS[1])
    middle = cell_means(inverse_depth.cpu(), latents[0]).numpy()  # of a plane the mean is that of its middle
    values = np.where(weight > 0.0, middle, 0.0)
    plane, _ = _planes(values, weight, spread)
    weight = weight * (values <= BUMP * plane[0])
    plane, support = _planes(values, weight, spread)
    look = (fineness * LOOK_CELLS[0], fineness * LOOK_CELLS[1])
    total = _around(weight, look)
    told = (support > LEAST_CELLS * fineness) & (plane[0] > FARTHEST) & (total > SOME)
    mean = _around(weight * latents.detach().cpu().float().numpy(), look) / np.maximum(total, 1e-9)
    s = inverse_depth.shape[-1] // shape[1]
    offset = (np.arange(s) + 0.5) / s - 0.5
    level, down, right = (part[:, None, :, None] for part in plane)
    fine = level + down * offset[None, :, None, None] + right * offset[None, None, None, :]
    fine = np.maximum(fine, 0.5 * FARTHEST).reshape(shape[0] * s, shape[1] * s)
    return Ground(told, plane[0], torch.from_numpy(fine).float(), torch.from_numpy(mean).float())


def clearance_m(camera: Camera, inverse_depth: Tensor, cells: Tensor) -> float | None:
    """How far the ground lies below the camera, metres; ``None`` where too little of it is seen.

    Args:
        camera: the view. inverse_depth: (h*s, w*s) 1/m. cells: (h, w) bool, those that count.
    """
    h, w = cells.shape
    down = -torch.from_numpy(camera.resized(w, h).rays()[..., 2]).float()
    nearness = cell_means(inverse_depth, cells)
    ground = cells & (nearness > 0.0) & (down > SLOPE)
    if int(ground.sum()) < LEAST_BELOW:
        return None
    return float(torch.quantile(down[ground] / nearness[ground], LOWEST))


def _seen(camera: Camera, nearest: np.ndarray, told: np.ndarray, fineness: int) -> np.ndarray:
    """(h, w) bool: cells that show ground, by how near (1/m) they are and where one surface is ``told (h, w)``."""
    told = told & (nearest > FARTHEST)
    row = farthest_around(nearest, told, fineness)
    stands = (nearest > STANDS * row) | ~np.isfinite(row)
    rises = np.pad(steep(nearest, camera, STEEPEST), ((0, 1), (0, 0)))
    return told & ~binary_dilation(stands | (rises & told), np.ones((3, 3)))


def steep(nearest: np.ndarray, camera: Camera, steepest: float) -> np.ndarray:
    """(h - 1, w) bool: surfaces that rise more than ``steepest`` times what they recede, from the cells of each row to
    those of the next; ``nearest (h, w)`` 1/m."""
    points = camera.resized(nearest.shape[1], nearest.shape[0]).rays() / np.maximum(nearest, 1e-4)[..., None]
    step = np.diff(points, axis=0)
    return np.asarray(np.abs(step[..., 2]) > steepest * np.hypot(step[..., 0], step[..., 1]))


def _around(values: np.ndarray, spread: tuple[float, float]) -> np.ndarray:
    """(..., h, w): sums over the cells around each, by how near they lie; ``spread`` are standard deviations."""

    def nearness(cells: int, deviation: float) -> np.ndarray:
        apart = np.subtract.outer(np.arange(cells), np.arange(cells)) / deviation
        return np.asarray(np.exp(-0.5 * apart**2))

    h, w = values.shape[-2:]
    return np.asarray(nearness(h, spread[0]) @ values @ nearness(w, spread[1]))


def _planes(values: np.ndarray, weight: np.ndarray, spread: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """The plane through ``values (h, w)`` around each cell, by their ``weight (h, w)`` and how near they lie: (3, h, w)
    its level there and its slopes a row and a column; and (h, w) the weight that told it."""
    rows, columns = np.mgrid[: values.shape[0], : values.shape[1]].astype(np.float64)
    one = np.ones_like(rows)
    factors = np.stack([one, rows, columns, rows**2, rows * columns, columns**2])
    total, *means = _around(weight * np.concatenate([factors, values * factors[:3]]), spread)
    y, x, yy, yx, xx, v, vy, vx = np.stack(means) / np.maximum(total, 1e-9)
    # Seen from the cell itself, so that the level is its own.
    y, x, yy, yx, xx, vy, vx = (
        y - rows,
        x - columns,
        yy - 2.0 * rows * y + rows**2,
        yx - rows * x - columns * y + rows * columns,
        xx - 2.0 * columns * x + columns**2,
        vy - rows * v,
        vx - columns * v,
    )
    matrix = np.stack([one + 1e-6, y, x, y, yy + 1e-3, yx, x, yx, xx + 1e-2], axis=-1).reshape(*values.shape, 3, 3)
    plane = np.linalg.solve(matrix, np.stack([v, vy, vx], axis=-1)[..., None])[..., 0]
    return np.moveaxis(plane, -1, 0), total
