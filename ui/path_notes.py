"""A camera path as small JSON, so that sessions bring it back, and from JSON that nobody vouches for."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.camera import Camera
from engine.camera_path import CameraPath
from engine.errors import InputError
from engine.keyframes import Keyframe, PathSpec

MAX_NOTED = 2000
"""Longer fixed paths are not kept in sessions; their file is the place for them."""


def to_notes(spec: PathSpec | None, fixed: CameraPath | None, name: str, fps: float) -> dict[str, Any]:
    """What :func:`from_notes` reads; {} without a path."""
    if spec is not None:
        keys = [
            {
                "c2w": key.c2w.tolist(),
                "fov_deg": key.fov_deg,
                "seconds": key.seconds,
                "easing": key.easing,
                "name": key.name,
            }
            for key in spec.keyframes
        ]
        return {
            "fps": fps,
            "position": spec.position,
            "rotation": spec.rotation,
            "closed": spec.closed,
            "keyframes": keys,
        }
    if fixed is not None and len(fixed) <= MAX_NOTED:
        cameras = [
            {"c2w": camera.c2w.tolist(), "K": camera.K.tolist(), "width": camera.width, "height": camera.height}
            for camera in fixed
        ]
        return {"fps": fps, "name": name, "cameras": cameras}
    return {}


def from_notes(notes: dict[str, Any]) -> tuple[PathSpec | None, CameraPath | None, str, float] | None:
    """(keyframes, fixed path, its name, fps), or ``None`` if the notes hold no usable path."""
    try:
        fps = float(notes["fps"])
        if "keyframes" in notes:
            keys = tuple(
                Keyframe(
                    np.array(key["c2w"]),
                    float(key["fov_deg"]),
                    float(key["seconds"]),
                    key["easing"],
                    str(key["name"])[:200],
                )
                for key in notes["keyframes"]
            )
            spec = PathSpec(keys, notes["position"], notes["rotation"], notes["closed"] is True)
            return spec, None, "", CameraPath(spec.evaluate((8, 8), 1).cameras, fps).fps
        cameras = tuple(
            Camera(np.array(entry["c2w"]), np.array(entry["K"]), int(entry["width"]), int(entry["height"]))
            for entry in notes["cameras"]
        )
        if not all(np.isfinite(camera.c2w).all() and np.isfinite(camera.K).all() for camera in cameras):
            return None
        return None, CameraPath(cameras, fps), str(notes.get("name", ""))[:200], fps
    except (InputError, KeyError, TypeError, ValueError, OverflowError):
        return None
