"""Training the decoder of an exported model alone, on what it will be given: latents that the model made of memories.

It learns to draw them at twice the size too, with the texture that pictures of either size have. The encoder, and with
it the meaning of every latent, stays as it is.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from engine.models.embedded.autoencoder import Autoencoder, Decoder
from engine.models.embedded.blocks import channels_last
from engine.models.embedded.config import EmbeddedConfig
from engine.models.embedded.weights import CONFIG_NAME, load_network, weight_path
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
from engine.training.precision import mixed_precision
from engine.training.scenes import STRIDE

SHARP_IS_WORTH_DB = 10.0
"""In the score, drawing the true view as sharply as it is weighs as much as so many dB of faithfulness."""
EVALUATED_VIEW = 2
"""The evaluation view three metres on."""


class DecoderStage:
    """Reconstruction of true and of generated views with the encoder frozen."""

    score = "balance_db"
    adversary = None

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

    def loss(self, generator: torch.Generator, progress: float) -> tuple[Tensor, dict[str, float]]:
        """One batch of crops at both sizes."""
        config = self.config
        crops = self.source.draw(generator)
        latents = crops.latents.contiguous(memory_format=torch.channels_last)
        plain, fine = self.network.decoder.both(latents)
        loss = plain.new_zeros(())
        for made, truth, weight, stride in (
            (plain, crops.rgb, 1.0, STRIDE),
            (fine, crops.fine, config.fine_weight, STRIDE * self.scale),
        ):
            mask = cells_to_pixels(crops.known, stride)
            faith = reconstruction_loss(made * mask, truth * mask, config.gradient_weight, config.mse_weight)
            texture = config.texture_weight * texture_loss(made, truth, mask)
            grid = config.grid_weight * grid_loss(made * mask, truth * mask, STRIDE)
            loss = loss + weight * (faith + texture + grid)
        return loss, {"loss_db": float(psnr_db(plain.detach(), crops.rgb).mean())}

    def evaluate(self, network: nn.Module, sheet: Path) -> dict[str, float]:
        """On evaluation frames: PSNR and sharpness of true views decoded at both sizes, and on covered cells of views
        generated three metres on. ``enlarged_db`` is what smooth enlarging of the true plain picture would reach,
        ``grid`` how far pixels are off with the grid of features, in grey levels."""
        decoder = network.get_submodule("decoder")
        assert isinstance(decoder, Decoder)
        with mixed_precision(self.config.loop, self.device):
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
