"""Mirage's own camera-path file: JSON, lossless, self-explaining.

``{"format": "mirage-path", "version": 1, "convention": ..., "fps": ..., "cameras": [...]}``; a camera has ``c2w`` (4x4
by rows, OpenCV), and ``K``, ``width``, ``height``, ``time_s`` where they differ from the ones given once for all.
Instead of, or beside, ``cameras`` a file may hold ``keyframes`` with ``position``, ``rotation`` and ``closed``: the
editable path. Where both are present the cameras are flown as they are.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from engine.atomic import atomic_write
from engine.camera import Camera
from engine.camera_path import DEFAULT_FPS, MAX_FPS, MIN_FPS, CameraPath
from engine.errors import InputError
from engine.formats.base import (
    PathFormat,
    ReadOptions,
    check_count,
    fail,
    image_side,
    intrinsics,
    numbers,
    read_json,
    rigid,
)
from engine.keyframes import Keyframe, PathSpec

NAME, VERSION = "mirage-path", 1
CONVENTION = (
    "camera-to-world 4x4 by rows, OpenCV axes (x right, y down, z forward), world right-handed with +Z up, metres; "
    "intrinsics K 3x3 in pixels, top-left pixel centred at 0.5; times in seconds"
)


def read(path: Path, options: ReadOptions) -> CameraPath:
    """Read the cameras of a mirage-path, or evaluate its keyframes at its own frame rate."""
    data = _document(path)
    fps = _fps(path, data)
    if "cameras" not in data:
        height, width = options.size or (256, 448)
        return _spec(path, data).evaluate((height, width), fps=fps)
    entries = data["cameras"]
    if not isinstance(entries, list):
        raise fail(path, "cameras", "this must be a list", "export the file again")
    check_count(path, len(entries))
    cameras, times_s = [], []
    lenses: dict[tuple[float, ...], tuple[np.ndarray, int, int]] = {}
    for i, entry in enumerate(entries):
        where = f"cameras[{i}]"
        if not isinstance(entry, dict):
            raise fail(path, where, "a camera must be a JSON object", "export the file again")
        c2w = rigid(path, where, _matrix(path, where, entry, {}, "c2w", 4), "the c2w")
        K = _matrix(path, where, entry, data, "K", 3)
        width, height = (image_side(path, where, entry.get(k, data.get(k)), f"the {k}") for k in ("width", "height"))
        lens = (*K.reshape(-1), width, height)
        if lens not in lenses:
            if not np.array_equal(K[[1, 2, 2, 2], [0, 0, 1, 2]], [0.0, 0.0, 0.0, 1.0]):
                raise fail(path, f"{where}.K", "this is no pinhole matrix (fx s cx, 0 fy cy, 0 0 1)", "correct it")
            checked = intrinsics(path, f"{where}.K", K[0, 0], K[1, 1], K[0, 2], K[1, 2])
            checked[0, 1] = K[0, 1]
            lenses[lens] = (checked, width, height)
        cameras.append(Camera(c2w, lenses[lens][0], width, height))
        if "time_s" in entry:
            times_s.append(float(numbers(path, f"{where}.time_s", entry["time_s"], 1, "the time")[0]))
    if times_s and len(times_s) != len(cameras):
        raise fail(path, "cameras", f"{len(times_s)} of {len(cameras)} have a time_s", "give it to all or to none")
    if any(b < a for a, b in pairwise(times_s)):
        raise fail(path, "cameras", "the times run backwards", "sort the cameras by time_s")
    return CameraPath(tuple(cameras), fps, tuple(times_s) or None)


def read_spec(path: Path) -> PathSpec:
    """The keyframes of a mirage-path. Raises :class:`InputError` if it has none or is malformed."""
    return _spec(path, _document(path))


def _document(path: Path) -> dict[str, Any]:
    data = read_json(path)
    if not isinstance(data, dict) or data.get("format") != NAME:
        raise fail(path, "format", f"this is no {NAME} file", "name its format, or export it again")
    version = data.get("version")
    if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version <= VERSION:
        shown = repr(version)[:24]
        raise fail(path, "version", f"versions up to {VERSION} are read, this is {shown}", "update Mirage")
    return data


def _fps(path: Path, data: dict[str, Any]) -> float:
    fps = float(numbers(path, "fps", data.get("fps", DEFAULT_FPS), 1, "the frame rate")[0])
    if not MIN_FPS <= fps <= MAX_FPS:
        raise fail(path, "fps", f"it must lie between {MIN_FPS:g} and {MAX_FPS:g} and is {fps:g}", "correct it")
    return fps


def _matrix(path: Path, where: str, entry: dict[str, Any], shared: dict[str, Any], key: str, side: int) -> np.ndarray:
    value = entry.get(key, shared.get(key))
    if value is None:
        raise fail(path, where, f"{key} is missing", "export the file again")
    return numbers(path, f"{where}.{key}", value, side * side, key).reshape(side, side)


def _spec(path: Path, data: dict[str, Any]) -> PathSpec:
    entries = data.get("keyframes")
    if not isinstance(entries, list):
        raise fail(path, "keyframes", "the file has neither cameras nor keyframes", "export it again")
    check_count(path, len(entries))
    keys = []
    for i, entry in enumerate(entries):
        where = f"keyframes[{i}]"
        if not isinstance(entry, dict):
            raise fail(path, where, "a keyframe must be a JSON object", "export the file again")
        c2w = rigid(path, where, _matrix(path, where, entry, {}, "c2w", 4), "the c2w")
        fov_deg = float(numbers(path, f"{where}.fov_deg", entry.get("fov_deg"), 1, "the field of view")[0])
        seconds = float(numbers(path, f"{where}.seconds", entry.get("seconds", 1.0), 1, "the time")[0])
        easing, name = entry.get("easing", "linear"), entry.get("name", "")
        if not isinstance(easing, str) or not isinstance(name, str):
            raise fail(path, where, "easing and name must be text", "correct them")
        try:
            keys.append(Keyframe(c2w, fov_deg, seconds, easing, name[:200]))  # type: ignore[arg-type]
        except InputError as error:
            raise fail(path, where, str(error).rstrip("."), "correct it") from error
    closed = data.get("closed", False)
    position, rotation = data.get("position", "catmull-rom"), data.get("rotation", "spline")
    try:
        return PathSpec(tuple(keys), position=position, rotation=rotation, closed=closed is True)
    except InputError as error:
        raise fail(path, "", str(error).rstrip("."), "correct it") from error


def write(path: CameraPath, target: Path, spec: PathSpec | None = None) -> tuple[str, ...]:
    """Write every camera to the last bit, one a line; with ``spec`` its keyframes as well."""
    first = path[0]
    entries = []
    for i, camera in enumerate(path.cameras):
        entry: dict[str, Any] = {"c2w": camera.c2w.tolist()}
        if not np.array_equal(camera.K, first.K):
            entry["K"] = camera.K.tolist()
        if camera.size != first.size:
            entry["width"], entry["height"] = camera.width, camera.height
        if path.timestamps_s is not None:
            entry["time_s"] = path.timestamps_s[i]
        entries.append(json.dumps(entry))
    head: dict[str, Any] = {
        "format": NAME,
        "version": VERSION,
        "convention": CONVENTION,
        "fps": path.fps,
        "width": first.width,
        "height": first.height,
        "K": first.K.tolist(),
        **(_spec_fields(spec) if spec is not None else {}),
    }
    text = json.dumps(head)[:-1] + ', "cameras": [\n' + ",\n".join(entries) + "\n]}\n"
    with atomic_write(target) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return ()


def write_spec(spec: PathSpec, target: Path, fps: float = DEFAULT_FPS) -> None:
    """Write keyframes alone: the editable path, evaluated again wherever it is read."""
    head = {"format": NAME, "version": VERSION, "convention": CONVENTION, "fps": fps, **_spec_fields(spec)}
    with atomic_write(target) as temporary:
        temporary.write_text(json.dumps(head, indent=1) + "\n", encoding="utf-8")


def _spec_fields(spec: PathSpec) -> dict[str, Any]:
    keys = [
        {"c2w": k.c2w.tolist(), "fov_deg": k.fov_deg, "seconds": k.seconds, "easing": k.easing, "name": k.name}
        for k in spec.keyframes
    ]
    return {"position": spec.position, "rotation": spec.rotation, "closed": spec.closed, "keyframes": keys}


def recognises(path: Path, head: bytes) -> bool:
    """A JSON object that says so."""
    return b'"mirage-path"' in head


FORMAT = PathFormat("mirage", "Mirage (.json, lossless)", CONVENTION, "flight.json", recognises, read, write)
