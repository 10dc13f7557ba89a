"""Pinhole cameras, OpenCV convention: x right, y down, z forward; world right-handed, +Z up, metres.

Cameras are plain numpy float64 so that the user interface can hold them without loading torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from engine.errors import InputError

WORLD_UP = np.array([0.0, 0.0, 1.0])
DEFAULT_FOV_DEG = 50.0


def intrinsics_from_fov(fov_deg: float, width: int, height: int) -> np.ndarray:
    """``K (3, 3)`` in pixels with square pixels and the principal point in the middle; ``fov_deg`` is the vertical
    field of view."""
    focal_px = 0.5 * height / np.tan(0.5 * np.radians(fov_deg))
    return np.array([[focal_px, 0.0, 0.5 * width], [0.0, focal_px, 0.5 * height], [0.0, 0.0, 1.0]])


def look_at_c2w(eye: np.ndarray, target: np.ndarray) -> np.ndarray:
    """``c2w (4, 4)`` of a level camera at ``eye (3,)`` metres looking at ``target (3,)``; looking straight up or
    down faces +Y."""
    forward = np.asarray(target, float) - np.asarray(eye, float)
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, WORLD_UP)
    if np.linalg.norm(right) < 1e-6:
        right = np.array([1.0, 0.0, 0.0])
    right = right / np.linalg.norm(right)
    c2w = np.eye(4)
    c2w[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    c2w[:3, 3] = eye
    return c2w


def rotation_about_up(angle_rad: float) -> np.ndarray:
    """(3, 3) rotation by ``angle_rad`` about world +Z, counter-clockwise from above."""
    c, s = math.cos(angle_rad), math.sin(angle_rad)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def azimuth_rad(directions: np.ndarray) -> np.ndarray:
    """(..., 3) -> (...), of directions in the world: counter-clockwise from +X, in [-pi, pi]."""
    return np.asarray(np.arctan2(directions[..., 1], directions[..., 0]))


def elevation_rad(directions: np.ndarray) -> np.ndarray:
    """(..., 3) -> (...), of directions in the world: above the horizon, in [-pi/2, pi/2]."""
    return np.asarray(np.arctan2(directions[..., 2], np.hypot(directions[..., 0], directions[..., 1])))


def c2w_from_angles(position: np.ndarray, yaw_deg: float, pitch_deg: float, roll_deg: float = 0.0) -> np.ndarray:
    """``c2w (4, 4)``. Yaw turns left (counter-clockwise from above) with 0 looking along +X; positive pitch looks
    up; roll tilts clockwise."""
    yaw, pitch, roll = np.radians([yaw_deg, pitch_deg, roll_deg])
    forward = np.array([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    down = np.cross(forward, right)
    rolled_right = np.cos(roll) * right + np.sin(roll) * down
    c2w = np.eye(4)
    c2w[:3, :3] = np.stack([rolled_right, np.cross(forward, rolled_right), forward], axis=1)
    c2w[:3, 3] = position
    return c2w


@dataclass(frozen=True, eq=False)
class Camera:
    """A view: pose, intrinsics and image size.

    Attributes:
        c2w: (4, 4) float64 camera-to-world, rigid.
        K: (3, 3) float64 intrinsics in pixels of a ``width`` x ``height`` image; the centre of the top-left pixel is
        (0.5, 0.5).
        width, height: image size in pixels.
    """

    c2w: np.ndarray
    K: np.ndarray
    width: int
    height: int

    def __post_init__(self) -> None:
        for name, shape in (("c2w", (4, 4)), ("K", (3, 3))):
            value = np.array(getattr(self, name), dtype=np.float64)
            if value.shape != shape:
                raise InputError(f"A camera's {name} must have shape {shape}; it has {value.shape}.")
            value.setflags(write=False)
            object.__setattr__(self, name, value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Camera):
            return NotImplemented
        return self.size == other.size and np.array_equal(self.c2w, other.c2w) and np.array_equal(self.K, other.K)

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def from_fov(cls, c2w: np.ndarray, fov_deg: float, width: int, height: int) -> Camera:
        """A camera with square pixels; ``fov_deg`` is the vertical field of view."""
        return cls(c2w, intrinsics_from_fov(fov_deg, width, height), width, height)

    @classmethod
    def look_at(cls, eye: np.ndarray, target: np.ndarray, fov_deg: float, width: int, height: int) -> Camera:
        """A level camera at ``eye (3,)`` looking at ``target (3,)``, world metres."""
        return cls.from_fov(look_at_c2w(eye, target), fov_deg, width, height)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.height, self.width

    @property
    def position(self) -> np.ndarray:
        """(3,) world position of the optical centre, metres."""
        return self.c2w[:3, 3]

    @property
    def forward(self) -> np.ndarray:
        """(3,) unit viewing direction in the world."""
        return self.c2w[:3, 2]

    @property
    def w2c(self) -> np.ndarray:
        """(4, 4) world-to-camera: the exact rigid inverse of ``c2w``."""
        w2c = np.eye(4)
        w2c[:3, :3] = self.c2w[:3, :3].T
        w2c[:3, 3] = -self.c2w[:3, :3].T @ self.c2w[:3, 3]
        return w2c

    @property
    def fov_deg(self) -> float:
        """Vertical field of view in degrees."""
        return float(np.degrees(2.0 * np.arctan(0.5 * self.height / self.K[1, 1])))

    @property
    def yaw_deg(self) -> float:
        """Heading in degrees, counter-clockwise from above, 0 along +X."""
        return float(np.degrees(np.arctan2(self.forward[1], self.forward[0])))

    @property
    def pitch_deg(self) -> float:
        """Elevation of the viewing direction in degrees, positive up."""
        return float(np.degrees(np.arcsin(np.clip(self.forward[2], -1.0, 1.0))))

    def resized(self, width: int, height: int) -> Camera:
        """The same view sampled by another grid: ``K' = diag(width'/width, height'/height, 1) K`` (the paper's
        latent intrinsics)."""
        scale = np.diag([width / self.width, height / self.height, 1.0])
        return Camera(self.c2w, scale @ self.K, width, height)

    def latent(self, spatial_stride: int) -> Camera:
        """The view on the latent grid of a model with that stride."""
        return self.resized(self.width // spatial_stride, self.height // spatial_stride)

    def posed(self, c2w: np.ndarray) -> Camera:
        """The same intrinsics at another pose."""
        return replace(self, c2w=c2w)

    def rays(self) -> np.ndarray:
        """(height, width, 3) ray directions in the world through pixel centres, with camera z = 1 (not normalised)."""
        right, down, corner = (self.c2w[:3, :3] @ np.linalg.inv(self.K)).T
        u, v = (np.arange(side)[:, None] + 0.5 for side in (self.width, self.height))
        return (v * down + corner)[:, None] + u * right
