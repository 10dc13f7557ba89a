"""Spatia's camera files: ``w2c.txt`` with one matrix a line, ``intrinsics.txt`` with four shares of the image.

A line of ``w2c.txt`` is a JSON list of three or four rows, as Spatia writes and reads it; twelve or sixteen plain
numbers are read as well. OpenCV axes. Neither file may hold a comment, so none is written.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from engine.atomic import atomic_write
from engine.camera import Camera
from engine.camera_path import MAX_CAMERAS, CameraPath
from engine.errors import InputError
from engine.formats.base import (
    PathFormat,
    ReadOptions,
    camera_from_shares,
    check_count,
    fail,
    intrinsics,
    inverted,
    number_text,
    parse_floats,
    read_text,
    rigid,
    shares_of,
)

CONVENTION = (
    "world-to-camera 3x4 or 4x4 a line, OpenCV axes (x right, y down, z forward); "
    "intrinsics fx fy cx cy as shares of width and height in intrinsics.txt beside it"
)
POSES, LENS = "w2c.txt", "intrinsics.txt"
_PUNCTUATION = re.compile(r"[\[\],;]")


def read(path: Path, options: ReadOptions) -> CameraPath:
    """Read ``w2c.txt`` (or the folder it is in) and the ``intrinsics.txt`` beside it, if there is one."""
    poses = path / POSES if path.is_dir() else path
    c2ws = []
    for number, line in enumerate(read_text(poses).split("\n"), start=1):
        words = _PUNCTUATION.sub(" ", line).split()
        if not words or words[0].startswith("#"):
            continue
        where = f"line {number}"
        if len(words) not in (12, 16):
            problem = f"a pose has 12 or 16 numbers, and this line has {len(words)}"
            raise fail(poses, where, problem, "complete or remove it")
        matrix = parse_floats(poses, where, words, "the w2c").reshape(-1, 4)
        c2ws.append(inverted(rigid(poses, where, matrix, "the w2c")))
        if len(c2ws) > MAX_CAMERAS:
            break
    check_count(poses, len(c2ws))
    lens = poses.with_name(LENS)
    if not lens.is_file():
        height, width = options.size or (512, 896)
        cameras = [Camera.from_fov(c2w, options.fov_deg, width, height) for c2w in c2ws]
        note = f"There is no {LENS} beside {poses.name}; a field of view of {options.fov_deg:g} degrees is assumed."
        return CameraPath(tuple(cameras), notes=(note,))
    words = _PUNCTUATION.sub(" ", read_text(lens)).split()
    if len(words) not in (4, 4 * len(c2ws)):
        raise fail(lens, "", f"it needs 4 numbers (fx fy cx cy) and holds {len(words)}", "correct it")
    values = parse_floats(lens, "", words, "the intrinsics").reshape(-1, 4)
    shares = [intrinsics(lens, f"camera {i + 1}", *map(float, row)) for i, row in enumerate(values)]
    if max(float(s[0, 0]) for s in shares) > 20.0:
        problem = "the focal length is no share of the image width; it seems to be in pixels"
        raise fail(lens, "", problem, "divide fx and cx by the width, fy and cy by the height")
    shares = shares * len(c2ws) if len(shares) == 1 else shares
    return CameraPath(tuple(camera_from_shares(c2w, s, options) for c2w, s in zip(c2ws, shares, strict=True)))


def write(path: CameraPath, target: Path) -> tuple[str, ...]:
    """Write both files; ``target`` is the folder (made if missing) or a ``.txt`` for the poses."""
    poses = target
    if target.suffix.lower() != ".txt":
        try:
            target.mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(f"The folder {target} cannot be made ({error.strerror}); choose another place.") from error
        poses = target / POSES
    lines = ["[" + ", ".join(_row(row) for row in camera.w2c) + "]" for camera in path.cameras]
    first = shares_of(path[0])
    lens = [first[0, 0], first[1, 1], first[0, 2], first[1, 2]]
    with atomic_write(poses.with_name(LENS)) as temporary:
        temporary.write_text("[" + " ".join(map(number_text, lens)) + "]\n", encoding="utf-8")
    with atomic_write(poses) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if any(not np.allclose(shares_of(camera), first, rtol=1e-9, atol=1e-12) for camera in path.cameras):
        return (f"Spatia's {LENS} holds one lens for the whole path: the first camera's; zooms are lost.",)
    return ()


def _row(row: np.ndarray) -> str:
    return "[" + ", ".join(map(number_text, row)) + "]"


def recognises(path: Path, head: bytes) -> bool:
    """By the name ``w2c.txt``, or by lines of 12 or 16 numbers."""
    if path.is_dir():
        return (path / POSES).is_file()
    if path.suffix.lower() != ".txt" or path.name in (LENS, "cameras.txt", "images.txt"):
        return False
    lines = (_PUNCTUATION.sub(" ", line).split() for line in head.decode("utf-8", "replace").split("\n"))
    first = next((words for words in lines if words and not words[0].startswith("#")), [])
    return path.name.lower().endswith(POSES) or len(first) in (12, 16)


FORMAT = PathFormat("spatia", "Spatia w2c.txt + intrinsics.txt (folder)", CONVENTION, POSES, recognises, read, write)
