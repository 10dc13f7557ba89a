"""Lifting, projecting, and bringing depth to samples without inventing surfaces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.camera import Camera, c2w_from_angles
from engine.errors import InputError
from engine.geometry import (
    cells_of,
    inverse_depth_samples,
    lift,
    project,
    resize_bilinear,
    resize_nearest,
)

cameras = st.builds(
    lambda x, y, z, yaw, pitch, roll, fov, width, height: Camera.from_fov(
        c2w_from_angles(np.array([x, y, z]), yaw, pitch, roll), fov, width, height
    ),
    *[st.floats(-50, 50)] * 3,
    st.floats(-180, 180),
    st.floats(-89, 89),
    st.floats(-180, 180),
    st.floats(20, 110),
    st.integers(1, 9),
    st.integers(1, 9),
)


@settings(max_examples=40, deadline=None)
@given(cameras, st.integers(0, 2**31), st.sampled_from([0.0, 0.5]))
def test_projecting_undoes_lifting(camera: Camera, seed: int, center: float) -> None:
    depth = np.random.default_rng(seed).uniform(0.1, 200.0, camera.size)
    x, y, z = project(lift(depth, camera, center).reshape(-1, 3), camera)
    v, u = np.mgrid[: camera.height, : camera.width] + center
    np.testing.assert_allclose(x, u.ravel(), atol=1e-6)
    np.testing.assert_allclose(y, v.ravel(), atol=1e-6)
    np.testing.assert_allclose(z, depth.ravel(), rtol=1e-9)


def test_the_papers_latent_lift_is_a_lift_on_the_latent_camera() -> None:
    camera = Camera.from_fov(c2w_from_angles(np.array([1.0, 2.0, 3.0]), 30, -10), 50, 448, 256)
    latent = camera.latent(8)
    np.testing.assert_allclose(latent.K, np.diag([56 / 448, 32 / 256, 1]) @ camera.K)
    depth = np.full(latent.size, 7.0)
    u, v = 20, 11
    expected = camera.c2w @ np.append(7.0 * np.linalg.inv(latent.K) @ [u + 0.5, v + 0.5, 1.0], 1.0)
    np.testing.assert_allclose(lift(depth, latent)[v, u], expected[:3])


def test_what_lies_behind_or_outside_lands_in_no_cell() -> None:
    camera = Camera.from_fov(np.eye(4), 60, 8, 6)
    points = np.array([[0, 0, 1.0], [0, 0, -1.0], [0, 0, 0.0], [100, 0, 1.0]])
    x, y, _ = project(points, camera)
    assert np.isnan(x[1]) and np.isnan(x[2])
    np.testing.assert_array_equal(cells_of(x, y, camera), [3 * 8 + 4, -1, -1, -1])
    edges = np.array([-0.01, 0.0, 7.99, 8.0])
    np.testing.assert_array_equal(cells_of(edges, np.zeros(4), camera), [-1, 0, 7, -1])
    # The released code rounds to even integers.
    np.testing.assert_array_equal(cells_of(np.array([0.5, 1.5, 7.4, 7.6]), np.zeros(4), camera, 0.0), [0, 2, 7, -1])


def test_smooth_depth_is_averaged_in_inverse_depth() -> None:
    q = np.linspace(0.1, 0.12, 16)[None, :].repeat(16, axis=0)
    samples = inverse_depth_samples(1.0 / q, 8, 2)
    expected = q.reshape(4, 4, 4, 4).transpose(0, 2, 1, 3)[:, :, 1:3, 1:3].mean(axis=(2, 3))
    np.testing.assert_allclose(samples, expected, rtol=1e-6)


def test_a_depth_edge_takes_the_nearer_surface_and_never_a_mixture() -> None:
    depth = np.full((8, 8), 20.0)
    depth[:, 2:] = 2.0
    samples = inverse_depth_samples(depth, 8, 2)
    assert set(np.unique(samples)) <= {np.float32(0.5), np.float32(0.05)}
    assert (samples == np.float32(0.5)).all()  # the edge runs through the middle of the left samples
    sky = np.full((8, 8), np.inf)
    sky[:, 2:3] = 4.0
    assert inverse_depth_samples(sky, 8, 2)[0].tolist() == [0.25, 0.0]


@pytest.mark.parametrize("hole", [0.0, -1.0, np.nan])
def test_holes_are_left_out_and_never_averaged_in(hole: float) -> None:
    depth = np.full((8, 8), 2.0)
    depth[1:3, 1] = hole
    np.testing.assert_array_equal(inverse_depth_samples(depth, 8, 2), np.full((2, 2), 0.5, np.float32))
    depth[0:2, 0:4] = hole
    assert np.isnan(inverse_depth_samples(depth, 8, 2)[0, 0])
    middle = np.full((8, 8), 2.0)
    middle[1:3, 1:3] = hole  # only the very centre: the rest of the sample answers
    assert inverse_depth_samples(middle, 8, 2)[0, 0] == 0.5


def test_masks_count_by_area_wherever_they_lie() -> None:
    depth = np.full((8, 8), 2.0)
    for corner in (slice(0, 3), slice(1, 4)):
        mask = np.zeros((8, 8), bool)
        mask[corner, 0:4] = True  # three quarters of the top-left sample
        samples = inverse_depth_samples(depth, 8, 2, mask)
        assert np.isnan(samples[0, 0]) and np.isfinite(samples).sum() == 3
    small = np.zeros((8, 8), bool)
    small[1, 1] = True
    assert np.isfinite(inverse_depth_samples(depth, 8, 2, small)).all()


def test_sizes_that_do_not_fit_are_refused() -> None:
    for args in ((np.ones((9, 8)), 8, 2), (np.ones((8, 8)), 8, 3), (np.ones((8, 8)), 8, 2, np.ones((4, 4), bool))):
        with pytest.raises(InputError):
            inverse_depth_samples(*args)
    with pytest.raises(InputError, match="does not belong"):
        lift(np.ones((2, 2)), Camera.from_fov(np.eye(4), 60, 3, 2))


def test_the_released_resizing_mixes_holes_in_and_ours_does_not() -> None:
    depth = np.full((8, 8), 2.0, np.float32)
    depth[3, 3] = depth[3, 4] = 0.0
    assert resize_bilinear(depth, 1, 1)[0, 0] == 1.0  # a surface at 2 m has come to 1 m
    assert inverse_depth_samples(depth, 8, 1)[0, 0] == 0.5
    assert resize_nearest(np.arange(16).reshape(4, 4), 2, 2).tolist() == [[0, 2], [8, 10]]
