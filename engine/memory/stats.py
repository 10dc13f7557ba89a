"""What a memory holds and costs, counted from its tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.memory import points
from engine.memory.store import TokenStore
from engine.memory.tree import WorldTree

VOXEL_M = 0.5


@dataclass(frozen=True)
class MemoryStats:
    """Sizes of a memory at its present node.

    Attributes:
        tokens_living: alive at the present node. tokens_stored: all, with history and other branches. ring_stored: neighbours kept
        for readouts only.
        bytes_total: used by tokens, rings, keyframes, blocks, liveness and tree. bytes_reserved: with the tables' room for growth.
        bytes_per_token: everything that the living tokens need (their rows, and their share of rings, keyframes and blocks) over
        their number.
        mib: ``bytes_total`` in MiB. budget_mib: None for no limit. evicted: tokens dropped for the budget so far.
        hit_rate: share of cells that readouts found covered, since the memory was made.
    """

    tokens_living: int
    tokens_stored: int
    ring_stored: int
    bytes_total: int
    bytes_reserved: int
    bytes_per_token: float
    mib: float
    keyframes: int
    nodes: int
    budget_mib: float | None
    evicted: int
    hit_rate: float


def count_stats(
    store: TokenStore, tree: WorldTree, *, budget_mib: float | None, evicted: int, cells_read: int, cells_hit: int
) -> MemoryStats:
    """Gather :class:`MemoryStats`; costs a sum over blocks, not over tokens."""
    living = int(store.alive_in_block.rows.sum())
    stored = len(store)
    total = store.used_bytes + tree.bytes
    # Rings, keyframes and blocks belong to all stored tokens alike; history kept for undo is not charged to the living.
    per_token = store.used_bytes / stored if stored else 0.0
    return MemoryStats(
        tokens_living=living,
        tokens_stored=stored,
        ring_stored=store.ring_cells.count,
        bytes_total=total,
        bytes_reserved=sum(table.reserved_bytes for table in store.tables.values()) + tree.bytes,
        bytes_per_token=per_token,
        mib=total / 2**20,
        keyframes=store.keyframes.count,
        nodes=len(tree),
        budget_mib=budget_mib,
        evicted=evicted,
        hit_rate=cells_hit / cells_read if cells_read else 0.0,
    )


def count_voxels(store: TokenStore, rows: np.ndarray, voxel_m: float = VOXEL_M) -> int:
    """Number of distinct voxels that the finite tokens ``rows (n,)`` lie in: a measure of explored area."""
    finite = rows[points.center_inverse_depth(store, rows) > 0.0]
    if not len(finite):
        return 0
    return len(np.unique(np.floor(points.positions(store, finite) / voxel_m).astype(np.int64), axis=0))
