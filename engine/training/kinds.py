"""Training the network that tells kinds of rooms, on what memories of true views show through true doors.

A sample is what a view shows of one next room, :func:`engine.places.kinds.described`, and of what kind that room is in
the world. Views are taken from where the world was truly seen, and from ahead of there, where what was seen is larger.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from engine.atomic import atomic_write
from engine.camera import Camera, c2w_from_angles
from engine.errors import InputError
from engine.explorer import Explorer, ExplorerConfig
from engine.models.embedded import EmbeddedModel
from engine.models.embedded.kinds import KindNetwork
from engine.places.building import SURE
from engine.places.doors import Ways, next_middle
from engine.places.kinds import FEWEST, GEOMETRY, described
from engine.places.module import SIDES
from engine.pyramid import see_first
from engine.training.config import TRAINING_SEEDS, KindTraining
from engine.worlds import TIMES, World, WorldSpec
from engine.worlds.plan import KINDS, ROOMS

BIOME = "interior"
AWAY_M, FREE_M, TRIES = 13.0, 0.8, 60
"""How far from the middle of a room one may stand, and from anything in it; so often a spot is looked for."""
LEVELS = (0, 1, 1, 1)
"""Finer levels of a first view, one as likely as another."""
AHEAD_M = ((0.0, 0.0), (1.0, 5.0), (5.0, 10.0), (10.0, 16.0))
"""So far ahead of where a world was seen it is looked at."""
SMOOTHING, LOOKS_NOISE, VIEW_NOISE, LEAST_KEPT = 0.05, 0.15, 0.1, 0.3
"""Of labels; of a cell's looks and of all those of a view, in standard deviations; of a view's cells that are kept."""
HELD_OUT = 10
"""Every so many worlds are for evaluation."""


@dataclass(frozen=True, eq=False)
class Samples:
    """What views show of next rooms.

    Attributes:
        cells: (n, C + GEOMETRY) float32, of all samples. first: (samples + 1,) where each one's begin.
        kind: (samples,) index into ``KINDS``.
    """

    cells: Tensor
    first: Tensor
    kind: Tensor

    @classmethod
    def of(cls, paths: list[Path]) -> Samples:
        """Of worlds that were looked at."""
        stored = [load_file(path) for path in paths]
        counts = torch.cat([part["count"] for part in stored])
        first = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
        cells, kind = (torch.cat([part[name] for part in stored]) for name in ("cells", "kind"))
        return cls(cells.float(), first, kind)

    def one(self, index: int) -> Tensor:
        """(n, C + GEOMETRY), the cells of a sample."""
        return self.cells[self.first[index] : self.first[index + 1]]


class KindStage:
    """Learns from parts of samples."""

    score = "right"
    adversary = None

    def __init__(self, config: KindTraining) -> None:
        self.config = config
        self.device = torch.device(config.loop.device)
        torch.manual_seed(config.loop.seed)
        model = EmbeddedModel.load(Path(config.model), in_full=True)
        if not model.stored_rooms:
            raise InputError(f"The model {config.model} has no rooms of buildings; export it with such places.")
        self.network = KindNetwork(
            model.spec.latent_channels + GEOMETRY, config.hidden, len(KINDS), model.stored_rooms
        ).to(self.device)
        # They were rendered so, see :func:`engine.training.places.middle`.
        rooms = [KINDS.index(ROOMS[index % len(ROOMS)]) for index in range(model.stored_rooms)]
        self.network.of_rooms.copy_(torch.tensor(rooms))
        paths = self._looked_at(model)
        self.samples = Samples.of([path for index, path in enumerate(paths) if index % HELD_OUT])
        self.held_out = Samples.of(paths[::HELD_OUT])
        if not (len(self.samples.kind) and len(self.held_out.kind)):
            raise InputError(
                f"In the worlds of {config.folder} nothing was seen through doors; take more views of more."
            )

    def _looked_at(self, model: EmbeddedModel) -> list[Path]:
        """A file for each world; those that are missing are made."""
        config = self.config
        if config.worlds < 2 * HELD_OUT or config.seed + config.worlds > TRAINING_SEEDS:
            raise InputError(
                f"Kinds of rooms are learned from {2 * HELD_OUT} worlds or more with seeds below {TRAINING_SEEDS:,}; "
                f"got {config.worlds} from {config.seed:,} on."
            )
        folder = Path(config.folder)
        folder.mkdir(parents=True, exist_ok=True)
        missing = [seed for seed in range(config.seed, config.seed + config.worlds) if not _path(folder, seed).exists()]
        for seed in track(missing, description="looking through doors") if missing else ():
            found = list(through_doors(model, seed, config))
            none = torch.zeros(0, model.spec.latent_channels + GEOMETRY)
            tensors = {
                "cells": torch.cat([none, *(cells for cells, _ in found)]).half(),
                "count": torch.tensor([len(cells) for cells, _ in found], dtype=torch.int64),
                "kind": torch.tensor([kind for _, kind in found], dtype=torch.int64),
            }
            with atomic_write(_path(folder, seed)) as temporary:
                save_file(tensors, temporary)
        return [_path(folder, seed) for seed in range(config.seed, config.seed + config.worlds)]

    def loss(self, generator: torch.Generator, progress: float) -> tuple[Tensor, dict[str, float]]:
        """One batch of samples, each without some of its cells, and what all have noisy."""
        batch, most, channels = self.config.loop.batch, self.config.cells, self.samples.cells.shape[1] - GEOMETRY
        cells = torch.zeros(batch, most, channels + GEOMETRY)
        there = torch.zeros(batch, most, dtype=torch.bool)
        chosen = torch.randint(len(self.samples.kind), (batch,), generator=generator)
        for row, index in enumerate(chosen.tolist()):
            sample = self.samples.one(index)
            share = LEAST_KEPT + (1.0 - LEAST_KEPT) * float(torch.rand((), generator=generator))
            kept = max(min(FEWEST, len(sample)), int(share * min(len(sample), most)))
            cells[row, :kept] = sample[torch.randperm(len(sample), generator=generator)[:kept]]
            there[row, :kept] = True
        noise = LOOKS_NOISE * torch.randn(batch, most, channels, generator=generator)
        cells[..., :channels] += noise + VIEW_NOISE * torch.randn(batch, 1, channels, generator=generator)
        logits = self.network(cells.to(self.device), there.to(self.device))
        error = cross_entropy(logits, self.samples.kind[chosen].to(self.device), label_smoothing=SMOOTHING)
        return error, {"loss": float(error.detach())}

    @torch.inference_mode()
    def evaluate(self, network: nn.Module, sheet: Path) -> dict[str, float]:
        """How often the likeliest kind is right, in worlds that were not learned from; how often it is clear, and then
        right."""
        likely = []
        for index in range(len(self.held_out.kind)):
            cells = self.held_out.one(index)[None].to(self.device)
            there = torch.ones(cells.shape[:2], dtype=torch.bool, device=self.device)
            likely.append(network(cells, there)[0].softmax(dim=0).cpu())
        sure, kind = torch.stack(likely).max(dim=1)
        right, clear = (kind == self.held_out.kind).float(), sure >= SURE
        return {
            "right": float(right.mean()),
            "clear": float(clear.float().mean()),
            "right_if_clear": float(right[clear].mean()) if bool(clear.any()) else 0.0,
        }


def through_doors(model: EmbeddedModel, seed: int, config: KindTraining) -> Iterator[tuple[Tensor, int]]:
    """What views of a world show of next rooms, (n, C + GEOMETRY), and of what kind those are."""
    rng = np.random.default_rng(seed)
    world = World(WorldSpec(BIOME, seed, sorted(TIMES)[int(rng.integers(len(TIMES)))]))
    assert world.module is not None
    side_m, middle = world.module
    mean, std = (torch.tensor(v)[:, None, None] for v in (model.config.latents_mean, model.config.latents_std))
    corner = rng.integers(-3, 4, 2)
    views = 0
    for _ in range(TRIES):
        if views == config.views:
            break
        square = side_m * (corner + rng.integers(0, 2, 2))
        room = float(square[0] + middle[0]), float(square[1] + middle[1]), middle[2]
        camera = _towards_a_door(np.array(room), side_m, config, rng)
        if not world.is_free(camera.position, FREE_M):
            continue
        views += 1
        explorer = Explorer(model, ExplorerConfig(size=(config.height, config.width), biome=BIOME, fine=False))
        explorer.begin(camera, see_first(world, camera, int(rng.choice(LEVELS)), supersample=1))
        for nearest_m, farthest_m in AHEAD_M:
            there = _ahead(camera, rng.uniform(nearest_m, farthest_m), rng)
            if np.abs(there.position - room)[:2].max() > 0.5 * side_m - 1.0:
                break
            view = explorer.memory.readout(there).readout
            out = Ways.from_camera(there, (view.coverage.shape[0], view.coverage.shape[1]), room, side_m).out(view)
            features = (view.features - mean) / std
            for side in range(len(SIDES)):
                cells = (out == side) & (view.coverage > 0.99)
                if int(cells.sum()) >= FEWEST:
                    beyond = next_middle(room, side, side_m)
                    seen = described(features, view, cells, there, beyond, side)
                    yield seen, world.room_kind(np.array(beyond))


def _towards_a_door(middle: np.ndarray, side_m: float, config: KindTraining, rng: np.random.Generator) -> Camera:
    """A camera somewhere in the room around ``middle (3,)``, that looks about at the middle of one of its walls."""
    position = middle + np.array([*rng.uniform(-AWAY_M, AWAY_M, 2), rng.uniform(-0.1, 0.9)])
    door = middle[:2] + 0.5 * side_m * np.array(SIDES[int(rng.integers(len(SIDES)))])
    yaw_deg = math.degrees(math.atan2(*(door - position[:2])[::-1])) + rng.normal(0.0, 12.0)
    pose = c2w_from_angles(position, yaw_deg, rng.uniform(-5.0, 4.0))
    return Camera.from_fov(pose, float(rng.uniform(45.0, 60.0)), config.width, config.height)


def _ahead(camera: Camera, way_m: float, rng: np.random.Generator) -> Camera:
    """A camera so far ahead, that has turned a little on the way."""
    heading = math.radians(camera.yaw_deg)
    position = camera.position + way_m * np.array([math.cos(heading), math.sin(heading), 0.0])
    turn_deg = rng.normal(0.0, 5.0) if way_m else 0.0
    return camera.posed(c2w_from_angles(position, camera.yaw_deg + turn_deg, camera.pitch_deg))


def _path(folder: Path, seed: int) -> Path:
    return folder / f"world_{seed}.safetensors"
