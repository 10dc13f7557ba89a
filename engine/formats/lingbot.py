"""lingbot-world's camera files: ``poses.npy`` (n, 4, 4) c2w, OpenCV, and ``intrinsics.npy`` (n, 4) fx fy cx cy.

Its intrinsics are in pixels of an image of 480x832 (height x width), whatever is generated, each axis scaled by itself.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.atomic import atomic_write
from engine.camera import Camera
from engine.camera_path import CameraPath
from engine.errors import InputError
from engine.formats.arrays import read_npy
from engine.formats.base import (
    PathFormat,
    ReadOptions,
    as_intrinsics,
    as_matrices,
    camera_from_shares,
    rigid,
    shares_of,
)

CONVENTION = (
    "camera-to-world 4x4, OpenCV axes (x right, y down, z forward); "
    "intrinsics fx fy cx cy in pixels of a 480x832 image in intrinsics.npy beside it"
)
POSES, LENS = "poses.npy", "intrinsics.npy"
HEIGHT, WIDTH = 480, 832


def read(path: Path, options: ReadOptions) -> CameraPath:
    """Read ``poses.npy`` (or the folder it is in) and the ``intrinsics.npy`` beside it, if there is one."""
    poses = path / POSES if path.is_dir() else path
    matrices = as_matrices(poses, "", read_npy(poses), "the array of poses")
    c2ws = [rigid(poses, f"pose {i}", pose, "the c2w") for i, pose in enumerate(matrices)]
    lens = poses.with_name(LENS)
    if not lens.is_file():
        height, width = options.size or (HEIGHT, WIDTH)
        cameras = [Camera.from_fov(c2w, options.fov_deg, width, height) for c2w in c2ws]
        note = f"There is no {LENS} beside {poses.name}; a field of view of {options.fov_deg:g} degrees is assumed."
        return CameraPath(tuple(cameras), notes=(note,))
    Ks = as_intrinsics(lens, "", read_npy(lens), len(c2ws))
    to_shares = np.diag([1.0 / WIDTH, 1.0 / HEIGHT, 1.0])
    return CameraPath(tuple(camera_from_shares(c2w, to_shares @ K, options) for c2w, K in zip(c2ws, Ks, strict=True)))


def write(path: CameraPath, target: Path) -> tuple[str, ...]:
    """Write both files; ``target`` is the folder (made if missing) or a ``.npy`` for the poses."""
    poses = target
    if target.suffix.lower() != ".npy":
        try:
            target.mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(f"The folder {target} cannot be made ({error.strerror}); choose another place.") from error
        poses = target / POSES
    Ks = [np.diag([WIDTH, HEIGHT, 1.0]) @ shares_of(camera) for camera in path.cameras]
    lenses = np.array([[K[0, 0], K[1, 1], K[0, 2], K[1, 2]] for K in Ks])
    for name, array in ((poses.with_name(LENS), lenses), (poses, path.c2ws)):
        with atomic_write(name) as temporary, open(temporary, "wb") as stream:
            np.save(stream, array, allow_pickle=False)
    return ()


def recognises(path: Path, head: bytes) -> bool:
    """A NumPy array, or a folder with ``poses.npy``."""
    if path.is_dir():
        return (path / POSES).is_file()
    return head.startswith(b"\x93NUMPY") and path.name != LENS


FORMAT = PathFormat(
    "lingbot", "lingbot-world poses.npy + intrinsics.npy (folder)", CONVENTION, POSES, recognises, read, write
)
