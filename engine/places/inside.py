"""What rooms tell of a view: the one that one is in, the one that one leaves, and the next one, through its door."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d

from engine.camera import Camera
from engine.cells import cell_means, spliced
from engine.memory import LatentMemory, Mosaic, Readout, Tile
from engine.places.bays import changed
from engine.places.building import Building
from engine.places.completed import Completed
from engine.places.doors import INSIDE, Way, way_back
from engine.places.lighting import DIRECTIONS, unlit
from engine.places.matching import SAME_ROOM_M, Forgotten, Match, placed, position
from engine.places.memories import Memories
from engine.places.module import QUARTER_RAD, Point
from engine.places.repeats import FEWEST, Repeat, Repeats
from engine.places.things import hiding

ACROSS = 3
"""After so many quarter turns a room tells most of what it hides: the points that it is stored from lie on one of its
axes, and what hides behind a pillar from there is seen along the other. Another turn tells next to nothing more."""
MOST_REPEATS = 2
"""A room is looked at again, where it repeats itself, so often."""
ENOUGH_SHOWN = 0.7
"""A room is seen from outside if its place shows so much of what one sees of it: from outside, its pillars hide what
they do not hide from its middle."""
MOST_LIT = 0.7
"""A room whose colours differ more from what is seen of it keeps its own."""
SAME_SURFACE, MOSTLY = 0.2, 0.7
"""Depths that differ by no more (nepers) are of the same wall or floor, if so many around them do not either."""


@dataclass(frozen=True, eq=False)
class Retold:
    """What of a view of a building a place may tell anew, though it is known.

    Attributes:
        free: (h, w) bool, all but what the user keeps. drawn: those of them that show what was never given, or was
            drawn anew. later: those, and what was given since the first view. imagined: those that show what was never
            given, or has nothing left of that, so often was it drawn anew.
        lent: whether the room that one is in is a place, and was not truly seen.
        began_at: where the world was truly seen, if it was.
    """

    free: Tensor
    drawn: Tensor
    later: Tensor
    imagined: Tensor
    lent: bool = True
    began_at: Point | None = None

    @property
    def may_be(self) -> Tensor:
        """(h, w) bool: what the place of the room that one is in may tell anew."""
        return self.free if self.lent else self.later


@dataclass(frozen=True, eq=False)
class Told:
    """A view that another room told a part of.

    Attributes:
        view: with that part. shows: (h, w) bool, which cells. farther: those of them that show what lies outside of
            that room in turn.
        match: the room that one is in, which knows of that room.
        gone: (h, w) bool, cells of it that nothing tells: what was imagined there is not of that room.
    """

    view: Mosaic
    shows: Tensor
    farther: Tensor
    match: Match
    gone: Tensor


class Inside:
    """Tells what a view shows of a building's rooms.

    Args:
        building: chooses them. memory: a stored room as a memory. repeats: how one repeats itself.
        light: by how much what it shows differs in the light of its match. told: that light, as cells (h, w) of a view
            tell it, given what its place shows of that; of how many cells away from what they do not.
    """

    def __init__(
        self,
        building: Building,
        memory: Memories,
        repeats: Callable[[int], Repeats],
        light: Callable[[Readout, Match, Camera], Tensor | None],
        told: Callable[[Readout, Readout, Tensor, Tensor, Match, Camera], tuple[float, ...]],
    ) -> None:
        self._building = building
        self._memory, self._repeats, self._light, self._told = memory, repeats, light, told

    def complete(
        self,
        view: Mosaic,
        known: Tensor,
        away: Tensor,
        camera: Camera,
        match: Match,
        latest: Match | None,
        forgotten: Forgotten | None,
        retold: Retold | None,
    ) -> Completed:
        """Tell what is not ``known (h, w)`` bool of a view, and what rooms tell better.

        Args:
            away: (h, w), how many cells away from what is not known. match: the room that one is in.
            latest, forgotten, retold: as for :meth:`engine.places.completion.Places.complete`.
        """
        before = latest if forgotten is None else forgotten.match
        kept = before is not None and before.room(match.anchor) is not None
        wanted = ~known if retold is None else ~known | retold.may_be
        # What one still stands in hides what one is about to enter.
        hides, returned = torch.zeros_like(known), torch.zeros_like(known)
        leaving = self._building.room_of(position(camera), match)
        if retold is not None and math.dist(match.anchor, leaving) >= SAME_ROOM_M:
            view, returned, hides = self.look_back(view, known, leaving, match, retold, camera)
        wanted &= ~hides
        walled = known & ~hides & self._walled(view.sight, match, camera)
        wanted |= walled
        # Where one knows which room it is, in what light, and that nothing goes, no more of it is asked for.
        recalled = self.recalled(match, camera, wanted, whole=match is not latest or forgotten is not None)
        if match is not latest and not math.isinf(match.error) and not kept:
            match = self._as_seen(match, recalled, view.readout, known & ~hides, away, forgotten, camera)
            if changed(match.bays):
                recalled = self.recalled(match, camera, wanted, whole=True)
        hidden = torch.zeros_like(known)
        if forgotten is not None:
            hidden = hiding(recalled, view.sight, known, camera) & ~hides
        hidden |= walled & (recalled.coverage > 0.99) & ~self._building.outside(match.anchor, recalled, camera)
        known = known & ~hidden
        anew = torch.zeros_like(known)
        if retold is not None and (match is latest or forgotten is not None or kept):
            shows = recalled.coverage >= 0.5 if retold.lent else recalled.coverage > 0.99
            anew = known & shows & self.may_tell(retold, view.sight, recalled, match, camera) & ~hides
        taken = (recalled.coverage >= 0.5) & ((~known & ~hides) | anew)
        view = self._laid(view, recalled, taken, match, camera)
        taken, anew = taken | returned, anew | (returned & known)
        outside, gone = self._building.outside(match.anchor, view.sight, camera) & ~hides, torch.zeros_like(known)
        if retold is not None:
            told = self.look_out(view, match if kept else match.knowing(match), retold, camera)
            view, match, gone = told.view, told.match, told.gone
            taken, anew = (taken | told.shows) & ~gone, anew | (told.shows & known)
            outside = torch.where(told.shows, told.farther, outside)
        return Completed(view.readout, taken, (hidden & taken) | gone, anew & ~gone, match, taken & outside)

    def _as_seen(
        self,
        match: Match,
        recalled: Readout,
        view: Readout,
        known: Tensor,
        away: Tensor,
        forgotten: Forgotten | None,
        camera: Camera,
    ) -> Match:
        """A room that was just found, in the light and with the bays of walls that a view shows; ``recalled`` is what
        its place shows, other arguments as for :meth:`complete`."""
        light = self._told(view, self._of(match).resampled(recalled), known, away, match, camera)
        if forgotten is None:
            like = self._memory.bays(match.place).like(view, known, placed(camera, match))
            return replace(match, light=light, bays=like)
        return replace(match, light=unlit(light) if forgotten.gives_way_to(match) else light)

    def recalled(
        self, room: Match, camera: Camera, wanted: Tensor, back: Way | None = None, *, whole: bool = False
    ) -> Readout:
        """What a stored room shows of a view, not yet read, where that is ``wanted (h, w)``: what it shows itself; and
        what it shows where it repeats itself, or else, where that is nothing, what it shows turned by a quarter: its
        walls and pillars stand where they stood, its floor and ceiling are the same.

        Args:
            back: the way that one looks in from: neither its wall there nor what lies beyond is shown.
            whole: also what is not wanted, if it is not hidden.
        """
        memory, here = self._of(room), placed(camera, room)
        only = None if whole else _around(wanted)
        sight = self._repeated(room, here, wanted, self._of(room, back).sight(here, only=only), only)
        hidden = wanted & (sight.coverage < 0.5)
        if float(hidden.float().mean()) >= FEWEST:
            turned = replace(room, turn_rad=room.turn_rad + ACROSS * QUARTER_RAD)
            other = memory.sight(placed(camera, turned), only=hidden)
            outer = self._building.ways(room, camera, wanted).out(other)
            sight = spliced(sight, other, hidden & (other.coverage > 0.99) & (outer == INSIDE))
        return sight

    def _laid(self, view: Mosaic, recalled: Readout, cells: Tensor, room: Match, camera: Camera) -> Mosaic:
        """A view that what a room shows, ``recalled``, is laid over in some ``cells (h, w)`` bool, in its light; of
        what is told all is known."""
        tile = Tile(self._of(room), recalled, cells, self._light(recalled, room, camera))
        laid = view.laid(tile)
        return laid.showing(replace(laid.sight, coverage=torch.where(cells, 1.0, view.sight.coverage)))

    def _of(self, room: Match, without: Way | None = None) -> LatentMemory:
        """What a room is known by, ``without`` its wall on one side and what lies beyond."""
        return self._memory(room.place, without, room.bays)

    def _walled(self, sight: Readout, match: Match, camera: Camera) -> Tensor:
        """(h, w) bool: cells of a view that show what lies outside of the room that one is in, where a wall of it that
        was not seen yet would hide that."""
        h, w = sight.coverage.shape
        if not match.bays:
            return torch.zeros(h, w, dtype=torch.bool)
        closed = self._memory.bays(match.place).closed(match.bays, placed(camera, match), (h, w))
        return closed & self._building.outside(match.anchor, sight, camera)

    def _repeated(self, room: Match, here: Camera, wanted: Tensor, sight: Readout, only: Tensor | None) -> Readout:
        """What a room shows of a view, from ``here`` in its own coordinates; and where it does not show what is
        ``wanted (h, w)``, but repeats itself and shows it elsewhere, that, in ``only (h, w)`` these cells."""
        repeats = self._repeats(room.place)
        done: list[Repeat] = []
        for _ in range(MOST_REPEATS):
            repeat = repeats.best(sight, wanted, here, done)
            if repeat is None:
                break
            done.append(repeat)
            there = here.posed(repeat.matrix @ here.c2w)
            other = self._of(room).sight(there, only=only)
            sight = spliced(sight, other, repeats.shows(repeat, other, there) & (sight.coverage <= 0.99))
        return sight

    def may_tell(self, retold: Retold, view: Readout, recalled: Readout, match: Match, camera: Camera) -> Tensor:
        """(h, w) bool: what the room that one is in may tell anew of a view, of what it shows (``recalled``): all of
        its own that is free, or, if it was truly seen, of the same surfaces what was not; of what lies outside, only
        what was never given."""
        outside = self._building.outside(match.anchor, recalled, camera)
        if not retold.lent:
            return retold.later & ~outside & (retold.imagined | same_surface(view, recalled))
        return torch.where(outside, retold.drawn, retold.free)

    def look_back(
        self, view: Mosaic, known: Tensor, leaving: Point, match: Match, retold: Retold, camera: Camera
    ) -> tuple[Mosaic, Tensor, Tensor]:
        """What one sees of the room that one still stands in, while ``match`` is the next one.

        Args:
            known: (h, w) bool, cells of the ``view`` that are. leaving: the middle of that room.

        Returns:
            The view with what that room's place tells, if there is one; (h, w) bool, which cells; (h, w) bool, those
            and all others that show that room, by which the next one is hidden.
        """
        own = known & ~self._building.outside(leaving, view.sight, camera)
        began = None if retold.began_at is None else self._building.room_of(retold.began_at, match)
        truly = began is not None and math.dist(began, leaving) < SAME_ROOM_M
        may, room = ~known | (own & (retold.later if truly else retold.free)), match.room(leaving)
        if room is None or float(may.float().mean()) < FEWEST:
            return view, torch.zeros_like(known), own
        recalled = self.recalled(room, camera, may)
        shows = may & (recalled.coverage > 0.99) & ~self._building.outside(leaving, recalled, camera)
        if truly:
            shows &= ~known | retold.imagined | same_surface(view.sight, recalled)
        return self._laid(view, recalled, shows, room, camera), shows, own | shows

    def look_out(self, view: Mosaic, match: Match, retold: Retold, camera: Camera) -> Told:
        """A view with what one sees of a next room told by a place of its own."""
        nothing = torch.zeros_like(retold.free)
        ways = self._building.ways(match, camera, view.sight.coverage)
        out = ways.out(view.sight)
        side, found = self._building.next_room(match, view, out, retold.drawn, camera, retold.began_at)
        if found is not None:
            match = match.knowing(self._in_its_light(found[1], found[0], view, out == found[0], camera))
        untold = Told(view, nothing, nothing, match, nothing)
        room, looks = None if side == INSIDE else self._building.beside(match, side), out == side
        if room is None:
            return untold
        recalled = self.recalled(room, camera, looks, way_back(side, room))
        shows = looks & (ways.out(recalled) == side)
        if float((shows * recalled.coverage).sum()) < ENOUGH_SHOWN * float(looks.sum()):
            return untold
        shows &= (recalled.coverage >= 0.5) & retold.free
        gone = looks & ~shows & retold.drawn
        shown = self._laid(view, recalled, shows, room, camera).without(gone)
        return Told(shown, shows, shows & self._building.outside(room.anchor, shown.sight, camera), match, gone)

    def _in_its_light(self, found: Match, side: int, view: Mosaic, looks: Tensor, camera: Camera) -> Match:
        """A next room, on a ``side``, that ``looks (h, w)`` bool into, in the light that it is seen in; or the room of
        its kind that comes nearest to that by itself: dusk that is lit like noon is no noon."""
        seen, lit = looks & (view.sight.coverage > 0.99), []
        for room in self._building.alternatives(found):
            memory = self._of(room, way_back(side, room))
            recalled = memory.resampled(memory.sight(placed(camera, room), only=looks))
            light = self._told(view.readout, recalled, seen, torch.zeros(seen.shape), room, camera)
            if any(light[:DIRECTIONS]):
                lit.append(replace(room, light=light))
        if not lit:
            return found
        best = min(lit, key=lambda room: math.hypot(*room.light[:DIRECTIONS]))
        return replace(best, light=unlit(best.light)) if math.hypot(*best.light[:DIRECTIONS]) > MOST_LIT else best


def _around(cells: Tensor) -> Tensor:
    """(h, w) bool: ``cells`` and those beside them, by which :func:`same_surface` tells of them."""
    return max_pool2d(cells[None].float(), 3, stride=1, padding=1)[0] > 0.0


def same_surface(view: Readout, recalled: Readout) -> Tensor:
    """(h, w) bool: cells where two views are about as deep, and around them mostly: not so between a window's bars."""
    same = (_nearer(view, recalled).abs() < SAME_SURFACE).float()
    return (same > 0.0) & (avg_pool2d(same[None], 3, stride=1, padding=1, count_include_pad=False)[0] > MOSTLY)


def _nearer(view: Readout, other: Readout) -> Tensor:
    """(h, w) nepers by which ``other`` shows what is nearer."""
    here, there = (cell_means(r.inverse_depth, r.coverage).clamp(min=1e-4).log() for r in (view, other))
    return there - here
