"""What the presets are made of: rotations, eased travel, the horizontal heading, and keeping above the ground."""

from __future__ import annotations

import math

import numpy as np

from engine.camera import Camera
from engine.camera_path import GroundHeight
from engine.errors import InputError

MAX_CLIMB_M = 0.3
"""Metres per frame of climbing over what stands in the way."""
ROUNDING_FRAMES = 6


def rotation_about(axis: np.ndarray, angle_rad: float) -> np.ndarray:
    """(3, 3) rotation by ``angle_rad`` about the unit vector ``axis (3,)`` (Rodrigues)."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + math.sin(angle_rad) * cross + (1.0 - math.cos(angle_rad)) * (cross @ cross)


def glide(u: np.ndarray, ramp: float = 0.2) -> np.ndarray:
    """Fraction of the way at the fraction ``u (n,)`` of the time: cosine ramps of speed at both ends, constant speed
    between.

    ``ramp`` is the share of the time each ramp takes; the top speed is ``1 / (1 - ramp)`` times the mean.
    """
    speed = 1.0 / (1.0 - ramp)

    def rise(t: np.ndarray) -> np.ndarray:
        return speed * 0.5 * (t - ramp / math.pi * np.sin(math.pi * t / ramp))

    u = np.clip(u, 0.0, 1.0)
    middle = rise(np.array(ramp)) + speed * (u - ramp)
    return np.where(u < ramp, rise(u), np.where(u > 1.0 - ramp, 1.0 - rise(1.0 - u), middle))


def heading(start: Camera) -> np.ndarray:
    """(3,) unit horizontal direction the camera looks along; for a camera looking straight up or down, where its top
    points.
    """
    flat = start.forward * np.array([1.0, 1.0, 0.0])
    if np.linalg.norm(flat) < 1e-6:
        flat = -start.c2w[:3, 1] * np.array([1.0, 1.0, 0.0]) * (1.0 if start.forward[2] < 0 else -1.0)
    norm = float(np.linalg.norm(flat))
    return flat / norm if norm > 1e-9 else np.array([1.0, 0.0, 0.0])


def lift_over_ground(
    positions: np.ndarray, ground_height_m: GroundHeight, clearance_m: float, returns: bool = False
) -> np.ndarray:
    """Heights to add so that no camera comes closer to the ground than ``clearance_m``.

    A climb begins early enough to stay within ``MAX_CLIMB_M`` a frame, and is rounded off. Only where the flight has
    just begun, or a returning one is about to end, is there no room for that: clearance comes before comfort.

    Args:
        positions: (n, 3) world metres. Where the first one's own clearance is smaller, that counts; it never moves.
        returns: the last position is not moved either.

    Returns:
        (n,) metres, >= 0.
    """
    ground = np.asarray(ground_height_m(positions[:, :2].copy()), dtype=np.float64).reshape(-1)
    if ground.shape != (len(positions),):
        raise ValueError(f"ground_height_m gave {ground.shape} heights for {len(positions)} positions")
    if not np.isfinite(ground).all():
        raise InputError("The height of the ground under the camera path is not finite; choose another start.")
    clearance = min(clearance_m, max(float(positions[0, 2] - ground[0]), 0.0))
    needed = np.maximum(ground + clearance - positions[:, 2], 0.0)
    n = len(needed)
    needed[0] = 0.0
    if returns:
        needed[-1] = 0.0
    if not needed.any():
        return needed
    gentle = needed.copy()
    for i in range(n - 2, -1, -1):
        gentle[i] = max(gentle[i], gentle[i + 1] - MAX_CLIMB_M)
    for i in range(1, n):
        gentle[i] = max(gentle[i], gentle[i - 1] - MAX_CLIMB_M)
    lift = gentle.copy()
    for i in range(n):
        # The mean of maxima over windows that all hold frame i: round, and never below what is needed there.
        width = min(ROUNDING_FRAMES, i, n - 1 - i)
        weights = 1.0 + np.cos(np.pi * np.arange(-width, width + 1) / (width + 1))
        tops = [gentle[max(0, i + k - width) : i + k + width + 1].max() for k in range(-width, width + 1)]
        lift[i] = float(weights @ np.array(tops) / weights.sum())
    room = MAX_CLIMB_M * np.arange(n)
    return np.maximum(needed, np.minimum(lift, np.minimum(room, room[::-1]) if returns else room))


def fractions(frames: int) -> np.ndarray:
    """(frames,) from 0 to 1."""
    return np.linspace(0.0, 1.0, frames) if frames > 1 else np.zeros(1)


def still(start: Camera, frames: int) -> np.ndarray:
    """(frames, 4, 4) copies of the start pose."""
    return np.repeat(start.c2w[None], frames, axis=0)
