"""A rectified-flow UNet that imagines latents and depth together, conditioned on what the memory knows.

Time runs from 0 (noise) to 1 (data): x_t = (1 - t) noise + t data. The network predicts the *data* as a residual on
the readout, so remembered cells start as a copy and training is spent on cleaning them and on inventing the rest; the
flow's velocity is (data - x_t) / (1 - t).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.models.embedded.blocks import ModulatedBlock, SelfAttention, sinusoid, zero_
from engine.models.embedded.config import DenoiserConfig


def _even(x: Tensor) -> Tensor:
    """``x (B, C, h, w)`` with its last row or column repeated where a side is odd, so that halving loses nothing."""
    odd_rows, odd_columns = x.shape[2] % 2, x.shape[3] % 2
    return nn.functional.pad(x, (0, odd_columns, 0, odd_rows), mode="replicate") if odd_rows or odd_columns else x


class Denoiser(nn.Module):
    """UNet with three levels; attention only on the coarsest."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.config = config
        w0, w1, w2 = config.widths
        e = config.embedding_width
        self.time_mlp = nn.Sequential(nn.Linear(64, e), nn.SiLU(), nn.Linear(e, e))
        self.biome = nn.Embedding(len(config.biomes) + 1, e)
        self.stem = nn.Conv2d(config.state_channels + config.condition_channels, w0, 3, padding=1)
        self.down0 = nn.ModuleList([ModulatedBlock(w0, w0, e), ModulatedBlock(w0, w0, e)])
        self.to1 = nn.Conv2d(w0, w1, 4, stride=2, padding=1)
        self.down1 = nn.ModuleList([ModulatedBlock(w1, w1, e), ModulatedBlock(w1, w1, e)])
        self.to2 = nn.Conv2d(w1, w2, 4, stride=2, padding=1)
        self.middle = nn.ModuleList([ModulatedBlock(w2, w2, e), ModulatedBlock(w2, w2, e)])
        self.attention = SelfAttention(w2, config.heads)
        self.from2 = nn.Conv2d(w2, w1 * 4, 1)
        self.up1 = nn.ModuleList([ModulatedBlock(2 * w1, w1, e), ModulatedBlock(w1, w1, e)])
        self.from1 = nn.Conv2d(w1, w0 * 4, 1)
        self.up0 = nn.ModuleList([ModulatedBlock(2 * w0, w0, e), ModulatedBlock(w0, w0, e)])
        self.head = nn.Sequential(
            nn.GroupNorm(16, w0), nn.SiLU(), zero_(nn.Conv2d(w0, config.state_channels, 3, padding=1))
        )

    def forward(self, noisy: Tensor, t: Tensor, condition: Tensor, biome: Tensor) -> Tensor:
        """Predict the data.

        Args:
            noisy: (B, C + s*s, h, w) state at time ``t``.
            t: (B,) in [0, 1).
            condition: (B, condition_channels, h, w), see :func:`engine.models.embedded.condition.build_condition`.
            biome: (B,) int64, 0 = unspecified.

        Returns:
            (B, C + s*s, h, w) float32: the state at t = 1.
        """
        embedding, skip0, skip1, x = self._encode(noisy, t, condition, biome)
        x = self._up(x, self.from2, skip1, self.up1, embedding)
        x = self._up(x, self.from1, skip0, self.up0, embedding)
        return self.head(x).float() + self._remembered(condition)

    def features(self, noisy: Tensor, t: Tensor, condition: Tensor, biome: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the network sees in a state, by scale: (B, width, h / n, w / n) for n = 1, 2, 4. Arguments as for
        :meth:`forward`."""
        return self._encode(noisy, t, condition, biome)[1:]

    def _encode(
        self, noisy: Tensor, t: Tensor, condition: Tensor, biome: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The way down: the embedding (B, E), and features of the three levels."""
        dtype = self.stem.weight.dtype
        embedding = nn.functional.silu(self.time_mlp(sinusoid(t, 64).to(dtype)) + self.biome(biome))
        x = torch.cat([noisy, condition], dim=1).to(dtype).contiguous(memory_format=torch.channels_last)
        x = self.stem(x)
        for block in self.down0:
            x = block(x, embedding)
        skip0 = x
        x = self.to1(_even(x))
        for block in self.down1:
            x = block(x, embedding)
        skip1 = x
        x = self.to2(_even(x))
        x = self.middle[0](x, embedding)
        x = self.attention(x)
        x = self.middle[1](x, embedding)
        return embedding, skip0, skip1, x

    @staticmethod
    def _up(x: Tensor, expand: nn.Module, skip: Tensor, blocks: nn.ModuleList, embedding: Tensor) -> Tensor:
        x = nn.functional.pixel_shuffle(expand(x), 2)[:, :, : skip.shape[2], : skip.shape[3]]
        x = torch.cat([x, skip], dim=1)
        for block in blocks:
            x = block(x, embedding)
        return x

    def _remembered(self, condition: Tensor) -> Tensor:
        """The part of the condition that is laid out like the state: readout latents and log-depths, zero where
        unknown."""
        c, d = self.config.latent_channels, self.config.samples**2
        return torch.cat([condition[:, :c], condition[:, c + 1 : c + 1 + d]], dim=1).float()
