"""``mirage eval``: how true, how steady, against the alternatives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mirage_app.commands.base import Command
from mirage_app.commands.options import DeviceName, MaybePath


@dataclass(frozen=True, kw_only=True)
class Eval(Command):
    """Compare the memory variants on unseen worlds: fidelity, loop closure, coverage, drift."""

    quick: bool = False
    """Ten minutes instead of a thorough run."""
    import_re10k: MaybePath = None
    """Run the protocol on a folder in RealEstate10K's format (frames, camera files) instead of on procedural worlds."""
    out: Path = Path("out/eval")
    """Folder of the tables (JSON, Markdown) and plots; an interrupted run goes on there."""
    device: DeviceName = "auto"
    """Where the model runs."""

    def run(self) -> int:
        from mirage_app.proof import evaluate

        return evaluate(self)
