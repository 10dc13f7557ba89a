"""What the denoiser trains on: a view, and what a memory of other views knows of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from scipy.spatial.transform import Rotation, Slerp
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from engine.camera import Camera
from engine.depth import reconcile
from engine.disocclusion import SUGGESTED, lend, lenders
from engine.memory import LatentMemory, LatentView
from engine.models.embedded.condition import (
    build_condition,
    known_share,
    pack_state,
    ray_elevation,
    unpack_state,
    with_known,
)
from engine.models.embedded.denoiser import Denoiser
from engine.models.embedded.detail import DetailNetwork
from engine.models.embedded.readout import ReadoutNetwork
from engine.models.embedded.sampler import flow_times, sample_flow
from engine.training.config import DenoiserTraining
from engine.training.precision import mixed_precision
from engine.training.recall import (
    LatentScene,
    LatentScenes,
    cell_scale,
    choose_views,
    fresh_memory,
    read_batch,
    recall,
    remember,
)
from engine.training.scenes import SAMPLES

LIGHT = 0.35
"""A suggestion's light is off by up to this share of the difference between two scenes."""
CONTRAST = 0.15
DEPTH_SPREAD = 0.08
"""Standard deviations of the log-factors on a suggestion's contrast and depth."""
ALL_SUGGESTED = 0.15
"""Share of suggestions of a whole view: a world that begins from nothing."""
SCENES_LIT = 64
LOOKED_EVERY = 16
"""Scenes drawn between two looks for new ones, which may be rendered meanwhile."""
FLIGHT_STEPS_M = (0.3, 2.5)
"""A flight's steps are this long; any order of magnitude in between is as likely."""
ROLLOUT_STEPS = 2
"""An imagined memory is made with one to this many steps a view, as a flight's is."""


@dataclass(frozen=True)
class Example:
    """One view to be denoised.

    Attributes:
        condition: (condition_channels, h, w).
        target: (C + s*s, h, w) the true state.
        biome: index into the biome embedding.
    """

    condition: Tensor
    target: Tensor
    biome: int


@dataclass(frozen=True)
class SeenView:
    """A view of a scene, and what a memory knows of it.

    Attributes:
        rgb: (1, 3, H, W) uint8, its picture. target: its index.
        condition: (1, condition_channels, h, w).
        certain: (1, 1, h, w) in [0, 1], how far true views tell what each cell shows: the share of it that they saw,
            and half of that for every octave that it came nearer since. The rest is invention, and the truth another.
    """

    rgb: Tensor
    scene: LatentScene
    target: int
    condition: Tensor
    certain: Tensor

    @property
    def camera(self) -> Camera:
        return self.scene.cameras[self.target]


def cameras_between(one: Camera, other: Camera, step_m: float) -> list[Camera]:
    """Cameras on the way from ``one`` to ``other``, both left out, at most ``step_m`` apart."""
    steps = math.ceil(float(np.linalg.norm(other.position - one.position)) / step_m)
    turn = Slerp([0.0, 1.0], Rotation.from_matrix(np.stack([one.c2w[:3, :3], other.c2w[:3, :3]])))
    cameras = []
    for share in np.arange(1, steps) / steps:
        pose = np.eye(4)
        pose[:3, :3] = turn(share).as_matrix()
        pose[:3, 3] = (1.0 - share) * one.position + share * other.position
        cameras.append(one.posed(pose))
    return cameras


