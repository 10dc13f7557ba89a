"""Latents of a picture's mirror image, from those of the picture."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from engine.models.embedded.blocks import zero_


class MirrorNetwork(nn.Module):
    """Three convolutions beside a linear one. Latents that are turned over decode to 25 dB of the picture turned over,
    for the autoencoder knows left from right; through this to 44.

    Args:
        channels: of a latent. width: of what lies in between.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Conv2d(channels, channels, 5, padding=2, bias=False)
        nn.init.dirac_(self.linear.weight)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.SiLU(),
            zero_(nn.Conv2d(width, channels, 3, padding=1)),
        )

    @classmethod
    def like(cls, tensors: Mapping[str, Tensor]) -> MirrorNetwork:
        """One of the size of stored parameters, which are not loaded.

        Raises:
            KeyError: they are of another network.
        """
        width, channels = tensors["layers.0.weight"].shape[:2]
        return cls(channels, width)

    def forward(self, latents: Tensor) -> Tensor:
        """Normalised latents (B, C, h, w) of a picture -> those of its mirror image, float32."""
        turned = latents.flip(-1).contiguous(memory_format=torch.channels_last)
        return (self.linear(turned) + self.layers(turned)).float()
