"""Where country gives way to other country a film dissolves, and what stays does not ghost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.camera import Camera
from engine.dissolve import DISSOLVE_S, Dissolve, source_of
from engine.geometry import lift
from engine.messages import MemoryStats, StepResult
from tests.engine.memory_support import GROUND, camera_at, planes_inverse_depth

SIZE, FPS = (64, 96), 24.0
FRAMES = round(DISSOLVE_S * FPS)


def frame(camera: Camera, grey: int, renewed: bool = False, fine: bool = False) -> StepResult:
    """Level ground under a sky, all of one colour."""
    rgb = np.full((*SIZE, 3), grey, np.uint8)
    inverse = planes_inverse_depth(camera.resized(SIZE[1] // 4, SIZE[0] // 4), (GROUND,))
    result = StepResult(
        0, 0, camera, rgb, inverse, np.ones((8, 12), np.float32), None, {}, 1, 0, 0, MemoryStats(), renewed=renewed
    )
    return replace(result, fine_rgb=rgb.repeat(2, 0).repeat(2, 1)) if fine else result


@settings(max_examples=40, deadline=None)
@given(
    ahead=st.floats(-0.5, 1.5),
    aside=st.floats(-0.5, 0.5),
    yaw_deg=st.floats(-8.0, 8.0),
    pitch_deg=st.floats(-4.0, 4.0),
)
def test_what_was_seen_of_a_pixel_is_found_where_it_was_seen(
    ahead: float, aside: float, yaw_deg: float, pitch_deg: float
) -> None:
    """By exact depth of the new view, which the search knows nothing of."""
    old, new = camera_at(0.0, 0.0, 3.0, pitch_deg=-15.0), camera_at(ahead, aside, 3.0, yaw_deg, -15.0 + pitch_deg)
    at, found = source_of(old, new, planes_inverse_depth(old.resized(384, 256), (GROUND,)))
    inverse = planes_inverse_depth(new, (GROUND,))
    near = found.numpy() & (inverse > 1.0 / 30.0)
    points = lift(1.0 / np.maximum(inverse, 1e-6), new)[near]
    local = (points - old.position) @ old.c2w[:3, :3]
    pixel = (local @ old.K.T)[:, :2] / local[:, 2:]
    there = (at.numpy()[near] + 1.0) * np.array([old.width, old.height]) / 2.0
    assert np.abs(pixel - there).max() < 2.0
    inside = ((pixel > 2.0) & (pixel < np.array([old.width, old.height]) - 2.0)).all(1)
    assert len(points) > 100 and inside.mean() > 0.9  # what is found was in the old view
    rays = (new.rays() @ old.c2w[:3, :3]) @ old.K.T
    seen = (rays[..., :2] / rays[..., 2:] > 2.0).all(-1) & (rays[..., :2] / rays[..., 2:] < [94.0, 62.0]).all(-1)
    sky = seen & (inverse == 0.0)
    assert not sky.any() or found.numpy()[sky].mean() > 0.8


def test_a_view_that_did_not_move_is_itself() -> None:
    camera = camera_at(0.0, 0.0, 3.0, pitch_deg=-15.0)
    at, found = source_of(camera, camera, planes_inverse_depth(camera.resized(24, 16), (GROUND,)))
    assert bool(found.all())
    again = torch.nn.functional.affine_grid(torch.eye(2, 3)[None], [1, 1, 64, 96], align_corners=False)[0]
    assert torch.allclose(at, again, atol=1e-5)


def test_one_frame_dissolves_into_the_next_and_ends() -> None:
    film = Dissolve(FPS)
    before = frame(camera_at(0.0, 0.0, 3.0), 200, fine=True)
    assert film.shown(before) is before
    shades = []
    for n in range(FRAMES):
        made = frame(camera_at(0.05 * n, 0.0, 3.0), 100, renewed=n == 0, fine=True)
        shown = film.shown(made)
        assert shown.fine_rgb is not None
        middle = shown.rgb[20:44, 30:66].astype(float)
        assert middle.std() < 0.01
        assert np.abs(shown.fine_rgb[40:88, 60:132].astype(float).mean() - middle.mean()) < 0.5
        shades.append(middle.mean())
    assert shades == sorted(shades, reverse=True) and shades[0] > 190.0 and 100.0 < shades[-1] < 110.0
    after = frame(camera_at(1.0, 0.0, 3.0), 100)
    assert film.shown(after) is after


def test_what_was_not_seen_before_is_new_at_once() -> None:
    film = Dissolve(FPS)
    film.shown(frame(camera_at(0.0, 0.0, 3.0), 200))
    shown = film.shown(frame(camera_at(0.0, 0.0, 3.0, yaw_deg=30.0), 100, renewed=True))
    assert set(np.unique(shown.rgb[:, :8])) == {100} and shown.rgb[40, -8:].min() > 150


def test_a_world_that_begins_and_a_size_that_changes_are_cuts() -> None:
    film = Dissolve(FPS)
    first = frame(camera_at(0.0, 0.0, 3.0), 50, renewed=True)
    assert film.shown(first) is first
    camera = camera_at(0.0, 0.0, 3.0)
    smaller = replace(frame(camera, 99, renewed=True), rgb=np.zeros((32, 48, 3), np.uint8))
    assert film.shown(smaller) is smaller
