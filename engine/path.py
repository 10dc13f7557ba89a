"""Camera paths, the one place where the app and the command line get them from.

A flight comes from a preset (:mod:`engine.presets`), from keyframes (:mod:`engine.keyframes`) or from a file
(:mod:`engine.formats`); all three become a :class:`CameraPath`, and what is previewed is what is rendered.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import MISSING, fields
from pathlib import Path

import numpy as np

from engine.camera import Camera
from engine.camera_path import DEFAULT_FPS, MAX_CAMERAS, CameraPath, GroundHeight, check_fps, path_from_c2ws
from engine.errors import InputError
from engine.keyframes import Keyframe, PathSpec
from engine.presets import PRESETS, Preset

__all__ = [
    "PRESETS",
    "CameraPath",
    "GroundHeight",
    "Keyframe",
    "PathSpec",
    "Preset",
    "describe_presets",
    "parse_preset",
    "path_from_c2ws",
    "preset_to_text",
    "resolve_path",
]

FAR_FROM_START_M = 50.0
TILTED_DEG = 60.0


def resolve_path(
    text: str,
    start: Camera,
    frames: int | None = None,
    size: tuple[int, int] | None = None,
    *,
    fps: float | None = None,
    format: str | None = None,
    ground_height_m: GroundHeight | None = None,
) -> CameraPath:
    """Turn ``--path`` into cameras.

    ``text`` is a preset with options (``loop``, ``orbit:radius_m=8,degrees=180``) or a file (``flight.json``), which
    may carry options as well:

    - ``anchor=start`` moves the whole path rigidly so that it begins at ``start``; ``anchor=world``, the default, uses
      its poses exactly as they are;
    - ``resample=yes`` spreads the file's poses over ``frames`` as keyframes instead of taking one a frame;
    - ``format=colmap`` (or any other name in ``engine.formats``) reads it so, whatever it looks like.

    Args:
        start: where presets begin, and whose field of view serves files without intrinsics.
        frames: frames wanted; presets need it (120 otherwise), files give their first ``frames`` poses (all of them
            otherwise).
        size: (height, width); that of ``start`` otherwise. Another size than a file's changes intrinsics only: the
            vertical field of view stays and both sides are cropped or widened.
        fps: of the film; the file's own otherwise, then 24.
        format: of the file, where its name and content should not decide; see ``engine.formats``.
        ground_height_m: presets stay above it. Poses from files are never changed by it.

    Raises:
        InputError: one sentence naming the preset and option, or the file and line or field, that does not fit.
    """
    if frames is not None and not 1 <= frames <= MAX_CAMERAS:
        raise InputError(f"A path needs between 1 and {MAX_CAMERAS:,} frames; {frames:,} were asked for.")
    if fps is not None:
        check_fps(fps)
    height, width = size or start.size
    if height < 1 or width < 1:
        raise InputError(f"An image size needs positive height and width; {height}x{width} was asked for.")
    start = CameraPath((start,)).fitted(width, height).cameras[0]
    name, file, options = _split(text)
    if file is None:
        return parse_preset(text).path(start, frames or 120, fps or DEFAULT_FPS, ground_height_m)
    from engine.formats import read_path

    path = read_path(file, format=options.get("format", format), size=(height, width), fov_deg=start.fov_deg).fitted(
        width, height
    )
    if options.get("anchor", "world") == "start":
        path = path.anchored(start.c2w)
    else:
        path = _noting_frame(path, name, start)
    if options.get("resample", "no") == "yes":
        path = PathSpec.through(path).evaluate((height, width), frames or len(path), fps or path.fps)
    elif frames is not None and frames < len(path):
        path = path.first(frames)
    elif frames is not None and frames > len(path):
        path = path.noting(f"{name} has {len(path)} poses, fewer than the {frames} frames asked for; all are flown.")
    path = _noting_ground(path, name, ground_height_m)
    return path if fps is None else path.at_fps(fps)


def _noting_frame(path: CameraPath, name: str, start: Camera) -> CameraPath:
    """Files of other projects often begin at their own origin, in the first camera's own axes: then say so."""
    away_m = float(np.linalg.norm(path[0].position - start.position))
    tilt_deg = math.degrees(math.acos(min(1.0, max(-1.0, -float(path[0].c2w[2, 1])))))
    if away_m > FAR_FROM_START_M:
        problem = f"begins {away_m:.0f} m from the start"
    elif tilt_deg > TILTED_DEG:
        problem = f"begins with a camera tilted by {tilt_deg:.0f} degrees"
    else:
        return path
    return path.noting(f"{name} {problem}; --path {name}:anchor=start flies it from the start instead.")


