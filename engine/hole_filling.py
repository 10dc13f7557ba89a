"""Holes of a picture, or of any other map, filled smoothly from their surroundings."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate


def fill_holes(rgb: Tensor, mask: Tensor) -> Tensor:
    """``rgb (3, H, W)`` with pixels outside ``mask (H, W)`` filled by pull-push (Gortler et al. 1996); where nothing
    is known at all it stays as it is.
    """
    if bool(mask.all()) or not bool(mask.any()):
        return rgb
    weights = [mask[None, None].float()]
    sums = [rgb[None].float() * weights[0]]
    while min(sums[-1].shape[-2:]) > 1:
        sums.append(avg_pool2d(sums[-1], 2, ceil_mode=True, count_include_pad=False))
        weights.append(avg_pool2d(weights[-1], 2, ceil_mode=True, count_include_pad=False))
    colour = sums[-1].sum((2, 3), keepdim=True) / weights[-1].sum((2, 3), keepdim=True)
    for total, weight in zip(sums[::-1], weights[::-1], strict=True):
        coarse = interpolate(colour, total.shape[-2:], mode="bilinear", align_corners=False)
        colour = torch.where(weight > 0, total / weight.clamp(min=1e-8), coarse)
    return colour[0].to(rgb.dtype)
