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
from torch.nn.functional import linear, silu

from engine.memory.readout import NEIGHBOURS
from engine.models.embedded.blocks import zero_
from engine.models.embedded.config import ReadoutConfig
from engine.models.embedded.shared import gated, steered
from engine.threads import inferred_apart

if TYPE_CHECKING:
    from engine.memory.readout import SampleMap

CENTRE = 4
AT_ONCE = 512
"""Tokens that a thread resamples at once, where threads do so apart."""
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
        return torch.cat([_tokens(neighbourhood, valid), self._geometry(samples, neighbourhood)], dim=1)

    def _geometry(self, samples: SampleMap, like: Tensor) -> Tensor:
        """(n, geometry_width) of ``like``'s type and on its device: where the n covered samples look, and how."""
        device = like.device
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
        return geometry.T.to(like.dtype)

    def forward(self, samples: Tensor, base: Tensor, covered: Tensor) -> Tensor:
        """Resample a batch of views.

        Args:
            samples: (n, inputs) of all covered samples of the batch, row-major over (B, h*s, w*s).
            base: (n, C) centre tokens of those samples: what the nearest readout would copy.
            covered: (B, h*s, w*s) bool.

        Returns:
            (B, C, h, w) float32: the target tokens, zero in cells without a covered sample.
        """
        return self._cells(*self._resampled(samples), base, covered)

    def _cells(self, hidden: Tensor, kernels: Tensor, base: Tensor, covered: Tensor) -> Tensor:
        """The target tokens, as :meth:`forward` has them, of what the MLP made of samples, ``hidden (n,
        sample_width)``, and what ``kernels (n, C)`` add to their centre tokens, ``base (n, C)``."""
        s = self.config.samples
        b, hs, ws = covered.shape
        flat = covered.flatten()
        canvas = hidden.new_zeros(b * hs * ws, hidden.shape[1] + 1)
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
            added = mean_of(kernels)
            mean = mean + added
            folded = torch.cat([folded, added.to(folded.dtype)], dim=1)
        residual = self.cells(folded.contiguous(memory_format=torch.channels_last)).float()
        return (mean + residual) * (weight > 0)

    def _resampled(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """What the MLP, (n, sample_width), and kernels, (n, C), make of ``samples (n, inputs)``."""
        geometry = samples[:, -self.geometry_width :]
        hidden = silu(self.narrow(silu(self.mix(samples)) * self.gate(geometry)))
        if not self.config.kernels:
            return hidden, hidden[:, :0]
        maps = self._maps(samples[:, : -self.geometry_width])
        return hidden, torch.einsum("nk,nkc->nc", self.steer(geometry), maps).float()

    def _maps(self, tokens: Tensor) -> Tensor:
        """(n, kernels, C): what each kernel makes of how the tokens around differ from their centre, of ``tokens (n,
        9 C + 9)``."""
        channels = self.config.latent_channels
        latents, valid = tokens.split([NEIGHBOURS * channels, NEIGHBOURS], dim=1)
        first, last = CENTRE * channels, (CENTRE + 1) * channels  # flat and contiguous: three times as fast
        latents = latents.contiguous()
        differences = latents - latents[:, first:last].repeat(1, NEIGHBOURS)
        differences = differences * valid.repeat_interleave(channels, dim=1)
        around = torch.cat([differences[:, :first], differences[:, last:]], dim=1)
        maps: Tensor = self.kernels(around)
        return maps.unflatten(1, (self.config.kernels, channels))

    def _apart(self, tokens: Tensor, geometry: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
        """The same as :meth:`_resampled` of ``tokens (m, 9 C + 9)``, each of which is seen by several of the samples
        that look by ``geometry (n, geometry_width)``: ``which (n,)``. What is of the token alone is made once; and
        threads each make a part, so little at a time that it stays in their own caches."""
        hidden = geometry.new_empty(len(geometry), self.config.sample_width)
        kernels = torch.empty(len(geometry), self.config.latent_channels if self.config.kernels else 0)
        samples, counts = which.argsort(), which.bincount(minlength=len(tokens))
        ends = [0, *counts.cumsum(0).tolist()]
        of_tokens, of_geometry = self.mix.weight.split([tokens.shape[1], self.geometry_width], dim=1)

        def work(first: int, last: int) -> None:
            for start in range(first, last, AT_ONCE):
                end = min(start + AT_ONCE, last)
                its, told = samples[ends[start] : ends[end]], tokens[start:end]
                seen, looks = which[its] - start, geometry[its]
                opened = self.gate(looks)
                mixed = linear(told, of_tokens, self.mix.bias), seen, linear(looks, of_geometry), opened
                made = torch.empty_like(opened)
                gated(*(values.numpy() for values in (*mixed, made)))
                hidden[its] = silu(self.narrow(made))
                if self.config.kernels:
                    added = torch.empty(len(seen), self.config.latent_channels)
                    maps = self._maps(told), seen, self.steer(looks), added
                    steered(*(values.numpy() for values in maps))
                    kernels[its] = added

        inferred_apart(len(tokens), work)
        return hidden, kernels

    @torch.inference_mode()
    def read(self, samples: SampleMap, neighbourhood: Tensor, valid: Tensor, which: Tensor) -> Tensor:
        """The target tokens of one view, for :class:`engine.memory.LatentMemory`.

        Args:
            samples: where each target sample looks; ``samples.token`` is (h*s, w*s) with -1 for none.
            neighbourhood: (m, 9, C) of the tokens that are seen. valid: (m, 9) bool.
            which: (n,) int64, the token of each covered sample in row-major order.

        Returns:
            (C, h, w) float32.
        """
        parameter = next(self.parameters())
        centre = neighbourhood[:, CENTRE][which].to(parameter.device)
        covered = samples.covered[None].to(parameter.device)
        around = neighbourhood.to(parameter.device, parameter.dtype)
        tokens, geometry = _tokens(around, valid), self._geometry(samples, around)
        if self.apart:
            told = self._apart(tokens, geometry, which)
        else:
            told = self._resampled(torch.cat([tokens[which.to(parameter.device)], geometry], dim=1))
        return self._cells(*told, centre, covered)[0]


def _tokens(neighbourhood: Tensor, valid: Tensor) -> Tensor:
    """(n, 9 C + 9) of (n, 9, C) and (n, 9) bool, of the neighbourhood's type and on its device."""
    return torch.cat([neighbourhood.flatten(1), valid.to(neighbourhood)], dim=1)
