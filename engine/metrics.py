"""How alike two images are: PSNR and SSIM (Wang et al. 2004), whole or over a mask."""

from __future__ import annotations

import numpy as np

from engine.errors import InputError

PSNR_CAP_DB = 100.0
"""Reported for identical images, so that means and JSON stay finite."""


def _unit(image: np.ndarray) -> np.ndarray:
    """``image (H, W, 3)`` uint8 or float in [0, 1] as float64 in [0, 1]."""
    return image.astype(np.float64) / 255.0 if image.dtype == np.uint8 else np.asarray(image, np.float64)


def _pair(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if a.shape != b.shape or a.ndim != 3:
        raise InputError(f"Images to compare must have one shape (H, W, 3); they have {a.shape} and {b.shape}.")
    return _unit(a), _unit(b)


def psnr_db(a: np.ndarray, b: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio of ``a, b (H, W, 3)``, uint8 or float in [0, 1]; ``mask (H, W)`` bool limits it; nan
    if it is empty.

    Raises:
        InputError: the shapes differ.
    """
    first, second = _pair(a, b)
    error = np.square(first - second)
    if mask is not None:
        if not mask.any():
            return float("nan")
        error = error[mask]
    mse = float(error.mean())
    return min(PSNR_CAP_DB, -10.0 * float(np.log10(mse))) if mse > 0.0 else PSNR_CAP_DB


def ssim(a: np.ndarray, b: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Structural similarity with the original Gaussian window (sigma 1.5, 11 taps), mean over channels and pixels (of
    the mask).

    Same arguments as :func:`psnr_db`; images must be at least 11 pixels high and wide.

    Raises:
        InputError: the shapes differ, or the images are too small.
    """
    from skimage.metrics import structural_similarity

    first, second = _pair(a, b)
    if min(first.shape[:2]) < 11:
        raise InputError(f"SSIM needs images of at least 11x11 pixels; these have {first.shape[0]}x{first.shape[1]}.")
    if mask is not None and not mask.any():
        return float("nan")
    value, local = structural_similarity(
        first,
        second,
        data_range=1.0,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return float(value) if mask is None else float(local[mask].mean())
