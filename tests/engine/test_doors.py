"""Which way a view leaves a room, and what is known to stand there."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.camera import Camera, c2w_from_angles
from engine.places import MOST_ROOMS, Match
from engine.places.doors import HIGHEST_M, INSIDE, Ways, beyond, next_middle, way_back
from engine.places.matching import placed
from engine.places.module import QUARTER_RAD, SIDES
from engine.places.rooms import WALL_M

SIDE_M, MIDDLE = 30.0, (45.0, -15.0, 2.9)


def camera_at(x: float, y: float, yaw_deg: float, pitch_deg: float = 0.0) -> Camera:
    position = np.array([MIDDLE[0] + x, MIDDLE[1] + y, MIDDLE[2]])
    return Camera.from_fov(c2w_from_angles(position, yaw_deg, pitch_deg), 60.0, 112, 64)


@settings(max_examples=60, deadline=None)
@given(x=st.floats(-14, 14), y=st.floats(-14, 14), yaw_deg=st.floats(-180, 180), pitch_deg=st.floats(-60, 60))
def test_a_ray_leaves_a_room_through_the_wall_that_it_meets_first(
    x: float, y: float, yaw_deg: float, pitch_deg: float
) -> None:
    camera = camera_at(x, y, yaw_deg, pitch_deg)
    ways = Ways.from_camera(camera, (8, 14), MIDDLE, SIDE_M)
    assert bool((ways.nearness > 0.0).all())
    rays = torch.from_numpy(camera.resized(14, 8).rays().copy()).float()
    out = rays / ways.nearness[..., None] + torch.from_numpy(camera.position - np.array(MIDDLE)).float()
    half_m = 0.5 * SIDE_M + WALL_M
    assert torch.allclose(out[..., :2].abs().amax(-1), torch.tensor(half_m), atol=1e-2)
    through = ways.side != INSIDE
    towards = (out[..., :2] * torch.tensor(SIDES)[ways.side]).sum(-1)[through]
    assert torch.allclose(towards, torch.tensor(half_m), atol=1e-2)
    assert bool((out[..., 2][through] < HIGHEST_M + 1e-2).all()) and bool(
        (out[..., 2][~through] > HIGHEST_M - 1e-2).all()
    )


def test_a_view_from_outside_leaves_the_room_on_its_far_side_or_misses_it() -> None:
    towards = Ways.from_camera(camera_at(-19.0, 0.0, 0.0), (8, 14), MIDDLE, SIDE_M)
    assert bool((towards.side[3:, 6:8] == SIDES.index((1, 0))).all())
    assert bool((towards.side[0] == INSIDE).all())
    assert bool((1.0 / towards.nearness[:, 6:8] > SIDE_M).all())
    away = Ways.from_camera(camera_at(-19.0, 0.0, 180.0), (8, 14), MIDDLE, SIDE_M)
    assert bool((away.side == INSIDE).all()) and not bool(away.nearness.any())


@given(side=st.integers(0, 3), quarter=st.integers(0, 3))
def test_what_a_stored_room_shows_of_the_room_one_looks_from_is_told_apart(side: int, quarter: int) -> None:
    room = Match(0, quarter * QUARTER_RAD, 0.1, next_middle(MIDDLE, side, SIDE_M))
    box = beyond(way_back(side, room), SIDE_M)
    x, y = SIDE_M * SIDES[side][0], SIDE_M * SIDES[side][1]
    for dx, dy in ((0.0, 0.0), (9.0, -9.0), (-14.0, 14.0)):
        here, there = (placed(camera_at(*at, 0.0), room).position for at in ((dx, dy), (x + dx, y + dy)))
        assert bool(box.contains(here[None])[0]) and not bool(box.contains(there[None])[0])


def test_so_many_rooms_are_known_and_the_latest_stay() -> None:
    match = Match(0, 0.0, 0.1, MIDDLE, past=(3,))
    assert match.room(MIDDLE) is None
    for n in range(MOST_ROOMS + 3):
        match = match.knowing(Match(n, 0.0, 0.1, (SIDE_M * n, 0.0, 2.9), rooms=(match,)))
    assert len(match.rooms) == MOST_ROOMS
    last = match.room((SIDE_M * (MOST_ROOMS + 2), 0.0, 2.9))
    assert last is not None and last.place == MOST_ROOMS + 2 and last.rooms == ()
    assert match.room((0.0, 0.0, 2.9)) is None
    assert Match(1, 0.0, math.inf).following(match).rooms == match.rooms
