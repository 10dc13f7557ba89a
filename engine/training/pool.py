"""Examples that take longer to make than to learn from: kept for a while, renewed little by little."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor

from engine.training.workers import Workers

T = TypeVar("T")


class Pool(Generic[T]):
    """Up to ``size`` examples; one more, or another, every ``renew_steps`` draws, or as fast as others make them.

    Args:
        make: makes one. first: how many there are at the first draw. workers: make them instead, if there are any.
    """

    def __init__(
        self,
        make: Callable[[torch.Generator], T],
        size: int,
        first: int,
        renew_steps: int,
        workers: Workers[T] | None = None,
    ) -> None:
        self.make = make
        self.workers = workers
        self.size, self.first, self.renew_steps = size, max(1, min(first, size)), renew_steps
        self.items: list[T] = []
        self._draws = 0

    def draw(self, count: int, generator: torch.Generator) -> list[T]:
        """``count`` of them, by chance."""
        missing = max(0, self.first - len(self.items))
        due = max(int(self._draws % self.renew_steps == 0), missing)
        self._draws += 1
        made = (self.make(generator) for _ in range(due)) if self.workers is None else self.workers.ready(missing)
        for item in made:
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
