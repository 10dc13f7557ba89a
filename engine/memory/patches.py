"""Tokens as small planar patches, and where a target sees them.

Notation. A keyframe pixel ``(u, v)`` in latent units with inverse depth ``q`` is seen by the target at ``(X/Z, Y/Z)``
with ``(X, Y, Z) = M (u, v, 1) + q t`` where ``M = K_t R_t^T R_k K_k^-1`` and ``t = K_t R_t^T (c_k - c_t)``; its inverse
depth there is ``q/Z``. Sky is ``q = 0``: rotation alone. On a patch whose inverse depth is planar, ``q = a + b du + c
dv``, that map is a homography with columns ``A = M_0 + b t``, ``B = M_1 + c t``, ``C = M (u0, v0, 1) + a t``, so going
*back* from a target sample to its exact source position is closed form.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from engine.memory.kernels import NEAR_M, decode
from engine.memory.surface import EDGE

DEPTH_TOLERANCE = 0.04
"""Relative inverse depth within which two patches count as one surface."""


@njit(cache=True, nogil=True, inline="always")
def classify(geometry: np.ndarray, planar: bool, row: int, s: int, plane: np.ndarray) -> int:
    """Surface of a token into ``plane`` = (a, b, c) per token; returns 0 for planar, 1 for sky, 2 for sample-by-sample,
    3 for nothing valid."""
    n = s * s
    high = np.float32(0.0)
    total = np.float32(0.0)
    du = np.float32(0.0)
    dv = np.float32(0.0)
    valid = 0
    middle = np.float32(0.5 * (s - 1))
    for j in range(n):
        q = decode(geometry, row, j)
        if q >= 0.0:
            valid += 1
            high = max(high, q)
            total += q
            du += q * (np.float32(j % s) - middle)
            dv += q * (np.float32(j // s) - middle)
    if valid == 0:
        return 3
    plane[0] = total / np.float32(valid)
    plane[1] = 0.0
    plane[2] = 0.0
    if valid < n:
        return 2
    if high == 0.0:
        return 1
    if not planar:
        return 2
    if s == 1:
        return 0
    # Least squares on a regular grid: slope per sample = sum(q x) / sum(x^2), times s samples per token.
    norm = np.float32(s) / np.float32(s * s * (s * s - 1) / 12.0)
    plane[1] = du * norm
    plane[2] = dv * norm
    if s > 2:
        limit = np.float32(0.5 * DEPTH_TOLERANCE) * plane[0]
        for j in range(n):
            x = (np.float32(j % s) - middle) / np.float32(s)
            y = (np.float32(j // s) - middle) / np.float32(s)
            if abs(decode(geometry, row, j) - plane[0] - plane[1] * x - plane[2] * y) > limit:
                return 2
    return 0


@njit(cache=True, nogil=True, inline="always")
def edge_of(geometry: np.ndarray, row: int, s: int) -> float:
    """Inverse depth in its keyframe below which a sample of a token lies behind an edge."""
    high = np.float32(0.0)
    for j in range(s * s):
        high = max(high, decode(geometry, row, j))
    return float(high * np.float32(1.0 / EDGE))


@njit(cache=True, nogil=True, inline="always")
def patch_homography(
    m: np.ndarray,
    u0: float,
    v0: float,
    a: float,
    b: float,
    c: float,
    half: float,
    rows: int,
    columns: int,
    h: np.ndarray,
) -> bool:
    """Rows of the inverse homography of a patch into ``h``; False if it is (partly) behind the target or outside its
    ``rows`` x ``columns`` samples.

    ``h`` = [B x C (3), C x A (3), A x B (3), det, x0, y0, extent_x, extent_y]; a target point p = (x, y, 1) then has
    du = h[0:3].p / h[6:9].p, dv = h[3:6].p / h[6:9].p and Z = det / h[6:9].p.
    """
    a0 = m[0, 0] + b * m[0, 3]
    a1 = m[1, 0] + b * m[1, 3]
    a2 = m[2, 0] + b * m[2, 3]
    b0 = m[0, 1] + c * m[0, 3]
    b1 = m[1, 1] + c * m[1, 3]
    b2 = m[2, 1] + c * m[2, 3]
    c2 = m[2, 0] * u0 + m[2, 1] * v0 + m[2, 2] + a * m[2, 3]
    if c2 - half * (abs(a2) + abs(b2)) <= max(np.float32(NEAR_M) * a, np.float32(0.05) * c2):
        return False
    if c2 <= np.float32(1e-6):
        return False
    c0 = m[0, 0] * u0 + m[0, 1] * v0 + m[0, 2] + a * m[0, 3]
    c1 = m[1, 0] * u0 + m[1, 1] * v0 + m[1, 2] + a * m[1, 3]
    inverse = np.float32(1.0) / c2
    x0 = c0 * inverse
    y0 = c1 * inverse
    # First-order extents, enlarged by the perspective foreshortening across the patch.
    stretch = half / (np.float32(1.0) - half * (abs(a2) + abs(b2)) * inverse) * inverse
    extent_x = stretch * (abs(a0 - x0 * a2) + abs(b0 - x0 * b2))
    extent_y = stretch * (abs(a1 - y0 * a2) + abs(b1 - y0 * b2))
    if x0 + extent_x < 0.0 or x0 - extent_x > columns or y0 + extent_y < 0.0 or y0 - extent_y > rows:
        return False
    h[10] = x0
    h[11] = y0
    h[12] = extent_x
    h[13] = extent_y
    h[0] = b1 * c2 - b2 * c1
    h[1] = b2 * c0 - b0 * c2
    h[2] = b0 * c1 - b1 * c0
    h[3] = c1 * a2 - c2 * a1
    h[4] = c2 * a0 - c0 * a2
    h[5] = c0 * a1 - c1 * a0
    h[6] = a1 * b2 - a2 * b1
    h[7] = a2 * b0 - a0 * b2
    h[8] = a0 * b1 - a1 * b0
    h[9] = a0 * h[0] + a1 * h[1] + a2 * h[2]
    return True


@njit(cache=True, nogil=True, inline="always")
def central(h: np.ndarray, a: float) -> float:
    """Inverse depth in the middle of a patch. What is smaller than a sample, and beside its middle, is as deep as it is
    where it is: its plane, followed to there, may be anywhere."""
    w = h[6] * h[10] + h[7] * h[11] + h[8]
    return float(a * w / h[9]) if h[9] * w > 0.0 else 0.0


@njit(cache=True, nogil=True, inline="always")
def level_of(area: float) -> int:
    """How badly a patch of that area (target tokens per source token) suits: 0 near scale 1, growing with each half
    octave of magnification."""
    bits = np.float32(area * np.float32(1.4142135)).view(np.int32)
    octaves = (bits >> 23) - 127
    level = int(octaves) if octaves > 0 else int(-octaves) // 2
    return level if level < 31 else 31
