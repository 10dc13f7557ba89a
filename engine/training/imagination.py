"""An exported model at work on the training scenes: what the stages that finish it learn from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from engine.memory import LatentMemory
from engine.models.embedded import EmbeddedModel
from engine.models.embedded.denoiser import Denoiser
from engine.models.embedded.detail import DetailNetwork
from engine.models.embedded.weights import weight_path
from engine.training.config import DenoiserTraining, LoopConfig, SceneConfig
from engine.training.examples import ExampleSource, SeenView
from engine.training.recall import LatentScene, LatentScenes, scaled_scenes
from engine.training.scenes import SceneStore

EMPTY = 0.03
"""Share of the views with true memories whose memory is empty."""
SEEDS = 1 << 20
"""So many worlds' worth of noise detail is shown."""


class Imagination:
    """The model in a folder, frozen, with scenes in its own latents.

    Attributes:
        scenes, eval_scenes: what it learns from and what it is measured on.
        mean, std: (C, 1, 1) of the latents.
        source: draws views of the scenes and what memories know of them, and imagines them.
    """

    def __init__(
        self,
        folder: str,
        scenes: SceneConfig,
        loop: LoopConfig,
        max_sources: int,
        scaled: tuple[str, str] = ("", ""),
        fine_share: float = 0.0,
    ) -> None:
        self.device = torch.device(loop.device)
        self.model = EmbeddedModel.load(folder, self.device, in_full=True)
        encoder = weight_path(Path(folder), "autoencoder")
        self.scenes, self.eval_scenes = (
            LatentScenes(SceneStore(scenes.folder, evaluation), self.model.autoencoder, encoder, self.device)
            for evaluation in (False, True)
        )
        both: LatentScenes | None = None
        if scaled[1]:
            both, self.eval_scenes = (
                scaled_scenes(*scaled, self.model.autoencoder, encoder, self.device, evaluation)
                for evaluation in (False, True)
            )
        self.mean, self.std = (
            torch.tensor(values, device=self.device)[:, None, None]
            for values in (self.model.config.latents_mean, self.model.config.latents_std)
        )
        self.source = ExampleSource(
            DenoiserTraining(loop=loop, max_sources=max_sources, empty=EMPTY, self_memory=0.0),
            self.scenes,
            self.model.readout_network,
            self.mean,
            self.std,
            both,
            fine_share,
        )
        self.source.detail = self.model.detail
        self._flight: Iterator[SeenView] = iter(())

    def seen(self, own_memory: float, generator: torch.Generator, denoiser: Denoiser) -> SeenView:
        """A view of a scene and what a memory knows of it, for a share ``own_memory`` of them on a flight."""
        if float(torch.rand((), generator=generator)) < own_memory:
            view = next(self._flight, None)
            if view is None:
                self._flight = self.source.flight(generator, denoiser)
                view = next(self._flight)
        else:
            view = self.source.view(generator, 1.0, denoiser)
        return view

    def imagine(
        self,
        memory: LatentMemory,
        scene: LatentScene,
        view: int,
        denoiser: nn.Module,
        detail: DetailNetwork | None,
        steps: int,
        generator: torch.Generator,
        seed: int,
    ) -> tuple[Tensor, Tensor]:
        """A view as a memory lets it be imagined, (1, C + s*s, h, w), and the memory's share of it, (1, h, w)."""
        condition = self.source.condition(memory, scene.cameras[view])
        state = self.source.imagine_state(denoiser, condition, scene.biome_index, steps, generator)
        if detail is not None:
            state = detail.finish(state, condition, [scene.cameras[view]], seed)
        return state, self.source.remembered(memory, scene.cameras[view])[:, 0]

    def decode(self, state: Tensor) -> Tensor:
        """(B, C + s*s, h, w) -> rgb (B, 3, 8h, 8w), not clamped."""
        latents = state[:, : self.mean.shape[0]] * self.std + self.mean
        rgb: Tensor = self.model.autoencoder.decoder(
            latents.to(self.model.dtype).contiguous(memory_format=torch.channels_last)
        )
        return rgb

    def features(self, rgb: Tensor) -> list[Tensor]:
        """What the model's own encoder sees in pictures (B, 3, H, W)."""
        pictures = rgb.to(self.model.dtype).contiguous(memory_format=torch.channels_last)
        return self.model.autoencoder.encoder.features(pictures)
