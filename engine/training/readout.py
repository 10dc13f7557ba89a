"""Training the readout network on latents alone: some views of a scene, resampled for another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from engine.models.embedded.blocks import channels_last
from engine.models.embedded.config import ReadoutConfig
from engine.models.embedded.readout import ReadoutNetwork
from engine.models.embedded.weights import load_network
from engine.training.config import ReadoutTraining
from engine.training.curves import write_sheet
from engine.training.losses import covered_psnr_db
from engine.training.precision import native_precision
from engine.training.recall import (
    LatentScenes,
    Recall,
    choose_views,
    read_batch,
    recall,
    remember,
    scaled_scenes,
    trained_autoencoder,
)
from engine.training.scenes import EVALUATION_GAPS_M, SceneStore

DETAIL_LOG2 = (-0.3, 0.6)
"""Octaves of magnification at which a memory in training changes from a token to its finer ones."""


class ReadoutStage:
    """MSE to the true latents of the target, where the memory covers it."""

    adversary = None

    def __init__(self, config: ReadoutTraining) -> None:
        self.config = config
        self.score = "scaled_3m_db" if config.fine else "learned_3m_db"
        self.device = torch.device(config.loop.device)
        torch.manual_seed(config.loop.seed)
        self.network = channels_last(ReadoutNetwork(ReadoutConfig()), self.device)
        if config.start_from:
            load_network(self.network, Path(config.start_from))
        self.autoencoder, weights = trained_autoencoder(config.autoencoder_run, self.device)
        self.scenes = LatentScenes(SceneStore(config.scenes.folder), self.autoencoder, weights, self.device)
        self.fine: LatentScenes | None = None
        if config.fine:
            self.fine, self.eval_fine = (
                scaled_scenes(config.plain, config.fine, self.autoencoder, weights, self.device, evaluation)
                for evaluation in (False, True)
            )
        self.eval_scenes = LatentScenes(
            SceneStore(config.scenes.folder, evaluation=True), self.autoencoder, weights, self.device
        )

    def loss(self, generator: torch.Generator, progress: float) -> tuple[Tensor, dict[str, float]]:
        """One batch of targets, each with a memory of its own."""
        recalls, targets = zip(*(self.example(generator) for _ in range(self.config.loop.batch)), strict=True)
        features, covered = read_batch(self.network, recalls, self.device)
        target = torch.stack(targets).to(self.device)
        weight = avg_pool2d(covered.float()[:, None], self.network.config.samples)
        error = ((features - target).square() * weight).sum() / (weight.sum() * target.shape[1]).clamp(min=1.0)
        return error, {"train_mse": float(error.detach())}

    def example(self, generator: torch.Generator) -> tuple[Recall, Tensor]:
        """What a random memory shows of a random view, and the view's true latents (C, h, w)."""
        if self.fine is not None and float(torch.rand((), generator=generator)) < self.config.fine_share:
            return self.scaled_example(self.fine, generator)
        scene = self.scenes.scene(int(torch.randint(len(self.scenes), (), generator=generator)))
        sources, target = choose_views(len(scene.cameras), self.config.max_sources, generator)
        noise = self.config.latent_noise * float(torch.rand((), generator=generator))
        latents = scene.latents[sources]
        latents = latents + noise * torch.randn(latents.shape, generator=generator)
        return recall(remember(scene, sources, latents), scene.cameras[target]), scene.latents[target]

    def scaled_example(self, scenes: LatentScenes, generator: torch.Generator) -> tuple[Recall, Tensor]:
        """The same of a memory whose views are remembered at two scales, that changes from one to the other anywhere in
        :data:`DETAIL_LOG2`."""
        scene = scenes.scene(int(torch.randint(len(scenes), (), generator=generator)))
        sources, target = choose_views(len(scene.cameras), self.config.max_sources, generator)
        low, high = DETAIL_LOG2
        changes = low + (high - low) * float(torch.rand((), generator=generator))
        memory = remember(scene, sources, detail_log2=changes)
        return recall(memory, scene.cameras[target]), scene.latents[target]

    @torch.no_grad()
    def evaluate(self, network: nn.Module, sheet: Path) -> dict[str, float]:
        """PSNR on covered cells after decoding at each gap: learned, nearest, and the autoencoder's ceiling."""
        self.eval_scenes.store.refresh()
        figures: dict[str, list[float]] = {}
        pictures: list[list[Tensor]] = [[], [], [], []]
        for index in range(len(self.eval_scenes)):
            scene, images = self.eval_scenes.scene(index), self.eval_scenes.store.scene(index).rgb.float() / 255
            memory = remember(scene, [0])
            for view, gap_m in enumerate(EVALUATION_GAPS_M, start=1):
                camera = scene.cameras[view]
                features, covered = read_batch(network, [recall(memory, camera)], self.device)  # type: ignore[arg-type]
                copied = memory.readout_nearest(camera)
                nearest = copied.features[None].to(self.device)
                decoded = [self._decode(z) for z in (nearest, features, scene.latents[view : view + 1].to(self.device))]
                truth = images[view : view + 1].to(self.device)
                # Cells that both readouts cover: the nearest one leaves rows of holes where tokens spread apart.
                cells = avg_pool2d(covered.float()[:, None], self.network.config.samples)[:, 0] > 0.99
                cells &= (copied.token >= 0).to(self.device)[None]
                for name, image in zip(("nearest", "learned", "ceiling"), decoded, strict=True):
                    figures.setdefault(f"{name}_{gap_m:g}m_db", []).append(float(covered_psnr_db(image, truth, cells)))
                if gap_m == 3.0 and index < 6:
                    for column, image in zip(pictures, [*decoded, truth], strict=True):
                        column.append(image)
        if self.fine is not None:
            for gap_m, db in self._scaled_db(network):
                figures.setdefault(f"scaled_{gap_m:g}m_db", []).append(db)
        write_sheet([torch.cat(column) for column in pictures], sheet)
        return {name: sum(values) / len(values) for name, values in figures.items()}

    def _scaled_db(self, network: nn.Module) -> Iterator[tuple[float, float]]:
        """PSNR on covered cells after decoding, at each gap, from a first view that is remembered at two scales."""
        scenes = self.eval_fine
        for index in range(len(scenes)):
            scene, images = scenes.scene(index), scenes.store.scene(index).rgb.float() / 255
            memory = remember(scene, [0])
            for view, gap_m in enumerate(EVALUATION_GAPS_M, start=1):
                recalls = [recall(memory, scene.cameras[view])]
                features, covered = read_batch(network, recalls, self.device)  # type: ignore[arg-type]
                cells = avg_pool2d(covered.float()[:, None], self.network.config.samples)[:, 0] > 0.99
                truth = images[view : view + 1].to(self.device)
                yield gap_m, float(covered_psnr_db(self._decode(features), truth, cells))

    def _decode(self, latents: Tensor) -> Tensor:
        with native_precision(self.device):
            return self.autoencoder.decoder(latents.contiguous(memory_format=torch.channels_last)).clamp(0, 1)
