"""The ground goes on behind what stands on it, at its own depth and in its own colours."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.backdrop import backdrop
from engine.camera import Camera
from engine.cells import cell_means
from engine.ground import FARTHEST, ground_behind
from tests.engine.memory_support import CHANNELS, Plane, box_inverse_depth, camera_at, planes_inverse_depth, samples_of

SIZE = (256, 448)
GRASS, BARK = 1.0, -1.0
TREE = (np.array([14.0, -2.0, -5.0]), np.array([16.0, 2.0, 6.0]))
BUSHES = (np.array([22.0, -30.0, -5.0]), np.array([23.0, 30.0, 1.0]))


def seen(
    camera: Camera, boxes: tuple[tuple[np.ndarray, np.ndarray], ...], slope: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Latents (C, h, w) of grass with bark in front, inverse depth (h*2, w*2) of both, and of the ground alone."""
    samples = samples_of(camera)
    normal = np.array([-slope, 0.0, 1.0])
    plane: Plane = (normal / np.linalg.norm(normal), 0.0)
    ground = planes_inverse_depth(samples, (plane,))
    inverse = ground
    for box in boxes:
        inverse = np.maximum(inverse, box_inverse_depth(samples, *box))
    stands = torch.from_numpy(inverse > ground)
    h, w = camera.height // 8, camera.width // 8
    share = cell_means(stands.float(), torch.empty(h, w))
    latents = (GRASS + (BARK - GRASS) * share).expand(CHANNELS, h, w).clone()
    return latents, torch.from_numpy(inverse), torch.from_numpy(ground)


@settings(max_examples=20, deadline=None)
@given(
    height_m=st.floats(1.5, 8.0),
    pitch_deg=st.floats(-12.0, 0.0),
    slope=st.floats(-0.03, 0.03),
)
def test_behind_a_tree_the_ground_is_where_the_plane_is(height_m: float, pitch_deg: float, slope: float) -> None:
    camera = camera_at(0.0, 0.0, height_m, pitch_deg=pitch_deg, size=SIZE)
    latents, inverse, truth = seen(camera, (TREE,), slope)
    ground = ground_behind(camera, latents, inverse)
    assert ground is not None
    told = torch.from_numpy(ground.told)
    behind = told & (latents[0] < 0.0)
    exact = cell_means(truth, told)
    near_enough = behind & (exact > 2.0 * FARTHEST)
    assert int(near_enough.sum()) >= 4
    off = (torch.from_numpy(ground.nearness)[near_enough] / exact[near_enough] - 1.0).abs()
    assert float(off.max()) < 0.12 and float(off.median()) < 0.03
    grass = ground.latents[0][near_enough]
    assert float(grass.min()) > 0.5 and float(grass.median()) > 0.9  # between 1 for grass and -1 for bark


def test_no_ground_is_told_of_the_sky() -> None:
    camera = camera_at(0.0, 0.0, 2.0, size=SIZE)
    latents, inverse, _ = seen(camera, (TREE,))
    ground = ground_behind(camera, latents, inverse)
    assert ground is not None and not ground.told[: SIZE[0] // 8 // 2 - 1].any()
    assert ground_behind(camera, latents, torch.zeros_like(inverse)) is None


def test_ground_is_lent_where_a_row_has_only_bushes() -> None:
    """Along its row a tree's foot stands between bushes; behind all of them is grass."""
    camera = camera_at(0.0, 0.0, 4.0, size=SIZE)
    latents, inverse, truth = seen(camera, (TREE, BUSHES))
    layer = backdrop(camera, latents, inverse, torch.ones(latents.shape[1:], dtype=torch.bool))
    assert layer is not None
    lent = torch.as_tensor(layer.inverse_depth)
    tree = torch.from_numpy(box_inverse_depth(samples_of(camera), *TREE)) > truth
    below = tree & ~torch.isnan(lent) & (lent != inverse) & (truth > 1.0 / 60.0)  # not what is seen beside
    assert int(below.sum()) > 20
    as_ground = (lent[below] / truth[below] - 1.0).abs() < 0.15
    assert float(as_ground.float().mean()) > 0.8


def test_a_valley_in_the_same_row_is_not_what_goes_on_behind_a_tree_on_a_hill() -> None:
    camera = camera_at(0.0, 0.0, 4.0, size=SIZE)
    latents, inverse, truth = seen(camera, (TREE,))
    tree = torch.from_numpy(box_inverse_depth(samples_of(camera), *TREE)) > truth
    beyond = int(torch.nonzero(tree.any(0)).max()) + 24
    valley = 0.4
    inverse[:, beyond:] *= valley
    layer = backdrop(camera, latents, inverse, torch.ones(latents.shape[1:], dtype=torch.bool))
    assert layer is not None
    lent = torch.as_tensor(layer.inverse_depth)
    below = tree & ~torch.isnan(lent) & (truth > 1.0 / 60.0)
    assert int(below.sum()) > 20
    as_hill = lent[below] / truth[below] > valley**0.5  # what is lent in its row is the valley throughout
    assert float(as_hill.float().mean()) > 0.8
