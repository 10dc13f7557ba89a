"""The geometry archive of "Latent Spatial Memory for Video World Models": poses_c2w, intrinsics, depths, frames, masks.

Intrinsics are in pixels of the depth maps. Mirage reads poses and intrinsics alone, and writes the other arrays empty,
with the image size in their shapes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.atomic import atomic_write
from engine.camera import Camera
from engine.camera_path import CameraPath
from engine.formats.arrays import Archive
from engine.formats.base import (
    PathFormat,
    ReadOptions,
    as_intrinsics,
    as_matrices,
    fail,
    image_side,
    one_size,
    rigid,
)

CONVENTION = (
    "camera-to-world 4x4 (poses_c2w), OpenCV axes (x right, y down, z forward), metres; "
    "intrinsics 3x3 in pixels of the depth maps"
)


def read(path: Path, options: ReadOptions) -> CameraPath:
    """Read poses and intrinsics; the image size comes from the shape of ``depths`` or ``frames``."""
    with Archive(path) as archive:
        poses = as_matrices(path, "poses_c2w", archive.read("poses_c2w"), "poses_c2w")
        Ks = as_intrinsics(path, "intrinsics", archive.read("intrinsics"), len(poses))
        size = _size(path, archive)
        notes: tuple[str, ...] = ()
        if size is None:
            # The principal point of these files lies in the middle of the image.
            size = (max(1, round(2.0 * Ks[0, 1, 2])), max(1, round(2.0 * Ks[0, 0, 2])))
            notes = (f"{path.name} holds no image size; {size[0]}x{size[1]}, twice the principal point, is assumed.",)
            image_side(path, "intrinsics", size[0], "the height, twice cy,")
            image_side(path, "intrinsics", size[1], "the width, twice cx,")
    c2ws = [rigid(path, f"poses_c2w[{i}]", pose, "the c2w") for i, pose in enumerate(poses)]
    cameras = [Camera(c2w, K, size[1], size[0]) for c2w, K in zip(c2ws, Ks, strict=True)]
    return CameraPath(tuple(cameras), notes=notes)


def _size(path: Path, archive: Archive) -> tuple[int, int] | None:
    for name, rank in (("depths", 3), ("frames", 4)):
        if name in archive.names:
            shape = archive.shape(name)
            if len(shape) == rank and shape[1] and shape[2]:
                height = image_side(path, name, shape[1], "the height")
                return height, image_side(path, name, shape[2], "the width")
            if len(shape) > 1:
                raise fail(path, name, f"it must have {rank} dimensions and has shape {shape}", "export the file again")
    return None


def write(path: CameraPath, target: Path) -> tuple[str, ...]:
    """Write the archive with empty ``depths``, ``frames`` and ``masks``."""
    height, width = one_size(path, "The paper's npz")
    with atomic_write(target) as temporary, open(temporary, "wb") as stream:
        np.savez_compressed(
            stream,
            poses_c2w=path.c2ws,
            intrinsics=path.Ks,
            depths=np.zeros((0, height, width), np.float32),
            frames=np.zeros((0, height, width, 3), np.uint8),
            masks=np.array([]),
            frame_indices=np.arange(len(path)),
            original_size=np.array([height, width]),
            processed_size=np.array([height, width]),
            convention=np.array(CONVENTION),
        )
    return ()


def recognises(path: Path, head: bytes) -> bool:
    """An npz that has ``poses_c2w``; names of members stand in the clear."""
    return head.startswith(b"PK") and b"poses_c2w.npy" in head


FORMAT = PathFormat("paper", "the paper's geometry archive (.npz)", CONVENTION, "geometry.npz", recognises, read, write)
