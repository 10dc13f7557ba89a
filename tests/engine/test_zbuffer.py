"""The plain z-buffer against the parallel one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.camera import Camera
from engine.zbuffer import EMPTY, zbuffer, zbuffer_reference

CAMERA = Camera.from_fov(np.eye(4), 60, 6, 5)
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")),
]


@pytest.mark.parametrize("device", DEVICES)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), count=st.integers(0, 60), center=st.sampled_from([0.0, 0.5]))
def test_parallel_agrees_with_one_after_the_other(device: str, seed: int, count: int, center: float) -> None:
    rng = np.random.default_rng(seed)
    points = rng.uniform([-3, -3, -1], [3, 3, 6], (count, 3)).astype(np.float32)
    if count > 4:
        points[1::3] = points[0]  # exact ties
    expected, depth = zbuffer_reference(points, CAMERA, center)
    winner, found = zbuffer(torch.from_numpy(points).to(device), CAMERA, center)
    np.testing.assert_array_equal(winner.cpu().numpy(), expected)
    np.testing.assert_allclose(found.cpu().numpy(), depth, rtol=1e-6)


def test_the_nearest_point_wins_and_ties_go_to_the_older() -> None:
    points = np.array([[0.1, 0.1, 4.0], [0.05, 0.05, 2.0], [0.05, 0.05, 2.0], [0.0, 0.0, -1.0]], np.float32)
    for winner, depth in (zbuffer_reference(points, CAMERA), zbuffer(torch.from_numpy(points), CAMERA)):
        winner, depth = np.asarray(winner), np.asarray(depth)
        assert set(winner[winner != EMPTY]) == {1}
        assert depth[winner == 1].tolist() == [2.0]
        assert np.isinf(depth[winner == EMPTY]).all()


def test_the_result_does_not_depend_on_the_order_of_distinct_points() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform([-3, -3, 0.5], [3, 3, 6], (200, 3)).astype(np.float32)
    order = rng.permutation(200)
    winner, _ = zbuffer(torch.from_numpy(points), CAMERA)
    shuffled, _ = zbuffer(torch.from_numpy(points[order]), CAMERA)
    np.testing.assert_array_equal(np.where(shuffled >= 0, order[shuffled.clamp(min=0)], -1), winner)
