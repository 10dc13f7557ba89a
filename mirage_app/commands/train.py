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

    stage: Annotated[
        Literal[
            "scenes",
            "places",
            "autoencoder",
            "readout",
            "denoiser",
            "decoder",
            "detail",
            "flights",
            "mirror",
            "halving",
            "kinds",
            "export",
        ],
        tyro.conf.Positional,
    ]
    """What to do, in this order: render the scenes and places, train the parts, put the model's folder together."""
    config: MaybePath = None
    """TOML file of the stage's settings; those it does not name keep the recipe's values."""
    set: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE ...")] = ()
    """Single settings, written as in the TOML file: `--set loop.batch=32 scenes.supersample=1`."""
    out: MaybePath = None
    """Folder of the scenes or places, of the run (checkpoints, curves, sample sheets) or of the exported model."""
    minutes: MaybeFloat = None
    """Minutes to train, over all resumes."""
    device: DeviceName = "auto"
    """Where to train."""

    def run(self) -> int:
        from mirage_app.training import train

        return train(self)
