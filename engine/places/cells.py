"""Maps of cells: their means over samples, their distances from each other."""

from __future__ import annotations

import torch
from scipy.ndimage import distance_transform_cdt
from torch import Tensor
from torch.nn.functional import avg_pool2d

from engine.memory import Readout


def cell_means(samples: Tensor, like: Tensor) -> Tensor:
    """(h*s, w*s) -> (h, w), the shape of ``like``."""
    return avg_pool2d(samples[None], samples.shape[-1] // like.shape[-1])[0]


def distance_to(cells: Tensor) -> Tensor:
    """(h, w) bool -> (h, w) float: how many cells away the nearest true one is (chessboard); far if there is none."""
    if not bool(cells.any()):
        return torch.full(cells.shape, 1e3)
    return torch.from_numpy(distance_transform_cdt(~cells.numpy(), metric="chessboard")).float()


def sky_share(readout: Readout, like: Tensor) -> Tensor:
    """(h, w) in [0, 1], how much of what is known of each cell is sky."""
    return cell_means(readout.sky.float(), like) / cell_means(readout.covered.float(), like).clamp(min=1e-6)
