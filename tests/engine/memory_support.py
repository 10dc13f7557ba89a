"""Small exact scenes for the memory's tests: planes and boxes seen by pinhole cameras, no rendering involved."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from engine.camera import Camera, c2w_from_angles
from engine.cells import cell_means, in_samples
from engine.memory import LatentMemory, LatentView, MemoryConfig, Readout, SampleMap

STRIDE, CHANNELS = 8, 4
SIZE = (64, 96)
"""Image height and width: 8 x 12 tokens."""

Plane = tuple[np.ndarray, float]
"""Normal (3,) and offset: n . p = offset."""
GROUND: Plane = (np.array([0.0, 0.0, 1.0]), 0.0)


def camera_at(
    x: float, y: float, z: float, yaw_deg: float = 0.0, pitch_deg: float = 0.0, size: tuple[int, int] = SIZE
) -> Camera:
    """Looking along +X at yaw 0; 60 degrees high."""
    return Camera.from_fov(c2w_from_angles(np.array([x, y, z]), yaw_deg, pitch_deg), 60.0, size[1], size[0])


def samples_of(camera: Camera, s: int = 2) -> Camera:
    return camera.resized(camera.width // STRIDE * s, camera.height // STRIDE * s)


def planes_inverse_depth(camera: Camera, planes: Sequence[Plane] = (GROUND,)) -> np.ndarray:
    """Exact inverse z-depth (H, W) float32 of the nearest plane in front of each pixel, 0 for sky."""
    rays = camera.rays()
    nearest = np.zeros(camera.size)
    for normal, offset in planes:
        with np.errstate(divide="ignore"):
            inverse = (rays @ normal) / (offset - camera.position @ normal)
        nearest = np.maximum(nearest, np.where(np.isfinite(inverse), inverse, 0.0))
    return nearest.astype(np.float32)


def box_inverse_depth(camera: Camera, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Exact inverse z-depth (H, W) of an axis-aligned box, 0 beside it."""
    rays = camera.rays()
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = (low - camera.position) / rays, (high - camera.position) / rays
    enter, leave = np.minimum(a, b).max(axis=-1), np.maximum(a, b).min(axis=-1)
    hit = (enter <= leave) & (enter > 0.0)
    return np.where(hit, 1.0 / np.where(hit, enter, 1.0), 0.0).astype(np.float32)


def random_latents(seed: int, camera: Camera, channels: int = CHANNELS) -> np.ndarray:
    shape = (channels, camera.height // STRIDE, camera.width // STRIDE)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def scene_view(camera: Camera, seed: int = 0, s: int = 2, planes: Sequence[Plane] = (GROUND,)) -> LatentView:
    return LatentView(camera, random_latents(seed, camera), planes_inverse_depth(samples_of(camera, s), planes))


def memory_of(views: Sequence[LatentView], **settings: object) -> LatentMemory:
    config = MemoryConfig(**{"channels": CHANNELS, "stride": STRIDE, **settings})  # type: ignore[arg-type]
    memory = LatentMemory(config, CentreNetwork(config.samples))
    for view in views:
        memory.write(view)
    return memory


def readout_of(features: torch.Tensor, inverse_depth: torch.Tensor, known: torch.Tensor | None = None) -> Readout:
    """What a memory would show of ``features (C, h, w)`` at ``inverse_depth (2h, 2w)``, 0 for sky, where it is
    ``known``, by cell or by sample; everywhere by default. Of which tokens is left open."""
    h, w = features.shape[-2:]
    known = torch.ones(h, w, dtype=torch.bool) if known is None else known
    covered = in_samples(known, inverse_depth)
    coverage = cell_means(covered.float(), features[0])
    return Readout(
        features=features * (coverage > 0.0),
        coverage=coverage,
        inverse_depth=inverse_depth * covered,
        covered=covered,
        sky=covered & (inverse_depth == 0.0),
        token=torch.zeros(h, w, dtype=torch.int64),
        offsets=torch.zeros(2, h, w),
        log2_scale=torch.zeros(h, w),
        parallax=torch.zeros(h, w),
        exact=torch.zeros(h, w),
    )


class CentreNetwork(torch.nn.Module):
    """A readout network without weights: every cell is the mean of the centre features of its covered samples."""

    def __init__(self, samples: int) -> None:
        super().__init__()
        self.samples = samples

    def read(
        self, samples: SampleMap, neighbourhood: torch.Tensor, valid: torch.Tensor, which: torch.Tensor
    ) -> torch.Tensor:
        assert valid[:, 4].all()
        hs, ws = samples.token.shape
        grid = torch.zeros(hs, ws, neighbourhood.shape[2])
        grid[samples.covered] = neighbourhood[which, 4].float()
        s = self.samples
        total = grid.view(hs // s, s, ws // s, s, -1).sum(dim=(1, 3))
        count = samples.covered.view(hs // s, s, ws // s, s).sum(dim=(1, 3)).clamp(min=1)
        return (total / count[..., None]).permute(2, 0, 1)
