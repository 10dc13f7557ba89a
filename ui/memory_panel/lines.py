"""Thick, antialiased line segments and the panel's backdrop (gradient and ground grid)."""

from __future__ import annotations

import numpy as np
from vispy import gloo

from engine.camera import Camera
from ui.memory_panel.shaders import BACKDROP_FRAGMENT, BACKDROP_VERTEX, LINE_FRAGMENT, LINE_VERTEX

Rgba = tuple[float, float, float, float]
_CORNERS = np.array([[0, -1], [1, -1], [1, 1], [0, -1], [1, 1], [0, 1]], np.float32)
_LINE_DTYPE = np.dtype(
    [("a_from", np.float32, 3), ("a_to", np.float32, 3), ("a_corner", np.float32, 2), ("a_color", np.float32, 4)]
)


class LineVisual:
    """A batch of segments drawn as screen-space ribbons, so that they have a width on every driver."""

    def __init__(self, width_px: float = 2.0) -> None:
        self.width_px = width_px
        self.count = 0
        self._program = gloo.Program(LINE_VERTEX, LINE_FRAGMENT)

    def set_segments(self, segments: np.ndarray, colors: np.ndarray) -> None:
        """``segments (n, 2, 3)`` world metres, ``colors (n, 4)`` or ``(n, 2, 4)`` in [0, 1]."""
        self.count = len(segments)
        if self.count == 0:
            return
        if colors.ndim == 2:
            colors = np.repeat(colors[:, None], 2, axis=1)
        vertices = np.zeros((self.count, 6), _LINE_DTYPE)
        vertices["a_from"] = segments[:, None, 0]
        vertices["a_to"] = segments[:, None, 1]
        vertices["a_corner"] = _CORNERS[None]
        vertices["a_color"] = colors[:, _CORNERS[:, 0].astype(int)]
        self._program.bind(gloo.VertexBuffer(vertices.reshape(-1)))

    def draw(self, clip_from_world: np.ndarray, viewport_px: tuple[int, int], pixel_ratio: float = 1.0) -> None:
        """Draw all segments; ``viewport_px`` (width, height)."""
        if self.count == 0:
            return
        self._program["u_clip_from_world"] = clip_from_world.T.astype(np.float32)
        self._program["u_half_px"] = (float(viewport_px[0]) / 2, float(viewport_px[1]) / 2)
        self._program["u_width_px"] = self.width_px * pixel_ratio
        self._program.draw("triangles")


class Backdrop:
    """Gradient from ground over horizon to zenith with an endless grid on the ground plane, in one full-screen quad."""

    def __init__(self, zenith: Rgba, horizon: Rgba, ground: Rgba, line: Rgba) -> None:
        self._program = gloo.Program(BACKDROP_VERTEX, BACKDROP_FRAGMENT)
        self._program["a_corner"] = gloo.VertexBuffer(np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]], np.float32))
        for name, color in (("u_zenith", zenith), ("u_horizon", horizon), ("u_ground", ground), ("u_line", line)):
            self._program[name] = color[:3]
        self.grid = True
        self.grid_z_m = 0.0
        self.cell_m = 1.0

    def draw(self, clip_from_world: np.ndarray, eye: np.ndarray) -> None:
        """Fill the viewport; depth is neither tested nor written by the caller's state."""
        self._program["u_world_from_clip"] = np.linalg.inv(clip_from_world).T.astype(np.float32)
        self._program["u_eye"] = eye.astype(np.float32)
        self._program["u_grid"] = float(self.grid)
        self._program["u_grid_z"] = float(self.grid_z_m)
        self._program["u_cell_m"] = float(self.cell_m)
        self._program.draw("triangle_strip")


def frustum_segments(camera: Camera, depth_m: float) -> np.ndarray:
    """(8, 2, 3) edges of a camera's viewing pyramid out to ``depth_m``, plus a tick for the top of the picture: (10,
    2, 3).
    """
    corners = np.array([[0, 0], [camera.width, 0], [camera.width, camera.height], [0, camera.height]], float)
    pixels = np.concatenate([corners, np.ones((4, 1))], axis=1)
    rays = pixels @ np.linalg.inv(camera.K).T @ camera.c2w[:3, :3].T
    points = camera.position + rays * depth_m
    eye = np.repeat(camera.position[None], 4, axis=0)
    edges = np.stack([eye, points], axis=1)
    frame = np.stack([points, np.roll(points, -1, axis=0)], axis=1)
    top = 0.5 * (points[0] + points[1])
    peak = top - camera.c2w[:3, 1] * depth_m * 0.12
    width = (points[1] - points[0]) * 0.16
    tick = np.array([[top - width, peak], [peak, top + width]])
    return np.concatenate([edges, frame, tick])


def box_segments(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(12, 2, 3) edges of the axis-aligned box from ``low (3,)`` to ``high (3,)``."""
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
    points = low + corners * (high - low)
    pairs = [(a, b) for a in range(8) for b in range(a + 1, 8) if np.abs(corners[a] - corners[b]).sum() == 1]
    return np.array([[points[a], points[b]] for a, b in pairs])
