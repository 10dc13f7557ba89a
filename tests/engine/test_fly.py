"""Flying is the same at every frame rate, and does what the keys say."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.camera import Camera, c2w_from_angles
from engine.errors import InputError
from engine.fly import (
    MAX_PITCH_DEG,
    FlyInput,
    FlySettings,
    FlyState,
    focus,
    look,
    orbit,
    step,
    stopped,
    wheel,
)

FEEL = FlySettings()
CAMERA = Camera.from_fov(c2w_from_angles(np.array([1.0, 2.0, 3.0]), 40.0, -10.0), 50.0, 448, 256)


def fly(state: FlyState, held: FlyInput, steps: int, dt_s: float, feel: FlySettings = FEEL) -> FlyState:
    for _ in range(steps):
        state = step(state, held, dt_s, feel)
    return state


def assert_close(a: FlyState, b: FlyState, tolerance: float = 1e-9) -> None:
    np.testing.assert_allclose(a.position, b.position, rtol=0, atol=tolerance)
    np.testing.assert_allclose(a.velocity, b.velocity, rtol=0, atol=tolerance)
    np.testing.assert_allclose(a.c2w, b.c2w, rtol=0, atol=tolerance)


axis = st.sampled_from([-1.0, 0.0, 1.0, 0.37])
held_keys = st.builds(FlyInput, axis, axis, axis, axis, axis, st.booleans(), st.booleans())


@settings(max_examples=60, deadline=None)
@given(held=held_keys, pitch=st.floats(-80, 80), tau=st.sampled_from([0.0, 0.15, 1.0]))
def test_ten_long_steps_end_where_a_hundred_short_ones_do(held: FlyInput, pitch: float, tau: float) -> None:
    feel = FlySettings(tau_s=tau)
    start = FlyState((1.0, 2.0, 3.0), (0.5, -1.0, 0.2), 30.0, pitch)
    assert_close(fly(start, held, 10, 0.1, feel), fly(start, held, 100, 0.01, feel))
    assert_close(fly(start, held, 1, 1.0, feel), fly(start, held, 7, 1.0 / 7.0, feel))


def test_uneven_frames_make_no_difference() -> None:
    held = FlyInput(forward=1.0, right=-0.5, yaw=1.0)
    state = FlyState.from_camera(CAMERA)
    rng = np.random.default_rng(0)
    cuts = np.sort(rng.uniform(0.0, 2.0, 37))
    uneven = state
    for dt_s in np.diff([0.0, *cuts, 2.0]):
        uneven = step(uneven, held, float(dt_s), FEEL)
    assert_close(uneven, fly(state, held, 20, 0.1))


def test_the_exact_step_solves_the_equation_of_motion() -> None:
    """Against a plain Euler integration with tiny steps, turning and pitching included."""
    held = FlyInput(forward=1.0, right=0.5, up=0.25, yaw=1.0, pitch=-0.5, boost=True)
    feel = FlySettings(tau_s=0.4)
    state = FlyState((0.0, 0.0, 10.0), (1.0, 0.0, 0.0), 10.0, 20.0)
    position, velocity = np.array(state.position), np.array(state.velocity)
    n, total_s = 100_000, 1.0
    dt = total_s / n
    keys = np.array([1.0, 0.5, 0.25]) / np.linalg.norm([1.0, 0.5, 0.25]) * 20.0
    for i in range(n):
        time_s = (i + 0.5) * dt
        yaw = math.radians(10.0 + 75.0 * time_s)
        pitch = math.radians(20.0 - 37.5 * time_s)
        ahead = np.array([math.cos(pitch) * math.cos(yaw), math.cos(pitch) * math.sin(yaw), math.sin(pitch)])
        wanted = keys[0] * ahead + keys[1] * np.array([math.sin(yaw), -math.cos(yaw), 0.0]) + [0.0, 0.0, keys[2]]
        position = position + dt * velocity
        velocity = velocity + dt * (wanted - velocity) / 0.4
    end = fly(state, held, 10, 0.1, feel)
    np.testing.assert_allclose(end.position, position, atol=2e-3)
    np.testing.assert_allclose(end.velocity, velocity, atol=2e-3)


@pytest.mark.parametrize(
    ("held", "direction"),
    [
        (FlyInput(forward=1), CAMERA.forward),
        (FlyInput(forward=-1), -CAMERA.forward),
        (FlyInput(right=1), CAMERA.c2w[:3, 0]),
        (FlyInput(right=-1), -CAMERA.c2w[:3, 0]),
        (FlyInput(up=1), [0, 0, 1]),
        (FlyInput(up=-1), [0, 0, -1]),
    ],
)
def test_keys_move_where_they_say(held: FlyInput, direction: np.ndarray) -> None:
    end = fly(FlyState.from_camera(CAMERA), held, 30, 0.1)
    way = np.array(end.position) - CAMERA.position
    np.testing.assert_allclose(way / np.linalg.norm(way), direction, atol=1e-9)
    assert end.speed_m_s == pytest.approx(FEEL.speed_m_s, rel=1e-6)


@pytest.mark.parametrize("pitch_rate", [-0.3, 0.0, 0.3])
@pytest.mark.parametrize("forward", [-1.0, 1.0])
def test_level_flight_keeps_its_height_and_its_speed_wherever_one_looks(forward: float, pitch_rate: float) -> None:
    start = replace(FlyState.from_camera(CAMERA), pitch_deg=-40.0)
    feel = replace(FEEL, level=True)
    end = fly(start, FlyInput(forward=forward, pitch=pitch_rate), 30, 0.05, feel)
    way = np.subtract(end.position, start.position)
    heading = np.array([CAMERA.forward[0], CAMERA.forward[1], 0.0])
    np.testing.assert_allclose(way / np.linalg.norm(way), forward * heading / np.linalg.norm(heading), atol=1e-9)
    assert end.speed_m_s == pytest.approx(feel.speed_m_s, rel=1e-3)
    assert end.pitch_deg == pytest.approx(-40.0 + pitch_rate * feel.turn_deg_s * 1.5)
    risen = fly(start, FlyInput(up=1), 30, 0.05, feel)
    assert risen.position[2] > start.position[2] + 1.0


@pytest.mark.parametrize(("keys", "factor"), [({"boost": True}, 5.0), ({"slow": True}, 0.2), ({}, 1.0)])
def test_shift_and_alt_and_wheel_scale_the_speed(keys: dict, factor: float) -> None:
    state = wheel(FlyState.from_camera(CAMERA), 3, FEEL)
    end = fly(state, FlyInput(forward=1, **keys), 30, 0.1)
    assert end.speed_m_s == pytest.approx(FEEL.speed_m_s * factor * FEEL.wheel_factor**3, rel=1e-6)


def test_two_keys_are_no_faster_than_one_and_axes_are_cut() -> None:
    for held in (FlyInput(1, 1, 1), FlyInput(forward=40.0), FlyInput(forward=1, right=float("nan"))):
        end = fly(FlyState.from_camera(CAMERA), held, 30, 0.1)
        assert end.speed_m_s <= FEEL.speed_m_s * (1 + 1e-6)


def test_it_speeds_up_and_comes_to_rest_smoothly() -> None:
    state = FlyState.from_camera(CAMERA)
    speeds = []
    for held in [FlyInput(forward=1)] * 20 + [FlyInput()] * 90:
        state = step(state, held, 1 / 60, FEEL)
        speeds.append(state.speed_m_s)
    jumps = np.abs(np.diff([0.0, *speeds]))
    assert jumps.max() < 0.11 * FEEL.speed_m_s
    assert all(a < b for a, b in itertools.pairwise(speeds[:20])) and not state.moving
    assert not stopped(fly(state, FlyInput(forward=1), 5, 0.1)).moving


def test_looking_is_immediate_and_stops_at_the_poles() -> None:
    state = FlyState.from_camera(CAMERA)
    right_down = look(state, 100, 50, FEEL)
    assert right_down.yaw_deg == pytest.approx(40.0 - 12.0) and right_down.pitch_deg == pytest.approx(-16.0)
    assert look(state, 0, 50, FlySettings(invert_y=True)).pitch_deg == pytest.approx(-4.0)
    assert look(state, 0, -1e9, FEEL).pitch_deg == MAX_PITCH_DEG
    assert fly(state, FlyInput(pitch=-1), 100, 0.1).pitch_deg == -MAX_PITCH_DEG
    assert abs(look(state, 1e6, 0, FEEL).yaw_deg) <= 180.0


def test_reaching_the_pole_within_a_step_is_exact_too() -> None:
    held = FlyInput(forward=1, pitch=1, yaw=1)
    start = FlyState((0.0, 0.0, 0.0), pitch_deg=70.0)
    assert_close(fly(start, held, 2, 0.5), fly(start, held, 100, 0.01))


def test_stalls_are_cut_and_nonsense_is_ignored() -> None:
    state = FlyState.from_camera(CAMERA)
    held = FlyInput(forward=1)
    assert_close(step(state, held, 3600.0, FEEL), step(state, held, 1.0, FEEL))
    for dt_s in (0.0, -1.0, float("nan"), float("inf")):
        assert step(state, held, dt_s, FEEL) == state


@settings(max_examples=40, deadline=None)
@given(yaw=st.floats(-179, 179), pitch=st.floats(-85, 85), roll=st.floats(-170, 170))
def test_a_camera_survives_being_flown_from(yaw: float, pitch: float, roll: float) -> None:
    camera = Camera.from_fov(c2w_from_angles(np.array([1.0, 2.0, 3.0]), yaw, pitch, roll), 50.0, 64, 64)
    np.testing.assert_allclose(FlyState.from_camera(camera).camera(camera).c2w, camera.c2w, atol=1e-9)


@pytest.mark.parametrize("z", [-1.0, 1.0])
def test_starting_straight_up_or_down(z: float) -> None:
    camera = Camera.look_at(np.zeros(3), np.array([0.0, 0.0, z]), 50.0, 64, 64)
    state = FlyState.from_camera(camera)
    np.testing.assert_allclose(state.c2w[:3, 2], camera.forward, atol=1e-9)
    np.testing.assert_allclose(state.c2w[:3, :3], camera.c2w[:3, :3], atol=1e-9)


def test_orbiting_keeps_the_pivot_in_place() -> None:
    state = FlyState.from_camera(CAMERA)
    pivot = CAMERA.position + 7.0 * CAMERA.forward + 0.5 * CAMERA.c2w[:3, 0]
    turned = orbit(state, pivot, 80.0, -30.0, FEEL)
    seen = [c2w[:3, :3].T @ (pivot - c2w[:3, 3]) for c2w in (state.c2w, turned.c2w)]
    np.testing.assert_allclose(seen[0], seen[1], atol=1e-9)
    assert turned.yaw_deg == pytest.approx(40.0 - 9.6)


def test_focus_stands_before_its_target() -> None:
    state = focus(FlyState.from_camera(CAMERA), np.array([10.0, 10.0, 2.0]), 4.0)
    ahead = np.array([10.0, 10.0, 2.0]) - state.position
    np.testing.assert_allclose(ahead, 4.0 * CAMERA.forward, atol=1e-9)


def test_settings_are_checked() -> None:
    for wrong in ({"speed_m_s": 0.0}, {"tau_s": -1.0}, {"boost": float("nan")}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            FlySettings(**wrong)
