"""Camera trajectories of Lyra and GEN3C: ``w2c``, ``intrinsics``, ``image_height``, ``image_width`` as npz or JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from engine.atomic import atomic_write
from engine.camera import Camera
from engine.camera_path import DEFAULT_FPS, MAX_FPS, MIN_FPS, CameraPath
from engine.formats.arrays import Archive
from engine.formats.base import (
    PathFormat,
    ReadOptions,
    as_intrinsics,
    as_matrices,
    check_count,
    fail,
    image_side,
    inverted,
    one_size,
    read_json,
    rigid,
)

CONVENTION = (
    "world-to-camera 4x4 (w2c), OpenCV axes (x right, y down, z forward); "
    "intrinsics 3x3 in pixels of an image of image_height x image_width"
)
KEYS = ("w2c", "intrinsics", "image_height", "image_width")


def _cameras(path: Path, w2c: np.ndarray, lens: np.ndarray, size: tuple[int, int]) -> tuple[Camera, ...]:
    poses = as_matrices(path, "w2c", w2c, "w2c")
    Ks = as_intrinsics(path, "intrinsics", lens, len(poses))
    c2ws = [inverted(rigid(path, f"w2c[{i}]", pose, "the w2c")) for i, pose in enumerate(poses)]
    return tuple(Camera(c2w, K, size[1], size[0]) for c2w, K in zip(c2ws, Ks, strict=True))


def read_npz(path: Path, options: ReadOptions) -> CameraPath:
    """Read the npz."""
    with Archive(path) as archive:
        arrays = {key: archive.read(key) for key in KEYS}
    sides = []
    for key in KEYS[2:]:
        if arrays[key].size != 1:
            raise fail(path, key, f"it must be one number and has shape {arrays[key].shape}", "export the file again")
        sides.append(image_side(path, key, arrays[key].reshape(-1)[0], f"the {key}"))
    return CameraPath(_cameras(path, arrays["w2c"], arrays["intrinsics"], (sides[0], sides[1])))


def read_json_file(path: Path, options: ReadOptions) -> CameraPath:
    """Read the JSON, which has the npz's keys."""
    data = read_json(path)
    if not isinstance(data, dict):
        raise fail(path, "", "the file must be a JSON object", "export the file again")
    missing = [key for key in KEYS if key not in data]
    if missing:
        raise fail(path, missing[0], "this field is missing", "export the file again")
    if not isinstance(data["w2c"], list):
        raise fail(path, "w2c", "this must be a list of matrices", "export the file again")
    check_count(path, len(data["w2c"]))
    height, width = (image_side(path, key, data[key], f"the {key}") for key in KEYS[2:])
    fps = data.get("fps", DEFAULT_FPS)
    if isinstance(fps, bool) or not isinstance(fps, (int, float)) or not MIN_FPS <= fps <= MAX_FPS:
        raise fail(path, "fps", f"this must lie between {MIN_FPS:g} and {MAX_FPS:g}", "correct it")
    cameras = _cameras(
        path, _array(path, "w2c", data["w2c"]), _array(path, "intrinsics", data["intrinsics"]), (height, width)
    )
    return CameraPath(cameras, float(fps))


def _array(path: Path, where: str, values: Any) -> np.ndarray:
    try:
        return np.array(values, dtype=np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise fail(
            path, where, "these must be matrices of numbers, all of one shape", "export the file again"
        ) from error


def write_npz(path: CameraPath, target: Path) -> tuple[str, ...]:
    """Write the npz, with its convention as a further array."""
    height, width = one_size(path, "Lyra's npz")
    w2cs = np.stack([camera.w2c for camera in path.cameras])
    with atomic_write(target) as temporary, open(temporary, "wb") as stream:
        np.savez(
            stream,
            w2c=w2cs,
            intrinsics=path.Ks,
            image_height=np.array(height),
            image_width=np.array(width),
            convention=np.array(CONVENTION),
        )
    return ()


def write_json(path: CameraPath, target: Path) -> tuple[str, ...]:
    """Write the JSON, with its convention as a comment."""
    height, width = one_size(path, "Lyra's JSON")
    document = {
        "comment": f"Mirage camera path: {CONVENTION}",
        "image_height": height,
        "image_width": width,
        "fps": path.fps,
        "intrinsics": path.Ks.tolist(),
        "w2c": [(camera.w2c + 0.0).tolist() for camera in path.cameras],
    }
    with atomic_write(target) as temporary:
        temporary.write_text(json.dumps(document) + "\n", encoding="utf-8")
    return ()


def recognises_npz(path: Path, head: bytes) -> bool:
    """An npz that has ``w2c``."""
    return head.startswith(b"PK") and b"w2c.npy" in head


def recognises_json(path: Path, head: bytes) -> bool:
    """A JSON object that has ``w2c`` and ``intrinsics``."""
    return path.suffix.lower() == ".json" and (b'"w2c"' in head or b'"image_height"' in head)


NPZ = PathFormat("lyra", "Lyra, GEN3C (.npz)", CONVENTION, "trajectory.npz", recognises_npz, read_npz, write_npz)
JSON = PathFormat(
    "lyra-json", "Lyra, GEN3C (.json)", CONVENTION, "trajectory.json", recognises_json, read_json_file, write_json
)
