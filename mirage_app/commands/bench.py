"""``mirage bench``: how fast and how small, on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mirage_app.commands.base import Command
from mirage_app.commands.options import DeviceName


@dataclass(frozen=True, kw_only=True)
class Bench(Command):
    """Measure time per frame and memory, stage by stage, against an RGB memory."""

    quick: bool = False
    """A few minutes instead of a thorough run."""
    ui: bool = False
    """Measure the window instead: stalls, time to the first frame, frames a second."""
    out: Path = Path("out/bench")
    """Folder of the tables (JSON, Markdown) and plots."""
    device: DeviceName = "auto"
    """Where the model runs."""

    def run(self) -> int:
        from mirage_app.proof import bench

        return bench(self)
