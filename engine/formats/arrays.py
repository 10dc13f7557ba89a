"""Reading NumPy files from strangers: no pickles, no surprise in size, one kind of error."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from engine.errors import InputError
from engine.formats.base import MAX_FILE_BYTES, fail, read_bytes

MAX_ARCHIVE_BYTES = 8 << 30
"""An npz may carry images and depth beside its poses; they are not read, so only the poses are held to the limit."""


def _header(path: Path, where: str, stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    try:
        version = npy.read_magic(stream)
        if version == (1, 0):
            shape, fortran, dtype = npy.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, fortran, dtype = npy.read_array_header_2_0(stream)
        else:
            raise ValueError(f"version {version}")
    except Exception as error:  # the header is a Python literal: its tokenizer, parser and dtype raise what they like
        raise fail(path, where, "this is no NumPy array", "save it again with numpy.save or numpy.savez") from error
    if dtype.hasobject or dtype.kind not in "fiubU":
        problem = f"the array has dtype {str(dtype)[:40]}, and only plain numbers are read (never pickled objects)"
        raise fail(path, where, problem, "save it again as float32 or float64")
    if any(side < 0 for side in shape):
        raise fail(path, where, f"the array's shape {shape} is impossible", "save it again")
    return shape, fortran, dtype


def _read(path: Path, where: str, stream: IO[bytes]) -> np.ndarray:
    shape, fortran, dtype = _header(path, where, stream)
    count = 1
    for side in shape:
        count *= side
    length = count * dtype.itemsize
    if length > MAX_FILE_BYTES:
        raise fail(path, where, f"the array has {length >> 20} MiB, and {MAX_FILE_BYTES >> 20} are read", "thin it out")
    data = stream.read(length)
    if len(data) < length:
        raise fail(path, where, f"the array is cut off after {len(data)} of {length} bytes", "copy the file again")
    flat = np.frombuffer(data, dtype=dtype, count=count)
    array = flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
    return array if dtype.kind == "U" else array.astype(np.float64)


def read_npy(path: Path) -> np.ndarray:
    """A ``.npy`` of numbers as float64; :class:`InputError` for anything else."""
    return _read(path, "", io.BytesIO(read_bytes(path)))


class Archive:
    """An open ``.npz``, from which single arrays are read. A context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if not path.is_file():
                raise fail(path, "", "there is no such file", f"look in {path.parent}")
            if path.stat().st_size == 0:
                raise fail(path, "", "it is empty", "export the camera path again")
            if path.stat().st_size > MAX_ARCHIVE_BYTES:
                raise fail(path, "", f"it has more than {MAX_ARCHIVE_BYTES >> 30} GiB", "save the poses alone")
            self._zip = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise fail(path, "", f"this is no npz archive ({error})", "copy or export it again") from error
        except (OSError, NotImplementedError, ValueError, EOFError, OverflowError) as error:
            raise fail(path, "", f"it cannot be read ({error})", "check the file and its permissions") from error
        self.names = {name[:-4] for name in self._zip.namelist() if name.endswith(".npy")}

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def read(self, name: str) -> np.ndarray:
        """The array called ``name``; numbers come as float64."""
        with self._open(name) as stream:
            return self._guarded(name, stream)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of an array, without reading it."""
        with self._open(name) as stream:
            try:
                return _header(self.path, name, stream)[0]
            except _DAMAGE as error:
                raise self._damaged(name, error) from error

    def _open(self, name: str) -> IO[bytes]:
        if name not in self.names:
            have = ", ".join(sorted(self.names))[:120] or "nothing"
            raise fail(self.path, name, f"this array is missing (there is {have})", "export the file again")
        try:
            return self._zip.open(name + ".npy")
        except _DAMAGE as error:
            raise self._damaged(name, error) from error

    def _guarded(self, name: str, stream: IO[bytes]) -> np.ndarray:
        try:
            return _read(self.path, name, stream)
        except _DAMAGE as error:
            raise self._damaged(name, error) from error

    def _damaged(self, name: str, error: Exception) -> InputError:
        return fail(self.path, name, f"the archive is damaged ({str(error)[:60]})", "copy or export it again")


_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,  # an encrypted member
    ValueError,
    KeyError,
    OverflowError,
)
