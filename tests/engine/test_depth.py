"""Depth on its way into the memory."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.depth import filled, fit_log_depth, flying_samples, reconcile, sample_inverse_depth


def ground(rows: int = 32, columns: int = 48, height_m: float = 1.7) -> torch.Tensor:
    """Inverse depth (rows, columns) of a level ground with the horizon in the middle, sky above."""
    v = torch.arange(rows) + 0.5 - rows / 2
    return (v.clamp(min=0.0) / (height_m * rows))[:, None].expand(rows, columns).contiguous()


def test_samples_never_mix_near_and_far() -> None:
    depth_m = torch.full((16, 16), 50.0)
    depth_m[:, 7:] = 2.0
    depth_m[:4] = math.inf
    depth_m[12, 12] = math.nan
    inverse = sample_inverse_depth(depth_m, 4, 4)
    known = inverse[~inverse.isnan()]
    values = {round(float(value), 4) for value in known}
    assert values == {0.0, 0.02, 0.5}
    assert bool((inverse[0] == 0.0).all())


def test_unknown_depth_stays_unknown() -> None:
    depth_m = torch.tensor([[-1.0, 0.0], [math.nan, 4.0]]).repeat_interleave(4, 0).repeat_interleave(4, 1)
    inverse = sample_inverse_depth(depth_m, 2, 2)
    assert inverse.isnan().tolist() == [[True, True], [True, False]]
    assert float(inverse[1, 1]) == 0.25


@given(scale=st.floats(0.6, 1.6), shift=st.floats(-1.0, 1.0), outliers=st.integers(0, 150))
def test_scale_and_shift_are_found_among_outliers(scale: float, shift: float, outliers: int) -> None:
    generator = torch.Generator().manual_seed(outliers)
    imagined = torch.exp(-torch.rand(20, 30, generator=generator) * 3.0)
    known = torch.exp(scale * torch.log(imagined) - shift)
    flat = known.view(-1)
    flat[torch.randperm(600, generator=generator)[:outliers]] *= 6.0
    fit = fit_log_depth(imagined, known, torch.ones(20, 30, dtype=torch.bool))
    assert fit.scale == pytest.approx(scale, abs=0.05)
    assert fit.shift == pytest.approx(shift, abs=0.12)


def test_too_little_overlap_changes_nothing() -> None:
    overlap = torch.zeros(20, 30, dtype=torch.bool)
    overlap[0, :5] = True
    fit = fit_log_depth(torch.ones(20, 30), torch.full((20, 30), 2.0), overlap)
    assert (fit.scale, fit.shift, fit.samples) == (1.0, 0.0, 5)


def test_new_depth_joins_the_memory_without_a_seam() -> None:
    truth = ground()
    covered = torch.zeros_like(truth, dtype=torch.bool)
    covered[:, :30] = True
    known = torch.where(covered, truth, 0.0)
    known_sky = covered & (truth == 0.0)
    imagined = torch.where(truth > 0.0, truth * 1.4, 0.0)  # everything too near
    shown, writable, fit = reconcile(imagined, known, covered, known_sky)
    assert fit.samples > 100
    assert torch.equal(shown[:, :30], truth[:, :30])
    near = truth[:, 30:] > 0.0
    assert float((shown[:, 30:][near] / truth[:, 30:][near] - 1.0).abs().max()) < 0.02
    assert torch.equal(shown == 0.0, truth == 0.0)
    assert not writable.isnan().any()


def test_known_sky_stays_sky_and_known_surface_stays_put() -> None:
    imagined = torch.full((16, 16), 0.1)
    covered = torch.ones(16, 16, dtype=torch.bool)
    known = torch.zeros(16, 16)
    known[8:] = 0.3
    shown, _, _ = reconcile(imagined, known, covered, known == 0.0)
    assert torch.equal(shown, known)


def test_samples_between_near_and_far_are_not_written_where_new() -> None:
    inverse = torch.full((16, 24), 0.02)
    inverse[:, 12] = 0.25  # a soft silhouette
    inverse[:, 13:] = 0.5
    flying = flying_samples(inverse)
    assert flying[:, 12].all()
    assert int(flying.sum()) == 16
    nothing = torch.zeros_like(inverse, dtype=torch.bool)
    _, writable, _ = reconcile(inverse, torch.zeros_like(inverse), nothing, nothing)
    assert torch.equal(writable.isnan(), flying)
    _, writable, _ = reconcile(inverse, inverse, ~nothing, nothing)
    assert not writable.isnan().any()


def test_grazing_planes_do_not_fly() -> None:
    assert not flying_samples(ground()).any()
    sharp = torch.full((16, 24), 0.02)
    sharp[:, 12:] = 0.5
    assert not flying_samples(sharp).any()


@given(seed=st.integers(0, 10_000), known=st.integers(0, 60))
def test_holes_are_filled_from_beside(seed: int, known: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    inverse = torch.rand(6, 10, generator=generator)
    covered = torch.zeros(60, dtype=torch.bool)
    covered[torch.randperm(60, generator=generator)[:known]] = True
    covered = covered.view(6, 10)
    told = torch.where(covered, inverse, math.nan)
    whole = filled(told, covered)
    assert torch.equal(whole[covered], inverse[covered])
    assert bool(torch.isin(whole, inverse[covered]).all()) or (whole is told and known == 0)


def test_what_a_near_thing_uncovers_lies_behind_it() -> None:
    inverse = torch.full((4, 12), 0.1)
    inverse[:, :6] = 0.5
    covered = torch.ones(4, 12, dtype=torch.bool)
    covered[:, 6] = False
    assert bool((filled(inverse, covered)[:, 6] == 0.1).all())
