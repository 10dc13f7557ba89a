"""Walls go in bays, and the room where a world began may have elsewhere what a bay of its place has.

The walls of the buildings that the model was trained on are five bays long: a portal in the middle, and beside it
arches, windows, pictures, cases of books. A stored room that goes on well from a first view has those elsewhere; and
where the view saw half of an arch, half of a picture would stand beside it. So what is seen of a bay is compared with
all bays of the stored room, on the face of the wall, and the most like one stands in its stead. Where the walls go on
as the place has them, they hide what lies behind them, too, even if that was truly seen through a door.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from engine.camera import Camera
from engine.memory import LatentMemory, Readout, add_moved
from engine.memory.points import center_inverse_depth
from engine.memory.points import rays as token_rays
from engine.places.bank import View
from engine.places.module import SIDES
from engine.places.repeats import Repeat
from engine.places.rooms import floor_m

BAYS, PORTAL, BETWEEN = 5, 2, (1, 3)
"""So many a side, counted from right to left as one sees them; one is the same in every room, and those lie neither in
a corner."""
ALL_BAYS = len(SIDES) * BAYS
Likeness = tuple[int, ...]
"""Which of a place's bays each of a room's is like, see :meth:`Bays.like`; () if nobody has asked."""
OTHER = -1
"""That of a bay that is like none of the place's."""
OPENING_M = 2.3
"""A portal is open so far to both sides of its middle."""
FACE_M, ASIDE_M = 0.4, 1.8
"""How far a wall's face lies from the square's edge; and what stands no farther before it is the bay's."""
LOWEST_M, HIGHEST_M, TOP_M, STEP_M = -1.7, 4.3, 7.5, 0.5
"""From the eyes: where bays differ, and where they end; and what of them is one when they are compared."""
TELLS, SHARED = 8, 0.7
"""A bay is told by so many of these, and by another that has so large a share of them."""
OPENNESS = 4.0
"""What lies farther beyond a wall's face by ``ASIDE_M`` weighs as much as so many variances of a channel of latents."""
CLEARLY, AT_ALL = 0.25, 0.6
"""Another bay is taken if it is more like what is seen by so much; none is like it that is less so than that."""
OVERLAP_M = 0.3
"""A bay that stands in the stead of another goes on so far beyond its ends, or there would be gaps between tokens."""
KNOWN = 1e-4
_NORMALS = np.array(SIDES, dtype=float)
_ALONG = np.stack([-_NORMALS[:, 1], _NORMALS[:, 0]], axis=1)


@dataclass(frozen=True, eq=False)
class Faces:
    """Where rays meet the walls of a room, from inside; all in the room's own coordinates.

    Attributes:
        bay: (...) int64, ``BAYS`` times the index in :data:`SIDES` and which bay of that side; -1 where none.
        along_m, high_m: (...), from the bay's beginning, and from the eyes that the room was stored from.
        depth: (...), so many times as long as the ray. towards: (...), metres that it goes towards the wall.
    """

    bay: np.ndarray
    along_m: np.ndarray
    high_m: np.ndarray
    depth: np.ndarray
    towards: np.ndarray

    @classmethod
    def along(cls, rays: np.ndarray, origins: np.ndarray, side_m: float) -> Faces:
        """Of rays (..., 3) from points (..., 3) in a room of ``side_m``."""
        bay_m, towards = side_m / BAYS, rays[..., :2] @ _NORMALS.T
        ahead_m = 0.5 * side_m - FACE_M - origins[..., :2] @ _NORMALS.T
        with np.errstate(divide="ignore", invalid="ignore"):
            depth = np.where(towards > 1e-6, ahead_m / towards, np.inf)
        side = depth.argmin(axis=-1)
        depth, towards = (np.take_along_axis(x, side[..., None], axis=-1)[..., 0] for x in (depth, towards))
        met = np.isfinite(depth) & (depth > 0.0)
        points = origins + rays * np.where(met, depth, 0.0)[..., None]
        along_m = (points[..., :2] * _ALONG[side]).sum(axis=-1) + 0.5 * side_m
        bay = np.floor(along_m / bay_m).astype(np.int64)
        met &= (bay >= 0) & (bay < BAYS) & (points[..., 2] < TOP_M)
        return cls(np.where(met, BAYS * side + bay, -1), along_m - bay * bay_m, points[..., 2], depth, towards)

    @classmethod
    def seen(cls, camera: Camera, shape: tuple[int, int], side_m: float) -> Faces:
        """Of a view of ``shape (h, w)`` cells; their rays go 1 m along the camera's axis."""
        return cls.along(camera.resized(shape[1], shape[0]).rays(), camera.position, side_m)

    def beyond_m(self, nearness: np.ndarray) -> np.ndarray:
        """(...): how far beyond the wall's face lies what is seen along rays so near, the inverse of depth."""
        return np.asarray((1.0 / nearness.clip(min=KNOWN) - self.depth) * self.towards)


