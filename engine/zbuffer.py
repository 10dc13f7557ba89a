"""Forward splatting of points with a z-buffer: a plain reference, and torch code that is deterministic on every device.

The paper's readout: i(u, v) = argmin of camera depth over the points that land in cell (u, v). Ties go to the lower
index.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from engine.camera import Camera
from engine.geometry import cells_of, project

EMPTY = -1


def zbuffer_reference(points: np.ndarray, camera: Camera, cell_center: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """One point after the other, in order; slow and obvious.

    Args:
        points: (n, 3) world, metres.
        camera: on the target grid.
        cell_center: see :func:`engine.geometry.cells_of`.

    Returns:
        index of the winning point (h, w) int64, -1 where none landed, and its z-depth (h, w) float64, inf where none.
    """
    winner = np.full(camera.size, EMPTY, np.int64)
    depth_m = np.full(camera.size, np.inf)
    x, y, z = project(points, camera)
    cells = cells_of(x, y, camera, cell_center)
    for index, (cell, z_m) in enumerate(zip(cells, z)):
        if cell < 0 or not z_m > 0.0:
            continue
        line, column = divmod(int(cell), camera.width)
        if z_m < depth_m[line, column]:
            depth_m[line, column] = z_m
            winner[line, column] = index
    return winner, depth_m


def zbuffer(points: Tensor, camera: Camera, cell_center: float = 0.5) -> tuple[Tensor, Tensor]:
    """The same in parallel on the device of ``points (n, 3)``: (h, w) int64 winners and (h, w) float32 depths.

    Depth bits and index are packed into one integer key whose minimum is taken per cell, so the result does not depend
    on the order in which threads write (unlike scattering with duplicate indices). Depths are compared as float32.
    """
    device = points.device
    c2w = torch.from_numpy(camera.c2w.copy()).to(device, torch.float64)
    K = torch.from_numpy(camera.K.copy()).to(device, torch.float64)
    local = (points.to(torch.float64) - c2w[:3, 3]) @ c2w[:3, :3]
    pixels = local @ K.T
    z = local[:, 2]
    in_front = z > 0.0
    scale = torch.where(in_front, 1.0 / torch.where(in_front, z, torch.ones_like(z)), torch.full_like(z, torch.nan))
    x, y = pixels[:, 0] * scale, pixels[:, 1] * scale
    column, line = (x.round(), y.round()) if cell_center == 0.0 else (x.floor(), y.floor())
    inside = in_front & (column >= 0) & (column < camera.width) & (line >= 0) & (line < camera.height)
    chosen = torch.nonzero(inside).squeeze(1)
    cell = line[chosen].long() * camera.width + column[chosen].long()
    # Positive floats compare like their bits.
    key = (z[chosen].float().view(torch.int32).long() << 32) | chosen
    empty = torch.iinfo(torch.int64).max
    best = torch.full((camera.height * camera.width,), empty, dtype=torch.int64, device=device)
    best.scatter_reduce_(0, cell, key, reduce="amin")
    best = best.view(camera.height, camera.width)
    hit = best != empty
    winner = torch.where(hit, best & 0xFFFFFFFF, torch.full_like(best, EMPTY))
    bits = torch.where(hit, best >> 32, torch.zeros_like(best)).to(torch.int32)
    return winner, torch.where(hit, bits.view(torch.float32), torch.full((), torch.inf, device=device))
