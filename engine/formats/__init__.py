"""Camera paths in the formats that people have: one registry, recognised by content and name or named outright."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from engine.camera import DEFAULT_FOV_DEG
from engine.camera_path import CameraPath
from engine.errors import InputError
from engine.formats import colmap, lingbot, lyra, mirage, nerfstudio, paper, realestate10k, spatia
from engine.formats.base import PathFormat, ReadOptions, fail

__all__ = ["FORMATS", "PathFormat", "detect_format", "format_for_writing", "read_path", "write_path"]

HEAD_BYTES = 1 << 16

FORMATS: dict[str, PathFormat] = {
    entry.name: entry
    for entry in (
        mirage.FORMAT,
        nerfstudio.CAMERA_PATH,
        nerfstudio.TRANSFORMS,
        realestate10k.FORMAT,
        colmap.FORMAT,
        lyra.NPZ,
        lyra.JSON,
        paper.FORMAT,
        lingbot.FORMAT,
        spatia.FORMAT,
    )
}
"""Every format by the name that ``format=`` takes; earlier ones are asked first whether a file is theirs."""


def read_path(
    path: str | os.PathLike[str],
    format: str | None = None,
    size: tuple[int, int] | None = None,
    fov_deg: float = DEFAULT_FOV_DEG,
) -> CameraPath:
    """Read a camera path from a file or folder.

    Poses come out exactly as they are in the file, but for the change to camera-to-world, OpenCV (and, within the
    stated tolerance, to the nearest rotation). ``notes`` of the result say what had to be assumed or left out.

    Args:
        format: a name from ``FORMATS``; by default content and name decide.
        size: (height, width) of the images to come, for files that do not know theirs.
        fov_deg: vertical field of view, for files without intrinsics.

    Raises:
        InputError: naming the file, the line or field, what is wrong and what to do.
    """
    source = Path(path)
    chosen = get_format(format) if format is not None else detect_format(source)
    return chosen.read(source, ReadOptions(size, fov_deg))


def write_path(cameras: CameraPath, path: str | os.PathLike[str], format: str | None = None) -> tuple[str, ...]:
    """Write a camera path; the name decides on the format (see :func:`format_for_writing`) unless one is given.

    Returns:
        Sentences on what the format could not hold, empty if nothing was lost.

    Raises:
        InputError: unknown format or name; missing, read-only or full folder.
    """
    target = Path(path)
    chosen = get_format(format) if format is not None else format_for_writing(target)
    try:
        return chosen.write(cameras, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{target} cannot be written ({reason}); choose another place.") from error


def get_format(name: str) -> PathFormat:
    """The format called ``name``; :class:`InputError` listing them all otherwise."""
    if name not in FORMATS:
        close = difflib.get_close_matches(name, FORMATS, n=1)
        guess = f"; did you mean {close[0]}?" if close else "."
        raise InputError(f"{name[:40]!r} is no camera-path format; there are {', '.join(FORMATS)}{guess}")
    return FORMATS[name]


def detect_format(source: Path) -> PathFormat:
    """The format of an existing file or folder; :class:`InputError` if it is none that is known."""
    try:
        if source.is_dir():
            head = b""
        elif source.is_file():
            with open(source, "rb") as stream:
                head = stream.read(HEAD_BYTES)
                if head.startswith(b"PK"):  # the names of a zip's members stand at its end as well
                    stream.seek(max(0, source.stat().st_size - HEAD_BYTES))
                    head += stream.read(HEAD_BYTES)
        else:
            raise fail(source, "", "there is no such file or folder", "check the name")
        if not source.is_dir() and not head.strip():
            raise fail(source, "", "it is empty", "export the camera path again")
        for candidate in FORMATS.values():
            if candidate.recognises(source, head):
                return candidate
        if source.is_dir():
            inside = [source / entry.default_name for entry in FORMATS.values()]
            for file in inside:
                if file.is_file():
                    return detect_format(file)
    except OSError as error:
        raise fail(source, "", f"it cannot be read ({error.strerror})", "check its permissions") from error
    raise fail(source, "", "this is no camera path that Mirage knows", f"name its format, of {', '.join(FORMATS)}")


def format_for_writing(target: Path) -> PathFormat:
    """The format a name stands for: a well-known file name, else .json (Mirage's own), .txt (RealEstate10K), .npz
    (Lyra, GEN3C), .npy (lingbot-world), or a folder (COLMAP)."""
    for entry in FORMATS.values():
        if target.name.lower() == entry.default_name:
            return entry
    by_suffix = {".json": "mirage", ".txt": "realestate10k", ".npz": "lyra", ".npy": "lingbot", "": "colmap"}
    suffix = "" if target.is_dir() else target.suffix.lower()
    if suffix not in by_suffix:
        kinds = ".json, .txt, .npz, .npy or a folder"
        raise InputError(f"{target.name} ends in {suffix}, which is no camera path; use {kinds}, or name the format.")
    return FORMATS[by_suffix[suffix]]
