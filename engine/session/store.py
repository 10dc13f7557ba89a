"""Saving and opening sessions: whole files by one rename, folders that grow by what is new."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.atomic import atomic_write, check_writable_parent
from engine.errors import InputError, SessionError
from engine.session.container import (
    check_header,
    fsync_folder,
    pack,
    read_json,
    read_tensors,
    safe_name,
    unpack,
    write_json,
    write_tensors,
)
from engine.session.fields import Fields
from engine.session.records import FrameRecord, pack_records, unpack_records
from engine.session.state import SessionState, state_from_json

FORMAT = "mirage-session"
VERSION = 1
MANIFEST = "manifest.json"
PREVIOUS = "manifest.previous.json"
MAX_SEGMENTS = 256

SaveMemory = Callable[[Path], None]
"""Writes the memory into an existing folder."""


@dataclass
class OpenedSession:
    """A session whose manifest and frames are checked and read; the memory is still to be loaded from
    ``memory_folder``.

    Use as a context manager: a ``.mirage`` file was copied into a temporary folder that goes when the block ends.
    """

    state: SessionState
    frames: list[FrameRecord]
    memory_folder: Path | None
    _temporary: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> OpenedSession:
        return self

    def __exit__(self, *_: object) -> None:
        if self._temporary is not None:
            self._temporary.cleanup()


def _manifest(state: SessionState, generation: int, memory: str | None, segments: Sequence[str]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "generation": generation,
        "memory": memory,
        "frames": list(segments),
        "world": state.to_json(),
    }


def save_session(
    path: Path, state: SessionState, frames: Sequence[FrameRecord], save_memory: SaveMemory | None
) -> None:
    """Write a whole session: a ``.mirage`` file, or a folder where ``path`` is one. ``save_memory=None``: the variant
    keeps no memory.

    Raises:
        InputError: the folder is missing, read-only or full.
    """
    if path.is_dir():
        FolderSession(path).save(state, frames, save_memory)
        return
    check_writable_parent(path.absolute())
    with tempfile.TemporaryDirectory(prefix="mirage-save-") as name:
        folder = Path(name)
        FolderSession(folder).save(state, frames, save_memory)
        pack({str(f.relative_to(folder).as_posix()): f for f in sorted(folder.rglob("*")) if f.is_file()}, path)
    fsync_folder(path.absolute().parent)


class FolderSession:
    """A session as a folder. Each :meth:`save` adds the frames that are new and the memory as it is, then switches the
    manifest in one rename: whatever is killed when, the folder opens as it was after some completed save. The save
        before that is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._generation = 0
        self._segments: list[str] = []
        self._saved = 0
        self._last_summary: object = None
        self.touched = False
        for name in (MANIFEST, PREVIOUS):
            try:
                self._generation = max(
                    self._generation, Fields(read_json(folder / name), name).integer("generation", 0, 2**60)
                )
            except SessionError:
                continue  # nothing there, or nothing readable: it will be replaced

    def save(self, state: SessionState, frames: Sequence[FrameRecord], save_memory: SaveMemory | None) -> None:
        """Save. ``frames`` is the whole list; what earlier calls of this object wrote is not written again.

        Raises:
            InputError: the folder cannot be made, is read-only or full.
        """
        self._make_folder()
        self.touched = True
        generation = self._generation + 1
        continues = self._saved <= len(frames) and (
            self._saved == 0 or frames[self._saved - 1].summary is self._last_summary
        )
        if not continues or len(self._segments) >= MAX_SEGMENTS:  # another world, or time to merge
            self._segments, self._saved = [], 0
        segments = list(self._segments)
        if len(frames) > self._saved:
            segments.append(f"frames-{generation}.safetensors")
            write_tensors(self.folder / segments[-1], pack_records(frames[self._saved :]))
        memory = None
        if save_memory is not None:
            memory = f"memory-{generation}"
            (self.folder / memory).mkdir(exist_ok=True)
            save_memory(self.folder / memory)
        previous = self.folder / MANIFEST
        if previous.is_file():
            with atomic_write(self.folder / PREVIOUS) as temporary:
                shutil.copyfile(previous, temporary)
        write_json(previous, _manifest(state, generation, memory, segments))
        fsync_folder(self.folder)
        self._generation, self._segments, self._saved = generation, segments, len(frames)
        self._last_summary = frames[-1].summary if frames else None
        self._sweep()

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"The folder {self.folder} cannot be made ({error.strerror}); choose another place."
            ) from error

    def _sweep(self) -> None:
        """Remove what neither manifest needs: memories and frames of older saves, left-overs of a save that was killed.
        """
        wanted = {MANIFEST, PREVIOUS}
        for name in (MANIFEST, PREVIOUS):
            try:
                manifest = read_json(self.folder / name)
            except SessionError:
                continue
            wanted.update(str(segment) for segment in manifest.get("frames", ()))
            wanted.add(str(manifest.get("memory")))
        for entry in self.folder.iterdir():
            ours = entry.name.startswith(("memory-", "frames-", ".manifest-", ".frames-", ".manifest.previous-"))
            if entry.name in wanted or not ours:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)


