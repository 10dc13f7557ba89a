"""A flight as data: cameras in order, when each is due, and at how many frames per second."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from engine.camera import Camera
from engine.errors import InputError

MAX_CAMERAS = 100_000
MIN_FPS, MAX_FPS = 0.1, 1000.0
DEFAULT_FPS = 24.0

GroundHeight = Callable[[np.ndarray], ArrayLike]
"""World positions ``xy (n, 2)`` in metres -> heights ``(n,)`` in metres of whatever stands there."""


def check_fps(fps: float) -> float:
    """``fps`` itself, or :class:`InputError` if it is not a usable frame rate."""
    if not (math.isfinite(fps) and MIN_FPS <= fps <= MAX_FPS):
        raise InputError(f"Frames per second must be between {MIN_FPS:g} and {MAX_FPS:g}; {fps:g} was asked for.")
    return fps


def fit_camera(camera: Camera, width: int, height: int) -> Camera:
    """The same pose for an image of another size, by intrinsics alone.

    The vertical field of view and the pixels' shape are kept, as if the image were scaled to the new height and then
    cropped or widened at both sides; the principal point keeps its distance from the image's middle.
    """
    if (camera.width, camera.height) == (width, height):
        return camera
    scale = height / camera.height
    K = camera.K.copy()
    K[:2] *= scale
    K[0, 2] += 0.5 * (width - camera.width * scale)
    return Camera(camera.c2w, K, width, height)


@dataclass(frozen=True)
class CameraPath:
    """An immutable sequence of cameras.

    Attributes:
        cameras: one per frame, at least one, in order.
        fps: frames per second of the film made along the path.
        timestamps_s: (N,) seconds, rising; ``None`` spaces the frames evenly by ``fps``.
        notes: sentences a reader of the file should show (what was assumed or left out); not part of the path's
            identity.
    """

    cameras: tuple[Camera, ...]
    fps: float = DEFAULT_FPS
    timestamps_s: tuple[float, ...] | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cameras", tuple(self.cameras))
        check_fps(self.fps)
        if not self.cameras:
            raise InputError("A camera path needs at least one camera; this one is empty.")
        if len(self.cameras) > MAX_CAMERAS:
            raise InputError(f"A camera path holds at most {MAX_CAMERAS:,} cameras; this has {len(self.cameras):,}.")
        if self.timestamps_s is not None:
            times = tuple(float(t) for t in self.timestamps_s)
            if len(times) != len(self.cameras):
                raise InputError(f"A path of {len(self.cameras)} cameras needs as many timestamps, not {len(times)}.")
            if not all(math.isfinite(t) for t in times) or any(b < a for a, b in pairwise(times)):
                raise InputError("The timestamps of a camera path must be finite and must not run backwards.")
            object.__setattr__(self, "timestamps_s", times)

    def __len__(self) -> int:
        return len(self.cameras)

    def __iter__(self) -> Iterator[Camera]:
        return iter(self.cameras)

    def __getitem__(self, index: int) -> Camera:
        return self.cameras[index]

    @property
    def times_s(self) -> np.ndarray:
        """(N,) seconds: the timestamps, or frames spaced evenly from 0."""
        if self.timestamps_s is not None:
            return np.asarray(self.timestamps_s)
        return np.arange(len(self.cameras)) / self.fps

    @property
    def c2ws(self) -> np.ndarray:
        """(N, 4, 4) camera-to-world, OpenCV."""
        return np.stack([camera.c2w for camera in self.cameras])

    @property
    def Ks(self) -> np.ndarray:
        """(N, 3, 3) intrinsics in pixels, each of its own camera's image size."""
        return np.stack([camera.K for camera in self.cameras])

    @property
    def positions(self) -> np.ndarray:
        """(N, 3) world metres."""
        return np.stack([camera.position for camera in self.cameras])

    @property
    def length_m(self) -> float:
        """Distance flown, metres."""
        return float(np.linalg.norm(np.diff(self.positions, axis=0), axis=1).sum())

    @property
    def seconds(self) -> float:
        """Length of the film: every frame is shown for ``1 / fps``."""
        return len(self.cameras) / self.fps

    def fitted(self, width: int, height: int) -> CameraPath:
        """The same poses for another image size (see :func:`fit_camera`)."""
        return replace(self, cameras=tuple(fit_camera(camera, width, height) for camera in self.cameras))

    def first(self, frames: int) -> CameraPath:
        """The first ``frames`` cameras, poses untouched."""
        times = None if self.timestamps_s is None else self.timestamps_s[:frames]
        return replace(self, cameras=self.cameras[:frames], timestamps_s=times)

    def at_fps(self, fps: float) -> CameraPath:
        """The same cameras shown at another rate."""
        return replace(self, fps=fps, timestamps_s=None)

    def anchored(self, start_c2w: np.ndarray) -> CameraPath:
        """The path moved rigidly, as one piece, so that its first pose is ``start_c2w (4, 4)``."""
        move = start_c2w @ self.cameras[0].w2c
        moved = [camera.posed(move @ camera.c2w) for camera in self.cameras]
        moved[0] = self.cameras[0].posed(start_c2w)
        return replace(self, cameras=tuple(moved))

    def noting(self, *notes: str) -> CameraPath:
        """The same path with more notes."""
        return replace(self, notes=self.notes + notes)


def path_from_c2ws(c2ws: Sequence[np.ndarray] | np.ndarray, like: Camera, fps: float = DEFAULT_FPS) -> CameraPath:
    """A path of ``c2ws (N, 4, 4)`` with the intrinsics and size of ``like``."""
    return CameraPath(tuple(like.posed(c2w) for c2w in c2ws), fps)


def fps_fraction(fps: float) -> Fraction:
    """``fps`` as the ratio a video container stores; 23.976 and its kin become 24000/1001."""
    check_fps(fps)
    ntsc = Fraction(round(fps) * 1000, 1001)
    if abs(float(ntsc) - fps) < 5e-4 * fps and abs(round(fps) - fps) > 1e-9:
        return ntsc
    return Fraction(fps).limit_denominator(1000)
