"""From geometry to a readout: cell-level summaries of sample maps and of nearest z-buffers."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from engine.camera import Camera
from engine.memory import points
from engine.memory.kernels import NO_KEY
from engine.memory.novelty import cells
from engine.memory.readout import Readout, SampleMap
from engine.memory.store import TokenStore


def from_samples(store: TokenStore, grid: Camera, samples: SampleMap, latents: Tensor) -> Readout:
    """A learned readout: the winner of a cell is its nearest sample, the first of equals; ``latents (C, h, w)`` count
    where covered."""
    s = store.samples
    token = cells(samples.token.numpy(), s)
    depth = np.where(token >= 0, cells(samples.inverse_depth.numpy(), s), np.float32(-1.0))
    pick = depth.argmax(axis=2)[..., None]
    winner = np.take_along_axis(token, pick, axis=2)[..., 0]
    coverage = (token >= 0).mean(axis=2, dtype=np.float32)
    scale = np.take_along_axis(cells(samples.log2_scale.numpy(), s), pick, axis=2)[..., 0]
    features = latents.detach().to("cpu", torch.float32)
    return Readout(
        features=features * torch.from_numpy(coverage > 0),
        coverage=torch.from_numpy(coverage),
        inverse_depth=samples.inverse_depth,
        covered=samples.covered,
        sky=samples.sky,
        token=torch.from_numpy(winner),
        offsets=torch.from_numpy(_offsets(store, grid, winner, 0.5)),
        log2_scale=torch.from_numpy(scale),
        samples=samples,
    )


def from_nearest(store: TokenStore, grid: Camera, keys: np.ndarray, cell_center: float) -> Readout:
    """The paper's readout from its z-buffer ``keys (h, w)``: features are copied, nothing else."""
    s = store.samples
    hit = keys != NO_KEY
    token = np.where(hit, keys & 0xFFFFFFFF, -1)
    depth = np.where(hit, 0x7FFFFFFF - (keys >> 32), 0).astype(np.int32).view(np.float32)
    features = np.zeros((grid.height, grid.width, store.channels), np.float32)
    features[hit] = store.features.rows[token[hit]]
    covered = torch.from_numpy(hit.repeat(s, axis=0).repeat(s, axis=1))
    inverse_depth = torch.from_numpy(depth.repeat(s, axis=0).repeat(s, axis=1))
    return Readout(
        features=torch.from_numpy(np.ascontiguousarray(features.transpose(2, 0, 1))),
        coverage=torch.from_numpy(hit.astype(np.float32)),
        inverse_depth=inverse_depth,
        covered=covered,
        sky=covered & (inverse_depth == 0.0),
        token=torch.from_numpy(token),
        offsets=torch.from_numpy(_offsets(store, grid, token, cell_center)),
        log2_scale=torch.from_numpy(_scales(store, grid, token, depth)),
    )


def _offsets(store: TokenStore, grid: Camera, token: np.ndarray, cell_center: float) -> np.ndarray:
    """(2, h, w) float32 position of each cell's token relative to the cell's centre, in cells."""
    offsets = np.zeros((2, *token.shape), np.float32)
    hit = token >= 0
    if hit.any():
        lines, columns = np.nonzero(hit)
        x, y, _ = points.project(store, token[hit], grid, cell_center)
        offsets[0][hit] = np.nan_to_num(np.clip(x - columns - cell_center, -8.0, 8.0))
        offsets[1][hit] = np.nan_to_num(np.clip(y - lines - cell_center, -8.0, 8.0))
    return offsets


def _scales(store: TokenStore, grid: Camera, token: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """(h, w) float32 log2 of magnification for tokens taken as facing the line of sight."""
    scales = np.zeros(token.shape, np.float32)
    hit = token >= 0
    rows = token[hit]
    if len(rows):
        focal = np.sqrt(store.keyframes.rows[store.keyframes_of(rows)][:, 12:14].prod(axis=1))
        source = points.center_inverse_depth(store, rows)
        ratio = np.where(
            depth[hit] > 0.0, depth[hit] / np.maximum(source, 1e-12), 1.0
        )  # at infinity distances are equal
        scales[hit] = np.clip(np.log2(np.sqrt(grid.K[0, 0] * grid.K[1, 1]) / focal * ratio), -6.0, 6.0)
    return scales
