"""The rest of a thing that a nearer one cuts off.

Of a tree behind a tree one sees a strip. If what the nearer one hides is the sky alone, that strip is left hanging in
the air as soon as one has moved on. So it goes on behind: mirrored at the seam, as wide as it is seen, as far as the
nearer thing hides it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from engine.disocclusion import HIDES

ONE_THING = 1.08
"""Neighbouring cells of a thing differ no more in depth."""


@njit(cache=True)
def hidden_halves(nearest: np.ndarray, things: np.ndarray) -> np.ndarray:
    """What the cells of things are lent of the things behind them.

    Args:
        nearest: (h, w) 1/m, how near the cells of a view are.
        things: (h, w) bool, cells that show a thing that stands before a background, and nothing else.

    Returns:
        (h, w) int64, the column of the same row that each cell is lent, -1 for none; of several things the nearest.
    """
    h, w = nearest.shape
    source, lent = np.full((h, w), -1, np.int64), np.zeros((h, w))
    for y in range(h):
        x = 0
        while x < w:
            first = last = x
            x += 1
            if not things[y, first]:
                continue
            while x < w and things[y, x] and _one_thing(nearest[y, x], nearest[y, last]):
                last, x = x, x + 1
            for seam, towards in ((first, -1), (last, 1)):
                for away in range(1, last - first + 2):
                    at, mirrored = seam + away * towards, seam - (away - 1) * towards
                    near = nearest[y, mirrored]
                    if not (0 <= at < w and nearest[y, at] > HIDES * near):
                        break
                    if near > lent[y, at]:
                        source[y, at], lent[y, at] = mirrored, near
    return source


@njit(cache=True, inline="always")
def _one_thing(here: float, there: float) -> bool:
    return max(here, there) <= ONE_THING * min(here, there)
