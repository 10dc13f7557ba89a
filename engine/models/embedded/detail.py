"""The texture that averaging took: imagined latents, finished.

Every readout resamples and a denoiser of one step predicts a mean, so what a memory shows is softer than what it was
told, and what came near is softer still. A small network, trained against a critic of pixels, adds texture to the
latents before they are shown *and* remembered: a surface keeps the detail that it was given when it came near, and the
next octave of an approach builds on it. What it adds averages to nothing over a few cells, so that colours cannot
drift.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, silu

from engine.camera import Camera
from engine.disocclusion import SUGGESTED
from engine.models.embedded.blocks import ResidualBlock, zero_
from engine.models.embedded.condition import denormalise_depth, known_share
from engine.models.embedded.config import DenoiserConfig, DetailConfig

SMOOTH = 7
"""Cells over which what is added averages to nothing."""
LEAST, MOST, PER_OCTAVE = 1.2, 1.7, 0.1
"""Training asks for faith to the truth, too, which keeps what is added smaller than texture is: it is amplified. What
was given from about here lost least; each doubling of the parallax takes more, until the camera has moved as far as it
sees. Fitted to flights in worlds that neither training nor figures know, a little below what gives latents the variance
of the true views'. What was imagined got its texture when it was; given again and again it would be grit."""
SKY_M = 1000.0
"""Where the noise of the sky hangs."""


class DetailNetwork(nn.Module):
    """Convolutions over cells; (state, condition, noise) -> finished latents.

    Attributes:
        share: how much of what is usual its texture is amplified.
    """

    def __init__(self, config: DetailConfig, denoiser: DenoiserConfig) -> None:
        super().__init__()
        self.config = config
        self.share = 1.0
        self.channels = denoiser.latent_channels
        inputs = denoiser.state_channels + denoiser.condition_channels + config.noise_channels
        self.stem = nn.Conv2d(inputs, config.width, 3, padding=1)
        self.blocks = nn.Sequential(*(ResidualBlock(config.width) for _ in range(config.blocks)))
        self.head = zero_(nn.Conv2d(config.width, self.channels, 3, padding=1))

    def forward(self, state: Tensor, condition: Tensor, noise: Tensor) -> Tensor:
        """Finish imagined views.

        Args:
            state: (B, C + s*s, h, w) as the denoiser left it.
            condition: (B, condition_channels, h, w), what it was imagined from.
            noise: (B, noise_channels, h, w), see :func:`world_noise`.

        Returns:
            (B, C + s*s, h, w) float32: the state with other latents, its depth unchanged.
        """
        x = torch.cat([state, condition, noise], dim=1).to(self.stem.weight.dtype)
        x = self.blocks(self.stem(x.contiguous(memory_format=torch.channels_last)))
        added = self.config.bound * torch.tanh(self.head(silu(x)).float() / self.config.bound)
        # Where nothing is known there is nothing to finish: texture would be noise, and be remembered.
        added = added * (known_share(condition, self.channels) / SUGGESTED).clamp(max=1.0)
        mean = avg_pool2d(added, SMOOTH, stride=1, padding=SMOOTH // 2, count_include_pad=False)
        return torch.cat([state[:, : self.channels] + added - mean, state[:, self.channels :]], dim=1)

    def finish(
        self,
        state: Tensor,
        condition: Tensor,
        cameras: Sequence[Camera],
        seed: int,
        parallax: Tensor | None = None,
    ) -> Tensor:
        """:meth:`forward` with the noise of the world that the cameras, (B,) of image size, look at, amplified by what
        the ``parallax (B, h, w)`` of :class:`engine.memory.Readout` tells was lost; ``None``: as if it were none."""
        finished: Tensor = self(state, condition, self.noise(state, cameras, seed))
        amplified = self.share * gain(torch.zeros(1, 1, 1) if parallax is None else parallax).to(state)[:, None]
        return torch.lerp(state, finished, amplified)

    def noise(self, state: Tensor, cameras: Sequence[Camera], seed: int) -> Tensor:
        """(B, noise_channels, h, w): :func:`world_noise` on the surfaces that imagined views show."""
        inverse_depth = denormalise_depth(state[:, self.channels :].float().mean(dim=1))
        noise = [
            world_noise(camera, near, self.config.noise_channels, seed)
            for camera, near in zip(cameras, inverse_depth, strict=True)
        ]
        return torch.stack(noise).to(state.device)


def gain(parallax: Tensor) -> Tensor:
    """By how much what is added to views is amplified at a parallax, any shape."""
    return (MOST + PER_OCTAVE * parallax.clamp(min=1e-6).log2()).clamp(LEAST, MOST)


def world_noise(camera: Camera, inverse_depth: Tensor, channels: int, seed: int) -> Tensor:
    """Noise that hangs in the world, so that invented texture stays on its surface when the camera moves.

    A cell's value is hashed from the box of a lattice that its point lies in; boxes are one to two footprints wide, in
    octaves of it.

    Args:
        camera: the view, of image size.
        inverse_depth: (h, w) 1/m of the cells, 0 = sky.
        channels: how many values a cell. seed: another one, other noise.

    Returns:
        (channels, h, w) float32, uniform, of mean 0 and variance 1.
    """
    h, w = inverse_depth.shape
    grid = camera.resized(w, h)
    near = inverse_depth.double().cpu().numpy()
    depth_m = np.where(near > 0.0, 1.0 / np.maximum(near, 1.0 / SKY_M), SKY_M)
    points = grid.rays() * depth_m[..., None] + np.where(near > 0.0, 1.0, 0.0)[..., None] * camera.position
    octave = np.floor(np.log2(depth_m / grid.K[0, 0])) + 1.0
    box = np.floor(points / np.exp2(octave)[..., None]).astype(np.int64)
    key = _scrambled(np.full((h, w), seed % (1 << 32), np.uint64))
    for coordinate in (*np.moveaxis(box, -1, 0), octave.astype(np.int64)):
        key = _scrambled(key ^ coordinate.astype(np.uint64))
    values = _scrambled(key + np.arange(channels, dtype=np.uint64)[:, None, None])
    uniform = (values >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)
    return torch.from_numpy((uniform - np.float32(0.5)) * np.float32(np.sqrt(12.0)))


def _scrambled(key: np.ndarray) -> np.ndarray:
    """A hash of 64-bit integers, elementwise (SplitMix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        key = key + np.uint64(0x9E3779B97F4A7C15)
        key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return key ^ (key >> np.uint64(31))
