"""Gaps of a sample or two within one surface are closed; edges, holes and what is known stay as they are."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.cracks import ONE_SURFACE, WIDEST, closed
from engine.memory import LatentView, Readout
from tests.engine.memory_support import (
    camera_at,
    memory_of,
    planes_inverse_depth,
    random_latents,
    readout_of,
    samples_of,
)

H, W = 6, 8


def readout(inverse_depth: torch.Tensor, covered: torch.Tensor) -> Readout:
    return readout_of(torch.ones(3, H, W), inverse_depth, covered)


def surface(left: float = 0.1, right: float = 0.1) -> tuple[torch.Tensor, torch.Tensor]:
    """A crack of a sample between two sides: inverse depth and what is covered."""
    inverse, covered = torch.full((2 * H, 2 * W), left), torch.ones(2 * H, 2 * W, dtype=torch.bool)
    inverse[:, 7:] = right
    covered[:, 6] = False
    return inverse, covered


def test_a_crack_in_a_surface_and_in_the_sky_is_closed() -> None:
    for left, right, between in ((0.1, 0.12, 0.11), (0.0, 0.0, 0.0)):
        found = closed(readout(*surface(left, right)))
        assert bool(found.covered.all()) and bool((found.coverage == 1.0).all())
        assert torch.allclose(found.inverse_depth[:, 6], torch.tensor(between))
        assert bool((found.sky[:, 6] == (left == 0.0)).all())


def test_between_near_and_far_nothing_is_closed() -> None:
    for left, right in ((0.1, 0.2), (0.0, 0.1)):
        before = readout(*surface(left, right))
        found = closed(before)
        assert torch.equal(found.covered, before.covered) and torch.equal(found.inverse_depth, before.inverse_depth)


def test_empty_cells_stay_holes() -> None:
    inverse, covered = surface()
    covered[:, 6:8] = False
    before = readout(inverse, covered)
    assert closed(before) is before


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_what_is_closed_lies_between_what_is_beside_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    depth = rng.choice([0.0, 0.1, 0.11, 0.12, 0.5], (2 * H, 2 * W)).astype(np.float32)
    before = readout(torch.from_numpy(depth), torch.from_numpy(rng.random((2 * H, 2 * W)) < 0.7))
    found = closed(before)
    assert torch.equal(found.inverse_depth[before.covered], before.inverse_depth[before.covered])
    assert torch.equal(found.features, before.features)
    assert torch.allclose(found.coverage, found.covered.float().view(H, 2, W, 2).mean((1, 3)))
    for y, x in torch.nonzero(found.covered & ~before.covered).tolist():
        assert 0.0 < before.coverage[y // 2, x // 2] < 1.0
        near = np.s_[max(0, y - WIDEST) : y + WIDEST + 1, max(0, x - WIDEST) : x + WIDEST + 1]
        values = depth[near][before.covered.numpy()[near]]
        assert values.min() <= found.inverse_depth[y, x] <= values.max()
        assert values.max() == 0.0 or found.inverse_depth[y, x] == 0.0 or values.max() > 0.0


def test_strips_that_a_slow_look_downwards_adds_leave_no_gaps() -> None:
    """Cells that are known by half are never written again, so the gap between two strips stays in the memory."""
    memory = memory_of([])
    for step in range(10):
        camera = camera_at(0, 0, 1.6, pitch_deg=-10 - 2.7 * step, size=(128, 96))
        inverse = planes_inverse_depth(samples_of(camera))
        seen = memory.sample_map(camera)
        inverse[-2:] = np.where(seen.covered.numpy()[-2:], inverse[-2:], np.nan)  # the outermost row is not trusted
        memory.write(LatentView(camera, random_latents(step, camera), inverse))
    before = memory.readout_learned(camera)
    found = closed(before)
    gaps, left = (float((part.coverage[:-2] < 1.0).float().mean()) for part in (before, found))
    assert gaps > 0.05 and left < 0.2 * gaps
    assert found.samples is before.samples


def test_neighbours_count_as_one_surface_up_to_a_quarter() -> None:
    for ratio, joins in ((ONE_SURFACE * 0.99, True), (ONE_SURFACE * 1.01, False)):
        assert bool(closed(readout(*surface(0.1, 0.1 * ratio))).covered.all()) == joins
