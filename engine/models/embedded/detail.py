"""The texture that averaging took: imagined latents, finished.

Every readout resamples and a denoiser of one step predicts a mean, so what a memory shows is softer than what it was
told, and what came near is softer still. A small network, trained against a critic of pixels, adds texture to the
latents before they are shown *and* remembered: a surface keeps the detail that it was given when it came near, and the
next octave of an approach builds on it. What it adds averages to nothing over a few cells, so that colours cannot
drift.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d, silu

from engine.camera import Camera
from engine.disocclusion import SUGGESTED
from engine.models.embedded.blocks import ResidualBlock, zero_
from engine.models.embedded.condition import denormalise_depth, known_share
from engine.models.embedded.config import DenoiserConfig, DetailConfig

if TYPE_CHECKING:
    from engine.memory import Readout

SMOOTH = 7
"""Cells over which what is added averages to nothing."""
LEAST, MOST, PER_OCTAVE, TORN = 0.5, 1.5, 0.22, 0.2
"""What is added to remembered cells is amplified. One surface is resampled almost as sharp as it was. Where several end
before one another they move against each other as the camera moves, and what comes out from behind is averaged: with
each doubling more is lost, until they have moved against each other by so much of their distance. Fitted in worlds that
neither training nor figures know, in the country and in buildings. What was imagined got its texture when it was; given
much again it would be grit."""
USUAL = 1.2
"""Of what nothing is known but the picture, as in training."""
NEW, NEW_MOST, NEW_PER_OCTAVE = 1.5, 2.3, 1.0
"""What is new, and comes from a place, passes here only once. Rooms are stored finer than they are mostly seen: where a
cell holds several tokens the readout looks at some of them, and knows the less of it the more there are."""
ROOM_MOST = 1.9
"""In a building, where coarser tokens tell what is far, that is too much. Fitted to rooms that are stored, as their own
worlds show them from inside; through doors they still get more than they should."""
NEARER, NEARER_MOST = 1.8, 2.3
"""What came nearer than it was drawn lacks what lies between, up to an octave of it, until it is drawn anew; in a
flight that goes on it is most of what one sees. Fitted likewise, over 72 m straight ahead."""
EDGES, JUMP = 1.4, 0.35
"""In a building, where one surface ends before another, so many nepers nearer, a token that sees both tells neither
well, and bars, frames and legs are little else: more is lost. In the country such edges are leaves. Fitted likewise."""
FADES, GONE = 1.5, 2.5
"""In a building, what is magnified by so many octaves gets less, by so many nothing: walls that one stands before are
plain, and texture would be weave. In the country a rock has texture however near it is. Fitted likewise."""
MOST_TEXTURE, AROUND = 0.7, 5
"""What is added to what is remembered varies no more than so much of what a view varies so many cells around, so that
what is plain stays plain: a lake that mirrors a wood was grown over with trees, more with each frame. What a place
tells passes here once. In a building there are no lakes, and bare walls lost a twentieth of their sharpness by it."""
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
        amplified: Tensor | None = None,
        limited: Tensor | None = None,
    ) -> Tensor:
        """:meth:`forward` with the noise of the world that the cameras, (B,) of image size, look at; what it adds is
        ``amplified (B, h, w)``, see :func:`gain_of`, or else by :data:`USUAL`, and where it is ``limited (B, h, w)``
        bool, see :func:`limited_in`, :func:`in_keeping`."""
        finished: Tensor = self(state, condition, self.noise(state, cameras, seed))
        amplified = torch.full((1, 1, 1), USUAL) if amplified is None else amplified
        latents, depth = state[:, : self.channels], state[:, self.channels :]
        added = (finished[:, : self.channels] - latents) * (self.share * amplified.to(state)[:, None])
        if limited is not None:
            added = torch.where(limited.to(added.device)[:, None], in_keeping(added, latents), added)
        return torch.cat([latents + added, depth], dim=1)

    def noise(self, state: Tensor, cameras: Sequence[Camera], seed: int) -> Tensor:
        """(B, noise_channels, h, w): :func:`world_noise` on the surfaces that imagined views show."""
        inverse_depth = denormalise_depth(state[:, self.channels :].float().mean(dim=1))
        return world_noise(cameras, inverse_depth, self.config.noise_channels, seed)


def in_keeping(added: Tensor, latents: Tensor) -> Tensor:
    """What is ``added`` to latents, (B, C, h, w) both, weaker where it varies more than these do around."""

    def around(values: Tensor) -> Tensor:
        return avg_pool2d(values, AROUND, stride=1, padding=AROUND // 2, count_include_pad=False)

    varies = (around(latents.square()) - around(latents).square()).mean(dim=1, keepdim=True).clamp(min=0.0)
    strength = around(added.square().mean(dim=1, keepdim=True))
    return added * (MOST_TEXTURE * (varies / strength.clamp(min=1e-9)).sqrt()).clamp(max=1.0)


def gain_of(readout: Readout, *, built: bool = False, renewed: bool = True) -> Tensor:
    """(h, w): by how much what is added to a view is amplified. ``readout`` is what it was imagined from: of what a
    place or what lies beside tells, it has no token. ``built``: it is of a building. ``renewed``: what came near gives
    way to something new some day."""
    new = readout.token < 0
    told = torch.where(new, gain_of_new(readout.log2_scale), gain(torn(readout)))
    if built:
        told = torch.where(edges(readout), (EDGES * told).clamp(max=NEW_MOST), told)
        told = torch.where(new, told.clamp(max=ROOM_MOST), told)
    told = torch.where(new, told, gain_of_nearer(told, readout.log2_scale)) if renewed else told
    return told * ((GONE - readout.log2_scale) / (GONE - FADES)).clamp(0.0, 1.0) if built else told


def gain_of_nearer(told: Tensor, log2_scale: Tensor) -> Tensor:
    """``told``, a gain, and what magnification by so many octaves asks for on top of it; any shape."""
    nearer = told + NEARER * log2_scale.clamp(0.0, 1.0)
    return torch.maximum(told, nearer.clamp(max=NEARER_MOST))


def limited_in(readout: Readout, *, built: bool = False) -> Tensor:
    """(h, w) bool: cells whose texture is to be :func:`in_keeping`; arguments as :func:`gain_of` has them."""
    return (readout.token >= 0) & (not built)


def edges(readout: Readout) -> Tensor:
    """(h, w) bool: cells in which, or beside which, one known surface ends before another."""
    nearest, farthest = (nearness.clamp(min=1.0 / SKY_M).log() for nearness in _extremes(readout))
    return nearest - farthest > JUMP


def torn(readout: Readout) -> Tensor:
    """(h, w): how far, at most, the surfaces of each cell and of those around it have moved against each other since
    one of them was given, as a share of the distance; 0 where all of them were imagined."""
    samples = readout.inverse_depth.shape[-1] // readout.token.shape[-1]
    own = max_pool2d(torch.where(readout.covered, readout.inverse_depth, 0.0)[None], samples)
    moved_m = torch.where(own > 0.0, readout.parallax / own.clamp(min=1e-6), 0.0)
    nearest, farthest = _extremes(readout)
    return max_pool2d(moved_m, 3, stride=1, padding=1)[0] * (nearest - farthest).clamp(min=0.0)


def _extremes(readout: Readout) -> tuple[Tensor, Tensor]:
    """(h, w), 1/m: the nearest and the farthest of what is known of each cell and those around it; infinitely far and
    near where nothing is."""
    samples = readout.inverse_depth.shape[-1] // readout.token.shape[-1]
    most = (
        max_pool2d(torch.where(readout.covered, part, -math.inf)[None], samples)
        for part in (readout.inverse_depth, -readout.inverse_depth)
    )
    nearest, farthest = (max_pool2d(part, 3, stride=1, padding=1)[0] for part in most)
    return nearest, -farthest


def gain(apart: Tensor) -> Tensor:
    """What was lost of remembered cells, by how far their surfaces are :func:`torn` apart, any shape."""
    return (MOST + PER_OCTAVE * (apart / TORN).clamp(min=1e-6).log2()).clamp(LEAST, MOST)


def gain_of_new(log2_scale: Tensor) -> Tensor:
    """What was lost of cells of a place, by how large its tokens appear, any shape."""
    return (NEW - NEW_PER_OCTAVE * log2_scale.clamp(max=0.0)).clamp(max=NEW_MOST)


def world_noise(cameras: Sequence[Camera], inverse_depth: Tensor, channels: int, seed: int) -> Tensor:
    """Noise that hangs in the world, so that invented texture stays on its surface when the camera moves.

    A cell's value is hashed from the box of a lattice that its point lies in; boxes are one to two footprints wide, in
    octaves of it.

    Args:
        cameras: the B views, of image size.
        inverse_depth: (B, h, w) 1/m of the cells, 0 = sky.
        channels: how many values a cell. seed: another one, other noise.

    Returns:
        (B, channels, h, w) float32, uniform, of mean 0 and variance 1; where ``inverse_depth`` is.
    """
    h, w = inverse_depth.shape[-2:]
    device = inverse_depth.device
    grids = [camera.resized(w, h) for camera in cameras]
    rays = torch.from_numpy(np.stack([grid.rays() for grid in grids])).to(device)
    focal = torch.tensor([grid.K[0, 0] for grid in grids], dtype=torch.float64, device=device)[:, None, None]
    eyes = torch.from_numpy(np.stack([camera.position for camera in cameras])).to(device)[:, None, None]
    near = inverse_depth.double()
    depth_m = torch.where(near > 0.0, 1.0 / near.clamp(min=1.0 / SKY_M), SKY_M)
    points = rays * depth_m[..., None] + (near > 0.0)[..., None] * eyes
    octave = (depth_m / focal).log2().floor() + 1.0
    box = (points / octave.exp2()[..., None]).floor().long()
    key = _scrambled(torch.full_like(octave, seed % (1 << 32), dtype=torch.int64))
    for coordinate in (*box.unbind(-1), octave.long()):
        key = _scrambled(key ^ coordinate)
    values = _scrambled(key[:, None] + torch.arange(channels, device=device)[:, None, None])
    uniform = _shifted(values, 40).float() / (1 << 24)
    return (uniform - 0.5) * math.sqrt(12.0)


def _scrambled(key: Tensor) -> Tensor:
    """A hash of 64-bit integers, elementwise (SplitMix64, Steele et al. 2014); torch has them signed."""
    key = key + (0x9E3779B97F4A7C15 - (1 << 64))
    key = (key ^ _shifted(key, 30)) * (0xBF58476D1CE4E5B9 - (1 << 64))
    key = (key ^ _shifted(key, 27)) * (0x94D049BB133111EB - (1 << 64))
    return key ^ _shifted(key, 31)


def _shifted(key: Tensor, bits: int) -> Tensor:
    """``key >> bits`` of what is unsigned."""
    return (key >> bits) & ((1 << (64 - bits)) - 1)
