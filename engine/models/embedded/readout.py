"""The learned readout: memory tokens resampled for a new view by a small network.

Copying a token into a cell (the paper's readout, section 3.2) throws away where inside the cell it sits. Here every
sample of the target grid knows which fraction of which source token it looks at, how large, turned and stretched that
token appears, and which of its sides is meant; the network turns the token's neighbourhood into what the autoencoder
would have encoded there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from engine.memory.readout import NEIGHBOURS
from engine.models.embedded.blocks import zero_
from engine.models.embedded.config import ReadoutConfig
from engine.threads import inferred_apart

if TYPE_CHECKING:
    from engine.memory.readout import SampleMap

CENTRE = 4
AT_ONCE = 1024
"""Samples that a thread resamples at once, where threads do so apart."""
STRETCH = 4.0
"""Tokens count as stretched no more than so many times, beside their scale."""


class ReadoutNetwork(nn.Module):
    """Kernels and an MLP per sample on the 3x3 neighbourhood, then three convolutions per cell.

    To resample is to multiply what is there by a kernel that depends on where and how one looks. Latents are nearly
    linear in the picture: a linear map of 3x3 tokens shifts them by any part of a cell as sharply as the picture itself
    is shifted. So the geometry of a sample mixes such maps (steerable filters, Freeman and Adelson 1991, but learned);
    what the MLP makes of the tokens, gated by geometry as well, and the convolutions correct it where surfaces end. The
    maps are of how the tokens around differ from their centre: what is plain stays what it is, however it is seen.

    Attributes:
        apart: samples are resampled apart by threads, see :func:`engine.threads.inferred_apart`.
    """

    def __init__(self, config: ReadoutConfig) -> None:
        super().__init__()
        self.config = config
        self.apart = False
        self.geometry_width = 8 + config.samples**2 + 4 * config.position_octaves
        tokens = NEIGHBOURS * (config.latent_channels + 1)
        self.mix = nn.Linear(tokens + self.geometry_width, config.sample_hidden)
        opened = zero_(nn.Linear(config.gate_hidden, config.sample_hidden))
        nn.init.ones_(opened.bias)  # open, until it has learned otherwise
        self.gate = nn.Sequential(nn.Linear(self.geometry_width, config.gate_hidden), nn.SiLU(), opened)
        self.narrow = nn.Linear(config.sample_hidden, config.sample_width)
        folded = config.samples**2 * (config.sample_width + 1)
        if config.kernels:
            self.steer = nn.Sequential(
                nn.Linear(self.geometry_width, config.gate_hidden),
                nn.SiLU(),
                nn.Linear(config.gate_hidden, config.kernels),
            )
            around = (NEIGHBOURS - 1) * config.latent_channels
            self.kernels = zero_(nn.Linear(around, config.kernels * config.latent_channels, bias=False))
            folded += config.latent_channels
        self.cells = nn.Sequential(
            nn.Conv2d(folded, config.cell_width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(config.cell_width, config.cell_width, 3, padding=1),
            nn.SiLU(),
            zero_(nn.Conv2d(config.cell_width, config.latent_channels, 3, padding=1)),
        )

    def sample_inputs(self, samples: SampleMap, neighbourhood: Tensor, valid: Tensor) -> Tensor:
        """Features of the n covered samples of a view.

        Args:
            samples: where each sample looks. neighbourhood: (n, 9, C) latents around the source token; absent
                neighbours are zero. valid: (n, 9) bool.

        Returns:
            (n, inputs), of the neighbourhood's type and on its device: tokens, then geometry.
        """
        device, dtype = neighbourhood.device, neighbourhood.dtype
        where = samples.covered.flatten().nonzero().flatten()

        def of(values: Tensor) -> Tensor:
            """(..., h*s, w*s) -> (k, n) of the covered samples."""
            return values.reshape(-1, samples.token.numel()).index_select(1, where).to(device).float()

        uv, log2_scale = of(samples.uv), of(samples.log2_scale)
        # Without its scale, which is told beside it, and without what it is where nothing is turned or stretched.
        warp = (of(samples.jacobian) * torch.exp2(log2_scale)).clamp(-STRETCH, STRETCH)
        warp -= torch.eye(2, device=device).view(4, 1)
        octaves = torch.pi * 2.0 ** torch.arange(self.config.position_octaves, device=device)
        angles = octaves[:, None, None] * uv
        waves = torch.cat([angles.sin(), angles.cos()], dim=1).flatten(0, 1)
        geometry = torch.cat([uv, log2_scale.clamp(-3.0, 3.0), of(samples.sky), warp, of(samples.relief), waves])
        return torch.cat([neighbourhood.flatten(1), valid.to(device, dtype), geometry.T.to(dtype)], dim=1)

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
        apart = self.apart and torch.is_inference_mode_enabled()
        hidden, kernels = self._apart(samples) if apart else self._resampled(samples)
        canvas = hidden.new_zeros(b * hs * ws, hidden.shape[1] + 1)
        flat = covered.flatten()
        canvas[flat] = torch.cat([hidden, hidden.new_ones(len(hidden), 1)], dim=1)
        folded = nn.functional.pixel_unshuffle(canvas.view(b, hs, ws, -1).permute(0, 3, 1, 2), s)
        share = covered.view(b, 1, hs, ws).float()
        weight = nn.functional.avg_pool2d(share, s)

        def mean_of(told: Tensor) -> Tensor:
            """(n, C) of samples -> (B, C, h, w) of cells."""
            spread = told.new_zeros(b * hs * ws, told.shape[1], dtype=torch.float32)
            spread[flat] = told.float()
            total = nn.functional.avg_pool2d(spread.view(b, hs, ws, -1).permute(0, 3, 1, 2), s)
            return total / weight.clamp(min=1e-6)

        mean = mean_of(base)
        if self.config.kernels:
            steered = mean_of(kernels)
            mean = mean + steered
            folded = torch.cat([folded, steered.to(folded.dtype)], dim=1)
        residual = self.cells(folded.contiguous(memory_format=torch.channels_last)).float()
        return (mean + residual) * (weight > 0)

    def _resampled(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """What the MLP, (n, sample_width), and kernels, (n, C), make of ``samples (n, inputs)``."""
        gate = self.gate(samples[:, -self.geometry_width :])
        hidden = silu(self.narrow(silu(self.mix(samples)) * gate))
        return hidden, self._steered(samples) if self.config.kernels else hidden[:, :0]

    def _apart(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """The same, by threads that each make a part of it, so few at a time that they stay in its own cache."""
        hidden = samples.new_empty(len(samples), self.config.sample_width)
        kernels = torch.empty(len(samples), self.config.latent_channels if self.config.kernels else 0)

        def work(first: int, last: int) -> None:
            for start in range(first, last, AT_ONCE):
                rows = slice(start, min(start + AT_ONCE, last))
                hidden[rows], kernels[rows] = self._resampled(samples[rows])

        inferred_apart(len(samples), work)
        return hidden, kernels

    def _steered(self, samples: Tensor) -> Tensor:
        """(n, C) float32: what kernels add to the centre tokens of ``samples (n, inputs)``, mixed by their geometry."""
        channels = self.config.latent_channels
        tokens, valid, geometry = samples.split([NEIGHBOURS * channels, NEIGHBOURS, self.geometry_width], dim=1)
        first, last = CENTRE * channels, (CENTRE + 1) * channels  # flat and contiguous: three times as fast
        tokens = tokens.contiguous()
        differences = tokens - tokens[:, first:last].repeat(1, NEIGHBOURS)
        differences = differences * valid.repeat_interleave(channels, dim=1)
        around = torch.cat([differences[:, :first], differences[:, last:]], dim=1)
        maps = self.kernels(around).unflatten(1, (self.config.kernels, channels))
        return torch.einsum("nk,nkc->nc", self.steer(geometry), maps).float()

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
        inputs = self.sample_inputs(samples, neighbourhood.to(parameter.device, parameter.dtype), valid)
        centre = neighbourhood[:, CENTRE].to(parameter.device)
        return self.forward(inputs, centre, samples.covered[None].to(parameter.device))[0]
