"""Bringing what a place shows into the light of what is remembered.

As in gradient-domain compositing (Perez et al. 2003), but for colours only: along the main directions of flat colours
light differs, across them texture.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from engine.hole_filling import fill_holes
from engine.memory import Readout
from engine.places.cells import cell_means, distance_to, sky_share

SEAM_CELLS = 4
"""Known cells this near to the unknown must be met smoothly."""
SKY_FADE_CELLS, GROUND_FADE_CELLS = 8.0, 4.0
"""How far from the seam a place is back in the light that it was given as a whole (e-folding); on the ground sooner,
where what differs may be sand and grass."""
ENOUGH_CELLS = 24
"""Fewer cells than that say nothing of light."""
SMOOTH_CELLS = 5
"""What a place is corrected by at the seam is averaged over so many cells."""
NEAR_SKY_CELLS = 30.0
"""How far from the unknown a remembered sky still speaks for it (e-folding)."""
KNOTS_DEG = torch.arange(-6.0, 91.0, 6.0)
SPREAD_DEG = 4.0
"""Elevations at which a sky's colours are told, and how far around each they are averaged."""
FAR, ALIKE = 0.005, 0.4
"""Inverse depth, 1/m, beyond which all is alike; and the difference of log-depth to which it is otherwise."""
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
        shared = known & (recalled.coverage > 0.99) & ground & ground_there & alike(readout, recalled, known)
        difference = self.coordinates(readout.features - recalled.features)[:, shared]
        enough = int(shared.sum()) >= ENOUGH_CELLS
        light = difference.median(dim=1).values.tolist() if enough else [0.0] * DIRECTIONS
        if int((known & sky).sum()) >= ENOUGH_CELLS:
            weight = torch.exp(-away / NEAR_SKY_CELLS) * (known & sky)
            differs = self.coordinates(readout.features) - level
            light += along_elevation(differs, weight, elevation_deg).flatten().tolist()
        return tuple(light)

    def lit(
        self,
        readout: Readout,
        recalled: Readout,
        known: Tensor,
        away: Tensor,
        elevation_deg: Tensor,
        level: Tensor,
        glow: Tensor,
        light: tuple[float, ...],
    ) -> Tensor:
        """The recalled latents (C, h, w) in the light of the memory.

        The ground is lit as told; the sky keeps its clouds, gives up its own broad light and takes the one that is told
        instead. What then still differs beside the seam goes on smoothly beyond it and fades.

        Args:
            known, away, elevation_deg, level: as for :meth:`told`, whose answer ``light`` is.
            glow: (DIRECTIONS, h, w), the broad light of the place's sky in these directions.
        """
        ground = torch.tensor(light[:DIRECTIONS])[:, None, None].expand_as(glow)
        sky = torch.zeros_like(glow)
        if len(light) > DIRECTIONS:
            differs = torch.tensor(light[DIRECTIONS:]).view(DIRECTIONS, -1)
            sky = level + between_knots(differs, elevation_deg) - glow
        share = sky_share(recalled, known)  # what straddles the skyline is lit by both
        lit = recalled.features + self.shift(torch.lerp(ground, sky, share))
        beside = known & (away < SEAM_CELLS) & (recalled.coverage > 0.99) & alike(readout, recalled, known)
        rest, features = self.shift(self.coordinates(readout.features - lit)), lit
        parts = sky_and_ground(readout, recalled, known)
        for (here, there), part, reach in zip(
            parts, (share, 1.0 - share), (SKY_FADE_CELLS, GROUND_FADE_CELLS), strict=True
        ):
            both = beside & here & there
            if bool(both.any()):
                field = fill_holes(rest, both)[None]
                field = avg_pool2d(field, SMOOTH_CELLS, 1, SMOOTH_CELLS // 2, count_include_pad=False)[0]
                features = features + part * field * torch.exp(-distance_to(both) / reach)
        return features

    def coordinates(self, features: Tensor) -> Tensor:
        """(C, h, w) -> (DIRECTIONS, h, w)."""
        return torch.einsum("kc,chw->khw", self.colours, features)

    def shift(self, coordinates: Tensor) -> Tensor:
        """(DIRECTIONS, h, w) -> (C, h, w)."""
        return torch.einsum("kc,khw->chw", self.colours, coordinates)


def sky_and_ground(readout: Readout, recalled: Readout, like: Tensor) -> tuple[tuple[Tensor, Tensor], ...]:
    """(h, w) bool, where memory and place show sky; and where they show ground."""
    here, there = (sky_share(r, like) > 0.5 for r in (readout, recalled))
    return (here, there), (~here, ~there)


def alike(readout: Readout, recalled: Readout, like: Tensor) -> Tensor:
    """(h, w) bool, where memory and place show things about as far away, or both the sky: a tree is not sand in another
    light."""
    here, there = (cell_means(r.inverse_depth, like).clamp(min=FAR) for r in (readout, recalled))
    return torch.log(here / there).abs() < ALIKE


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
