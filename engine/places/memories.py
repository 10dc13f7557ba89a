"""Stored places as memories, which is how they are looked at."""

from __future__ import annotations

import copy
from collections import OrderedDict

from engine.memory import LatentMemory, LatentView, MemoryConfig, ReadoutNetwork, ScaledView, memory_at_scales
from engine.places.bank import PlaceBank
from engine.places.bays import Bays, Likeness, changed
from engine.places.doors import beyond
from engine.places.module import Way
from engine.places.roof import is_court, sky_behind
from engine.places.scales import Halve, at_scales

KEPT = 20
"""Of some 5 MB each; all rooms of a building that are stored."""
REHUNG = 2
"""So many rooms are kept whose walls have other bays: worlds begin in them."""
ALIVE = frozenset({"state", "alive_in_block"})
"""The tables that a memory without some of its tokens has of its own."""


class Memories:
    """Of a bank, each made when it is first asked for; they never change, and the last few are kept.

    Args:
        bank: the places. network: resamples their tokens. halve: makes rooms coarser; ``None`` leaves them as stored.
    """

    def __init__(self, bank: PlaceBank, network: ReadoutNetwork, halve: Halve | None = None) -> None:
        self._bank, self._network, self._halve = bank, network, halve
        self._whole: OrderedDict[int, LatentMemory] = OrderedDict()
        self._rehung: OrderedDict[tuple[int, Likeness], LatentMemory] = OrderedDict()
        self._without: dict[tuple[int, Likeness, Way], LatentMemory] = {}
        self._bays: dict[int, Bays] = {}
        self._courts: dict[int, bool] = {}

    def __call__(self, index: int, without: Way | None = None, bays: Likeness = ()) -> LatentMemory:
        """A place; ``without`` its wall on one side and what it shows of the next room there, and else the same; and
        with other ``bays`` of its walls, see :meth:`engine.places.bays.Bays.like`."""
        bays = bays if changed(bays) else ()
        whole = self._with(index, bays) if bays else self._of(index)
        if without is None:
            return whole
        key = index, bays, without
        if key not in self._without:
            tables = {id(table): table for name, table in whole.store.tables.items() if name not in ALIVE}
            memory = copy.deepcopy(whole, {**tables, id(self._network): self._network})
            memory.erase(beyond(without, self._bank.modules[self._bank.biomes[index]].side_m))
            self._without[key] = memory
        return self._without[key]

    def bays(self, index: int) -> Bays:
        """The bays of a stored room's walls."""
        if index not in self._bays:
            bank = self._bank
            mean, std = (values[:, None, None] for values in (bank.mean, bank.std))
            self._bays[index] = Bays(bank.first_views(index), bank.modules[bank.biomes[index]].side_m, mean, std)
        return self._bays[index]

    def _with(self, index: int, bays: Likeness) -> LatentMemory:
        if (index, bays) not in self._rehung:
            self._rehung[index, bays] = self.bays(index).rehung(self._of(index), bays)
            if len(self._rehung) > REHUNG:
                left, _ = self._rehung.popitem(last=False)
                self._without = {key: memory for key, memory in self._without.items() if key[:2] != left}
        self._rehung.move_to_end((index, bays))
        return self._rehung[index, bays]

    def _of(self, index: int) -> LatentMemory:
        if index in self._whole:
            self._whole.move_to_end(index)
            return self._whole[index]
        channels, stride, samples = self._bank.token
        config = MemoryConfig(channels=channels, stride=stride, samples=samples)
        halve = self._halve if self._bank.biomes[index] in self._bank.modules else None
        views = []
        for latents, inverse_depth, camera in self._bank[index].views():
            backdrop = sky_behind(camera, latents, inverse_depth) if self.court(index) else None
            view = LatentView(camera, latents, inverse_depth)
            scales = [view] if halve is None else at_scales(view, stride, halve)
            # What is kept of further points was chosen when the room was packed. But sky lies where one stands.
            chosen = not self.court(index) and bool(inverse_depth.isnan().any())
            views.append(ScaledView(scales, backdrop, chosen))
        memory = memory_at_scales(config, self._network, views)
        self._whole[index] = memory
        if len(self._whole) > KEPT:
            left, _ = self._whole.popitem(last=False)
            self._without = {key: memory for key, memory in self._without.items() if key[:2] != (left, ())}
        return memory

    def court(self, index: int) -> bool:
        """Whether a place is a room that has the sky for a ceiling."""
        if index not in self._courts:
            place = self._bank[index]
            self._courts[index] = place.biome in self._bank.modules and is_court(place)
        return self._courts[index]
