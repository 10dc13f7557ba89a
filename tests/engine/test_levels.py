"""Views remembered at several scales: from everywhere the one that suits is shown, and it is one history."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.camera import Camera
from engine.errors import InputError, SessionError
from engine.explorer import Explorer, ExplorerConfig
from engine.memory import LatentMemory, LatentView, OrientedBox
from engine.models.embedded import EmbeddedModel
from engine.pyramid import FARTHEST_M, FINEST_LEVEL, Pyramid, finer_views, levels_for
from engine.worlds import World, WorldSpec
from tests.engine import explorer_support
from tests.engine.memory_support import (
    GROUND,
    Plane,
    camera_at,
    memory_of,
    planes_inverse_depth,
    samples_of,
    scene_view,
)

CAMERA = camera_at(0.0, 0.0, 1.6, pitch_deg=-6)
WALL: Plane = (np.array([1.0, 0.0, 0.0]), 6.0)
PLANES = (GROUND, WALL)


def finer(level: int) -> LatentView:
    return scene_view(CAMERA.resized(CAMERA.width << level, CAMERA.height << level), level, planes=PLANES)


def written(*levels: LatentView) -> LatentMemory:
    memory = memory_of([])
    memory.write(scene_view(CAMERA, planes=PLANES), finer=levels)
    return memory


PLAIN, SCALED = written(), written(finer(1), finer(2))


def level_of(memory: LatentMemory, tokens: np.ndarray) -> np.ndarray:
    """How often each token's keyframe is finer than the first."""
    return np.log2(memory.store.grids.rows[memory.store.keyframes_of(tokens), 0] // 8).astype(int)


def test_from_where_it_was_seen_nothing_is_finer() -> None:
    one, other = PLAIN.sample_map(CAMERA), SCALED.sample_map(CAMERA)
    assert bool(one.covered.any())
    for name in ("token", "uv", "log2_scale", "inverse_depth", "sky"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name


@pytest.mark.parametrize(("x_m", "level"), [(0.4, 0), (1.0, 1), (3.0, 1), (4.5, 2), (5.2, 2)])
def test_nearer_a_wall_the_scale_that_suits_is_shown(x_m: float, level: int) -> None:
    """At 6 / (6 - x) times its first size."""
    camera = camera_at(x_m, 0.0, 1.6)
    seen = SCALED.sample_map(camera)
    wall = seen.covered & ((seen.inverse_depth - 1.0 / (6.0 - x_m)).abs() < 1e-3)
    assert float(wall.float().mean()) > 0.15
    tokens = seen.token[wall].numpy()
    shown = level_of(SCALED, tokens)
    assert (shown == level).mean() > 0.8
    expected = np.log2(6.0 / (6.0 - x_m)) - shown
    np.testing.assert_allclose(seen.log2_scale[wall].numpy(), expected, atol=0.15)


@settings(max_examples=60, deadline=None)
@given(st.floats(-3.0, 5.5), st.floats(-2.0, 2.0), st.floats(0.5, 4.0), st.floats(-40.0, 40.0), st.floats(-30.0, 20.0))
def test_no_token_and_its_finer_ones_are_shown_together_and_nothing_is_lost(
    x: float, y: float, z: float, yaw_deg: float, pitch_deg: float
) -> None:
    camera = camera_at(x, y, z, yaw_deg, pitch_deg)
    plain, seen = PLAIN.sample_map(camera), SCALED.sample_map(camera)
    truth = planes_inverse_depth(samples_of(camera), PLANES)
    both = (seen.covered & plain.covered).numpy() & (truth > 0.0)
    if both.any():
        coarse, fine = (np.abs(part.inverse_depth.numpy()[both] / truth[both] - 1.0) for part in (plain, seen))
        assert fine.mean() < coarse.mean() + 0.005
    assert int((plain.covered & ~seen.covered).sum()) <= 0.02 * plain.token.numel()
    tokens = np.unique(seen.token[seen.covered].numpy())
    u, v = SCALED.store.cell(tokens)
    places = set(zip(level_of(SCALED, tokens), u, v, strict=True))
    for level, column, line in places:
        assert (level - 1, column // 2, line // 2) not in places
        assert (level - 2, column // 4, line // 4) not in places


def test_where_a_finer_scale_is_not_given_the_coarse_one_stays() -> None:
    partly = finer(1)
    depth = np.array(partly.inverse_depth)
    depth[:, : depth.shape[1] // 2] = np.nan
    memory = written(replace(partly, inverse_depth=depth))
    seen = memory.sample_map(camera_at(3.0, 0.0, 1.6))
    half = seen.token.shape[1] // 2
    for part, level in ((slice(0, half - 2), 0), (slice(half + 2, None), 1)):
        tokens = seen.token[:, part][seen.covered[:, part]].numpy()
        assert (level_of(memory, tokens) == level).mean() > 0.9


def test_scales_belong_to_the_write_and_to_its_history() -> None:
    memory = written(finer(1), finer(2))
    node = memory.tree[memory.current]
    assert len(node.finer) == 2 and node.written == len(memory.living()) == len(memory.store)
    near = camera_at(3.0, 0.0, 1.6)
    before = memory.sample_map(near)
    assert memory.undo() and not len(memory.living())
    assert memory.redo() and torch.equal(memory.sample_map(near).token, before.token)
    box = OrientedBox(np.array([6.0, 0.0, 1.6]), np.array([0.5, 0.8, 0.8]))
    memory.erase(box)
    gone = memory.sample_map(near)
    hole = before.covered & ~gone.covered
    assert int(hole.sum()) > 20
    assert memory.undo() and torch.equal(memory.sample_map(near).token, before.token)
    fresh = written(finer(1), finer(2))
    assert fresh.retract() and not len(fresh.store) and not fresh.store.keyframes.count


@pytest.mark.parametrize("x_m", [0.0, 3.0, 4.5])
def test_what_is_erased_as_it_is_seen_is_gone_at_every_scale(x_m: float) -> None:
    memory = written(finer(1), finer(2))
    camera = camera_at(x_m, 0.0, 1.6)
    seen = memory.sample_map(camera)
    wall = seen.covered & ((seen.inverse_depth - 1.0 / (6.0 - x_m)).abs() < 1e-3)
    middle = torch.zeros_like(wall)
    middle[4:12, 8:16] = True
    memory.erase(seen.token[wall & middle].unique())
    for other_m in (0.0, 2.0, 3.0, 4.0, 4.5):
        again = memory.sample_map(camera_at(other_m, 0.0, 1.6))
        points = wall_points(camera_at(other_m, 0.0, 1.6))
        erased = wall_points(camera)[wall & middle]
        low, high = erased.amin(0) + 0.3, erased.amax(0) - 0.3
        inside = ((points > low) & (points < high)).all(-1)
        assert not bool((again.covered & inside).any())
    assert memory.undo() and torch.equal(memory.sample_map(camera).token, seen.token)


def wall_points(camera: Camera) -> torch.Tensor:
    """(hs, ws, 2) y and z in metres where the samples' rays meet the wall."""
    rays = samples_of(camera).rays()
    points = camera.position + rays * ((6.0 - camera.position[0]) / np.maximum(rays[..., :1], 1e-6))
    return torch.from_numpy(points[..., 1:])


def test_what_a_nearer_view_writes_is_shown_instead() -> None:
    memory = written(finer(1))
    near = camera_at(5.0, 0.0, 1.6)
    report = memory.write(scene_view(near, 7, planes=PLANES))
    assert report.tokens_superseded > 0
    seen = memory.sample_map(near)
    newest = memory.store.keyframes_of(seen.token[seen.covered].numpy()) == memory.tree[report.node].keyframe
    assert newest.mean() > 0.8


def test_a_saved_memory_keeps_its_scales(tmp_path: Path) -> None:
    SCALED.save(tmp_path)
    loaded = LatentMemory.load(tmp_path, SCALED.config, SCALED.network)
    for x_m in (0.0, 3.0, 4.5):
        camera = camera_at(x_m, 0.0, 1.6)
        assert torch.equal(loaded.sample_map(camera).token, SCALED.sample_map(camera).token)
    index = json.loads((tmp_path / "memory.json").read_text())
    for damage in ([5, 6], [2, 1], [1, 1], [0], ["1"], [True], list(range(1, 12)), None):
        index["nodes"][1]["finer"] = damage
        (tmp_path / "memory.json").write_text(json.dumps(index))
        with pytest.raises(SessionError):
            LatentMemory.load(tmp_path, SCALED.config)


def test_a_budget_takes_scales_apart_without_breaking_them(tmp_path: Path) -> None:
    memory = written(finer(1), finer(2))
    memory.config = replace(memory.config, budget_mib=0.04)
    near = camera_at(4.0, 0.0, 1.6)
    for n in range(4):
        memory.write(scene_view(camera_at(4.0, 3.0 * n, 1.6, 90.0), n + 3, planes=PLANES))
        memory.readout(near)
    assert memory.stats().evicted > 0
    finer_keyframes, grids = memory.store.finer.rows, memory.store.grids.rows
    assert all(
        (grids[fine] == 2 * grids[coarse]).all() for coarse, fine in enumerate(finer_keyframes.tolist()) if fine >= 0
    )
    memory.save(tmp_path)
    loaded = LatentMemory.load(tmp_path, memory.config, memory.network)
    assert torch.equal(loaded.sample_map(near).token, memory.sample_map(near).token)


@pytest.mark.parametrize(("budget_mib", "scales"), [(None, 2), (1.0, 2), (0.05, 1), (0.01, 0)])
def test_scales_that_half_a_budget_does_not_hold_are_left_out(budget_mib: float | None, scales: int) -> None:
    memory = memory_of([], budget_mib=budget_mib)
    memory.write(scene_view(CAMERA, planes=PLANES), finer=[finer(1), finer(2)])
    assert len(memory.tree[memory.current].finer) == scales
    assert budget_mib is None or memory.stats().mib <= budget_mib


def test_a_finer_scale_must_be_the_same_view_twice_as_large() -> None:
    memory = memory_of([])
    moved = scene_view(camera_at(0.1, 0.0, 1.6, pitch_deg=-6, size=(128, 192)))
    for wrong in (finer(2), finer(0), moved):
        with pytest.raises(InputError, match="finer scale"):
            memory.write(scene_view(CAMERA, planes=PLANES), finer=[wrong])
    assert not len(memory.store) and len(memory.tree) == 1


# ------------------------------------------------------------------------------------------- first views


def pyramid(levels: int = 2) -> Pyramid:
    base = explorer_support.first_view()

    def enlarged(values: np.ndarray, level: int) -> np.ndarray:
        return values.repeat(1 << level, -1).repeat(1 << level, -2)

    return Pyramid(
        base,
        tuple(enlarged(base.rgb, level) for level in range(1, levels + 1)),
        enlarged(base.depth_m, levels),
    )


def test_levels_are_as_many_as_the_memory_takes() -> None:
    assert levels_for((256, 448), 8) == FINEST_LEVEL
    assert levels_for((512, 896), 8) == 1
    assert levels_for((2048, 2048), 8) == 0


def test_finer_views_are_of_surfaces_that_are_near_enough(tiny_model: EmbeddedModel) -> None:
    camera = explorer_support.camera()
    for level, view in enumerate(finer_views(tiny_model, camera, pyramid())[0], start=1):
        assert view.camera.size == (64 << level, 112 << level)
        depth = torch.as_tensor(view.inverse_depth)
        told = ~torch.isnan(depth)
        assert bool((depth[told] > 1.0 / FARTHEST_M).float().mean() > 0.8) and not bool(told[0, 0])
        whole = told.view(depth.shape[0] // 4, 4, depth.shape[1] // 4, 4).float().mean((1, 3))
        assert bool(((whole == 0.0) | (whole == 1.0)).all())


def test_a_pyramid_of_odd_sizes_is_refused() -> None:
    base = explorer_support.first_view()
    whole = pyramid()
    for finer_ones, depth_m in ((whole.finer[1:], whole.depth_m), (whole.finer, base.depth_m), (whole.finer, None)):
        with pytest.raises(InputError, match="first view"):
            Pyramid(base, finer_ones, depth_m)


def test_only_a_memory_with_scales_is_given_them(tiny_model: EmbeddedModel) -> None:
    camera, seen = explorer_support.camera(), {}
    for variant in ("latent", "latent-flat", "append", "rgb", "none"):
        explorer = explorer_support.explorer(tiny_model, variant)  # type: ignore[arg-type]
        base, scaled = (explorer.begin(camera, first).rgb for first in (pyramid().base, pyramid()))
        np.testing.assert_array_equal(base, scaled)
        seen[variant] = explorer.memory.stats().tokens_living
    assert seen["latent"] > 5 * seen["append"] == 5 * 8 * 14 == 5 * seen["latent-flat"]


def test_a_world_is_seen_as_finely_as_the_memory_takes(tiny_model: EmbeddedModel) -> None:
    world = World(WorldSpec("village", 3))
    camera = world.spawn(112, 64)
    explorer = Explorer(tiny_model, ExplorerConfig(biome="village", size=(64, 112)), world)
    first = explorer.first_view(camera)
    assert isinstance(first, Pyramid)
    assert [tuple(rgb.shape) for rgb in first.finer] == [(3, 128, 224), (3, 256, 448)]
    smaller = torch.nn.functional.avg_pool2d(torch.as_tensor(first.finer[1])[None], 4)[0]
    assert float((smaller - torch.as_tensor(first.base.rgb)).abs().mean()) < 0.03
    plain = Explorer(tiny_model, ExplorerConfig(biome="village", size=(64, 112), memory="append"), world)
    assert not isinstance(plain.first_view(camera), Pyramid)


def test_a_view_without_depth_of_its_size_is_one_sentence(tiny_model: EmbeddedModel) -> None:
    base = explorer_support.first_view()
    wrong = SimpleNamespace(rgb=base.rgb[:, ::2, ::2], depth_m=base.depth_m[::2, ::2])
    explorer = explorer_support.explorer(tiny_model)
    camera: Camera = explorer_support.camera()
    with pytest.raises(InputError, match="must be 64x112"):
        explorer.begin(camera, wrong)
    assert not explorer.begun
