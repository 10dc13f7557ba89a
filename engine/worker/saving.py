"""Saving the open world: when asked to, and every few seconds of change."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import InputError
from engine.reopen import capture, memory_saver
from engine.session import SessionState, save_session

if TYPE_CHECKING:
    from engine.worker.loop import EngineLoop
    from engine.worker.opened import OpenedWorld


def state_of(loop: EngineLoop, world: OpenedWorld) -> SessionState:
    """What a session says about the open world."""
    return capture(
        world.explorer,
        kind=world.kind,
        camera=world.camera,
        first=world.first,
        quality=loop.quality.asked,
        recorded=world.recorded,
        notes=world.notes,
    )


def save(loop: EngineLoop, path: Path | None) -> Path:
    """Save to ``path``, or to where the world was saved last.

    Raises:
        InputError: no world is open, no path is known, or it cannot be written.
    """
    world = loop.world
    if world is None:
        raise InputError("No world is open; open one before saving.")
    target = path or world.session
    if target is None:
        raise InputError("This world was not saved before; choose a file for it.")
    save_session(target, state_of(loop, world), list(world.frames), memory_saver(world.explorer))
    world.session, world.saved = target, True
    loop.publish_world()
    return target


def previous_run(folder: Path) -> Path:
    """Where the autosave of the run before goes."""
    return folder.with_name(f"{folder.stem}-previous{folder.suffix}")


def keep_previous_run(folder: Path) -> None:
    """Before this run's first autosave: what an earlier run left there may be all that someone has of a world."""
    if not folder.exists():
        return
    kept = previous_run(folder)
    if kept.is_dir():
        shutil.rmtree(kept, ignore_errors=True)
    else:
        kept.unlink(missing_ok=True)
    try:
        folder.replace(kept)
    except OSError as error:
        raise InputError(
            f"The autosave in {folder} cannot be moved aside ({error.strerror}); check its folder."
        ) from error


def autosave(loop: EngineLoop) -> None:
    """Bring the autosave folder up to date; the save before stays beside it."""
    world = loop.world
    if world is None or loop.autosaver is None:
        return
    if not loop.autosaver.touched:
        keep_previous_run(loop.autosaver.folder)
    loop.autosaver.save(state_of(loop, world), list(world.frames), memory_saver(world.explorer))
    world.autosaved = True
