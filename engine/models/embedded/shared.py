"""Compiled loops over samples that look at shared tokens: what is of a token is read where it lies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from engine.models.embedded.rounding import silu


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def gated(of_token: Any, which: Any, of_look: Any, gate: Any, out: Any) -> None:
    """``out (n, H)`` = silu(of_token (m, H)[which (n,)] + of_look (n, H)) * gate (n, H)."""
    for i in range(len(which)):
        token, look, opened, told = of_token[which[i]], of_look[i], gate[i], out[i]
        for j in range(len(told)):
            told[j] = silu(token[j] + look[j]) * opened[j]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def steered(maps: Any, which: Any, share: Any, out: Any) -> None:
    """``out (n, C)`` = the sum of maps (m, K, C)[which (n,)] by their ``share (n, K)``."""
    for i in range(len(which)):
        its, told = maps[which[i]], out[i]
        told[:] = np.float32(0.0)
        for k in range(len(its)):
            amount, row = share[i, k], its[k]
            for c in range(len(told)):
                told[c] += amount * row[c]
