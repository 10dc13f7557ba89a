"""Where a flight begins: a procedural world's true view, nothing at all, a picture with depth, or a saved session."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from engine.camera import DEFAULT_FOV_DEG, Camera
from engine.camera_path import GroundHeight
from engine.errors import InputError
from engine.explorer import Explorer, ExplorerConfig
from engine.pyramid import FirstView, levels_for
from engine.world_model import WorldModel
from engine.worlds import World, WorldSpec
from mirage_app.commands.fly import Fly

DEFAULT_WORLD = "meadow"
DEFAULT_IMAGE_FOV_DEG = 60.0


@dataclass(frozen=True)
class Departure:
    """An explorer and where it stands.

    Attributes:
        camera: where presets begin.
        seen: the flight begins with the procedural world's true view. picture: or with this picture.
        ground_height_m: presets stay above it.
    """

    explorer: Explorer
    camera: Camera
    seen: bool = False
    picture: FirstView | None = None
    ground_height_m: GroundHeight | None = None

    def first_view(self, camera: Camera) -> FirstView | None:
        """What the explorer is shown at the first ``camera``; ``None``: it imagines that too, or has already begun."""
        return self.explorer.first_view(camera) if self.seen else self.picture


def check_departure(options: Fly) -> None:
    """Raise :class:`InputError` for starting points that exclude each other or do not exist."""
    if options.depth is not None and options.image is None:
        raise InputError("--depth belongs to a picture; name that with --image.")
    if options.session is not None:
        named = (options.world, options.image, options.budget_mib)
        if any(option is not None for option in named) or options.memory != "latent":
            raise InputError(
                "A session brings its own world and memory; leave out --world, --image, --memory and --budget-mib."
            )
        return
    if options.image is not None and options.start != "view":
        raise InputError("A flight begins either with --image or with --start nothing; leave one of them out.")
    WorldSpec(options.world or DEFAULT_WORLD, options.seed, options.time)


def depart(options: Fly, model: WorldModel, size: tuple[int, int] | None) -> Departure:
    """Make the explorer; ``size`` is (height, width), ``None``: the session's or the model's own.

    Raises:
        MirageError: the picture, its depth or the session cannot be used; the sentence says why.
    """
    if options.session is not None:
        return _from_session(options, model, size)
    size = size or model.spec.image_size
    config = ExplorerConfig(
        biome=options.world or ("" if options.image is not None else DEFAULT_WORLD),
        seed=options.seed,
        steps=options.steps,
        memory=options.memory,
        budget_mib=options.budget_mib,
        size=size,
        fine=not options.plain,
        places=options.places,
        detail=options.detail,
    )
    if options.image is not None:
        from engine.images import load_rgbd

        fov_deg = DEFAULT_IMAGE_FOV_DEG if options.fov_deg is None else options.fov_deg
        levels = levels_for(size, model.spec.spatial_stride)
        picture = load_rgbd(options.image, options.depth, fov_deg, size, levels)
        return Departure(Explorer(model, config), picture.camera, picture=picture.pyramid)
    world = World(WorldSpec(config.biome, options.seed, options.time))
    fov_deg = DEFAULT_FOV_DEG if options.fov_deg is None else options.fov_deg
    camera = world.spawn(size[1], size[0], fov_deg, options.spawn)
    if options.start == "nothing":  # what will be imagined has no ground to keep above
        return Departure(Explorer(model, config), camera)
    return Departure(Explorer(model, config, world), camera, seen=True, ground_height_m=_ground(world))


def _from_session(options: Fly, model: WorldModel, size: tuple[int, int] | None) -> Departure:
    from engine.reopen import reopen

    assert options.session is not None
    opened = reopen(options.session, model, size)
    opened.explorer.config = replace(
        opened.explorer.config, fine=not options.plain, places=options.places, detail=options.detail
    )
    world = opened.explorer.world
    return Departure(
        opened.explorer,
        opened.explorer.fit(opened.state.camera),
        ground_height_m=_ground(world) if world is not None and opened.state.kind == "world" else None,
    )


def _ground(world: World) -> GroundHeight:
    def ground_height_m(positions_xy: np.ndarray) -> np.ndarray:
        """(n, 2) metres -> (n,)."""
        return world.ground_height_m(positions_xy).numpy()

    return ground_height_m
