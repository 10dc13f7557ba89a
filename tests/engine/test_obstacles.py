"""On foot: what frames have shown to stand in one's way stops one, and nothing else does."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.camera import Camera, c2w_from_angles
from engine.obstacles import BODY_M, COLUMN_M, Obstacles
from engine.voxels import AXIS_BITS, voxel_keys, voxels_of
from engine.worlds import World, WorldSpec

HALF_M, EYE_M = 5.0, 1.6
PILLAR = ((1.5, -0.4, 0.0), (2.3, 0.4, 3.0))
LEAST_M, MOST_M = BODY_M - 0.5 * COLUMN_M, BODY_M + COLUMN_M + 0.1

Box = tuple[tuple[float, float, float], tuple[float, float, float]]


def look(at: tuple[float, float], yaw_deg: float, pitch_deg: float = 0.0) -> Camera:
    return Camera.from_fov(c2w_from_angles(np.array([*at, EYE_M]), yaw_deg, pitch_deg), 60.0, 112, 64)


def seen(camera: Camera, boxes: list[Box], rise: float = 0.0) -> np.ndarray:
    """(64, 112) inverse depth of a room of 10 m a side and 3 m high with ``boxes`` in it; its floor rises along x."""
    rays, here = camera.rays(), camera.position
    with np.errstate(divide="ignore", invalid="ignore"):
        walls = [(sign * HALF_M - here[axis]) / rays[..., axis] for axis in (0, 1) for sign in (-1.0, 1.0)]
        floor = (rise * here[0] - here[2]) / (rays[..., 2] - rise * rays[..., 0])
        candidates = [*walls, floor, (3.0 - here[2]) / rays[..., 2]]
        for low, high in boxes:
            crossed = np.sort((np.array([low, high])[:, None, None] - here) / rays, axis=0)
            enters, leaves = crossed[0].max(axis=-1), crossed[1].min(axis=-1)
            candidates.append(np.where((enters < leaves) & (enters > 0.0), enters, np.inf))
    depth_m = np.min([np.where(value > 1e-6, value, np.inf) for value in candidates], axis=0)
    return np.asarray(1.0 / depth_m)


def all_around(boxes: list[Box], at: tuple[float, float] = (0.0, 0.0), rise: float = 0.0) -> Obstacles:
    obstacles = Obstacles()
    for yaw_deg in range(0, 360, 60):
        for pitch_deg in (0.0, -30.0):
            camera = look(at, yaw_deg, pitch_deg)
            obstacles.see(camera, seen(camera, boxes, rise))
    return obstacles


def walk(obstacles: Obstacles, start: tuple[float, float], yaw_deg: float, way_m: float) -> np.ndarray:
    heading = np.array([math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg)), 0.0])
    here = np.array([*start, EYE_M])
    for _ in range(round(way_m / 0.25)):
        here = obstacles.walked(here, here + 0.25 * heading)
    return here


def apart_m(here: np.ndarray, box: Box) -> float:
    outside = np.maximum(np.maximum(np.array(box[0]) - here, here - np.array(box[1])), 0.0)
    return float(np.linalg.norm(outside[:2]))


def test_a_wall_stops_whoever_walks_into_it_and_he_slides_along() -> None:
    obstacles = all_around([])
    ahead = walk(obstacles, (0.0, 0.0), 0.0, 20.0)
    assert LEAST_M < HALF_M - ahead[0] < MOST_M and abs(ahead[1]) < 0.3
    along = walk(obstacles, (0.0, -3.0), 30.0, 10.0)
    assert LEAST_M < HALF_M - along[0] < MOST_M
    assert along[1] > 0.5


@settings(max_examples=40, deadline=None)
@given(yaw_deg=st.floats(0.0, 360.0), turn_deg=st.floats(-180.0, 180.0), way_m=st.floats(0.1, 15.0))
def test_no_way_leads_through_walls_or_pillars(yaw_deg: float, turn_deg: float, way_m: float) -> None:
    obstacles, here = all_around([PILLAR]), np.array([0.0, 0.0, EYE_M])
    for heading_deg, left_m in ((yaw_deg, way_m), (yaw_deg + turn_deg, 15.0)):
        for _ in range(math.ceil(left_m)):
            camera = look((here[0], here[1]), heading_deg)
            obstacles.see(camera, seen(camera, [PILLAR]))
            here = walk(obstacles, (here[0], here[1]), heading_deg, 1.0)
    assert np.abs(here[:2]).max() < HALF_M - LEAST_M
    assert apart_m(here, PILLAR) > LEAST_M - 0.1


def test_in_one_long_step_one_gets_no_farther() -> None:
    obstacles = all_around([])
    at_once = obstacles.walked(np.array([0.0, 0.0, EYE_M]), np.array([20.0, 0.0, EYE_M]))
    assert at_once == pytest.approx(walk(obstacles, (0.0, 0.0), 0.0, 20.0), abs=0.1)


@pytest.mark.parametrize("rise", [0.0, 0.3])
def test_neither_the_floor_nor_a_slope_nor_a_low_step_stops_anyone(rise: float) -> None:
    step = ((1.0, -5.0, 0.0), (1.4, 5.0, 0.2))
    obstacles = all_around([] if rise else [step], rise=rise)
    assert walk(obstacles, (0.0, 0.0), 0.0, 3.0)[0] == pytest.approx(3.0, abs=0.05)


def test_a_door_lets_one_through() -> None:
    jambs: list[Box] = [((2.0, 0.6, 0.0), (2.3, 5.0, 3.0)), ((2.0, -5.0, 0.0), (2.3, -0.6, 3.0))]
    obstacles = all_around(jambs)
    assert walk(obstacles, (0.0, 0.0), 0.0, 4.0)[0] == pytest.approx(4.0, abs=0.1)
    assert walk(obstacles, (0.0, 2.0), 0.0, 4.0)[0] < 2.0 - LEAST_M


def test_what_a_newer_frame_sees_through_is_gone_and_what_it_does_not_see_stays() -> None:
    obstacles = all_around([PILLAR])
    assert walk(obstacles, (0.0, 0.0), 0.0, 4.0)[0] < 2.0
    away = look((0.0, 0.0), 180.0)
    obstacles.see(away, seen(away, []))
    assert walk(obstacles, (0.0, 0.0), 0.0, 4.0)[0] < 2.0
    hidden = look((0.0, 0.0), 0.0)
    obstacles.see(hidden, seen(hidden, [((0.8, -2.0, 0.0), (0.9, 2.0, 3.0))]))
    obstacles.see(hidden, seen(hidden, []))
    assert walk(obstacles, (0.0, 0.0), 0.0, 4.0)[0] == pytest.approx(4.0, abs=0.05)


def test_nothing_holds_who_stands_in_it_already() -> None:
    obstacles = all_around([PILLAR])
    assert apart_m(walk(obstacles, (1.6, 0.0), 180.0, 1.5), PILLAR) > 0.5


def test_frames_of_sky_and_holes_are_no_obstacle() -> None:
    obstacles, camera = Obstacles(), look((0.0, 0.0), 0.0)
    obstacles.see(camera, np.full((64, 112), np.nan))
    obstacles.see(camera, np.zeros((64, 112)))
    assert walk(obstacles, (0.0, 0.0), 0.0, 4.0)[0] == pytest.approx(4.0)


def test_in_a_building_one_gets_through_its_doors_and_never_into_its_walls() -> None:
    """True frames of it, 24 m each of four ways."""
    world = World(WorldSpec("interior", 1_000_101))
    spawn, passed = world.spawn(112, 64), []
    for turn_deg in (0.0, 90.0, 180.0, 270.0):
        obstacles, here = Obstacles(), spawn.position.copy()
        yaw_deg = spawn.yaw_deg + turn_deg
        heading = np.array([math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg)), 0.0])
        for _ in range(40):
            camera = spawn.posed(c2w_from_angles(here, yaw_deg, 0.0))
            depth_m = world.render(camera).depth_m.numpy()
            assert depth_m.min() > BODY_M - 0.1
            obstacles.see(camera, 1.0 / depth_m)
            here = obstacles.walked(here, here + 0.6 * heading)
        passed.append(float(np.linalg.norm(here - spawn.position)))
    assert max(passed) > 20.0
    assert min(passed) < 16.0


@given(voxel=st.tuples(*[st.integers(-(1 << 19), 1 << 19)] * 3))
def test_a_key_tells_its_voxel_and_without_its_lowest_bits_its_column(voxel: tuple[int, int, int]) -> None:
    size_m = np.array([0.25, 0.5, 2.0])
    points = (np.array([voxel, (*voxel[:2], voxel[2] + 1)]) + 0.5) * size_m
    keys = voxel_keys(points, size_m)
    assert (keys >= 0).all() and keys[0] != keys[1]
    assert tuple(voxels_of(keys)[0]) == voxel
    assert keys[0] >> AXIS_BITS == keys[1] >> AXIS_BITS
