"""What a memory holds and costs, counted from its tables."""

from __future__ import annotations

from dataclasses import dataclass

from engine.memory.store import TokenStore
from engine.memory.tree import WorldTree


@dataclass(frozen=True)
class MemoryStats:
    """Sizes of a memory at its present node.

    Attributes:
        tokens_living: alive at the present node. tokens_stored: all, with history and other branches. ring_stored:
            neighbours kept
        for readouts only.
        bytes_total: used by tokens, rings, keyframes, blocks, liveness and tree. bytes_reserved: with the tables' room
            for growth.
        bytes_per_token: everything that the living tokens need (their rows, and their share of rings, keyframes and
            blocks) over
        their number.
        voxels_occupied: half-metre voxels that hold a living token. mib: ``bytes_total`` in MiB. budget_mib: None for
            no limit. evicted: tokens dropped for the budget so far.
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
    voxels_occupied: int
    budget_mib: float | None
    evicted: int
    hit_rate: float


def count_stats(
    store: TokenStore,
    tree: WorldTree,
    *,
    voxels_occupied: int,
    budget_mib: float | None,
    evicted: int,
    cells_read: int,
    cells_hit: int,
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
        voxels_occupied=voxels_occupied,
        budget_mib=budget_mib,
        evicted=evicted,
        hit_rate=cells_hit / cells_read if cells_read else 0.0,
    )
