"""Completing a readout from the place that fits it."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from engine.camera import Camera, rotation_about_up
from engine.cells import cell_means, distance_to, overlaid, without
from engine.memory import LatentMemory, LatentView, MemoryConfig, Readout, ReadoutNetwork
from engine.places.bank import PlaceBank
from engine.places.daylight import in_like_light
from engine.places.glow import elevation_rad, glow_along, level_along, sky_glow
from engine.places.lighting import DIRECTIONS, Lighting
from engine.places.matching import Match, Matcher, direction_bins
from engine.places.seam import joined
from engine.places.skyline import continued, lowered, ridges
from engine.places.things import finished, hiding, whole

GROUND_SLOPE, LOWEST = 0.08, 0.8
"""Ground is looked for where rays fall at least so steeply; its clearance is that quantile."""
MOST_SCALED, MOST_RESCALED = 3.0, 1.5
"""No place is scaled more, nor one that renews what was imagined, or things would grow from one to the next."""
COLOUR_WEIGHT = 2.0
"""A colour that is off by a standard deviation weighs so many of them where colours alone are compared."""
LEAVE_M = 5.0
"""So far from where a place was set down another one is looked for: what lies behind its near things is missing."""
REACH_CELLS = 10.0
"""How far from the unknown a known cell still speaks for what comes next (e-folding)."""
TURNS, OPEN = 8, 1.0 / 30.0
"""So many ways a place is turned to find one that is open: what is ahead is, on average, no nearer (1/m)."""
NEAR = 1.0 / 80.0
"""Inverse depth, 1/m: ground is told by what is nearer, before there is haze."""
MEMORIES_KEPT = 4


@dataclass(frozen=True, eq=False)
class Forgotten:
    """What a place is set down in the stead of.

    Attributes:
        view: what was known before; the place is to lie as its ground does.
        match: the place that was seen there; another is taken if it fits nearly as well. None where one is inside of
            what is forgotten, and nothing that is seen tells what lies outside.
    """

    view: Readout
    match: Match | None


@dataclass(frozen=True, eq=False)
class Completed:
    """A readout whose holes were filled from a place.

    Attributes:
        readout: to condition on.
        taken: (h, w) bool, cells that come from the place.
        hidden: (h, w) bool, those of them that were known, and that something of the place stands before.
        match: which one.
    """

    readout: Readout
    taken: Tensor
    hidden: Tensor
    match: Match


class Places:
    """Completes readouts from a bank. Stateless but for a cache: the same readout and camera give the same answer.

    Args:
        bank: the places. network: resamples their tokens. mean, std: (C, 1, 1) of the latents.
        flat: (n, C) latents of flat colours, for :class:`engine.places.lighting.Lighting`.
    """

    def __init__(self, bank: PlaceBank, network: ReadoutNetwork, mean: Tensor, std: Tensor, flat: Tensor) -> None:
        self.bank = bank
        self._network = network
        self._mean, self._std = mean.cpu(), std.cpu()
        self._lighting = Lighting(flat)
        self._by_look: Matcher | None = None
        self._by_colour: Matcher | None = None
        self._memories: OrderedDict[int, LatentMemory] = OrderedDict()
        self._glows: dict[int, Tensor] = {}
        self._grounds: dict[str, Tensor] = {}

    def complete(
        self,
        readout: Readout,
        camera: Camera,
        biome: str,
        generator: torch.Generator,
        latest: Match | None = None,
        forgotten: Forgotten | None = None,
    ) -> Completed:
        """Fill what ``readout`` does not know of ``camera``; where it knows all, the match alone is worth asking for.

        Args:
            biome: places of another are not considered, if it is known. generator: chooses where nothing is known at
                all. latest: the match of the view before, which is stayed with as long as it fits.
            forgotten: what the place is set down in the stead of; with a ``latest``, it is that once more, turned
                about.
        """
        readout = _on_cpu(readout)
        if forgotten is not None:
            forgotten = replace(forgotten, view=_on_cpu(forgotten.view))
        known = readout.coverage > 0.0  # a cell that is known in part is the denoiser's to finish
        away = distance_to(~known) if not bool(known.all()) else torch.zeros(known.shape)
        if forgotten is None:
            match = self._choose(readout, known, away, camera, biome, generator, latest)
        elif latest is not None:
            match = latest = self._elsewhere(latest, camera)
        else:
            match = self._alike(forgotten, readout, camera, biome)
        recalled = _on_cpu(self._memory(match.place).readout(_placed(camera, match)))
        rays = _rays(camera, readout)
        elevation_deg = torch.rad2deg(elevation_rad(rays))
        # What is to be renewed has lost its shape, but its ground lies where it lay.
        told = readout if forgotten is None else forgotten.view
        there = told.coverage > 0.0
        if match is not latest:
            most = MOST_SCALED if forgotten is None else MOST_RESCALED
            both = there & (recalled.coverage > 0.99)
            scale = self._scale(told, recalled, both, camera)
            match = replace(match, scale=min(max(scale, 1.0 / most), most))
        horizon = ridges(readout, known)
        recalled = replace(recalled, inverse_depth=recalled.inverse_depth * match.scale)
        recalled = lowered(recalled, horizon.too_high)
        if match is not latest and not math.isinf(match.error):
            level = level_along(self._glow(match.place), rays)
            light = self._lighting.told(readout, recalled, known, away, elevation_deg, level)
            if forgotten is not None:
                light = DIRECTIONS * (0.0,) + light[DIRECTIONS:]  # in like light the ground keeps its own colours
            match = replace(match, light=light)
        if match.light:
            glow = self._glow(match.place)
            broad = level_along(glow, rays), glow_along(glow, rays, match.turn_rad)
            recalled = replace(recalled, features=self._lighting.lit(recalled, elevation_deg, *broad, match.light))
        seen, hidden = readout, torch.zeros_like(known)
        if forgotten is not None:
            hidden = hiding(recalled, seen, known, camera)
            seen, known = without(seen, hidden), known & ~hidden
        recalled = whole(recalled, seen, known, camera)
        recalled = continued(joined(recalled, seen, known, camera, self._std), seen, known, horizon)
        recalled = finished(recalled, seen, known, camera)
        taken = (recalled.coverage >= 0.5) & ~known
        coverage = torch.where(taken, 1.0, readout.coverage)
        return Completed(replace(overlaid(readout, recalled, taken), coverage=coverage), taken, hidden & taken, match)

    def _choose(
        self,
        readout: Readout,
        known: Tensor,
        away: Tensor,
        camera: Camera,
        biome: str,
        generator: torch.Generator,
        latest: Match | None,
    ) -> Match:
        if self._by_look is None:
            self._by_look = Matcher(self.bank, lambda latents: (latents - self._mean) / self._std)
        here = _position(camera)
        if latest is not None and math.dist(here, latest.anchor) > LEAVE_M:
            latest = None
        if not bool(known.any()):
            if latest is not None:
                return latest
            places = self._by_look.among(biome)
            chosen = places[int(torch.randint(len(places), (), generator=generator))]
            # A place is stored as it was found most worth looking at: straight ahead.
            return Match(chosen, -math.radians(camera.yaw_deg), math.inf, here)
        weight = torch.exp(-away / REACH_CELLS) * known
        described = self._by_look.described(readout.features, readout.inverse_depth)
        bins = direction_bins(camera, *known.shape)
        match = self._by_look.best(described, bins, weight.flatten(), self._by_look.among(biome), latest)
        return latest if latest is not None and match.turn_rad == latest.turn_rad else replace(match, anchor=here)

    def _elsewhere(self, latest: Match, camera: Camera) -> Match:
        """The same place, turned to where it is open ahead and no lake: what one is inside of would stand there once
        more, and over a lake one would stay."""
        memory, here, usual = self._memory(latest.place), _position(camera), self._usual(latest.place)
        turns = [latest.turn_rad + 2.0 * math.pi * n / TURNS for n in range(1, TURNS)]
        matches = [replace(latest, turn_rad=turn, anchor=here, scale=1.0) for turn in turns]

        def unlike(match: Match) -> float:
            view = memory.readout_nearest(_placed(camera, match))
            nearness = cell_means(view.inverse_depth, view.coverage)
            third = view.coverage.shape[1] // 3
            crowded = float(nearness[:, third:-third].mean()) / OPEN
            ground = view.features[:, nearness > NEAR].T
            return max(crowded, 1.0) + float((self._lighting.middle(ground) - usual).norm())

        return min(matches, key=unlike)

    def _usual(self, place: int) -> Tensor:
        """(DIRECTIONS,) the middle colour of ground in the country that a place lies in."""
        biome = self.bank.biomes[place]
        if biome not in self._grounds:
            middles = []
            for index in (i for i, b in enumerate(self.bank.biomes) if b == biome):
                views = self.bank[index].views()
                near = [z[:, cell_means(inverse_depth, z[0]) > NEAR].T for z, inverse_depth, _ in views]
                middles.append(self._lighting.middle(torch.cat(near)))
            self._grounds[biome] = torch.stack(middles).median(dim=0).values
        return self._grounds[biome]

    def _alike(self, forgotten: Forgotten, left: Readout, camera: Camera, biome: str) -> Match:
        """The place in like light that looks most like what is ``forgotten``, which has no texture worth comparing;
        light is told by the sky of what is ``left``, which nothing hides any more."""
        if self._by_colour is None:
            self._by_colour = Matcher(self.bank, self._colours)
        view, rays = forgotten.view, _rays(camera, forgotten.view)
        described = self._by_colour.described(view.features, view.inverse_depth)
        bins = direction_bins(camera, *view.coverage.shape)
        weight = (view.coverage > 0.0).float().flatten()
        places = in_like_light(
            self._lighting,
            self._by_colour.among(biome),
            left,
            torch.rad2deg(elevation_rad(rays)),
            lambda place: level_along(self._glow(place), rays),
            None if forgotten.match is None else forgotten.match.place,
        )
        match = self._by_colour.best(described, bins, weight, places, replaced=forgotten.match)
        return replace(match, anchor=_position(camera))

    def _colours(self, latents: Tensor) -> Tensor:
        """Broad colours of latents (C, h, w), (DIRECTIONS, h, w), weighed."""
        spread = torch.sqrt(self._lighting.colours.square() @ self._std.flatten().square())
        return COLOUR_WEIGHT * self._lighting.coordinates(latents) / spread[:, None, None]

    def _memory(self, index: int) -> LatentMemory:
        """The place as a memory; the last few are kept."""
        if index in self._memories:
            self._memories.move_to_end(index)
            return self._memories[index]
        place = self.bank[index]
        channels, stride, samples = self.bank.token
        memory = LatentMemory(MemoryConfig(channels=channels, stride=stride, samples=samples), self._network)
        for latents, inverse_depth, camera in place.views():
            memory.write(LatentView(camera, latents, inverse_depth))
        self._memories[index] = memory
        while len(self._memories) > MEMORIES_KEPT:
            self._memories.popitem(last=False)
        return memory

    def _glow(self, index: int) -> Tensor:
        if index not in self._glows:
            self._glows[index] = sky_glow(self.bank[index], self._lighting.colours)
        return self._glows[index]

    def _scale(self, readout: Readout, recalled: Readout, beside: Tensor, camera: Camera) -> float:
        """So many metres of the place to one of the world that its ground lies as far below the camera as the memory's.

        Crowns and roofs are below the camera too: only the lowest that is seen counts as ground.
        """
        down = -_rays(camera, readout)[..., 2]
        clearances = []
        for part in (readout, recalled):
            inverse = cell_means(part.inverse_depth, beside)
            ground = beside & (inverse > 0.0) & (down > GROUND_SLOPE)
            if int(ground.sum()) < 16:
                return 1.0
            clearances.append(torch.quantile(down[ground] / inverse[ground], LOWEST))
        here, there = clearances
        return float(there / here)


def _on_cpu(readout: Readout) -> Readout:
    """Geometry lies on the CPU anyway; what a network on a GPU has resampled follows."""
    return replace(readout, features=readout.features.cpu())


def _rays(camera: Camera, readout: Readout) -> Tensor:
    """(h, w, 3) of the view's cells."""
    h, w = readout.coverage.shape
    return torch.from_numpy(camera.resized(w, h).rays()).float()


def _position(camera: Camera) -> tuple[float, float, float]:
    return float(camera.position[0]), float(camera.position[1]), float(camera.position[2])


def _placed(camera: Camera, match: Match) -> Camera:
    """``camera`` as it stands in the place."""
    turn = rotation_about_up(match.turn_rad)
    pose = np.eye(4)
    pose[:3, :3] = turn @ camera.c2w[:3, :3]
    pose[:3, 3] = match.scale * turn @ (camera.position - np.array(match.anchor))
    return camera.posed(pose)
