"""The floor of a room goes on as one saw it: its tiles are what one first sees break off."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.camera import Camera, c2w_from_angles
from engine.explorer import Explorer, ExplorerConfig
from engine.models.embedded import EmbeddedModel
from engine.places.matching import offsets_of
from engine.places.module import QUARTER_RAD
from engine.places.repeats import Repeat
from engine.worlds import World, WorldSpec
from engine.worlds.plan import BAY_M, KINDS, VAULTED

STEP_M, FLOOR_M = 0.25, -1.5


@pytest.fixture(scope="module")
def shipped() -> EmbeddedModel:
    return EmbeddedModel.load()


@pytest.mark.parametrize("seed", [1_000_168, 1_000_175])
def test_a_hall_is_turned_as_its_tiles_lie(shipped: EmbeddedModel, seed: int) -> None:
    """All halls are tiled alike, and stored as they stand: turned by one quarter, light tiles are dark. In these two,
    such a turn shows more of the pillars."""
    world = World(WorldSpec("interior", seed))
    start = world.spawn(448, 256)
    assert KINDS[world.room_kind(start.position)][0] == VAULTED
    explorer = Explorer(shipped, ExplorerConfig(fine=False, biome="interior"), world)
    explorer.begin(start, explorer.first_view(start))
    pose = start.c2w.copy()
    pose[:2, 3] += STEP_M * pose[:2, 2]
    explorer.step(start.posed(pose))
    assert explorer.match is not None
    assert round(explorer.match.turn_rad / QUARTER_RAD) % 2 == 0


def test_the_border_of_a_floor_is_not_taken_for_its_tiles(shipped: EmbeddedModel) -> None:
    """Two bays on tiles lie as they do here, and the white stone along the walls does not."""
    assert shipped.places is not None and shipped.kinds is not None
    rooms = shipped.places._choice.buildings["interior"].places
    hall = next(room for room, kind in zip(rooms, shipped.kinds.of_rooms.tolist(), strict=True) if not kind)
    repeats, memory = shipped.places._repeats(hall), shipped.places._memory(hall)
    shift = Repeat(0, (2.0 * BAY_M, 0.0))
    here = Camera.from_fov(c2w_from_angles(np.array([-3.9, -0.2, 0.0]), 0.0, -12.0), 50.0, 448, 256)
    there = here.posed(shift.matrix @ here.c2w)
    seen = memory.sight(there)
    points = offsets_of(there, seen).numpy() + there.position
    floor = torch.from_numpy((points[..., 2] < FLOOR_M) & (np.abs(points[..., :2]).max(axis=-1) < 14.0))
    border = torch.from_numpy(np.abs(points[..., :2]).max(axis=-1) > 13.2)
    shown = repeats.shows(shift, replace(seen, coverage=torch.ones_like(seen.coverage)), there)
    assert bool((floor & border).any()) and not bool((shown & floor & border).any())
    assert bool((shown & floor).any())
