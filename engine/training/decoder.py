"""Training the decoder of an exported model alone, on what it will be given: latents that the model made of memories.

It learns to draw them at twice the size too, and a critic that sees both pictures keeps them sharp. The encoder, and
with it the meaning of every latent, stays as it is.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pixel_shuffle, pixel_unshuffle

from engine.models.embedded.autoencoder import Autoencoder, Decoder
from engine.models.embedded.blocks import channels_last
from engine.models.embedded.config import EmbeddedConfig
from engine.models.embedded.weights import CONFIG_NAME, load_network, weight_path
from engine.training.adversarial import Adversary, TextureCritic
from engine.training.config import DecoderTraining
from engine.training.curves import write_sheet
from engine.training.decoder_crops import CropSource
from engine.training.losses import (
    cells_to_pixels,
    covered_psnr_db,
    grid_loss,
    psnr_db,
    reconstruction_loss,
    sharpness_ratio,
    texture_loss,
)
from engine.training.scenes import STRIDE

CRITIC_WIDTHS = (96, 128, 192)
CRITIC_PROBE = 0.01
CRITIC_FROM = 0.2
"""The critic comes in at this share of the training."""
FOLD = 4
"""Pixels of the plain picture that the critic folds into channels."""
SHARP_IS_WORTH_DB = 10.0
"""In the score, drawing the true view as sharply as it is weighs as much as so many dB of faithfulness."""
EVALUATED_VIEW = 2
"""The evaluation view three metres on."""


class DecoderStage:
    """Reconstruction of true and of generated views with the encoder frozen, under a critic."""

    score = "balance_db"

    def __init__(self, config: DecoderTraining) -> None:
        self.config = config
        self.device = torch.device(config.loop.device)
        torch.manual_seed(config.loop.seed)
        folder = Path(config.model)
        sizes = EmbeddedConfig.read(folder / CONFIG_NAME).autoencoder
        self.network = channels_last(Autoencoder(sizes), self.device)
        load_network(self.network, weight_path(folder, "autoencoder"))
        self.network.encoder.requires_grad_(False)
        if config.fine_only:
            self.network.decoder.layers.requires_grad_(False)
        self.source = CropSource(config, self.network)
        self.scale = self.network.config.fine_scale
        self.adversary: Adversary | None = None
        if config.adversarial:
            critic = TextureCritic((FOLD, FOLD * self.scale), CRITIC_WIDTHS)
            self.adversary = Adversary(critic, self.device, config.adversarial, CRITIC_PROBE)

    def loss(self, generator: torch.Generator, progress: float) -> tuple[Tensor, dict[str, float]]:
        """One batch of crops at both sizes."""
        config = self.config
        crops = self.source.draw(generator)
        latents = crops.latents.contiguous(memory_format=torch.channels_last)
        drawn = self._fold(*self.network.decoder.both(latents))
        true = self._fold(crops.rgb, crops.fine)
        loss = drawn.new_zeros(())
        for (made, truth), weight, stride in zip(
            zip(self._unfold(drawn), (crops.rgb, crops.fine), strict=True),
            (1.0, config.fine_weight),
            (STRIDE, STRIDE * self.scale),
            strict=True,
        ):
            mask = cells_to_pixels(crops.known, stride)
            faith = reconstruction_loss(made * mask, truth * mask, config.gradient_weight, config.mse_weight)
            texture = config.texture_weight * texture_loss(made, truth, mask)
            grid = config.grid_weight * grid_loss(made * mask, truth * mask, STRIDE)
            loss = loss + weight * (faith + texture + grid)
        figures = {"loss_db": float(psnr_db(self._unfold(drawn.detach())[0], crops.rgb).mean())}
        if self.adversary is not None and progress >= CRITIC_FROM:
            loss, told = self.adversary.join(loss, drawn, true, progress - CRITIC_FROM)
            figures |= told
        return loss, figures

    def _fold(self, rgb: Tensor, fine: Tensor) -> Tensor:
        """Both pictures on one grid: (B, 3, H, W) and (B, 3, sH, sW) -> (B, channels, H / FOLD, W / FOLD)."""
        return torch.cat([pixel_unshuffle(rgb, FOLD), pixel_unshuffle(fine, FOLD * self.scale)], dim=1)

    def _unfold(self, folded: Tensor) -> tuple[Tensor, Tensor]:
        plain = 3 * FOLD**2
        return pixel_shuffle(folded[:, :plain], FOLD), pixel_shuffle(folded[:, plain:], FOLD * self.scale)

    def evaluate(self, network: nn.Module, sheet: Path) -> dict[str, float]:
        """On evaluation frames: PSNR and sharpness of true views decoded at both sizes, and on covered cells of views
        generated three metres on. ``enlarged_db`` is what smooth enlarging of the true plain picture would reach,
        ``grid`` how far pixels are off with the grid of features, in grey levels."""
        decoder = network.get_submodule("decoder")
        assert isinstance(decoder, Decoder)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.loop.amp):
            return self._evaluate(decoder, sheet)

    def _evaluate(self, decoder: Decoder, sheet: Path) -> dict[str, float]:
        scenes, fine_scenes = self.source.imagination.eval_scenes, self.source.eval_fine
        generator = torch.Generator().manual_seed(0)
        figures: dict[str, list[float]] = {}
        columns: list[list[Tensor]] = [[], [], []]
        for index in range(len(fine_scenes)):
            scene, view = scenes.scene(index), slice(EVALUATED_VIEW, EVALUATED_VIEW + 1)
            rgb = scenes.store.scene(index).rgb[view].to(self.device).float() / 255
            fine = fine_scenes.scene(index).rgb[view].to(self.device).float() / 255
            made, known = self.source.generate(scene, [0], EVALUATED_VIEW, 1, generator)
            everywhere = torch.ones_like(known)
            plain, drawn = self._draw(decoder, scene.latents[view].to(self.device))
            found = {
                "psnr_db": psnr_db(plain, rgb),
                "sharpness": sharpness_ratio(plain, rgb, everywhere),
                "fine_db": psnr_db(drawn, fine),
                "grid": _grid(plain, rgb),
                "fine_grid": _grid(drawn, fine),
                "fine_sharpness": sharpness_ratio(drawn, fine, everywhere),
                "enlarged_db": psnr_db(
                    interpolate(rgb, scale_factor=self.scale, mode="bicubic", align_corners=False), fine
                ),
            }
            plain, drawn = self._draw(decoder, made)
            found |= {
                "covered_3m_db": covered_psnr_db(plain, rgb, known),
                "covered_3m_sharpness": sharpness_ratio(plain, rgb, known),
                "covered_3m_fine_db": covered_psnr_db(drawn, fine, known),
                "covered_3m_fine_sharpness": sharpness_ratio(drawn, fine, known),
            }
            for name, value in found.items():
                figures.setdefault(name, []).append(float(value))
            if index < 5:
                shown = interpolate(plain, scale_factor=self.scale, mode="bicubic", align_corners=False)
                for column, image in zip(columns, (shown, drawn, fine), strict=True):
                    column.append(image)
        write_sheet([torch.cat(column) for column in columns], sheet)
        means = {name: sum(values) / len(values) for name, values in figures.items()}
        sharp = sum(1.0 - abs(1.0 - means[which]) for which in ("sharpness", "fine_sharpness")) / 2
        faithful = (means["covered_3m_db"] + means["covered_3m_fine_db"]) / 2
        return means | {"balance_db": faithful + SHARP_IS_WORTH_DB * sharp}

    def _draw(self, decoder: Decoder, latents: Tensor) -> tuple[Tensor, Tensor]:
        rgb, fine = decoder.both(latents.contiguous(memory_format=torch.channels_last))
        return rgb.clamp(0, 1), fine.clamp(0, 1)


def _grid(made: Tensor, true: Tensor) -> Tensor:
    return 255.0 * grid_loss(made, true, STRIDE).sqrt()