@dataclass(frozen=True, eq=False)
class Hung:
    """What hangs on walls, on a grid on their faces.

    Attributes:
        looks: (bays, n, C + 1), what is seen there and how far beyond the face. there: (bays, n) bool, where.
    """

    looks: np.ndarray
    there: np.ndarray

    @classmethod
    def seen(cls, parts: Sequence[tuple[Tensor, Tensor, Tensor, Camera]], side_m: float) -> Hung:
        """What views show of walls: each of looks (C, h, w), inverse depth (h*s, w*s), of cells (h, w) bool, and the
        camera."""
        across, up = round(side_m / BAYS / STEP_M), round((HIGHEST_M - LOWEST_M) / STEP_M)
        channels = len(parts[0][0]) + 1
        total = np.zeros((ALL_BAYS * up * across, channels))
        count = np.zeros(len(total))
        for looks, inverse_depth, cells, camera in parts:
            faces = Faces.seen(camera, (looks.shape[1], looks.shape[2]), side_m)
            samples = inverse_depth.shape[-1] // looks.shape[2]
            beyond_m = faces.beyond_m(max_pool2d(inverse_depth[None].cpu(), samples)[0].numpy())
            row = np.floor((faces.high_m - LOWEST_M) / STEP_M).astype(np.int64)
            column = np.floor(faces.along_m / STEP_M).astype(np.int64).clip(0, across - 1)
            shown = cells.numpy() & (faces.bay >= 0) & (row >= 0) & (row < up) & (beyond_m > -ASIDE_M)
            at = ((faces.bay * up + row) * across + column)[shown]
            apart = beyond_m[shown].clip(-ASIDE_M, ASIDE_M) / ASIDE_M
            np.add.at(total, at, np.concatenate([looks.numpy()[:, shown].T, apart[:, None]], axis=1))
            np.add.at(count, at, 1.0)
        shape = (ALL_BAYS, up * across)
        return cls((total / count.clip(min=1.0)[:, None]).reshape(*shape, channels), (count > 0.0).reshape(shape))

    def unlike(self, bay: int, other: Hung, its: int, share: float = SHARED) -> float:
        """How little a ``bay`` is like one of ``other``, whatever light each is in; NaN where too small a ``share`` of
        it tells that."""
        both = self.there[bay] & other.there[its]
        if both.sum() < max(TELLS, share * self.there[bay].sum()):
            return np.nan
        here, there = self.looks[bay, both], other.looks[its, both]
        texture = (here - here.mean(axis=0) - there + there.mean(axis=0))[:, :-1]
        apart = (here - there)[:, -1]
        return float(np.square(texture).mean() + OPENNESS * np.square(apart).mean())


