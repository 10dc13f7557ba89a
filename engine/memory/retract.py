"""Taking back the newest write for good; see :meth:`engine.memory.LatentMemory.retract`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.memory.latent_memory import LatentMemory


def retract(memory: LatentMemory) -> bool:
    """Remove the present node, its keyframe and its tokens; False, and nothing is changed, unless they are the newest."""
    return memory.retract()
