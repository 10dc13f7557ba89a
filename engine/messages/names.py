"""Names that commands and updates share."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, TypeAlias

MemoryVariant: TypeAlias = Literal["latent", "latent-flat", "latent-nearest", "append", "rgb", "none"]
Layout: TypeAlias = Literal["generated", "side-by-side", "with-memory"]
CompareSource: TypeAlias = Literal[
    "none",
    "readout",
    "readout-pca",
    "coverage",
    "offsets",
    "depth",
    "winners",
    "last-visit",
    "truth",
    "rgb-memory",
    "branch",
]

MEMORY_VARIANTS: tuple[MemoryVariant, ...] = ("latent", "latent-flat", "latent-nearest", "append", "rgb", "none")
STAGES = ("readout", "encode", "complete", "imagine", "decode", "write")
"""What a frame's time goes into, in order; ``encode`` only where an image was encoded."""
LAYOUTS: tuple[Layout, ...] = ("generated", "side-by-side", "with-memory")
COMPARE_SOURCES: dict[CompareSource, str] = {
    "none": "Nothing",
    "readout": "What the memory knew, decoded",
    "readout-pca": "Readout latents as colours (PCA)",
    "coverage": "Coverage of each cell",
    "offsets": "Sub-cell offsets of the winning tokens",
    "depth": "Depth",
    "winners": "Winning tokens by age",
    "last-visit": "The last visit to this place",
    "truth": "The true world (procedural worlds)",
    "rgb-memory": "The RGB point cloud (the baseline's memory)",
    "branch": "Another branch at this camera",
}
"""Every source of the second view, with the words that name it on screen."""


class WorkerState(StrEnum):
    """What the engine thread is doing."""

    WARMING = "warming"  # loading the model and running it once, or opening a world
    IDLE = "idle"  # nothing to do: no CPU is used
    GENERATING = "generating"
    EXPORTING = "exporting"  # a film is being made; looking around still generates
    STOPPED = "stopped"
