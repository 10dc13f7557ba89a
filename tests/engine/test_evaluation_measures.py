"""Figures against cases whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter

from engine.camera import Camera, c2w_from_angles
from engine.errors import InputError
from engine.evaluation.measures import (
    change,
    depth_error,
    flicker,
    laplacian_variance,
    look_of,
    mean_lab,
    sharpness_ratio,
)
from engine.evaluation.protocol import hole_rate
from engine.evaluation.settings import FIRST_SEED, EvaluationSettings
from engine.evaluation.statistics import bootstrap, mean_of, paired_difference
from engine.evaluation.visibility import Warp, seen_from, whole_cells
from engine.models.embedded import EmbeddedModel

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 255, (48, 64, 3), dtype=np.uint8)
SOFT = uniform_filter(NOISE, (3, 3, 1))


def camera(x: float = 0.0, yaw_deg: float = 0.0) -> Camera:
    return Camera.from_fov(c2w_from_angles(np.array([x, 0.0, 2.0]), yaw_deg, 0.0), 50.0, 64, 48)


def wall(view: Camera, x: float = 10.0) -> torch.Tensor:
    """z-depth (H, W) of the plane at world ``x``."""
    rays = view.rays()
    with np.errstate(divide="ignore"):
        z = (x - view.position[0]) / rays[..., 0]
    return torch.from_numpy(np.where(z > 0, z, np.inf).astype(np.float32))


def test_sharpness_falls_with_blur_and_is_one_for_the_truth_itself() -> None:
    assert laplacian_variance(np.full((20, 20, 3), 90, np.uint8)) == 0.0
    assert sharpness_ratio(NOISE, NOISE) == pytest.approx(1.0)
    assert sharpness_ratio(SOFT, NOISE) < 0.2
    half = np.zeros(NOISE.shape[:2], bool)
    half[:, :32] = True
    mixed = np.concatenate([NOISE[:, :32], SOFT[:, 32:]], axis=1)
    assert sharpness_ratio(mixed, NOISE, half) == pytest.approx(1.0)
    assert sharpness_ratio(mixed, NOISE, ~half) < 0.2
    assert np.isnan(laplacian_variance(NOISE, np.zeros_like(half)))


def test_colour_is_cielab() -> None:
    white = mean_lab(np.full((8, 8, 3), 255, np.uint8))
    assert white == pytest.approx([100.0, 0.0, 0.0], abs=0.1)
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    assert mean_lab(red) == pytest.approx([53.2, 80.1, 67.2], abs=0.2)


def test_how_a_flight_changes_by_itself() -> None:
    dark = (NOISE // 2).astype(np.uint8)
    same, softer = (change([look_of(NOISE)] * 2, [look_of(image)] * 3) for image in (NOISE, dark))
    assert same.sharpness == 0.0 and np.array_equal(same.lab, np.zeros(3))
    assert softer.sharpness == pytest.approx(-2.0, abs=0.05)  # half the contrast, a quarter of the variance
    assert softer.lab == pytest.approx(mean_lab(dark) - mean_lab(NOISE)) and softer.lab[0] < -10.0
    flat = look_of(np.full_like(NOISE, 90))
    assert np.isnan(change([flat], [look_of(NOISE)]).sharpness)


def test_depth_error_of_a_known_factor() -> None:
    truth = wall(camera())
    truth[:16] = torch.inf
    inverse = torch.where(torch.isinf(truth), 0.0, truth.reciprocal()).numpy()
    assert depth_error(inverse, truth).abs_rel == pytest.approx(0.0, abs=1e-6)
    found = depth_error(inverse / 1.1, truth)
    assert found.abs_rel == pytest.approx(0.1, rel=1e-3)
    assert found.within_1_25 == 1.0
    assert found.sky_iou == 1.0
    assert depth_error(inverse / 2.0, truth).within_1_25 == 0.0
    no_sky = np.where(inverse == 0.0, 0.01, inverse)
    assert depth_error(no_sky, truth).sky_iou == 0.0


def test_a_view_sees_itself_not_what_lies_behind_it_and_sky_by_direction_alone() -> None:
    here = camera()
    assert seen_from(here, wall(here), here, wall(here)).all()
    behind = camera(yaw_deg=180.0)
    assert not seen_from(here, wall(here), behind, wall(behind, -10.0)).any()
    sky = torch.full((48, 64), torch.inf)
    turned = camera(x=50.0, yaw_deg=20.0)
    share = seen_from(turned, sky, here, sky).float().mean()
    assert 0.3 < share < 0.9  # the part of the sky that the turn leaves in both views, however far apart they are
    assert not seen_from(here, sky, here, wall(here)).any()


def test_what_was_hidden_is_not_seen() -> None:
    near, far = camera(), camera()
    depth = wall(near)
    occluder = depth.clone()
    occluder[:, 20:30] = 3.0
    seen = seen_from(far, depth, near, occluder)
    assert not seen[:, 21:29].any()
    assert seen[:, 40:].all()
    cells = whole_cells(seen, 8)
    assert cells.shape == (6, 8)
    assert not cells[:, 3].any()
    assert cells[:, 6].all()


def test_a_warp_by_exact_depth_moves_the_picture_and_flicker_is_what_is_left() -> None:
    first, second = camera(), camera(x=1.0)
    pattern = 128 + 60 * np.sin(first.rays()[..., 1] * 10.0 * 1.2)  # painted on the wall at world x = 10
    painted = np.repeat(pattern[..., None], 3, axis=2).round().astype(np.uint8)
    nearer = 128 + 60 * np.sin(second.rays()[..., 1] * 9.0 * 1.2)
    repainted = np.repeat(nearer[..., None], 3, axis=2).round().astype(np.uint8)
    warp = Warp(first, wall(first), second, wall(second))
    assert warp.valid.mean() > 0.9
    assert np.abs(255 * warp(painted) - repainted)[warp.valid].mean() < 3.0
    steady, frozen = flicker(painted, repainted, warp), flicker(painted, painted, warp)
    assert steady < 3.0 < frozen  # a picture that does not move with its camera is not steady


def test_holes_count_only_where_something_was_seen() -> None:
    coverage = np.array([[1.0, 0.2], [0.0, 0.6]])
    assert hole_rate(coverage, np.array([[True, True], [False, False]])) == 0.5
    assert hole_rate(coverage, np.zeros((2, 2), bool)) is None


def test_bootstrap_intervals() -> None:
    values = RNG.normal(20.0, 1.0, 40)
    found = bootstrap([*values, None, float("nan")])
    assert found.n == 40
    assert found.low < found.mean < found.high
    assert found.high - found.low == pytest.approx(4 * 1.0 / 40**0.5, rel=0.4)
    assert bootstrap([*values]) == bootstrap([*values])
    single = bootstrap([3.0])
    assert (single.low, single.mean, single.high) == (3.0, 3.0, 3.0)
    assert bootstrap([None]).n == 0
    # Scenes differ by much more than variants do; paired, the difference is clear.
    scenes = RNG.normal(0.0, 10.0, 12)
    difference = paired_difference([*scenes, None], [*(scenes - 0.5), 1.0])
    assert difference.low == pytest.approx(0.5)
    assert difference.n == 12
    assert mean_of([None, float("inf")]) is None


def test_settings_refuse_what_cannot_be_and_identify_a_measurement(tiny_model: EmbeddedModel) -> None:
    with pytest.raises(InputError, match="variant 'cloud'"):
        EvaluationSettings(variants=("cloud",))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="scenes"):
        EvaluationSettings(scenes=0)
    with pytest.raises(InputError, match="odd number"):
        EvaluationSettings(loop_frames=8)
    assert FIRST_SEED >= 1_000_000
    base = EvaluationSettings.quick()
    same = EvaluationSettings.quick().fingerprint(tiny_model.spec, "meadow")
    assert base.fingerprint(tiny_model.spec, "meadow") == same
    others = {
        base.fingerprint(tiny_model.spec, "snow"),
        EvaluationSettings(loop_frames=27).fingerprint(tiny_model.spec, "meadow"),
        base.fingerprint(EmbeddedModel.tiny(seed=1).spec, "meadow"),
        base.fingerprint(replace(tiny_model.spec, arithmetic="other"), "meadow"),
    }
    assert same not in others
    assert len(others) == 4
