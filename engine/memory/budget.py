"""Keeping a memory within its budget.

The rule, in order, until the memory uses nine tenths of its budget:
  1. tokens that are not alive at the present node (superseded, erased, on other branches), oldest first; undo then
  cannot bring them back;
  2. living tokens by blocks of up to 64 tokens of one keyframe, the block whose last winning readout is longest ago
  first, among
     equals the older. Frozen tokens and the newest keyframe stay.
If what must stay exceeds the budget, the memory stays above it. So finer scales of a view are written only as far as
half of the budget holds them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from engine.memory.config import LatentView
from engine.memory.store import TokenStore
from engine.memory.tree import ROW_LISTS, WorldTree

TARGET_SHARE = 0.9


def affordable(store: TokenStore, finer: Sequence[LatentView], budget_mib: float | None) -> Sequence[LatentView]:
    """As many finer scales of a view as take no more than half of the budget: the rest is for what comes."""
    if budget_mib is None:
        return finer
    token_bytes = store.features.row_bytes + store.geometry.row_bytes + store.cells.row_bytes
    left, kept = 0.5 * budget_mib * 2**20, 0
    for view in finer:
        known = int((~torch.isnan(torch.as_tensor(view.inverse_depth))).sum())
        left -= token_bytes * known / store.samples**2
        if left < 0.0:
            break
        kept += 1
    return finer[:kept]


def over_budget(store: TokenStore, tree: WorldTree, budget_mib: float | None) -> bool:
    return budget_mib is not None and store.used_bytes + tree.bytes > budget_mib * 2**20


def choose(store: TokenStore, tree: WorldTree, budget_mib: float) -> np.ndarray:
    """(N,) bool: rows to keep."""
    excess = store.used_bytes + tree.bytes - TARGET_SHARE * budget_mib * 2**20
    per_row = store.used_bytes / max(len(store), 1)
    wanted = int(np.ceil(excess / per_row))
    keep = np.ones(len(store), np.bool_)
    writers = store.keyframe_node.rows
    newest = int(store.spans.rows[np.searchsorted(writers, writers[-1]), 0])
    frozen = store.frozen
    dead = np.flatnonzero(~store.alive & ~frozen)[:wanted]
    keep[dead] = False
    wanted -= len(dead)
    if wanted <= 0:
        return keep
    blocks = store.blocks.rows
    for block in np.lexsort((np.arange(len(blocks)), store.block_read.rows)):
        first, count, _ = blocks[block]
        if first >= newest:
            continue
        rows = slice(first, first + count)
        goes = keep[rows] & ~frozen[rows]
        keep[rows] &= ~goes
        wanted -= int(goes.sum())
        if wanted <= 0:
            break
    return keep


def drop(store: TokenStore, tree: WorldTree, keep: np.ndarray) -> int:
    """Drop the rows where ``keep (N,)`` is False; returns how many. Rows and keyframes get new numbers, in the tree as
    well."""
    if keep.all():
        return 0
    before = len(store)
    rows, keyframes = store.keep(keep)
    for node in tree.nodes:
        if node.keyframe >= 0:
            node.keyframe = int(keyframes[node.keyframe])
        if node.backdrop >= 0:
            node.backdrop = int(keyframes[node.backdrop])
        node.finer = tuple(int(keyframes[index]) for index in node.finer if keyframes[index] >= 0)
        moved = {name: rows[getattr(node, name)] for name in ROW_LISTS}
        tree.record(node, **{name: kept[kept >= 0] for name, kept in moved.items()})
    return before - len(store)
