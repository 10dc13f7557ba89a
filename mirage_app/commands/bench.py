"""``mirage bench``: how fast and how small, on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mirage_app.commands.base import Command
from mirage_app.commands.options import DeviceName, MaybeInt, MaybePath, Precision


@dataclass(frozen=True, kw_only=True)
class Bench(Command):
    """Measure time per frame and memory, stage by stage, against an RGB memory."""

    quick: bool = False
    """A few minutes instead of a thorough run."""
    ui: bool = False
    """Measure the window instead: stalls, time to the first frame, frames a second."""
    size: Annotated[str | None, tyro.conf.arg(metavar="HxW")] = None
    """Height and width of the frames, both divisible by 8; by default the model's own."""
    steps: MaybeInt = None
    """Denoising steps a frame; by default the model's own."""
    out: Path = Path("out/bench")
    """Folder of the tables (JSON, Markdown) and plots."""
    device: DeviceName = "auto"
    """Where the model runs."""
    precision: Precision = "auto"
    """Wide convolutions are multiplied in bytes where the processor is quick at that; `full` does without."""
    model: MaybePath = None
    """Folder of the model's weights; by default the one that Mirage ships."""

    def run(self) -> int:
        from mirage_app.proof import bench

        return bench(self)
