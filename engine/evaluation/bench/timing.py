"""Timing that survives a busy machine: variants take turns, medians are compared, ratios carry their spread."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000


@dataclass(frozen=True)
class Ratio:
    """How many times ``slow`` is ``fast``: the ratio of medians with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3g}x [{self.low:.3g}, {self.high:.3g}]"


@dataclass(frozen=True)
class Spread:
    """Median and quartiles in milliseconds of ``n`` calls."""

    median_ms: float
    low_ms: float
    high_ms: float
    n: int


def spread(values_ms: Sequence[float]) -> Spread:
    """Median and quartiles of ``values_ms``; nan without values."""
    if not len(values_ms):
        return Spread(float("nan"), float("nan"), float("nan"), 0)
    low, middle, high = np.percentile(np.asarray(values_ms, float), [25, 50, 75])
    return Spread(float(middle), float(low), float(high), len(values_ms))


def interleaved(
    tasks: Mapping[str, Callable[[], object]], repeats: int, warmup: int = 1, wait: Callable[[], object] | None = None
) -> dict[str, list[float]]:
    """Milliseconds of every task, ``repeats`` times each, in turns and in changing order, so that whatever else the
    machine does hits all alike.

    Args:
        wait: called after each task inside the timing (a device's synchronise).
    """
    names = list(tasks)
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(-warmup, repeats):
        for name in shuffled(names, turn + warmup):
            started = time.perf_counter()
            tasks[name]()
            if wait is not None:
                wait()
            if turn >= 0:
                times[name].append(1000.0 * (time.perf_counter() - started))
    return times


def shuffled(names: Sequence[str], turn: int) -> list[str]:
    """``names`` in another order every turn, reproducibly: nobody always follows the one that empties the caches."""
    return [names[i] for i in np.random.default_rng(turn).permutation(len(names))]


def ratio(slow_ms: Sequence[float], fast_ms: Sequence[float], seed: int = 0) -> Ratio:
    """The ratio of medians; repeats of one turn are resampled together, because they shared the machine's mood."""
    slow, fast = np.asarray(slow_ms, float), np.asarray(fast_ms, float)
    if not len(slow) or not len(fast) or np.median(fast) <= 0.0:
        return Ratio(float("nan"), float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    paired = len(slow) == len(fast)
    draws = rng.integers(0, len(slow), (RESAMPLES, len(slow)))
    other = draws if paired else rng.integers(0, len(fast), (RESAMPLES, len(fast)))
    found = np.median(slow[draws], axis=1) / np.maximum(np.median(fast[other], axis=1), 1e-9)
    low, high = np.quantile(found, [0.025, 0.975])
    return Ratio(float(np.median(slow) / np.median(fast)), float(low), float(high))
