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
from engine.training.losses import covered_psnr_db, picture_metric
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
from engine.training.rooms import Rooms
from engine.training.scenes import EVALUATION_GAPS_M, SceneStore

DETAIL_LOG2 = (-0.3, 0.6)
"""Octaves of magnification at which a memory in training changes from a token to its finer ones."""
METRIC_VIEWS = 8
"""Views on which it is measured what an error of a latent does to the picture."""


class ReadoutStage:
    """Squared error to the true latents of the target, where the memory covers it; half of it counts as it does in the
    decoded picture."""

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
        self.rooms: Rooms | None = None
        if config.room_share:
            height, width = self.scenes.scene(0).latents.shape[-2:]
            self.rooms = Rooms(config.places, self.autoencoder.encoder, (height, width))
        chosen = torch.linspace(0, len(self.scenes) - 1, min(METRIC_VIEWS, len(self.scenes))).long().tolist()
        views = torch.stack([self.scenes.scene(index).latents[0] for index in chosen]).to(self.device)
        self.metric = 0.5 * (
            torch.eye(views.shape[1], device=self.device) + picture_metric(self.autoencoder.decoder, views)
        )

    def loss(self, generator: torch.Generator, progress: float) -> tuple[Tensor, dict[str, float]]:
        """One batch of targets, each with a memory of its own."""
        recalls, targets = zip(*(self.example(generator) for _ in range(self.config.loop.batch)), strict=True)
        features, covered = read_batch(self.network, recalls, self.device)
        target = torch.stack(targets).to(self.device)
        weight = avg_pool2d(covered.float()[:, None], self.network.config.samples)
        error = (features - target).float()
        amount = (weight.sum() * target.shape[1]).clamp(min=1.0)
        loss = (error * torch.einsum("ij,bjhw->bihw", self.metric, error) * weight).sum() / amount
        return loss, {"train_mse": float((error.detach().square() * weight).sum() / amount)}

    def example(self, generator: torch.Generator) -> tuple[Recall, Tensor]:
        """What a random memory shows of a random view, and the view's true latents (C, h, w)."""
        if self.rooms is not None and float(torch.rand((), generator=generator)) < self.config.room_share:
            view, other = self.rooms.view(generator)
            return recall(other, view.cameras[0]), view.latents[0]
        scaled = self.fine is not None and float(torch.rand((), generator=generator)) < self.config.fine_share
        scenes = self.fine if self.fine is not None and scaled else self.scenes
        index = int(torch.randint(len(scenes), (), generator=generator))
        scene = seen = scenes.scene(index)
        if float(torch.rand((), generator=generator)) < self.config.rolled:
            seen = scenes.rolled(int(torch.randint(1, 4, (), generator=generator))).scene(index)
        sources, target = choose_views(len(scene.cameras), self.config.max_sources, generator)
        if scaled:
            low, high = DETAIL_LOG2
            changes = low + (high - low) * float(torch.rand((), generator=generator))
            memory = remember(seen, sources, detail_log2=changes)
        else:
            noise = self.config.latent_noise * float(torch.rand((), generator=generator))
            latents = seen.latents[sources]
            memory = remember(seen, sources, latents + noise * torch.randn(latents.shape, generator=generator))
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
        others = {"rolled": (self.eval_scenes, self.eval_scenes.rolled(2))}
        if self.fine is not None:
            others["scaled"] = self.eval_fine, self.eval_fine
        for name, which in others.items():
            for gap_m, db in self._covered_db(network, *which):
                figures.setdefault(f"{name}_{gap_m:g}m_db", []).append(db)
        write_sheet([torch.cat(column) for column in pictures], sheet)
        return {name: sum(values) / len(values) for name, values in figures.items()}

    def _covered_db(
        self, network: nn.Module, scenes: LatentScenes, remembered: LatentScenes
    ) -> Iterator[tuple[float, float]]:
        """PSNR on covered cells after decoding, at each gap, from first views that are ``remembered`` in another
        way."""
        for index in range(len(scenes)):
            scene, images = scenes.scene(index), scenes.store.scene(index).rgb.float() / 255
            memory = remember(remembered.scene(index), [0])
            for view, gap_m in enumerate(EVALUATION_GAPS_M, start=1):
                recalls = [recall(memory, scene.cameras[view])]
                features, covered = read_batch(network, recalls, self.device)  # type: ignore[arg-type]
                cells = avg_pool2d(covered.float()[:, None], self.network.config.samples)[:, 0] > 0.99
                truth = images[view : view + 1].to(self.device)
                yield gap_m, float(covered_psnr_db(self._decode(features), truth, cells))

    def _decode(self, latents: Tensor) -> Tensor:
        with native_precision(self.device):
            return self.autoencoder.decoder(latents.contiguous(memory_format=torch.channels_last)).clamp(0, 1)
