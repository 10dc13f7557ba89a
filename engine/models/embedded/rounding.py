"""Compiled loops over what a convolution is given: its silu, and that in bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numba.extending import overload

_UP = np.array(
    [4.89352456e-3, 6.37261929e-4, 1.48572236e-5, 5.12229710e-8, -8.60467152e-11, 2.00018790e-13, -2.76076847e-16],
    np.float32,
)
_DOWN = np.array([4.89352519e-3, 2.26843463e-3, 1.18534706e-4, 1.19825839e-6], np.float32)
_SATURATED = np.float32(7.9)
_HALF, _ONE, _NONE, _MOST = (np.float32(v) for v in (0.5, 1.0, 0.0, 255.0))


def single(value: Any) -> Any:
    """A number as float32: bfloat16 comes as its bits, uint16."""
    return np.uint32(np.uint32(value) << np.uint32(16)).view(np.float32) if isinstance(value, np.uint16) else value


@overload(single)
def _single(value: Any) -> Any:
    if getattr(value, "name", "") == "uint16":

        def widened(value: Any) -> Any:
            return np.uint32(np.uint32(value) << np.uint32(16)).view(np.float32)

        return widened

    def itself(value: Any) -> Any:
        return value

    return itself


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def to_bytes(values: Any, per_unit: Any, zero: Any, out: Any) -> None:
    """``out (n,)`` uint8 = round(values (n,) * per_unit + zero), within a byte."""
    for i in range(len(values)):
        level = single(values[i]) * per_unit + (zero + _HALF)
        out[i] = np.uint8(min(max(level, _NONE), _MOST))


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def activated_to_bytes(values: Any, per_unit: Any, zero: Any, out: Any) -> None:
    """As :func:`to_bytes`, of silu(values)."""
    for i in range(len(values)):
        level = silu(single(values[i])) * per_unit + (zero + _HALF)
        out[i] = np.uint8(min(max(level, _NONE), _MOST))


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")
def silu(value: Any) -> Any:
    """silu of a float32. Of rational functions alone, so that a loop of it runs in the processor's wide registers: tanh
    to seven digits by powers up to 13 over powers up to 6."""
    half = min(max(_HALF * value, -_SATURATED), _SATURATED)
    s = half * half
    up = half * (_UP[0] + s * (_UP[1] + s * (_UP[2] + s * (_UP[3] + s * (_UP[4] + s * (_UP[5] + s * _UP[6]))))))
    down = _DOWN[0] + s * (_DOWN[1] + s * (_DOWN[2] + s * _DOWN[3]))
    return _HALF * value * (_ONE + up / down)
