"""What a near thing uncovers: its ghost is not read as background, and the background goes on behind it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import avg_pool2d

from engine.camera import Camera
from engine.disocclusion import (
    BACKGROUND,
    NEARER,
    REACH_CELLS,
    SUGGESTED,
    extend_background,
    lend,
    lenders,
    without_suggested,
)
from engine.explorer import Explorer, ExplorerConfig
from engine.memory import LatentView
from engine.models.embedded import EmbeddedModel
from engine.worlds import World, WorldSpec
from tests.engine.memory_support import (
    GROUND,
    box_inverse_depth,
    camera_at,
    memory_of,
    planes_inverse_depth,
    random_latents,
    readout_of,
    samples_of,
)

WALL = (np.array([1.0, 0.0, 0.0]), 12.0)
POST = np.array([3.0, -0.3, 0.0]), np.array([3.4, 0.42, 6.0])


def with_post(camera: Camera, seed: int = 0, *, post: bool = True) -> LatentView:
    """A post on the ground before a wall."""
    grid = samples_of(camera)
    inverse = planes_inverse_depth(grid, (GROUND, WALL))
    if post:
        inverse = np.maximum(inverse, box_inverse_depth(grid, *POST))
    return LatentView(camera, random_latents(seed, camera), inverse)


def test_a_view_still_reads_back_whole_beside_its_edges() -> None:
    camera = camera_at(0, 0, 1.6)
    samples = memory_of([with_post(camera)]).sample_map(camera)
    assert samples.covered.all()


def test_what_stood_beside_a_near_thing_is_unknown_once_that_has_passed() -> None:
    """A token that holds the post's edge and the wall is not what the wall looks like."""
    first, aside = camera_at(0, 0, 1.6), camera_at(0, 1.2, 1.6)
    memory = memory_of([with_post(first)])
    samples = memory.sample_map(aside)
    shown = samples.token[samples.covered]
    geometry = memory.store.inverse_depth(shown.numpy())
    straddles = torch.from_numpy(geometry.max(1) > 1.5 * geometry.min(1))
    far = samples.inverse_depth[samples.covered] < 1.0 / 8.0
    beside = torch.nn.functional.max_pool2d(samples.inverse_depth[None], 5, 1, 2)[0][samples.covered] > 1.0 / 6.0
    assert bool((straddles & far).any()), "at the edge itself it still answers for both"
    assert bool(beside[straddles & far].all())
    assert 0.5 < float(samples.covered.float().mean()) < 1.0


def test_who_saw_the_background_alone_is_asked_first() -> None:
    first, aside = camera_at(0, 0, 1.6), camera_at(0, 1.2, 1.6)
    memory = memory_of([with_post(first), with_post(camera_at(0, 0.4, 1.6), 1, post=False)], policy="append")
    samples = memory.sample_map(aside)
    wall = samples.covered & (samples.inverse_depth < 1.0 / 8.0)
    geometry = memory.store.inverse_depth(samples.token[wall].numpy())
    assert float((geometry.max(1) > 1.5 * geometry.min(1)).mean()) < 0.02


def scene(holes: slice) -> tuple[torch.Tensor, torch.Tensor]:
    """Coverage (4, 20) and inverse depth (8, 40): a thing at 2 m left of a hole, ground at 20 m right of it."""
    coverage, inverse = torch.ones(4, 20), torch.full((8, 40), 0.05)
    inverse[:, : 2 * holes.start] = 0.5
    coverage[:, holes] = 0.0
    inverse[:, 2 * holes.start : 2 * holes.stop] = 0.0
    return coverage, inverse


def test_the_background_goes_on_behind_a_near_thing_as_in_a_mirror() -> None:
    coverage, inverse = scene(slice(5, 8))
    column = lenders(coverage, inverse)
    assert column[:, 5:8].tolist() == [[11, 10, 9]] * 4
    assert bool((column[:, :5] == -1).all()) and bool((column[:, 8:] == -1).all())
    cells = torch.arange(80.0).reshape(4, 20)
    assert lend(cells, column)[0, 4:9].tolist() == [4.0, 11.0, 10.0, 9.0, 8.0]
    samples = torch.arange(320.0).reshape(8, 40)
    assert lend(samples, column, 2)[1, 10:12].tolist() == [62.0, 63.0]


def test_a_thing_before_the_background_is_not_lent() -> None:
    coverage, inverse = scene(slice(5, 8))
    inverse[:, 2 * 8 : 2 * 9] = 0.1  # a post right beside the hole
    inverse[:, 2 * 10 : 2 * 11] = 0.1
    assert set(lenders(coverage, inverse)[0, 5:8].tolist()) == {9}


