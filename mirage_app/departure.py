"""Where a flight begins: a procedural world's true view, nothing at all, or a picture with depth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.camera import DEFAULT_FOV_DEG, Camera
from engine.camera_path import GroundHeight
from engine.explorer import Explorer, RgbdView
from engine.worlds import World, WorldSpec

DEFAULT_IMAGE_FOV_DEG = 60.0


@dataclass(frozen=True)
class Departure:
    """The start camera and what is known there.

    Attributes:
        world: the procedural world, if there is one. seen: whether the flight begins with its true view.
        picture: the picture with depth, if the flight begins with one.
        ground_height_m: presets stay above it.
    """

    camera: Camera
    world: World | None = None
    seen: bool = False
    picture: RgbdView | None = None
    ground_height_m: GroundHeight | None = None

    def first_view(self, explorer: Explorer, camera: Camera) -> RgbdView | None:
        """What a fresh ``explorer`` is shown at the first ``camera``; ``None``: it imagines that, too."""
        if self.seen:
            return explorer.first_view(camera)
        return self.picture


def from_world(spec: WorldSpec, spawn: int, fov_deg: float | None, size: tuple[int, int], *, seen: bool) -> Departure:
    """Starting place number ``spawn`` of a procedural world; ``size`` is (height, width)."""
    world = World(spec)

    def ground_height_m(positions_xy: np.ndarray) -> np.ndarray:
        """(n, 2) metres -> (n,)."""
        return world.ground_height_m(positions_xy).numpy()

    camera = world.spawn(size[1], size[0], DEFAULT_FOV_DEG if fov_deg is None else fov_deg, spawn)
    return Departure(camera, world, seen, None, ground_height_m if seen else None)


def from_image(image: Path, depth: Path | None, fov_deg: float | None, size: tuple[int, int]) -> Departure:
    """A picture with depth, fitted to ``size`` (height, width).

    Raises:
        InputError: picture or depth cannot be used; the sentence says why.
    """
    from engine.images import load_rgbd

    picture = load_rgbd(image, depth, DEFAULT_IMAGE_FOV_DEG if fov_deg is None else fov_deg, size)
    return Departure(picture.camera, picture=picture)
