"""From geometry to a readout: cell-level summaries of sample maps and of nearest z-buffers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from engine.memory import cellwise, kernels
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
    winner, single = np.empty(shape, np.int64), np.empty(shape, np.bool_)
    coverage, scale, nearest = np.empty((3, *shape), np.float32)
    cellwise.summarise(
        samples.token.numpy(),
        samples.inverse_depth.numpy(),
        samples.log2_scale.numpy(),
        view.store.samples,
        winner,
        coverage,
        scale,
        nearest,
        single,
    )
    offsets, _ = view.locate(winner, 0.5)
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
        exact=_exact(single, offsets, scale),
        samples=samples,
    )


def gather(store: TokenStore, token: np.ndarray, slots: np.ndarray, around: Tensor, valid: Tensor) -> None:
    """What is around tokens (n,) int64 of a store, see :meth:`engine.memory.latent_memory.LatentMemory.neighbourhood`,
    into rows ``slots (n,)`` of ``around (m, 9, C)`` float32 and ``valid (m, 9)`` bool."""
    kernels.gather_neighbours(
        token,
        store.blocks.rows,
        store.spans.rows,
        store.grids.rows,
        store.cells.rows,
        store.ring_cells.rows,
        store.feature_bits,
        store.ring_codes.rows,
        store.ring_steps.rows,
        slots,
        around.numpy(),
        valid.numpy(),
    )


def with_features(store: TokenStore, readout: Readout, latents: Tensor) -> Readout:
    """A learned readout of ``store`` with features: the resampled ``latents (C, h, w)``, where it is covered, or what
    is stored, where that is seen as it was."""
    features, exact = latents.detach().to("cpu", torch.float32), readout.exact
    if bool((exact > 0.0).any()):
        stored = store.features.rows[readout.token.clamp(min=0).numpy()].astype(np.float32)
        features = torch.lerp(features, torch.from_numpy(stored).permute(2, 0, 1), exact)
    return replace(readout, features=features * (readout.coverage > 0.0))


def _exact(single: np.ndarray, offsets: np.ndarray, scale: np.ndarray) -> Tensor:
    """(h, w) in [0, 1]: see :attr:`Readout.exact`."""
    off = np.maximum(np.maximum(np.abs(offsets[0]), np.abs(offsets[1])), np.abs(scale))
    near = np.clip((RESAMPLED - off) / (RESAMPLED - EXACT), 0.0, 1.0)
    return torch.from_numpy((near * single).astype(np.float32))


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
