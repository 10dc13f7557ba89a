"""Completing a readout from the place that fits it."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from engine.camera import Camera
from engine.cells import distance_to, only_sky, overlaid, sky_share, unroofed, without
from engine.ground import clearance_m
from engine.memory import LatentMemory, LatentView, MemoryConfig, Readout, ReadoutNetwork
from engine.places.bank import PlaceBank
from engine.places.choice import Choice, Forgotten, placed, rays_of
from engine.places.doors import INSIDE, Way, beyond, way_back
from engine.places.glow import elevation_rad, glow_along, level_along, sky_glow
from engine.places.lighting import DIRECTIONS, Lighting
from engine.places.matching import Match
from engine.places.module import Point
from engine.places.roof import is_court, sky_behind
from engine.places.seam import joined
from engine.places.skyline import continued, lowered, ridges
from engine.places.things import finished, hiding, whole

MOST_SCALED, MOST_RESCALED = 3.0, 1.5
"""No place is scaled more, nor one that renews what was imagined, or things would grow from one to the next."""
MEMORIES_KEPT = 4
ENOUGH_SHOWN = 0.9
"""A room is seen from outside if its place shows so much of what one sees of it: from outside, its pillars hide what
they do not hide from its middle."""


@dataclass(frozen=True, eq=False)
class Completed:
    """A readout whose holes were filled from a place.

    Attributes:
        readout: to condition on.
        taken: (h, w) bool, cells that come from the place.
        hidden: (h, w) bool, those of them that were known, and that something of the place stands before.
        anew: (h, w) bool, those of them that were known, and that the place tells better.
        match: which one.
        outside: (h, w) bool, those of them that are no more than a guess: what lies outside of the rooms that are
            known, where it is one.
    """

    readout: Readout
    taken: Tensor
    hidden: Tensor
    anew: Tensor
    match: Match
    outside: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Retold:
    """What of a view of a building a place may tell anew, though it is known.

    Attributes:
        free: (h, w) bool, all but what the user keeps. drawn: those of them that show what was never given, or was
            drawn anew.
        lent: whether the room that one is in is a place, and was not truly seen.
        began_at: where the world was truly seen, if it was.
    """

    free: Tensor
    drawn: Tensor
    lent: bool = True
    began_at: Point | None = None


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
        self._memories: OrderedDict[tuple[int, Way | None], LatentMemory] = OrderedDict()
        self._glows: dict[int, Tensor] = {}
        self._courts: dict[int, bool] = {}
        self._ready: set[int] = set()
        self._choice = Choice(bank, self._lighting, self._mean, self._std, self._memory, self._glow)

    def complete(
        self,
        readout: Readout,
        camera: Camera,
        biome: str,
        generator: torch.Generator,
        latest: Match | None = None,
        forgotten: Forgotten | None = None,
        retold: Retold | None = None,
    ) -> Completed:
        """Fill what ``readout`` does not know of ``camera``; where it knows all, the match alone is worth asking for.

        Args:
            biome: places of another are not considered, if it is known. generator: chooses where nothing is known at
                all. latest: the match of the view before, which is stayed with as long as it fits.
            forgotten: what the place is set down in the stead of; with a ``latest``, it is that once more, turned
                about.
            retold: what the place tells anew that one is in, stays in or sets right, and the next room that one sees.
        """
        readout = _on_cpu(readout)
        if forgotten is not None:
            forgotten = replace(forgotten, view=_on_cpu(forgotten.view))
        known = self.known(readout, biome)
        away = distance_to(~known) if not bool(known.all()) else torch.zeros(known.shape)
        if forgotten is None:
            match = self._choice.going_on(readout, known, away, camera, biome, generator, latest)
        elif latest is not None:
            match = latest = self._choice.elsewhere(latest, camera, biome)
        else:
            match = self._choice.alike(forgotten, readout, camera, biome)
        recalled = _on_cpu(self._memory(match.place).readout(placed(camera, match)))
        rays = rays_of(camera, readout)
        elevation_deg = torch.rad2deg(elevation_rad(rays))
        # What is to be renewed has lost its shape, but its ground lies where it lay.
        told = readout if forgotten is None else forgotten.view
        there = told.coverage > 0.0
        if match is not latest and not self.built(biome):
            most = MOST_SCALED if forgotten is None else MOST_RESCALED
            both = there & (recalled.coverage > 0.99)
            below, its = (clearance_m(camera, part.inverse_depth, both) for part in (told, recalled))
            # So many metres of the place to one of the world that its ground lies as far below the camera.
            scale = its / below if below and its else 1.0
            match = replace(match, scale=min(max(scale, 1.0 / most), most))
        # What is forgotten hid some sky, and the place's hills may hide it again.
        hidden = torch.zeros_like(known)
        if forgotten is not None and not self.built(biome):
            hidden = forgotten.gone & only_sky(readout)
        horizon = ridges(readout, known & ~hidden)
        recalled = replace(recalled, inverse_depth=recalled.inverse_depth * match.scale)
        recalled = lowered(recalled, horizon.too_high)
        before = latest if forgotten is None else forgotten.match
        kept = self.built(biome) and before is not None and before.room(match.anchor) is not None
        if match is not latest and not math.isinf(match.error) and not kept:
            level = level_along(self._glow(match.place), rays)
            light = self._lighting.told(readout, recalled, known, away, elevation_deg, level)
            # In like light the ground keeps its own colours, and a room that one has just entered.
            if forgotten is not None and (forgotten.match is None or forgotten.match.anchor != match.anchor):
                light = DIRECTIONS * (0.0,) + light[DIRECTIONS:]
            match = replace(match, light=light)
        recalled = self._lit(recalled, match, rays, elevation_deg)
        seen = readout
        if forgotten is not None:
            hidden &= (recalled.coverage > 0.99) & (sky_share(recalled, recalled.coverage) < 0.5)
            hidden |= hiding(recalled, seen, known, camera)
            seen, known = without(seen, hidden), known & ~hidden
        if not self.built(biome):  # a room's walls and pillars stand where those do that are known
            recalled = whole(recalled, seen, known, camera)
            recalled = continued(joined(recalled, seen, known, camera, self._std), seen, known, horizon)
            recalled = finished(recalled, seen, known, camera)
        anew = torch.zeros_like(known)
        if retold is not None and (match is latest or forgotten is not None or kept):
            anew = known & (recalled.coverage > 0.99) & self._may(retold, recalled, match, camera, biome)
        taken = (recalled.coverage >= 0.5) & (~known | anew)
        coverage = torch.where(taken, 1.0, readout.coverage)
        completed = replace(overlaid(readout, recalled, taken), coverage=coverage)
        outside = self._choice.outside(match, completed, camera, biome)
        if retold is not None and outside is not None:
            if retold.lent and not kept:
                match = match.knowing(match)
            completed, match, shows, farther = self._look_out(completed, match, retold, camera, biome)
            taken, anew = taken | shows, anew | (shows & known)
            outside = torch.where(shows, farther, outside)
        outside = None if outside is None else taken & outside
        return Completed(completed, taken, hidden & taken, anew, match, outside)

    def _look_out(
        self, view: Readout, match: Match, retold: Retold, camera: Camera, biome: str
    ) -> tuple[Readout, Match, Tensor, Tensor]:
        """``view`` with what one sees of a next room told by a place of its own; ``match``, which knows of that room;
        (h, w) bool, the cells that show it, and those of them that show what lies outside of it in turn."""
        ways = self._choice.ways(match, camera, view.coverage, biome)
        out = ways.out(view)
        match, side = self._choice.next_room(match, view, out, retold.drawn, camera, biome, retold.began_at)
        room = self._choice.beside(match, biome)[side] if side != INSIDE else None
        if room is not None:
            memory, there, looks = self._memory(room.place, way_back(side, room)), placed(camera, room), out == side
            nearest = memory.readout_nearest(there)
            if float((looks & (ways.out(nearest) == side)).sum()) >= ENOUGH_SHOWN * float(looks.sum()):
                rays = rays_of(camera, view)
                recalled = _on_cpu(memory.readout(there))
                recalled = self._lit(recalled, room, rays, torch.rad2deg(elevation_rad(rays)))
                shows = looks & (ways.out(recalled) == side) & (recalled.coverage > 0.99) & retold.free
                shown = replace(overlaid(view, recalled, shows), coverage=torch.where(shows, 1.0, view.coverage))
                farther = self._choice.outside(room, shown, camera, biome)
                return shown, match, shows, shows if farther is None else shows & farther
        nothing = torch.zeros_like(retold.free)
        return view, match, nothing, nothing

    def _lit(self, recalled: Readout, match: Match, rays: Tensor, elevation_deg: Tensor) -> Readout:
        """What a place shows along ``rays (h, w, 3)``, in the light of its match."""
        if not match.light:
            return recalled
        glow = self._glow(match.place)
        broad = level_along(glow, rays), glow_along(glow, rays, match.turn_rad)
        return replace(recalled, features=self._lighting.lit(recalled, elevation_deg, *broad, match.light))

    def prepare(self, biome: str) -> bool:
        """Get one more place of open country ready, which the first choice among them would take its time for; False
        if all are."""
        for place in () if self.built(biome) else self._choice.among(biome):
            if place not in self._ready:
                self._choice.prepare(place)
                self._ready.add(place)
                return True
        return False

    def _may(self, retold: Retold, recalled: Readout, match: Match, camera: Camera, biome: str) -> Tensor:
        """(h, w) bool: what the place may tell anew, of what it shows, where one is in its room; of what lies outside,
        only what was never given."""
        if not retold.lent:
            return torch.zeros_like(retold.free)
        outside = self._choice.outside(match, recalled, camera, biome)
        return retold.free if outside is None else torch.where(outside, retold.drawn, retold.free)

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
        return self._choice.room(camera, biome, latest) != latest.anchor

    def in_room_of(self, point: Point | None, camera: Camera, biome: str, latest: Match | None) -> bool:
        """Whether ``camera`` is in the same room of a building as a point."""
        return point is not None and self._choice.room_of(point, biome, latest) == self._choice.room(
            camera, biome, latest
        )

    def roofed(self, readout: Readout, camera: Camera, biome: str, latest: Match | None) -> Tensor | None:
        """(h, w) bool: cells where a memory shows sky that the room which ``camera`` is in may well hide, if there are
        any.

        Sky lies at infinity: once seen from a court it is known above every room. What is seen of it below something
        built, through a window or a portal, is true.
        """
        if latest is None or not self.built(biome):
            return None
        doubtful = unroofed(_on_cpu(readout))
        if bool(doubtful.any()) and self._court(latest.place) and not self.another_room(latest, camera, biome):
            room = self._memory(latest.place).readout_nearest(placed(camera, latest))
            doubtful &= (room.coverage > 0.5) & (sky_share(room, room.coverage) <= 0.5)
        return doubtful if bool(doubtful.any()) else None

    def _memory(self, index: int, without: Way | None = None) -> LatentMemory:
        """The place as a memory; ``without`` what it shows of the next room on that side. The last few are kept."""
        key = index, without
        if key in self._memories:
            self._memories.move_to_end(key)
            return self._memories[key]
        place = self.bank[index]
        channels, stride, samples = self.bank.token
        memory = LatentMemory(MemoryConfig(channels=channels, stride=stride, samples=samples), self._network)
        for latents, inverse_depth, camera in place.views():
            backdrop = sky_behind(camera, latents, inverse_depth) if self._court(index) else None
            memory.write(LatentView(camera, latents, inverse_depth), backdrop=backdrop)
        if without is not None:
            memory.erase(beyond(without, self.bank.modules[place.biome].side_m))
        self._memories[key] = memory
        while len(self._memories) > MEMORIES_KEPT:
            self._memories.popitem(last=False)
        return memory

    def _court(self, index: int) -> bool:
        if index not in self._courts:
            place = self.bank[index]
            self._courts[index] = self.built(place.biome) and is_court(place)
        return self._courts[index]

    def _glow(self, index: int) -> Tensor:
        if index not in self._glows:
            self._glows[index] = sky_glow(self.bank[index], self._lighting.colours)
        return self._glows[index]


def _on_cpu(readout: Readout) -> Readout:
    """Geometry lies on the CPU anyway; what a network on a GPU has resampled follows."""
    return replace(readout, features=readout.features.cpu())
