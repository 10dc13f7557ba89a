"""Views that are remembered at coarser scales than they are given at, for who sees them from farther away.

What is written and what is superseded is decided for the views as they are: cells of a coarse one are too large to tell
what a thing's outline hides. So they join a memory that is complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.memory.checks import checked_view
from engine.memory.config import LatentView, MemoryConfig
from engine.memory.grids import cell_of
from engine.memory.kernels import ALIVE
from engine.memory.latent_memory import LatentMemory
from engine.memory.readout import ReadoutNetwork
from engine.memory.store import TokenStore
from engine.memory.surface import planar_tokens, rims
from engine.memory.tree import Node
from engine.memory.writing import known_cells, sampled_cells, write_backdrop


@dataclass(frozen=True, eq=False)
class ScaledView:
    """One view to be written.

    Attributes:
        scales: coarse to fine, each with twice as many cells a side as the one before; the last is the view itself.
        backdrop: a second layer of it.
        chosen: all that is known of it tells more than the views before: whoever stored it found that out.
    """

    scales: Sequence[LatentView]
    backdrop: LatentView | None = None
    chosen: bool = False


def memory_at_scales(config: MemoryConfig, network: ReadoutNetwork | None, views: Sequence[ScaledView]) -> LatentMemory:
    """A memory of views, and of their coarser scales, where any of the four tokens that a coarser one stands for live.

    Raises:
        InputError: as for :meth:`LatentMemory.write`.
    """
    plain, memory = (LatentMemory(config, network) for _ in range(2))
    several = any(len(view.scales) > 1 for view in views)
    nodes: list[Node | None] = []
    for view in views:
        if view.chosen and several:
            nodes.append(None)
            continue
        report = plain.write(view.scales[-1], backdrop=view.backdrop)
        nodes.append(plain.tree[report.node] if report.tokens_written else None)
    if not several:
        return plain
    dead = []
    for view, before in zip(views, nodes, strict=True):
        if before is not None:
            written, living = _masks(config, view.scales, *cells_of(plain, before.keyframe))
        elif view.chosen:
            known = known_cells(sampled_cells(config, checked_view(config, view.scales[-1])[1]))
            written, living = _masks(config, view.scales, known, known)
        else:
            continue
        node = memory.tree.add("write")
        keyframes: list[int] = []
        for scale, mask, lives in zip(view.scales, written, living, strict=True):
            if mask.any():
                keyframes.append(memory.store.keyframes.count)
                rows = _append(memory, scale, mask, node.id, refines=keyframes[-2] if len(keyframes) > 1 else -1)
                dead.append(rows[~_in_order(lives, memory.store, keyframes[-1])])
                node.written += len(rows)
        node.keyframe, node.finer = keyframes[0], tuple(keyframes[1:])
        if view.backdrop is not None and before is not None and before.backdrop >= 0:
            latents, inverse_depth, camera = checked_view(config, view.backdrop)
            node.written += write_backdrop(config, memory.store, node, latents, inverse_depth, camera)
            dead.append(memory.store.rows_of(node.backdrop)[~_alive(plain.store, before.backdrop)])
    if dead:
        killed = np.concatenate(dead)
        memory.tree.record(memory.tree[memory.tree.current], killed=killed)
        memory.store.set_alive(killed, False)
    return memory


def _masks(
    config: MemoryConfig, scales: Sequence[LatentView], written: np.ndarray, alive: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """(h, w) bool of every scale: the cells that become its tokens, each with all four that it stands for; and those
    that live. Of the last of them those are given."""
    living = [alive]
    for scale in reversed(scales[:-1]):
        some = living[0].reshape(living[0].shape[0] // 2, 2, living[0].shape[1] // 2, 2).any(axis=(1, 3))
        living.insert(0, some & known_cells(sampled_cells(config, checked_view(config, scale)[1])))
    masks = [*living[:-1], written]
    for level in range(1, len(masks)):
        masks[level] = masks[level] | masks[level - 1].repeat(2, axis=0).repeat(2, axis=1)
    return masks, living


def cells_of(memory: LatentMemory, keyframe: int) -> tuple[np.ndarray, np.ndarray]:
    """Of a view that a memory wrote, (h, w) bool: the cells that became tokens, and those of them that live."""
    store = memory.store
    height, width = store.grids.rows[keyframe]
    u, v = cell_of(store.cells.rows[store.rows_of(keyframe)], int(width))
    written, alive = np.zeros((2, height, width), np.bool_)
    written[v, u], alive[v, u] = True, _alive(store, keyframe)
    return written, alive


def _in_order(cells: np.ndarray, store: TokenStore, keyframe: int) -> np.ndarray:
    """(n,) of a keyframe's tokens, of ``cells (h, w)``."""
    u, v = cell_of(store.cells.rows[store.rows_of(keyframe)], int(store.grids.rows[keyframe, 1]))
    return np.asarray(cells[v, u])


def _alive(store: TokenStore, keyframe: int) -> np.ndarray:
    """(n,) bool: which tokens of a keyframe live."""
    return np.asarray(store.state.rows[store.rows_of(keyframe)] & ALIVE > 0)


def _append(memory: LatentMemory, view: LatentView, mask: np.ndarray, node: int, refines: int) -> np.ndarray:
    """Write the cells ``mask (h, w)`` bool of a view; their rows (n,) int64."""
    config, s = memory.config, memory.config.samples
    latents, inverse_depth, camera = checked_view(config, view)
    planar, rim = planar_tokens(inverse_depth, s), rims(latents, inverse_depth, s)
    samples = sampled_cells(config, inverse_depth)
    return memory.store.append(camera, latents, samples, planar, mask, node, refines=refines, rim=rim)
