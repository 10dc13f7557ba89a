"""How a room repeats itself: bay by bay, and turned by quarters.

A hall of pillars is stored from eight points, and from most others its pillars still hide something that none of them
saw. But it is the same bay again and again: who takes a look from where one stands in another bay, near to one of the
two points that it was seen from first, sees that there. What repeats is found in the room itself.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.nn.functional import max_pool2d

from engine.camera import Camera, rotation_about_up
from engine.memory import Readout
from engine.places.bank import View
from engine.places.matching import offsets_of, rays_of
from engine.places.module import QUARTER_RAD
from engine.places.rooms import WALL_M, floor_m

BAYS = range(2, 9)
"""A side may have so many."""
ALIKE = 0.8
"""A room repeats itself if so much of what stands in it does, of what is seen there."""
SAME_SURFACE, THROUGH = 0.1, 0.16
"""Nepers of depth: of the same surface; and so much nearer than what is seen there that it was seen through."""
CEILING_M = 6.0
"""What stands in a room lies above its floor, and no higher: floor and ceiling are alike however one goes."""
SAME_FLOOR = 0.25
"""Correlation of latents; of a floor with itself, seen from the other point, it is 0.5."""
BORDER_M = 2.4
"""A floor may have a border, so far from the room's edge, that is not like the rest."""
AROUND = (-1.0, 0.0, 1.0)
"""So many bays from the one that is nearest to it, a room may still be seen better from."""
SAMPLE = 2500
NEAREST_M, KNOWN = 0.3, 1e-4
MISSING_M = (3.0, 6.0)
"""What is missing may be so far away."""
EVERY = 3
"""So many cells a side are one for the question which motion is best."""
FEWEST = 0.01
"""So small a share of a view is not worth another look."""
LEAST_ASIDE = 0.05
"""What is seen from so near to where it was given, as a share of how far it lies away, is seen as it was."""


@dataclass(frozen=True)
class Repeat:
    """A motion that takes a room to itself: turned by quarters around its middle, then shifted, metres."""

    quarters: int
    shift: tuple[float, float]

    @cached_property
    def matrix(self) -> np.ndarray:
        """(4, 4) float64."""
        motion = np.eye(4)
        motion[:3, :3] = rotation_about_up(self.quarters * QUARTER_RAD)
        motion[:2, 3] = self.shift
        return motion

    def of(self, points: np.ndarray) -> np.ndarray:
        """Where it takes points (..., 3)."""
        motion = self.matrix
        return points @ motion[:3, :3].T + motion[:3, 3]

    def before(self, points: np.ndarray) -> np.ndarray:
        """What it takes to points (..., 3)."""
        motion = self.matrix
        return (points - motion[:3, 3]) @ motion[:3, :3]


