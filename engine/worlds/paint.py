"""How albedos are mixed."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, fastmath=True)
def fade(wavelength_m: float, footprint_m: float) -> float:
    """Weight of a texture octave: full where a wave spans several pixels, 0 well before it could alias.

    Texture is kept calm and broad: what is finer than a few pixels a latent token of 8 x 8 pixels cannot carry from
    view to view.
    """
    return 0.6 * min(1.0, max(0.0, 1.6 - 8.0 * footprint_m / wavelength_m))


@njit(cache=True, fastmath=True)
def paint(c: np.ndarray, r: float, g: float, b: float, t: float) -> None:
    """Mix a colour into c (3,)."""
    c[0] += (r - c[0]) * t
    c[1] += (g - c[1]) * t
    c[2] += (b - c[2]) * t
