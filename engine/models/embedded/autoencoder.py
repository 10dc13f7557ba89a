"""Frames to latent tokens and back: f8, 16 channels, convolutional, no normalisation."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from engine.models.embedded.blocks import ResidualBlock, zero_
from engine.models.embedded.config import AutoencoderConfig


class Encoder(nn.Module):
    """rgb -> latents, bounded smoothly by ``latent_bound``."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.bound = config.latent_bound
        quarter, eighth = config.encoder_width_4, config.encoder_width_8
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, quarter, 3, padding=1),
            *(ResidualBlock(quarter) for _ in range(config.encoder_blocks_4)),
            nn.Conv2d(quarter, eighth, 4, stride=2, padding=1),
            *(ResidualBlock(eighth) for _ in range(config.encoder_blocks_8)),
            nn.SiLU(),
            nn.Conv2d(eighth, config.latent_channels, 3, padding=1),
        )

    def forward(self, rgb: Tensor) -> Tensor:
        """rgb (B, 3, H, W) in [0, 1] -> latents (B, C, H/8, W/8)."""
        return self.bound * torch.tanh(self.layers(rgb * 2 - 1).float() / self.bound)

    def features(self, rgb: Tensor) -> list[Tensor]:
        """What the encoder sees in a picture (B, 3, H, W): (B, width, H/4, W/4) and (B, width, H/8, W/8)."""
        seen, x = [], rgb * 2 - 1
        for layer, following in pairwise(self.layers):
            x = layer(x)
            if isinstance(layer, ResidualBlock) and not isinstance(following, ResidualBlock):
                seen.append(x)
        return seen


class Decoder(nn.Module):
    """latents -> rgb, and the same picture at ``fine_scale`` times the size from the same features."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        eighth, quarter = config.decoder_width_8, config.decoder_width_4
        self.scale = config.fine_scale
        self.fine = nn.Sequential(
            ResidualBlock(quarter),
            nn.SiLU(),
            zero_(nn.Conv2d(quarter, 48 * config.fine_scale**2, 3, padding=1)),
            nn.PixelShuffle(4 * config.fine_scale),
        )
        self.layers = nn.Sequential(
            nn.Conv2d(config.latent_channels, eighth, 3, padding=1),
            *(ResidualBlock(eighth) for _ in range(config.decoder_blocks_8)),
            nn.SiLU(),
            nn.Conv2d(eighth, quarter * 4, 1),
            nn.PixelShuffle(2),
            *(ResidualBlock(quarter) for _ in range(config.decoder_blocks_4)),
            nn.SiLU(),
            nn.Conv2d(quarter, 48, 3, padding=1),
            nn.PixelShuffle(4),
        )

    def forward(self, latents: Tensor) -> Tensor:
        """latents (B, C, h, w) -> rgb (B, 3, 8h, 8w), not clamped."""
        return self.layers(latents).float() * 0.5 + 0.5

    def both(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """latents (B, C, h, w) -> rgb as :meth:`forward` gives it, and fine (B, 3, 8h s, 8w s), s the fine scale: the
        picture enlarged smoothly, plus the detail that the features tell of."""
        features = self.layers[:-3](latents)
        rgb = self.layers[-3:](features).float() * 0.5 + 0.5
        # Planar: interpolating interleaved channels takes three times as long.
        planar = rgb.contiguous()
        enlarged = nn.functional.interpolate(planar, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return rgb, enlarged + self.fine(features).float()


class Autoencoder(nn.Module):
    """Encoder and decoder of one latent space."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def forward(self, rgb: Tensor, latent_noise: float = 0.0) -> Tensor:
        """rgb (B, 3, H, W) -> reconstruction (B, 3, H, W); noise on the latents teaches the decoder to forgive the
        denoiser."""
        latents = self.encoder(rgb)
        if latent_noise:
            latents = latents + latent_noise * torch.randn_like(latents)
        return self.decoder(latents)
