"""Rendering the places that a model carries, and packing them; see :mod:`engine.places`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from engine.atomic import atomic_write
from engine.camera import Camera, c2w_from_angles, rotation_about_up
from engine.depth import sample_inverse_depth
from engine.errors import InputError
from engine.memory import LatentView
from engine.memory.coarser import cells_of
from engine.models.embedded.autoencoder import Autoencoder
from engine.models.embedded.blocks import channels_last
from engine.places import Place, PlaceBank
from engine.places.module import Module
from engine.places.scales import COARSER
from engine.training.config import PlacesConfig
from engine.training.recall import fresh_memory
from engine.training.scenes import SAMPLES, STRIDE, biomes_named
from engine.worlds import TIMES, World, WorldSpec

TIMES_OF_DAY = (*TIMES, "morning", "afternoon")
"""A biome's places take these in turn: whenever it is, there is a place in about that light."""


SPAWNS_TRIED = 6
NEAR_M, GROUND_BELOW_DEG, ENCLOSED = 8.0, -12.0, 0.03
"""A place is open if less than this share of what is seen above that elevation lies nearer than so many metres."""


def place_spec(config: PlacesConfig, index: int) -> WorldSpec:
    """The world of a place: biomes in turn, then times of day."""
    biomes = biomes_named(config.biomes)
    times = tuple(time.strip() for time in config.times.split(",")) if config.times else TIMES_OF_DAY
    time = times[index // len(biomes) % len(times)]
    return WorldSpec(biomes[index % len(biomes)], config.seed + index, time)


def ring(config: PlacesConfig, fov_deg: float, width: int, height: int) -> tuple[Camera, ...]:
    """Cameras all around the origin, the first along +X; a little down, where the ground is."""
    step_deg = 360.0 / config.views
    poses = (c2w_from_angles(np.zeros(3), view * step_deg, config.pitch_deg) for view in range(config.views))
    return tuple(Camera.from_fov(pose, fov_deg, width, height) for pose in poses)


def rig(config: PlacesConfig, built: bool = False) -> tuple[Camera, ...]:
    """The fine ring, the ring that reaches farther up and down, and one camera straight down and one straight up:
    together they see the whole sphere. The finest come first: what they see a memory need not keep again. What is
    ``built`` is seen so from two points, without the fine ring, and then from :func:`further` ones."""
    if not built:
        fine = ring(config, config.fine_fov_deg, config.fine_width, config.fine_height)
        return (*fine, *sphere(config, config.width, config.height))
    side_m = 0.5 * config.apart_m
    return (*_from(sphere(config, config.width, config.height), [(-side_m, 0.0), (side_m, 0.0)]), *further(config))


def sphere(config: PlacesConfig, width: int, height: int) -> tuple[Camera, ...]:
    """The ring and the two poles, from the origin."""
    poles = tuple(
        Camera.from_fov(c2w_from_angles(np.zeros(3), 0.0, pitch_deg), fov_deg, width, height)
        for pitch_deg, fov_deg in ((-90.0, config.down_fov_deg), (90.0, config.up_fov_deg))
    )
    return (*ring(config, config.fov_deg, width, height), *poles)


def further(config: PlacesConfig) -> tuple[Camera, ...]:
    """What a room is seen by besides: from where its walls and the backs of what stands there are near."""
    width, height = (STRIDE * round(config.further_scale * side / STRIDE) for side in (config.width, config.height))
    side_m, far_m = 0.5 * config.apart_m, config.further_m
    spots = [(x, y) for x in (0.0, side_m, -side_m) for y in (far_m, -far_m)]
    return _from(sphere(config, width, height), spots)


def _from(cameras: Sequence[Camera], spots: Sequence[tuple[float, float]]) -> tuple[Camera, ...]:
    """Cameras, as they stand at the origin, at each of some points (x, y)."""
    moved = []
    for spot in spots:
        offset = np.eye(4)
        offset[:2, 3] = spot
        moved += [camera.posed(offset @ camera.c2w) for camera in cameras]
    return tuple(moved)


def open_spawn(world: World, config: PlacesConfig) -> np.ndarray:
    """``c2w (4, 4)`` that takes the rig to where one can look around: spawns are chosen by what lies ahead, and a tree
    beside the shoulder would fill half of the place."""
    best: tuple[float, np.ndarray] | None = None
    around = ring(config, config.fov_deg, config.width // STRIDE, config.height // STRIDE)
    for index in range(SPAWNS_TRIED):
        start = world.spawn(config.width, config.height, index=index)
        home = np.eye(4)
        home[:3, :3] = rotation_about_up(math.radians(start.yaw_deg))
        home[:3, 3] = start.position
        near = []
        for camera in around:
            depth_m = world.render(camera.posed(home @ camera.c2w)).depth_m.numpy()
            rays = camera.rays()
            ahead = rays[..., 2] > np.linalg.norm(rays, axis=-1) * np.sin(np.radians(GROUND_BELOW_DEG))
            near.append((depth_m < NEAR_M)[ahead].mean())
        enclosed = float(np.mean(near))
        if best is None or enclosed < best[0]:
            best = enclosed, home
        if enclosed < ENCLOSED:
            break
    assert best is not None
    return best[1]


def middle(world: World, index: int) -> np.ndarray:
    """``c2w (4, 4)`` that takes the rig to the middle of a building's room, of one kind after the other; there the
    rig stands square, see :class:`engine.places.module.Module`."""
    home = np.eye(4)
    home[:3, 3] = world.room(index)
    return home


def render_places(config: PlacesConfig) -> Iterator[tuple[int, int]]:
    """Render what is missing, biomes in turn; yields (done, total). Stops and resumes at any place.

    A file holds ``rgb_<view> (3, H, W)`` uint8 and ``inverse_depth_<view> (2h, 2w)`` of every view of the rig.
    """
    folder = Path(config.folder)
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(config.places):
        path = folder / f"place_{index:04d}.safetensors"
        if not path.exists():
            spec = place_spec(config, index)
            world = World(spec, sun_disc=False)  # who turns from one place to another would see a second sun
            built = world.module is not None
            turn = middle(world, index) if built else open_spawn(world, config)
            cameras, finest = rig(config, built), 0 if built else config.views
            tensors = {}
            for view, camera in enumerate(cameras):
                rays = 1 if view < finest else config.supersample
                frame = world.render(camera.posed(turn @ camera.c2w), rays, panes=True)
                height, width = camera.size
                grid = height // STRIDE * SAMPLES, width // STRIDE * SAMPLES
                tensors[f"rgb_{view}"] = (frame.rgb.clamp(0, 1) * 255 + 0.5).to(torch.uint8)
                tensors[f"inverse_depth_{view}"] = sample_inverse_depth(frame.depth_m, *grid)
            with atomic_write(path) as temporary:
                save_file(tensors, temporary, metadata={"biome": spec.biome, "seed": str(spec.seed)})
        yield index + 1, config.places


@torch.inference_mode()
def pack_places(config: PlacesConfig, autoencoder: Autoencoder, mean: Tensor, std: Tensor) -> PlaceBank:
    """Encode the rendered places (float32: it is done once); ``mean``, ``std`` (C,) of the latents.

    Raises:
        InputError: fewer are rendered than asked for.
    """
    paths = sorted(Path(config.folder).glob("place_*.safetensors"))[: config.places]
    if len(paths) < config.places:
        raise InputError(
            f"{config.folder} holds {len(paths)} of {config.places} places; render them with `mirage train places`, or "
            "ask for fewer."
        )
    encoder = channels_last(autoencoder, "cpu").eval().encoder
    places = [encoded_place(config, path, encoder) for path in paths]
    more = len(further(config))
    places = [without_repetition(place, more) if module_of(place.biome) else place for place in places]
    modules = {biome: found for biome in {place.biome for place in places} if (found := module_of(biome))}
    return PlaceBank.of(places, mean, std, modules)


@torch.inference_mode()
def encoded_place(config: PlacesConfig, path: Path, encoder: nn.Module) -> Place:
    """A rendered place as the latents of its views, on the CPU wherever the encoder is."""
    device = next(encoder.parameters()).device
    latents: list[Tensor] = []
    inverse_depth: list[Tensor] = []
    with safe_open(path, framework="pt") as file:
        biome = file.metadata()["biome"]
        cameras = rig(config, module_of(biome) is not None)
        for view in range(len(cameras)):
            image = file.get_tensor(f"rgb_{view}")[None].to(device).float() / 255
            latents.append(encoder(image.contiguous(memory_format=torch.channels_last))[0].cpu())
            inverse_depth.append(file.get_tensor(f"inverse_depth_{view}"))
    return Place(tuple(latents), tuple(inverse_depth), cameras, biome)


def without_repetition(place: Place, more: int) -> Place:
    """A place whose last views, so many ``more``, tell only what a memory of all keeps of them, in blocks that stand
    for one token of its coarsest scale (:mod:`engine.places.scales`)."""
    memory = fresh_memory(place.latents[0].shape[0])
    reports = [memory.write(LatentView(camera, z, depth)) for z, depth, camera in place.views()]
    depths = list(place.inverse_depth[: len(reports) - more])
    for report, depth in zip(reports[-more:], place.inverse_depth[-more:], strict=True):
        if not report.tokens_written:
            depths.append(torch.full_like(depth, torch.nan))
            continue
        living = torch.from_numpy(cells_of(memory, memory.tree[report.node].keyframe)[1])
        blocks = max_pool2d(living[None].float(), 1 << COARSER, ceil_mode=True)[0] > 0.0
        side = SAMPLES << COARSER
        told = blocks.repeat_interleave(side, 0).repeat_interleave(side, 1)[: depth.shape[0], : depth.shape[1]]
        depths.append(depth.where(told, torch.nan))
    return replace(place, inverse_depth=tuple(depths))


def module_of(biome: str) -> Module | None:
    """The grid that a biome's worlds are built on, if they are buildings."""
    found = World(WorldSpec(biome, 0)).module
    return None if found is None else Module(*found)
