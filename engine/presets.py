"""Camera-path presets: ready-made flights relative to a start camera.

Sizes left at ``None`` follow from the number of frames, so that the motion between two frames stays the same however
long the film is: ``step_m`` metres on average (0.3: brisk, for an outdoor world) and no more than about
``MAX_TURN_DEG`` degrees. A size that is given is used as it is. Every preset starts exactly at the start camera, and
those that say so return to exactly that pose.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from engine.camera import WORLD_UP, Camera, intrinsics_from_fov, rotation_about_up
from engine.camera_path import DEFAULT_FPS, MAX_CAMERAS, CameraPath, GroundHeight, check_fps
from engine.errors import InputError
from engine.preset_motion import (
    fractions,
    glide,
    heading,
    lift_over_ground,
    rotation_about,
    still,
)

DEFAULT_STEP_M = 0.3
MAX_TURN_DEG = 3.05
"""Degrees of turning per frame that sizes left open may reach; 120 frames make a full turn."""
GERONO_LENGTH = 6.097223
"""Arc length of the lemniscate x = sin t, y = sin t cos t, whose half-length is 1."""


@dataclass(frozen=True)
class Preset:
    """A flight relative to a start camera.

    Attributes:
        step_m: metres per frame, on average, where sizes are left open.
        clearance_m: least height above the ground, where the ground is known (less if the start itself is lower).
    """

    step_m: float = DEFAULT_STEP_M
    clearance_m: float = 1.5

    name: ClassVar[str] = ""
    about: ClassVar[str] = ""
    limits: ClassVar[dict[str, tuple[float, float]]] = {}
    mirrored: ClassVar[bool] = False

    def __post_init__(self) -> None:
        bounds = {"step_m": (0.0, 100.0), "clearance_m": (0.0, 1000.0), **self.limits}
        for item in fields(self):
            value = getattr(self, item.name)
            if value is None or isinstance(value, bool):
                continue
            low, high = bounds.get(item.name, (-10_000.0, 10_000.0))
            if not (math.isfinite(value) and low <= value <= high):
                raise InputError(
                    f"The {self.name} path's {item.name} must lie between {low:g} and {high:g}; it was {value:g}."
                )

    def poses(self, start: Camera, frames: int) -> np.ndarray:
        """(frames, 4, 4) camera-to-world, ground not yet considered."""
        raise TypeError(f"{type(self).__name__} is not a path of its own; use one of {', '.join(PRESETS)}.")

    def fovs_deg(self, start: Camera, frames: int) -> np.ndarray | None:
        """(frames,) vertical fields of view, or None to keep the start camera's intrinsics."""
        return None

    def path(
        self, start: Camera, frames: int, fps: float = DEFAULT_FPS, ground_height_m: GroundHeight | None = None
    ) -> CameraPath:
        """The cameras of this flight: ``frames`` of them, with the size of ``start``, never below the ground."""
        if not 1 <= frames <= MAX_CAMERAS:
            raise InputError(f"A path needs between 1 and {MAX_CAMERAS:,} frames; {frames:,} were asked for.")
        check_fps(fps)
        c2ws = self.poses(start, frames)
        c2ws[0] = start.c2w
        if ground_height_m is not None:
            flown = (frames + 1) // 2 if self.mirrored else frames
            returns = frames > 1 and np.array_equal(c2ws[flown - 1], start.c2w)
            c2ws[:flown, 2, 3] += lift_over_ground(c2ws[:flown, :3, 3], ground_height_m, self.clearance_m, returns)
        if self.mirrored:
            c2ws[(frames + 1) // 2 :] = c2ws[: frames // 2][::-1]
        fovs = self.fovs_deg(start, frames)
        cameras = [start.posed(c2w) for c2w in c2ws]
        if fovs is not None:
            for i in range(1, frames):
                K = intrinsics_from_fov(float(fovs[i]), start.width, start.height)
                cameras[i] = Camera(c2ws[i], K, start.width, start.height)
        return CameraPath(tuple(cameras), fps)

    def _length_m(self, frames: int) -> float:
        return self.step_m * max(frames - 1, 1)

    @staticmethod
    def _turn_deg(frames: int, at_most_deg: float) -> float:
        return min(at_most_deg, MAX_TURN_DEG * max(frames - 1, 1))


@dataclass(frozen=True)
class Straight(Preset):
    """Level flight along the heading at constant speed. ``distance_m``: negative flies backwards."""

    distance_m: float | None = None
    name: ClassVar[str] = "straight"
    about: ClassVar[str] = "level flight straight ahead at constant speed"

    def poses(self, start: Camera, frames: int) -> np.ndarray:
        distance_m = self._length_m(frames) if self.distance_m is None else self.distance_m
        c2ws = still(start, frames)
        c2ws[:, :3, 3] += (fractions(frames) * distance_m)[:, None] * heading(start)
        return c2ws


@dataclass(frozen=True)
class Dolly(Preset):
    """A camera on level rails: along the heading with an eased start and stop (``side_m``: to the right as well).

    ``zoom`` moves along the optical axis instead and keeps what lies ``subject_m`` ahead the same size by changing the
    field of view (the vertigo effect).
    """

    distance_m: float | None = None
    side_m: float = 0.0
    zoom: bool = False
    subject_m: float = 60.0
    name: ClassVar[str] = "dolly"
    about: ClassVar[str] = "an eased push ahead on level rails; zoom=yes for the vertigo effect"
    limits: ClassVar[dict[str, tuple[float, float]]] = {"subject_m": (0.1, 10_000.0)}

    def _distance_m(self, frames: int) -> float:
        return self._length_m(frames) if self.distance_m is None else self.distance_m

    def poses(self, start: Camera, frames: int) -> np.ndarray:
        travel = glide(fractions(frames))[:, None]
        c2ws = still(start, frames)
        ahead = start.forward if self.zoom else heading(start)
        c2ws[:, :3, 3] += travel * (self._distance_m(frames) * ahead + self.side_m * start.c2w[:3, 0])
        return c2ws

    def fovs_deg(self, start: Camera, frames: int) -> np.ndarray | None:
        if not self.zoom:
            return None
        left_m = self.subject_m - glide(fractions(frames)) * self._distance_m(frames)
        half = math.tan(0.5 * math.radians(start.fov_deg)) * self.subject_m / np.maximum(left_m, 1e-3)
        fovs_deg = np.degrees(2.0 * np.arctan(half))
        if fovs_deg.max() > 150.0 or fovs_deg.min() < 2.0:
            raise InputError(
                f"A dolly zoom over {self._distance_m(frames):g} m with its subject {self.subject_m:g} m ahead would "
                f"need fields of view of {fovs_deg.min():.0f} to {fovs_deg.max():.0f} degrees; move less far or put "
                f"subject_m further away."
            )
        return fovs_deg


@dataclass(frozen=True)
class Loop(Preset):
    """Leaves along a curve and comes back over exactly the same poses, the film of the way out run backwards.

    ``turn_deg`` is how far the heading swings (left is positive) on the way out: far enough by default that the first
    view is out of sight at the turning point, so that coming back shows what was remembered.
    """

    distance_m: float | None = None
    turn_deg: float | None = None
    name: ClassVar[str] = "loop"
    about: ClassVar[str] = "leaves along a curve, turns, and returns over exactly the same poses"
    mirrored: ClassVar[bool] = True

    def poses(self, start: Camera, frames: int) -> np.ndarray:
        half = (frames + 1) // 2
        distance_m = self._length_m(half) if self.distance_m is None else self.distance_m
        # The swing peaks at 2.5 times its mean rate: twice from the square below, 1.25 times from the glide.
        turn_deg = self._turn_deg(half, 200.0) / 2.5 if self.turn_deg is None else self.turn_deg
        u = glide(fractions(half))
        c2ws = still(start, frames)
        ahead = heading(start)
        # The heading swings with the square of the way, slowly at first: the flight leaves before it turns.
        fine = np.linspace(0.0, 1.0, 2049)
        angle = math.radians(turn_deg) * fine**2
        left = np.cross(WORLD_UP, ahead)
        direction = np.cos(angle)[:, None] * ahead + np.sin(angle)[:, None] * left
        middles = 0.5 * (direction[1:] + direction[:-1]) * (distance_m / 2048)
        curve = np.concatenate([np.zeros((1, 3)), np.cumsum(middles, axis=0)])
        for i in range(half):
            c2ws[i, :3, :3] = rotation_about_up(math.radians(turn_deg) * u[i] ** 2) @ start.c2w[:3, :3]
            c2ws[i, :3, 3] += [np.interp(u[i], fine, curve[:, axis]) for axis in range(3)]
        return c2ws


@dataclass(frozen=True)
class Orbit(Preset):
    """Around a pivot straight ahead, which stays where it is in the picture; a full turn (the default from 120 frames
    on) ends exactly where it began. Positive degrees fly to the right of the pivot."""

    radius_m: float | None = None
    degrees: float | None = None
    name: ClassVar[str] = "orbit"
    about: ClassVar[str] = "around a pivot ahead; a full turn from 120 frames on"
    limits: ClassVar[dict[str, tuple[float, float]]] = {"radius_m": (0.01, 10_000.0)}

    def poses(self, start: Camera, frames: int) -> np.ndarray:
        degrees = self._turn_deg(frames, 360.0) if self.degrees is None else self.degrees
        radius_m = self.radius_m
        if radius_m is None:
            radius_m = float(np.clip(self._length_m(frames) / max(math.radians(abs(degrees)), 1e-3), 2.0, 40.0))
        pivot = start.position + radius_m * heading(start)
        c2ws = still(start, frames)
        for i, u in enumerate(fractions(frames)):
            turn = rotation_about_up(math.radians(math.remainder(degrees * u, 360.0)))
            c2ws[i, :3, :3] = turn @ start.c2w[:3, :3]
            c2ws[i, :3, 3] = pivot + turn @ (start.position - pivot)
        return _closed(c2ws, start, math.remainder(degrees, 360.0) == 0.0)


@dataclass(frozen=True)
class Spiral(Preset):
    """A helix around a pivot ahead: climbs ``rise_m`` in ``turns`` turns, looking at the pivot all the way."""

    radius_m: float | None = None
    rise_m: float | None = None
    turns: float | None = None
    name: ClassVar[str] = "spiral"
    about: ClassVar[str] = "a climbing helix around a pivot ahead, looking at it"
    limits: ClassVar[dict[str, tuple[float, float]]] = {"radius_m": (0.01, 10_000.0), "turns": (-1000.0, 1000.0)}

    def poses(self, start: Camera, frames: int) -> np.ndarray:
        turns = self._turn_deg(frames, 540.0) / 360.0 if self.turns is None else self.turns
        radius_m = self.radius_m
        if radius_m is None:
            radius_m = float(np.clip(0.99 * self._length_m(frames) / max(2.0 * math.pi * abs(turns), 1e-3), 2.0, 40.0))
        rise_m = 0.6 * radius_m if self.rise_m is None else self.rise_m
        pivot = start.position + radius_m * heading(start)
        right = np.cross(heading(start), WORLD_UP)
        c2ws = still(start, frames)
        for i, u in enumerate(fractions(frames)):
            turn = rotation_about_up(2.0 * math.pi * turns * u)
            height = rise_m * float(glide(np.array(u)))
            down = rotation_about(right, -math.atan2(height, radius_m))
            c2ws[i, :3, :3] = turn @ down @ start.c2w[:3, :3]
            c2ws[i, :3, 3] = pivot + turn @ (start.position - pivot) + height * WORLD_UP
        return c2ws


@dataclass(frozen=True)
class Crane(Preset):
    """Rises ``rise_m`` while moving ``forward_m`` and tilting ``tilt_deg`` (negative looks down), eased."""

    rise_m: float | None = None
    forward_m: float | None = None
    tilt_deg: float = -20.0
    name: ClassVar[str] = "crane"
    about: ClassVar[str] = "rises, moves ahead and looks down, eased"
    limits: ClassVar[dict[str, tuple[float, float]]] = {"tilt_deg": (-90.0, 90.0)}

    def poses(self, start: Camera, frames: int) -> np.ndarray:
        rise_m = 0.5 * self._length_m(frames) if self.rise_m is None else self.rise_m
        forward_m = 0.85 * self._length_m(frames) if self.forward_m is None else self.forward_m
        right = np.cross(heading(start), WORLD_UP)
        c2ws = still(start, frames)
        for i, u in enumerate(glide(fractions(frames))):
            c2ws[i, :3, :3] = rotation_about(right, math.radians(self.tilt_deg) * u) @ start.c2w[:3, :3]
            c2ws[i, :3, 3] += u * (rise_m * WORLD_UP + forward_m * heading(start))
        return c2ws


@dataclass(frozen=True)
class LookAround(Preset):
    """Stands still and turns left by ``degrees`` (negative: right) about the vertical; a full turn ends exactly where
    it began.
    """

    degrees: float | None = None
    name: ClassVar[str] = "look-around"
    about: ClassVar[str] = "stands still and turns; a full turn from 120 frames on"

    def poses(self, start: Camera, frames: int) -> np.ndarray:
        degrees = self._turn_deg(frames, 360.0) if self.degrees is None else self.degrees
        c2ws = still(start, frames)
        for i, u in enumerate(fractions(frames)):
            c2ws[i, :3, :3] = rotation_about_up(math.radians(math.remainder(degrees * u, 360.0))) @ start.c2w[:3, :3]
        return _closed(c2ws, start, math.remainder(degrees, 360.0) == 0.0)


@dataclass(frozen=True)
class FigureEight(Preset):
    """A lying eight (Gerono's lemniscate) whose crossing is the start, looking along the way; ends exactly where it
    began.

    ``radius_m`` is half its length. It slows down where it turns. The start is passed a second time half way, with
    another heading.
    """

    radius_m: float | None = None
    name: ClassVar[str] = "figure-eight"
    about: ClassVar[str] = "a lying eight that crosses the start half way and ends there"
    limits: ClassVar[dict[str, tuple[float, float]]] = {"radius_m": (0.01, 10_000.0)}

    def poses(self, start: Camera, frames: int) -> np.ndarray:
        radius_m = self._length_m(frames) / GERONO_LENGTH if self.radius_m is None else self.radius_m
        t = np.linspace(0.0, 2.0 * math.pi, 8193)
        curve = radius_m * np.stack([np.sin(t), np.sin(t) * np.cos(t)], axis=1)
        yaws = np.unwrap(np.arctan2(np.cos(2.0 * t), np.cos(t)))
        # Slower round the two ends: what a frame costs is its way and its turn together, not its way alone.
        way, turn = np.linalg.norm(np.diff(curve, axis=0), axis=1), np.abs(np.diff(yaws))
        cost = np.concatenate([[0.0], np.cumsum(np.hypot(way / max(way.sum(), 1e-9), turn / turn.sum()))])
        at = np.interp(fractions(frames) * cost[-1], cost, t)
        yaw = np.interp(at, t, yaws)
        ahead = heading(start)
        back = -math.pi / 4.0  # the eight leaves its crossing at 45 degrees; turned so that this is straight ahead
        c2ws = still(start, frames)
        for i in range(frames):
            x, y = radius_m * math.sin(at[i]), radius_m * math.sin(at[i]) * math.cos(at[i])
            offset = rotation_about_up(back) @ np.array([x, y, 0.0])
            c2ws[i, :3, :3] = rotation_about_up(yaw[i] - yaw[0]) @ start.c2w[:3, :3]
            c2ws[i, :3, 3] += offset[0] * ahead + offset[1] * np.cross(WORLD_UP, ahead)
        return _closed(c2ws, start, True)


def _closed(c2ws: np.ndarray, start: Camera, returns: bool) -> np.ndarray:
    """Make the last pose the first one to the last bit where the path returns, so that rounding never opens it."""
    if returns and len(c2ws) > 1:
        c2ws[-1] = start.c2w
    return c2ws


PRESETS: dict[str, type[Preset]] = {
    preset.name: preset for preset in (Orbit, Loop, Dolly, Crane, Spiral, LookAround, FigureEight, Straight)
}
