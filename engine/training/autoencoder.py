"""Training the autoencoder on crops of rendered frames."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from engine.models.embedded.autoencoder import Autoencoder
from engine.models.embedded.blocks import channels_last
from engine.models.embedded.config import AutoencoderConfig
from engine.models.embedded.weights import load_network
from engine.training.adversarial import Adversary
from engine.training.config import AutoencoderTraining
from engine.training.curves import write_sheet
from engine.training.losses import psnr_db, reconstruction_loss, sharpness_ratio
from engine.training.patterns import pattern_pool
from engine.training.precision import mixed_precision
from engine.training.scenes import SceneStore

CROPS_PER_SCENE = 4
PATTERNS = 256


def recolour(rgb: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Shuffle and stretch the colours of a share of the images, so that the latent space covers more than the worlds'
    palettes.

    rgb (B, 3, H, W) in [0, 1] -> the same shape.
    """
    out = rgb.clone()
    for index in torch.nonzero(torch.rand(len(rgb), generator=generator) < share)[:, 0].tolist():
        image = rgb[index][torch.randperm(3, generator=generator)]
        gain = 0.6 + 0.8 * torch.rand(3, 1, 1, generator=generator).to(rgb.device)
        image = (image * gain).clamp(0, 1)
        out[index] = 1 - image if torch.rand((), generator=generator) < 0.3 else image
    return out


class AutoencoderStage:
    """Reconstruction with a little noise on the latents."""

    score = "psnr_db"
    adversary: Adversary | None = None

    def __init__(self, config: AutoencoderTraining) -> None:
        self.config = config
        self.device = torch.device(config.loop.device)
        torch.manual_seed(config.loop.seed)
        self.network = channels_last(Autoencoder(AutoencoderConfig()), self.device)
        if config.start_from:
            load_network(self.network, Path(config.start_from))
        self.train_scenes = SceneStore(config.scenes.folder)
        self.eval_scenes = SceneStore(config.scenes.folder, evaluation=True)
        self.train_scenes.require()
        pool = PATTERNS if config.patterns else 0
        self.patterns = pattern_pool(pool, 2 * max(config.crop_height, config.crop_width), config.loop.seed)
        self._batches = 0

    def loss(self, generator: torch.Generator, progress: float) -> tuple[Tensor, dict[str, float]]:
        """One batch of random crops."""
        rgb = self.batch(generator)
        config = self.config
        reconstruction = self.network(rgb, config.latent_noise)
        loss = reconstruction_loss(reconstruction, rgb, config.gradient_weight, config.mse_weight)
        return loss, {"train_psnr_db": float(psnr_db(reconstruction.detach(), rgb).mean())}

    def batch(self, generator: torch.Generator) -> Tensor:
        """(batch, 3, crop_height, crop_width) float in [0, 1]."""
        self._batches += 1
        if self._batches % 100 == 0:
            self.train_scenes.refresh()
        config = self.config
        crops: list[Tensor] = []
        while CROPS_PER_SCENE * len(crops) < config.loop.batch:
            scene = int(torch.randint(len(self.train_scenes), (), generator=generator))
            views = torch.randint(config.scenes.views, (CROPS_PER_SCENE,), generator=generator).tolist()
            top = torch.randint(
                config.scenes.height - config.crop_height + 1, (CROPS_PER_SCENE,), generator=generator
            ).tolist()
            left = torch.randint(
                config.scenes.width - config.crop_width + 1, (CROPS_PER_SCENE,), generator=generator
            ).tolist()
            boxes = [(t, x, config.crop_height, config.crop_width) for t, x in zip(top, left, strict=True)]
            crops.append(self.train_scenes.crops(scene, views, boxes))
        rgb = torch.cat(crops)[: config.loop.batch].float() / 255
        flip = torch.rand(len(rgb), generator=generator) < 0.5
        rgb[flip] = rgb[flip].flip(-1)
        rgb = recolour(rgb, config.recolour, generator)
        for index in range(round(config.patterns * config.loop.batch)):
            rgb[index] = self._pattern(generator)
        return rgb.to(self.device).contiguous(memory_format=torch.channels_last)

    def _pattern(self, generator: torch.Generator) -> Tensor:
        """(3, crop_height, crop_width) of a picture of dead leaves."""
        height, width = self.config.crop_height, self.config.crop_width
        picture = self.patterns[int(torch.randint(len(self.patterns), (), generator=generator))]
        top = int(torch.randint(picture.shape[1] - height + 1, (), generator=generator))
        left = int(torch.randint(picture.shape[2] - width + 1, (), generator=generator))
        return picture[:, top : top + height, left : left + width].float() / 255

    def evaluate(self, network: nn.Module, sheet: Path) -> dict[str, float]:
        """PSNR on whole evaluation frames; the sheet shows truth and reconstruction."""
        self.eval_scenes.refresh()
        scenes = self.eval_scenes if len(self.eval_scenes) else self.train_scenes
        figures, sharpness, truths, outputs = [], [], [], []
        for index in range(min(len(scenes), 16)):
            rgb = (scenes.scene(index).rgb[::4].float() / 255).to(self.device)
            with mixed_precision(self.config.loop, self.device):
                output = network(rgb.contiguous(memory_format=torch.channels_last)).clamp(0, 1)
            figures.append(psnr_db(output, rgb))
            everywhere = torch.ones(len(rgb), rgb.shape[-2] // 8, rgb.shape[-1] // 8, dtype=torch.bool)
            sharpness.append(float(sharpness_ratio(output, rgb, everywhere.to(self.device))))
            truths.append(rgb[:1])
            outputs.append(output[:1])
        write_sheet([torch.cat(truths[:6]), torch.cat(outputs[:6])], sheet)
        return {"psnr_db": float(torch.cat(figures).mean()), "sharpness": sum(sharpness) / len(sharpness)}
