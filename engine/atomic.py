"""Writing files so that nothing the user made is ever lost: a temporary sibling first, then one rename."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import InputError


def check_writable_parent(path: Path) -> None:
    """Raise :class:`InputError` if ``path`` cannot be created: its folder is missing, not a folder or read-only."""
    parent = path.parent
    if not parent.exists():
        raise InputError(f"The folder {parent} does not exist; create it or choose another place for {path.name}.")
    if not parent.is_dir():
        raise InputError(f"{parent} is not a folder; choose another place for {path.name}.")
    if not os.access(parent, os.W_OK):
        raise InputError(f"The folder {parent} is read-only; choose another place for {path.name}.")


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the same folder (same suffix); on success it replaces ``path``, on any error it is
    removed.

    Raises:
        InputError: the folder is missing, read-only or full.
    """
    target = Path(path)
    check_writable_parent(target)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{target} cannot be written ({reason}); choose another place.") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, target)
    except OSError as error:
        if error.errno == 28:  # ENOSPC
            raise InputError(
                f"The disk holding {target.parent} is full; free some space and write {target.name} again."
            ) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)
