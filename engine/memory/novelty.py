"""The write policy ``novel``: which cells of a view tell the memory something, and which tokens they make obsolete."""

from __future__ import annotations

import numpy as np

from engine.memory.config import MemoryConfig
from engine.memory.readout import SampleMap
from engine.memory.store import TokenStore

FULL_SHARE = 0.85
"""A coarse token is superseded only if the view saw at least this share of it: what lies outside the frame must not
die."""
FAR_INVERSE_M = 1.0 / 200.0
"""Beyond 200 m a surface and the sky behind it are not told apart."""


def cells(samples: np.ndarray, s: int) -> np.ndarray:
    """``(h*s, w*s)`` samples regrouped as ``(h, w, s*s)``."""
    height, width = samples.shape[0] // s, samples.shape[1] // s
    return samples.reshape(height, s, width, s).transpose(0, 2, 1, 3).reshape(height, width, s * s)


def decide(
    config: MemoryConfig, store: TokenStore, seen: SampleMap, inverse_depth: np.ndarray, writable: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cells to write and tokens that die of it.

    Args:
        seen: the memory at the view's camera.
        inverse_depth: (h, w, s*s) float32 of the new view, NaN unknown.
        writable: (h, w) bool, cells whose depth is known well enough.

    Returns:
        written (h, w) bool and superseded rows (n,) int64.
    """
    s = config.samples
    token = cells(seen.token.numpy(), s)
    covered = token >= 0
    share = covered.mean(axis=2)
    known = cells(seen.inverse_depth.numpy(), s)
    hole = share < config.coverage_min
    # A cell is finer only as a whole: every covered sample must be magnified.
    scale = np.where(covered, cells(seen.log2_scale.numpy(), s), np.inf).min(axis=2)
    finer = ~hole & (scale > config.finer_log2) & (scale < np.inf)
    with np.errstate(invalid="ignore"):
        ahead = inverse_depth > np.maximum(config.front_ratio * known, FAR_INVERSE_M)
    front = ~hole & (ahead | ~covered).all(axis=2)
    front &= _majority(front)
    held = covered & store.frozen_at(np.where(covered, token, 0))
    written = writable & (hole | front | (finer & ~held.any(axis=2)))
    superseded = _superseded(store, token, covered, scale, written & finer & ~front)
    return written, superseded


def _majority(mask: np.ndarray) -> np.ndarray:
    """(h, w) bool: at least 5 of the 9 cells around agree, so that a silhouette off by one cell is no new object."""
    height, width = mask.shape
    padded = np.pad(mask.astype(np.uint8), 1)
    total = sum(padded[i : i + height, j : j + width] for i in range(3) for j in range(3))
    return np.asarray(total >= 5)


def _superseded(
    store: TokenStore, token: np.ndarray, covered: np.ndarray, scale: np.ndarray, written: np.ndarray
) -> np.ndarray:
    """Rows of coarse tokens all of whose visible samples were written anew and that were seen nearly whole."""
    candidates, samples_anew = np.unique(token[written[..., None] & covered], return_counts=True)
    if not len(candidates):
        return np.empty(0, np.int64)
    all_seen = token[covered]
    slot = np.searchsorted(candidates, all_seen)
    slot[slot == len(candidates)] = 0
    matching = candidates[slot] == all_seen
    samples_seen = np.bincount(slot[matching], minlength=len(candidates))
    octaves = np.broadcast_to(scale[..., None], token.shape)[covered][matching]
    typical = np.bincount(slot[matching], weights=octaves, minlength=len(candidates)) / np.maximum(samples_seen, 1)
    expected = np.exp2(2.0 * typical) * token.shape[2]
    dies = (samples_anew == samples_seen) & (samples_seen >= FULL_SHARE * expected) & ~store.frozen_at(candidates)
    return candidates[dies]
