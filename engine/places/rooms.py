"""Which stored room, turned how, goes on best from what a view of a building knows.

Rooms fit together only side by side and turned by quarters of a circle (:mod:`engine.places.module`), so there are few
to compare, each as it is seen from its middle. They are told by shape and texture; by what hour it is only together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from engine.camera import Camera
from engine.places.bank import PlaceBank
from engine.places.matching import AZIMUTHS, DEPTH_WEIGHT, LOYALTY, Match, bins_along, describe, onto_grid
from engine.places.module import QUARTER_RAD, Point

NEAREST = 1e-3
"""Shares of a distance are told no lower."""
HOUR = 0.1
"""How much the hour counts beside what a room is."""
WALL_M, SOME = 0.7, 0.1
"""What lies in a room, and no nearer to its edge than that, tells which it is, where that is so much of a view."""


class RoomMatcher:
    """Compares a view with the rooms of a bank; each is put on the grid of directions when it is first needed.

    Args:
        bank: the places. mean, std: (C, 1, 1) of the latents.
        colours: (k, C), the main directions of flat colours; along them alone an hour differs from another.
    """

    def __init__(self, bank: PlaceBank, mean: Tensor, std: Tensor, colours: Tensor) -> None:
        self._bank, self._mean, self._std = bank, mean, std
        hours = torch.linalg.qr((colours / std.flatten()).T).Q.T
        self._hours = torch.cat([hours, torch.zeros(len(hours), 1)], dim=1)  # depth is no matter of the hour
        self._grids: dict[int, tuple[Tensor, Tensor]] = {}

    def best(
        self,
        features: Tensor,
        inverse_depth: Tensor,
        weight: Tensor,
        camera: Camera,
        middle: Point,
        side_m: float,
        places: Sequence[int],
        latest: Match | None = None,
        replaced: Match | None = None,
    ) -> Match:
        """The one of ``places`` that is most like a view, set down at ``middle`` of a square of ``side_m``.

        Args:
            features, inverse_depth: (C, h, w) and (h*s, w*s), of the view. weight: (h, w) >= 0, how much cells count.
            latest: stays unless another fits clearly better. replaced: the room one comes from, which is set down
                again, whichever way turned, only if that fits clearly better.
        """
        described, moved = self._seen_from(middle, features, inverse_depth, camera)
        weight = weight.flatten()
        inside = weight * torch.from_numpy(np.abs(moved[:, :2]).max(axis=1) < 0.5 * side_m - WALL_M)
        if float(inside.sum()) > SOME * float(weight.sum()):
            weight = inside
        query, total = onto_grid(described, bins_along(moved), weight)
        errors = {}
        for place in places:
            grid, there = self._grid(place)
            for quarter in range(4):
                columns = -quarter * AZIMUTHS // 4
                share = total * (torch.roll(there, columns, 1) > 0.0)
                amount = share.sum()
                differs = query - torch.roll(grid, columns, 1)
                together = self._hours @ (differs * share[..., None]).sum((0, 1)) / amount.clamp(min=1e-6)
                square = (differs.square().sum(-1) * share).sum() / amount.clamp(min=1e-6)
                square -= (1.0 - HOUR) * together.square().sum()
                errors[place, quarter] = float(square) if float(amount) > 0.5 * float(total.sum()) else math.inf
        if replaced is not None:
            errors = {key: error * (LOYALTY if key[0] == replaced.place else 1.0) for key, error in errors.items()}
        place, quarter = min(errors, key=errors.__getitem__)
        if latest is not None:
            same = errors.get((latest.place, _quarter(latest)), math.inf)
            if same <= LOYALTY * errors[place, quarter]:
                return replace(latest, error=same)
        return Match(place, quarter * QUARTER_RAD, errors[place, quarter], middle)

    def _grid(self, index: int) -> tuple[Tensor, Tensor]:
        if index not in self._grids:
            origin = (0.0, 0.0, 0.0)
            views = [self._seen_from(origin, *view) for view in self._bank[index].views()]
            described = torch.cat([looks for looks, _ in views])
            bins = bins_along(np.concatenate([points for _, points in views]))
            self._grids[index] = onto_grid(described, bins, torch.ones(len(bins)))
        return self._grids[index]

    def _seen_from(
        self, point: Point, features: Tensor, inverse_depth: Tensor, camera: Camera
    ) -> tuple[Tensor, np.ndarray]:
        """What a view shows, (h*w, D), as it would be seen from a point; and where from there, (h*w, 3) metres."""
        described = describe((features - self._mean) / self._std, inverse_depth)
        rays = camera.resized(features.shape[-1], features.shape[-2]).rays().reshape(-1, 3)
        weight = math.sqrt(DEPTH_WEIGHT)
        away = rays * np.exp(described[:, -1:].numpy() / weight)
        moved = away + camera.position - np.asarray(point)
        nearer = np.linalg.norm(moved, axis=1) / np.linalg.norm(away, axis=1)
        described[:, -1] += weight * torch.from_numpy(np.log(nearer.clip(min=NEAREST))).float()
        return described, moved


def _quarter(match: Match) -> int:
    return round(match.turn_rad / QUARTER_RAD) % 4
