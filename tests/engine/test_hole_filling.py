"""Holes are filled from around them, and what is known is not touched."""

from __future__ import annotations

import torch

from engine.hole_filling import fill_holes


def test_what_is_known_stays_and_holes_take_the_colour_around_them() -> None:
    rgb = torch.full((3, 40, 56), 0.6)
    rgb[:, :, 28:] = 0.2
    mask = torch.ones(40, 56, dtype=torch.bool)
    mask[5:12, 4:11] = False
    mask[20:33, 40:50] = False
    filled = fill_holes(rgb * mask, mask)
    assert torch.equal(filled[:, mask], (rgb * mask)[:, mask])
    assert (filled[:, 5:12, 4:11] - 0.6).abs().max() < 0.02
    assert (filled[:, 20:33, 40:50] - 0.2).abs().max() < 0.08


def test_nothing_known_and_everything_known_stay_as_they_are() -> None:
    rgb = torch.rand(3, 16, 24, generator=torch.Generator().manual_seed(0))
    everything = torch.ones(16, 24, dtype=torch.bool)
    assert torch.equal(fill_holes(rgb, everything), rgb)
    assert torch.equal(fill_holes(rgb, ~everything), rgb)
    one = ~everything
    one[3, 4] = True
    assert torch.allclose(fill_holes(rgb, one), rgb[:, 3, 4][:, None, None].expand_as(rgb), atol=1e-5)
