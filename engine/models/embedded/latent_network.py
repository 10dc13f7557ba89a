"""Networks that make latents of a changed picture from those of the picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from engine.models.embedded.blocks import zero_


class LatentNetwork(nn.Module):
    """Three convolutions beside a linear one. Before it has learned, it gives the mean of the cells that become one.

    Attributes:
        does: what, to latents. shrinks: how many cells a side become one.
        linear_size, first_size: cells a side that the linear and the first of the other convolutions look at.

    Args:
        channels: of a latent. width: of what lies in between.
    """

    does: ClassVar[str]
    shrinks: ClassVar[int] = 1
    linear_size: ClassVar[int]
    first_size: ClassVar[int]

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        n = self.shrinks
        edge = (self.linear_size - n) // 2
        self.linear = nn.Conv2d(channels, channels, self.linear_size, stride=n, padding=edge, bias=False)
        with torch.no_grad():
            own = range(channels)
            self.linear.weight.zero_()
            self.linear.weight[own, own, edge : edge + n, edge : edge + n] = 1.0 / n**2
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, self.first_size, stride=n, padding=(self.first_size - n) // 2),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.SiLU(),
            zero_(nn.Conv2d(width, channels, 3, padding=1)),
        )

    @classmethod
    def like(cls, tensors: Mapping[str, Tensor]) -> Self:
        """One of the size of stored parameters, which are not loaded.

        Raises:
            KeyError: they are of another network.
        """
        width, channels = tensors["layers.0.weight"].shape[:2]
        return cls(channels, width)

    def forward(self, latents: Tensor) -> Tensor:
        """Normalised latents (B, C, h, w) -> (B, C, h / n, w / n) float32; n cells a side become one."""
        latents = latents.contiguous(memory_format=torch.channels_last)
        return (self.linear(latents) + self.layers(latents)).float()


class MirrorNetwork(LatentNetwork):
    """Latents of a picture's mirror image. Latents that are turned over decode to 25 dB of the picture turned over, for
    the autoencoder knows left from right; through this to 44."""

    does = "mirrors"
    linear_size = 5
    first_size = 3

    def forward(self, latents: Tensor) -> Tensor:
        """Normalised latents (B, C, h, w) of a picture -> those of its mirror image, float32."""
        return super().forward(latents.flip(-1))


class HalvingNetwork(LatentNetwork):
    """Latents of a picture at half the size. Their means decode to 23 dB of it; through this to 41."""

    does = "halves"
    shrinks = 2
    linear_size = 4
    first_size = 4
