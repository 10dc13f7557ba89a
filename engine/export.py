"""What leaves Mirage besides films: point clouds, meshes, single frames."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.atomic import atomic_write, check_writable_parent
from engine.camera import Camera
from engine.errors import InputError, MirageError

MESH_KINDS = (".ply", ".glb")
MESH_FAR_M = 80.0
"""Depth beyond this is too coarse for a mesh."""


def write_points_ply(
    path: str | os.PathLike[str], positions_m: np.ndarray, colours: np.ndarray, comments: Iterable[str] = ()
) -> None:
    """A binary PLY of ``positions_m (n, 3)`` world metres (+Z up) with ``colours (n, 3)`` uint8, atomically.

    Raises:
        InputError: another ending than .ply, no points, or the place cannot be written.
    """
    target = Path(path)
    if target.suffix.lower() != ".ply":
        raise InputError(f"A point cloud is written as .ply; {target.name} has another ending.")
    if not len(positions_m):
        raise InputError("The memory holds no points yet; generate a few frames first.")
    vertices = np.zeros(
        len(positions_m),
        dtype=[("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")],
    )
    for axis, name in enumerate("xyz"):
        vertices[name] = positions_m[:, axis]
    for channel, name in enumerate(("red", "green", "blue")):
        vertices[name] = colours[:, channel]
    header = ["ply", "format binary_little_endian 1.0", "comment world metres, right-handed, +Z up"]
    header += [f"comment {' '.join(comment.split())}" for comment in comments]
    header.append(f"element vertex {len(vertices)}")
    header += [f"property float {name}" for name in "xyz"] + [
        f"property uchar {name}" for name in ("red", "green", "blue")
    ]
    header.append("end_header")
    with atomic_write(target) as temporary:
        temporary.write_bytes(("\n".join(header) + "\n").encode("ascii", "replace") + vertices.tobytes())


def write_png(path: str | os.PathLike[str], rgb: np.ndarray) -> None:
    """``rgb (H, W, 3)`` uint8 as PNG, atomically.

    Raises:
        InputError: another ending than .png, or the place cannot be written.
    """
    from PIL import Image

    target = Path(path)
    if target.suffix.lower() != ".png":
        raise InputError(f"A frame is written as .png; {target.name} has another ending.")
    with atomic_write(target) as temporary:
        Image.fromarray(rgb).save(temporary, "PNG")


@dataclass(frozen=True, eq=False)
class DepthFrame:
    """A frame for a mesh: ``rgb (H, W, 3)`` uint8 and ``inverse_depth (hs, ws)`` 1/m (0 is sky) seen by ``camera`` (H x
    W).
    """

    camera: Camera
    rgb: np.ndarray
    inverse_depth: np.ndarray


def check_mesh_path(path: Path) -> None:
    """Raise :class:`InputError` if a mesh cannot go there."""
    if path.suffix.lower() not in MESH_KINDS:
        raise InputError(f"A mesh is written as {' or '.join(MESH_KINDS)}; {path.name} has another ending.")
    check_writable_parent(path.absolute())


class MeshJob:
    """TSDF fusion in a process of its own, so that it can be stopped at once and its libraries never burden this one.

    Args:
        frames: seen from anywhere, of any size.
        path: .ply or .glb.
        voxel_m: side of a voxel; ``None``: a hundredth of the scene's median depth, at least 2 cm.

    Raises:
        InputError: no frames, or the place cannot be written.
    """

    def __init__(self, frames: Iterable[DepthFrame], path: Path, voxel_m: float | None = None) -> None:
        check_mesh_path(path)
        self.path = path
        self._folder = tempfile.TemporaryDirectory(prefix="mirage-mesh-")
        folder = Path(self._folder.name)
        count = 0
        for count, frame in enumerate(frames, 1):
            np.savez(
                folder / f"{count:06d}.npz",
                rgb=frame.rgb,
                inverse_depth=frame.inverse_depth.astype(np.float32),
                c2w=frame.camera.c2w,
                K=frame.camera.K,
            )
        if not count:
            self._folder.cleanup()
            raise InputError("There are no frames to make a mesh of yet; generate a few first.")
        job = {"folder": str(folder), "path": str(path.absolute()), "voxel_m": voxel_m}
        self._errors = open(folder / "errors.txt", "w+", encoding="utf-8")  # noqa: SIM115 - lives as long as the job
        self._process = subprocess.Popen(
            [sys.executable, "-m", "engine.mesh_fusion", json.dumps(job)],
            cwd=Path(__file__).resolve().parents[1],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
        )

    def wait(self, timeout_s: float | None = None) -> bool:
        """True when the mesh is written, False when ``timeout_s`` passed first.

        Raises:
            MirageError: the fusion failed; the sentence says why.
        """
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        self._errors.seek(0)
        lines = [line for line in self._errors.read().splitlines() if line.strip()]
        self._clean()
        if code == 2 and lines:
            raise MirageError(lines[-1])
        if code != 0:
            raise MirageError(
                f"The mesh could not be made ({lines[-1][:200] if lines else f'exit {code}'}); try fewer frames."
            )
        return True

    def cancel(self) -> None:
        """Stop at once; nothing is written."""
        self._process.kill()
        self._process.wait()
        self._clean()

    def _clean(self) -> None:
        self._errors.close()
        self._folder.cleanup()
