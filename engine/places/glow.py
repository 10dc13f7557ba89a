"""The broad light of a place's sky: brighter around its sun, redder at its horizon.

What is left of the sky without it are clouds.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, pad

from engine.cells import cell_means
from engine.depth import SKY_INVERSE_DEPTH
from engine.hole_filling import fill_holes
from engine.places.bank import Place
from engine.places.matching import AZIMUTHS, ELEVATIONS, direction_bins, onto_grid

BROAD = (5, 9)
"""Bins of elevation and of azimuth that light is averaged over, 15 and 25 degrees: what is narrower is a cloud."""


def sky_cells(latents: Tensor, inverse_depth: Tensor) -> Tensor:
    """(h, w) bool: cells of nothing but sky, of a view (C, h, w), (h*s, w*s) 1/m."""
    return cell_means((inverse_depth < SKY_INVERSE_DEPTH).float(), latents[0]) > 0.99


def sky_glow(place: Place, colours: Tensor) -> Tensor:
    """(k, ELEVATIONS, AZIMUTHS): the sky's coordinates along ``colours (k, C)``, smoothed over directions; beyond the
    skyline they go on."""
    values, bins = [], []
    for latents, inverse_depth, camera in place.views():
        sky = sky_cells(latents, inverse_depth)
        values.append(torch.einsum("kc,chw->khw", colours, latents)[:, sky].T)
        bins.append(direction_bins(camera, *latents.shape[-2:])[sky.flatten()])
    where = torch.cat(bins)
    means, weight = onto_grid(torch.cat(values), where, torch.ones(len(where)))
    seen = (weight > 0.0).float()
    if not bool(seen.any()):
        return torch.zeros(len(colours), ELEVATIONS, AZIMUTHS)
    rows, columns = (side // 2 for side in BROAD)
    around = pad(torch.cat([means.permute(2, 0, 1) * seen, seen[None]])[None], (columns, columns, 0, 0), "circular")
    around = pad(around, (0, 0, rows, rows), "replicate")
    total = avg_pool2d(around, BROAD, stride=1)[0]
    known = total[-1] > 0.0
    return fill_holes(total[:-1] / total[-1].clamp(min=1e-6), known)


def glow_along(glow: Tensor, rays: Tensor, turn_rad: float) -> Tensor:
    """``glow (k, ELEVATIONS, AZIMUTHS)`` along ``rays (h, w, 3)`` of the world, of a place turned by ``turn_rad``:
    (k, h, w)."""
    azimuth = torch.atan2(rays[..., 1], rays[..., 0]) + turn_rad
    column = torch.remainder(azimuth / (2.0 * math.pi), 1.0) * AZIMUTHS
    row = (elevation_rad(rays) / math.pi + 0.5) * ELEVATIONS
    wrapped = pad(glow[None], (1, 1, 0, 0), "circular")
    at = torch.stack([2.0 * (column + 1.0) / (AZIMUTHS + 2) - 1.0, 2.0 * row / ELEVATIONS - 1.0], dim=-1)
    return grid_sample(wrapped, at[None], mode="bilinear", padding_mode="border", align_corners=False)[0]


def level_along(glow: Tensor, rays: Tensor) -> Tensor:
    """:func:`glow_along` as it is on average all around."""
    return glow_along(glow.mean(-1, keepdim=True).expand_as(glow), rays, 0.0)


def elevation_rad(rays: Tensor) -> Tensor:
    """(..., 3) -> (...)."""
    return torch.asin((rays[..., 2] / rays.norm(dim=-1)).clamp(-1.0, 1.0))
