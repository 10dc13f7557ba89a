"""RealEstate10K camera files: one line a frame, world-to-camera, OpenCV, intrinsics as shares of the image.

The first line is a video's address in the data set; Mirage writes what the file holds there instead, behind a ``#``.
Columns: timestamp in microseconds, fx fy cx cy (shares), k1 k2 (always 0), then the 3x4 w2c by rows.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from engine.atomic import atomic_write
from engine.camera import Camera
from engine.camera_path import CameraPath
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

COLUMNS = 19
CONVENTION = (
    "world-to-camera 3x4 by rows, OpenCV axes (x right, y down, z forward), metres; "
    "intrinsics fx fy cx cy as shares of width and height; timestamps in microseconds"
)
_SIZE = re.compile(r"\bsize=(\d{1,5})x(\d{1,5})\b")


def read(path: Path, options: ReadOptions) -> CameraPath:
    """Read a RealEstate10K file; a size stated in its first line by Mirage is used."""
    lines = read_text(path).split("\n")
    size = None
    rows: list[tuple[int, np.ndarray]] = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].startswith("#") or (number == 1 and len(words) < COLUMNS):
            stated = _SIZE.search(line)
            if stated and number == 1:
                size = (int(stated[1]), int(stated[2]))
            elif number == 1 and words and not words[0].startswith(("#", "http")):
                problem = f"a line needs {COLUMNS} numbers and this one has {len(words)}"
                raise fail(path, "line 1", problem, "complete it, or begin the file with the video's address")
            continue
        if len(words) != COLUMNS:
            problem = f"a line needs {COLUMNS} numbers and this one has {len(words)}"
            raise fail(path, f"line {number}", problem, "complete or remove it")
        rows.append((number, parse_floats(path, f"line {number}", words, "a camera line")))
        if len(rows) > 100_000:
            break
    check_count(path, len(rows))
    cameras, times_s, distorted = [], [], False
    for number, row in rows:
        where = f"line {number}"
        distorted |= bool(np.any(row[5:7] != 0.0))
        c2w = inverted(rigid(path, where, row[7:].reshape(3, 4), "the w2c"))
        shares = intrinsics(path, where, *map(float, row[1:5]))
        if size is not None and size[0] and size[1]:
            cameras.append(Camera(c2w, np.diag([size[1], size[0], 1.0]) @ shares, size[1], size[0]))
        else:
            cameras.append(camera_from_shares(c2w, shares, options))
        times_s.append(row[0] * 1e-6)
    steps = np.diff(times_s)
    notes = ("The lens distortion in the file (k1, k2) is left out.",) if distorted else ()
    if len(steps) and np.all(steps > 0):
        fps = float(np.clip(round(1.0 / float(np.median(steps)), 3), 0.1, 1000.0))
        return CameraPath(tuple(cameras), fps, tuple(times_s), notes)
    return CameraPath(tuple(cameras), notes=notes)


def write(path: CameraPath, target: Path) -> tuple[str, ...]:
    """Write a RealEstate10K file whose first line states what it holds."""
    height, width = path[0].size
    same = all(camera.size == path[0].size for camera in path.cameras)
    size = f"size={height}x{width}" if same else "sizes differ"
    lines = [f"# Mirage camera path, RealEstate10K format: {CONVENTION}; {size}; fps={path.fps:g}"]
    for camera, time_s in zip(path.cameras, path.times_s, strict=True):
        shares = shares_of(camera)
        values = [shares[0, 0], shares[1, 1], shares[0, 2], shares[1, 2], 0.0, 0.0, *camera.w2c[:3].reshape(-1)]
        lines.append(" ".join([str(round(time_s * 1e6)), *map(number_text, values)]))
    with atomic_write(target) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return () if same else ("RealEstate10K files hold no image sizes; those of this path differ and are lost.",)


def recognises(path: Path, head: bytes) -> bool:
    """By content: a line of nineteen words, the first one or the one after the address."""
    if path.suffix.lower() not in (".txt", ""):
        return False
    lines = [line.split() for line in head.split(b"\n")[:3]]
    return head.startswith(b"# Mirage camera path, RealEstate10K") or any(len(words) == COLUMNS for words in lines)


FORMAT = PathFormat("realestate10k", "RealEstate10K (.txt)", CONVENTION, "poses.txt", recognises, read, write)
