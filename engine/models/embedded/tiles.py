"""Compiled loops between pictures and the tiles that :mod:`engine.models.embedded.winograd` multiplies.

Each inner loop runs over numbers that lie side by side, a few rows in and one out: compilers put such a loop into the
processor's wide registers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from engine.models.embedded.rounding import silu

SIDE = 4
"""A tile is so many pixels a side of what comes out."""
TAPS = SIDE + 2
"""And so many of what goes in."""
_ONE, _TWO, _FOUR, _FIVE, _EIGHT = (np.float32(v) for v in (1.0, 2.0, 4.0, 5.0, 8.0))


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def into_tiles(x: Any, activated: bool, first: int, last: int, tiles: Any) -> None:
    """``tiles (36, n, C)`` = B^T d B of the tiles in rows ``first`` to ``last`` of a picture ``x (H, W, C)``, or of
    silu(x) if it is to be ``activated``; outside of it all is 0."""
    height, width, channels = x.shape
    across = -(-width // SIDE)
    row = (SIDE * across + 2) * channels
    seen, mixed = np.zeros((TAPS, row), np.float32), np.empty((TAPS, row), np.float32)
    for down in range(first, last):
        for tap in range(TAPS):
            shown, y = seen[tap], SIDE * down + tap - 1
            if 0 <= y < height:
                inner = shown[channels : (width + 1) * channels]
                if tap < 2 and down > first:  # the last tile had them
                    inner[:] = seen[tap + SIDE, channels : (width + 1) * channels]
                elif activated:
                    _silu(x[y].ravel(), inner)
                else:
                    inner[:] = x[y].ravel()
            else:
                shown[:] = 0.0
        _six(
            seen[0],
            seen[1],
            seen[2],
            seen[3],
            seen[4],
            seen[5],
            mixed[0],
            mixed[1],
            mixed[2],
            mixed[3],
            mixed[4],
            mixed[5],
        )
        for tap in range(TAPS):
            line, at_tap = mixed[tap], TAPS * tap
            for tile in range(across):
                at, n = SIDE * tile * channels, (down - first) * across + tile
                _six(
                    line[at : at + channels],
                    line[at + channels : at + 2 * channels],
                    line[at + 2 * channels : at + 3 * channels],
                    line[at + 3 * channels : at + 4 * channels],
                    line[at + 4 * channels : at + 5 * channels],
                    line[at + 5 * channels : at + 6 * channels],
                    tiles[at_tap + 0, n],
                    tiles[at_tap + 1, n],
                    tiles[at_tap + 2, n],
                    tiles[at_tap + 3, n],
                    tiles[at_tap + 4, n],
                    tiles[at_tap + 5, n],
                )


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def out_of_tiles(tiles: Any, bias: Any, first: int, last: int, out: Any) -> None:
    """``out (H, W, K)``, in the tile rows ``first`` to ``last``, = A^T m A of ``tiles (36, n, K)``, and the ``bias
    (K,)``."""
    height, width, channels = out.shape
    across = -(-width // SIDE)
    mixed = np.empty((SIDE, TAPS, across * channels), np.float32)
    pixels = np.empty((SIDE, channels), np.float32)
    for down in range(first, last):
        start, end = (down - first) * across, (down - first + 1) * across
        for tap in range(TAPS):
            _four(
                tiles[tap, start:end].ravel(),
                tiles[TAPS + tap, start:end].ravel(),
                tiles[2 * TAPS + tap, start:end].ravel(),
                tiles[3 * TAPS + tap, start:end].ravel(),
                tiles[4 * TAPS + tap, start:end].ravel(),
                tiles[5 * TAPS + tap, start:end].ravel(),
                mixed[0, tap],
                mixed[1, tap],
                mixed[2, tap],
                mixed[3, tap],
            )
        for i in range(min(SIDE, height - SIDE * down)):
            line = mixed[i]
            for tile in range(across):
                at, end = tile * channels, (tile + 1) * channels
                _four(
                    line[0, at:end],
                    line[1, at:end],
                    line[2, at:end],
                    line[3, at:end],
                    line[4, at:end],
                    line[5, at:end],
                    pixels[0],
                    pixels[1],
                    pixels[2],
                    pixels[3],
                )
                for j in range(min(SIDE, width - SIDE * tile)):
                    _sum(pixels[j], bias, out[SIDE * down + i, SIDE * tile + j])


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")
def _six(
    d0: Any, d1: Any, d2: Any, d3: Any, d4: Any, d5: Any, o0: Any, o1: Any, o2: Any, o3: Any, o4: Any, o5: Any
) -> None:
    """o = B^T d, six rows each."""
    _three(d0, d2, d4, _FOUR, -_FIVE, _ONE, o0)
    _mix(d1, d2, d3, d4, -_FOUR, -_FOUR, _ONE, _ONE, o1)
    _mix(d1, d2, d3, d4, _FOUR, -_FOUR, -_ONE, _ONE, o2)
    _mix(d1, d2, d3, d4, -_TWO, -_ONE, _TWO, _ONE, o3)
    _mix(d1, d2, d3, d4, _TWO, -_ONE, -_TWO, _ONE, o4)
    _three(d1, d3, d5, _FOUR, -_FIVE, _ONE, o5)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")
def _four(m0: Any, m1: Any, m2: Any, m3: Any, m4: Any, m5: Any, o0: Any, o1: Any, o2: Any, o3: Any) -> None:
    """o = A^T m: four rows of six."""
    _five(m0, m1, m2, m3, m4, _ONE, _ONE, _ONE, _ONE, o0)
    _mix(m1, m2, m3, m4, _ONE, -_ONE, _TWO, -_TWO, o1)
    _mix(m1, m2, m3, m4, _ONE, _ONE, _FOUR, _FOUR, o2)
    _five(m5, m1, m2, m3, m4, _ONE, -_ONE, _EIGHT, -_EIGHT, o3)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")
def _three(a: Any, b: Any, c: Any, ka: Any, kb: Any, kc: Any, out: Any) -> None:
    for i in range(len(out)):
        out[i] = ka * a[i] + kb * b[i] + kc * c[i]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")
def _mix(a: Any, b: Any, c: Any, d: Any, ka: Any, kb: Any, kc: Any, kd: Any, out: Any) -> None:
    for i in range(len(out)):
        out[i] = ka * a[i] + kb * b[i] + kc * c[i] + kd * d[i]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")
def _five(e: Any, a: Any, b: Any, c: Any, d: Any, ka: Any, kb: Any, kc: Any, kd: Any, out: Any) -> None:
    for i in range(len(out)):
        out[i] = e[i] + ka * a[i] + kb * b[i] + kc * c[i] + kd * d[i]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")
def _sum(a: Any, b: Any, out: Any) -> None:
    for i in range(len(out)):
        out[i] = a[i] + b[i]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _silu(values: Any, out: Any) -> None:
    for i in range(len(out)):
        out[i] = silu(values[i])
