"""Means with intervals: what a few scenes say about all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over scenes with its 95 % percentile-bootstrap interval.

    Attributes:
        mean, low, high: nan without values; ``low`` and ``high`` equal the mean for a single value, which says
            nothing about spread.
        n: scenes that have the figure.
    """

    mean: float
    low: float
    high: float
    n: int


def bootstrap(values: Sequence[float | None], seed: int = 0) -> Estimate:
    """Mean and 95 % interval by resampling scenes (Efron 1979); values that are missing or not finite are left out."""
    found = np.array([value for value in values if value is not None and np.isfinite(value)], np.float64)
    if not len(found):
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    draws = np.random.default_rng(seed).integers(0, len(found), (RESAMPLES, len(found)))
    low, high = np.quantile(found[draws].mean(axis=1), [(1.0 - CONFIDENCE) / 2.0, (1.0 + CONFIDENCE) / 2.0])
    return Estimate(float(found.mean()), float(low), float(high), len(found))


def paired_difference(ours: Sequence[float | None], theirs: Sequence[float | None], seed: int = 0) -> Estimate:
    """``ours - theirs`` scene by scene; scenes that lack one of the two are left out."""
    pairs = zip(ours, theirs, strict=True)
    return bootstrap([a - b for a, b in pairs if a is not None and b is not None], seed)


def mean_of(values: Sequence[float | None]) -> float | None:
    """The mean of what is there and finite; ``None`` if nothing is."""
    found = [value for value in values if value is not None and np.isfinite(value)]
    return float(np.mean(found)) if found else None
