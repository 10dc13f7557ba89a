"""The data engine: walks through procedural worlds, rendered once and read many times.

A scene is one safetensors file: ``rgb`` (V, 3, H, W) uint8, ``inverse_depth`` (V, 2h, 2w) float16 in 1/m with 0 =
sky, ``c2w`` (V, 4, 4) and ``K`` (3, 3) float64; biome, seed and time in its metadata.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import numba
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from engine.atomic import atomic_write
from engine.camera import Camera, c2w_from_angles
from engine.depth import sample_inverse_depth
from engine.errors import InputError
from engine.training.config import TRAINING_SEEDS, SceneConfig
from engine.worlds import BIOMES, Frame, World, WorldSpec

SAMPLES = 2
STRIDE = 8
EVALUATION_GAPS_M = (1.0, 3.0, 7.0)
EVALUATION_TURNS_DEG = (2.0, 6.0, 16.0)


@dataclass(frozen=True)
class Scene:
    """Views along one walk.

    Attributes:
        rgb: (V, 3, H, W) uint8.
        inverse_depth: (V, h*2, w*2) float32, 1/m, 0 = sky.
        cameras: V image-size cameras.
        biome: the world's biome.
    """

    rgb: Tensor
    inverse_depth: Tensor
    cameras: tuple[Camera, ...]
    biome: str


def walk(world: World, config: SceneConfig, rng: np.random.Generator, index: int) -> list[Camera]:
    """Cameras a flying user would pass: mostly forward, gently turning, now and then a look aside or a leap."""
    camera = world.spawn(config.width, config.height, index=index)
    position, yaw_deg, pitch_deg = camera.position.copy(), camera.yaw_deg, camera.pitch_deg
    fov_deg = float(np.clip(rng.normal(50.0, 4.0), 40.0, 62.0))
    cameras: list[Camera] = []
    while len(cameras) < config.views:
        pose = c2w_from_angles(position, yaw_deg, pitch_deg)
        cameras.append(Camera.from_fov(pose, fov_deg, config.width, config.height))
        for _ in range(8):
            gap_m = float(np.exp(rng.uniform(math.log(config.shortest_gap_m), math.log(config.longest_gap_m))))
            spread_deg = 3.0 + config.turn_deg_per_m * gap_m
            turn_deg = float(rng.normal(0.0, spread_deg)) if rng.random() > 0.1 else float(rng.uniform(-35, 35))
            ahead = rng.random() < 1.0 - config.strays
            heading = math.radians(yaw_deg + (rng.normal(0.0, 15.0) if ahead else rng.uniform(-180, 180)))
            moved = position + gap_m * np.array([math.cos(heading), math.sin(heading), rng.normal(0.0, 0.12)])
            ground_m = float(world.ground_height_m(moved[None, :2])[0])
            moved[2] = max(moved[2], ground_m + 1.2)
            if world.is_free(moved, 0.6):
                position = moved
                break
        yaw_deg += turn_deg
        pitch_deg = float(np.clip(pitch_deg + rng.normal(0.0, 2.0), -32.0, 12.0))
    return cameras


def evaluation_rig(world: World, config: SceneConfig, rng: np.random.Generator, index: int) -> list[Camera]:
    """A first view and one at each evaluation gap: forward by 1, 3 and 7 m, turned by 2, 6 and 16 degrees."""
    first = world.spawn(config.width, config.height, index=index)
    side = 1.0 if rng.random() < 0.5 else -1.0
    cameras = [first]
    for gap_m, turn_deg in zip(EVALUATION_GAPS_M, EVALUATION_TURNS_DEG, strict=True):
        for bearing_deg in (0.0, 12.0, -12.0, 25.0, -25.0, 40.0, -40.0, 90.0, -90.0, 180.0):
            heading = math.radians(first.yaw_deg + bearing_deg)
            position = first.position + gap_m * np.array([math.cos(heading), math.sin(heading), 0.0])
            position[2] = max(position[2], float(world.ground_height_m(position[None, :2])[0]) + 1.2)
            if world.is_free(position, 0.6):
                break
        pose = c2w_from_angles(position, first.yaw_deg + side * turn_deg, first.pitch_deg)
        cameras.append(Camera(pose, first.K, config.width, config.height))
    return cameras


def scene_spec(config: SceneConfig, index: int, evaluation: bool) -> tuple[WorldSpec, int]:
    """The world and the spawn index of a scene: biomes in turn, training or evaluation seeds."""
    world_index, spawn = divmod(index, config.walks_per_world)
    seed = (TRAINING_SEEDS if evaluation else config.seed) + world_index
    if not evaluation and seed >= TRAINING_SEEDS:
        raise InputError(
            f"Scene {index} would use seed {seed}; seeds from {TRAINING_SEEDS} on are kept for evaluation."
        )
    biomes = biomes_named(config.biomes)
    return WorldSpec(biomes[world_index % len(biomes)], seed), spawn


def biomes_named(names: str) -> tuple[str, ...]:
    """Biomes from their names, separated by commas; "" is all. :class:`WorldSpec` complains of unknown ones."""
    return tuple(name.strip() for name in names.split(",")) if names else BIOMES


def render_scene(
    config: SceneConfig, index: int, evaluation: bool, device: str = "cpu", world: World | None = None
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Render one scene to the tensors and metadata of its file."""
    spec, spawn = scene_spec(config, index, evaluation)
    world = world or World(spec, device)
    rig = evaluation_rig if evaluation else walk
    cameras = rig(world, config, np.random.default_rng([spec.seed, spawn]), spawn)
    frames: list[Frame] = [world.render(camera, supersample=config.supersample) for camera in cameras]
    grid = (config.height // STRIDE * SAMPLES, config.width // STRIDE * SAMPLES)
    tensors = {
        "rgb": torch.stack([(f.rgb.clamp(0, 1) * 255 + 0.5).to(torch.uint8).cpu() for f in frames]),
        "inverse_depth": torch.stack([sample_inverse_depth(f.depth_m.cpu(), *grid) for f in frames]).half(),
        "c2w": torch.from_numpy(np.stack([c.c2w for c in cameras])),
        "K": torch.from_numpy(cameras[0].K.copy()),
    }
    return tensors, {"biome": spec.biome, "seed": str(spec.seed)}


def scene_path(folder: Path, index: int, evaluation: bool) -> Path:
    """Where a scene lies."""
    return folder / ("evaluation" if evaluation else "training") / f"scene_{index:05d}.safetensors"


def render_scenes(config: SceneConfig, device: str = "cpu") -> Iterator[tuple[int, int]]:
    """Render what is missing, evaluation scenes first; yields (done, total). Stops and resumes at any scene."""
    jobs = [(i, True) for i in range(config.evaluation_scenes)] + [(i, False) for i in range(config.scenes)]
    worlds: dict[WorldSpec, list[tuple[int, bool]]] = {}
    for index, evaluation in jobs:
        worlds.setdefault(scene_spec(config, index, evaluation)[0], []).append((index, evaluation))
    done = 0
    if not config.workers:
        for spec, scenes in worlds.items():
            for _ in _render_missing(config, spec, scenes, device):
                done += 1
                yield done, len(jobs)
        return
    with ProcessPoolExecutor(config.workers, get_context("spawn"), _one_thread) as pool:
        for count in pool.map(_render_world, repeat(config), worlds.items(), repeat(device)):
            done += count
            yield done, len(jobs)


def _render_world(config: SceneConfig, world: tuple[WorldSpec, list[tuple[int, bool]]], device: str) -> int:
    return sum(1 for _ in _render_missing(config, *world, device))


def _one_thread() -> None:
    torch.set_num_threads(1)
    numba.set_num_threads(1)


def _render_missing(
    config: SceneConfig, spec: WorldSpec, scenes: list[tuple[int, bool]], device: str
) -> Iterator[Path]:
    """Those of one world's scenes (index, evaluation) that are not there yet; yields all, one after the other."""
    world: World | None = None
    for index, evaluation in scenes:
        path = scene_path(Path(config.folder), index, evaluation)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            world = world or World(spec, device)
            tensors, metadata = render_scene(config, index, evaluation, device, world)
            with atomic_write(path) as temporary:
                save_file(tensors, temporary, metadata=metadata)
        yield path


class SceneStore:
    """The rendered scenes of one split; may grow while training runs."""

    def __init__(self, folder: str | Path, evaluation: bool = False) -> None:
        self.folder = Path(folder) / ("evaluation" if evaluation else "training")
        self.paths: list[Path] = []
        self.refresh()

    def refresh(self) -> int:
        """Look for new scenes; returns how many there are."""
        self.paths = sorted(self.folder.glob("scene_*.safetensors"))
        return len(self.paths)

    def __len__(self) -> int:
        return len(self.paths)

    def require(self) -> None:
        """Raise :class:`InputError` if there is nothing to train on."""
        if not self.paths and not self.refresh():
            raise InputError(f"There are no scenes in {self.folder}; render some first with `mirage train scenes`.")

    def crops(self, index: int, views: list[int], boxes: list[tuple[int, int, int, int]]) -> Tensor:
        """uint8 crops (len(views), 3, ch, cw); boxes are (top, left, height, width)."""
        with safe_open(self.paths[index], framework="pt") as file:
            rgb = file.get_slice("rgb")
            return torch.cat(
                [rgb[v : v + 1, :, t : t + h, x : x + w] for v, (t, x, h, w) in zip(views, boxes, strict=True)]
            )

    def picture(self, index: int, view: int) -> Tensor:
        """One view, uint8 (1, 3, H, W)."""
        with safe_open(self.paths[index], framework="pt") as file:
            return file.get_slice("rgb")[view : view + 1]

    def scene(self, index: int, with_rgb: bool = True) -> Scene:
        """The scene; without its images (``rgb`` is empty) if they are not needed."""
        with safe_open(self.paths[index], framework="pt") as file:
            rgb = file.get_tensor("rgb") if with_rgb else torch.empty(0, dtype=torch.uint8)
            height, width = file.get_slice("rgb").get_shape()[-2:]
            inverse_depth = file.get_tensor("inverse_depth").float()
            c2w, intrinsics = file.get_tensor("c2w").numpy(), file.get_tensor("K").numpy()
            biome = file.metadata()["biome"]
        cameras = tuple(Camera(pose, intrinsics, width, height) for pose in c2w)
        return Scene(rgb, inverse_depth, cameras, biome)
