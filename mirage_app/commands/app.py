"""``mirage`` / ``mirage app``: open the window."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mirage_app.commands.base import Command
from mirage_app.commands.options import DeviceName, MaybeFloat, MaybeInt, MaybePath, MaybeText, Precision


@dataclass(frozen=True, kw_only=True)
class App(Command):
    """Open the app (what `mirage` does without a command); where no display is, render a flight to a film instead."""

    session: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[SESSION]")] = None
    """A saved world (.mirage) to open."""
    world: MaybeText = None
    """Start in this kind of world instead of in the gallery: meadow, autumn, snow, ..."""
    seed: MaybeInt = None
    """Which of its worlds; by default 7."""
    time: str = ""
    """Time of day there; by default the seed chooses."""
    image: MaybePath = None
    """Start in this picture."""
    depth: MaybePath = None
    """Depth of --image: a 16-bit PNG in millimetres or a .npy in metres."""
    fov_deg: MaybeFloat = None
    """Vertical field of view of --image in degrees; by default 60."""
    device: DeviceName = "auto"
    """Where the model runs."""
    precision: Precision = "auto"
    """Wide convolutions are multiplied in bytes where the processor is quick at that; `full` does without."""
    model: MaybePath = None
    """Folder of the model's weights; by default the one that Mirage ships."""

    def run(self) -> int:
        from mirage_app.window import open_window

        return open_window(self)
