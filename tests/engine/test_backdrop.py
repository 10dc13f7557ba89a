"""What stands behind near things: lent in one piece, remembered with what hides it, and there when it is uncovered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import avg_pool2d

from engine.backdrop import REACH_CELLS, RIM_CELLS, backdrop, beside
from engine.disocclusion import HIDES, STANDS, WINDOW_CELLS
from engine.explorer import Explorer, ExplorerConfig
from engine.halves import hidden_halves
from engine.memory import LatentMemory, LatentView, reference
from engine.models.embedded import EmbeddedModel
from engine.worlds import World, WorldSpec
from tests.engine.memory_support import CHANNELS, camera_at, memory_of, random_latents, samples_of

H, W = 8, 24
CAMERA = camera_at(0.0, 0.0, 1.6, size=(8 * H, 8 * W))
POST = slice(10, 13)
EVERYWHERE = torch.ones(H, W, dtype=torch.bool)


def post(near: float = 0.5, far: float = 0.05) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents that tell their column, and inverse depth: a post at two metres before a wall at twenty."""
    inverse = torch.full((2 * H, 2 * W), far)
    inverse[:, 2 * POST.start : 2 * POST.stop] = near
    return torch.arange(float(W)).expand(CHANNELS, H, W).clone(), inverse


def test_the_wall_goes_on_behind_the_post_as_in_a_mirror() -> None:
    latents, inverse = post()
    layer = backdrop(CAMERA, latents, inverse, EVERYWHERE)
    assert layer is not None and layer.camera is CAMERA
    lent = torch.as_tensor(layer.inverse_depth)
    behind = torch.zeros(2 * H, 2 * W, dtype=torch.bool)
    behind[:, 2 * (POST.start - RIM_CELLS) : 2 * (POST.stop + RIM_CELLS)] = (
        True  # and what a token shows a little of it
    )
    assert torch.equal(~torch.isnan(lent), behind)
    assert bool((lent[behind] == 0.05).all())
    columns = torch.as_tensor(layer.latents)[0, :, POST]
    assert columns.tolist() == [[8.0, 7.0, 14.0]] * H  # from the nearer side each


def test_what_is_seen_beside_a_thing_stays_and_once_it_is_gone_it_shows_no_more_of_it(tmp_path: Path) -> None:
    inverse = post(far=0.0)[1]
    inverse[:, 2 * POST.stop] = 0.5  # the outline runs through a cell: one column of its samples is the sky's
    latents = torch.full((CHANNELS, H, W), -1.0)
    latents[:, :, POST.start - 1 : POST.stop + 2] = 0.5  # beside the post the sky looks a little like it
    latents[:, :, POST] = 1.0
    memory, alone = memory_of([]), memory_of([LatentView(CAMERA, latents, inverse)])
    memory.write(LatentView(CAMERA, latents, inverse), backdrop=backdrop(CAMERA, latents, inverse, EVERYWHERE))
    assert torch.equal(memory.sample_map(CAMERA).token, alone.sample_map(CAMERA).token)
    past = camera_at(3.0, 0.0, 1.6, size=(8 * H, 8 * W))  # the post stands two metres ahead
    memory.save(tmp_path)
    for kept in (memory, LatentMemory.load(tmp_path, memory.config, memory.network)):
        seen = kept.sample_map(past)
        assert bool(seen.covered.all())
    shown = memory.store.features.rows[seen.token.unique().numpy()]
    assert (shown == -1.0).all() and (
        alone.store.features.rows[alone.sample_map(past).token.unique().numpy()] > 0
    ).any()


def test_a_sky_that_is_lent_from_both_sides_is_not_torn_where_they_meet() -> None:
    inverse = post(far=0.0)[1]
    latents = torch.zeros(CHANNELS, H, W)
    latents[:, :, POST.stop :] = 1.0  # clouds on one side
    layer = backdrop(CAMERA, latents, inverse, EVERYWHERE)
    assert layer is not None
    row = torch.as_tensor(layer.latents)[0, 3, POST.start - 1 : POST.stop + 1]
    step = row.diff()
    assert bool((step >= 0.0).all()) and float(step.max()) < 0.5


