"""Places of a building: they fit together like rooms, only side by side and turned by quarters of a circle.

In open country a place may be set down wherever one stands. Set down so in a building, its walls would stand across
those that are remembered. Its worlds are built on a square grid, and its places are seen from the middle of a square.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

QUARTER_RAD = 0.5 * math.pi
Point = tuple[float, float, float]
Way = tuple[int, int]
SIDES: tuple[Way, ...] = ((-1, 0), (1, 0), (0, -1), (0, 1))
"""The ways from a square of the grid to the next ones."""


@dataclass(frozen=True)
class Module:
    """The grid that a biome's worlds are built on.

    Attributes:
        side_m: of a square. middle: of one of them, at the height that places are seen from, in world coordinates.
    """

    side_m: float
    middle: Point

    def nearest(self, here: Point, like: Point | None = None) -> Point:
        """The middle of the square that ``here`` lies in, of the grid that has one at ``like``, if that is known."""
        base = self.middle if like is None else like
        x, y = (b + self.side_m * round((h - b) / self.side_m) for h, b in zip(here[:2], base[:2], strict=True))
        return x, y, base[2]


def to_quarter(turn_rad: float) -> float:
    """The quarter turn nearest to a turn."""
    return QUARTER_RAD * round(turn_rad / QUARTER_RAD)
