"""``mirage eval``: how true, how steady, against the alternatives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mirage_app.commands.base import Command
from mirage_app.commands.options import DeviceName, MaybeInt, MaybePath, MemoryKind, Precision


@dataclass(frozen=True, kw_only=True)
class Eval(Command):
    """Compare the memory variants on unseen worlds: fidelity, loop closure, coverage, drift."""

    quick: bool = False
    """Ten minutes instead of a thorough run."""
    variants: tuple[MemoryKind, ...] = ()
    """Which memories to compare; by default all five."""
    scenes: MaybeInt = None
    """How many worlds (or clips); by default 16, quick 8: the biomes in turn."""
    import_re10k: MaybePath = None
    """Run the protocol on a folder in RealEstate10K's format (frames, camera files) instead of on procedural worlds."""
    size: Annotated[str | None, tyro.conf.arg(metavar="HxW")] = None
    """Height and width of the frames, both divisible by 8; by default the model's own."""
    steps: MaybeInt = None
    """Denoising steps a frame; by default the model's own."""
    out: Path = Path("out/eval")
    """Folder of the tables (JSON, Markdown) and plots; an interrupted run goes on there."""
    device: DeviceName = "auto"
    """Where the model runs."""
    precision: Precision = "auto"
    """Wide convolutions are multiplied in bytes where the processor is quick at that; `full` does without."""
    model: MaybePath = None
    """Folder of the model's weights; by default the one that Mirage ships."""

    def run(self) -> int:
        from mirage_app.proof import evaluate

        return evaluate(self)
