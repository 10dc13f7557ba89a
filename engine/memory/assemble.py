"""From geometry to a readout: cell-level summaries of sample maps and of nearest z-buffers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from engine.memory import cellwise
from engine.memory.kernels import NO_KEY
from engine.memory.readout import Readout, SampleMap
from engine.memory.store import TokenStore
from engine.memory.views import View

EXACT, RESAMPLED = 0.01, 0.03
"""Tokens that are off by less, in cells or octaves, are shown as they are; by more, as the network resamples them,
which is then nearer to the truth than a copy."""


def from_samples(view: View, samples: SampleMap) -> Readout:
    """A learned readout but for its features, which are 0: the winner of a cell is its nearest sample, the first of
    equals.

    Args:
        view: the store at the target's latent grid (h, w).
        samples: its (h*s, w*s) sample geometry.
    """
    shape = (view.camera.height, view.camera.width)
    winner, coverage = np.empty(shape, np.int64), np.empty(shape, np.float32)
    scale = np.empty(shape, np.float32)
    cellwise.summarise(
        samples.token.numpy(),
        samples.inverse_depth.numpy(),
        samples.log2_scale.numpy(),
        view.store.samples,
        winner,
        coverage,
        scale,
    )
    offsets, _ = view.locate(winner, 0.5)
    side = view.store.samples
    nearest = samples.inverse_depth.numpy().reshape(shape[0], side, shape[1], side).max(axis=(1, 3))
    return Readout(
        features=torch.zeros(view.store.channels, *shape),
        coverage=torch.from_numpy(coverage),
        inverse_depth=samples.inverse_depth,
        covered=samples.covered,
        sky=samples.sky,
        token=torch.from_numpy(winner),
        offsets=torch.from_numpy(offsets),
        log2_scale=torch.from_numpy(scale),
        parallax=torch.from_numpy(view.parallax(winner, nearest)),
        exact=_exact(winner, samples, offsets, scale),
        samples=samples,
    )


def with_features(store: TokenStore, readout: Readout, latents: Tensor) -> Readout:
    """A learned readout of ``store`` with features: the resampled ``latents (C, h, w)``, where it is covered, or what
    is stored, where that is seen as it was."""
    features, exact = latents.detach().to("cpu", torch.float32), readout.exact
    if bool((exact > 0.0).any()):
        stored = store.features.rows[readout.token.clamp(min=0).numpy()].astype(np.float32)
        features = torch.lerp(features, torch.from_numpy(stored).permute(2, 0, 1), exact)
    return replace(readout, features=features * (readout.coverage > 0.0))


def _exact(winner: np.ndarray, samples: SampleMap, offsets: np.ndarray, scale: np.ndarray) -> Tensor:
    """(h, w) in [0, 1]: see :attr:`Readout.exact`."""
    off = np.abs(np.concatenate([offsets, scale[None]])).max(axis=0)
    h, w = winner.shape
    side = samples.token.shape[0] // h
    single = (samples.token.numpy().reshape(h, side, w, side) == winner[:, None, :, None]).all(axis=(1, 3))
    near = np.clip((RESAMPLED - off) / (RESAMPLED - EXACT), 0.0, 1.0)
    return torch.from_numpy((near * (single & (winner >= 0))).astype(np.float32))


def from_nearest(view: View, cell_center: float) -> Readout:
    """The paper's readout at the latent grid of ``view``: features are copied, nothing else."""
    store, s = view.store, view.store.samples
    keys = view.nearest(cell_center)
    hit = keys != NO_KEY
    token = np.where(hit, keys & 0xFFFFFFFF, -1)
    nearest = np.where(hit, 0x7FFFFFFF - (keys >> 32), 0).astype(np.int32).view(np.float32)
    features = np.zeros((*token.shape, store.channels), np.float32)
    features[hit] = store.features.rows[token[hit]]
    offsets, scale = view.locate(token, cell_center)
    covered = torch.from_numpy(hit.repeat(s, axis=0).repeat(s, axis=1))
    inverse_depth = torch.from_numpy(nearest.repeat(s, axis=0).repeat(s, axis=1))
    return Readout(
        features=torch.from_numpy(features).permute(2, 0, 1).contiguous(),
        coverage=torch.from_numpy(hit.astype(np.float32)),
        inverse_depth=inverse_depth,
        covered=covered,
        sky=covered & (inverse_depth == 0.0),
        token=torch.from_numpy(token),
        offsets=torch.from_numpy(offsets),
        log2_scale=torch.from_numpy(scale),
        parallax=torch.from_numpy(view.parallax(token, nearest)),
        exact=torch.zeros(token.shape),
    )
