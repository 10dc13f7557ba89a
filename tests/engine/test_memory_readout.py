"""Readouts of the latent memory: agreement with the plain reference, exactness, occlusion, sky, edges, determinism."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.camera import Camera
from engine.cells import cell_means, only_sky
from engine.errors import InputError
from engine.memory import LatentMemory, LatentView, MemoryConfig, SampleMap, points, reference
from engine.memory.assemble import from_samples
from engine.memory.checks import latent_camera
from engine.memory.views import View
from tests.engine.memory_support import (
    CHANNELS,
    GROUND,
    STRIDE,
    box_inverse_depth,
    camera_at,
    memory_of,
    planes_inverse_depth,
    random_latents,
    samples_of,
    scene_view,
)

cameras = st.builds(
    camera_at,
    st.floats(-3, 3),
    st.floats(-3, 3),
    st.floats(0.8, 3),
    st.floats(-25, 25),
    st.floats(-30, 10),
    st.just((48, 64)),
)


def rough_view(camera: Camera, seed: int, s: int) -> LatentView:
    """Ground, sky, a box, unknown patches and a little noise: everything a readout must cope with."""
    grid = samples_of(camera, s)
    rng = np.random.default_rng(seed)
    inverse_depth = planes_inverse_depth(grid)
    inverse_depth = np.maximum(inverse_depth, box_inverse_depth(grid, np.array([5.0, -1, 0]), np.array([6.0, 1, 2])))
    inverse_depth *= rng.uniform(0.998, 1.002, inverse_depth.shape).astype(np.float32)
    inverse_depth[rng.uniform(size=inverse_depth.shape) < 0.03] = np.nan
    return LatentView(camera, random_latents(seed, camera), inverse_depth)


@settings(max_examples=6, deadline=None)
@given(st.lists(cameras, min_size=1, max_size=2), cameras, st.sampled_from([1, 2, 2, 4]))
def test_learned_geometry_agrees_with_the_reference(sources: list[Camera], target: Camera, s: int) -> None:
    views = [rough_view(camera, seed, s) for seed, camera in enumerate(sources)]
    memory = memory_of(views, samples=s, policy="append")
    fast = memory.sample_map(target)
    token, uv, log2_scale, depth = reference.sample_map(memory.store, samples_of(target, s))
    covered = token >= 0
    assert (covered != fast.covered.numpy()).mean() < 0.01
    same = covered & (fast.token.numpy() == token)
    assert same.sum() >= 0.97 * covered.sum()
    # Where they chose differently they chose within the tolerance: another patch at the border, of the same surface.
    other = covered & ~same & fast.covered.numpy()
    gap = np.abs(fast.inverse_depth.numpy() - depth)[other] > 0.06 * depth[other] + 1e-4
    assert gap.sum() <= 0.01 * covered.sum() + 1
    inner = same & (np.abs(uv) < 0.45).all(axis=0) & (log2_scale < 3.5)
    # A token whose samples are drawn one by one may answer by another of its samples.
    close = np.abs(fast.uv.numpy() - uv).max(axis=0)[inner] < 2e-3
    assert close.mean() > 0.97 if inner.any() else True
    np.testing.assert_allclose(
        np.median(fast.log2_scale.numpy()[inner] - log2_scale[inner]) if inner.any() else 0, 0, atol=1e-2
    )


@settings(max_examples=12, deadline=None)
@given(st.lists(cameras, min_size=1, max_size=4), cameras, st.sampled_from([1, 2, 4]), st.sampled_from([0.0, 0.5]))
def test_nearest_agrees_with_the_reference(sources: list[Camera], target: Camera, s: int, center: float) -> None:
    views = [rough_view(camera, seed, s) for seed, camera in enumerate(sources)]
    memory = memory_of(views, samples=s, policy="append", readout="nearest", cell_center=center, precision="single")
    plain = reference.nearest(memory.store, latent_camera(memory.config, target), center)
    fast = memory.readout(target)
    # float32 against float64: only tokens within rounding of a cell's border, or of each other's depth, may differ.
    assert (fast.token.numpy() != plain).mean() <= 0.01
    covered = fast.token >= 0
    rows = fast.token[covered]
    stored = torch.from_numpy(memory.store.features.rows[rows.numpy()])
    assert torch.equal(fast.features[:, covered].T, stored)
    assert not fast.features[:, ~covered].any()
    assert (fast.offsets.abs() <= 0.5 + 1e-3).all()


def test_a_view_reads_back_as_itself() -> None:
    camera = camera_at(0, 0, 1.6, pitch_deg=-10)
    view = scene_view(camera)
    memory = memory_of([view], precision="single")
    samples = memory.sample_map(camera)
    assert samples.covered.all()
    expected = torch.tensor([-0.25, 0.25]).repeat(12)
    assert torch.allclose(samples.uv[0], expected.expand(16, -1), atol=1e-4)
    assert torch.allclose(samples.uv[1], expected[:16, None].expand(-1, 24), atol=1e-4)
    assert samples.log2_scale.abs().max() < 1e-3
    for readout in (memory.readout_learned(camera), memory.readout_nearest(camera)):
        assert torch.equal(readout.features, torch.from_numpy(np.asarray(view.latents)))
        assert (readout.coverage == 1).all()
        assert readout.offsets.abs().max() < 1e-4
        assert readout.log2_scale.abs().max() < 1e-3


class BlankNetwork:
    """A readout network that loses everything."""

    def read(
        self, samples: SampleMap, neighbourhood: torch.Tensor, valid: torch.Tensor, which: torch.Tensor
    ) -> torch.Tensor:
        hs, ws = samples.token.shape
        return torch.zeros(neighbourhood.shape[2], hs // 2, ws // 2)


def test_what_is_seen_as_it_was_written_is_not_resampled() -> None:
    camera = camera_at(0, 0, 1.6, pitch_deg=-10)
    view = scene_view(camera)
    memory = LatentMemory(MemoryConfig(channels=CHANNELS, stride=STRIDE, precision="single"), BlankNetwork())
    memory.write(view)
    latents = torch.from_numpy(np.asarray(view.latents))
    back = memory.readout(camera)
    assert (back.exact == 1.0).all() and torch.equal(back.features, latents)

    focal_cells = camera.K[0, 0] / STRIDE
    turned = memory.readout(camera_at(0, 0, 1.6, pitch_deg=-10, yaw_deg=np.degrees(0.1 / focal_cells)))
    assert not turned.exact.any() and not turned.features.any(), "a tenth of a cell is the network's"

    ahead = memory.readout(camera_at(0.5, 0, 1.6, pitch_deg=-10))
    sky = only_sky(ahead)
    assert sky.any() and (ahead.exact[sky] == 1.0).all(), "the sky stays where it is"
    near = cell_means(ahead.inverse_depth, ahead.coverage) > 0.2
    assert near.any() and not ahead.exact[near].any()


@pytest.mark.parametrize("moved_m", [0.0, 1.0, 3.0])
def test_parallax_is_the_way_moved_over_the_distance(moved_m: float) -> None:
    wall = (np.array([1.0, 0.0, 0.0]), 8.0)
    memory = memory_of([scene_view(camera_at(0, 0, 1.6, pitch_deg=-10), planes=(wall, GROUND))])
    there = camera_at(moved_m, 0, 1.6, pitch_deg=-10)
    for readout in (memory.readout_learned(there), memory.readout_nearest(there)):
        seen = readout.token >= 0
        nearness = torch.nn.functional.max_pool2d(readout.inverse_depth[None], 2)[0]
        assert seen.any() and torch.allclose(readout.parallax[seen], moved_m * nearness[seen], atol=1e-5)
        assert not readout.parallax[only_sky(readout)].any() and not readout.parallax[~seen].any()
    imagined = memory_of([])
    view = scene_view(camera_at(0, 0, 1.6, pitch_deg=-10), planes=(wall, GROUND))
    imagined.write(view, wear=np.ones(np.shape(view.latents)[1:], np.uint8))
    assert not imagined.readout(there).parallax.any()


def test_a_cell_of_two_tokens_is_resampled() -> None:
    camera = camera_at(0, 0, 1.6, pitch_deg=-10)
    memory = memory_of([scene_view(camera)])
    readout = memory.readout(camera)
    samples = readout.samples
    assert samples is not None
    mixed = replace(samples, token=samples.token.clone())
    mixed.token[0, 0] = samples.token[0, 2]
    again = from_samples(View(memory.store, latent_camera(memory.config, camera)), mixed)
    assert again.exact[0, 0] == 0.0 and (again.exact.flatten()[1:] == 1.0).all()


@pytest.mark.parametrize("moved", [(0.3, 0.2, 1.7, 4, -12), (1.0, -0.5, 1.4, -9, -8), (-0.8, 0.0, 2.2, 0, -20)])
@pytest.mark.parametrize("wall_offset_m", [6.0, 9.0])
def test_source_positions_on_a_plane_are_exact(moved: tuple[float, ...], wall_offset_m: float) -> None:
    wall = (np.array([1.0, 0.25, 0.1]), wall_offset_m)
    source, target = camera_at(0, 0, 1.6, 0, -10, size=(128, 192)), camera_at(*moved, size=(128, 192))
    memory = memory_of([scene_view(source, planes=(wall,))])
    samples = memory.sample_map(target)
    covered = samples.covered.numpy()
    assert covered.mean() > 0.5
    grid = samples_of(target)
    inverse = planes_inverse_depth(grid, (wall,)).astype(np.float64)
    points = (grid.position + grid.rays() / inverse[..., None])[covered]
    local = (points - source.position) @ source.c2w[:3, :3]
    truth = local @ latent_camera(memory.config, source).K.T
    truth = truth[:, :2] / truth[:, 2:]
    u, v = memory.store.cell(samples.token.numpy()[covered])
    found = np.stack([u + 0.5, v + 0.5], axis=1) + samples.uv.numpy()[:, covered].T
    assert np.abs(found - truth).max() < 0.02
    np.testing.assert_allclose(samples.inverse_depth.numpy()[covered], inverse[covered], rtol=3e-3)
    assert (np.abs(samples.uv.numpy()[:, covered]) <= 0.5 + 0.081).all()


@pytest.mark.parametrize("moved", [(0.3, 0.2, 1.7, 4, -12), (3.0, -0.5, 1.4, -9, -20)])
def test_a_sample_knows_how_its_token_is_turned_and_stretched(moved: tuple[float, ...]) -> None:
    ground = (np.array([0.0, 0.0, -1.0]), 0.0)
    memory = memory_of([scene_view(camera_at(0, 0, 1.6, 0, -10, size=(128, 192)), planes=(ground,))])
    samples = memory.sample_map(camera_at(*moved, size=(128, 192)))
    covered = (samples.covered & ~samples.sky & (samples.uv.abs() < 0.5).all(0)).numpy()
    for axis in (0, 1):  # from one sample to the next inside of a token, half a cell along x, or along y
        token, known, uv, told = (
            np.moveaxis(values, -1 - axis, -1)
            for values in (samples.token.numpy(), covered, samples.uv.numpy(), samples.jacobian[:, axis].numpy())
        )
        same = known[..., 1:] & known[..., :-1] & (token[..., 1:] == token[..., :-1])
        assert same.mean() > 0.1, axis
        middle = 0.5 * (told[..., 1:] + told[..., :-1])
        np.testing.assert_allclose(2.0 * np.diff(uv)[:, same], middle[:, same], rtol=0.02, atol=0.02)
    area = torch.linalg.det(samples.jacobian.permute(2, 3, 0, 1).double())[covered]
    np.testing.assert_allclose(-0.5 * np.log2(area.abs()), samples.log2_scale[covered], atol=1e-3)


def test_a_sample_of_a_token_that_straddles_an_edge_knows_the_other_side() -> None:
    camera = camera_at(0, 0, 1.6, pitch_deg=-10)
    inverse_depth = np.full((16, 24), 0.1, np.float32)
    inverse_depth[:, 11:] = 0.4  # two octaves nearer, from the middle of a token on
    samples = memory_of([LatentView(camera, random_latents(0, camera), inverse_depth)]).sample_map(camera)
    np.testing.assert_allclose(samples.relief[:, 4, 10], [0, 2, 0, 2], atol=1e-2)
    np.testing.assert_allclose(samples.relief[:, 4, 11], [-2, 0, -2, 0], atol=1e-2)
    assert not samples.relief[:, :, :10].any() and not samples.relief[:, :, 12:].any()


def test_far_things_do_not_show_through_a_magnified_near_surface() -> None:
    near, far = (np.array([1.0, 0, 0]), 4.0), (np.array([1.0, 0, 0]), 20.0)
    behind_all = camera_at(-16.0, 0, 1.5)
    memory = memory_of(
        [scene_view(behind_all, 0, planes=(far,)), scene_view(camera_at(0, 0, 1.5), 1, planes=(near,))], policy="append"
    )
    close = camera_at(2.6, 0.1, 1.5, 3)
    samples = memory.sample_map(close)
    info = memory.token_info(samples.token[samples.covered])
    assert samples.covered.float().mean() > 0.95
    assert (info.keyframe == 1).all()
    assert (samples.log2_scale[samples.covered] > 1.0).all()


@pytest.mark.parametrize("away_m", [10.0, 20.0, 40.0])
def test_a_floor_seen_from_afar_is_as_deep_as_it_lies(away_m: float) -> None:
    """Its tokens are thinner than samples there, and a plane followed beyond its token may be anywhere."""
    memory = memory_of([scene_view(camera_at(0.0, 0.0, 1.6, 0.0, -40.0))])
    floor = points.positions(memory.store, memory.living(), 0.5)[:, 0]
    seen = memory.sample_map(camera_at(-away_m, 0.0, 1.9, 0.0, 0.0, (256, 448)))
    depth = 1.0 / seen.inverse_depth[seen.covered].numpy()
    assert len(depth) >= 12
    assert depth.min() > away_m + floor.min() - 1.0 and depth.max() < 1.2 * (away_m + floor.max()) + 1.0


def test_a_surface_seen_from_behind_hides_but_shows_nothing() -> None:
    wall, back = (np.array([1.0, 0, 0]), 4.0), (np.array([-1.0, 0, 0]), 6.0)
    memory = memory_of(
        [
            scene_view(camera_at(0, 0, 1.5), 0, planes=(wall,)),
            scene_view(camera_at(-2, 0, 1.5, 180), 1, planes=(back,)),
        ],
        policy="append",
    )
    from_behind = memory.sample_map(camera_at(7, 0, 1.5, 180))
    assert not from_behind.covered[6:10, 8:16].any()
    info = memory.token_info(from_behind.token[from_behind.covered])
    assert (info.keyframe == 1).all()


def test_sky_turns_with_the_view_and_lies_behind_everything() -> None:
    camera = camera_at(0, 0, 1.6)
    memory = memory_of([scene_view(camera)])
    moved = memory.sample_map(camera_at(0.5, 0.3, 1.6))
    turned = memory.sample_map(camera_at(0, 0, 1.6, 12))
    assert moved.sky[:6].all() and not moved.sky[9:].any()
    assert turned.sky[:6].any() and not turned.sky[9:].any()
    shift = memory.token_info(turned.token[2, 12:20]).cell[:, 0] - np.arange(12, 20) // 2
    assert (shift < 0).all()  # turning left brings in what lay to the left
    finite = ~turned.sky & turned.covered
    assert (turned.inverse_depth[finite] > 0).all() and (turned.inverse_depth[~finite] == 0).all()
    without = memory_of([scene_view(camera)], sky=False)
    assert not without.sample_map(camera).sky.any()
    assert not without.sample_map(camera).covered[:6].any()


def test_a_disocclusion_against_sky_stays_a_hole() -> None:
    camera, pillar = camera_at(0, 0, 1.6), (np.array([4.0, -0.6, 0]), np.array([4.5, 0.6, 9]))
    grid = samples_of(camera)
    depth = np.maximum(planes_inverse_depth(grid), box_inverse_depth(grid, *pillar))
    memory = memory_of([LatentView(camera, random_latents(0, camera), depth)])
    target = camera_at(0, 1.5, 1.6)
    seen = memory.sample_map(target)
    uncovered = ~seen.covered.numpy()
    assert uncovered[2:6].any()
    # Finite things are never painted over by sky.
    shown = box_inverse_depth(samples_of(target), *pillar) > 0
    inner = shown & np.roll(shown, 1, 1) & np.roll(shown, -1, 1)
    assert not (seen.sky.numpy() & inner).any()


def test_thin_things_survive_against_the_sky() -> None:
    camera = camera_at(0, 0, 1.6)
    depth = planes_inverse_depth(samples_of(camera))
    depth[:8, 12] = 1 / 5.0  # half a token wide
    memory = memory_of([LatentView(camera, random_latents(0, camera), depth)])
    for back in (0.0, -2.0, -6.0):
        seen = memory.sample_map(camera_at(back, 0, 1.6))
        rows = (seen.inverse_depth > 0)[:8].any(dim=1)
        assert rows[4:7].all(), back


def test_samples_of_a_token_on_an_edge_go_their_own_ways() -> None:
    camera = camera_at(0, 0, 1.6)
    depth = np.full(samples_of(camera).size, 1 / 20.0, np.float32)
    depth[:, 13:] = 1 / 2.0
    memory = memory_of([LatentView(camera, random_latents(0, camera), depth)])
    moved = memory.sample_map(camera_at(0, 0.4, 1.6))
    near = moved.inverse_depth > 0.3
    far = (moved.inverse_depth > 0) & ~near
    assert near.any() and far.any()
    # Nothing floats between the two surfaces.
    between = (moved.inverse_depth > 1 / 16.0) & (moved.inverse_depth < 1 / 2.5)
    assert not between.any()
    # Seen from the left, the near half moves right and uncovers what was never seen.
    assert (~moved.covered[:, 10:20]).any()


def test_readouts_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.memory import views

    sources = [camera_at(0.3 * i, 0.1 * i, 1.6, 3 * i, -12) for i in range(5)]
    memory = memory_of([rough_view(camera, seed, 2) for seed, camera in enumerate(sources)], policy="append")
    target = camera_at(0.5, 0.2, 1.7, 5, -10)
    alone, nearest_alone = memory.sample_map(target), memory.readout_nearest(target)
    monkeypatch.setattr(views, "SMALL", 1)
    monkeypatch.setattr(views, "thread_count", lambda: 3)
    for _ in range(3):
        together, nearest = memory.sample_map(target), memory.readout_nearest(target)
        for name in ("token", "uv", "log2_scale", "inverse_depth", "sky", "jacobian", "relief"):
            assert torch.equal(getattr(alone, name), getattr(together, name)), name
        assert torch.equal(nearest.token, nearest_alone.token)


def test_equal_tokens_tie_to_the_older_one() -> None:
    camera = camera_at(0, 0, 1.6)
    memory = memory_of([scene_view(camera, 0), scene_view(camera, 1)], policy="append")
    for readout in (memory.readout_nearest(camera), memory.readout_learned(camera)):
        assert (memory.token_info(readout.token).keyframe == 0).all()


def test_neighbourhoods_are_the_keyframes_own(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = camera_at(0, 0, 1.6, pitch_deg=-10), camera_at(0.2, 0, 1.6, 25, -10)
    views = [scene_view(first, 0), scene_view(second, 1)]
    memory = memory_of(views)
    rows = memory.living()
    features, valid = memory.neighbourhood(rows)
    info = memory.token_info(rows)
    partial = info.keyframe == 1
    assert 0 < partial.sum() < 96  # the second view wrote a part of itself, so rings are at work
    for index, row in enumerate(rows):
        latents = np.asarray(views[info.keyframe[index]].latents)
        u, v = info.cell[index]
        for j in range(9):
            x, y = u + j % 3 - 1, v + j // 3 - 1
            inside = 0 <= x < 12 and 0 <= y < 8
            assert bool(valid[index, j]) == inside, row
            expected = latents[:, y, x] if inside else np.zeros(CHANNELS)
            if j == 4:
                np.testing.assert_array_equal(features[index, j], expected.astype(np.float16))
            # Ring neighbours are kept in 4 bits a channel: half a step of the keyframe's range is lost at most.
            np.testing.assert_allclose(features[index, j], expected, atol=np.abs(latents).max() / 14.5)
            if not partial[index]:
                np.testing.assert_array_equal(features[index, j], expected.astype(np.float16))


def test_learned_readout_masks_what_is_not_covered() -> None:
    memory = memory_of([scene_view(camera_at(0, 0, 1.6, pitch_deg=-10))])
    readout = memory.readout(camera_at(0, 0, 1.6, 40, -10))
    hole = readout.coverage == 0
    assert hole.any() and not hole.all()
    assert not readout.features[:, hole].any()
    assert (readout.token[hole] == -1).all() and (readout.token[~hole] >= 0).all()
    assert readout.samples is not None
    share = readout.samples.covered.float().view(8, 2, 12, 2).mean(dim=(1, 3))
    assert torch.equal(share, readout.coverage)


def test_an_empty_memory_reads_out_as_nothing() -> None:
    memory = memory_of([])
    for readout in (memory.readout_learned(camera_at(0, 0, 1)), memory.readout_nearest(camera_at(0, 0, 1))):
        assert not readout.features.any() and not readout.coverage.any() and (readout.token == -1).all()


def test_learned_readout_without_a_network_says_so() -> None:
    memory = LatentMemory(MemoryConfig(channels=CHANNELS, stride=STRIDE))
    with pytest.raises(InputError, match="readout network"):
        memory.readout(camera_at(0, 0, 1))
    with pytest.raises(InputError, match="multiple of 8"):
        memory.sample_map(camera_at(0, 0, 1, size=(60, 96)))


def test_reads_are_counted_and_provenance_is_known() -> None:
    camera = camera_at(0, 0, 1.6, pitch_deg=-20)
    memory = memory_of([scene_view(camera)], readout="nearest")
    for _ in range(3):
        memory.readout(camera)
    info = memory.token_info(memory.living())
    assert (info.reads == 3).all() and (info.node == 1).all() and info.alive.all() and not info.frozen.any()
    expected = planes_inverse_depth(camera.latent(STRIDE), (GROUND,))
    finite = info.cell[:, 1] >= 2  # well below the horizon
    u, v = info.cell[finite].T
    np.testing.assert_allclose(1.0 / info.depth_m[finite], expected[v, u], rtol=5e-3)
    assert memory.stats().hit_rate == 1.0
