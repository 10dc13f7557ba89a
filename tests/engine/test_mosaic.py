"""Views put together from several memories: what they show, what they look like, and that it is read once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.camera import Camera, c2w_from_angles
from engine.cells import in_samples
from engine.errors import InputError
from engine.explorer import Explorer, ExplorerConfig
from engine.memory import LatentMemory, Mosaic, Tile
from engine.models.embedded import EmbeddedModel
from engine.worlds import World, WorldSpec
from tests.engine.memory_support import camera_at, memory_of
from tests.engine.test_memory_readout import cameras, rough_view

REACH = 3
"""Cells that the network looks around one."""


class Counting:
    """The network of a memory, that counts how often it is asked."""

    def __init__(self, memory: LatentMemory) -> None:
        assert memory.network is not None
        self.network, self.asked = memory.network, 0
        memory.network = self

    def read(self, *what: object) -> torch.Tensor:
        self.asked += 1
        return self.network.read(*what)  # type: ignore[arg-type]


def two_memories() -> tuple[LatentMemory, LatentMemory, Camera]:
    here, there = camera_at(0, 0, 1.6, 0.0, -10.0, (64, 112)), camera_at(0.3, 0.1, 1.7, 4.0, -10.0, (64, 112))
    one, other = (memory_of([rough_view(here, seed, 2)]) for seed in (1, 2))
    return one, other, there


def left_half(like: torch.Tensor) -> torch.Tensor:
    cells = torch.zeros_like(like, dtype=torch.bool)
    cells[:, : like.shape[1] // 2] = True
    return cells


def test_a_mosaic_shows_each_cell_as_its_memory_does() -> None:
    one, other, camera = two_memories()
    under, over = one.sight(camera), other.sight(camera)
    cells = left_half(under.coverage)
    both = Mosaic.of(one, under).laid(Tile(other, over, cells))
    assert torch.equal(both.sight.coverage, torch.where(cells, over.coverage, under.coverage))
    fine = in_samples(cells, under.covered)
    assert torch.equal(both.sight.inverse_depth, torch.where(fine, over.inverse_depth, under.inverse_depth))
    assert not both.sight.features.any(), "nothing was read yet"
    middle = cells.shape[1] // 2
    alone = other.resampled(over).features, one.resampled(under).features
    for columns, told in zip((np.s_[: middle - REACH], np.s_[middle + REACH :]), alone, strict=True):
        assert torch.allclose(both.readout.features[:, :, columns], told[:, :, columns], atol=1e-5)
    assert torch.equal(both.readout.coverage, both.sight.coverage)


def test_a_view_of_one_memory_is_what_its_readout_is() -> None:
    one, _, camera = two_memories()
    view, readout = Mosaic.of(one, one.sight(camera)), one.readout(camera)
    assert torch.allclose(view.readout.features, readout.features, atol=1e-6)
    assert torch.equal(view.readout.exact, readout.exact)
    assert Mosaic(readout).readout is readout, "what was read stays as it is"


def test_it_is_read_once_and_only_when_asked() -> None:
    one, other, camera = two_memories()
    counting = Counting(one)
    other.network = one.network
    cells = left_half(one.sight(camera).coverage)
    both = Mosaic.of(one, one.sight(camera)).laid(Tile(other, other.sight(camera), cells))
    assert counting.asked == 0
    assert both.readout is both.readout
    assert counting.asked == 1
    again = both.laid(Tile(one, one.sight(camera), ~cells))
    known = both.readout.features[:, cells]
    assert torch.equal(again.readout.features[:, cells], known), "what was read is not read again"
    assert counting.asked == 2


def test_a_tile_is_seen_in_its_light_and_stored_tokens_too() -> None:
    one, other, _ = two_memories()
    home = camera_at(0, 0, 1.6, 0.0, -10.0, (64, 112))  # where both were seen from: tokens are shown as they are
    under, over = one.sight(home), other.sight(home)
    assert float((over.exact > 0.0).float().mean()) > 0.3
    cells = left_half(under.coverage)
    light = torch.linspace(-1.0, 1.0, len(under.features))[:, None, None].expand_as(under.features)
    plain = Mosaic.of(one, under).laid(Tile(other, over, cells)).readout
    lit = Mosaic.of(one, under).laid(Tile(other, over, cells, light)).readout
    shown = plain.coverage > 0.0
    assert torch.allclose((lit.features - plain.features)[:, cells & shown], light[:, cells & shown], atol=1e-5)
    assert torch.equal(lit.features[:, ~cells], plain.features[:, ~cells])
    assert not lit.features[:, ~shown].any()


def test_what_nobody_knows_stays_so() -> None:
    one, other, camera = two_memories()
    cells = left_half(one.sight(camera).coverage)
    view = Mosaic.of(one, one.sight(camera)).laid(Tile(other, other.sight(camera), cells)).without(cells)
    assert not view.sight.coverage[cells].any() and not view.readout.features[:, cells].any()
    assert bool(view.readout.coverage[~cells].any())
    nothing = view.without(~cells)
    assert not nothing.readout.features.any() and not nothing.readout.covered.any()


def test_a_memory_without_a_network_cannot_be_read() -> None:
    one, _, camera = two_memories()
    one.network = None
    view = Mosaic.of(one, one.sight(camera))
    with pytest.raises(InputError, match="readout network"):
        _ = view.readout


@settings(max_examples=12, deadline=None)
@given(st.lists(cameras, min_size=1, max_size=2), cameras, st.integers(0, 2**31), st.floats(0.02, 0.9))
def test_of_what_is_asked_for_alone_is_shown_what_all_of_it_shows(
    sources: list[Camera], target: Camera, seed: int, share: float
) -> None:
    memory = memory_of([rough_view(camera, index, 2) for index, camera in enumerate(sources)], policy="append")
    whole = memory.sight(target)
    only = torch.from_numpy(np.random.default_rng(seed).uniform(size=tuple(whole.coverage.shape)) < share)
    part = memory.sight(target, only=only)
    fine = in_samples(only, whole.covered)
    assert whole.samples is not None and part.samples is not None
    assert torch.equal(part.samples.token[fine], whole.samples.token[fine])
    assert torch.equal(part.samples.uv[:, fine], whole.samples.uv[:, fine])
    assert torch.equal(part.coverage, torch.where(only, whole.coverage, 0.0))
    assert torch.equal(part.inverse_depth, torch.where(fine, whole.inverse_depth, 0.0))
    assert torch.equal(part.token[only], whole.token[only])
    assert not part.samples.covered[~fine].any()


def test_what_was_known_of_a_frame_can_be_looked_at_when_its_tokens_had_to_leave() -> None:
    """In a building it is read when somebody asks, which may be after the memory was cut down to its budget."""
    model = EmbeddedModel.load()
    world = World(WorldSpec("interior", 1_000_404, "noon"))
    start = world.spawn(448, 256)
    explorer = Explorer(model, ExplorerConfig(biome="interior", fine=False), world)
    explorer.begin(start, explorer.first_view(start))
    other = explorer.fork()
    used_mib = other.memory.stats().mib
    other.set_budget(0.5 * used_mib)
    aside = start.posed(c2w_from_angles(start.position + 0.5 * start.forward, start.yaw_deg + 20.0, 0.0))
    results = [one.step(aside) for one in (explorer, other)]
    assert np.array_equal(results[0].rgb, results[1].rgb)
    assert other.memory.stats().mib < 0.6 * used_mib
    known = [one.last_readout for one in (explorer, other)]
    assert known[0] is not None and known[1] is not None
    assert torch.equal(known[0].features, known[1].features)
