"""What handlers need of the loop, with a sentence for the user where it is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import InputError
from engine.memory import LatentMemory

if TYPE_CHECKING:
    from engine.session import FrameRecord
    from engine.worker.loop import EngineLoop
    from engine.worker.opened import OpenedWorld


def open_world_of(loop: EngineLoop) -> OpenedWorld:
    """The open world.

    Raises:
        InputError: there is none.
    """
    if loop.world is None:
        raise InputError("No world is open; open one first.")
    return loop.world


def memory_of(loop: EngineLoop) -> LatentMemory:
    """The open world's latent memory.

    Raises:
        InputError: no world is open, or its variant keeps none.
    """
    memory = open_world_of(loop).explorer.memory.latent
    if memory is None:
        raise InputError("This world keeps no latent memory; open one with the memory latent to do that.")
    return memory


def record_of(loop: EngineLoop, node: int | None, index: int | None = None) -> FrameRecord | None:
    """The kept frame of a step or node, if its pixels are still there."""
    world = open_world_of(loop)
    record = world.frames.at_index(index) if index is not None else world.frames.at_node(node or 0)
    return record if record is not None and record.jpeg else None
