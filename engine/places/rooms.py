"""Which stored room, turned how, goes on best from what a view of a building knows.

Rooms fit together only side by side and turned by quarters of a circle (:mod:`engine.places.module`), so there are few
to compare, each as it would be seen from where one is, coarsely. They are told by shape and texture; by what hour it is
only together.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.nn.functional import avg_pool2d

from engine.camera import Camera, rotation_about_up
from engine.places.bank import PlaceBank
from engine.places.matching import DEPTH_WEIGHT, LOYALTY, SKY_LOG_DEPTH, Match, describe
from engine.places.module import QUARTER_RAD, Point

COARSE = 2
"""So many cells a side are compared as one; and of a room every second token, across and down."""
NEAREST_M = 0.1
ALMOST_SKY, SKY_M = SKY_LOG_DEPTH - 0.01, math.exp(SKY_LOG_DEPTH)
SAME_SURFACE = 1.15
"""What is no farther than that, times the nearest, is seen too."""
UPWARDS = 0.9
DEPTH, HOUR = 0.05, 8.0
"""How much shape counts beside texture; and, among rooms of one kind, the hour beside that."""
WALL_M, SOME = 0.7, 0.1
"""What lies in a room, and no nearer to its edge than that, tells which it is, where that is so much of a view; and so
does the sky."""
FLOOR_M, FLOOR_REACH_M = 0.2, 9.0
"""What is no higher above the lowest is floor; and no farther away than that its tiles are still told apart."""
FLOOR_SHARE, FLOOR_TELLS = 0.03, 0.1
"""Where so much of a view is floor that a room shows too, it is turned as its tiles lie, if they tell by so much."""


@dataclass(frozen=True, eq=False)
class Room:
    """What a stored room shows of itself, and of the sky.

    Attributes:
        points: (n, 3) float32, metres from its middle. looks: (n, C) float32, normalised. sky: (n,) bool.
    """

    points: np.ndarray
    looks: np.ndarray
    sky: np.ndarray

    @cached_property
    def roofed(self) -> bool:
        """Whether there is no sky straight above."""
        above = self.points[:, 2] > UPWARDS * np.linalg.norm(self.points, axis=1)
        return not self.sky[above].mean() > 0.5

    @cached_property
    def floor_m(self) -> float:
        """What lies lower is its floor."""
        return floor_m(self.points[~self.sky])


PARTS = ("points", "looks", "sky")


class RoomMatcher:
    """Compares a view with the rooms of a bank; each is made ready when it is first needed.

    Args:
        bank: the places. mean, std: (C, 1, 1) of the latents.
        colours: (k, C), the main directions of flat colours; along them alone an hour differs from another.
    """

    def __init__(self, bank: PlaceBank, mean: Tensor, std: Tensor, colours: Tensor) -> None:
        self._bank, self._mean, self._std = bank, mean, std
        hours = torch.linalg.qr((colours / std.flatten()).T).Q.T
        self._hours = hours
        self._rooms: dict[int, Room] = {}

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
        along: int | None = None,
        one_kind: bool = False,
    ) -> Match:
        """The one of ``places`` that is most like a view, set down at ``middle`` of a square of ``side_m``.

        Args:
            features, inverse_depth: (C, h, w) and (h*s, w*s), of the view. weight: (h, w) >= 0, how much cells count.
            latest: stays unless another fits clearly better. replaced: the room one comes from, which is set down
                again, whichever way turned, only if that fits clearly better.
            along: the axis (0 or 1) that one looks into it along; the two points that it is stored from lie on that
                axis, for little hides behind anything there.
            one_kind: all of them are of the same kind; then it is the one that is most like in that light.

        Whether it is a court is told by how textures go together (:meth:`_unlike`), and which of the rooms with a roof
        it is by how far they are apart.
        """
        described = describe((features - self._mean) / self._std, inverse_depth)
        telling = weight * self._tells(described, camera, middle, side_m).view(weight.shape)
        if float(telling.sum()) > SOME * float(weight.sum()):
            weight = telling
        total = avg_pool2d(weight[None], COARSE)
        looks = described.T.view(-1, *weight.shape)
        query = (avg_pool2d(looks * weight, COARSE) / total.clamp(min=1e-6)).flatten(1).T
        total = total.flatten()
        coarse = camera.resized(weight.shape[1] // COARSE, weight.shape[0] // COARSE)
        errors, squares, amounts = {}, {}, {}
        for place in places:
            room = self._room(place, side_m)
            for quarter in range(4) if along is None else (along, along + 2):
                seen, there = _seen(room, coarse, middle, quarter, total > 0.0)
                share = total * there
                errors[place, quarter], squares[place, quarter] = self._unlike(query, seen, share, hour=one_kind)
                amounts[place, quarter] = float(share.sum())
        least = 0.5 * max(amounts.values())
        again = {key: LOYALTY if replaced is not None and key[0] == replaced.place else 1.0 for key in errors}
        errors = {key: again[key] * error if amounts[key] >= least else math.inf for key, error in errors.items()}
        place, quarter = min(errors, key=errors.__getitem__)
        error = errors[place, quarter]
        if one_kind or self._room(place, side_m).roofed:
            shown = [key for key in errors if math.isfinite(errors[key])]
            alike = [key for key in shown if one_kind or self._room(key[0], side_m).roofed]
            place, quarter = min(alike, key=lambda key: again[key] * squares[key])
        if latest is not None:
            same = errors.get((latest.place, _quarter(latest)), math.inf)
            if same <= LOYALTY * error:
                return replace(latest, error=same)
        if along is None:
            lies = self._as_floor_lies(described, weight, camera, middle, self._room(place, side_m))
            shown = [key for key in errors if key[0] == place and key[1] in lies and math.isfinite(errors[key])]
            if quarter not in lies:
                place, quarter = min(shown, key=squares.__getitem__, default=(place, quarter))
        return Match(place, quarter * QUARTER_RAD, error, middle)

    def prepare(self, place: int, side_m: float) -> None:
        """Make a room ready."""
        self._room(place, side_m)

    def _as_floor_lies(
        self, described: Tensor, weight: Tensor, camera: Camera, middle: Point, room: Room
    ) -> Collection[int]:
        """The quarter turns of a room whose floor goes on as that of a view does; all where it shows too little of it.

        Tiles and rugs are a small part of what one compares, and in the mean of its cells they are grey: but light
        where it should be dark is a floor that breaks off.
        """
        points = self._points(described, camera, middle)
        near = np.linalg.norm(points - camera.position + np.asarray(middle), axis=1) < FLOOR_REACH_M
        floor = weight.flatten() * torch.from_numpy(near & (points[:, 2] < room.floor_m)).float()
        looks, unlike = camera.resized(weight.shape[1], weight.shape[0]), {}
        for quarter in range(4):
            seen, there = _seen(room, looks, middle, quarter, floor > 0.0)
            share = floor * there
            if float((share > 0.0).float().mean()) >= FLOOR_SHARE:
                unlike[quarter], _ = self._unlike(described, seen, share, hour=False)
        if len(unlike) < 4:
            return range(4)
        return [quarter for quarter in range(4) if unlike[quarter] <= min(unlike.values()) + FLOOR_TELLS]

    def _unlike(self, query: Tensor, seen: Tensor, share: Tensor, hour: bool) -> tuple[float, float]:
        """How little two views (n, C + 1) are like each other in cells that each count for a ``share (n,)``: by how
        textures go together, and by how far they are apart; and if the ``hour`` counts, by that too.

        A view through a door is dull beside a stored room, and by distance a dull hall is more like a court than any
        court is. But what goes together best is often a busy room, where a dull one is right.
        """
        weight = (share / share.sum().clamp(min=1e-6))[:, None]
        there = share[:, None] > 0.0
        depth = float(((query[:, -1:] - seen[:, -1:]).square() * there * weight).sum())
        here, stored = (self._without_hour(looks[:, :-1] * there, weight) for looks in (query, seen))
        norm = ((here.square() * weight).sum() * (stored.square() * weight).sum()).sqrt()
        together = float((here * stored * weight).sum() / norm.clamp(min=1e-6))
        apart = depth + float(((here - stored).square() * weight).sum())
        if hour:
            apart += HOUR * float((((query - seen)[:, :-1] * weight).sum(0) @ self._hours.T).square().sum())
        return 1.0 - together + DEPTH * depth, apart

    def _without_hour(self, looks: Tensor, weight: Tensor) -> Tensor:
        """``looks (n, C)`` without what they have in common of the colours that an hour changes."""
        return looks - (looks * weight).sum(0) @ self._hours.T @ self._hours

    def _tells(self, described: Tensor, camera: Camera, middle: Point, side_m: float) -> Tensor:
        """(n,) bool: which cells of a view show the room around ``middle``, or the sky."""
        points = self._points(described, camera, middle)
        inside = np.abs(points[:, :2]).max(axis=1) < 0.5 * side_m - WALL_M
        return torch.from_numpy(inside) | (described[:, -1] > math.sqrt(DEPTH_WEIGHT) * ALMOST_SKY)

    def _points(self, described: Tensor, camera: Camera, middle: Point) -> np.ndarray:
        """(n, 3), metres from the middle of a room: what the cells of a view show."""
        n = len(described)
        width = round(math.sqrt(n * camera.width / camera.height))
        rays = camera.resized(width, n // width).rays().reshape(-1, 3)
        away = described[:, -1].numpy() / math.sqrt(DEPTH_WEIGHT)
        return rays * np.exp(away)[:, None] + camera.position - np.asarray(middle)

    def _room(self, index: int, side_m: float) -> Room:
        if index not in self._rooms:
            # What is kept of further points is the backs of things, which no first look at a room shows.
            parts = [self._part(*view, side_m) for view in self._bank.first_views(index)]
            self._rooms[index] = Room(*(np.concatenate([getattr(part, name) for part in parts]) for name in PARTS))
        return self._rooms[index]

    def _part(self, latents: Tensor, inverse_depth: Tensor, camera: Camera, side_m: float) -> Room:
        """What one of a place's views shows of it."""
        h, w = latents.shape[1:]
        described = describe((latents - self._mean) / self._std, inverse_depth).numpy()
        away = described[:, -1] / math.sqrt(DEPTH_WEIGHT)
        points = camera.resized(w, h).rays().reshape(-1, 3) * np.exp(away)[:, None] + camera.position
        sky = away > ALMOST_SKY
        keep = (sky | (np.abs(points[:, :2]).max(axis=1) < 0.5 * side_m + WALL_M)).reshape(h, w)
        keep[1::COARSE], keep[:, 1::COARSE] = False, False
        kept = keep.ravel()
        return Room(points[kept].astype(np.float32), described[kept, :-1], sky[kept])


