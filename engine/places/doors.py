"""What a view sees of the next rooms: the ways out of the one that one is in.

From the middle of a room a door is a few cells wide. So the room beyond it is not told by the place that one is in, but
by a place of its own, which is chosen when one looks through the door; and it is the room that one then enters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from engine.camera import Camera, rotation_about_up
from engine.memory import Readout
from engine.memory.points import OrientedBox
from engine.places.matching import Match
from engine.places.module import SIDES, Point, Way
from engine.places.rooms import WALL_M

INSIDE = -1
"""The way of what lies in the room itself."""
FARTHEST_M = 1000.0
HIGHEST_M = 4.5
"""Above the eyes; over the wall of a court one sees the sky, and no other room."""


@dataclass(frozen=True, eq=False)
class Ways:
    """The ways by which a view leaves a room.

    Attributes:
        side: (h, w) int64, index into :data:`SIDES`, ``INSIDE`` of rays that miss the room or leave it above doors.
        nearness: (h, w), 1/m, where a ray leaves the room, as depth along the camera's axis.
    """

    side: Tensor
    nearness: Tensor

    @classmethod
    def from_camera(cls, camera: Camera, shape: tuple[int, int], middle: Point, side_m: float) -> Ways:
        """Of a view of ``shape (h, w)`` cells and the room whose square of ``side_m`` has this ``middle``."""
        rays = camera.resized(shape[1], shape[0]).rays()
        up, rays = rays[..., 2], rays[..., :2]
        here = camera.position[:2] - np.asarray(middle[:2])
        half_m = 0.5 * side_m + WALL_M
        with np.errstate(divide="ignore", invalid="ignore"):
            crossed = np.sort((np.array([-half_m, half_m]) - here[:, None]) / rays[..., None], axis=-1)
        crossed = np.where(np.isnan(crossed), np.inf, crossed)
        enters, leaves = crossed[..., 0].max(axis=-1), crossed[..., 1].min(axis=-1)
        axis = crossed[..., 1].argmin(axis=-1)
        side = 2 * axis + (np.take_along_axis(rays, axis[..., None], axis=-1)[..., 0] > 0.0)
        crosses = (leaves > np.maximum(enters, 0.0)) & np.isfinite(leaves)
        high = camera.position[2] - middle[2] + up * np.where(crosses, leaves, 0.0)
        nearness = np.divide(1.0, leaves, out=np.zeros(shape), where=crosses)
        through = crosses & (high < HIGHEST_M)
        return cls(torch.from_numpy(np.where(through, side, INSIDE)), torch.from_numpy(nearness).float())

    def out(self, view: Readout) -> Tensor:
        """(h, w) int64: the way that the cells of a view look out by; ``INSIDE`` where they show the room itself, or
        nothing."""
        samples = view.inverse_depth.shape[-1] // view.coverage.shape[-1]
        nearest = max_pool2d(view.inverse_depth[None].cpu(), samples)[0]
        beyond = (view.coverage.cpu() > 0.0) & (nearest < self.nearness)
        return torch.where(beyond, self.side, INSIDE)


def next_middle(middle: Point, side: int, side_m: float) -> Point:
    """The middle of the square beyond one of ``SIDES``."""
    x, y = (m + side_m * way for m, way in zip(middle[:2], SIDES[side], strict=True))
    return x, y, middle[2]


def way_back(side: int, room: Match) -> Way:
    """The way from a ``room``, that lies on one of ``SIDES``, back again, as the room is stored."""
    x, y = SIDES[side]
    turned = rotation_about_up(room.turn_rad) @ np.array([-x, -y, 0.0])
    return round(float(turned[0])), round(float(turned[1]))


def beyond(way: Way, side_m: float) -> OrientedBox:
    """All that lies that way out of a room whose middle is the origin, and its wall there: from outside that shows
    nothing, but would hide the room where the other room's wall has an arch or a window and this one has none."""
    center = (0.5 * side_m - WALL_M + FARTHEST_M) * np.array([*way, 0.0])
    return OrientedBox(center, np.full(3, FARTHEST_M))
