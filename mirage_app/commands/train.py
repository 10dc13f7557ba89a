"""``mirage train``: train a part of the embedded model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from mirage_app.commands.base import Command
from mirage_app.commands.options import DeviceName, MaybeFloat, MaybePath


@dataclass(frozen=True, kw_only=True)
class Train(Command):
    """Train a part of the embedded model on procedural worlds; a killed run goes on where it stopped."""

    stage: Annotated[Literal["autoencoder", "readout", "denoiser"], tyro.conf.Positional]
    """Which part."""
    config: MaybePath = None
    """JSON file of the run's settings; by default the shipped recipe."""
    out: MaybePath = None
    """Folder of checkpoints, curves and sample sheets; by default runs/<stage>."""
    minutes: MaybeFloat = None
    """Stop after so much time instead of after the recipe's."""
    device: DeviceName = "auto"
    """Where to train."""

    def run(self) -> int:
        from mirage_app.training import train

        return train(self)
