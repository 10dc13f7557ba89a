"""Which rooms a building is made of: the one that one is in, and the next ones.

They fit together only side by side and turned by quarters of a circle, see :class:`engine.places.module.Module`. What
stands where stays: a room is chosen once, when one first sees into it or at the latest when one enters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from engine.camera import Camera
from engine.memory import Mosaic, Readout
from engine.places.doors import INSIDE, Ways, next_middle
from engine.places.kinds import FEWEST, Kinds, described
from engine.places.matching import SAME_ROOM_M, Forgotten, Match, offsets_of, position
from engine.places.module import SIDES, Module, Point
from engine.places.rooms import WALL_M, RoomMatcher

FADED = 0.03
"""What is forgotten of a room tells so much less which it was than what is left of it."""
AHEAD_M = 4.0
"""One is in the room that one is about to enter so far ahead."""
SEEN, SURE = 0.02, 0.8
"""A next room is chosen when so much of a view looks into it and it is so clear of what kind it is (what one waits for
is not to see it better but to see it worn),"""
WEARING, DRAWN = 0.05, 0.2
"""but not before so much of what one sees of it is not what was seen, or drawn anew: till then one sees it ever better.
When so much is, its place tells it."""
LATEST, UNCERTAIN = 0.06, 0.65
"""It is chosen at the latest when so much of a view looks into it and that is worn, however unclear it is; but where
nothing tells its kind, only if the best of all is no farther from it than that."""
LIKELY, MAY_BE = 0.07, 0.05
"""Of the room that one is in: by so much it is more like one that is e times as likely of its kind; and of a kind that
is less likely it is not."""


class Building:
    """The rooms of a biome whose worlds are buildings.

    Args:
        module: the grid. places: the stored rooms, by their indices in the bank. rooms: compares them.
        kinds: tells of what kind a room is, if there is such a thing. mean, std: (C, 1, 1) of the latents.
    """

    def __init__(
        self,
        module: Module,
        places: Sequence[int],
        rooms: RoomMatcher,
        kinds: Kinds | None,
        mean: Tensor,
        std: Tensor,
    ) -> None:
        self.module = module
        self.places = list(places)
        self._rooms, self._kinds = rooms, kinds
        self._mean, self._std = mean, std

    def prepare(self, place: int) -> None:
        """Find out what any choice asks of a stored room."""
        self._rooms.prepare(place, self.module.side_m)

    def room(self, camera: Camera, like: Match | None) -> Point:
        """The middle of the room that one is in, or about to enter; of the grid that ``like`` lies on."""
        x, y, z = position(camera)
        ahead_x, ahead_y = camera.c2w[:2, 2] * AHEAD_M / max(1e-6, float(np.hypot(*camera.c2w[:2, 2])))
        return self.room_of((x + float(ahead_x), y + float(ahead_y), z), like)

    def room_of(self, point: Point, like: Match | None) -> Point:
        """The middle of the room that a point lies in."""
        return self.module.nearest(point, None if like is None else like.anchor)

    def decided(self, before: Match, middle: Point, at: Point) -> Match | None:
        """The room that is known to stand around ``middle``, as it is once one stands ``at``."""
        room = before.room(middle)
        return None if room is None else replace(room, chosen_at=at).following(before)

    def going_on(self, readout: Readout, weight: Tensor, camera: Camera, middle: Point, latest: Match | None) -> Match:
        """The room around ``middle`` that goes on best from what cells of a view show, that count for ``weight (h, w)``
        each, of a kind that they may well be of."""
        best = partial(
            self._rooms.best, readout.features, readout.inverse_depth, weight, camera, middle, self.module.side_m
        )
        found = [
            (best(self._of_kind(kind), latest), likely)
            for kind, likely in self._own_kinds(readout, camera, middle).items()
        ]
        if not found:
            return best(self.places, latest)
        return min(found, key=lambda room: room[0].error - LIKELY * math.log(room[1]))[0]

    def _own_kinds(self, view: Readout, camera: Camera, middle: Point) -> dict[int, float]:
        """Of what kinds the room around ``middle``, which one is in, may be, and how likely; nothing where nothing
        tells that. One may have come in by any of its doors."""
        cells = (view.coverage > 0.99) & ~self.outside(middle, view, camera)
        if self._kinds is None or int(cells.sum()) < FEWEST:
            return {}
        told = [self._tell(self._kinds, view, cells, camera, middle, side) for side in range(len(SIDES))]
        likely = torch.stack(told).clamp(min=MAY_BE).log().mean(dim=0).exp()
        return {kind: float(likely[kind]) for kind in set(self._kinds.of_rooms) if likely[kind] > MAY_BE}

    def _of_kind(self, kind: int) -> list[int]:
        """The stored rooms of a kind."""
        assert self._kinds is not None
        return [place for place, of in zip(self.places, self._kinds.of_rooms, strict=True) if of == kind]

    def alike(self, forgotten: Forgotten, left: Readout, camera: Camera, middle: Point, at: Point) -> Match:
        """The room most like what is forgotten, in whose stead it is set down; one that is known stays what it is."""
        before = forgotten.match
        there = None if before is None else self.decided(before, middle, at)
        if there is not None:
            return there
        view = forgotten.view.readout
        weight = torch.where(left.coverage > 0.0, 1.0, FADED * (view.coverage > 0.0))
        latest = before if before is not None and before.anchor == middle else None
        replaced = before if latest is None else None
        places, along = self.places, None
        if replaced is not None:
            apart = np.subtract(middle, replaced.anchor)[:2]
            along = int(np.abs(apart).argmax())
            side = 2 * along + int(apart[along] > 0.0)
            if next_middle(replaced.anchor, side, self.module.side_m) == middle:
                cells = self.ways(replaced, camera, view.coverage).out(view) == side
                places, _ = self._like(view, cells & (view.coverage > 0.0), camera, middle, side)
        match = self._rooms.best(
            view.features,
            view.inverse_depth,
            weight,
            camera,
            middle,
            self.module.side_m,
            places,
            latest,
            replaced,
            along,
        )
        return replace(match, anchor=middle, chosen_at=at).following(before)

    def next_room(
        self, match: Match, view: Mosaic, out: Tensor, drawn: Tensor, camera: Camera, began_at: Point | None
    ) -> tuple[int, tuple[int, Match] | None]:
        """The side of the room beside the one that one is in that one sees most of and that is to be told by its own
        place, ``INSIDE`` if there is none; and a room that was not known before, and its side.

        Args:
            match: the room that one is in. view: what is to be shown. out: (h, w) int64, which way its cells look out,
                see :class:`engine.places.doors.Ways`. drawn: (h, w) bool, those that show what nobody has seen, or what
                was drawn anew. began_at: the room where the world began was truly seen, and is none to be chosen.
        """
        amounts = torch.bincount(out[out != INSIDE], minlength=len(SIDES)).tolist()
        for side in sorted(range(len(SIDES)), key=lambda side: -amounts[side]):
            if amounts[side] < SEEN * out.numel():
                break
            middle, cells = next_middle(match.anchor, side, self.module.side_m), out == side
            if began_at is not None and math.dist(self.room_of(began_at, match), middle) < SAME_ROOM_M:
                continue
            share = float(drawn[cells].float().mean())
            if match.room(middle) is not None:
                if share >= DRAWN:
                    return side, None
            elif share >= WEARING:
                found = self._foreseen(match, view.readout, cells, drawn, share >= DRAWN, camera, middle, side)
                if found is not None:
                    return side if share >= DRAWN else INSIDE, (side, found)
        return INSIDE, None

    def _foreseen(
        self,
        match: Match,
        view: Readout,
        cells: Tensor,
        drawn: Tensor,
        worn: bool,
        camera: Camera,
        middle: Point,
        side: int,
    ) -> Match | None:
        """The room that some ``cells (h, w)`` bool of a view show, if that is clear from what was truly seen of it, or
        from all of it where that is ``worn``; or what is most likely, where it is and they are many."""
        weight = cells & ~drawn
        places, sure = self._like(view, weight, camera, middle, side)
        if sure < SURE and worn:
            weight = cells
            places, sure = self._like(view, weight, camera, middle, side)
        if sure < SURE and not (worn and float(cells.float().mean()) >= LATEST):
            return None
        found = self._rooms.best(
            view.features,
            view.inverse_depth,
            weight.float(),
            camera,
            middle,
            self.module.side_m,
            places,
            replaced=match,
            along=side // 2,
            one_kind=places is not self.places,
        )
        return found if self._kinds is not None or found.error < UNCERTAIN else None

    def alternatives(self, room: Match) -> list[Match]:
        """The stored rooms of a ``room``'s kind, as they would lie there, each as that is turned and turned about."""
        places = [room.place]
        if self._kinds is not None:
            places = self._of_kind(self._kinds.of_rooms[self.places.index(room.place)])
        turns = (room.turn_rad, (room.turn_rad + math.pi) % (2.0 * math.pi))
        return [replace(room, place=place, turn_rad=turn) for place in places for turn in turns]

    def _like(self, view: Readout, cells: Tensor, camera: Camera, middle: Point, side: int) -> tuple[list[int], float]:
        """The stored rooms of the kind that ``cells (h, w)`` bool of a view show, and how likely it is that kind."""
        if self._kinds is None or int(cells.sum()) < FEWEST:
            return self.places, 0.0
        likely = self._tell(self._kinds, view, cells, camera, middle, side)
        kind = int(likely.argmax())
        return self._of_kind(kind), float(likely[kind])

    def _tell(self, kinds: Kinds, view: Readout, cells: Tensor, camera: Camera, middle: Point, side: int) -> Tensor:
        """(kinds,): how likely each kind is of the room around ``middle`` that ``cells (h, w)`` bool of a view show, if
        one comes in from the other ``side``."""
        features = (view.features - self._mean) / self._std
        return kinds.tell(described(features, view, cells, camera, middle, side))

    def ways(self, match: Match, camera: Camera, like: Tensor) -> Ways:
        """Of a view whose cells are ``like (h, w)``, out of the room that ``match`` is."""
        return Ways.from_camera(camera, (like.shape[0], like.shape[1]), match.anchor, self.module.side_m)

    def beside(self, match: Match, side: int) -> Match | None:
        """What is known to stand on one of the sides of a room."""
        return match.room(next_middle(match.anchor, side, self.module.side_m))

    def outside(self, middle: Point, readout: Readout, camera: Camera) -> Tensor:
        """(h, w) bool: cells of a view that show what lies outside of the room around a point, which another's place
        tells better."""
        apart = (
            offsets_of(camera, readout)[..., :2] + torch.from_numpy(camera.position[:2] - np.array(middle[:2])).float()
        )
        return apart.abs().amax(dim=-1) > 0.5 * self.module.side_m + WALL_M
