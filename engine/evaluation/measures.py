"""Figures beside PSNR and SSIM (:mod:`engine.metrics`): sharpness, colour, depth, flicker. Formulas and sources are
in docs/measuring.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from engine.depth import sample_inverse_depth
from engine.evaluation.visibility import Warp

_LUMA = np.array([0.299, 0.587, 0.114])


def laplacian_variance(image: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Variance of the 4-neighbour Laplacian of luma (Pech-Pacheco et al. 2000), in grey levels squared.

    Args:
        image: (H, W, 3) uint8. mask: (H, W) bool limits it (to pixels whose neighbours are in it too); nan if too
            little is left.
    """
    luma = image.astype(np.float64) @ _LUMA
    centre = luma[1:-1, 1:-1]
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4.0 * centre
    if mask is None:
        return float(laplacian.var())
    inner = mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    return float(laplacian[inner].var()) if inner.sum() >= 64 else float("nan")


def sharpness_ratio(image: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Laplacian variance of ``image`` over that of ``truth``, both (H, W, 3) uint8; 1 is as sharp as the true world."""
    reference = laplacian_variance(truth, mask)
    return laplacian_variance(image, mask) / reference if reference > 1e-6 else float("nan")


def mean_lab(image: np.ndarray) -> np.ndarray:
    """(3,) mean CIELAB colour (D65) of ``image (H, W, 3)`` uint8."""
    from skimage.color import rgb2lab

    return rgb2lab(image[::2, ::2]).reshape(-1, 3).mean(axis=0)


@dataclass(frozen=True, eq=False)
class Look:
    """What a picture looks like from afar, or how that changed.

    Attributes:
        sharpness: Laplacian variance; of a change, its octaves. lab: (3,) mean CIELAB colour.
    """

    sharpness: float
    lab: np.ndarray


def look_of(image: np.ndarray) -> Look:
    """Of ``image (H, W, 3)`` uint8."""
    return Look(laplacian_variance(image), mean_lab(image))


def change(before: Sequence[Look], after: Sequence[Look]) -> Look:
    """From the mean of one part of a flight to that of another."""
    first, last = (
        Look(float(np.mean([look.sharpness for look in part])), np.mean([look.lab for look in part], axis=0))
        for part in (before, after)
    )
    told = min(first.sharpness, last.sharpness) > 1e-6
    return Look(math.log2(last.sharpness / first.sharpness) if told else math.nan, last.lab - first.lab)


@dataclass(frozen=True)
class DepthError:
    """Depth against the truth (Eigen et al. 2014), where both see a surface.

    Attributes:
        abs_rel: mean |d - d*| / d*. within_1_25: share with max(d/d*, d*/d) < 1.25.
        sky_iou: intersection over union of the sky, nan without any.
    """

    abs_rel: float
    within_1_25: float
    sky_iou: float


def depth_error(inverse_depth: np.ndarray, true_depth_m: Tensor) -> DepthError:
    """``inverse_depth (hs, ws)`` (1/m, 0 is sky) against ``true_depth_m (H, W)`` (inf is sky)."""
    truth = sample_inverse_depth(true_depth_m, *inverse_depth.shape).numpy()
    both = (inverse_depth > 0.0) & (truth > 0.0)
    sky, true_sky = inverse_depth == 0.0, truth == 0.0
    union = (sky | true_sky).sum()
    iou = float((sky & true_sky).sum() / union) if union else float("nan")
    if not both.any():
        return DepthError(float("nan"), float("nan"), iou)
    ratio = truth[both] / inverse_depth[both]  # d / d*
    return DepthError(
        abs_rel=float(np.abs(ratio - 1.0).mean()),
        within_1_25=float((np.maximum(ratio, 1.0 / ratio) < 1.25).mean()),
        sky_iou=iou,
    )


def flicker(before: np.ndarray, after: np.ndarray, warp: Warp) -> float:
    """Warping error of two successive frames (Lai et al. 2018): mean |after - warped before| in grey levels, where both
    true views see the same surface.

    Args:
        before, after: (H, W, 3) uint8. warp: from the camera of ``before`` to that of ``after`` by the *true* depth, so
            that no memory's own geometry is its judge.
    """
    if not warp.valid.any():
        return float("nan")
    return float(255.0 * np.abs(after.astype(np.float64) / 255.0 - warp(before))[warp.valid].mean())
