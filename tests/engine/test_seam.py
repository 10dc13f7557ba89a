"""Where a place meets what is remembered: no straight edge, and nothing done where none is needed."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from engine.memory import Readout
from engine.places.seam import REACH_CELLS, joined
from tests.engine.memory_support import camera_at, readout_of

H, W, SEAM = 16, 32, 12
STD = torch.ones(3, 1, 1)
CAMERA = camera_at(0.0, 0.0, 10.0, pitch_deg=-90.0, size=(8 * H, 8 * W))
"""Looking down, to which what is equally far is level."""


def view(value: float, known: Tensor, inverse_depth: float) -> Readout:
    """Latents that are ``value`` everywhere, of one distance; 0 is sky."""
    return readout_of(torch.full((3, H, W), value), torch.full((2 * H, 2 * W), inverse_depth), known)


def left() -> Tensor:
    return (torch.arange(W) < SEAM).expand(H, W)


def everywhere() -> Tensor:
    return torch.ones(H, W, dtype=torch.bool)


def test_a_sky_goes_on_smoothly_and_fades() -> None:
    found = joined(view(0.0, everywhere(), 0.0), view(1.0, left(), 0.0), left(), CAMERA, STD).features[0]
    beyond = found[:, SEAM:].mean(0)
    assert float(beyond[0]) > 0.85
    steps = beyond[:-1] - beyond[1:]
    assert bool((steps > -1e-3).all())
    assert float(steps.max()) < 0.12
    assert float(beyond[-1]) < 0.5


def test_ground_goes_on_in_patches() -> None:
    place, memory = view(0.0, everywhere(), 0.1), view(1.0, left(), 0.1)
    memory.features[:, ::2] *= -1.0  # on average as the place is
    found = joined(place, memory, left(), CAMERA, STD).features[0]
    beside, inside = found[:, SEAM : SEAM + 2], found[:, SEAM + 2 : SEAM + int(REACH_CELLS)]
    assert float(beside.abs().mean()) > 0.6
    assert float(inside.abs().std(0).mean()) > 0.1  # some rows are the memory's, some the place's
    assert float(found[:, SEAM + 2 * int(REACH_CELLS) :].abs().max()) < 0.15


def test_another_light_on_the_ground_fades() -> None:
    found = joined(view(0.0, everywhere(), 0.1), view(1.0, left(), 0.1), left(), CAMERA, STD).features[0]
    beyond = found[:, SEAM:].mean(0)
    assert float(beyond[0]) > 0.85 and float((beyond[:-1] - beyond[1:]).max()) < 0.15 and float(beyond[-1]) < 0.5


def test_a_tree_is_not_drawn_out_over_sand() -> None:
    place = view(0.0, everywhere(), 0.1)
    for distance in (0.0, 0.5, 0.01):  # sky, a near thing, far terrain beside ground at ten metres
        assert torch.equal(joined(place, view(1.0, left(), distance), left(), CAMERA, STD).features, place.features)


def test_a_place_that_goes_on_from_itself_needs_no_joining() -> None:
    for inverse_depth in (0.0, 0.1):
        place = view(0.0, everywhere(), inverse_depth)
        place.features[:] = torch.rand(H, W, generator=torch.Generator().manual_seed(0))
        memory = replace(view(0.0, left(), inverse_depth), features=place.features * left())
        assert torch.allclose(joined(place, memory, left(), CAMERA, STD).features, place.features, atol=1e-6)


def test_what_is_known_stays_the_memorys_to_show() -> None:
    place, memory = view(0.0, everywhere(), 0.1), view(1.0, left(), 0.1)
    assert torch.equal(joined(place, memory, left(), CAMERA, STD).features[:, :, :SEAM], place.features[:, :, :SEAM])
    assert joined(place, view(1.0, everywhere(), 0.1), everywhere(), CAMERA, STD) is place
    nothing = torch.zeros(H, W, dtype=torch.bool)
    assert joined(place, view(1.0, nothing, 0.1), nothing, CAMERA, STD) is place
