"""What comes of completing a view."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from engine.memory import Readout
from engine.places.matching import Match


@dataclass(frozen=True, eq=False)
class Completed:
    """A readout whose holes were filled from a place.

    Attributes:
        readout: to condition on.
        taken: (h, w) bool, cells that come from the place.
        hidden: (h, w) bool, those of them that were known, and that something of the place stands before; and what
            was imagined of a room that is another.
        anew: (h, w) bool, those of them that were known, and that the place tells better.
        match: which one.
        outside: (h, w) bool, those of them that are no more than a guess: what lies outside of the rooms that are
            known, where it is one.
    """

    readout: Readout
    taken: Tensor
    hidden: Tensor
    anew: Tensor
    match: Match
    outside: Tensor | None = None
