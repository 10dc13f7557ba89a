"""Which stored place, turned how, goes on best from what a view already knows.

Places and the query are averaged onto one grid of directions; since only a turn about the vertical is searched, all
turns of all places are compared at once by circular correlation (FFT) along the azimuth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from engine.camera import Camera, azimuth_rad, elevation_rad, rotation_about_up
from engine.depth import SKY_INVERSE_DEPTH
from engine.memory import Mosaic, Readout
from engine.places.bank import PlaceBank
from engine.places.module import Point

AZIMUTHS = 128
ELEVATIONS = 60
LOWEST_RAD, HIGHEST_RAD = math.radians(-90.0), math.radians(90.0)
DEPTH_WEIGHT = 2.0
"""A log-depth that is off by one weighs as much as so many latent channels off by one standard deviation (squared)."""
ANOTHER_TURN = 16
"""Turned by more columns of the grid than that, 45 degrees, a place is as good as another."""
MOST_PAST = 4
"""So many places are remembered, not to come again soon."""
MOST_ROOMS = 64
"""So many rooms of a building stay what they are; of more, those that were come to first may be others."""
SAME_ROOM_M = 1.0
LOYALTY = 1.5
"""The latest match is left only for one whose error is smaller by this factor."""
SKY_LOG_DEPTH = math.log(1000.0)


@dataclass(frozen=True)
class Match:
    """A place and how it lies.

    Attributes:
        place: index into the bank.
        turn_rad: what looks along azimuth a in the world looks along ``a + turn_rad`` in the place.
        error: mean squared difference per direction, in squared standard deviations; ``inf`` if nothing was compared.
        anchor: where in the world the place's point lies, metres.
        chosen_at: where one stood when it was chosen; ``None``: there. What is built does not lie where one stands.
        past: the places that it followed, the last one first.
        rooms: of a building, what is known to stand where; these know of no others.
        scale: a metre of the world is so many of the place.
        light: that it is seen in, see :meth:`engine.places.lighting.Lighting.told`; () is its own.
        bays: which of the place's each bay of a room's walls is, see :meth:`engine.places.bays.Bays.like`; () is its
            own, or not known.
    """

    place: int
    turn_rad: float
    error: float
    anchor: Point = (0.0, 0.0, 0.0)
    scale: float = 1.0
    light: tuple[float, ...] = ()
    chosen_at: Point | None = None
    past: tuple[int, ...] = ()
    rooms: tuple[Match, ...] = ()
    bays: tuple[int, ...] = ()

    def room(self, middle: Point) -> Match | None:
        """What is known to stand around a point."""
        return next((room for room in self.rooms if math.dist(room.anchor, middle) < SAME_ROOM_M), None)

    def knowing(self, room: Match) -> Match:
        """This one, which from now on knows of a ``room``."""
        return replace(self, rooms=(*self.rooms, replace(room, past=(), rooms=()))[-MOST_ROOMS:])

    def following(self, before: Match | None) -> Match:
        """This one, knowing what was there ``before``."""
        if before is None:
            return self
        past = before.past if before.place == self.place else (before.place, *before.past)
        return replace(self, past=past[:MOST_PAST], rooms=before.rooms)

    @property
    def since(self) -> Point:
        """Where one stood when it was chosen."""
        return self.anchor if self.chosen_at is None else self.chosen_at


@dataclass(frozen=True, eq=False)
class Forgotten:
    """What a place is set down in the stead of.

    Attributes:
        view: what was known before; the place is to lie as its ground does.
        match: the place that was seen there; another is taken if any is in like light. None where one is inside of what
            is forgotten, and nothing that is seen tells what lies outside.
        gone: (h, w) bool, the cells that it is forgotten in.
    """

    view: Mosaic
    match: Match | None
    gone: Tensor

    def gives_way_to(self, match: Match) -> bool:
        """Whether that is set down elsewhere: in like light it keeps its own ground's colours."""
        return self.match is None or self.match.anchor != match.anchor


def rays_of(camera: Camera, readout: Readout) -> Tensor:
    """(h, w, 3) of the view's cells."""
    h, w = readout.coverage.shape
    return torch.from_numpy(camera.resized(w, h).rays()).float()


