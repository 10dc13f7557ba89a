"""Flights by keyframes: smooth splines through poses, one evaluator for the app's preview and the rendered film."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from engine.camera import Camera
from engine.camera_path import DEFAULT_FPS, MAX_CAMERAS, CameraPath, check_fps
from engine.errors import InputError

if TYPE_CHECKING:
    from scipy.interpolate import CubicHermiteSpline

Easing = Literal["linear", "smooth", "ease-in", "ease-out", "hold"]
EASINGS: tuple[Easing, ...] = ("linear", "smooth", "ease-in", "ease-out", "hold")
PositionSpline = Literal["catmull-rom", "pchip", "linear"]
RotationKind = Literal["spline", "slerp"]
WRAPPED = 12
"""Keyframes repeated at either end of a closed path: what lies further no longer bends the spline at its seam."""


def ease(kind: Easing, u: np.ndarray) -> np.ndarray:
    """Fraction of the way at the fraction ``u (n,)`` of a segment's time; every kind but ``hold`` runs from 0 to 1 and
    never back.
    """
    if kind == "smooth":
        return u * u * (3.0 - 2.0 * u)
    if kind == "ease-in":
        return u * u
    if kind == "ease-out":
        return u * (2.0 - u)
    if kind == "hold":
        return np.zeros_like(u)
    return u


@dataclass(frozen=True, eq=False)
class Keyframe:
    """A pose to fly through.

    Attributes:
        c2w: (4, 4) camera-to-world, OpenCV, rigid.
        fov_deg: vertical field of view.
        seconds: time to the next keyframe (on the last one of a closed path: back to the first; otherwise unused).
        easing: of that segment. ``linear`` keeps the speed flowing through keyframes, ``smooth`` comes to rest at both
            ends, ``ease-in`` only at its beginning, ``ease-out`` only at its end, ``hold`` waits and jumps.
        name: for people.
    """

    c2w: np.ndarray
    fov_deg: float
    seconds: float = 1.0
    easing: Easing = "linear"
    name: str = ""

    def __post_init__(self) -> None:
        c2w = np.array(self.c2w, dtype=np.float64)
        if c2w.shape != (4, 4) or not np.isfinite(c2w).all():
            raise InputError("A keyframe's pose must be a finite 4x4 camera-to-world matrix.")
        if np.abs(c2w[:3, :3].T @ c2w[:3, :3] - np.eye(3)).max() > 1e-3 or np.linalg.det(c2w[:3, :3]) < 0:
            raise InputError("A keyframe's pose must be rigid: a rotation and a position, without scale or mirroring.")
        c2w.setflags(write=False)
        object.__setattr__(self, "c2w", c2w)
        if not (math.isfinite(self.fov_deg) and 1.0 <= self.fov_deg <= 170.0):
            raise InputError(f"A keyframe's field of view must lie between 1 and 170 degrees; it was {self.fov_deg:g}.")
        if not (math.isfinite(self.seconds) and 1e-3 <= self.seconds <= 86_400.0):
            raise InputError(f"A keyframe lasts between 0.001 and 86400 seconds; this one lasts {self.seconds:g}.")
        if self.easing not in EASINGS:
            raise InputError(f"A keyframe's easing is one of {', '.join(EASINGS)}; it was {self.easing!r}.")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Keyframe):
            return NotImplemented
        mine = (self.fov_deg, self.seconds, self.easing, self.name)
        return mine == (other.fov_deg, other.seconds, other.easing, other.name) and np.array_equal(self.c2w, other.c2w)

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def at(cls, camera: Camera, seconds: float = 1.0, easing: Easing = "linear", name: str = "") -> Keyframe:
        """A keyframe where a camera stands."""
        return cls(camera.c2w, camera.fov_deg, seconds, easing, name)


@dataclass(frozen=True)
class PathSpec:
    """Keyframes and how to fly through them; the editable form of a path.

    Attributes:
        keyframes: at least one.
        position: ``catmull-rom`` (centripetal: smooth, without loops or cusps), ``pchip`` (never overshoots a
            coordinate) or ``linear``.
        rotation: ``spline`` (angular velocity and acceleration flow through keyframes) or ``slerp`` (constant turning
            between two).
        closed: after the last keyframe return to the first.
    """

    keyframes: tuple[Keyframe, ...]
    position: PositionSpline = "catmull-rom"
    rotation: RotationKind = "spline"
    closed: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "keyframes", tuple(self.keyframes))
        if not 1 <= len(self.keyframes) <= MAX_CAMERAS:
            raise InputError(f"A path has 1 to {MAX_CAMERAS:,} keyframes; this one has {len(self.keyframes):,}.")
        if self.position not in ("catmull-rom", "pchip", "linear"):
            raise InputError(f"Positions are interpolated by catmull-rom, pchip or linear; it was {self.position!r}.")
        if self.rotation not in ("spline", "slerp"):
            raise InputError(f"Rotations are interpolated by spline or slerp; it was {self.rotation!r}.")

    @classmethod
    def through(cls, path: CameraPath) -> PathSpec:
        """The spec whose keyframes are a path's cameras at the path's own times."""
        gaps = np.maximum(np.diff(path.times_s), 1e-3)
        seconds = [*gaps.tolist(), 1.0]
        return cls(tuple(Keyframe.at(camera, gap) for camera, gap in zip(path.cameras, seconds, strict=True)))

    @property
    def times_s(self) -> np.ndarray:
        """(n,) when each keyframe is reached; closed paths have one more, the return to the first."""
        gaps = [key.seconds for key in self.keyframes]
        return np.concatenate([[0.0], np.cumsum(gaps if self.closed else gaps[:-1])])

    @property
    def seconds(self) -> float:
        """From the first keyframe to the last."""
        return float(self.times_s[-1])

    def frames_at(self, fps: float) -> int:
        """Frames of a film of this path: both ends are shown."""
        return max(1, round(self.seconds * check_fps(fps)) + 1)

    def with_keyframe(self, index: int, keyframe: Keyframe) -> PathSpec:
        """A copy in which one keyframe is replaced."""
        keys = list(self.keyframes)
        keys[index] = keyframe
        return replace(self, keyframes=tuple(keys))

    def evaluate(self, size: tuple[int, int], frames: int | None = None, fps: float = DEFAULT_FPS) -> CameraPath:
        """The cameras of the film.

        Args:
            size: (height, width) of the images.
            frames: spread evenly over the whole path; ``None`` plays it in its own time at ``fps``.
        """
        count = self.frames_at(fps) if frames is None else frames
        if not 1 <= count <= MAX_CAMERAS:
            raise InputError(f"A path needs between 1 and {MAX_CAMERAS:,} frames; {count:,} were asked for.")
        times_s = np.linspace(0.0, self.seconds, count) if count > 1 else np.zeros(1)
        c2ws, fovs_deg = self.sample(times_s)
        height, width = size
        cameras = [Camera.from_fov(c2w, float(fov), width, height) for c2w, fov in zip(c2ws, fovs_deg, strict=True)]
        return CameraPath(tuple(cameras), fps)

    def sample(self, times_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``c2ws (n, 4, 4)`` and vertical fields of view ``(n,)`` at ``times_s (n,)``, clamped to the path.

        At a keyframe's time its own pose comes back to the last bit.
        """
        times_s = np.clip(np.asarray(times_s, dtype=np.float64), 0.0, self.seconds)
        knots = self.times_s
        keys = [*self.keyframes, self.keyframes[0]] if self.closed else list(self.keyframes)
        if len(self.keyframes) == 1 or len(knots) == 1:
            only = self.keyframes[0]
            return np.repeat(only.c2w[None], len(times_s), axis=0), np.full(len(times_s), only.fov_deg)
        segment = np.clip(np.searchsorted(knots, times_s, side="right") - 1, 0, len(knots) - 2)
        u = (times_s - knots[segment]) / (knots[segment + 1] - knots[segment])
        eased = np.empty_like(u)
        for kind in EASINGS:
            chosen = np.array([keys[i].easing == kind for i in range(len(knots) - 1)])[segment]
            eased[chosen] = ease(kind, u[chosen])
        eased = np.where(u >= 1.0, 1.0, eased)  # even a hold has arrived at its end
        at = knots[segment] + eased * (knots[segment + 1] - knots[segment])

        positions, rotations, focals = self._splines(knots, keys, at)
        c2ws = np.tile(np.eye(4), (len(at), 1, 1))
        c2ws[:, :3, :3] = rotations
        c2ws[:, :3, 3] = positions
        fovs_deg = np.degrees(2.0 * np.arctan(np.exp(-focals)))
        for side, offset in ((eased <= 0.0, 0), (eased >= 1.0, 1)):
            for i in np.flatnonzero(side):
                key = keys[segment[i] + offset]
                c2ws[i], fovs_deg[i] = key.c2w, key.fov_deg
        return c2ws, fovs_deg

    def _splines(
        self, knots: np.ndarray, keys: list[Keyframe], at: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Positions (n, 3), rotations (n, 3, 3) and log focal lengths (n,) at path times ``at (n,)``."""
        from scipy.interpolate import PchipInterpolator  # takes most of a second: not on the way to the first frame
        from scipy.spatial.transform import Rotation, RotationSpline, Slerp

        if self.closed:
            period, n = knots[-1], len(keys) - 1
            order = np.arange(-WRAPPED, n + 1 + WRAPPED)
            knots = np.array([knots[i % n] + period * (i // n) for i in order])
            keys = [keys[i % n] for i in order]
        points = np.stack([key.c2w[:3, 3] for key in keys])
        if self.position == "linear":
            positions = np.stack([np.interp(at, knots, points[:, axis]) for axis in range(3)], axis=1)
        elif self.position == "pchip" or len(keys) == 2:
            positions = PchipInterpolator(knots, points)(at)
        else:
            positions = centripetal(knots, points)(at)
        turns = Rotation.from_matrix(np.stack([key.c2w[:3, :3] for key in keys]))
        rotation = RotationSpline(knots, turns) if self.rotation == "spline" and len(keys) > 2 else Slerp(knots, turns)
        # A field of view eases as a zoom lens does: by ratio of focal lengths, and without overshooting.
        focals = np.array([-math.log(math.tan(0.5 * math.radians(key.fov_deg))) for key in keys])
        return positions, rotation(at).as_matrix(), PchipInterpolator(knots, focals)(at)


def centripetal(times_s: np.ndarray, points: np.ndarray) -> CubicHermiteSpline:
    """Catmull-Rom through ``points (n, 3)`` at ``times_s (n,)``, n >= 3, with the tangents of the centripetal
    parametrisation.

    Neighbouring chords weigh in by the square root of their lengths, which keeps unevenly spaced keyframes free of
    loops and cusps (Yuksel, Schaefer and Keyser 2011). Tangents are directions and speeds: limited to three times the
    slower neighbouring segment, so that a keyframe followed by a rest does not overshoot.
    """
    from scipy.interpolate import CubicHermiteSpline

    chords = np.diff(points, axis=0)
    lengths = np.linalg.norm(chords, axis=1)
    gaps = np.maximum(np.sqrt(lengths), 1e-6)[:, None]
    slopes = chords / gaps
    middle = (slopes[:-1] * gaps[1:] + slopes[1:] * gaps[:-1]) / (gaps[1:] + gaps[:-1])
    # From the spline's own parameter to seconds: the mean rates of the two segments, weighted as in a non-uniform
    # difference.
    dt = np.diff(times_s)[:, None]
    rates = gaps / dt
    rate = (rates[:-1] * dt[1:] + rates[1:] * dt[:-1]) / (dt[1:] + dt[:-1])
    inner = middle * rate
    speed_limit = 3.0 * np.minimum(lengths[:-1] / dt[:-1, 0], lengths[1:] / dt[1:, 0])[:, None]
    speed = np.linalg.norm(inner, axis=1, keepdims=True)
    inner = inner * np.minimum(1.0, speed_limit / np.maximum(speed, 1e-12))
    first = 1.5 * chords[0] / dt[0] - 0.5 * inner[0]
    last = 1.5 * chords[-1] / dt[-1] - 0.5 * inner[-1]
    return CubicHermiteSpline(times_s, points, np.concatenate([first[None], inner, last[None]]))
