"""Write policies: what enters the memory, what it supersedes, and what adds nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.camera import Camera
from engine.errors import InputError
from engine.memory import LatentMemory, LatentView, MemoryConfig, OrientedBox
from engine.memory.occupancy import Occupancy
from engine.memory.surface import planar_tokens
from tests.engine.memory_support import (
    CHANNELS,
    STRIDE,
    box_inverse_depth,
    camera_at,
    memory_of,
    planes_inverse_depth,
    random_latents,
    samples_of,
    scene_view,
)

BOX = (np.array([6.0, -1.0, 0.0]), np.array([7.0, 1.0, 2.0]))


def noisy_view(camera: Camera, seed: int, noise: float) -> LatentView:
    grid = samples_of(camera)
    depth = np.maximum(planes_inverse_depth(grid), box_inverse_depth(grid, *BOX))
    factor = np.random.default_rng(seed).uniform(1 - noise, 1 + noise, depth.shape).astype(np.float32)
    return LatentView(camera, random_latents(seed, camera), depth * factor)


def test_the_first_view_is_written_whole_and_append_writes_every_view() -> None:
    camera = camera_at(0, 0, 1.6)
    memory = memory_of([], policy="append")
    for times in (1, 2, 3):
        report = memory.write(scene_view(camera, times))
        assert report.tokens_written == 96 and report.node == times
        assert len(memory.living()) == 96 * times


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_standing_still_turning_back_and_revisiting_add_nothing(noise: float) -> None:
    memory = memory_of([])
    path = [camera_at(0.25 * i, 0.1 * i, 1.6, 2.0 * i, -8) for i in range(12)]
    out = [memory.write(noisy_view(camera, i, noise)).tokens_written for i, camera in enumerate(path)]
    assert out[0] == 96 and sum(out[1:]) > 20
    living, node = len(memory.living()), memory.current
    back = [memory.write(noisy_view(camera, 50 + i, noise)).tokens_written for i, camera in enumerate(path[::-1])]
    still = [memory.write(noisy_view(path[0], 80 + i, noise)).tokens_written for i in range(5)]
    assert sum(back) + sum(still) <= 0.02 * living
    assert memory.current == node or sum(back) + sum(still) > 0  # a write of nothing leaves no node
    append = memory_of([noisy_view(camera, i, noise) for i, camera in enumerate(path)], policy="append")
    assert living < 0.35 * len(append.living())


def test_writing_with_a_readout_at_hand_is_the_same_as_without() -> None:
    first, second = camera_at(0, 0, 1.6, 0, -8), camera_at(0.5, 0.2, 1.6, 9, -8)
    with_readout, without = memory_of([scene_view(first)]), memory_of([scene_view(first)])
    view = scene_view(second, 1)
    report = with_readout.write(view, readout=with_readout.readout_learned(second))
    plain = without.write(view)
    np.testing.assert_array_equal(report.written, plain.written)
    assert 0 < report.tokens_written < 96 and report.cells_holes <= report.tokens_written
    # A nearest readout has no sample geometry; the memory then looks for itself.
    third = memory_of([scene_view(first)])
    np.testing.assert_array_equal(third.write(view, readout=third.readout_nearest(second)).written, plain.written)


def test_a_clearly_finer_view_supersedes_what_it_sees_whole() -> None:
    wall = (np.array([1.0, 0, 0]), 8.0)
    far, near = camera_at(0, 0, 2.0), camera_at(5.0, 0, 2.0)
    memory = memory_of([scene_view(far, 0, planes=(wall,))])
    report = memory.write(scene_view(near, 1, planes=(wall,)))
    assert report.tokens_written == 96
    assert 0 < report.tokens_superseded <= 96 // 5  # 2.7 x closer: each fine token is a seventh of a coarse one
    readout = memory.readout_learned(near)
    assert (memory.token_info(readout.token).keyframe == 1).all()
    # What lay outside the near view still lives.
    again = memory.sample_map(far)
    assert again.covered.all()
    assert memory.write(scene_view(near, 2, planes=(wall,))).tokens_written == 0
    assert memory.write(scene_view(far, 3, planes=(wall,))).tokens_written == 0


def test_a_slightly_finer_view_does_not() -> None:
    wall = (np.array([1.0, 0, 0]), 8.0)
    memory = memory_of([scene_view(camera_at(0, 0, 2.0), planes=(wall,))])
    assert memory.write(scene_view(camera_at(2.0, 0, 2.0), 1, planes=(wall,))).tokens_written == 0


def test_frozen_tokens_are_never_superseded() -> None:
    wall = (np.array([1.0, 0, 0]), 8.0)
    memory = memory_of([scene_view(camera_at(0, 0, 2.0), planes=(wall,))])
    memory.freeze(OrientedBox(np.array([8.0, 0, 2.0]), np.array([1.0, 50.0, 50.0])))
    assert memory.write(scene_view(camera_at(5.0, 0, 2.0), 1, planes=(wall,))).tokens_written == 0
    memory.thaw(memory.living())
    assert memory.write(scene_view(camera_at(5.0, 0, 2.0), 1, planes=(wall,))).tokens_written == 96


def test_something_new_in_front_is_written_where_it_stands() -> None:
    camera = camera_at(0, 0, 1.6)
    memory = memory_of([scene_view(camera)])
    grid = samples_of(camera)
    shown = box_inverse_depth(grid, np.array([3.0, -1.0, 0.0]), np.array([4.0, 1.0, 2.5]))
    view = LatentView(camera, random_latents(1, camera), np.maximum(planes_inverse_depth(grid), shown))
    report = memory.write(view)
    cells = (shown > 0).reshape(8, 2, 12, 2).all(axis=(1, 3))
    assert 0.5 * cells.sum() < report.tokens_written <= cells.sum()
    assert not report.written[~cells].any()
    assert memory.write(view).tokens_written == 0


def test_unknown_depth_and_unwanted_sky_are_never_written() -> None:
    camera = camera_at(0, 0, 1.6)
    view = scene_view(camera)
    depth = np.array(view.inverse_depth)
    depth[:, :12] = np.nan
    memory = memory_of([LatentView(camera, view.latents, depth)], sky=False)
    info = memory.token_info(memory.living())
    assert (info.cell[:, 0] >= 6).all() and np.isfinite(info.depth_m).all()
    nothing = memory_of([])
    report = nothing.write(LatentView(camera, view.latents, np.full_like(depth, np.nan)))
    assert report.tokens_written == 0 and report.node == 0 and len(nothing.tree) == 1


def test_slopes_are_planes_and_silhouettes_are_not() -> None:
    grid = samples_of(camera_at(0, 0, 1.6, pitch_deg=-15))
    ground = planar_tokens(planes_inverse_depth(grid), 2)
    assert ground[4:].all()
    depth = planes_inverse_depth(grid)
    box = box_inverse_depth(grid, np.array([4.0, -0.83, 0.0]), np.array([5.0, 0.83, 1.2]))
    both = planar_tokens(np.maximum(depth, box), 2)
    mixed = (box > depth).reshape(8, 2, 12, 2).mean(axis=(1, 3))
    straddling = (mixed > 0) & (mixed < 1)
    steps = np.abs(np.maximum(depth, box) - depth).reshape(8, 2, 12, 2).max(axis=(1, 3)) > 0.1
    assert (straddling & steps).any() and not both[straddling & steps].any()
    assert planar_tokens(np.full((8, 8), np.nan, np.float32), 1).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: LatentView(v.camera, v.latents[:2], v.inverse_depth), "latents of shape"),
        (lambda v: LatentView(v.camera, v.latents, v.inverse_depth[:-1]), "inverse depth of shape"),
        (lambda v: LatentView(v.camera, np.full_like(v.latents, np.nan), v.inverse_depth), "not numbers"),
        (lambda v: LatentView(v.camera, v.latents, -v.inverse_depth - 1), "negative or infinite"),
        (lambda v: LatentView(v.camera, v.latents, v.inverse_depth + np.inf), "negative or infinite"),
        (lambda v: LatentView(v.camera.resized(90, 64), v.latents, v.inverse_depth), "multiple of 8"),
        (
            lambda v: LatentView(
                Camera(v.camera.c2w, v.camera.K + np.eye(3)[[1, 0, 2]] * 2, 96, 64), v.latents, v.inverse_depth
            ),
            "no skew",
        ),
    ],
)
def test_a_view_that_does_not_fit_is_refused_whole(change, message: str) -> None:  # type: ignore[no-untyped-def]
    memory = memory_of([scene_view(camera_at(0, 0, 1.6))])
    before = memory.living()
    with pytest.raises(InputError, match=message):
        memory.write(change(scene_view(camera_at(9, 9, 1.6, 90), 1)))
    np.testing.assert_array_equal(memory.living(), before)
    assert memory.current == 1 and len(memory.tree) == 2 and memory.sample_map(camera_at(0, 0, 1.6)).covered.all()


def test_points_are_the_papers() -> None:
    camera = camera_at(0.5, -0.3, 1.6, 10, -50)
    memory = memory_of([scene_view(camera)], precision="single")
    positions, features = memory.points()
    assert len(positions) == len(features) == 96
    np.testing.assert_allclose(positions[:, 2], 0.0, atol=2e-2)  # all on the ground
    tensor = LatentView(
        camera, torch.from_numpy(random_latents(0, camera)), torch.from_numpy(planes_inverse_depth(samples_of(camera)))
    )
    np.testing.assert_array_equal(memory_of([tensor], precision="single").points()[1], features)


@pytest.mark.parametrize(
    "settings",
    [
        {"channels": 0}, {"stride": 0}, {"samples": 3}, {"policy": "all"}, {"readout": "linear"},
        {"precision": "double"}, {"cell_center": 0.3}, {"budget_mib": 0.0}, {"budget_mib": float("nan")},
    ],
)  # fmt: skip
def test_senseless_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(InputError):
        MemoryConfig(**settings)  # type: ignore[arg-type]


def test_tokens_cost_less_than_64_bytes() -> None:
    rng = np.random.default_rng(0)
    memory = LatentMemory(MemoryConfig(channels=16, stride=STRIDE))
    for i in range(20):
        camera = camera_at(0.4 * i, 0.1 * i, 1.6, 3.0 * i, -8, size=(256, 448))
        latents = rng.normal(size=(16, 32, 56)).astype(np.float32)
        memory.write(LatentView(camera, latents, planes_inverse_depth(samples_of(camera))))
    stats = memory.stats()
    assert stats.keyframes > 15 and stats.ring_stored > 0
    assert stats.bytes_per_token <= 64.0, stats
    assert CHANNELS * 2 < stats.bytes_per_token * stats.tokens_stored <= stats.bytes_total <= stats.bytes_reserved


def test_occupancy_counts_many_voxels_that_come_at_once() -> None:
    """Far tokens lie in a voxel each: batches of them once filled the table to its last slot, and a search never
    ended."""
    occupancy = Occupancy()
    for batch in range(6):
        points = np.stack([np.arange(4096.0), np.full(4096, batch), np.zeros(4096)], axis=1)
        occupancy.change(points, alive=True)
        assert occupancy.voxels == 4096 * (batch + 1)
    occupancy.change(points, alive=False)
    assert occupancy.voxels == 4096 * 5
