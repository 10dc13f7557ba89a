"""nerfstudio's two files: ``camera_path.json`` (a film) and ``transforms.json`` (a data set). Both hold c2w, OpenGL."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from engine.atomic import atomic_write
from engine.camera import Camera, intrinsics_from_fov
from engine.camera_path import DEFAULT_FPS, MAX_FPS, MIN_FPS, CameraPath
from engine.formats.base import (
    OPENGL_FROM_OPENCV,
    PathFormat,
    ReadOptions,
    check_count,
    fail,
    image_side,
    intrinsics,
    numbers,
    one_size,
    read_json,
    rigid,
    share_intrinsics_of,
)

CONVENTION = "camera-to-world 4x4 by rows, OpenGL axes (x right, y up, z backward), world +Z up"
DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")


def _mapping(path: Path, where: str, value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise fail(path, where, f"{what} must be a JSON object", "export the file again")
    return value


def _entries(path: Path, data: dict[str, Any], key: str) -> list[Any]:
    entries = data.get(key)
    if not isinstance(entries, list):
        raise fail(path, key, "this list of cameras is missing", "export the file again")
    check_count(path, len(entries))
    return entries


def _c2w(path: Path, where: str, entry: dict[str, Any], key: str) -> np.ndarray:
    if key not in entry:
        raise fail(path, where, f"{key} is missing", "export the file again")
    matrix = numbers(path, f"{where}.{key}", entry[key], 16, "the camera-to-world matrix").reshape(4, 4)
    return rigid(path, f"{where}.{key}", matrix, "the camera-to-world matrix") @ OPENGL_FROM_OPENCV


def _number(path: Path, where: str, value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise fail(path, where, "this must be a number", "correct it")
    number = float(numbers(path, where, value, 1, "this")[0])
    if not low <= number <= high:
        raise fail(path, where, f"this must lie between {low:g} and {high:g} and is {number:g}", "correct it")
    return number


def read_camera_path(path: Path, options: ReadOptions) -> CameraPath:
    """Read a ``camera_path.json`` as nerfstudio renders it: its baked ``camera_path``, not its keyframes."""
    data = _mapping(path, "", read_json(path), "the file")
    entries = _entries(path, data, "camera_path")
    kind = data.get("camera_type", "perspective")
    if kind != "perspective":
        raise fail(path, "camera_type", f"{str(kind)[:24]!r} cameras cannot be flown", "export a perspective path")
    size = None
    if "render_height" in data or "render_width" in data:
        height = image_side(path, "render_height", data.get("render_height"), "the height")
        width = image_side(path, "render_width", data.get("render_width"), "the width")
        size = (height, width)
    cameras = []
    for i, value in enumerate(entries):
        where = f"camera_path[{i}]"
        entry = _mapping(path, where, value, "a camera")
        c2w = _c2w(path, where, entry, "camera_to_world")
        fov_deg = _number(path, f"{where}.fov", entry.get("fov", options.fov_deg), 0.1, 179.0)
        height, width = size or options.size or (512, 0)
        if not width:
            width = max(1, round(height * _number(path, f"{where}.aspect", entry.get("aspect", 16 / 9), 0.01, 100.0)))
        cameras.append(Camera.from_fov(c2w, fov_deg, width, height))
    fps = DEFAULT_FPS
    if data.get("fps") is not None:
        fps = _number(path, "fps", data["fps"], MIN_FPS, MAX_FPS)
    elif data.get("seconds") is not None:
        seconds = _number(path, "seconds", data["seconds"], 1e-6, 1e7)
        fps = float(np.clip(len(cameras) / seconds, MIN_FPS, MAX_FPS))
    return CameraPath(tuple(cameras), fps)


def _flat(c2w: np.ndarray) -> list[float]:
    return [float(v) + 0.0 for v in (c2w @ OPENGL_FROM_OPENCV).reshape(-1)]


def write_camera_path(path: CameraPath, target: Path) -> tuple[str, ...]:
    """Write a ``camera_path.json`` for ``ns-render camera-path``, with a keyframe a second for its viewer."""
    height, width = one_size(path, "camera_path.json")
    aspect = width / height
    cameras, lost = [], False
    for camera in path.cameras:
        centred = intrinsics_from_fov(camera.fov_deg, width, height)
        lost |= not np.allclose(camera.K, centred, rtol=1e-9, atol=1e-9)
        cameras.append({"camera_to_world": _flat(camera.c2w), "fov": camera.fov_deg, "aspect": aspect})
    keys = sorted({*range(0, len(path), max(1, round(path.fps))), len(path) - 1})
    document = {
        "comment": f"Mirage camera path: {CONVENTION}; fov is vertical, in degrees",
        "camera_type": "perspective",
        "render_height": height,
        "render_width": width,
        "fps": path.fps,
        "seconds": path.seconds,
        "smoothness_value": 0.0,
        "is_cycle": False,
        "crop": None,
        "default_fov": path[0].fov_deg,
        "default_transition_sec": 1.0,
        "keyframes": [
            {
                "matrix": _flat(path[i].c2w),
                "fov": path[i].fov_deg,
                "aspect": aspect,
                "override_fov_enabled": True,
                "override_transition_enabled": False,
                "override_transition_sec": None,
            }
            for i in keys
        ],
        "camera_path": cameras,
    }
    with atomic_write(target) as temporary:
        temporary.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if lost:
        return ("camera_path.json holds a vertical field of view alone; off-centre or non-square intrinsics are lost.",)
    return ()


def read_transforms(path: Path, options: ReadOptions) -> CameraPath:
    """Read a ``transforms.json`` (also of the original NeRF data sets), frames in the order of the file."""
    data = _mapping(path, "", read_json(path), "the file")
    entries = _entries(path, data, "frames")
    cameras, distorted = [], False
    for i, value in enumerate(entries):
        where = f"frames[{i}]"
        entry = _mapping(path, where, value, "a frame")
        c2w = _c2w(path, where, entry, "transform_matrix")
        fields = {**data, **entry}
        model = fields.get("camera_model", "OPENCV")
        if model not in ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL"):
            raise fail(path, "camera_model", f"{str(model)[:24]!r} lenses cannot be flown", "undistort the data set")
        for name in DISTORTION:
            distorted |= bool(_number(path, name, fields[name], -1e6, 1e6)) if name in fields else False
        cameras.append(_transforms_camera(path, where, c2w, fields, options))
    notes = ("The lens distortion in the file is left out; the path is flown as if its lens were perfect.",)
    fps = _number(path, "fps", data["fps"], MIN_FPS, MAX_FPS) if data.get("fps") is not None else DEFAULT_FPS
    return CameraPath(tuple(cameras), fps, notes=notes if distorted else ())


def _transforms_camera(path: Path, where: str, c2w: np.ndarray, fields: dict[str, Any], options: ReadOptions) -> Camera:
    sized = "w" in fields or "h" in fields
    if sized:
        width, height = (image_side(path, f"{where}.{key}", fields.get(key), f"the size {key}") for key in ("w", "h"))
    else:
        height, width = options.size or (512, 512)
    if "fl_x" in fields or "fl_y" in fields:
        if not sized:
            raise fail(path, where, "fl_x is in pixels, but the image size w and h is missing", "add w and h")
        fx = _number(path, f"{where}.fl_x", fields.get("fl_x", fields.get("fl_y")), 1e-6, 1e7)
        fy = _number(path, f"{where}.fl_y", fields.get("fl_y", fields.get("fl_x")), 1e-6, 1e7)
    elif "camera_angle_x" in fields:
        angle = _number(path, f"{where}.camera_angle_x", fields["camera_angle_x"], 1e-3, math.pi - 1e-3)
        fx = fy = 0.5 * width / math.tan(0.5 * angle)
    else:
        raise fail(path, where, "neither fl_x nor camera_angle_x says the focal length", "add one of them")
    cx = _number(path, f"{where}.cx", fields.get("cx", 0.5 * width), -1e7, 1e7)
    cy = _number(path, f"{where}.cy", fields.get("cy", 0.5 * height), -1e7, 1e7)
    return Camera(c2w, intrinsics(path, where, fx, fy, cx, cy), width, height)


def _lens(camera: Camera) -> dict[str, float | int]:
    K = camera.K
    return {
        "fl_x": float(K[0, 0]),
        "fl_y": float(K[1, 1]),
        "cx": float(K[0, 2]),
        "cy": float(K[1, 2]),
        "w": camera.width,
        "h": camera.height,
    }


def write_transforms(path: CameraPath, target: Path) -> tuple[str, ...]:
    """Write a ``transforms.json``; the images it names (``images/frame_00000.png`` ...) are not written."""
    shared = share_intrinsics_of(path.cameras)
    frames = []
    for i, camera in enumerate(path.cameras):
        rows = (camera.c2w @ OPENGL_FROM_OPENCV + 0.0).tolist()
        frame = {"file_path": f"images/frame_{i:05d}.png", "transform_matrix": rows}
        frames.append(frame if shared else {**_lens(camera), **frame})
    document = {
        "comment": f"Mirage camera path: {CONVENTION}; intrinsics in pixels, top-left pixel centred at 0.5",
        "camera_model": "OPENCV",
        **({**_lens(path[0]), "k1": 0.0, "k2": 0.0, "p1": 0.0, "p2": 0.0} if shared else {}),
        "fps": path.fps,
        "frames": frames,
    }
    with atomic_write(target) as temporary:
        temporary.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return ()


def recognises_camera_path(path: Path, head: bytes) -> bool:
    """A JSON object that has a ``camera_path``, which may stand behind many keyframes."""
    return path.suffix.lower() == ".json" and (b'"camera_path"' in head or b'"render_height"' in head)


def recognises_transforms(path: Path, head: bytes) -> bool:
    """A JSON object whose frames have a ``transform_matrix``."""
    return path.suffix.lower() == ".json" and (b'"transform_matrix"' in head or b'"camera_angle_x"' in head)


CAMERA_PATH = PathFormat(
    "nerfstudio",
    "nerfstudio camera path (camera_path.json)",
    CONVENTION,
    "camera_path.json",
    recognises_camera_path,
    read_camera_path,
    write_camera_path,
)
TRANSFORMS = PathFormat(
    "nerfstudio-transforms",
    "nerfstudio data set (transforms.json)",
    CONVENTION,
    "transforms.json",
    recognises_transforms,
    read_transforms,
    write_transforms,
)