def offsets_of(camera: Camera, readout: Readout, *, farthest: bool = False) -> Tensor:
    """(h, w, 3) metres from the camera to the nearest point that each of the view's cells shows, or the farthest; of
    sky, and of what is not known, some 10 km."""
    samples = readout.inverse_depth.shape[-1] // readout.coverage.shape[-1]
    sign = -1.0 if farthest else 1.0
    nearness = sign * max_pool2d(sign * readout.inverse_depth[None].cpu(), samples)[0]
    return rays_of(camera, readout) / nearness.clamp(min=1e-4)[..., None]


def position(camera: Camera) -> Point:
    """Where it stands."""
    return float(camera.position[0]), float(camera.position[1]), float(camera.position[2])


def placed(camera: Camera, match: Match) -> Camera:
    """``camera`` as it stands in the place."""
    turn = rotation_about_up(match.turn_rad)
    pose = np.eye(4)
    pose[:3, :3] = turn @ camera.c2w[:3, :3]
    pose[:3, 3] = match.scale * turn @ (camera.position - np.array(match.anchor))
    return camera.posed(pose)


def direction_bins(camera: Camera, rows: int, columns: int) -> Tensor:
    """(rows * columns,) int64: for each cell the bin ``elevation * AZIMUTHS + azimuth`` of the grid, -1 outside it."""
    return bins_along(camera.resized(columns, rows).rays().reshape(-1, 3))


def bins_along(rays: np.ndarray) -> Tensor:
    """(n, 3) directions -> (n,) int64, their bins; see :func:`direction_bins`."""
    column = columns_along(rays)
    row = np.floor((elevation_rad(rays) - LOWEST_RAD) / (HIGHEST_RAD - LOWEST_RAD) * ELEVATIONS).astype(np.int64)
    inside = (row >= 0) & (row < ELEVATIONS)
    return torch.from_numpy(np.where(inside, row * AZIMUTHS + column, -1))


def columns_along(directions: np.ndarray) -> np.ndarray:
    """(n, 3) -> (n,) int64, the columns of the grid that they point to."""
    return np.floor(azimuth_rad(directions) * (AZIMUTHS / (2.0 * math.pi))).astype(np.int64) % AZIMUTHS


def describe(features: Tensor, inverse_depth: Tensor) -> Tensor:
    """Looks (D, h, w) and inverse depth (h*s, w*s) -> (h*w, D + 1) what is compared."""
    samples = inverse_depth.shape[-1] // features.shape[-1]
    near = max_pool2d(inverse_depth[None], samples)[0]
    log_depth = torch.log(1.0 / near.clamp(min=SKY_INVERSE_DEPTH)).clamp(max=SKY_LOG_DEPTH)
    log_depth = torch.where(near > 0.0, log_depth, torch.full_like(log_depth, SKY_LOG_DEPTH))
    depth = math.sqrt(DEPTH_WEIGHT) * log_depth[None]
    return torch.cat([features, depth]).flatten(1).T


