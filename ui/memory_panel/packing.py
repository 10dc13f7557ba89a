"""Sixteen bytes a point: three float32 of position and one float32 that carries both a colour source and the point's
size.

The fourth number is an integer below 2^24, so float32 holds it exactly: six bits of log2 footprint above eighteen bits
of payload (RGB 6-6-6,
or a count). gloo binds attributes as GL_FLOAT, so packed bytes would draw nothing; this layout survives that, and the
shader takes it apart
again. Dead points carry :data:`DEAD` and are dropped by the vertex shader.
"""

from __future__ import annotations

import numpy as np

PAYLOAD_BITS = 18
PAYLOAD_MAX = 2**PAYLOAD_BITS - 1
DEAD = -1.0
FOOTPRINT_LOG2_MIN = -8.0
"""Smallest footprint that the packing tells apart: 2^-8 m."""
FOOTPRINT_LOG2_SPAN = 15.75
"""Sixty-three steps of a quarter octave: up to about 210 m."""


def pack_rgb(rgb: np.ndarray) -> np.ndarray:
    """``rgb (n, 3)`` uint8 -> ``(n,)`` uint32 payload with six bits a channel."""
    six = (rgb >> 2).astype(np.uint32)
    return (six[:, 0] << 12) | (six[:, 1] << 6) | six[:, 2]


def pack_count(count: np.ndarray) -> np.ndarray:
    """Whole numbers ``(n,)`` (node ids, reads) -> ``(n,)`` uint32 payload, saturating at 2^18 - 1."""
    return np.clip(count, 0, PAYLOAD_MAX).astype(np.uint32)


def pack_unit(value: np.ndarray) -> np.ndarray:
    """Numbers in [0, 1] ``(n,)`` -> ``(n,)`` uint32 payload."""
    return (np.clip(np.nan_to_num(value), 0.0, 1.0) * PAYLOAD_MAX).astype(np.uint32)


def footprint_level(footprint_m: np.ndarray) -> np.ndarray:
    """``footprint_m (n,)`` metres -> ``(n,)`` uint32 in 0..63, quarter octaves above 2^-8 m."""
    level = (np.log2(np.maximum(footprint_m, 1e-6)) - FOOTPRINT_LOG2_MIN) * 4.0
    return np.clip(np.rint(level), 0, 63).astype(np.uint32)


def pack_points(positions: np.ndarray, payload: np.ndarray, footprint_m: np.ndarray, living: np.ndarray) -> np.ndarray:
    """Points ready for the vertex buffer.

    Args:
        positions: (n, 3) float32, world metres.
        payload: (n,) uint32 below 2^18.
        footprint_m: (n,) float32, the token's size on its surface in metres.
        living: (n,) bool.

    Returns:
        (n, 4) float32: x, y, z and the packed number (``DEAD`` where not living).
    """
    packed = np.empty((len(positions), 4), np.float32)
    packed[:, :3] = positions
    packed[:, 3] = (footprint_level(footprint_m) << PAYLOAD_BITS) | payload
    packed[~living, 3] = DEAD
    return packed


def unpack_value(value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The shader's arithmetic in numpy: packed ``(n,)`` -> payload ``(n,)`` and footprint in metres ``(n,)``; dead
    points give payload -1.
    """
    level = np.floor(value / 2**PAYLOAD_BITS)
    payload = np.where(value < 0, -1, value - level * 2**PAYLOAD_BITS)
    return payload.astype(np.int64), np.exp2(level / 4.0 + FOOTPRINT_LOG2_MIN)
