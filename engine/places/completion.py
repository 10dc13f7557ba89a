"""Completing a readout from the place that fits it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from engine.camera import Camera
from engine.cells import distance_to, only_sky, overlaid, sky_share, unroofed, without
from engine.ground import clearance_m
from engine.memory import Mosaic, Readout, ReadoutNetwork
from engine.places.bank import PlaceBank
from engine.places.choice import Choice
from engine.places.completed import Completed
from engine.places.glow import elevation_rad, glow_along, level_along, sky_glow
from engine.places.inside import Inside, Retold
from engine.places.kinds import Kinds
from engine.places.lighting import Lighting, unlit
from engine.places.matching import Forgotten, Match, placed, position, rays_of
from engine.places.memories import Memories
from engine.places.module import SIDES, Point
from engine.places.repeats import Repeats
from engine.places.scales import Halve
from engine.places.seam import joined
from engine.places.skyline import continued, lowered, ridges
from engine.places.things import finished, hiding, whole

ROOM_PARTS = len(SIDES) + 4
"""A stored room is made ready in so many parts."""
MOST_SCALED, MOST_RESCALED = 3.0, 1.5
"""No place is scaled more, nor one that renews what was imagined, or things would grow from one to the next."""


class Places:
    """Completes readouts from a bank. Stateless but for a cache: the same readout and camera give the same answer.

    Args:
        bank: the places. network: resamples their tokens. mean, std: (C, 1, 1) of the latents.
        flat: (n, C) latents of flat colours, for :class:`engine.places.lighting.Lighting`.
        kinds: tells what kind of room one sees through a door.
        halve: see :class:`engine.places.memories.Memories`.
    """

    def __init__(
        self,
        bank: PlaceBank,
        network: ReadoutNetwork,
        mean: Tensor,
        std: Tensor,
        flat: Tensor,
        kinds: Kinds | None = None,
        halve: Halve | None = None,
    ) -> None:
        self.bank = bank
        self._mean, self._std = mean.cpu(), std.cpu()
        self._lighting = Lighting(flat)
        self._memory = Memories(bank, network, halve)
        self._glows: dict[int, Tensor] = {}
        self._repeating: dict[int, Repeats] = {}
        self._ready: dict[int, int] = {}
        self._choice = Choice(bank, self._lighting, self._mean, self._std, self._memory, self._glow, kinds)
        self._inside = {
            biome: Inside(building, self._memory, self._repeats, self._light, self._told)
            for biome, building in self._choice.buildings.items()
        }

    def complete(
        self,
        view: Mosaic,
        camera: Camera,
        biome: str,
        generator: torch.Generator,
        latest: Match | None = None,
        forgotten: Forgotten | None = None,
        retold: Retold | None = None,
    ) -> Completed:
        """Fill what is not known of a ``view`` from ``camera``; where all is known, the match alone is worth asking
        for.

        Args:
            biome: places of another are not considered, if it is known. generator: chooses where nothing is known at
                all. latest: the match of the view before, which is stayed with as long as it fits.
            forgotten: what the place is set down in the stead of; with a ``latest``, it is that once more, turned
                about.
            retold: what the place tells anew that one is in, stays in or sets right, and the next room that one sees.
        """
        view = view.showing(_on_cpu(view.sight))
        if forgotten is not None:
            forgotten = replace(forgotten, view=forgotten.view.showing(_on_cpu(forgotten.view.sight)))
        known = self.known(view.sight, biome)
        away = distance_to(~known) if not bool(known.all()) else torch.zeros(known.shape)
        if forgotten is None:
            match = self._choice.going_on(view, known, away, camera, biome, generator, latest)
        elif latest is not None:
            match = latest = self._choice.elsewhere(latest, camera, biome)
        else:
            match = self._choice.alike(forgotten, view, camera, biome)
        inside = self._inside.get(biome)
        if inside is not None:
            return inside.complete(view, known, away, camera, match, latest, forgotten, retold)
        return self._complete_outside(view.readout, known, away, camera, match, latest, forgotten)

    def _complete_outside(
        self,
        readout: Readout,
        known: Tensor,
        away: Tensor,
        camera: Camera,
        match: Match,
        latest: Match | None,
        forgotten: Forgotten | None,
    ) -> Completed:
        """What is not ``known (h, w)`` bool of a view of open country, from a place in it."""
        recalled = _on_cpu(self._memory(match.place).readout(placed(camera, match)))
        # What is to be renewed has lost its shape, but its ground lies where it lay.
        told = readout if forgotten is None else forgotten.view.sight
        if match is not latest:
            most = MOST_SCALED if forgotten is None else MOST_RESCALED
            both = (told.coverage > 0.0) & (recalled.coverage > 0.99)
            below, its = (clearance_m(camera, part.inverse_depth, both) for part in (told, recalled))
            # So many metres of the place to one of the world that its ground lies as far below the camera.
            scale = its / below if below and its else 1.0
            match = replace(match, scale=min(max(scale, 1.0 / most), most))
        # What is forgotten hid some sky, and the place's hills may hide it again.
        hidden = torch.zeros_like(known)
        if forgotten is not None:
            hidden = forgotten.gone & only_sky(readout)
        horizon = ridges(readout, known & ~hidden)
        recalled = replace(recalled, inverse_depth=recalled.inverse_depth * match.scale)
        recalled = lowered(recalled, horizon.too_high)
        if match is not latest and not math.isinf(match.error):
            light = self._told(readout, recalled, known, away, match, camera)
            own = forgotten is not None and forgotten.gives_way_to(match)
            match = replace(match, light=unlit(light) if own else light)
        shift = self._light(recalled, match, camera)
        recalled = recalled if shift is None else replace(recalled, features=recalled.features + shift)
        seen = readout
        if forgotten is not None:
            hidden &= (recalled.coverage > 0.99) & (sky_share(recalled, recalled.coverage) < 0.5)
            hidden |= hiding(recalled, seen, known, camera)
            seen, known = without(seen, hidden), known & ~hidden
        recalled = whole(recalled, seen, known, camera)
        recalled = continued(joined(recalled, seen, known, camera, self._std), seen, known, horizon)
        recalled = finished(recalled, seen, known, camera)
        taken = (recalled.coverage >= 0.5) & ~known
        coverage = torch.where(taken, 1.0, readout.coverage)
        completed = replace(overlaid(readout, recalled, taken), coverage=coverage)
        return Completed(completed, taken, hidden & taken, torch.zeros_like(known), match)

    def _told(
        self, view: Readout, recalled: Readout, known: Tensor, away: Tensor, match: Match, camera: Camera
    ) -> tuple[float, ...]:
        """The light that a place is to be seen in, see :meth:`engine.places.lighting.Lighting.told`."""
        rays = rays_of(camera, view)
        level = level_along(self._glow(match.place), rays)
        return self._lighting.told(view, recalled, known, away, torch.rad2deg(elevation_rad(rays)), level)

    def _light(self, recalled: Readout, match: Match, camera: Camera) -> Tensor | None:
        """(C, h, w): by how much what a place shows differs in the light of its match; ``None``: by nothing."""
        if not match.light:
            return None
        rays, glow = rays_of(camera, recalled), self._glow(match.place)
        broad = level_along(glow, rays), glow_along(glow, rays, match.turn_rad)
        return self._lighting.difference(recalled, torch.rad2deg(elevation_rad(rays)), *broad, match.light)

    def prepare(self, biome: str) -> bool:
        """Get a part of one more place ready, which the first choice among them would take its time for, and in a
        building showing each; False if all are."""
        for place in self._choice.among(biome):
            parts = self._parts(place, biome)
            done = self._ready.get(place, 0)
            if done < len(parts):
                parts[done]()
                self._ready[place] = done + 1
                return True
        return False

    def _parts(self, place: int, biome: str) -> list[Callable[[], object]]:
        """What is to be ready of a place, each of a moment, the longest first."""
        if not self.built(biome):
            return [partial(self._choice.prepare, place)]
        shown = [partial(self._memory, place, side) for side in (None, *SIDES)]
        compared = partial(self._choice.buildings[biome].prepare, place)
        return [*shown, compared, partial(self._repeats, place), partial(self._glow, place)]

    def built(self, biome: str) -> bool:
        """Whether the worlds of a biome are buildings."""
        return biome in self.bank.modules

    def known(self, readout: Readout, biome: str) -> Tensor:
        """(h, w) bool: cells of a view that no place is asked for. What is known in part is the denoiser's to finish;
        but in a building the walls of a place end where those do that are known."""
        return readout.coverage > (0.99 if self.built(biome) else 0.0)

    def another_room(self, latest: Match | None, camera: Camera, biome: str) -> bool:
        """Whether ``camera`` is in another room of a building than the ``latest`` place."""
        if latest is None or not self.built(biome):
            return False
        return self._choice.buildings[biome].room(camera, latest) != latest.anchor

    def about_to_enter(self, camera: Camera, biome: str, latest: Match | None) -> bool:
        """Whether ``camera`` still stands in another room of a building than the one that it is about to enter."""
        building = self._choice.buildings.get(biome)
        return building is not None and building.room_of(position(camera), latest) != building.room(camera, latest)

    def in_room_of(self, point: Point | None, camera: Camera, biome: str, latest: Match | None) -> bool:
        """Whether ``camera`` is in the same room of a building as a point."""
        building = self._choice.buildings.get(biome)
        if point is None or building is None:
            return False
        return building.room_of(point, latest) == building.room(camera, latest)

    def roofed(self, readout: Readout, camera: Camera, biome: str, latest: Match | None) -> Tensor | None:
        """(h, w) bool: cells where a memory shows sky that the room which ``camera`` is in may well hide, if there are
        any.

        Sky lies at infinity: once seen from a court it is known above every room. What is seen of it below something
        built, through a window or a portal, is true.
        """
        if latest is None or not self.built(biome):
            return None
        doubtful = unroofed(_on_cpu(readout))
        if bool(doubtful.any()) and self._memory.court(latest.place) and not self.another_room(latest, camera, biome):
            room = self._memory(latest.place).readout_nearest(placed(camera, latest), counted=False)
            doubtful &= (room.coverage > 0.5) & (sky_share(room, room.coverage) <= 0.5)
        return doubtful if bool(doubtful.any()) else None

    def _repeats(self, index: int) -> Repeats:
        if index not in self._repeating:
            side_m = self.bank.modules[self.bank.biomes[index]].side_m
            self._repeating[index] = Repeats(self.bank.first_views(index), side_m, self._mean, self._std)
        return self._repeating[index]

    def _glow(self, index: int) -> Tensor:
        if index not in self._glows:
            self._glows[index] = sky_glow(self.bank[index], self._lighting.colours)
        return self._glows[index]


def _on_cpu(readout: Readout) -> Readout:
    """Geometry lies on the CPU anyway; what a network on a GPU has resampled follows."""
    return replace(readout, features=readout.features.cpu())
