"""Places to measure in: where the cameras go, and what is truly there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from engine.camera import Camera
from engine.evaluation.settings import FIRST_SEED, EvaluationSettings
from engine.presets import Loop, Straight
from engine.pyramid import FirstView, levels_for, see_first
from engine.training.config import SceneConfig
from engine.training.scenes import EVALUATION_GAPS_M, STRIDE, evaluation_rig
from engine.worlds import BIOMES, World, WorldSpec


@dataclass(frozen=True, eq=False)
class TrueView:
    """What is really seen.

    Attributes:
        rgb: (3, H, W) float32 in [0, 1]. depth_m: (H, W) float32 z-depth; inf is sky, NaN unknown.
    """

    rgb: Tensor
    depth_m: Tensor

    @property
    def image(self) -> np.ndarray:
        """(H, W, 3) uint8."""
        return (self.rgb.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()


class Scene(Protocol):
    """A place with fixed cameras, the same for every variant.

    Attributes:
        name: safe for file names. biome: what the model is told. identity: where it comes from, for the report.
        first: the camera whose true view every flight begins with. gaps: label -> camera of a novel view.
        loop: cameras that leave and return over the same poses; the first is ``first``. drift: a long flight, or empty.
        exact_depth: whether the depth of true views is exact, so that depth, flicker and pose can be measured with it.
    """

    name: str
    biome: str
    identity: dict[str, Any]
    first: Camera
    gaps: dict[str, Camera]
    loop: tuple[Camera, ...]
    drift: tuple[Camera, ...]
    exact_depth: bool

    def true_view(self, camera: Camera) -> TrueView:
        """The true view from one of this scene's cameras."""

    def first_view(self) -> FirstView:
        """What every flight begins with: the true view from ``first``, as fine as it is given; of a building its depth
        ends at windows."""


class ProceduralScene:
    """A spawn of a procedural world on an evaluation seed."""

    exact_depth = True

    def __init__(self, index: int, settings: EvaluationSettings, size: tuple[int, int]) -> None:
        spec = WorldSpec(BIOMES[index % len(BIOMES)], FIRST_SEED + index)
        height, width = size
        self.world = World(spec)
        self.name = f"{spec.biome}-{spec.seed}"
        self.biome = spec.biome
        self.identity = {"biome": spec.biome, "seed": spec.seed, "time": spec.resolved_time, "spawn": 0}
        rig = evaluation_rig(
            self.world, SceneConfig(height=height, width=width), np.random.default_rng([spec.seed, 0]), 0
        )
        self.first = rig[0]
        self.gaps = {f"{gap_m:g} m": camera for gap_m, camera in zip(EVALUATION_GAPS_M, rig[1:], strict=True)}
        loop = Loop(distance_m=settings.loop_distance_m, turn_deg=settings.loop_turn_deg)
        self.loop = loop.path(self.first, settings.loop_frames, ground_height_m=self._ground).cameras
        self.drift: tuple[Camera, ...] = ()
        if settings.drift_frames:
            self.drift = Straight().path(self.first, settings.drift_frames, ground_height_m=self._ground).cameras
        self._supersample = settings.supersample
        self._views: dict[bytes, TrueView] = {}
        self._first_view: FirstView | None = None

    def _ground(self, positions_xy: np.ndarray) -> np.ndarray:
        """(n, 2) metres -> (n,)."""
        return self.world.ground_height_m(positions_xy).numpy()

    def true_view(self, camera: Camera) -> TrueView:
        """Rendered once and kept for the next variant."""
        key = camera.c2w.tobytes()
        if key not in self._views:
            frame = self.world.render(camera, supersample=self._supersample)
            self._views[key] = TrueView(frame.rgb, frame.depth_m)
        return self._views[key]

    def first_view(self) -> FirstView:
        """With the levels that the memory takes."""
        if self._first_view is None:
            levels = levels_for(self.first.size, STRIDE)
            self._first_view = see_first(self.world, self.first, levels, self._supersample)
        return self._first_view


def scene_names(settings: EvaluationSettings) -> list[str]:
    """The names of the procedural scenes, without making them."""
    return [f"{BIOMES[index % len(BIOMES)]}-{FIRST_SEED + index}" for index in range(settings.scenes)]


def path_length_m(cameras: Sequence[Camera]) -> np.ndarray:
    """(n,) metres flown up to each camera."""
    positions = np.stack([camera.position for camera in cameras])
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(positions, axis=0), axis=1))])