def forget(covered: Tensor, generator: torch.Generator) -> Tensor:
    """Drop from a memory's coverage (h*s, w*s) bool what a flight would not know yet: everything to one side, all
    around the middle, or one to three rectangles; whole cells only."""
    hs, ws = covered.shape
    keep = torch.ones(hs // SAMPLES, ws // SAMPLES, dtype=torch.bool)
    h, w = keep.shape

    def below(limit: float) -> int:
        return int(torch.randint(1, max(2, int(limit)), (), generator=generator))

    kind = float(torch.rand((), generator=generator))
    if kind < 0.35:  # what a turn of the head reveals
        width = below(w / 2)
        if torch.rand((), generator=generator) < 0.5:
            keep[:, :width] = False
        else:
            keep[:, w - width :] = False
    elif kind < 0.6:  # what a wider view reveals, see engine.overscan
        rows, columns = below(h / 4), below(w / 4)
        keep[:rows] = keep[h - rows :] = False
        keep[:, :columns] = keep[:, w - columns :] = False
    else:
        for _ in range(below(4)):
            rows, columns = below(h * 0.6), below(w * 0.6)
            top = int(torch.randint(0, h - rows + 1, (), generator=generator))
            left = int(torch.randint(0, w - columns + 1, (), generator=generator))
            keep[top : top + rows, left : left + columns] = False
    return covered & keep.repeat_interleave(SAMPLES, 0).repeat_interleave(SAMPLES, 1)


def _whole(samples: Tensor) -> Tensor:
    """Cells of which all samples are: (B, h*s, w*s) bool -> (B, h, w) bool."""
    return avg_pool2d(samples.float()[:, None], SAMPLES)[:, 0] > 0.99


class ExampleSource:
    """Draws examples from scenes.

    Args:
        scenes: with their latents. readout: trained and frozen. mean, std: (C, 1, 1) of the latents.
        scaled: scenes that are remembered at two scales; ``scaled_share`` of the examples come from them.

    Attributes:
        detail: finishes what is imagined into a memory, if there is one.
    """

    def __init__(
        self,
        config: DenoiserTraining,
        scenes: LatentScenes,
        readout: ReadoutNetwork,
        mean: Tensor,
        std: Tensor,
        scaled: LatentScenes | None = None,
        scaled_share: float = 0.0,
    ) -> None:
        self.config = config
        self.scenes = scenes
        self.scaled, self.scaled_share = scaled, scaled_share
        self.readout = readout
        self.mean, self.std = mean, std
        self.device = mean.device
        self.detail: DetailNetwork | None = None
        self._drawn = 0
        self._lights: list[Tensor] | None = None

    def example(self, generator: torch.Generator, progress: float, network: Denoiser) -> Example:
        """A view, and what a memory of true views, or of views that ``network`` imagined, knows of it."""
        view = self.view(generator, progress, network)
        scene, target = view.scene, view.target
        state = pack_state(
            scene.latents[target : target + 1].to(self.device),
            scene.inverse_depth[target : target + 1].to(self.device),
            self.mean,
            self.std,
            SAMPLES,
        )
        return Example(view.condition[0], state[0], scene.biome_index)

    def view(self, generator: torch.Generator, progress: float, network: Denoiser) -> SeenView:
        """A view of a scene, and what a memory of others knows of it."""
        config = self.config
        scenes, index = self._any_scene(generator)
        scene = scenes.scene(index)
        sources, target = choose_views(len(scene.cameras), config.max_sources, generator)
        roll = float(torch.rand((), generator=generator))
        perturb = config.perturb * float(torch.rand((), generator=generator))
        if roll < config.empty:
            memory = fresh_memory(scene.latents.shape[1])
        elif roll > 1.0 - config.self_memory * max(0.0, 2.0 * progress - 1.0) and len(sources) > 1:
            memory = self.imagined_memory(scene, sources, generator, network)
        else:
            latents = scene.latents[sources]
            memory = remember(scene, sources, latents + perturb * torch.randn(latents.shape, generator=generator))
        drop = config.empty <= roll and float(torch.rand((), generator=generator)) < config.dropped
        with torch.no_grad():
            condition = self.condition(memory, scene.cameras[target], generator if drop else None)
        known = known_share(condition, self.mean.shape[0])
        certain = known * self.told(memory, scene.cameras[target])
        return SeenView(scenes.store.picture(index, target), scene, target, condition, certain)

    def _any_scene(self, generator: torch.Generator) -> tuple[LatentScenes, int]:
        scenes = self.scenes
        if self.scaled is not None and float(torch.rand((), generator=generator)) < self.scaled_share:
            scenes = self.scaled
        self._drawn += 1
        if self._drawn % LOOKED_EVERY == 0:
            scenes.refresh()
        return scenes, int(torch.randint(len(scenes), (), generator=generator))

    def remembered(self, memory: LatentMemory, camera: Camera) -> Tensor:
        """(1, 1, h, w) in [0, 1]: how much of each cell of a view a memory knows."""
        covered = memory.sample_map(camera).covered
        return avg_pool2d(covered.float()[None, None], SAMPLES).to(self.device)

    def told(self, memory: LatentMemory, camera: Camera) -> Tensor:
        """What a memory of true views makes :attr:`SeenView.certain`, (1, 1, h, w)."""
        nearness = torch.exp2(-cell_scale(memory.sample_map(camera)).clamp(min=0.0)).to(self.device)
        return self.remembered(memory, camera) * nearness

    def condition(self, memory: LatentMemory, camera: Camera, forgetting: torch.Generator | None = None) -> Tensor:
        """(1, condition_channels, h, w): the memory read out for ``camera``; with parts forgotten, or only suggested,
        if a generator is given."""
        item = recall(memory, camera)
        features, covered = read_batch(self.readout, [item], self.device)
        features = (features.float() - self.mean) / self.std
        inverse_depth = item.samples.inverse_depth[None].to(self.device)
        suggested = torch.zeros_like(covered)
        if forgetting is not None:
            kept = forget(covered[0].cpu(), forgetting)[None].to(self.device)
            if float(torch.rand((), generator=forgetting)) < self.config.suggested:
                if float(torch.rand((), generator=forgetting)) < ALL_SUGGESTED:
                    kept = torch.zeros_like(kept)
                suggested = covered & ~kept
                features, inverse_depth = self._relit(features, inverse_depth, suggested, forgetting)
            else:
                covered = kept
        coverage = avg_pool2d(covered.float()[:, None], SAMPLES)[:, 0]
        coverage = torch.where(_whole(suggested), SUGGESTED, coverage)
        inverse_depth, scale = inverse_depth * covered, cell_scale(item.samples)[None].to(self.device)
        column = lenders(coverage[0], inverse_depth[0])
        features, scale = lend(features, column), lend(scale, column)
        inverse_depth, covered = lend(inverse_depth, column, SAMPLES), lend(covered, column, SAMPLES)
        coverage = torch.where((column >= 0).to(self.device), SUGGESTED, coverage)
        elevation = ray_elevation(camera, *features.shape[-2:]).to(self.device)
        return build_condition(
            features,
            covered,
            inverse_depth,
            scale,
            elevation[None],
            SAMPLES,
            coverage,
        )

    def _relit(
        self, features: Tensor, inverse_depth: Tensor, suggested: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Normalised features (1, C, h, w) and inverse depth (1, h*s, w*s) as a suggestion: sky and ground in the
        light of another scene, contrast and depth a little off. Only where ``suggested``, samples bool.
        """
        if self._lights is None:
            self._lights = [self._light(i) for i in torch.linspace(0, len(self.scenes) - 1, SCENES_LIT).long().tolist()]
        one, other = torch.randint(len(self._lights), (2,), generator=generator).tolist()
        share, contrast, depth = torch.rand((), generator=generator), *torch.randn(2, generator=generator)
        shift = LIGHT * float(share) * (self._lights[one] - self._lights[other])
        sky = avg_pool2d((inverse_depth == 0).float()[:, None], SAMPLES) > 0.5
        relit = features * float(torch.exp(CONTRAST * contrast)) + torch.where(sky, shift[0], shift[1])
        factor = float(torch.exp(DEPTH_SPREAD * depth))
        return (
            torch.where(_whole(suggested)[:, None], relit, features),
            torch.where(suggested, inverse_depth * factor, inverse_depth),
        )

    def _light(self, index: int) -> Tensor:
        """(2, C, 1, 1): the mean normalised latents of a scene's sky and of its ground; 0 where it has none."""
        scene = self.scenes.scene(index)
        latents = (scene.latents[0].to(self.device) - self.mean) / self.std
        sky = avg_pool2d((scene.inverse_depth[:1] == 0).float(), SAMPLES)[0].to(self.device) > 0.5
        means = [(latents * part).sum((1, 2)) / part.sum().clamp(min=1) for part in (sky, ~sky)]
        return torch.stack(means)[:, :, None, None]

    def imagine(
        self, network: nn.Module, condition: Tensor, biome: int, steps: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """A view as the denoiser imagines it: latents (1, C, h, w) and inverse depth (1, h*s, w*s)."""
        state = self.imagine_state(network, condition, biome, steps, generator)
        return unpack_state(state, self.mean, self.std, SAMPLES)

    @torch.no_grad()
    def imagine_state(
        self, network: nn.Module, condition: Tensor, biome: int, steps: int, generator: torch.Generator
    ) -> Tensor:
        """The same as the denoiser has it, (1, C + s*s, h, w) float32."""
        channels = self.mean.shape[0]
        noise = torch.randn((1, channels + SAMPLES**2, *condition.shape[-2:]), generator=generator).to(self.device)
        index = torch.tensor([biome], device=self.device)
        with mixed_precision(self.config.loop, self.device):
            state = sample_flow(
                lambda x, t: with_known(
                    network(x, torch.full((1,), t, device=self.device), condition, index), condition, channels
                ),
                noise,
                flow_times(steps),
                known=known_share(condition, channels),
            )
        return state.float()

    @torch.no_grad()
    def imagined_memory(
        self, scene: LatentScene, sources: list[int], generator: torch.Generator, network: Denoiser
    ) -> LatentMemory:
        """A memory that starts from one true view and goes on with the network's own."""
        memory = remember(scene, sources[:1])
        for view in sources[1:]:
            self.imagine_into(memory, scene.cameras[view], scene.biome_index, generator, network)
        return memory

    @torch.no_grad()
    def flight(self, generator: torch.Generator, network: Denoiser) -> Iterator[SeenView]:
        """Views of a scene, and what a flight that began at an earlier one knows of each as it arrives there: its
        memory is the network's own, written again and again as things came near."""
        scenes, index = self._any_scene(generator)
        scene = scenes.scene(index)
        cameras = scene.cameras
        start = int(torch.randint(max(1, len(cameras) // 2), (), generator=generator))
        first, memory = remember(scene, [start]), remember(scene, [start])
        shortest, longest = FLIGHT_STEPS_M
        step_m = shortest * (longest / shortest) ** float(torch.rand((), generator=generator))
        for target in range(start + 1, len(cameras)):
            camera = cameras[target]
            self.fly(memory, cameras[target - 1 : target + 1], step_m, scene.biome_index, generator, network)
            picture = scenes.store.picture(index, target)
            yield SeenView(picture, scene, target, self.condition(memory, camera), self.told(first, camera))
            self.imagine_into(memory, camera, scene.biome_index, generator, network)

    @torch.no_grad()
    def fly(
        self,
        memory: LatentMemory,
        cameras: Sequence[Camera],
        step_m: float,
        biome: int,
        generator: torch.Generator,
        network: nn.Module,
    ) -> None:
        """Imagine views all the way along ``cameras``, at most ``step_m`` apart, into a memory."""
        for one, other in pairwise(cameras):
            for camera in cameras_between(one, other, step_m):
                self.imagine_into(memory, camera, biome, generator, network)

    def imagine_into(
        self, memory: LatentMemory, camera: Camera, biome: int, generator: torch.Generator, network: nn.Module
    ) -> None:
        """Imagine a view from a memory and write it, as the explorer does."""
        steps = int(torch.randint(1, ROLLOUT_STEPS + 1, (), generator=generator))
        condition = self.condition(memory, camera)
        state = self.imagine_state(network, condition, biome, steps, generator)
        if self.detail is not None:
            with mixed_precision(self.config.loop, self.device):
                state = self.detail.finish(state, condition, [camera], 0)
        latents, inverse_depth = unpack_state(state, self.mean, self.std, SAMPLES)
        samples = memory.sample_map(camera)
        _, writable, _ = reconcile(inverse_depth[0].cpu(), samples.inverse_depth, samples.covered, samples.sky)
        memory.write(LatentView(camera, latents[0].cpu(), writable))