def open_session(path: Path, *, model: str, checksum: str) -> OpenedSession:
    """Check and read a session made with the model of that ``checksum``.

    Raises:
        SessionError: it is not a session, damaged, of another version, unsafe, or was made with another model.
    """
    if not path.exists():
        raise SessionError(f"There is no session at {path}; it may have been moved or deleted.")
    if path.is_dir():
        return _open_folder(path, model, checksum)
    temporary = tempfile.TemporaryDirectory(prefix="mirage-open-")
    try:
        folder = Path(temporary.name)
        try:
            unpack(path, folder)
        except OSError as error:
            raise SessionError(
                f"{path.name} cannot be read ({error.strerror or error}); check the disk and its permissions."
            ) from error
        opened = _open_manifest(folder, read_json(folder / MANIFEST), model, checksum)
    except BaseException:
        temporary.cleanup()
        raise
    opened._temporary = temporary
    return opened


def _open_folder(folder: Path, model: str, checksum: str) -> OpenedSession:
    """The folder's newest save; the one before it if the newest is damaged."""
    try:
        return _open_manifest(folder, read_json(folder / MANIFEST), model, checksum)
    except SessionError:
        if not (folder / PREVIOUS).is_file():
            raise
        try:
            return _open_manifest(folder, read_json(folder / PREVIOUS), model, checksum)
        except SessionError:
            pass
        raise


def _open_manifest(folder: Path, manifest: dict[str, Any], model: str, checksum: str) -> OpenedSession:
    fields = Fields(manifest, MANIFEST)
    if manifest.get("format") != FORMAT:
        raise SessionError("This is not a Mirage session; choose a .mirage file or a folder that Mirage saved.")
    if (version := manifest.get("version")) != VERSION:
        raise SessionError(
            f"The session has version {str(version)[:20]}, this Mirage reads {VERSION}; open it with a newer Mirage."
        )
    state = state_from_json(manifest.get("world"))
    if (state.model, state.checksum) != (model, checksum):
        raise SessionError(
            f"The session belongs to the model {state.model} {state.checksum[:12]}, here is {model} {checksum[:12]}; "
            "start Mirage with that model to open it."
        )
    frames: list[FrameRecord] = []
    for name in fields.items("frames", MAX_SEGMENTS):
        if not isinstance(name, str) or "/" in name or not safe_name(name):
            raise SessionError(f"The session names an unsafe file {str(name)[:60]!r}; it was not made by Mirage.")
        frames += unpack_records(read_tensors(_inside(folder, name)), name)
    memory: Path | None = None
    if manifest.get("memory") is not None:
        name = fields.text("memory", 120)
        if "/" in name or not safe_name(name):
            raise SessionError(f"The session names an unsafe folder {name[:60]!r}; it was not made by Mirage.")
        memory = _inside(folder, name)
        if not memory.is_dir():
            raise SessionError(f"The session lacks its memory ({name}); open an earlier copy of it.")
        for file in memory.rglob("*.safetensors"):
            check_header(file)
    return OpenedSession(state, frames, memory)


def _inside(folder: Path, name: str) -> Path:
    """``folder / name``, refusing links that lead elsewhere."""
    path = folder / name
    if path.is_symlink() or not path.resolve().is_relative_to(folder.resolve()):
        raise SessionError(
            f"The session's {name} is a link to another place, which a session never holds; it was not made by Mirage."
        )
    return path
