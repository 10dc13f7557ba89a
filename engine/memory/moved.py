"""Tokens once more, elsewhere: of what repeats itself, one copy tells all."""

from __future__ import annotations

import numpy as np

from engine.memory.kernels import ALIVE, PLANAR, RIM
from engine.memory.latent_memory import LatentMemory
from engine.memory.store import TokenStore


def add_moved(memory: LatentMemory, rows: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """Let tokens stand once more where a rigid ``motion (4, 4)`` takes them.

    Args:
        rows: (n,) int64 ids of living tokens; of those that are kept at several scales the finest tell.

    Returns:
        (m,) int64 ids of the new ones, at all scales.
    """
    store = memory.store
    chosen = _chosen(store, rows)
    moved: dict[int, tuple[int, np.ndarray]] = {}
    added = [np.empty(0, np.int64)]
    for keyframe in sorted(chosen):  # coarse ones come before their finer ones
        its = store.rows_of(keyframe)
        u, v = store.cell(its)
        height, width = (int(side) for side in store.grids.rows[keyframe])
        refines, written = moved.get(keyframe, (-1, chosen[keyframe]))
        latents = np.zeros((store.channels, height, width), np.float32)
        latents[:, v, u] = store.features.rows[its].T
        inverse_depth = np.full((height, width, store.samples**2), np.nan, np.float32)
        inverse_depth[v, u] = store.inverse_depth(its)
        planar, rim = np.zeros((2, height, width), np.bool_)
        planar[v, u], rim[v, u] = store.state.rows[its] & PLANAR > 0, store.state.rows[its] & RIM > 0
        camera, node = store.keyframe(keyframe).camera, memory.tree.add("write")
        node.keyframe, node.written = store.keyframes.count, int(written.sum())
        new = store.append(
            camera.posed(motion @ camera.c2w), latents, inverse_depth, planar, written, node.id, refines, rim=rim
        )
        finer = int(store.finer.rows[keyframe])
        if finer in chosen:  # a coarse token gives way to all four finer ones or to none
            moved[finer] = node.keyframe, chosen[finer] | written.repeat(2, axis=0).repeat(2, axis=1)
        column, line = store.cell(new)
        lives = chosen[keyframe][line, column]
        store.set_alive(new[~lives], False)
        added.append(new[lives])
    return np.concatenate(added)


def _chosen(store: TokenStore, rows: np.ndarray) -> dict[int, np.ndarray]:
    """(h, w) bool of every keyframe that some tokens are of, fine ones first; of a coarse one, those that stand for
    any of them."""
    chosen: dict[int, np.ndarray] = {}
    for keyframe in map(int, np.unique(store.keyframes_of(rows))[::-1]):
        its = store.rows_of(keyframe)
        cells = np.zeros(tuple(store.grids.rows[keyframe]), np.bool_)
        finer = int(store.finer.rows[keyframe])
        if finer < 0:
            its = its[np.isin(its, rows)]
        elif finer not in chosen:
            continue
        u, v = store.cell(its[store.state.rows[its] & ALIVE > 0])
        cells[v, u] = True
        if finer >= 0:
            height, width = cells.shape
            cells &= chosen[finer].reshape(height, 2, width, 2).any(axis=(1, 3))
        if cells.any():
            chosen[keyframe] = cells
    return chosen
