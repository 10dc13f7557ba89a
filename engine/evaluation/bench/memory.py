"""Micro-benchmarks of the memory alone, as medians.

Scenes are synthetic and stated: ``in view`` puts every token into the target's frustum (the worst case), ``explored``
is what a long flight leaves behind, with most of it out of view.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from engine.camera import Camera, c2w_from_angles
from engine.memory import LatentMemory, LatentView, MemoryConfig, ReadoutNetwork, SampleMap
from engine.memory.config import WritePolicy

HEIGHT, WIDTH, STRIDE, SAMPLES, CHANNELS = 256, 448, 8, 2, 16
FOV_DEG = 50.0


@dataclass(frozen=True)
class Timing:
    """One figure: what was measured, its median and 95th percentile in milliseconds, and the target to stay under
    (None: no target).
    """

    name: str
    median_ms: float
    p95_ms: float
    target_ms: float | None = None


class PassThrough:
    """A stand-in network that costs next to nothing, so that only the memory is timed."""

    def read(
        self, samples: SampleMap, neighbourhood: torch.Tensor, valid: torch.Tensor, which: torch.Tensor
    ) -> torch.Tensor:
        """The centre features averaged over each cell."""
        out = torch.zeros(*samples.token.shape, neighbourhood.shape[2], dtype=neighbourhood.dtype)
        out[samples.covered] = neighbourhood[which, 4]
        return out[::SAMPLES, ::SAMPLES].permute(2, 0, 1)


def terrain_inverse_depth(camera: Camera, seed: int = 0) -> np.ndarray:
    """(H, W) inverse depth of a gently rolling ground, by a few steps of fixed-point marching; 0 above the horizon."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0.0, 6.3, 4)
    rays = camera.rays()
    z = np.full(rays.shape[:2], 5.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for _ in range(12):
            points = camera.position + rays * z[..., None]
            ground = 0.4 * np.sin(0.21 * points[..., 0] + phase[0]) + 0.4 * np.sin(0.17 * points[..., 1] + phase[1])
            target = (ground - camera.position[2]) / rays[..., 2]
            z = np.where((target > 0.5) & (target < 150.0), 0.5 * (z + target), np.inf)
        return np.where(np.isfinite(z), 1.0 / z, 0.0).astype(np.float32)


def sample_grid(camera: Camera) -> Camera:
    """The camera on the memory's sample grid."""
    return camera.resized(camera.width // STRIDE * SAMPLES, camera.height // STRIDE * SAMPLES)


def filled(
    tokens: int, *, spread_m: float, turn_deg: float, policy: WritePolicy = "append", seed: int = 0
) -> LatentMemory:
    """At least ``tokens`` tokens from keyframes over ``spread_m`` metres, looking within ``turn_deg`` of +X."""
    rng = np.random.default_rng(seed)
    memory = LatentMemory(MemoryConfig(channels=CHANNELS, stride=STRIDE, samples=SAMPLES, policy=policy), PassThrough())
    latents = rng.normal(size=(CHANNELS, HEIGHT // STRIDE, WIDTH // STRIDE)).astype(np.float32)
    while len(memory.store) < tokens:
        place = np.array([*rng.uniform(-spread_m, spread_m, 2), 2.0])
        pose = c2w_from_angles(place, rng.uniform(-turn_deg, turn_deg), -12.0)
        camera = Camera.from_fov(pose, FOV_DEG, WIDTH, HEIGHT)
        memory.write(LatentView(camera, latents, terrain_inverse_depth(sample_grid(camera))))
    return memory


def median_ms(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Median and 95th percentile of ``repeats`` calls after two to warm up."""
    work()
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times), float(np.percentile(times, 95))


def measure(
    repeats: int = 30, *, large: bool = True, network: ReadoutNetwork | None = None, tokens: int = 100_000
) -> list[Timing]:
    """Every figure of the memory.

    Args:
        large: also with ten times the tokens (which takes half a minute to build).
        network: the model's, to time a learned readout whole. tokens: of the smaller memories; the targets are for
            100,000.
    """
    timings: list[Timing] = []
    few, many = (f"{count / 1000:g} k tokens" for count in (tokens, 10 * tokens))

    def add(name: str, work: Callable[[], object], target_ms: float | None = None) -> None:
        timings.append(Timing(name, *median_ms(work, repeats), target_ms))

    behind = Camera.from_fov(c2w_from_angles(np.array([-14.0, 0.0, 3.0]), 0.0, -12.0), FOV_DEG, WIDTH, HEIGHT)
    inside = Camera.from_fov(c2w_from_angles(np.array([0.0, 0.0, 2.0]), 30.0, -12.0), FOV_DEG, WIDTH, HEIGHT)
    memory = filled(tokens, spread_m=2.0, turn_deg=3.0)
    add(f"nearest readout, {few} in view", lambda: memory.readout_nearest(behind), 2.0)
    add(f"learned readout without network, {few} in view", lambda: memory.readout_learned(behind))
    explored = filled(tokens, spread_m=80.0, turn_deg=180.0)
    add(f"learned readout without network, {few} explored", lambda: explored.readout_learned(inside), 8.0)
    add("  of it: geometry", lambda: explored.sample_map(inside))
    if network is not None:
        explored.network = network
        add(f"learned readout with the model's network, {few} explored", lambda: explored.readout_learned(inside), 16.0)
        explored.network = PassThrough()
    view = LatentView(
        inside,
        np.zeros((CHANNELS, HEIGHT // STRIDE, WIDTH // STRIDE), np.float32),
        terrain_inverse_depth(sample_grid(inside)),
    )

    def write_new() -> None:
        explored.write(view, readout=readout)
        explored.retract()

    readout = explored.readout_learned(inside)
    add(f"write of what is new in a frame and taking it back, {few}", write_new, 3.0)
    explored.write(view, readout=readout)
    known = explored.readout_learned(inside)
    add(f"write of a frame that is known, {few}", lambda: explored.write(view, readout=known), 3.0)

    first = LatentMemory(explored.config, PassThrough())

    def write_whole() -> None:
        first.write(view)
        first.retract()

    add("write of a whole first frame and taking it back", write_whole)
    if large:
        memory = filled(10 * tokens, spread_m=2.0, turn_deg=3.0)
        add(f"nearest readout, {many} in view", lambda: memory.readout_nearest(behind), 12.0)
        memory = filled(10 * tokens, spread_m=80.0, turn_deg=180.0)
        aside = Camera.from_fov(c2w_from_angles(np.array([40.0, 40.0, 2.0]), 45.0, -12.0), FOV_DEG, WIDTH, HEIGHT)
        add(f"nearest readout, {many}, 90 % out of view", lambda: memory.readout_nearest(aside), 3.0)
        add(f"learned readout without network, {many} explored", lambda: memory.readout_learned(inside))
    return timings
