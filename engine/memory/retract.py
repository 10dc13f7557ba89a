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
    for left, tables in (
        (first, (store.features, store.geometry, store.cells, store.state, store.reads)),
        (ring_first, (store.ring_features, store.ring_cells)),
        (node.keyframe, (store.keyframes, store.grids, store.spans, store.keyframe_node)),
        (blocks, (store.blocks, store.spheres, store.alive_in_block, store.block_read)),
    ):
        for table in tables:
            table.rows[left:] = 0  # a table's free rows are zeros
            table.count = left
    memory._snapshots.truncated(first, node.keyframe)
    memory._version += 1
    tree.record(node, killed=np.empty(0, np.int64))
    tree.nodes.pop()
    tree.children.pop()
    tree.children[node.parent].remove(node.id)
    if tree.children[node.parent]:
        tree._last_child[node.parent] = tree.children[node.parent][-1]
    else:
        tree._last_child.pop(node.parent, None)
    tree.current = node.parent
    return True