def floor_m(points: np.ndarray) -> float:
    """What lies lower of the points (n, 3) of a room is its floor."""
    return float(np.percentile(points[:, 2], 2.0)) + FLOOR_M if len(points) else 0.0


def _seen(room: Room, camera: Camera, middle: Point, quarter: int, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """What the ``wanted (n,)`` bool cells of ``camera``'s view show of a room around ``middle``, turned by quarters:
    (n, C + 1) as :func:`describe` has it; and which of them show any of it, (n,) bool."""
    turn = rotation_about_up(quarter * QUARTER_RAD)
    eye = (turn @ (camera.position - np.asarray(middle))).astype(np.float32)
    axes = (turn @ camera.c2w[:3, :3]).astype(np.float32)
    focal, center = np.diag(camera.K)[:2].astype(np.float32), camera.K[:2, 2].astype(np.float32)
    seen, nearest = _splat(room.points, room.looks, room.sky, eye, axes, focal, center, camera.width, wanted.numpy())
    there = np.isfinite(nearest)
    log_depth = np.log(np.where(there, nearest, 1.0)).clip(max=SKY_LOG_DEPTH)
    described = np.concatenate([seen, math.sqrt(DEPTH_WEIGHT) * log_depth[:, None]], axis=1)
    return torch.from_numpy(described), torch.from_numpy(there)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _splat(
    points: np.ndarray,
    looks: np.ndarray,
    sky: np.ndarray,
    eye: np.ndarray,
    axes: np.ndarray,
    focal: np.ndarray,
    center: np.ndarray,
    width: int,
    wanted: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The mean (n, C) of what the ``wanted (n,)`` cells show in front, and how far the nearest of it is, (n,) metres;
    ``inf`` where that is nothing."""
    n, height = len(wanted), len(wanted) // width
    cell, depth = np.full(len(points), -1, np.int32), np.empty(len(points), np.float32)
    nearest = np.full(n, np.inf, np.float32)
    for i in range(len(points)):
        dx, dy, dz = points[i, 0] - eye[0], points[i, 1] - eye[1], points[i, 2] - eye[2]
        z = dx * axes[0, 2] + dy * axes[1, 2] + dz * axes[2, 2]
        if z < NEAREST_M:
            continue
        x = (dx * axes[0, 0] + dy * axes[1, 0] + dz * axes[2, 0]) / z * focal[0] + center[0]
        y = (dx * axes[0, 1] + dy * axes[1, 1] + dz * axes[2, 1]) / z * focal[1] + center[1]
        if not (0.0 <= x < width and 0.0 <= y < height):
            continue
        at = int(y) * width + int(x)
        if wanted[at]:
            cell[i], depth[i] = at, SKY_M if sky[i] else z
            nearest[at] = min(nearest[at], depth[i])
    mean, count = np.zeros((n, looks.shape[1]), np.float32), np.zeros(n, np.int32)
    for i in range(len(points)):
        at = cell[i]
        if at >= 0 and depth[i] <= SAME_SURFACE * nearest[at]:
            count[at] += 1
            mean[at] += looks[i]
    for at in range(n):
        mean[at] /= max(count[at], 1)
    return mean, nearest


def _quarter(match: Match) -> int:
    return round(match.turn_rad / QUARTER_RAD) % 4
