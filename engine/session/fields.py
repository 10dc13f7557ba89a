"""Reading fields of untrusted JSON: each of the right kind and within bounds, or one sentence that names it."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.camera import Camera
from engine.errors import InputError, SessionError

MAX_SIDE_PX = 8192


class Fields:
    """Typed access to a JSON object. ``place`` names it in messages."""

    def __init__(self, values: Any, place: str) -> None:
        if not isinstance(values, dict):
            raise SessionError(f"{place} in the session must be an object; open an earlier copy of it.")
        self.values = values
        self.place = place

    def _wrong(self, name: str, expected: str) -> SessionError:
        found = repr(self.values.get(name, "missing"))[:60]
        return SessionError(f"The field {name!r} of {self.place} in the session must be {expected}; it is {found}.")

    def integer(self, name: str, low: int, high: int, default: int | None = None) -> int:
        value = self.values.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self._wrong(name, f"an integer from {low} to {high}")
        return value

    def number(self, name: str, low: float, high: float, default: float | None = None) -> float:
        value = self.values.get(name, default)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high:
            raise self._wrong(name, f"a number from {low:g} to {high:g}")
        return float(value)

    def text(self, name: str, limit: int = 400, default: str | None = None) -> str:
        value = self.values.get(name, default)
        if not isinstance(value, str) or len(value) > limit:
            raise self._wrong(name, f"a text of at most {limit} characters")
        return value

    def choice(self, name: str, options: tuple[str, ...]) -> str:
        value = self.values.get(name)
        if value not in options:
            raise self._wrong(name, "one of " + ", ".join(options))
        return str(value)

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.values.get(name, default)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def items(self, name: str, limit: int) -> list[Any]:
        value = self.values.get(name)
        if not isinstance(value, list) or len(value) > limit:
            raise self._wrong(name, f"a list of at most {limit} entries")
        return value

    def object(self, name: str) -> Fields:
        return Fields(self.values.get(name), f"{self.place}.{name}")

    def camera(self, name: str) -> Camera:
        return camera_from_json(self.values.get(name), f"{self.place}.{name}")


def camera_to_json(camera: Camera) -> dict[str, Any]:
    """OpenCV convention, camera-to-world; floats round-trip exactly."""
    return {"c2w": camera.c2w.tolist(), "K": camera.K.tolist(), "width": camera.width, "height": camera.height}


def camera_from_json(values: Any, place: str) -> Camera:
    """A rigid, finite camera.

    Raises:
        SessionError: anything else.
    """
    fields = Fields(values, place)
    try:
        c2w, K = np.asarray(fields.values.get("c2w"), np.float64), np.asarray(fields.values.get("K"), np.float64)
        width, height = fields.integer("width", 8, MAX_SIDE_PX), fields.integer("height", 8, MAX_SIDE_PX)
        camera = Camera(c2w, K, width, height)
    except (InputError, ValueError, TypeError) as error:
        raise SessionError(f"The camera {place} in the session is malformed; open an earlier copy of it.") from error
    rotation = c2w[:3, :3]
    rigid = (
        np.isfinite(c2w).all()
        and np.abs(rotation.T @ rotation - np.eye(3)).max() < 1e-3
        and np.linalg.det(rotation) > 0
    )
    if not (rigid and np.array_equal(c2w[3], [0, 0, 0, 1]) and np.isfinite(K).all() and K[0, 0] > 0 and K[1, 1] > 0):
        raise SessionError(
            f"The camera {place} in the session is not a rigid, finite camera; open an earlier copy of it."
        )
    return camera
