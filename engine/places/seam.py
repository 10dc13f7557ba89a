"""Where a memory ends and a place begins: clouds run out into each other, sand and grass in patches.

A straight edge gives a seam away even where colours agree. So what a memory shows goes on a little into the place,
mirrored, as far as both show the same kind of thing there. By how much skies and grounds still differ goes on too,
smoothly and for longer, as in gradient-domain compositing (Perez et al. 2003). Things that stand keep their colours.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.nn.functional import interpolate

from engine.camera import Camera
from engine.cells import alike, cell_means, local_mean, sky_share
from engine.memory import Readout
from engine.overscan import MARGIN_CELLS
from engine.places.things import ground

REACH_CELLS = float(MARGIN_CELLS[1])
WIDTH_OF_A_ROW = MARGIN_CELLS[1] / MARGIN_CELLS[0]
"""A memory goes on for as long as the strip is wide that a turn brings at once, which is less upwards and downwards:
the next strip must find a place that goes on from itself, or it would be drawn out row by row."""
SAME_GROUND, SAME_SKY = 0.2, 0.1
"""Mean squared difference, in variances and without broad light, up to which both sides of a seam show the same place,
which needs no joining; from twice that on they do not."""
BROAD_CELLS, SKY_FADE_CELLS, GROUND_FADE_CELLS = 9, 20.0, 8.0
"""What of a difference is broader than that goes on, fading so slowly (e-folding)."""
PATCH_CELLS = 3
"""How large patches are."""
SHARP = 6.0
"""How sharply a patch ends, in seams a reach."""


def joined(recalled: Readout, readout: Readout, known: Tensor, camera: Camera, std: Tensor) -> Readout:
    """A place's readout with what a memory shows going on into it.

    Args:
        known: (h, w) bool, what the memory knows. camera: that sees it. std: (C, 1, 1) of the latents.
    """
    whole = known & (readout.coverage > 0.99)
    compared = whole & (recalled.coverage > 0.99)
    if not bool(compared.any()) or bool(known.all()):
        return recalled
    h, w = known.shape
    away, nearest = distance_transform_edt(~whole.numpy(), sampling=(WIDTH_OF_A_ROW, 1.0), return_indices=True)
    apart = torch.from_numpy(away).float() / REACH_CELLS
    row, column = torch.from_numpy(nearest).long()
    across = (2 * row - torch.arange(h)[:, None]).clamp(0, h - 1), (2 * column - torch.arange(w)).clamp(0, w - 1)

    sky_here, sky_there = sky_share(readout, known), sky_share(recalled, known)
    ground_here, ground_there = ground(readout, camera), ground(recalled, camera)
    depth_here, depth_there = (cell_means(r.inverse_depth, known) for r in (readout, recalled))
    both_sky = (sky_here[across] > 0.99) & (sky_there > 0.99)
    both_ground = ground_here[across] & ground_there & alike(depth_here[across], depth_there)

    # Broadly, one side is brighter than another: that goes on for longer, and fades.
    differs = readout.features - recalled.features
    sky = compared & (sky_here > 0.99) & (sky_there > 0.99)
    land = compared & ground_here & ground_there & alike(depth_here, depth_there)
    broadly = local_mean(differs, sky, BROAD_CELLS)
    squared = ((differs - broadly * sky) / std).square().mean(0, keepdim=True)
    features = recalled.features
    for brighter, there, cells in (
        (broadly, sky_there, SKY_FADE_CELLS),
        (local_mean(differs, land, BROAD_CELLS), ground_there, GROUND_FADE_CELLS),
    ):
        drawn_out = local_mean(brighter[:, row, column], torch.ones_like(known), BROAD_CELLS)
        features = features + drawn_out * there * torch.exp(torch.from_numpy(-away).float() / cells) * ~known
    recalled = replace(recalled, features=features)

    squared = local_mean(squared, compared, 5)[0][row, column]
    foreign = (squared / torch.where(both_sky, SAME_SKY, SAME_GROUND) - 1.0).clamp(0.0, 1.0)

    patchy = torch.sigmoid(SHARP * (_patches(h, w) - apart))
    share = torch.where(both_sky, (1.0 - apart).clamp(min=0.0), patchy * both_ground)
    share = share * foreign * whole[across] * (apart < 1.5) * ~known
    features = readout.features[:, across[0], across[1]]
    return replace(recalled, features=torch.lerp(recalled.features, features, share))


def _patches(h: int, w: int) -> Tensor:
    """(h, w) smooth noise in [0, 1], as many high as low."""
    size = (h // PATCH_CELLS + 2, w // PATCH_CELLS + 2)
    noise = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(0))
    fine = interpolate(noise, scale_factor=float(PATCH_CELLS), mode="bilinear", align_corners=False)
    return fine[0, 0, :h, :w]
