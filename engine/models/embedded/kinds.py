"""How likely each kind of room is, from what one sees of it through a door."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

MOST = 6.0
"""No number that describes a cell counts for more."""
MANY = 4.0
"""Nepers of cells that count for one."""


class KindNetwork(nn.Module):
    """A set of cells (Zaheer et al. 2017, "Deep Sets"): each is looked at by itself, and all are pooled.

    Args:
        described: numbers that describe a cell. width: of what lies in between. kinds: that are told apart.
        stored: how many stored rooms it knows the kinds of.
    """

    of_rooms: Tensor

    def __init__(self, described: int, width: int, kinds: int, stored: int) -> None:
        super().__init__()
        self.cell = nn.Sequential(nn.Linear(described, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.all = nn.Sequential(nn.Linear(2 * width + 1, width), nn.SiLU(), nn.Dropout(0.2), nn.Linear(width, kinds))
        self.register_buffer("of_rooms", torch.zeros(stored, dtype=torch.int64))

    @classmethod
    def like(cls, tensors: Mapping[str, Tensor]) -> KindNetwork:
        """One of the size of stored parameters, which are not loaded.

        Raises:
            KeyError: they are of another network.
        """
        width, described = tensors["cell.0.weight"].shape
        return cls(described, width, len(tensors["all.3.bias"]), len(tensors["of_rooms"]))

    def forward(self, cells: Tensor, there: Tensor) -> Tensor:
        """(B, n, described) cells, of which some are ``there (B, n)`` bool -> (B, kinds) logits."""
        looked_at = self.cell(cells.clamp(-MOST, MOST))
        count = there.sum(dim=1, keepdim=True)
        mean = (looked_at * there[..., None]).sum(dim=1) / count
        most = looked_at.masked_fill(~there[..., None], -torch.inf).amax(dim=1)
        logits: Tensor = self.all(torch.cat([mean, most, count.log() / MANY], dim=1))
        return logits
