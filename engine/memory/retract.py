"""Taking back the newest write for good, so that a better version of the same frame leaves no litter in the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from engine.memory.latent_memory import LatentMemory


def retract(memory: LatentMemory) -> bool:
    """Remove the present node, its keyframe and its tokens; what it superseded lives again and its parent is the present.

    Returns:
        False, and nothing is changed, unless the present is the newest node and wrote the newest keyframe.
    """
    tree, store = memory.tree, memory.store
    node = tree.nodes[-1]
    if node.id != tree.current or node.kind != "write" or node.keyframe != store.keyframes.count - 1:
        return False
    first, _, ring_first, _ = (int(value) for value in store.spans.rows[node.keyframe])
    blocks = int(np.searchsorted(store.blocks.rows[:, 2], node.keyframe))
    store.set_alive(node.killed, True)
    for table in (store.features, store.geometry, store.cells, store.state, store.reads):
        table.count = first
    for table in (store.ring_features, store.ring_cells):
        table.count = ring_first
    for table in (store.keyframes, store.grids, store.spans, store.keyframe_node):
        table.count = node.keyframe
    for table in (store.blocks, store.spheres, store.alive_in_block, store.block_read):
        table.count = blocks
    tree.drop_newest()
    return True