def test_level_ground_and_what_is_known_have_nothing_behind() -> None:
    latents, inverse = post()
    assert backdrop(CAMERA, latents, torch.full_like(inverse, 0.05), EVERYWHERE) is None
    assert backdrop(CAMERA, latents, inverse, torch.zeros_like(EVERYWHERE)) is None
    left = EVERYWHERE & (torch.arange(W) < 11)
    layer = backdrop(CAMERA, latents, inverse, left)
    assert layer is not None
    assert bool(torch.isnan(torch.as_tensor(layer.inverse_depth))[:, 22:].all())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_only_what_is_farther_in_the_same_row_is_lent(seed: int) -> None:
    rng = np.random.default_rng(seed)
    depth = rng.choice([0.001, 0.004, 0.02, 0.05, 0.5, np.nan], (H, W)).astype(np.float32)
    inverse = torch.from_numpy(depth).repeat_interleave(2, 0).repeat_interleave(2, 1)
    new = torch.from_numpy(rng.random((H, W)) < 0.8)
    latents = torch.arange(float(H * W)).reshape(1, H, W).expand(CHANNELS, H, W)
    layer = backdrop(CAMERA, latents, inverse, new)
    if layer is None:
        return
    lent = torch.as_tensor(layer.inverse_depth)[::2, ::2]
    for y, x in torch.nonzero(~torch.isnan(lent)).tolist():
        row, lender = divmod(int(torch.as_tensor(layer.latents)[0, y, x]), W)
        assert bool(new[y, x]) and row == y and depth[row, lender] == lent[y, x]
        if depth[y, x] == lent[y, x]:  # beside what hides something
            assert abs(lender - x) <= RIM_CELLS
            continue
        assert abs(lender - x) < 2 * REACH_CELLS
        assert depth[y, x] > HIDES * np.nanmin(depth[y])
        assert depth[y, x] > STANDS * np.nanmin(depth[y, max(0, x - WINDOW_CELLS) : x + WINDOW_CELLS + 1])


def layered() -> tuple[LatentMemory, LatentView]:
    """A memory of the post with what is behind it, and the view that it was written from."""
    _, inverse = post()
    view = LatentView(CAMERA, torch.from_numpy(random_latents(0, CAMERA)), inverse)
    memory = memory_of([])
    memory.write(view, backdrop=backdrop(CAMERA, torch.as_tensor(view.latents), inverse, EVERYWHERE))
    return memory, view


def test_what_is_uncovered_is_there() -> None:
    memory, view = layered()
    alone = memory_of([view])
    aside = camera_at(0.0, 0.35, 1.6, size=(8 * H, 8 * W))
    holes, still = ((~m.sample_map(aside).covered).float().mean() for m in (alone, memory))
    assert float(holes) > 0.03 and float(still) < 0.2 * float(holes)
    seen, before = (m.sample_map(CAMERA) for m in (memory, alone))
    assert torch.equal(seen.inverse_depth, before.inverse_depth)
    assert torch.equal(seen.token, before.token)  # from where it was seen nothing has changed


@settings(max_examples=12, deadline=None)
@given(st.floats(-1.0, 4.0), st.floats(-1.0, 1.0), st.floats(-20.0, 20.0))
def test_which_layer_is_seen_agrees_with_the_reference(x: float, y: float, yaw_deg: float) -> None:
    memory, _ = layered()
    target = camera_at(x, y, 1.6, yaw_deg, size=(8 * H, 8 * W))
    fast, (token, _, _, depth) = memory.sample_map(target), reference.sample_map(memory.store, samples_of(target, 2))
    assert (fast.token.numpy() != token).mean() < 0.02  # at the border of two patches
    assert (np.abs(fast.inverse_depth.numpy() - depth) > 1e-3).mean() < 0.01


def test_who_erases_a_thing_sees_what_stands_behind_it() -> None:
    memory, _ = layered()
    seen = memory.sample_map(CAMERA)
    memory.erase(seen.token[seen.inverse_depth == 0.5].unique())
    behind = memory.sample_map(CAMERA)
    assert bool(behind.covered.all()) and bool((behind.inverse_depth - 0.05).abs().max() < 1e-4)


def test_who_erases_what_a_thing_stands_before_leaves_no_rim_of_it() -> None:
    memory, _ = layered()
    before = memory.sample_map(CAMERA)
    wall = (before.inverse_depth - 0.05).abs() < 1e-3
    memory.erase(before.token[wall].unique())
    after = memory.sample_map(CAMERA)
    assert bool(wall.any()) and not bool(after.covered[wall].any())
    assert torch.equal(after.token[~wall], before.token[~wall])  # the post
    memory.undo()
    assert torch.equal(memory.sample_map(CAMERA).token, before.token)


def test_both_layers_are_one_step_of_history(tmp_path: Path) -> None:
    memory, view = layered()
    node = memory.tree[memory.current]
    assert len(memory.tree) == 2 and len(node.keyframes) == 2
    assert node.written == len(memory.living()) == H * W + H * (POST.stop - POST.start + 2 * RIM_CELLS)
    memory.save(tmp_path)
    loaded = LatentMemory.load(tmp_path, memory.config, memory.network)
    assert loaded.tree[1].keyframes == node.keyframes
    for kept in (memory, loaded):
        assert kept.undo() and not len(kept.living())
        assert kept.redo() and len(kept.living()) == node.written
        assert kept.retract() and not len(kept.store) and kept.store.keyframes.count == 0
        kept.write(view)
        assert len(kept.living()) == H * W


