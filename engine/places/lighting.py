"""Bringing what a place shows into the light of what is remembered.

Along the main directions of flat colours light differs, across them texture: only along them is anything changed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.cells import alike, cell_means, sky_share
from engine.memory import Readout

ENOUGH_CELLS = 24
"""Fewer cells than that say nothing of light."""
NEAR_SKY_CELLS = 30.0
"""How far from the unknown a remembered sky still speaks for it (e-folding)."""
KNOTS_DEG = torch.arange(-6.0, 91.0, 6.0)
SPREAD_DEG = 4.0
"""Elevations at which a sky's colours are told, and how far around each they are averaged."""
HAZE_M = 900.0
"""What is so far away is seen through air that is lit as the sky is (e-folding)."""
DIRECTIONS = 3
"""Main directions of flat colours."""
LIGHT_SIZES = (0, DIRECTIONS, DIRECTIONS * (1 + len(KNOTS_DEG)))
"""So many numbers a light has: none is told, the ground's is, the sky's is too."""


class Lighting:
    """Light of latents.

    Args:
        flat: (n, C) latents of flat colours, n >= 4.

    Attributes:
        colours: (DIRECTIONS, C), along which light differs.
    """

    def __init__(self, flat: Tensor) -> None:
        self.colours = torch.linalg.svd(flat.cpu() - flat.cpu().mean(0), full_matrices=False).Vh[:DIRECTIONS]

    def told(
        self,
        readout: Readout,
        recalled: Readout,
        known: Tensor,
        away: Tensor,
        elevation_deg: Tensor,
        level: Tensor,
    ) -> tuple[float, ...]:
        """What a memory tells of the light that a place is to be seen in (:attr:`engine.places.matching.Match.light`).

        All of the view has a say and the answer is kept as long as the match: what is asked of the strip beside the
        seam alone, and asked again for every strip that a turn uncovers, makes one bright cloud a bright sky.

        Args:
            known: (h, w) bool, what the memory knows. away: (h, w), how many cells away from what it does not.
            elevation_deg: (h, w) of each cell's ray.
            level: (DIRECTIONS, h, w), the broad light of the place's sky, on average at that elevation.

        Returns:
            By how much the ground's colours differ, three numbers; and three for each of ``KNOTS_DEG``, by how much the
            sky's differ there from ``level``, unless too little of it is remembered.
        """
        (sky, _), (ground, ground_there) = sky_and_ground(readout, recalled, known)
        depths = (cell_means(r.inverse_depth, known) for r in (readout, recalled))
        shared = known & (recalled.coverage > 0.99) & ground & ground_there & alike(*depths)
        difference = self.coordinates(readout.features - recalled.features)[:, shared]
        enough = int(shared.sum()) >= ENOUGH_CELLS
        light = difference.median(dim=1).values.tolist() if enough else [0.0] * DIRECTIONS
        if int((known & sky).sum()) >= ENOUGH_CELLS:
            weight = torch.exp(-away / NEAR_SKY_CELLS) * (known & sky)
            differs = self.coordinates(readout.features) - level
            light += along_elevation(differs, weight, elevation_deg).flatten().tolist()
        return tuple(light)

    def difference(
        self, recalled: Readout, elevation_deg: Tensor, level: Tensor, glow: Tensor, light: tuple[float, ...]
    ) -> Tensor:
        """(C, h, w): by how much latents that are recalled differ in the light of the memory: the ground is lit as
        told; the sky keeps its clouds, gives up its own broad light and takes the one that is told instead.

        Args:
            elevation_deg, level: as for :meth:`told`, whose answer ``light`` is.
            glow: (DIRECTIONS, h, w), the broad light of the place's sky in these directions.
        """
        ground = torch.tensor(light[:DIRECTIONS])[:, None, None].expand_as(glow)
        sky = torch.zeros_like(glow)
        if len(light) > DIRECTIONS:
            differs = torch.tensor(light[DIRECTIONS:]).view(DIRECTIONS, -1)
            sky = level + between_knots(differs, elevation_deg) - glow
        near = cell_means(recalled.inverse_depth, elevation_deg)
        clear = 1.0 - sky_share(recalled, elevation_deg)  # what straddles the skyline is lit by both
        share = 1.0 - clear * torch.exp(-1.0 / (HAZE_M * near.clamp(min=1e-5)))
        return self.shift(torch.lerp(ground, sky, share))

    def middle(self, latents: Tensor) -> Tensor:
        """(n, C) -> (DIRECTIONS,), the middle colour; 0 of nothing."""
        colours = latents @ self.colours.T
        return colours.median(dim=0).values if len(colours) else colours.new_zeros(DIRECTIONS)

    def coordinates(self, features: Tensor) -> Tensor:
        """(C, h, w) -> (DIRECTIONS, h, w)."""
        return torch.einsum("kc,chw->khw", self.colours, features)

    def shift(self, coordinates: Tensor) -> Tensor:
        """(DIRECTIONS, h, w) -> (C, h, w)."""
        return torch.einsum("kc,khw->chw", self.colours, coordinates)


def unlit(light: tuple[float, ...]) -> tuple[float, ...]:
    """A light in which the ground keeps its own colours."""
    return DIRECTIONS * (0.0,) + light[DIRECTIONS:]


def sky_and_ground(readout: Readout, recalled: Readout, like: Tensor) -> tuple[tuple[Tensor, Tensor], ...]:
    """(h, w) bool, where memory and place show sky; and where they show ground."""
    here, there = (sky_share(r, like) > 0.5 for r in (readout, recalled))
    return (here, there), (~here, ~there)


def along_elevation(values: Tensor, weight: Tensor, elevation_deg: Tensor) -> Tensor:
    """What ``values (n, h, w)`` are on average at ``KNOTS_DEG``, (n, knots); where no cell has ``weight (h, w)``, what
    they are at the nearest elevation where one has."""
    counts = weight > 0.0
    apart = (elevation_deg[counts] - KNOTS_DEG[:, None]) / SPREAD_DEG
    share = torch.softmax(torch.log(weight[counts]) - apart.square() / 2.0, dim=1)
    return values[:, counts] @ share.T


def between_knots(profile: Tensor, elevation_deg: Tensor) -> Tensor:
    """(n, knots) -> (n, h, w), what :func:`along_elevation` told, at any elevation (h, w)."""
    position = ((elevation_deg - KNOTS_DEG[0]) / (KNOTS_DEG[1] - KNOTS_DEG[0])).clamp(0.0, len(KNOTS_DEG) - 1.0)
    below = position.floor().long().clamp(max=len(KNOTS_DEG) - 2)
    return torch.lerp(profile[:, below], profile[:, below + 1], position - below)
