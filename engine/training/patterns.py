"""Pictures of nothing in particular, so that the autoencoder keeps what the worlds never show.

Dead leaves (Lee, Mumford and Huang 2001): opaque shapes of all sizes dropped on each other, which share the edges,
occlusions and scale invariance of photographs; filled with gradients, grain and stripes, and overprinted with
strokes like script.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

SMALLEST_PX, LARGEST_PX = 5.0, 120.0
PALETTE = 5


def dead_leaves(rng: np.random.Generator, size: int, leaves: int = 320) -> np.ndarray:
    """(size, size, 3) float32 in [0, 1]."""
    # Photographs vary in brightness more than in hue.
    palette = rng.uniform(0.0, 1.0, (PALETTE, 1)) + rng.normal(0.0, rng.uniform(0.02, 0.25), (PALETTE, 3))
    image = np.ones((size, size, 3), np.float32) * palette[0]
    # Radii by the inverse cube law: every magnification of the picture looks alike.
    share = rng.uniform(0.0, 1.0, leaves)
    radii = 1.0 / np.sqrt(share / SMALLEST_PX**2 + (1.0 - share) / LARGEST_PX**2)
    for radius in sorted(radii, reverse=True) if rng.random() < 0.5 else radii:
        _drop(image, rng, float(radius), palette[rng.integers(PALETTE)] + rng.normal(0.0, 0.06, 3))
    if rng.random() < 0.3:
        _write(image, rng)
    if rng.random() < 0.5:  # focus and sensors smooth every photograph a little
        kernel = np.array([0.25, 0.5, 0.25], np.float32)
        for axis in (0, 1):
            image = np.apply_along_axis(np.convolve, axis, image, kernel, mode="same")
    return np.clip(image, 0.0, 1.0).astype(np.float32)


def _drop(image: np.ndarray, rng: np.random.Generator, radius: float, colour: np.ndarray) -> None:
    """One leaf, anti-aliased: an ellipse, a rectangle or a half plane's corner, turned at random."""
    size = len(image)
    x, y = rng.uniform(0, size, 2)
    reach = int(radius * 1.5) + 2
    left, right = max(0, int(x) - reach), min(size, int(x) + reach)
    top, bottom = max(0, int(y) - reach), min(size, int(y) + reach)
    if left >= right or top >= bottom:
        return
    v, u = np.mgrid[top:bottom, left:right].astype(np.float32) + 0.5
    angle = rng.uniform(0, np.pi)
    a = np.cos(angle) * (u - x) + np.sin(angle) * (v - y)
    b = (np.cos(angle) * (v - y) - np.sin(angle) * (u - x)) * rng.uniform(0.7, 2.5)
    distance = np.hypot(a, b) if rng.random() < 0.6 else np.maximum(np.abs(a), np.abs(b))
    mask = np.clip(radius - distance + 0.5, 0.0, 1.0)[..., None]
    fill: np.ndarray = np.broadcast_to(colour.astype(np.float32), (*a.shape, 3))
    kind = rng.random()
    if kind < 0.35:
        fill = fill * (1.0 + rng.uniform(-0.5, 0.5) * (a / radius))[..., None]
    elif kind < 0.55:
        period = rng.uniform(3.0, 16.0)
        fill = fill + rng.uniform(0.05, 0.25) * np.sin(2.0 * np.pi * a / period)[..., None]
    elif kind < 0.8:
        fill = fill + rng.normal(0.0, rng.uniform(0.01, 0.08), (*a.shape, 1))
    image[top:bottom, left:right] += mask * (fill - image[top:bottom, left:right])


def _write(image: np.ndarray, rng: np.random.Generator) -> None:
    """Rows of small upright strokes, dark on light or light on dark."""
    size = len(image)
    height, colour = int(rng.integers(5, 14)), rng.uniform(0.0, 1.0, 3)
    for top in range(int(rng.integers(0, 40)), size - height, int(height * rng.uniform(1.4, 2.5))):
        left = int(rng.integers(0, 60))
        while left < size - height:
            if rng.random() < 0.85:
                stroke = int(rng.integers(1, 3))
                image[top : top + height, left : left + stroke] = colour
                bar = top + int(rng.integers(0, height - stroke))
                image[bar : bar + stroke, left : left + height // 2] = colour
            left += int(rng.integers(3, height))


def pattern_pool(count: int, size: int, seed: int) -> Tensor:
    """(count, 3, size, size) uint8 pictures to crop from."""
    rng = np.random.default_rng(seed)
    pictures = np.stack([dead_leaves(rng, size) for _ in range(count)]) if count else np.zeros((0, size, size, 3))
    return torch.from_numpy((pictures * 255 + 0.5).astype(np.uint8)).permute(0, 3, 1, 2).contiguous()
