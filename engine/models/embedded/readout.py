"""The learned readout: memory tokens resampled for a new view by a small network.

Copying a token into a cell (the paper's readout, section 3.2) throws away where inside the cell it sits. Here every
sample of the target grid knows which fraction of which source token it looks at, and how large that token appears;
the network turns the token's neighbourhood into what the autoencoder would have encoded there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from engine.models.embedded.blocks import zero_
from engine.models.embedded.config import ReadoutConfig

if TYPE_CHECKING:
    from engine.memory.readout import SampleMap

NEIGHBOURS = 9
CENTRE = 4


class ReadoutNetwork(nn.Module):
    """An MLP per sample on the 3x3 neighbourhood and the fractional position, then three convolutions per cell."""

    def __init__(self, config: ReadoutConfig) -> None:
        super().__init__()
        self.config = config
        positional = 2 + 4 * config.position_octaves
        inputs = NEIGHBOURS * config.latent_channels + NEIGHBOURS + positional + 2
        self.sample_mlp = nn.Sequential(
            nn.Linear(inputs, config.sample_hidden),
            nn.SiLU(),
            nn.Linear(config.sample_hidden, config.sample_width),
            nn.SiLU(),
        )
        folded = config.samples**2 * (config.sample_width + 1)
        self.cells = nn.Sequential(
            nn.Conv2d(folded, config.cell_width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(config.cell_width, config.cell_width, 3, padding=1),
            nn.SiLU(),
            zero_(nn.Conv2d(config.cell_width, config.latent_channels, 3, padding=1)),
        )

    def sample_inputs(
        self, neighbourhood: Tensor, valid: Tensor, uv: Tensor, log2_scale: Tensor, sky: Tensor
    ) -> Tensor:
        """Features of n samples.

        Args:
            neighbourhood: (n, 9, C) latents around the source token; absent neighbours are zero.
            valid: (n, 9) bool.
            uv: (n, 2) position inside the source token, token units from its centre.
            log2_scale: (n,) log2 of source footprint over target footprint.
            sky: (n,) bool.

        Returns:
            (n, inputs) float.
        """
        octaves = torch.pi * 2.0 ** torch.arange(self.config.position_octaves, device=uv.device, dtype=uv.dtype)
        angles = (uv[:, :, None] * octaves).flatten(1)
        return torch.cat(
            [
                neighbourhood.flatten(1),
                valid.to(uv.dtype),
                uv,
                angles.sin(),
                angles.cos(),
                log2_scale.clamp(-3.0, 3.0)[:, None],
                sky.to(uv.dtype)[:, None],
            ],
            dim=1,
        )

    def forward(self, samples: Tensor, base: Tensor, covered: Tensor) -> Tensor:
        """Resample a batch of views.

        Args:
            samples: (n, inputs) of all covered samples of the batch, row-major over (B, h*s, w*s).
            base: (n, C) centre tokens of those samples: what the nearest readout would copy.
            covered: (B, h*s, w*s) bool.

        Returns:
            (B, C, h, w) float32: the target tokens, zero in cells without a covered sample.
        """
        s = self.config.samples
        b, hs, ws = covered.shape
        hidden = self.sample_mlp(samples)
        canvas = hidden.new_zeros(b * hs * ws, hidden.shape[1] + 1)
        flat = covered.flatten()
        canvas[flat] = torch.cat([hidden, hidden.new_ones(len(hidden), 1)], dim=1)
        folded = nn.functional.pixel_unshuffle(canvas.view(b, hs, ws, -1).permute(0, 3, 1, 2), s)
        residual = self.cells(folded.contiguous(memory_format=torch.channels_last)).float()
        copied = base.new_zeros(b * hs * ws, base.shape[1], dtype=torch.float32)
        copied[flat] = base.float()
        share = covered.view(b, 1, hs, ws).float()
        weight = nn.functional.avg_pool2d(share, s)
        mean = nn.functional.avg_pool2d(copied.view(b, hs, ws, -1).permute(0, 3, 1, 2), s) / weight.clamp(min=1e-6)
        return (mean + residual) * (weight > 0)

    @torch.inference_mode()
    def read(self, samples: SampleMap, neighbourhood: Tensor, valid: Tensor) -> Tensor:
        """The target tokens of one view, for :class:`engine.memory.LatentMemory`.

        Args:
            samples: where each target sample looks; ``samples.token`` is (h*s, w*s) with -1 for none.
            neighbourhood: (n, 9, C) for the covered samples in row-major order.
            valid: (n, 9) bool.

        Returns:
            (C, h, w) float32.
        """
        parameter = next(self.parameters())
        covered = samples.token >= 0
        device, dtype = parameter.device, parameter.dtype
        inputs = self.sample_inputs(
            neighbourhood.to(device, torch.float32),
            valid.to(device),
            samples.uv.to(device)[:, covered].T.float(),
            samples.log2_scale.to(device)[covered].float(),
            samples.sky.to(device)[covered],
        )
        return self.forward(inputs.to(dtype), neighbourhood[:, CENTRE].to(device), covered[None].to(device))[0]