class Repeats:
    """Of one room, in its own coordinates: metres from its middle.

    Attributes:
        bay_m: how long a bay is; None if the room has none, and then it is only what it is. quarters: the turns that
            leave it as it is. seen_from: (n, 3), the points that it was first seen from.

    Args:
        views: of the room, its first. side_m: of its square. mean, std: (C, 1, 1) of the latents.
    """

    def __init__(self, views: Sequence[View], side_m: float, mean: Tensor, std: Tensor) -> None:
        self._views = [(depth.numpy(), camera.resized(*depth.shape[::-1])) for _, depth, camera in views]
        self._looks = [((latents - mean) / std).numpy() for latents, _, _ in views]
        self._half_m = 0.5 * side_m
        self.seen_from = np.unique(np.round([camera.position for _, _, camera in views], 3), axis=0)
        points, looks = self._points()
        self._floor_m = floor_m(points)
        high = points[:, 2] - self._floor_m
        self._standing, _ = _some(points[(high > 0.0) & (high < CEILING_M)])
        self._floor, some = _some(points[high <= 0.0])
        self._floor_looks = looks[high <= 0.0][some]
        self._floors: dict[Repeat, bool] = {}
        self.bay_m = self._bay_m(side_m)
        quarters = () if self.bay_m is None else range(4)
        self.quarters = tuple(q for q in quarters if q == 0 or self._alike(Repeat(q, (0.0, 0.0))) >= ALIKE)
        if self.bay_m is None:  # and nobody will ask
            self._views, self._looks = [], []

    def best(self, view: Readout, wanted: Tensor, camera: Camera, but: Collection[Repeat] = ()) -> Repeat | None:
        """The motion, ``but`` none of these, after which ``camera`` sees best what is ``wanted (h, w)`` bool of a view
        that does not show it; None if that is not much."""
        motions = [repeat for repeat in self._near(camera) if repeat not in but]
        missing = wanted & (view.coverage <= 0.99)
        if not motions or float(missing.float().mean()) < FEWEST:
            return None
        points = self._missing(view, missing, camera)
        floor = points[:, 2] < self._floor_m
        motion = np.stack([repeat.matrix for repeat in motions])
        moved = motion[:, :3, :3] @ camera.position + motion[:, :3, 3]
        moved_m = np.linalg.norm(moved[:, None] - self.seen_from, axis=-1).min(axis=1)
        aside = moved_m[:, None] / np.linalg.norm(points - camera.position, axis=-1)
        better = -np.log2(aside.clip(LEAST_ASIDE, 1.0))
        better *= self._within(points @ motion[:, :3, :3].transpose(0, 2, 1) + motion[:, None, :3, 3])
        standing, floors = better[:, ~floor].sum(axis=1), better[:, floor].sum(axis=1)
        best, most = None, 0.0
        for index in np.argsort(-(standing + floors), kind="stable"):
            if standing[index] + floors[index] <= most:
                break
            gain = standing[index] + (floors[index] if self._floor_alike(motions[index]) else 0.0)
            if gain > most:
                best, most = motions[index], gain
        return best

    def _missing(self, view: Readout, missing: Tensor, camera: Camera) -> np.ndarray:
        """Points (n, 3) of the room that may be what a view does not show, where that is ``missing (h, w)`` bool."""
        every = np.s_[::EVERY, ::EVERY]
        rays = rays_of(camera, view).numpy()[every][missing.numpy()[every]]
        points = np.concatenate([camera.position + rays * depth_m for depth_m in MISSING_M])
        return points[self._within(points) & (points[:, 2] < self._floor_m + CEILING_M)]

    def shows(self, repeat: Repeat, seen: Readout, camera: Camera) -> Tensor:
        """(h, w) bool: cells of a view, ``seen`` by a camera that was taken by ``repeat``, that are true of where it
        was taken from."""
        nearest, farthest = (offsets_of(camera, seen, farthest=far).numpy() + camera.position for far in (False, True))
        shown = (seen.coverage > 0.99).numpy()
        for points in (nearest, farthest):
            shown &= self._within(points) & self._within(repeat.before(points))
        floor = nearest[..., 2] <= self._floor_m
        if self._floor_alike(repeat):
            floor &= self._bordered(nearest) | self._bordered(repeat.before(nearest))
        shown &= ~floor
        cells = np.flatnonzero(shown)
        _, through, _, _ = self._seen(repeat.before(nearest.reshape(-1, 3)[cells]))
        shown.ravel()[cells[through]] = False
        return torch.from_numpy(shown)

    def _bay_m(self, side_m: float) -> float | None:
        for bays in BAYS:
            shifts = ((side_m / bays, 0.0), (0.0, side_m / bays))
            if all(self._alike(Repeat(0, shift)) >= ALIKE for shift in shifts):
                return side_m / bays
        return None

    def _alike(self, repeat: Repeat) -> float:
        """How much of what stands in the room, of what it shows there, ``repeat`` takes to the same."""
        there = repeat.of(self._standing)
        same, through, _, _ = self._seen(there[self._within(there)])
        return float(same.sum() / max(1, (same | through).sum()))

    def _floor_alike(self, repeat: Repeat) -> bool:
        """Whether the floor has the same tiles after a motion; not if none of it is seen there."""
        if repeat not in self._floors:
            there = repeat.of(self._floor)
            within = self._within(there)
            same, _, view, at = self._seen(there[within])
            here = self._floor_looks[within][same]
            view, at = view[same], at[same]
            looks = np.empty_like(here)
            for index, look in enumerate(self._looks):
                its = view == index
                looks[its] = look[:, at[its, 1], at[its, 0]].T
            self._floors[repeat] = len(looks) > 0 and _correlation(here, looks) > SAME_FLOOR
        return self._floors[repeat]

    def _near(self, camera: Camera) -> Iterator[Repeat]:
        """Those that take a camera to near where the room was seen from; none of a room without bays."""
        if self.bay_m is None:
            return
        for quarters in self.quarters:
            turned = Repeat(quarters, (0.0, 0.0)).of(np.asarray(camera.position))
            steps = np.round((self.seen_from - turned)[:, :2] / self.bay_m)
            around = {(float(x + i), float(y + j)) for x, y in steps for i in AROUND for j in AROUND}
            for x, y in sorted(around):
                if quarters or x or y:
                    yield Repeat(quarters, (self.bay_m * x, self.bay_m * y))

    def _within(self, points: np.ndarray) -> np.ndarray:
        """Which of some points (..., 3) lie in the room, and are not of its walls."""
        return np.abs(points[..., :2]).max(axis=-1, initial=0.0) < self._half_m - WALL_M

    def _bordered(self, points: np.ndarray) -> np.ndarray:
        """Which of some points (..., 3) lie where the floor may have a border."""
        return np.abs(points[..., :2]).max(axis=-1, initial=0.0) > self._half_m - BORDER_M

    def _points(self) -> tuple[np.ndarray, np.ndarray]:
        """(n, 3) and (n, C): what stands in the room, as it was seen."""
        points, looks = [], []
        for (depth, camera), look in zip(self._views, self._looks, strict=True):
            h, w = look.shape[1:]
            nearness = max_pool2d(torch.from_numpy(depth)[None], depth.shape[1] // w)[0].numpy()
            seen = camera.position + camera.resized(w, h).rays() / nearness.clip(min=KNOWN)[..., None]
            within = self._within(seen)
            points.append(seen[within])
            looks.append(look.transpose(1, 2, 0)[within])
        return np.concatenate(points), np.concatenate(looks)

    def _seen(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Of points (n, 3): (n,) bool, which are seen in the room as it is stored; and which are not there, for what
        lies behind them is seen. Of those that are seen, (n,) the view and (n, 2) the cell."""
        same, through = np.zeros((2, len(points)), np.bool_)
        view, at = np.zeros(len(points), np.int64), np.zeros((len(points), 2), np.int64)
        for index, (depth, camera) in enumerate(self._views):
            samples = depth.shape[1] // self._looks[index].shape[2]
            seen_by = np.ascontiguousarray(camera.K @ camera.c2w[:3, :3].T), np.array(camera.position)
            _see(points, depth, *seen_by, samples, index, same, through, view, at)
        return same, through & ~same, view, at


@njit(cache=True)
def _see(
    points: np.ndarray,
    depth: np.ndarray,
    P: np.ndarray,
    position: np.ndarray,
    samples: int,
    index: int,
    same: np.ndarray,
    through: np.ndarray,
    view: np.ndarray,
    at: np.ndarray,
) -> None:
    """:meth:`Repeats._seen` of one view, ``index``, of ``depth (h*samples, w*samples)`` 1/m, by a camera with ``P = K
    R^T (3, 3)`` at ``position (3,)``."""
    for n in range(len(points)):
        x, y, z = points[n, 0] - position[0], points[n, 1] - position[1], points[n, 2] - position[2]
        ahead_m = P[2, 0] * x + P[2, 1] * y + P[2, 2] * z
        if not ahead_m > NEAREST_M:
            continue
        column = (P[0, 0] * x + P[0, 1] * y + P[0, 2] * z) / ahead_m
        row = (P[1, 0] * x + P[1, 1] * y + P[1, 2] * z) / ahead_m
        if not (0.0 <= column < depth.shape[1] and 0.0 <= row < depth.shape[0]):
            continue
        behind = np.log(max(depth[int(row), int(column)] * ahead_m, 1e-3))
        if abs(behind) < SAME_SURFACE:
            same[n] = True
            view[n] = index
            at[n, 0], at[n, 1] = int(column) // samples, int(row) // samples
        elif behind < -THROUGH:
            through[n] = True


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Of (n, C) with (n, C), all channels together."""
    one, other = one - one.mean(axis=0), other - other.mean(axis=0)
    return float((one * other).sum() / math.sqrt(max(1e-12, float((one**2).sum() * (other**2).sum()))))


def _some(points: np.ndarray) -> tuple[np.ndarray, slice]:
    """Some of (n, 3), and which."""
    some = slice(None, None, max(1, len(points) // SAMPLE))
    return points[some], some
