"""Depth on its way into the memory: sampled without blending across edges, made to agree with what is remembered.

All maps are *inverse z-depth* in 1/m on the grid of geometry samples ``(h*s, w*s)``; 0 is sky, NaN is unknown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SKY_INVERSE_DEPTH = 1.0 / 4000.0
"""What is farther than 4 km is sky: its parallax is far below a cell."""

SMOOTH_RATIO = 1.1
"""Inverse depths that differ by less lie on one surface."""

MIN_OVERLAP = 24
"""Fewer common samples than this say nothing about a scale."""

MAX_FITTED = 1500
"""More samples than this say nothing new about a line; they are thinned out evenly."""


@dataclass(frozen=True)
class DepthFit:
    """``log(depth in memory) = scale * log(depth imagined) + shift``; ``samples`` common samples, ``residual`` their
    median |error| after.
    """

    scale: float = 1.0
    shift: float = 0.0
    samples: int = 0
    residual: float = 0.0


def sample_inverse_depth(depth_m: Tensor, rows: int, columns: int) -> Tensor:
    """``depth_m (H, W)`` z-depth (inf is sky; NaN or <= 0 unknown) -> inverse depth ``(rows, columns)``.

    A sample that lies where four pixels meet takes their mean where they agree within 10 % (exact for planes) and the
    nearest surface otherwise: averaging across an edge would invent surfaces between near and far. Elsewhere it takes
    the pixel under it.
    """
    height, width = depth_m.shape
    inverse = depth_m.float().reciprocal()
    inverse = torch.where(torch.isfinite(inverse) & (inverse >= 0.0), inverse, inverse.new_tensor(float("nan")))
    inverse = torch.where(inverse < SKY_INVERSE_DEPTH, 0.0, inverse)  # NaN compares false and stays
    (top, bottom), (left, right) = _meeting_pixels(height, rows), _meeting_pixels(width, columns)
    corners = torch.stack(
        [
            inverse[i[:, None].to(inverse.device), j[None, :].to(inverse.device)]
            for i in (top, bottom)
            for j in (left, right)
        ]
    )
    nearest = corners.amax(0)  # NaN spreads: a sample beside an unknown pixel is unknown
    return torch.where(nearest <= SMOOTH_RATIO * corners.amin(0), corners.mean(0), nearest)


def _meeting_pixels(pixels: int, samples: int) -> tuple[Tensor, Tensor]:
    """The pixels on both sides of every sample's centre, the same pixel twice where the centre lies inside one:
    (samples,) each.
    """
    centre = (torch.arange(samples, dtype=torch.float64) + 0.5) * pixels / samples
    after = centre.floor().long().clamp_(max=pixels - 1)
    before = torch.where(centre == after, after - 1, after).clamp_(min=0)
    return before, after


def fit_log_depth(imagined: Tensor, known: Tensor, overlap: Tensor) -> DepthFit:
    """Robust line through log-depths over ``overlap``.

    Args:
        imagined, known: (hs, ws) inverse depth. overlap: (hs, ws) bool, where both are finite surfaces (> 0).

    Iteratively reweighted least squares (Cauchy weights) on a shift first, then on scale and shift where the depths
    spread enough to tell them apart. The scale is held within [0.5, 2]: beyond that the overlap misleads.
    """
    x, y = imagined[overlap], known[overlap]
    count = int(x.numel())
    if count < MIN_OVERLAP:
        return DepthFit(samples=count)
    every = -(-count // MAX_FITTED)
    x, y = -torch.log(x[::every].double()), -torch.log(y[::every].double())
    shift = (y - x).median()
    scale = x.new_ones(())
    if float(x.std()) > 0.1:
        for _ in range(6):
            error = y - scale * x - shift
            weight = 1.0 / (1.0 + (error / (1.5 * error.abs().median() + 1e-3)).square())
            total = weight.sum()
            x_mean, y_mean = (weight * x).sum() / total, (weight * y).sum() / total
            variance = (weight * (x - x_mean).square()).sum() + 1e-9
            scale = ((weight * (x - x_mean) * (y - y_mean)).sum() / variance).clamp(0.5, 2.0)
            shift = y_mean - scale * x_mean
    residual = (y - scale * x - shift).abs().median()
    return DepthFit(float(scale), float(shift), count, float(residual))


def _spread(residual: Tensor, weight: Tensor, radius: int) -> Tensor:
    """Carry ``residual (hs, ws)``, known where ``weight`` is 1, into its surroundings; it fades to 0 within about
    ``radius`` samples.
    """
    maps = torch.stack([residual * weight, weight])[None]
    kernel = 2 * radius + 1
    for _ in range(2):
        maps = F.avg_pool2d(maps, kernel, stride=1, padding=radius, count_include_pad=False)
    value, confidence = maps[0]
    return value / confidence.clamp(min=1e-6) * (4.0 * confidence).clamp(max=1.0)


def flying_samples(inverse: Tensor) -> Tensor:
    """(hs, ws) bool: samples that hang between a near and a far surface, as soft depth does at silhouettes.

    Planes are linear in inverse depth however steep they look, so a sample is flying only where the jump across it is
    much larger than the slopes on both sides of it *and* it lies strictly between the two.
    """
    flying = torch.zeros_like(inverse, dtype=torch.bool)
    for axis in (0, 1):
        rho = inverse if axis == 0 else inverse.T
        if rho.shape[0] < 5:
            continue
        outer_before, before, here, after, outer_after = (rho[i : rho.shape[0] - 4 + i] for i in range(5))
        jump = (before - after).abs()
        slope = torch.maximum((outer_before - before).abs(), (after - outer_after).abs())
        nearest = torch.maximum(before, after)
        between = torch.minimum((here - before).abs(), (here - after).abs()) > 0.2 * jump
        inside = (here - before) * (after - here) > 0.0
        found = (jump > 3.0 * slope) & (jump > 0.25 * nearest) & between & inside
        (flying if axis == 0 else flying.T)[2:-2] |= found
    return flying


def filled(inverse_depth: Tensor, covered: Tensor) -> Tensor:
    """``inverse_depth (hs, ws)`` where it is ``covered``; elsewhere of the covered samples beside the farthest, for
    what a near thing uncovers lies behind it; unchanged if none is."""
    if not bool(covered.any()):
        return inverse_depth
    farthest = torch.where(covered, inverse_depth, math.inf)
    while bool(torch.isinf(farthest).any()):
        beside = -F.max_pool2d(-farthest[None], 3, stride=1, padding=1)[0]
        farthest = torch.where(torch.isinf(farthest), beside, farthest)
    return farthest


def reconcile(imagined: Tensor, known: Tensor, covered: Tensor, known_sky: Tensor) -> tuple[Tensor, Tensor, DepthFit]:
    """Depth of a generated view that agrees with the memory.

    Args:
        imagined: (hs, ws) the model's inverse depth. known: (hs, ws) the memory's. covered: (hs, ws) bool, the memory
            knows a
            surface or the sky here. known_sky: (hs, ws) bool, what it knows is sky.

    Returns:
        shown: (hs, ws) finite inverse depth for display and reprojection.
        writable: the same with NaN at flying samples of what was newly invented; never written.
        fit: what was fitted.

    Where the memory knows, its depth is kept: it is the anchor that keeps places where they are. Elsewhere the imagined
    depth is brought onto the memory's scale, and what disagreement is left along the seam fades out over a few samples.
    """
    imagined = torch.nan_to_num(imagined.float(), nan=0.0, posinf=0.0, neginf=0.0).clamp(min=0.0)
    imagined = torch.where(imagined < SKY_INVERSE_DEPTH, 0.0, imagined)
    surface = covered & ~known_sky & (known > 0.0)
    overlap = surface & (imagined > 0.0)
    fit = fit_log_depth(imagined, known, overlap)
    shown = imagined
    if fit.samples >= MIN_OVERLAP:
        log_depth = -fit.scale * torch.log(imagined.clamp(min=SKY_INVERSE_DEPTH)) + fit.shift
        residual = (-torch.log(known.clamp(min=SKY_INVERSE_DEPTH)) - log_depth).clamp(-0.25, 0.25)
        radius = max(2, min(imagined.shape) // 16)
        log_depth = log_depth + _spread(torch.where(overlap, residual, 0.0), overlap.float(), radius)
        shown = torch.where(imagined > 0.0, torch.exp(-log_depth), imagined)
        shown = torch.where(shown < SKY_INVERSE_DEPTH, 0.0, shown)
    return *anchored(shown, known, covered, known_sky), fit


def anchored(told: Tensor, known: Tensor, covered: Tensor, known_sky: Tensor) -> tuple[Tensor, Tensor]:
    """Depth that is on the memory's scale already, ``told (hs, ws)``, with what the memory knows; see
    :func:`reconcile`, whose ``shown`` and ``writable`` it returns."""
    shown = torch.where(covered & (known > 0.0), known, told)
    shown = torch.where(covered & known_sky, 0.0, shown)
    invalid = flying_samples(shown) & ~covered
    return shown, torch.where(invalid, shown.new_tensor(float("nan")), shown)