def test_a_budget_keeps_both_layers_of_the_newest_view() -> None:
    memory, view = layered()
    memory.config = replace(memory.config, budget_mib=memory.store.used_bytes / 2**20)
    turned = camera_at(0.0, 0.0, 1.6, 90.0, size=(8 * H, 8 * W))
    layer = backdrop(turned, torch.as_tensor(view.latents), torch.as_tensor(view.inverse_depth), EVERYWHERE)
    report = memory.write(LatentView(turned, view.latents, view.inverse_depth), backdrop=layer)
    assert report.tokens_evicted > 0
    newest = memory.tree[memory.current]
    assert len(newest.keyframes) == 2
    assert sum(int(memory.store.spans.rows[k, 1]) for k in newest.keyframes) == newest.written == report.tokens_written


@pytest.mark.parametrize(("biome", "seed"), [("meadow", 1_000_100), ("snow", 1_000_102)])
def test_what_is_behind_has_the_colours_of_what_is_truly_there(biome: str, seed: int) -> None:
    model, world = EmbeddedModel.load(), World(WorldSpec(biome, seed))
    camera = world.spawn(448, 256)
    pose = camera.c2w.copy()
    pose[:3, 3] += 4.0 * camera.forward
    ahead = camera.posed(pose)
    readouts = []
    for memory in ("append", "latent"):
        explorer = Explorer(model, ExplorerConfig(biome=biome, memory=memory, fine=False), world)
        explorer.begin(camera, explorer.first_view(camera))
        readouts.append(explorer.memory.readout(ahead).readout)
    seen, behind = readouts
    taken, known = (behind.coverage > 0.99) & (seen.coverage < 0.5), seen.coverage > 0.99
    assert int(taken.sum()) > 0.5 * int((seen.coverage < 0.5).sum()) > 10
    lent = avg_pool2d(model.decode(behind.features[None]), 8)[0]
    true = avg_pool2d(world.render(ahead).rgb[None], 8)[0]
    guess = lent[:, known].mean(1)[:, None, None]
    error, chance = ((x - true).abs().mean(0)[taken].mean() for x in (lent, guess))
    assert float(error) < 0.75 * float(chance)


def test_a_thing_that_stands_alone_is_not_lent_and_too_little_is_no_background() -> None:
    row = np.full((H, W), 1 / 400, np.float32)
    row[:, 8:13] = 1 / 10  # a tree
    row[:, 13:15] = 1 / 70  # a tower beside it
    _, column = beside(row, np.ones((H, W), dtype=bool))
    assert set(column[3, 8:13]) <= {*range(8), *range(15, W)} - {-1}
    row[:, :8], row[:, 13:] = 1 / 9, 1 / 9
    row[:, 13] = 1 / 400  # all that is seen behind a wood is one gap
    _, column = beside(row, np.ones((H, W), dtype=bool))
    assert (column == -1).all()


def test_of_a_thing_behind_a_thing_the_rest_is_there_as_wide_as_it_is_seen() -> None:
    latents, inverse = post(far=0.0)
    inverse[:, 2 * POST.stop : 2 * POST.stop + 4] = 0.2  # two cells of a post at five metres, before the sky
    layer = backdrop(CAMERA, latents, inverse, EVERYWHERE)
    assert layer is not None
    behind = torch.as_tensor(layer.inverse_depth)[::2, 2 * POST.start : 2 * POST.stop : 2]
    assert behind.tolist() == [pytest.approx([0.0, 0.2, 0.2])] * H
    assert torch.as_tensor(layer.latents)[0, :, POST][:, 1:].tolist() == [[14.0, 13.0]] * H


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_only_what_hides_a_thing_is_lent_its_rest_and_of_several_the_nearest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    nearest = np.repeat(rng.choice([0.5, 0.3, 0.1, 0.05], (4, 12)), 2, axis=1)
    things = np.repeat(rng.random((4, 12)) < 0.7, 2, axis=1)
    source = hidden_halves(nearest, things)
    y, x = np.nonzero(source >= 0)
    lender = source[y, x]
    assert things[y, lender].all()
    assert (nearest[y, x] > HIDES * nearest[y, lender]).all()
    for row, here, there in zip(y, x, lender, strict=True):
        seam = (here + there + np.sign(there - here)) // 2  # the cell of the thing that is next to what hides it
        between = slice(min(seam, there), max(seam, there) + 1)
        assert (nearest[row, between] == nearest[row, there]).all() and things[row, between].all()
