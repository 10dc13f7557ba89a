"""``mirage worlds``: what worlds there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from mirage_app.commands.base import Command
from mirage_app.commands.options import MaybePath, MaybeText


@dataclass(frozen=True, kw_only=True)
class Worlds(Command):
    """List the kinds of world, or draw a contact sheet of them."""

    sheet: MaybePath = None
    """Draw one picture of worlds by times of day to this PNG."""
    world: MaybeText = None
    """Only this kind of world."""
    seed: int = 7
    """Which world of each kind."""
    size: Annotated[str, tyro.conf.arg(metavar="HxW")] = "256x448"
    """Height and width of each view."""

    def run(self) -> int:
        from mirage_app.sheets import list_worlds

        return list_worlds(self)
