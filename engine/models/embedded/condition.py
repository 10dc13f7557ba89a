"""From readouts and cameras to the tensors the denoiser works on, and back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pixel_shuffle, pixel_unshuffle

from engine.camera import Camera
from engine.disocclusion import SUGGESTED

if TYPE_CHECKING:
    from engine.memory.readout import Readout

SKY_DEPTH_M = 1000.0
FARTHEST_M = 600.0
NEAREST_M = 0.2
LOG_DEPTH_CENTRE = math.log(25.0)
LOG_DEPTH_SPREAD = 1.6
FEW = 0.02
"""A share of all cells that the denoiser is not asked for."""
ELEVATIONS = (-0.5, 0.4)
"""Sines of the elevations that all but a hundredth of the training's rays lie between, on either side."""
_SKY_LOG = (math.log(SKY_DEPTH_M) - LOG_DEPTH_CENTRE) / LOG_DEPTH_SPREAD
_SKY_THRESHOLD = (math.log(math.sqrt(SKY_DEPTH_M * FARTHEST_M)) - LOG_DEPTH_CENTRE) / LOG_DEPTH_SPREAD


def normalise_depth(inverse_depth: Tensor) -> Tensor:
    """Inverse depth in 1/m (0 = sky) -> centred log-depth, same shape. NaN (unknown) stays NaN."""
    depth_m = (1.0 / inverse_depth.clamp(min=1.0 / FARTHEST_M)).clamp(NEAREST_M, FARTHEST_M)
    log_depth = (depth_m.log() - LOG_DEPTH_CENTRE) / LOG_DEPTH_SPREAD
    return torch.where(inverse_depth == 0, torch.full_like(log_depth, _SKY_LOG), log_depth)


def denormalise_depth(log_depth: Tensor) -> Tensor:
    """The inverse of :func:`normalise_depth`: inverse depth in 1/m, 0 where the model says sky."""
    depth_m = (log_depth * LOG_DEPTH_SPREAD + LOG_DEPTH_CENTRE).exp().clamp(NEAREST_M, FARTHEST_M)
    return torch.where(log_depth > _SKY_THRESHOLD, torch.zeros_like(depth_m), 1.0 / depth_m)


def ray_elevation(camera: Camera, height: int, width: int) -> Tensor:
    """(1, height, width) float32: sine of each cell's ray elevation, so that the model knows where the horizon is;
    steeper than it was trained on all looks alike to it."""
    rays = camera.resized(width, height).rays()
    elevation = (rays[..., 2] / np.linalg.norm(rays, axis=-1)).clip(*ELEVATIONS)
    return torch.from_numpy(elevation.astype(np.float32))[None]


def build_condition(
    features: Tensor,
    covered: Tensor,
    inverse_depth: Tensor,
    log2_scale: Tensor,
    elevation: Tensor,
    samples: int,
    coverage: Tensor | None = None,
) -> Tensor:
    """Stack what the memory knows into the denoiser's condition.

    Args:
        features: (B, C, h, w) *normalised* readout latents.
        covered: (B, h*s, w*s) bool.
        inverse_depth: (B, h*s, w*s) 1/m, 0 = sky (or uncovered).
        log2_scale: (B, h, w) how magnified the winning token is.
        elevation: (B, 1, h, w) sine of the rays' elevation.
        samples: s.
        coverage: (B, h, w) how far to believe each cell; unless given, the share of its samples that is covered.

    Returns:
        (B, C + 1 + 2 s*s + 3, h, w) float32.
    """
    known = covered[:, None].float()
    coverage = avg_pool2d(known, samples) if coverage is None else coverage[:, None].float()
    log_depth = normalise_depth(torch.nan_to_num(inverse_depth)[:, None]) * known
    sky = avg_pool2d(known * (inverse_depth == 0)[:, None], samples)
    scale = log2_scale[:, None].clamp(-3.0, 3.0) * (coverage > 0)
    return torch.cat(
        [
            features * (coverage > 0),
            coverage,
            pixel_unshuffle(log_depth, samples),
            pixel_unshuffle(known, samples),
            sky,
            scale,
            elevation,
        ],
        dim=1,
    )


def known_share(condition: Tensor, latent_channels: int) -> Tensor:
    """How much of each cell the memory knows: condition (B, condition_channels, h, w) -> (B, 1, h, w) in [0, 1]."""
    return condition[:, latent_channels : latent_channels + 1]


def with_known(state: Tensor, condition: Tensor, latent_channels: int) -> Tensor:
    """``state (B, C + s*s, h, w)`` with the latents of what the memory knows as it tells them; its depth stays.

    A denoiser of one step predicts means: what it made of known cells was softer than they are, further off the truth
    and a little different with every frame.
    """
    known = known_share(condition, latent_channels) > SUGGESTED
    latents = torch.where(known, condition[:, :latent_channels], state[:, :latent_channels])
    return torch.cat([latents, state[:, latent_channels:]], dim=1)


def leaves_open(condition: Tensor, latent_channels: int) -> bool:
    """Whether there is something to imagine: cells of which nobody tells anything, or more than :data:`FEW` that are
    only suggested, or known by half. Fewer are taken as they are."""
    share = known_share(condition, latent_channels)
    return bool((share == 0.0).any()) or bool((share <= SUGGESTED).float().mean((1, 2, 3)).max() > FEW)


def magnification(condition: Tensor) -> Tensor:
    """log2 of how magnified what the memory shows is: condition (B, condition_channels, h, w) -> (B, 1, h, w)."""
    return condition[:, -2:-1]


def condition_from_readout(readout: Readout, camera: Camera, mean: Tensor, std: Tensor, samples: int) -> Tensor:
    """The condition of one view, (1, condition_channels, h, w). ``mean`` and ``std`` are (C, 1, 1)."""
    device = mean.device
    features = (readout.features.to(device).float() - mean) / std
    elevation = ray_elevation(camera, *features.shape[-2:]).to(device)
    return build_condition(
        features[None],
        readout.covered.to(device)[None],
        readout.inverse_depth.to(device).float()[None],
        readout.log2_scale.to(device).float()[None],
        elevation[None],
        samples,
        readout.coverage.to(device)[None],
    )


def pack_state(latents: Tensor, inverse_depth: Tensor, mean: Tensor, std: Tensor, samples: int) -> Tensor:
    """latents (B, C, h, w), inverse depth (B, h*s, w*s) -> state (B, C + s*s, h, w)."""
    return torch.cat([(latents - mean) / std, pixel_unshuffle(normalise_depth(inverse_depth)[:, None], samples)], dim=1)


def unpack_state(state: Tensor, mean: Tensor, std: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """The inverse of :func:`pack_state`: latents (B, C, h, w) and inverse depth (B, h*s, w*s)."""
    channels = mean.shape[0]
    latents = state[:, :channels] * std + mean
    return latents, denormalise_depth(pixel_shuffle(state[:, channels:], samples)[:, 0])
