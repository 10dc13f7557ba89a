"""Stored rooms as memories: whole, and without what they show of the next room."""

from __future__ import annotations

import numpy as np
import pytest

from engine.camera import Camera
from engine.memory.points import positions
from engine.models.embedded import EmbeddedModel
from engine.places import memories
from engine.places.doors import beyond
from engine.places.memories import ALIVE, Memories
from engine.places.module import SIDES


@pytest.fixture(scope="module")
def shipped() -> EmbeddedModel:
    return EmbeddedModel.load()


def of(shipped: EmbeddedModel) -> tuple[Memories, list[int], float]:
    assert shipped.places is not None
    bank = shipped.places.bank
    rooms = [index for index, biome in enumerate(bank.biomes) if biome == "interior"]
    return Memories(bank, shipped.readout_network), rooms, bank.modules["interior"].side_m


def test_without_a_next_room_it_is_the_same_but_for_what_lies_there(shipped: EmbeddedModel) -> None:
    made, rooms, side_m = of(shipped)
    whole = made(rooms[0])
    before = whole.living()
    for side in SIDES:
        cut, box = made(rooms[0], side), beyond(side, side_m)
        left = cut.living()
        gone = np.setdiff1d(before, left)
        assert len(gone) and len(whole.tokens_in(box)) == len(gone) and not len(cut.tokens_in(box))
        assert bool(box.contains(positions(whole.store, gone, whole.config.cell_center)).all())
        assert made(rooms[0], side) is cut, "it is made once"
    assert np.array_equal(whole.living(), before)


def test_through_an_arch_that_its_own_wall_has_not_one_looks_into_it(shipped: EmbeddedModel) -> None:
    made, rooms, side_m = of(shipped)
    outside = np.array([-0.5 * side_m - 6.0, 5.5, 0.0])
    camera = Camera.look_at(outside, np.array([0.0, 5.5, 0.0]), 60.0, 448, 256)
    ahead = np.s_[12:20, 12:44]  # of 32 by 56 cells
    for room in rooms[:3]:
        whole, cut = (memory.sight(camera).coverage[ahead].mean() for memory in (made(room), made(room, (-1, 0))))
        assert float(cut) > 0.8 and float(whole) < 0.1, (room, float(whole), float(cut))


def test_what_lives_is_all_that_it_has_of_its_own(shipped: EmbeddedModel) -> None:
    made, rooms, _ = of(shipped)
    whole, cut = made(rooms[0]), made(rooms[0], SIDES[1])
    own = {name for name, table in cut.store.tables.items() if table is not whole.store.tables[name]}
    assert own == ALIVE
    assert cut.network is whole.network


def test_the_last_few_are_kept(shipped: EmbeddedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memories, "KEPT", 2)
    made, rooms, _ = of(shipped)
    first, cut = made(rooms[0]), made(rooms[0], SIDES[0])
    second = made(rooms[1])
    assert made(rooms[0]) is first
    made(rooms[2])
    assert made(rooms[0]) is first and made(rooms[0], SIDES[0]) is cut
    assert made(rooms[1]) is not second, "it was asked for longest ago"
    assert made(rooms[2]) is made(rooms[2])
    assert made(rooms[0]) is not first and made(rooms[0], SIDES[0]) is not cut
