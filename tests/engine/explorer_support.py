"""A small world for tests of explorer, flight, worker and session."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from engine.camera import Camera
from engine.explorer import Explorer, ExplorerConfig
from engine.messages import MemoryVariant
from engine.models.embedded import EmbeddedModel

SIZE = (64, 112)


def camera(x: float = 0.0, yaw_deg: float = 0.0) -> Camera:
    yaw = np.radians(yaw_deg)
    eye = np.array([x, 0.0, 2.0])
    return Camera.look_at(eye, eye + np.array([np.cos(yaw), np.sin(yaw), -0.05]), 50.0, SIZE[1], SIZE[0])


def first_view() -> SimpleNamespace:
    """A level floor under a sky, with a wall on the right."""
    rows = np.arange(SIZE[0]) + 0.5 - SIZE[0] / 2
    depth = np.where(rows > 0, 2.0 * 68.0 / np.maximum(rows, 1e-3), np.inf)[:, None].repeat(SIZE[1], 1)
    depth[:, 80:] = np.minimum(depth[:, 80:], 5.0)
    rgb = np.random.default_rng(0).uniform(size=(3, *SIZE))
    return SimpleNamespace(rgb=rgb.astype(np.float32), depth_m=depth.astype(np.float32))


def explorer(model: EmbeddedModel, variant: MemoryVariant = "latent", seed: int = 1) -> Explorer:
    return Explorer(model, ExplorerConfig(biome="meadow", seed=seed, memory=variant))