def _noting_ground(path: CameraPath, name: str, ground_height_m: GroundHeight | None) -> CameraPath:
    """Poses from a file stay as they are; that some lie inside the world's ground is worth saying."""
    if ground_height_m is None:
        return path
    ground = np.asarray(ground_height_m(path.positions[:, :2].copy()), dtype=np.float64).reshape(-1)
    below = int((path.positions[:, 2] < ground).sum())
    if not below:
        return path
    advice = f"raise them, or fly it from the start with --path {name}:anchor=start"
    return path.noting(f"{below} of the {len(path)} cameras in {name} are below the ground of this world; {advice}.")


def _split(text: str) -> tuple[str, Path | None, dict[str, str]]:
    """The name, the file (None for a preset) and the file's options of a ``--path`` argument."""
    if not text.strip() or "\0" in text:
        raise InputError(f"--path needs a preset ({', '.join(PRESETS)}) or a camera-path file; it was empty.")
    name = text.split(":", 1)[0].strip().lower().replace("_", "-")
    if name in PRESETS:
        return name, None, {}
    stem, colon, tail = text.rpartition(":")
    options: dict[str, str] = {}
    if colon and not Path(text).exists() and "=" in tail:
        options = _options(tail, stem)
        from engine.formats import FORMATS

        allowed = {"anchor": ("world", "start"), "resample": ("yes", "no"), "format": tuple(FORMATS)}
        for key, value in options.items():
            if key not in allowed:
                raise InputError(f"A path file takes the options {' and '.join(allowed)}; it got {key!r} in {text!r}.")
            if value not in allowed[key]:
                choices = " or ".join(allowed[key])
                raise InputError(f"The option {key} of a path file is {choices}; it was {value!r} in {text!r}.")
        text = stem
    file = Path(text).expanduser()
    try:
        exists = file.exists()
    except OSError:
        exists = False
    if not exists:
        looks_like_file = "/" in text or file.suffix != ""
        close = difflib.get_close_matches(name, PRESETS, n=1)
        if looks_like_file and not close:
            raise InputError(f"The camera path {text} does not exist; give a file or one of {', '.join(PRESETS)}.")
        guess = f"; did you mean {close[0]}?" if close else "."
        raise InputError(f"{text[:80]!r} is neither a path preset ({', '.join(PRESETS)}) nor a file that exists{guess}")
    return text, file, options


def _options(tail: str, owner: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in tail.split(","))):
        key, equals, value = part.partition("=")
        key = key.strip().lower().replace("-", "_")
        if not equals or not key or not value.strip():
            raise InputError(f"Options of {owner} are written name=value, separated by commas; {part!r} is not.")
        if key in options:
            raise InputError(f"The option {key} of {owner} was given twice.")
        options[key] = value.strip()
    return options


def parse_preset(text: str) -> Preset:
    """``orbit:radius_m=8,degrees=180`` -> the preset. Raises :class:`InputError` naming what is unknown and what there
    is.
    """
    head, _, tail = text.partition(":")
    name = head.strip().lower().replace("_", "-")
    if name not in PRESETS:
        close = difflib.get_close_matches(name, PRESETS, n=1)
        guess = f"; did you mean {close[0]}?" if close else "."
        raise InputError(f"{head[:80]!r} is not a path preset; there are {', '.join(PRESETS)}{guess}")
    cls = PRESETS[name]
    known = {item.name: item for item in fields(cls)}
    values: dict[str, float | bool] = {}
    for key, value in _options(tail, f"the {name} path").items():
        if key not in known:
            raise InputError(f"The {name} path has the options {', '.join(known)}; it got {key!r}.")
        values[key] = _parse_value(value, known[key].type == "bool", f"The {name} path's {key}")
    return cls(**values)  # type: ignore[arg-type]


def _parse_value(value: str, boolean: bool, owner: str) -> float | bool:
    if boolean:
        if value.lower() in ("yes", "true", "1", "on"):
            return True
        if value.lower() in ("no", "false", "0", "off"):
            return False
        raise InputError(f"{owner} is yes or no; it was {value!r}.")
    try:
        number = float(value)
    except ValueError:
        raise InputError(f"{owner} must be a number; it was {value[:40]!r}.") from None
    if not math.isfinite(number):
        raise InputError(f"{owner} must be a finite number; it was {value!r}.")
    return number


def preset_to_text(preset: Preset) -> str:
    """The ``--path`` argument that makes this preset again, leaving out what is at its default."""
    parts = []
    for item in fields(preset):
        value = getattr(preset, item.name)
        default = None if item.default is MISSING else item.default
        if value != default:
            parts.append(f"{item.name}={('yes' if value else 'no') if isinstance(value, bool) else repr(float(value))}")
    return preset.name + (":" + ",".join(parts) if parts else "")


def describe_presets() -> list[tuple[str, str, str]]:
    """(name, options, what it does) of every preset, for help texts and menus."""
    rows = []
    for name, cls in PRESETS.items():
        options = ", ".join(item.name for item in fields(cls) if item.name not in ("step_m", "clearance_m"))
        rows.append((name, options, cls.about))
    return rows
