"""Examples that take longer to make than to learn from: kept for a while, renewed little by little."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


class Pool(Generic[T]):
    """Up to ``size`` examples; one more, or another, every ``renew_steps`` draws.

    Args:
        make: makes one. first: how many there are at the first draw.
    """

    def __init__(self, make: Callable[[torch.Generator], T], size: int, first: int, renew_steps: int) -> None:
        self.make = make
        self.size, self.first, self.renew_steps = size, min(first, size), renew_steps
        self.items: list[T] = []
        self._draws = 0

    def draw(self, count: int, generator: torch.Generator) -> list[T]:
        """``count`` of them, by chance."""
        due = self._draws % self.renew_steps == 0
        self._draws += 1
        for _ in range(max(int(due), self.first - len(self.items))):
            item = self.make(generator)
            if len(self.items) < self.size:
                self.items.append(item)
            else:
                self.items[int(torch.randint(self.size, (), generator=generator))] = item
        return [self.items[int(torch.randint(len(self.items), (), generator=generator))] for _ in range(count)]


def corner(cells: Tensor, side: int, generator: torch.Generator) -> tuple[int, int, int]:
    """(top, left, side) of a square of at most ``side`` cells somewhere in (..., h, w)."""
    rows, columns = cells.shape[-2:]
    side = min(side, rows, columns)
    top = int(torch.randint(rows - side + 1, (), generator=generator))
    left = int(torch.randint(columns - side + 1, (), generator=generator))
    return top, left, side
