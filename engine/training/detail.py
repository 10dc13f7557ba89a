"""Training the detail network, under a critic of pixels: crops of imagined views that look like crops of the world."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, l1_loss, pixel_shuffle, pixel_unshuffle

from engine.memory import LatentMemory
from engine.models.embedded import EmbeddedModel
from engine.models.embedded.blocks import channels_last
from engine.models.embedded.condition import known_share, magnification
from engine.models.embedded.config import DetailConfig
from engine.models.embedded.detail import DetailNetwork
from engine.models.embedded.weights import load_network, weight_path
from engine.training.adversarial import Adversary, TextureCritic
from engine.training.config import DenoiserTraining, DetailTraining
from engine.training.curves import write_sheet
from engine.training.examples import ExampleSource
from engine.training.losses import (
    cells_to_pixels,
    covered_psnr_db,
    feature_texture_loss,
    sharpness_ratio,
    texture_loss,
)
from engine.training.recall import LatentScene, LatentScenes, remember
from engine.training.scenes import EVALUATION_GAPS_M, STRIDE, SceneStore
from engine.worlds import BIOMES

FOLD = 4
"""Pixels that the critic folds into channels."""
CRITIC_WIDTHS = (64, 96, 160)
CRITIC_PROBE = 0.01
UNKNOWN_TEXTURE, KNOWN_CRITIC = 0.3, 0.6
"""How much the energy of texture weighs where nothing is known, and the critic where all is."""
EMPTY = 0.03
"""Share of the views with true memories whose memory is empty."""
TWO_STEPS = 0.25
"""Share of views that are imagined in two steps instead of one."""
SEEDS = 1 << 20
SHARP_IS_WORTH_DB = 10.0
"""In the score, being as sharp as the true world weighs as much as so many dB of faithfulness to memory."""
SHOWN = 7
"""Evaluation scenes on the sheet."""


@dataclass(frozen=True)
class Unfinished:
    """Views, or crops of them, as the denoiser leaves them.

    Attributes:
        state: (B, C + s*s, h, w). condition: (B, condition_channels, h, w). noise: (B, noise_channels, h, w).
        soft: (B, 3, H, W) uint8, the state decoded as it is. rgb: the same of what is truly there.
    """

    state: Tensor
    condition: Tensor
    noise: Tensor
    soft: Tensor
    rgb: Tensor

    def crop(self, top: int, left: int, side: int) -> Unfinished:
        """A square of ``side`` cells."""
        cells = (..., slice(top, top + side), slice(left, left + side))
        pixels = (..., slice(top * STRIDE, (top + side) * STRIDE), slice(left * STRIDE, (left + side) * STRIDE))
        return Unfinished(
            self.state[cells], self.condition[cells], self.noise[cells], self.soft[pixels], self.rgb[pixels]
        )


class DetailStage:
    """Texture for what was imagined: faithful where the memory knows, like the world everywhere."""

    score = "balance_db"

    def __init__(self, config: DetailTraining) -> None:
        self.config = config
        self.device = torch.device(config.loop.device)
        self.model = EmbeddedModel.load(config.model, self.device)
        encoder = weight_path(Path(config.model), "autoencoder")
        self.scenes, self.eval_scenes = (
            LatentScenes(SceneStore(config.scenes.folder, evaluation), self.model.autoencoder, encoder, self.device)
            for evaluation in (False, True)
        )
        self.mean, self.std = (
            torch.tensor(values, device=self.device)[:, None, None]
            for values in (self.model.config.latents_mean, self.model.config.latents_std)
        )
        self.source = ExampleSource(
            DenoiserTraining(loop=config.loop, max_sources=config.max_sources, empty=EMPTY, self_memory=0.0),
            self.scenes,
            self.model.readout_network,
            self.mean,
            self.std,
        )
        torch.manual_seed(config.loop.seed)
        sizes = self.model.config.detail or DetailConfig()
        self.network = channels_last(DetailNetwork(sizes, self.model.config.denoiser), self.device)
        if config.start_from:
            load_network(self.network, Path(config.start_from))
        self.source.detail = self.network
        self.adversary: Adversary | None = None
        if config.adversarial:
            critic = TextureCritic(FOLD, CRITIC_WIDTHS)
            self.adversary = Adversary(critic, self.device, config.adversarial, CRITIC_PROBE)
        self.pool: list[Unfinished] = []
        self.steps = 0

    def loss(self, generator: torch.Generator, progress: float) -> tuple[Tensor, dict[str, float]]:
        """One batch of crops."""
        crops = self._draw(generator)
        true, soft = crops.rgb.float() / 255, crops.soft.float() / 255
        drawn = pixel_unshuffle(self._decode(self.network(crops.state, crops.condition, crops.noise)).float(), FOLD)
        made = pixel_shuffle(drawn, FOLD)
        known = known_share(crops.condition, self.network.channels)
        magnified = magnification(crops.condition).clamp(min=0.0)
        # What came near has detail that nobody told: there the truth is one possibility of many.
        faith = cells_to_pixels(known[:, 0] > 0.99) * interpolate(torch.exp2(-2.0 * magnified), scale_factor=STRIDE)
        unfaithful = ((made - true).abs() * faith).mean()
        recoloured = l1_loss(avg_pool2d(made, STRIDE), avg_pool2d(soft, STRIDE))
        # Where nothing is known, energy alone would be answered with noise: there the critic has the say.
        pixels_known = interpolate(known, scale_factor=STRIDE)
        weight = torch.lerp(known.new_tensor(UNKNOWN_TEXTURE), known.new_tensor(1.0), pixels_known)
        texture = texture_loss(made, true, weight)
        if self.config.feature_weight:
            with torch.no_grad():
                seen = self._features(true)
            texture = texture + self.config.feature_weight * feature_texture_loss(self._features(made), seen, weight)
        loss = unfaithful + recoloured + self.config.texture_weight * texture
        figures = {"unfaithful": unfaithful, "recoloured": recoloured, "texture": texture}
        logs = {name: float(value.detach()) for name, value in figures.items()}
        since = progress - self.config.adversarial_from
        if self.adversary is not None and since >= 0.0:
            where = torch.lerp(known.new_tensor(1.0), known.new_tensor(KNOWN_CRITIC), known)
            where = interpolate(where, scale_factor=STRIDE // FOLD)
            loss, told = self.adversary.join(loss, drawn, pixel_unshuffle(true, FOLD), since, where=where)
            logs |= told
        return loss, logs

    def _features(self, rgb: Tensor) -> list[Tensor]:
        """What the model's own encoder sees in pictures (B, 3, H, W)."""
        pictures = rgb.to(self.model.dtype).contiguous(memory_format=torch.channels_last)
        return self.model.autoencoder.encoder.features(pictures)

    def _draw(self, generator: torch.Generator) -> Unfinished:
        """Crops from the pool, (batch, ...), which is renewed little by little."""
        config = self.config
        due = self.steps % config.renew_steps == 0
        self.steps += 1
        for _ in range(max(int(due), config.first_views - len(self.pool))):
            view = self._view(generator)
            if len(self.pool) < config.pool:
                self.pool.append(view)
            else:
                self.pool[int(torch.randint(config.pool, (), generator=generator))] = view
        crops = []
        for _ in range(config.loop.batch):
            view = self.pool[int(torch.randint(len(self.pool), (), generator=generator))]
            rows, columns = view.state.shape[-2:]
            side = min(config.crop_cells, rows, columns)
            top = int(torch.randint(rows - side + 1, (), generator=generator))
            left = int(torch.randint(columns - side + 1, (), generator=generator))
            crops.append(view.crop(top, left, side))
        return Unfinished(
            *(
                torch.cat([getattr(c, name) for c in crops]).contiguous(memory_format=torch.channels_last)
                for name in ("state", "condition", "noise", "soft", "rgb")
            )
        )

    @torch.no_grad()
    def _view(self, generator: torch.Generator) -> Unfinished:
        if float(torch.rand((), generator=generator)) < self.config.own_memory:
            view = self.source.flown(generator, self.model.denoiser)
        else:
            view = self.source.view(generator, 1.0, self.model.denoiser)
        steps = 1 + int(torch.rand((), generator=generator) < TWO_STEPS)
        state = self.source.imagine_state(self.model.denoiser, view.condition, view.biome, steps, generator)
        rgb = self.scenes.store.crops(view.index, [view.target], [(0, 0, *view.camera.size)])
        seed = int(torch.randint(SEEDS, (), generator=generator))
        noise = self.network.noise(state, [view.camera], seed)
        return Unfinished(state, view.condition, noise, self._as_bytes(self._decode(state)), rgb.to(self.device))

    def evaluate(self, network: nn.Module, sheet: Path) -> dict[str, float]:
        """Views at each gap from one true view, and the last once more after a walk there (``walked``), before
        (``soft_``) and after: PSNR and sharpness of remembered cells, sharpness of invented ones and of all; the sheet
        shows before, after and truth."""
        assert isinstance(network, DetailNetwork)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.loop.amp):
            return self._evaluate(network, sheet)

    def _evaluate(self, network: DetailNetwork, sheet: Path) -> dict[str, float]:
        figures: dict[str, list[float]] = {}
        columns: list[list[Tensor]] = [[], [], []]
        last = len(EVALUATION_GAPS_M)
        for index in range(len(self.eval_scenes)):
            scene = self.eval_scenes.scene(index)
            images = self.eval_scenes.store.scene(index).rgb.to(self.device).float() / 255
            seen = remember(scene, [0])
            for view, gap_m in enumerate(EVALUATION_GAPS_M, start=1):
                truth, shown = images[view : view + 1], index < SHOWN and view == 1 + index % last
                for column, (name, detail) in enumerate((("soft_", None), ("", network))):
                    picture, coverage = self._imagined(scene, view, seen, detail, index)
                    known, holes, everywhere = coverage > 0.99, coverage < 0.01, coverage >= 0.0
                    found = {
                        "covered_db": covered_psnr_db(picture, truth, known),
                        "covered_sharpness": sharpness_ratio(picture, truth, known),
                        "whole_sharpness": sharpness_ratio(picture, truth, everywhere),
                    }
                    if int(holes.sum()) > 50:
                        found["invented_sharpness"] = sharpness_ratio(picture, truth, holes)
                    if view == last:
                        walked, _ = self._imagined(scene, view, self._walked(scene, detail, index), detail, index)
                        found["walked_sharpness"] = sharpness_ratio(walked, truth, everywhere)
                    for key, value in found.items():
                        what, unit = key.rsplit("_", 1)
                        figures.setdefault(f"{name}{what}_{gap_m:g}m_{unit}", []).append(float(value))
                    if shown:
                        columns[column].append(picture)
                if shown:
                    columns[2].append(truth)
        write_sheet([torch.cat(column) for column in columns], sheet)
        means = {name: sum(values) / len(values) for name, values in figures.items()}
        sharp = 1.0 - abs(1.0 - means["whole_3m_sharpness"])
        return means | {"balance_db": means["covered_3m_db"] + SHARP_IS_WORTH_DB * sharp}

    def _imagined(
        self, scene: LatentScene, view: int, memory: LatentMemory, detail: DetailNetwork | None, seed: int
    ) -> tuple[Tensor, Tensor]:
        """A view as a memory lets it be imagined, (1, 3, H, W) in [0, 1], and the memory's share of it, (1, h, w)."""
        condition = self.source.condition(memory, scene.cameras[view])
        generator = torch.Generator().manual_seed(seed)
        biome = 1 + BIOMES.index(scene.biome)
        state = self.source.imagine_state(self.model.denoiser, condition, biome, 1, generator)
        if detail is not None:
            state = detail.finish(state, condition, [scene.cameras[view]], seed)
        return self._decode(state).float().clamp(0, 1), known_share(condition, self.network.channels)[:, 0]

    def _walked(self, scene: LatentScene, detail: DetailNetwork | None, seed: int) -> LatentMemory:
        """A memory of the first view and of all but the last as they were imagined on the way."""
        generator = torch.Generator().manual_seed(seed)
        memory, biome = remember(scene, [0]), 1 + BIOMES.index(scene.biome)
        self.source.detail = detail
        for view in range(1, len(EVALUATION_GAPS_M)):
            self.source.imagine_into(memory, scene.cameras[view], biome, generator, self.model.denoiser)
        self.source.detail = self.network
        return memory

    @staticmethod
    def _as_bytes(rgb: Tensor) -> Tensor:
        return (rgb.float().clamp(0, 1) * 255 + 0.5).to(torch.uint8)

    def _decode(self, state: Tensor) -> Tensor:
        """(B, C + s*s, h, w) -> rgb (B, 3, 8h, 8w), not clamped."""
        latents = state[:, : self.network.channels] * self.std + self.mean
        rgb: Tensor = self.model.autoencoder.decoder(
            latents.to(self.model.dtype).contiguous(memory_format=torch.channels_last)
        )
        return rgb
