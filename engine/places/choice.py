"""Which place a view is completed from, and how it lies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from engine.camera import Camera
from engine.cells import cell_means
from engine.memory import LatentMemory, Mosaic
from engine.places.ahead import blocked_ahead, water_ahead
from engine.places.bank import PlaceBank
from engine.places.building import Building
from engine.places.daylight import in_like_light
from engine.places.glow import elevation_rad, level_along
from engine.places.kinds import Kinds
from engine.places.lighting import Lighting
from engine.places.matching import (
    AZIMUTHS,
    Forgotten,
    Match,
    Matcher,
    direction_bins,
    placed,
    position,
    rays_of,
)
from engine.places.module import Point, to_quarter
from engine.places.rooms import RoomMatcher

COLOUR_WEIGHT = 2.0
"""A colour that is off by a standard deviation weighs so many of them where colours alone are compared."""
LEAVE_M = 5.0
"""So far from where a place was set down another one is looked for: what lies behind its near things is missing."""
TO_CHOOSE = 2
"""Of so many places that were not there lately one is taken that looks like what it is to follow."""
REACH_CELLS = 10.0
"""How far from the unknown a known cell still speaks for what comes next (e-folding)."""
TURNS, OPEN = 8, 1.0 / 30.0
"""So many ways a place is turned to find one that is open: what is ahead is, on average, no nearer (1/m)."""
LAKE, CROWDED = 0.25, 0.3
"""A lake lies ahead where so much of the ground is water; the way is blocked where something stands in it in so much of
what lies before one."""
NEAR = 1.0 / 80.0
"""Inverse depth, 1/m: ground is told by what is nearer, before there is haze."""


class Choice:
    """Chooses from a bank; see :class:`engine.places.completion.Places`.

    In open country a place is set down where one stands; in a building in the middle of the square that one is in, see
    :class:`engine.places.building.Building`.

    Args:
        memory: a place, by its index, as a memory. glow: the broad light of its sky. kinds: of rooms.
    """

    def __init__(
        self,
        bank: PlaceBank,
        lighting: Lighting,
        mean: Tensor,
        std: Tensor,
        memory: Callable[[int], LatentMemory],
        glow: Callable[[int], Tensor],
        kinds: Kinds | None = None,
    ) -> None:
        self._bank, self._lighting, self._std = bank, lighting, std
        self._memory, self._glow = memory, glow
        self._by_look = Matcher(bank, lambda latents: (latents - mean) / std)
        self._by_colour = Matcher(bank, self._colours)
        rooms = RoomMatcher(bank, mean, std, lighting.colours)
        self.buildings = {
            biome: Building(module, self.among(biome), rooms, kinds, mean, std)
            for biome, module in bank.modules.items()
        }
        self._grounds: dict[str, Tensor] = {}
        self._ways: dict[int, Tensor] = {}

    def going_on(
        self,
        view: Mosaic,
        known: Tensor,
        away: Tensor,
        camera: Camera,
        biome: str,
        generator: torch.Generator,
        latest: Match | None,
    ) -> Match:
        """The place that goes on best from what is ``known (h, w)`` bool of a view, most of all where the unknown is
        not far ``away (h, w)`` in cells; other arguments as for :meth:`engine.places.completion.Places.complete`."""
        anchor, at = self._spot(camera, biome, latest)
        before = latest
        there = None if before is None or at is None else self.buildings[biome].decided(before, anchor, at)
        if there is not None:
            return latest if latest is not None and latest.anchor == there.anchor else there
        if latest is not None and math.dist(anchor, latest.anchor) > LEAVE_M:
            latest = None
        places = self._by_look.among(biome)
        if not bool(known.any()):
            if latest is not None:
                return latest
            chosen = places[int(torch.randint(len(places), (), generator=generator))]
            # A place is stored as it was found most worth looking at: straight ahead.
            ahead = -math.radians(camera.yaw_deg)
            return Match(chosen, ahead if at is None else to_quarter(ahead), math.inf, position(camera))
        weight = torch.exp(-away / REACH_CELLS) * known
        if at is None:
            described = self._by_look.described(view.readout.features, view.readout.inverse_depth)
            match = self._by_look.best(
                described, direction_bins(camera, *known.shape), weight.flatten(), places, latest
            )
        else:
            match = self.buildings[biome].going_on(view.readout, weight, camera, anchor, latest)
        if latest is not None and match.turn_rad == latest.turn_rad:
            return latest
        if at is None and before is not None:  # what fills a hole is no other country
            at = before.since
        return replace(match, anchor=anchor, chosen_at=at).following(before)

    def elsewhere(self, latest: Match, camera: Camera, biome: str) -> Match:
        """The same place, turned to where it is open ahead and no lake: what one is inside of would stand there once
        more, and over a lake one would stay. A room that one is still in stays as it is."""
        anchor, at = self._spot(camera, biome, latest)
        if at is not None and anchor == latest.anchor:
            return replace(latest, chosen_at=at)
        memory, usual, count = self._memory(latest.place), self._usual(latest.place), TURNS if at is None else 4
        turns = [latest.turn_rad + 2.0 * math.pi * n / count for n in range(1, count)]
        matches = [replace(latest, turn_rad=turn, anchor=anchor, chosen_at=at, scale=1.0, bays=()) for turn in turns]

        def unlike(match: Match) -> float:
            view = memory.readout_nearest(placed(camera, match))
            nearness = cell_means(view.inverse_depth, view.coverage)
            third = view.coverage.shape[1] // 3
            crowded = float(nearness[:, third:-third].mean()) / OPEN
            ground = view.features[:, nearness > NEAR].T
            return max(crowded, 1.0) + float((self._lighting.middle(ground) - usual).norm())

        return min(matches, key=unlike)

    def alike(self, forgotten: Forgotten, left: Mosaic, camera: Camera, biome: str) -> Match:
        """The place in like light that looks most like what is ``forgotten``, which has no texture worth comparing;
        light is told by the sky of what is ``left``, which nothing hides any more."""
        anchor, at = self._spot(camera, biome, forgotten.match)
        if at is not None:
            return self.buildings[biome].alike(forgotten, left.sight, camera, anchor, at)
        view, rays = forgotten.view.readout, rays_of(camera, forgotten.view.sight)
        described = self._by_colour.described(view.features, view.inverse_depth)
        bins = direction_bins(camera, *view.coverage.shape)
        weight = (view.coverage > 0.0).float().flatten()
        places = in_like_light(
            self._lighting,
            self._with_land(self._by_colour.among(biome)),
            left.readout,
            torch.rad2deg(elevation_rad(rays)),
            lambda place: level_along(self._glow(place), rays),
            None if forgotten.match is None else forgotten.match.place,
        )
        if forgotten.match is not None:
            places = self._not_lately(places, forgotten.match)
        barred = self._no_way(places, camera)
        match = self._by_colour.best(described, bins, weight, places, replaced=forgotten.match, barred=barred)
        return replace(match, anchor=anchor).following(forgotten.match)

    def _not_lately(self, places: Sequence[int], before: Match) -> list[int]:
        """``places`` without the one ``before``, what is most like which is itself, and without those before that, as
        long as some are left to choose from; of what is left mirrored and not, the one that was not there lately."""
        original = self._bank.original
        left = list(places)
        for place in (before.place, *before.past):
            others = [other for other in left if original(other) != original(place)]
            if len({original(other) for other in others}) < (1 if place == before.place else TO_CHOOSE):
                break
            left = others
        return [place for place in left if place not in (before.place, *before.past)] or left

    def among(self, biome: str) -> list[int]:
        """The places that are chosen from."""
        return self._by_look.among(biome)

    def prepare(self, place: int) -> None:
        """Find out what any choice asks of a place."""
        self._ways_on(place)
        self._glow(place)
        self._by_colour.spectrum(place)
        self._by_look.spectrum(place)

    def _ways_on(self, place: int) -> Tensor:
        """(AZIMUTHS,) bool: the directions in which one gets on from a place, over land, and if possible into nothing;
        none where a lake lies all around."""
        if place not in self._ways:
            unpacked = self._bank[place]
            land = water_ahead(unpacked) <= LAKE
            free = land & (blocked_ahead(unpacked) <= CROWDED)
            self._ways[place] = free if bool(free.any()) else land
        return self._ways[place]

    def _with_land(self, places: Sequence[int]) -> list[int]:
        """Those of ``places`` from which one gets on in some direction; all if there is none."""
        return [place for place in places if bool(self._ways_on(place).any())] or list(places)

    def _no_way(self, places: Sequence[int], camera: Camera) -> Tensor:
        """(places, AZIMUTHS) bool: how places from which one gets on must not be turned, or one would not."""
        ahead = math.floor(math.radians(camera.yaw_deg) * AZIMUTHS / (2.0 * math.pi))
        ways = torch.stack([self._ways_on(place) for place in places])[:, (ahead - torch.arange(AZIMUTHS)) % AZIMUTHS]
        return ~ways & ways.any(dim=1, keepdim=True)

    def _spot(self, camera: Camera, biome: str, like: Match | None) -> tuple[Point, Point | None]:
        """Where a place is set down; and, if that is not where one stands, where that is."""
        here, building = position(camera), self.buildings.get(biome)
        return (here, None) if building is None else (building.room(camera, like), here)

    def _usual(self, place: int) -> Tensor:
        """(DIRECTIONS,) the middle colour of ground in the country that a place lies in."""
        biome = self._bank.biomes[place]
        if biome not in self._grounds:
            middles = []
            for index in (i for i, b in enumerate(self._bank.biomes) if b == biome):
                views = self._bank[index].views()
                near = [z[:, cell_means(inverse_depth, z[0]) > NEAR].T for z, inverse_depth, _ in views]
                middles.append(self._lighting.middle(torch.cat(near)))
            self._grounds[biome] = torch.stack(middles).median(dim=0).values
        return self._grounds[biome]

    def _colours(self, latents: Tensor) -> Tensor:
        """Broad colours of latents (C, h, w), (DIRECTIONS, h, w), weighed."""
        spread = torch.sqrt(self._lighting.colours.square() @ self._std.flatten().square())
        return COLOUR_WEIGHT * self._lighting.coordinates(latents) / spread[:, None, None]
