"""The memory panel's own cameras: orbit around the cloud, fly through it, or follow the explorer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from engine.camera import Camera

CameraMode = Literal["orbit", "fly", "follow"]
MIN_DISTANCE_M = 0.05
MAX_DISTANCE_M = 20_000.0
PITCH_LIMIT_DEG = 89.0


def _forward(yaw_deg: float, pitch_deg: float) -> np.ndarray:
    yaw, pitch = np.radians([yaw_deg, pitch_deg])
    return np.array([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)])


@dataclass
class ViewCamera:
    """Where the panel looks from: a pivot, a distance and two angles (yaw 0 along +X, counter-clockwise; pitch up).

    In *orbit* the pivot stays and the eye turns around it; in *fly* the eye stays and the pivot moves with the view; in
    *follow* the pivot
    rides on the explorer's camera and the yaw turns with it.
    """

    mode: CameraMode = "orbit"
    pivot: np.ndarray = field(default_factory=lambda: np.zeros(3))
    distance_m: float = 30.0
    yaw_deg: float = 120.0
    pitch_deg: float = -32.0
    fov_deg: float = 45.0

    @property
    def forward(self) -> np.ndarray:
        """(3,) unit viewing direction."""
        return _forward(self.yaw_deg, self.pitch_deg)

    @property
    def right(self) -> np.ndarray:
        """(3,) unit vector to the right, level."""
        yaw = np.radians(self.yaw_deg)
        return np.array([np.sin(yaw), -np.cos(yaw), 0.0])

    @property
    def eye(self) -> np.ndarray:
        """(3,) world metres."""
        return self.pivot - self.forward * self.distance_m

    def turn(self, right_deg: float, up_deg: float) -> None:
        """Turn the view; in orbit and follow around the pivot, in fly around the eye."""
        eye = self.eye
        self.yaw_deg = (self.yaw_deg - right_deg) % 360.0
        self.pitch_deg = float(np.clip(self.pitch_deg + up_deg, -PITCH_LIMIT_DEG, PITCH_LIMIT_DEG))
        if self.mode == "fly":
            self.pivot = eye + self.forward * self.distance_m

    def pan(self, right_px: float, up_px: float, height_px: int) -> None:
        """Slide so that the plane through the pivot follows the pointer."""
        metres_per_px = 2.0 * np.tan(np.radians(self.fov_deg) / 2) * self.distance_m / max(height_px, 1)
        up = np.cross(self.right, self.forward)
        self.pivot = self.pivot + (self.right * right_px + up * up_px) * metres_per_px

    def zoom(self, notches: float) -> None:
        """One notch of the wheel closer (positive) or away; in fly the eye moves along the view instead."""
        if self.mode == "fly":
            self.pivot = self.pivot + self.forward * self.distance_m * 0.12 * notches
            return
        self.distance_m = float(np.clip(self.distance_m * 0.88**notches, MIN_DISTANCE_M, MAX_DISTANCE_M))

    def move(self, right: float, up: float, ahead: float, dt_s: float, speed_m_s: float) -> None:
        """Fly for ``dt_s`` seconds; the three numbers are in [-1, 1]."""
        step_m = speed_m_s * dt_s
        self.pivot = self.pivot + (self.right * right + self.forward * ahead + np.array([0, 0, 1.0]) * up) * step_m

    def frame(self, low: np.ndarray, high: np.ndarray) -> None:
        """Look at the whole box from ``low (3,)`` to ``high (3,)``."""
        radius = max(0.5 * float(np.linalg.norm(high - low)), 0.5)
        self.pivot = 0.5 * (low + high)
        self.distance_m = float(np.clip(radius / np.sin(np.radians(self.fov_deg) / 2), 1.0, MAX_DISTANCE_M))

    def follow(self, camera: Camera, distance_m: float | None = None) -> None:
        """Ride behind and above the explorer's camera."""
        self.pivot = camera.position.copy()
        self.yaw_deg = camera.yaw_deg
        if distance_m is not None:
            self.distance_m = distance_m

    def view(self) -> np.ndarray:
        """(4, 4) world -> OpenGL eye space (x right, y up, looking along -z)."""
        right, forward = self.right, self.forward
        up = np.cross(right, forward)
        matrix = np.eye(4)
        matrix[:3, :3] = np.stack([right, up, -forward])
        matrix[:3, 3] = -matrix[:3, :3] @ self.eye
        return matrix

    def projection(self, width: int, height: int) -> np.ndarray:
        """(4, 4) perspective of a ``width`` x ``height`` viewport; the depth range follows the distance."""
        near = float(np.clip(self.distance_m * 0.01, 0.02, 5.0))
        far = near * 20_000.0
        scale = 1.0 / np.tan(np.radians(self.fov_deg) / 2)
        matrix = np.zeros((4, 4))
        matrix[0, 0] = scale * height / max(width, 1)
        matrix[1, 1] = scale
        matrix[2, 2] = (far + near) / (near - far)
        matrix[2, 3] = 2 * far * near / (near - far)
        matrix[3, 2] = -1.0
        return matrix
