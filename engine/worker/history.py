"""Commands on the world tree and on regions of the memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.memory import OrientedBox
from engine.messages import (
    Box,
    Branch,
    Checkout,
    Erase,
    Freeze,
    Redo,
    RegionStats,
    RenameNode,
    SelectRegion,
    Undo,
)
from engine.worker.compare import steps_of
from engine.worker.opened import can_undo
from engine.worker.present import memory_of, open_world_of

if TYPE_CHECKING:
    from engine.worker.loop import EngineLoop


def _recall(loop: EngineLoop, index: int | None = None) -> None:
    """After the present moved: show the frame that belongs to it, or what the memory knows from where we stand."""
    world = open_world_of(loop)
    loop.leave_place()
    node = memory_of(loop).current
    record = world.frames.at_index(index) if index is not None else world.frames.at_node(node)
    if record is not None and not record.jpeg:
        record = None
    if record is not None:
        result = record.result()
    else:
        preview = world.explorer.preview(world.camera)
        assert world.last is not None
        result = replace(
            world.last,
            node=node,
            camera=preview.camera,
            rgb=preview.rgb,
            inverse_depth=preview.inverse_depth,
            coverage=preview.coverage,
            timings_ms=preview.timings_ms,
            steps=0,
            tokens_written=0,
            tokens_superseded=0,
        )
    world.touch()
    loop.show(world, replace(result, stats=world.explorer.memory.stats()), recalled=True)
    loop.memory_changed()


def _undo(loop: EngineLoop, ident: int, command: Undo) -> Any:
    if can_undo(memory_of(loop)) and memory_of(loop).undo():
        _recall(loop)
    return memory_of(loop).current


def _redo(loop: EngineLoop, ident: int, command: Redo) -> Any:
    if memory_of(loop).redo():
        _recall(loop)
    return memory_of(loop).current


def _checkout(loop: EngineLoop, ident: int, command: Checkout) -> Any:
    memory_of(loop).checkout(command.node)
    _recall(loop, command.index)
    return command.node


def _branch(loop: EngineLoop, ident: int, command: Branch) -> Any:
    node = memory_of(loop).branch(command.name)
    open_world_of(loop).touch()
    loop.memory_changed()
    return node


def _rename(loop: EngineLoop, ident: int, command: RenameNode) -> Any:
    memory_of(loop).rename(command.node, command.name)
    open_world_of(loop).touch()
    loop.memory_changed()
    return command.node


def _region(region: Box | np.ndarray) -> OrientedBox | np.ndarray:
    if isinstance(region, Box):
        return OrientedBox(region.center_m, region.half_m, region.rotation)
    return np.asarray(region, np.int64)


def _erase(loop: EngineLoop, ident: int, command: Erase) -> Any:
    memory, world = memory_of(loop), open_world_of(loop)
    before = memory.current
    node = memory.erase(_region(command.region))
    if node != before:
        world.touch()
        world.last_is_stale = True
        loop.memory_changed()
    return node


def _freeze(loop: EngineLoop, ident: int, command: Freeze) -> Any:
    memory = memory_of(loop)
    node = (memory.freeze if command.frozen else memory.thaw)(_region(command.region))
    open_world_of(loop).touch()
    loop.memory_changed()
    return node


def _select(loop: EngineLoop, ident: int, command: SelectRegion) -> Any:
    memory, world = memory_of(loop), open_world_of(loop)
    tokens = memory.tokens_in(_region(command.region))
    if not len(tokens):
        return RegionStats(tokens, 0.0, 0.0, 0.0, 0, (-1, -1))
    info = memory.token_info(tokens)
    steps = steps_of(world, memory, info.node)
    finite = info.footprint_m[np.isfinite(info.footprint_m)]
    return RegionStats(
        tokens=tokens,
        mib=len(tokens) * memory.stats().bytes_per_token / 2**20,
        age_median=float(np.median(world.explorer.index - 1 - steps)),
        footprint_median_m=float(np.median(finite)) if finite.size else float("inf"),
        reads=int(info.reads.sum()),
        steps=(int(steps.min()), int(steps.max())),
    )


HISTORY: dict[type, Any] = {
    Undo: _undo,
    Redo: _redo,
    Checkout: _checkout,
    Branch: _branch,
    RenameNode: _rename,
    Erase: _erase,
    Freeze: _freeze,
    SelectRegion: _select,
}
"""Handlers by command."""
