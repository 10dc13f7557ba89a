"""Latents of a picture seen from twice as far, from those of the picture."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from engine.models.embedded.blocks import zero_


class HalvingNetwork(nn.Module):
    """Three convolutions beside a linear one, of which the first halve.

    Args:
        channels: of a latent. width: of what lies in between.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Conv2d(channels, channels, 4, stride=2, padding=1, bias=False)
        with torch.no_grad():  # the mean of four
            self.linear.weight.zero_()
            self.linear.weight[range(channels), range(channels), 1:3, 1:3] = 0.25
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 4, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.SiLU(),
            zero_(nn.Conv2d(width, channels, 3, padding=1)),
        )

    @classmethod
    def like(cls, tensors: Mapping[str, Tensor]) -> HalvingNetwork:
        """One of the size of stored parameters, which are not loaded.

        Raises:
            KeyError: they are of another network.
        """
        width, channels = tensors["layers.0.weight"].shape[:2]
        return cls(channels, width)

    def forward(self, latents: Tensor) -> Tensor:
        """Normalised latents (B, C, 2h, 2w) of a picture -> (B, C, h, w) of it at half the size, float32."""
        latents = latents.contiguous(memory_format=torch.channels_last)
        return (self.linear(latents) + self.layers(latents)).float()
