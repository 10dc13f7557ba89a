"""Reading and writing the files of a session without trusting them."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as dump_tensors

from engine.atomic import atomic_write
from engine.errors import SessionError

MAX_MEMBERS = 4096
MAX_TOTAL_BYTES = 8 << 30
MAX_JSON_BYTES = 64 << 20
MAX_HEADER_BYTES = 16 << 20
MAX_DEPTH = 4
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,120}")


def safe_name(name: str) -> bool:
    """A relative path of plain names, without ``..``, drive letters, backslashes or hidden files."""
    parts = name.split("/")
    return len(parts) <= MAX_DEPTH and all(_NAME.fullmatch(part) and ".." not in part for part in parts)


def pack(files: dict[str, Path], path: Path) -> None:
    """Write ``files`` (name in the archive -> file) as a stored zip, atomically.

    Raises:
        InputError: the folder is missing, read-only or full.
    """
    with (
        atomic_write(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, allowZip64=True) as archive,
    ):
        for name, file in files.items():
            archive.write(file, name)


def unpack(path: Path, folder: Path) -> None:
    """Check a ``.mirage`` file and copy its members into ``folder``.

    Raises:
        SessionError: not a zip, truncated, with names that leave the folder, compressed or overlapping members, or too
            large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_members(path, members)
            for member in members:
                target = folder / member.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, open(target, "wb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
                if target.stat().st_size != member.file_size:
                    raise SessionError(
                        f"{path.name} is damaged ({member.filename} is cut short); open an earlier copy of it."
                    )
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        EOFError,
        NotImplementedError,
        RuntimeError,
        struct.error,
        ValueError,
    ) as error:
        raise SessionError(
            f"{path.name} is not a Mirage session or is damaged ({error}); open an earlier copy of it."
        ) from error


def _check_members(path: Path, members: list[zipfile.ZipInfo]) -> None:
    if len(members) > MAX_MEMBERS:
        raise SessionError(
            f"{path.name} holds {len(members)} files, a session has at most {MAX_MEMBERS}; it was not made by Mirage."
        )
    names = [member.filename for member in members]
    for member in members:
        if not safe_name(member.filename):
            raise SessionError(
                f"{path.name} holds a file with the unsafe name {member.filename[:80]!r}; it was not made by Mirage."
            )
        if (
            member.compress_type != zipfile.ZIP_STORED
            or member.compress_size != member.file_size
            or member.flag_bits & 0x1
        ):
            raise SessionError(
                f"{path.name} holds compressed or encrypted files, unlike any session; Mirage did not make it."
            )
    if len(set(names)) != len(names):
        raise SessionError(f"{path.name} holds the same file twice; it was not made by Mirage.")
    total, on_disk = sum(member.file_size for member in members), path.stat().st_size
    if total > min(on_disk, MAX_TOTAL_BYTES):
        raise SessionError(
            f"{path.name} claims {total} bytes in a file of {on_disk}; it is damaged or was not made by Mirage."
        )


def read_json(path: Path, limit: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """A JSON object without NaN or infinities.

    Raises:
        SessionError: missing, too large, not UTF-8 JSON, nested too deeply, or not an object.
    """
    try:
        if path.stat().st_size > limit:
            raise SessionError(
                f"{path.name} in the session is larger than {limit >> 20} MiB; it was not made by Mirage."
            )
        return parse_json(path.read_bytes(), path.name)
    except FileNotFoundError:
        raise SessionError(
            f"The session has no {path.name}; choose a .mirage file or a folder that Mirage saved."
        ) from None
    except OSError as error:
        raise SessionError(f"{path} cannot be read ({error.strerror}); check the disk and its permissions.") from error


def parse_json(data: bytes, name: str) -> dict[str, Any]:
    """As :func:`read_json`, from bytes; ``name`` is for the message."""

    def refuse(constant: str) -> float:
        raise ValueError(f"{constant} is not a number")

    def number(text: str) -> float:
        value = float(text)
        return value if math.isfinite(value) else refuse(text)

    try:
        values = json.loads(data.decode("utf-8"), parse_constant=refuse, parse_float=number)
    except (ValueError, RecursionError) as error:
        raise SessionError(f"{name} in the session is not valid JSON ({error}); open an earlier copy of it.") from error
    if not isinstance(values, dict):
        raise SessionError(f"{name} in the session must hold an object; open an earlier copy of it.")
    return values


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write ``values`` atomically, NaN refused."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(values, allow_nan=False, separators=(",", ":")), encoding="utf-8")


def write_tensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """Write a safetensors file atomically."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(dump_tensors(tensors))


def check_header(path: Path) -> None:
    """The first bytes of a safetensors file, before a parser sees them: its header fits into the file and into reason.

    Raises:
        SessionError: too short, or a header larger than the file or than 16 MiB.
    """
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            head = file.read(8)
    except OSError as error:
        raise SessionError(f"{path.name} is missing from the session; open an earlier copy of it.") from error
    header = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
    if not 2 <= header <= min(size - 8, MAX_HEADER_BYTES):
        raise SessionError(
            f"{path.name} in the session is damaged (header {header}, file {size} bytes); open an earlier copy of it."
        )


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file, floats checked to be finite.

    Raises:
        SessionError: missing, truncated, malformed, or with numbers that are not finite.
    """
    check_header(path)
    try:
        tensors = load_tensors(path.read_bytes())
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise SessionError(f"{path.name} in the session is damaged ({error}); open an earlier copy of it.") from error
    for name, value in tensors.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise SessionError(
                f"{path.name} in the session holds numbers that are not finite ({name[:40]}); open an earlier copy."
            )
    return tensors


def fsync_folder(folder: Path) -> None:
    """Make renames in ``folder`` durable, where the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
