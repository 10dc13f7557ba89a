"""Far ridges beyond a seam: they run out, they are not cut off."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from engine.memory import Readout
from engine.places.skyline import FAR, STEEPEST, continued, lowered, ridges
from tests.engine.memory_support import readout_of

H, W, SEAM = 20, 30, 14
RIDGE = 0.5 * FAR


def view(skyline: list[int], known: Tensor, value: float) -> Readout:
    """Sky above, far terrain from row ``skyline[x]`` down; its latents are ``value`` there and 0 in the sky."""
    rows = torch.arange(H)[:, None]
    terrain = (rows >= torch.tensor(skyline)[None]) & known
    ground = terrain.repeat_interleave(2, 0).repeat_interleave(2, 1)
    return readout_of(value * terrain[None].float().repeat(3, 1, 1), RIDGE * ground, known)


def heights(readout: Readout) -> list[int]:
    """The row where terrain begins in each column."""
    sky = readout.sky[::2, ::2]
    return [int((~sky[:, x]).int().argmax()) for x in range(W)]


def everywhere() -> Tensor:
    return torch.ones(H, W, dtype=torch.bool)


def left() -> Tensor:
    known = everywhere()
    known[:, SEAM:] = False
    return known


def test_a_places_mountain_does_not_rise_from_the_seam_like_a_wall() -> None:
    memory, place = view([15] * W, left(), 1.0), view([3] * W, everywhere(), 2.0)
    found = lowered(place, ridges(memory, left()).too_high)
    for x, row in enumerate(heights(found)):
        apart = x - SEAM + 1
        assert row == (3 if x < SEAM else max(3, 15 - int(STEEPEST * apart)))
    changed = heights(found)[SEAM]
    assert torch.all(found.features[:, 3:changed, SEAM] == 0.0)  # the sky's own latents
    assert torch.all(found.inverse_depth[: 2 * changed, 2 * SEAM] == 0.0)
    assert torch.equal(found.features[:, 15:], place.features[:, 15:])


def test_a_memorys_mountain_runs_out_instead_of_breaking_off() -> None:
    memory, place = view([4] * W, left(), 1.0), view([15] * W, everywhere(), 2.0)
    found = continued(place, memory, left(), ridges(memory, left()))
    skyline = heights(found)
    assert skyline[:SEAM] == [15] * SEAM  # what is known there is the memory's own to show
    slope = skyline[SEAM:]
    assert slope == sorted(slope)
    assert max(b - a for a, b in pairwise(slope)) <= 1
    assert slope[0] <= 5
    assert slope[-1] > 9
    assert torch.all(found.features[:, slope[0] : 15, SEAM] == 1.0)
    assert torch.allclose(found.inverse_depth[2 * slope[0] : 30, 2 * SEAM], torch.tensor(RIDGE))


def test_a_crown_at_ones_feet_tells_nothing_of_the_skyline() -> None:
    """Between it and the sky nothing is known: the place's mountains rise there as they do."""
    known = everywhere()
    known[9:15] = known[:, :3] = False
    found = ridges(view([15] * W, known, 1.0), known)
    assert not bool(found.too_high.any()) and not bool(found.goes_on.any())


def test_near_things_stand_where_they_stand() -> None:
    memory, place = view([15] * W, left(), 1.0), view([3] * W, everywhere(), 2.0)
    place.inverse_depth[:] = torch.where(place.sky, 0.0, 4.0 * FAR)
    found = lowered(place, ridges(memory, left()).too_high)
    assert heights(found) == heights(place)


def test_without_a_seam_nothing_changes() -> None:
    memory, place = view([15] * W, everywhere(), 1.0), view([3] * W, everywhere(), 2.0)
    for known in (everywhere(), torch.zeros(H, W, dtype=torch.bool)):
        found = ridges(memory, known)
        assert heights(lowered(place, found.too_high)) == heights(place)
        assert heights(continued(place, memory, known, found)) == heights(place)
