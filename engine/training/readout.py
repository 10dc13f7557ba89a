"""Training the readout network on latents alone: some views of a scene, resampled for another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from engine.models.embedded.blocks import channels_last
from engine.models.embedded.config import READOUT
from engine.models.embedded.readout import ReadoutNetwork
from engine.models.embedded.weights import load_network, load_tensors
from engine.training.config import ReadoutTraining
from engine.training.curves import write_sheet
from engine.training.losses import covered_psnr_db, picture_metric
from engine.training.precision import native_precision
from engine.training.recall import (
    LatentScene,
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
from engine.training.scenes import EVALUATION_GAPS_M, SAMPLES, STRIDE, SceneStore

DETAIL_LOG2 = (-0.3, 0.6)
"""Octaves of magnification at which a memory in training changes from a token to its finer ones."""
SMALL = 0.03
"""Errors of a cell, in latents, that are no longer told apart."""
PLAIN = 0.2
"""Of what only shifts pictures, so much is of one colour, seen from anywhere: that stays what it is."""
METRIC_VIEWS = 8
"""Views on which it is measured what an error of a latent does to the picture."""


def go_on_from(network: ReadoutNetwork, path: Path) -> None:
    """Fill a network that is to learn; one from before kernels tells all but these, which add nothing yet.

    Raises:
        ModelError: as for :func:`engine.models.embedded.weights.load_network`.
    """
    before = ReadoutNetwork(replace(network.config, kernels=0)).state_dict()
    if set(load_tensors(path)) != set(before):
        load_network(network, path)
        return
    tensors = load_tensors(path, {name: tuple(value.shape) for name, value in before.items()})
    convolved, own = tensors.pop("cells.0.weight"), network.state_dict()
    own["cells.0.weight"].zero_()[:, : convolved.shape[1]] = convolved
    network.load_state_dict(own | tensors)


def _change(generator: torch.Generator) -> float:
    """One of :data:`DETAIL_LOG2`."""
    low, high = DETAIL_LOG2
    return low + (high - low) * float(torch.rand((), generator=generator))


class ReadoutStage:
    """Error to the true latents of the target, where the memory covers it; half of it counts as it does in the decoded
    picture.

    Not squared: what comes into view from behind things cannot be known, and its errors, a hundred times those of what
    is only resampled, would be all that is learned from. It is told as the median of what could be, not the mean.
    """

    adversary = None

    def __init__(self, config: ReadoutTraining) -> None:
        self.config = config
        self.score = "scaled_3m_db" if config.fine else "learned_3m_db"
        self.device = torch.device(config.loop.device)
        torch.manual_seed(config.loop.seed)
        self.network = channels_last(ReadoutNetwork(READOUT), self.device)
        if config.start_from:
            go_on_from(self.network, Path(config.start_from))
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
        amount = weight.sum().clamp(min=1.0)
        counts = (error * torch.einsum("ij,bjhw->bihw", self.metric, error)).mean(dim=1, keepdim=True).clamp(min=0.0)
        loss = ((counts + SMALL**2).sqrt() * weight).sum() / amount
        return loss, {"train_mse": float((error.detach().square().mean(dim=1, keepdim=True) * weight).sum() / amount)}

    def example(self, generator: torch.Generator) -> tuple[Recall, Tensor]:
        """What a random memory shows of a random view, and the view's true latents (C, h, w)."""
        if self.rooms is not None and float(torch.rand((), generator=generator)) < self.config.room_share:
            view, other = self.rooms.view(generator)
            return recall(other, view.cameras[0]), view.latents[0]
        scaled = self.fine is not None and float(torch.rand((), generator=generator)) < self.config.fine_share
        scenes = self.fine if self.fine is not None and scaled else self.scenes
        index = int(torch.randint(len(scenes), (), generator=generator))
        scene = seen = scenes.scene(index)
        if float(torch.rand((), generator=generator)) < self.config.shifted:
            return self._shifted(scenes, index, generator)
        if float(torch.rand((), generator=generator)) < self.config.rolled:
            seen = scenes.rolled(int(torch.randint(1, 4, (), generator=generator))).scene(index)
        sources, target = choose_views(len(scene.cameras), self.config.max_sources, generator)
        if scaled:
            memory = remember(seen, sources, detail_log2=_change(generator))
        else:
            noise = self.config.latent_noise * float(torch.rand((), generator=generator))
            latents = seen.latents[sources]
            memory = remember(seen, sources, latents + noise * torch.randn(latents.shape, generator=generator))
        return recall(memory, scene.cameras[target]), scene.latents[target]

    def _shifted(self, scenes: LatentScenes, index: int, generator: torch.Generator) -> tuple[Recall, Tensor]:
        """As :meth:`example`: a view seen from where it was given, by pixels aside."""
        scene = scenes.scene(index)
        if float(torch.rand((), generator=generator)) < PLAIN:
            return self._plain(scene, generator)
        view, pixels = int(torch.randint(len(scene.cameras), (), generator=generator)), STRIDE * STRIDE
        down, right = divmod(int(torch.randint(1, pixels, (), generator=generator)), STRIDE)
        camera, latents = scenes.shifted(index, view, right, down)
        asked = torch.zeros(latents.shape[-2] * SAMPLES, latents.shape[-1] * SAMPLES, dtype=torch.bool)
        asked[:-SAMPLES, :-SAMPLES] = True
        return recall(remember(scene, [view], detail_log2=_change(generator)), camera, asked), latents

    def _plain(self, scene: LatentScene, generator: torch.Generator) -> tuple[Recall, Tensor]:
        """As :meth:`example`: any view of a scene that is of one colour."""
        colour = torch.rand(1, 3, 1, 1, generator=generator).expand(-1, -1, 8 * STRIDE, 8 * STRIDE)
        with torch.no_grad(), native_precision(self.device):
            plain = self.autoencoder.encoder(colour.to(self.device).contiguous(memory_format=torch.channels_last))
        token = plain[0, :, 4, 4].float().cpu()
        sources, target = choose_views(len(scene.cameras), self.config.max_sources, generator)
        seen = recall(remember(scene, sources, detail_log2=_change(generator)), scene.cameras[target])
        same = replace(seen, neighbourhood=token * seen.valid[..., None])
        return same, token[:, None, None].expand_as(scene.latents[target]).contiguous()

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
