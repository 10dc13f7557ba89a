"""The endless building: rooms that fit together, exact surfaces, doors that one can walk through."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.camera import Camera, c2w_from_angles
from engine.cells import unroofed
from engine.memory import LatentMemory, LatentView, MemoryConfig
from engine.places.module import Module, to_quarter
from engine.worlds import TIMES, World, WorldSpec
from engine.worlds import objects as ob
from engine.worlds.bake import CELL_M, CELLS
from engine.worlds.plan import BLOCK_M, COURT, GREAT, ROOMS, VAULTED, purpose, style
from engine.worlds.spec import BASE, SEED, WALL

LEAVES_M = 0.1


@pytest.fixture(scope="module")
def world() -> World:
    return World(WorldSpec("interior", 1_000_300, "noon"))


def looking(position: np.ndarray, yaw_deg: float, pitch_deg: float = 0.0) -> Camera:
    return Camera.from_fov(c2w_from_angles(position, yaw_deg, pitch_deg), 50.0, 112, 64)


@settings(max_examples=60, deadline=None)
@given(i=st.integers(-500, 500), j=st.integers(-500, 500), seed=st.integers(1, 2**30))
def test_no_window_of_a_court_looks_into_another_court(i: int, j: int, seed: int) -> None:
    if style(i, j, seed) == COURT:
        assert COURT not in [style(i + a, j + b, seed) for a, b in ((1, 0), (-1, 0), (0, 1), (0, -1))]


def test_a_building_has_rooms_of_all_kinds(world: World) -> None:
    kinds = set()
    for index, (kind, use) in enumerate(ROOMS):
        bi, bj = (world.room(index)[:2] // BLOCK_M).astype(int)
        seed = int(world._p[SEED])
        assert style(bi, bj, seed) == kind
        assert kind != GREAT or purpose(bi, bj, seed) == use
        assert world.is_free(world.room(index), 0.8)
        kinds.add(kind)
    assert kinds == {VAULTED, GREAT, COURT}


def test_depth_is_that_of_the_surfaces(world: World) -> None:
    """A point that a view shows lies on the floor, or on something that is built; leaves end at their bounds."""
    for index in range(len(ROOMS)):
        camera = looking(world.room(index), 25.0 + 60.0 * index, 4.0).resized(448, 256)
        frame = world.render(camera)
        points = camera.position + camera.rays() * frame.depth_m.numpy()[..., None]
        window = world._window(*camera.position[:2])
        for point in points[~frame.sky.numpy()][::997]:
            footprint_m = float(np.linalg.norm(point - camera.position) / camera.K[1, 1])
            apart = abs(point[2] - world._p[BASE])
            i, j = (int((point[k] - window.meta[k]) // CELL_M) for k in (0, 1))
            for row in window.items[window.start[j * CELLS + i] : window.start[j * CELLS + i + 1]]:
                thing = window.table[row]
                off = abs(ob.distance(thing, *point, footprint_m))
                apart = min(apart, off if thing[ob.KIND] >= WALL else max(0.0, off - LEAVES_M))
            assert apart < 0.01 + 0.4 * footprint_m  # as marching has it


def test_one_looks_from_hall_to_hall(world: World) -> None:
    for index in range(len(ROOMS)):
        for quarter in range(4):
            depth_m = world.render(looking(world.room(index), 90.0 * quarter)).depth_m
            assert float(depth_m[32, 56]) > BLOCK_M


def test_a_hall_has_a_roof_and_a_court_has_none(world: World) -> None:
    for index, (kind, _) in enumerate(ROOMS):
        sky = world.render(looking(world.room(index) + np.array([2.0, 2.0, 0.0]), 0.0, 89.0)).sky.float().mean()
        assert (float(sky) > 0.5) == (kind == COURT)


def test_panes_end_what_one_sees_through_windows_and_nothing_else(world: World) -> None:
    windows = 0
    for index, yaw_deg in ((0, 10.0), (1, 60.0), (3, 100.0), (2, 190.0), (4, 280.0)):
        camera = looking(world.room(index), yaw_deg, 8.0)
        seen, given = world.render(camera), world.render(camera, panes=True)
        assert torch.equal(seen.rgb, given.rgb)
        plain, ended = seen.depth_m.numpy(), given.depth_m.numpy()
        other = ~np.isclose(plain, ended, rtol=1e-3)
        windows += int(other.sum())
        assert (ended[other] < plain[other]).all()
        points = camera.position + camera.rays()[other] * ended[other][:, None]
        apart = np.abs(points[:, :2] - BLOCK_M * np.round(points[:, :2] / BLOCK_M)).min(axis=1)
        assert (apart < 0.3).all()  # in the middle of a wall between two blocks
        assert (points[:, 2] > float(world._p[BASE]) + 1.2).all()  # above a sill: doors stay open
    assert windows > 300


@pytest.mark.parametrize("time", TIMES)
def test_one_begins_indoors_free_and_in_light(time: str) -> None:
    there = World(WorldSpec("interior", 1_000_310, time))
    camera = there.spawn(112, 64)
    assert there.is_free(camera.position, 0.8)
    block = (camera.position[:2] // BLOCK_M).astype(int)
    assert style(*block, int(there._p[SEED])) != COURT
    frame = there.render(camera)
    assert 0.1 < float(frame.rgb.mean()) < 0.8
    assert float((frame.depth_m < 2.0).float().mean()) < 0.2
    assert float(there.ground_height_m(camera.position[None, :2])[0]) < camera.position[2]


def test_one_flies_over_tables_and_never_over_walls() -> None:
    there = World(WorldSpec("interior", 1_000_310))
    floor = float(there._p[BASE])
    steps = np.arange(-1.0, BLOCK_M + 1.0)
    spots = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    heights = there.ground_height_m(spots).numpy() - floor
    tall = np.array([not there.is_free(np.array([*xy, floor + 4.2]), 0.05) for xy in spots])
    assert tall.sum() > 40 and np.allclose(heights[tall], 0.0)
    assert 0.5 < heights.max() < 3.1


@settings(deadline=None)
@given(
    here=st.tuples(*[st.floats(-1e4, 1e4)] * 3),
    middle=st.tuples(*[st.floats(-100, 100)] * 3),
    side_m=st.floats(1.0, 50.0),
)
def test_rooms_lie_on_their_grid(
    here: tuple[float, float, float], middle: tuple[float, float, float], side_m: float
) -> None:
    module = Module(side_m, middle)
    x, y, z = module.nearest(here)
    assert max(abs(x - here[0]), abs(y - here[1])) <= 0.5 * side_m + 1e-6
    assert z == middle[2]
    for at, origin in ((x, middle[0]), (y, middle[1])):
        assert math.isclose(math.remainder(at - origin, side_m), 0.0, abs_tol=1e-6)
    again = module.nearest(here, (x, y, z))
    assert again == pytest.approx((x, y, z), abs=1e-6)


def test_a_turn_goes_to_the_next_quarter() -> None:
    assert to_quarter(0.7) == 0.0
    assert math.isclose(to_quarter(-1.8), -math.pi / 2)


def test_sky_is_trusted_only_below_something_built() -> None:
    """A window's, not that of a court that one has left: both are at infinity."""
    memory = LatentMemory(MemoryConfig(channels=4))
    camera = Camera.from_fov(np.eye(4), 50.0, 112, 64)
    inverse_depth = torch.full((16, 28), 0.1)
    inverse_depth[4:8, 8:16] = 0.0  # a window
    inverse_depth[:12, 20:] = 0.0  # no wall, no roof
    memory.write(LatentView(camera, torch.zeros(4, 8, 14), inverse_depth))
    doubtful = unroofed(memory.readout_nearest(camera))
    assert not bool(doubtful[:, :9].any())
    assert bool(doubtful[:5, 11:].all())
    assert not bool(doubtful[7].any())
