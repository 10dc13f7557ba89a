"""Presets go where they say, at a pace that suits a world, and never into the ground."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.camera import Camera, c2w_from_angles
from engine.camera_path import CameraPath
from engine.errors import InputError
from engine.path import PRESETS, parse_preset
from engine.preset_motion import lift_over_ground
from engine.presets import Loop

START = Camera.from_fov(c2w_from_angles(np.array([3.0, 4.0, 2.0]), 30.0, -8.0), 50.0, 448, 256)


def turns_deg(path: CameraPath) -> np.ndarray:
    rotations = path.c2ws[:, :3, :3]
    cosines = (np.einsum("nij,nij->n", rotations[:-1], rotations[1:]) - 1.0) / 2.0
    return np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0)))


def steps_m(path: CameraPath) -> np.ndarray:
    return np.linalg.norm(np.diff(path.positions, axis=0), axis=1)


def hills(xy: np.ndarray) -> np.ndarray:
    """Steep ground that crosses the height of most flights; 0 at the start."""
    x, y = xy[:, 0] - 3.0, xy[:, 1] - 4.0
    return 3.0 * (np.sin(0.7 * x) ** 2 + np.sin(0.5 * y) ** 2)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("frames", [1, 2, 3, 7, 60, 120])
def test_presets_begin_at_the_start_and_stay_rigid(name: str, frames: int) -> None:
    path = PRESETS[name]().path(START, frames, 24.0)
    assert len(path) == frames and path[0] == START and path.fps == 24.0
    rotations = path.c2ws[:, :3, :3]
    np.testing.assert_allclose(rotations @ rotations.transpose(0, 2, 1), np.tile(np.eye(3), (frames, 1, 1)), atol=1e-12)
    assert all(camera.size == START.size for camera in path.cameras)


@pytest.mark.parametrize("name", PRESETS)
def test_defaults_move_as_an_outdoor_world_wants_it(name: str) -> None:
    path = PRESETS[name]().path(START, 120)
    assert steps_m(path).max() <= 0.5
    assert turns_deg(path).max() <= (7.0 if name == "figure-eight" else 3.4)
    if name != "look-around":
        assert 0.15 <= path.length_m / 119 <= 0.5


@pytest.mark.parametrize("frames", [1, 2, 5, 60, 119, 120])
def test_loop_returns_over_exactly_the_same_poses(frames: int) -> None:
    path = Loop().path(START, frames, ground_height_m=hills)
    assert np.array_equal(path.c2ws, path.c2ws[::-1])
    assert path[-1] == START


def test_loop_looks_elsewhere_at_its_turning_point() -> None:
    path = Loop().path(START, 120)
    horizontal_fov_deg = 2 * np.degrees(np.arctan(0.5 * 448 / START.K[0, 0]))
    seen = np.degrees(np.arccos(path[60].forward @ START.forward))
    assert seen > 0.85 * horizontal_fov_deg
    assert np.linalg.norm(path[60].position - START.position) > 10.0


@pytest.mark.parametrize("text", ["orbit:degrees=360", "orbit:degrees=-720", "look-around:degrees=360", "figure-eight"])
def test_closed_paths_end_exactly_where_they_began(text: str) -> None:
    path = parse_preset(text).path(START, 90)
    assert path[-1] == START
    assert steps_m(path).max() < 4.0 * max(steps_m(path).min(), 0.2)


def test_orbit_keeps_its_pivot_and_height() -> None:
    path = parse_preset("orbit:radius_m=6,degrees=200").path(START, 50)
    ahead = np.array([np.cos(np.radians(30)), np.sin(np.radians(30)), 0.0])
    pivot = START.position + 6.0 * ahead
    np.testing.assert_allclose(np.linalg.norm(path.positions - pivot, axis=1), 6.0)
    np.testing.assert_allclose(path.positions[:, 2], 2.0)
    pixels = [camera.K @ (camera.w2c @ [*pivot, 1.0])[:3] for camera in path.cameras]
    spots = np.array([p[:2] / p[2] for p in pixels])
    np.testing.assert_allclose(spots, np.tile(spots[0], (50, 1)), atol=1e-6)


def test_spiral_looks_at_its_pivot_while_it_climbs() -> None:
    level = Camera.from_fov(c2w_from_angles(np.array([0.0, 0.0, 2.0]), 0.0, 0.0), 50.0, 64, 64)
    path = parse_preset("spiral:radius_m=5,rise_m=4,turns=2").path(level, 80)
    pivot = np.array([5.0, 0.0, 2.0])
    for camera in path.cameras:
        ray = (pivot - camera.position) / np.linalg.norm(pivot - camera.position)
        assert ray @ camera.forward == pytest.approx(1.0, abs=1e-9)
    assert path[-1].position[2] == pytest.approx(6.0) and (np.diff(path.positions[:, 2]) >= 0).all()


def test_crane_dolly_and_straight_go_where_they_say() -> None:
    crane = parse_preset("crane:rise_m=5,forward_m=3,tilt_deg=-30").path(START, 40)
    assert crane[-1].position[2] - START.position[2] == pytest.approx(5.0)
    assert crane[-1].pitch_deg == pytest.approx(-38.0)
    dolly = parse_preset("dolly:distance_m=7").path(START, 40)
    np.testing.assert_allclose(dolly[-1].position[:2] - START.position[:2], 7.0 * START.forward[:2] / 0.9903, atol=1e-3)
    assert dolly[-1].position[2] == START.position[2], "its rails are level"
    back = parse_preset("straight:distance_m=-6").path(START, 13)
    np.testing.assert_allclose(back[-1].position[:2], START.position[:2] - 6.0 * START.forward[:2] / 0.9903, atol=1e-3)
    assert back[-1].position[2] == START.position[2]
    np.testing.assert_allclose(steps_m(back), 0.5)


def test_dolly_zoom_keeps_its_subject_the_same_size() -> None:
    path = parse_preset("dolly:distance_m=20,zoom=yes,subject_m=60").path(START, 30)
    subject = START.position + 60.0 * START.forward + 4.0 * START.c2w[:3, 0]
    spots = []
    for camera in path.cameras:
        p = camera.K @ (camera.w2c @ [*subject, 1.0])[:3]
        spots.append(p[:2] / p[2])
    np.testing.assert_allclose(spots, np.tile(spots[0], (30, 1)), atol=1e-6)
    with pytest.raises(InputError, match="subject_m"):
        parse_preset("dolly:distance_m=59.9,zoom=yes,subject_m=60").path(START, 30)


def test_figure_eight_passes_its_start_half_way() -> None:
    path = parse_preset("figure-eight:radius_m=8").path(START, 121)
    np.testing.assert_allclose(path[60].position, START.position, atol=0.05)
    assert abs(path[60].yaw_deg - START.yaw_deg) == pytest.approx(90.0, abs=1.0)
    moved = np.diff(path.positions, axis=0)
    along = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    flat = path.c2ws[:-1, :2, 2] / np.linalg.norm(path.c2ws[:-1, :2, 2], axis=1, keepdims=True)
    assert (np.einsum("ni,ni->n", along[:, :2], flat) > 0.99).all(), "it looks where it flies"


@pytest.mark.parametrize("name", PRESETS)
def test_presets_never_dive_into_the_ground(name: str) -> None:
    path = PRESETS[name]().path(START, 100, ground_height_m=hills)
    above = path.positions[:, 2] - hills(path.positions[:, :2])
    assert above.min() >= 1.5 - 1e-9
    assert path[0] == START and steps_m(path).max() < 2.0
    assert len(path) == 100


@settings(max_examples=40, deadline=None)
@given(heights=st.lists(st.floats(-3.0, 6.0), min_size=1, max_size=60), clearance=st.floats(0.0, 2.0))
def test_lifting_clears_any_ground_and_leaves_the_start_alone(heights: list[float], clearance: float) -> None:
    positions = np.zeros((len(heights), 3))
    positions[:, 0] = np.arange(len(heights))
    positions[0, 2] = max(heights[0], 0.0) + 1.0
    ground = np.array(heights)
    lift = lift_over_ground(positions, lambda xy: ground[xy[:, 0].astype(int)], clearance)
    assert lift[0] == 0.0 and (lift >= 0.0).all()
    kept = min(clearance, positions[0, 2] - ground[0])
    assert (positions[:, 2] + lift >= ground + kept - 1e-9).all()


def test_a_wall_is_climbed_gently() -> None:
    def wall(xy: np.ndarray) -> np.ndarray:
        return np.where(np.linalg.norm(xy - START.position[:2], axis=1) > 20.0, 9.0, 0.0)

    path = parse_preset("straight").path(START, 120, ground_height_m=wall)
    assert (path.positions[:, 2] - wall(path.positions[:, :2])).min() >= 1.5 - 1e-9
    assert steps_m(path).max() < 0.45 and np.abs(np.diff(path.positions[:, 2], n=2)).max() < 0.1
    assert path[-1].position[2] < 10.6, "it climbs no higher than it must"


@pytest.mark.parametrize("name", ["orbit", "figure-eight", "look-around"])
def test_closed_paths_stay_closed_over_hills(name: str) -> None:
    path = PRESETS[name]().path(START, 120, ground_height_m=hills)
    assert path[-1] == START == path[0]


@pytest.mark.parametrize("pitch_deg", [90.0, -90.0])
@pytest.mark.parametrize("name", PRESETS)
def test_presets_from_a_camera_that_looks_straight_up_or_down(name: str, pitch_deg: float) -> None:
    start = Camera.from_fov(c2w_from_angles(np.zeros(3), 20.0, pitch_deg), 50.0, 64, 64)
    path = PRESETS[name]().path(start, 10)
    assert np.isfinite(path.c2ws).all() and path[0] == start