def test_what_has_nothing_on_one_side_can_be_left_to_others() -> None:
    coverage, inverse = scene(slice(5, 8))
    coverage[2:, :5] = 0.0
    between = lenders(coverage, inverse, between=True)
    assert bool((between[:2, 5:8] >= 0).all()) and bool((between[2:] == -1).all())
    assert bool((lenders(coverage, inverse)[2:, :8] >= 0).all())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_only_known_cells_of_the_same_row_within_reach_are_lent_and_only_to_unknown_ones(
    seed: int, between: bool
) -> None:
    rng = np.random.default_rng(seed)
    coverage = torch.from_numpy((rng.random((6, 30)) < rng.uniform(0.2, 0.95)).astype(np.float32))
    depth = rng.choice([0.0, 0.004, 0.02, 0.05, 0.5], (6, 30)).astype(np.float32)
    inverse = torch.from_numpy(depth).repeat_interleave(2, 0).repeat_interleave(2, 1)
    column = lenders(coverage, inverse, between=between)
    taken = column >= 0
    assert not bool((taken & (coverage >= 0.5)).any())
    for y, x in torch.nonzero(taken).tolist():
        lender = int(column[y, x])
        assert coverage[y, lender] == 1.0 and abs(lender - x) < 2 * REACH_CELLS
        near = depth[y, max(0, x - REACH_CELLS) : x + REACH_CELLS + 1]
        known = coverage[y, max(0, x - REACH_CELLS) : x + REACH_CELLS + 1].numpy() == 1.0
        assert depth[y, lender] <= max(NEARER * near[known].max(), BACKGROUND)


@pytest.mark.parametrize(("biome", "seed"), [("meadow", 1_000_100), ("snow", 1_000_102)])
def test_what_is_lent_has_the_colours_of_what_is_truly_there(biome: str, seed: int) -> None:
    model, world = EmbeddedModel.load(), World(WorldSpec(biome, seed))
    camera = world.spawn(448, 256)
    explorer = Explorer(model, ExplorerConfig(biome=biome, memory="append", fine=False), world)
    explorer.begin(camera, explorer.first_view(camera))
    pose = camera.c2w.copy()
    pose[:3, 3] += 4.0 * camera.forward
    ahead = camera.posed(pose)
    readout = explorer.memory.readout(ahead).readout
    extended = extend_background(readout, between=True)
    taken, known = (extended.coverage == SUGGESTED) & (readout.coverage < 0.5), readout.coverage > 0.99
    assert int(taken.sum()) > 20
    assert torch.equal(extended.features[:, known], readout.features[:, known])
    lent = avg_pool2d(model.decode(extended.features[None]), 8)[0]
    true = avg_pool2d(world.render(ahead).rgb[None], 8)[0]
    guess = lent[:, known].mean(1)[:, None, None]
    error, chance = ((x - true).abs().mean(0)[taken].mean() for x in (lent, guess))
    assert float(error) < 0.75 * float(chance)


def test_a_tower_beside_what_is_uncovered_is_not_there_twice() -> None:
    """The hills behind it go on; a wood, which is wider, goes on itself; and what has nothing else takes the tower."""
    tree, tower, hills = 1 / 10, 1 / 120, 1 / 400

    def source(row: list[float], hole: int) -> int:
        inverse = torch.tensor([row] * 3).repeat_interleave(2, 0).repeat_interleave(2, 1)
        coverage = torch.ones(3, len(row))
        coverage[:, hole] = 0.0
        return int(lenders(coverage, inverse)[1, hole])

    assert source([tree] * 4 + [0.0] + [tower] * 2 + [hills] * 10, 4) >= 7
    assert source([tree] * 4 + [0.0] + [tower] * 8 + [hills] * 4, 4) in range(5, 13)
    assert source([tree] * 4 + [0.0] + [tower] * 2, 4) in (5, 6)


def test_what_is_only_suggested_is_not_remembered() -> None:
    known = torch.ones(16, 28, dtype=torch.bool)
    known[:, 12:14] = False
    readout = readout_of(torch.randn(16, 16, 28), torch.full((32, 56), 0.05), known)
    believed = extend_background(readout)
    assert bool((believed.coverage[:, 12:14] == SUGGESTED).all()) and bool(believed.covered.all())
    writable = without_suggested(believed.inverse_depth, believed, readout.covered)
    assert torch.equal(writable.isnan(), ~readout.covered)
    assert torch.equal(writable[readout.covered], believed.inverse_depth[readout.covered])