class Bays:
    """Of one stored room, in its own coordinates: metres from its middle.

    Args:
        views: of the room, its first. side_m: of its square. mean, std: (C, 1, 1) of the latents.
    """

    def __init__(self, views: Sequence[View], side_m: float, mean: Tensor, std: Tensor) -> None:
        self._side_m, self._bay_m, self._mean, self._std = side_m, side_m / BAYS, mean, std
        parts = [
            ((latents - mean) / std, depth, torch.ones(latents.shape[1:], dtype=torch.bool), camera)
            for latents, depth, camera in views
        ]
        self._hung = Hung.seen(parts, side_m)
        self._floor_m = floor_m(np.concatenate([_points(depth, looks, camera) for looks, depth, _, camera in parts]))

    def like(self, view: Readout, cells: Tensor, camera: Camera) -> Likeness:
        """Which of its bays each of the walls' is like as a view shows them in some ``cells (h, w)`` bool: itself, or
        one that is clearly more like it; -1 of one that is like none."""
        seen = Hung.seen([((view.features - self._mean) / self._std, view.inverse_depth, cells, camera)], self._side_m)
        like = list(range(ALL_BAYS))
        for bay in range(ALL_BAYS):
            if bay % BAYS == PORTAL:
                continue
            # In a corner a bay ends at the other wall, which elsewhere would leave a gap.
            others = [other for other in range(ALL_BAYS) if other % BAYS in (bay % BAYS, *BETWEEN)]
            unlike = np.array([seen.unlike(bay, self._hung, other) for other in others])
            if np.isnan(unlike).all():
                continue
            own = seen.unlike(bay, self._hung, bay, share=0.0)
            best = int(np.nanargmin(unlike))
            if unlike[best] < (np.nanmedian(unlike) if np.isnan(own) else own) - CLEARLY:
                like[bay], own = others[best], unlike[best]
            if own > AT_ALL:
                like[bay] = OTHER
        return tuple(like)

    def closed(self, like: Sequence[int], camera: Camera, shape: tuple[int, int]) -> Tensor:
        """(h, w) bool, of ``shape``: cells of a view that look at walls which are open only where it shows that."""
        faces = Faces.seen(camera, shape, self._side_m)
        told = np.append(np.array(like) != OTHER, False)[faces.bay]
        aside_m = np.abs(faces.along_m - 0.5 * self._bay_m)
        return torch.from_numpy(told & ((faces.bay % BAYS != PORTAL) | (aside_m > OPENING_M)))

    def rehung(self, room: LatentMemory, like: Sequence[int]) -> LatentMemory:
        """A copy of the ``room`` whose walls have those bays."""
        memory = copy.deepcopy(room, {id(room.network): room.network})
        others, rows = changed(like), memory.living()
        faces = self._faces(memory, rows)
        side, along_m = faces.bay // BAYS, faces.bay % BAYS * self._bay_m + faces.along_m
        memory.erase(rows[np.isin(faces.bay, list(others))])
        for bay, other in others.items():
            aside_m = np.abs(along_m - (other % BAYS + 0.5) * self._bay_m)
            its = (side == other // BAYS) & (aside_m < 0.5 * self._bay_m + OVERLAP_M) & (faces.bay >= 0)
            add_moved(memory, rows[its], motion(other, bay, self._side_m).matrix)
        return memory

    def _faces(self, room: LatentMemory, rows: np.ndarray) -> Faces:
        """Of the rays to tokens (n,); no bay where they show neither a wall, nor what stands before it or lies
        beyond."""
        rays, origins = token_rays(room.store, rows, room.config.cell_center)
        nearness = center_inverse_depth(room.store, rows).astype(np.float64)
        faces = Faces.along(rays, origins, self._side_m)
        high_m = origins[:, 2] + rays[:, 2] / nearness.clip(min=KNOWN)
        beyond_m = faces.beyond_m(nearness)
        shown = (beyond_m > 0.0) | ((beyond_m > -ASIDE_M) & (high_m > self._floor_m))
        return replace(faces, bay=np.where(shown, faces.bay, -1))


def changed(like: Sequence[int]) -> dict[int, int]:
    """The bays that are others of the place's, and which."""
    return {bay: other for bay, other in enumerate(like) if other not in (bay, OTHER)}


def motion(bay: int, other: int, side_m: float) -> Repeat:
    """That which takes what looks at one bay to before another."""
    (here, first), (there, second) = divmod(bay, BAYS), divmod(other, BAYS)
    turned = np.arctan2(*_NORMALS[there][::-1]) - np.arctan2(*_NORMALS[here][::-1])
    x, y = (second - first) * side_m / BAYS * _ALONG[there]
    return Repeat(round(turned / (0.5 * np.pi)) % 4, (float(x), float(y)))


def _points(inverse_depth: Tensor, looks: Tensor, camera: Camera) -> np.ndarray:
    """(n, 3): what a view shows, but for the sky."""
    h, w = looks.shape[1:]
    nearest = max_pool2d(inverse_depth[None], inverse_depth.shape[-1] // w)[0].numpy()
    points = camera.position + camera.resized(w, h).rays() / nearest.clip(min=KNOWN)[..., None]
    return np.asarray(points[nearest > KNOWN])