def onto_grid(described: Tensor, bins: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted means by direction: described (n, D), bins (n,), weight (n,) -> (ELEVATIONS, AZIMUTHS, D) and the
    weights (ELEVATIONS, AZIMUTHS)."""
    keep = (bins >= 0) & (weight > 0.0)
    size = ELEVATIONS * AZIMUTHS
    total = torch.zeros(size).index_add_(0, bins[keep], weight[keep])
    sums = torch.zeros(size, described.shape[1]).index_add_(0, bins[keep], described[keep] * weight[keep, None])
    means = sums / total.clamp(min=1e-6)[:, None]
    return means.view(ELEVATIONS, AZIMUTHS, -1), total.view(ELEVATIONS, AZIMUTHS)


@dataclass(frozen=True, eq=False)
class Spectrum:
    """A place on the grid, transformed along the azimuth and conjugated, (ELEVATIONS, AZIMUTHS / 2 + 1) complex each.

    Attributes:
        means: one more axis, the D described numbers. squares: their squared norm. mask: where there are any.
    """

    means: Tensor
    squares: Tensor
    mask: Tensor


class Matcher:
    """Compares a query with the places of a bank; each place is put on the grid when it is first needed.

    Args:
        bank: the places. look: (C, h, w) latents -> (D, h, w) what is compared of them, in standard deviations.
    """

    def __init__(self, bank: PlaceBank, look: Callable[[Tensor], Tensor]) -> None:
        self._bank, self._look = bank, look
        self._spectra: dict[int, Spectrum] = {}

    def spectrum(self, index: int) -> Spectrum:
        """A place of the bank as it is compared."""
        if index not in self._spectra:
            place = self._bank[index]
            described, bins = [], []
            for latents, inverse_depth, camera in place.views():
                described.append(self.described(latents, inverse_depth))
                bins.append(direction_bins(camera, *latents.shape[-2:]))
            where = torch.cat(bins)
            means, weight = onto_grid(torch.cat(described), where, torch.ones(len(where)))
            mask = (weight > 0.0).float()
            self._spectra[index] = Spectrum(
                *(torch.fft.rfft(x, dim=1).conj() for x in (means, means.square().sum(-1), mask))
            )
        return self._spectra[index]

    def described(self, latents: Tensor, inverse_depth: Tensor) -> Tensor:
        """:func:`describe` of latents (C, h, w) as this matcher looks at them."""
        return describe(self._look(latents), inverse_depth)

    def among(self, biome: str) -> list[int]:
        """The places of a biome; all of them if it is "" or has none."""
        return [i for i, b in enumerate(self._bank.biomes) if b == biome] or list(range(len(self._bank)))

    def best(
        self,
        described: Tensor,
        bins: Tensor,
        weight: Tensor,
        places: Sequence[int],
        latest: Match | None = None,
        replaced: Match | None = None,
        barred: Tensor | None = None,
    ) -> Match:
        """The one of ``places`` and its turn nearest to a query: described (n, D), bins (n,), weight (n,) >= 0; none
        that is ``barred (places, AZIMUTHS)`` bool, by how many columns of the grid it is turned.

        ``latest`` stays unless something fits clearly better: open country looks much the same every few degrees, and
        a search begun anew each time would go round in circles. The place of ``replaced`` is only taken, turned about
        as it was, if that fits clearly better than anything else: the same trees would stand there once more.
        """
        spectra = [self.spectrum(index) for index in places]
        means, total = onto_grid(described, bins, weight)
        query, own = torch.fft.rfft(means * total[..., None], dim=1), torch.fft.rfft(total, dim=1)
        square = torch.fft.rfft(means.square().sum(-1) * total, dim=1)
        # sum over the grid of w |q - p|^2, for every turn: w q^2 - 2 w q p + w p^2
        terms = torch.stack(
            [(square * s.mask - 2.0 * (query * s.means).sum(-1) + own * s.squares).sum(0) for s in spectra]
        )
        error = torch.fft.irfft(terms, n=AZIMUTHS, dim=1)
        compared = torch.fft.irfft(torch.stack([(own * s.mask).sum(0) for s in spectra]), n=AZIMUTHS, dim=1)
        error = torch.where(compared > 0.5 * compared.max().clamp(min=1e-6), error / compared.clamp(min=1e-6), math.inf)
        if replaced is not None and replaced.place in places:
            turns = (_column(replaced) + torch.arange(-ANOTHER_TURN, ANOTHER_TURN + 1)) % AZIMUTHS
            error[places.index(replaced.place), turns] *= LOYALTY
        if barred is not None:
            error = torch.where(barred, math.inf, error)
        row, column = divmod(int(error.argmin()), AZIMUTHS)
        if latest is not None and latest.place in places:
            same = error[places.index(latest.place), _column(latest)]
            if float(same) <= LOYALTY * float(error[row, column]):
                return replace(latest, error=float(same))
        before, here, after = (float(error[row, (column + i) % AZIMUTHS]) for i in (-1, 0, 1))
        curve = before - 2.0 * here + after
        between = 0.5 * (before - after) / curve if math.isfinite(curve) and curve > 1e-9 else 0.0
        # conj(place) * query peaks where query(a + shift) = place(a), so the world turned by -shift lies on the place
        turn = -(column + max(-0.5, min(0.5, between))) * 2.0 * math.pi / AZIMUTHS
        return Match(places[row], turn, here)


def _column(match: Match) -> int:
    """Of the grid, how far a place is turned."""
    return round(-match.turn_rad * AZIMUTHS / (2.0 * math.pi)) % AZIMUTHS
