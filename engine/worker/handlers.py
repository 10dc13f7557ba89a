"""What each command does. A handler returns the reply, or ``None`` when there is none (or it comes later)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import InputError
from engine.memory import points
from engine.messages import (
    MEMORY_VARIANTS,
    Command,
    FetchFrame,
    FrameUpdate,
    Inspect,
    OpenImage,
    OpenSession,
    OpenWorld,
    Pause,
    Provenance,
    Record,
    Reset,
    SaveSession,
    SetBudget,
    SetCompareSource,
    SetNotes,
    SetQuality,
    SetVariant,
    WorkerState,
)
from engine.stepping import check_size
from engine.worker import saving
from engine.worker.cancelling import WorkCancel
from engine.worker.compare import conditions, steps_of
from engine.worker.exporting import EXPORTS
from engine.worker.history import HISTORY
from engine.worker.loading import open_world
from engine.worker.present import open_world_of, record_of

if TYPE_CHECKING:
    from engine.worker.loop import EngineLoop

Handler = Callable[["EngineLoop", int, Any], Any]
MAX_STEPS = 256


def handle(loop: EngineLoop, ident: int, command: Command) -> Any:
    """Carry out a command; returns its reply, ``None`` for none."""
    return HANDLERS[type(command)](loop, ident, command)


# ------------------------------------------------------------------------------------------- opening and saving


def _open(loop: EngineLoop, ident: int, command: OpenWorld | OpenImage | OpenSession) -> Any:
    loop.set_state(WorkerState.WARMING)
    loop.progress(0.0, "opening")
    try:
        world = open_world(
            command,
            loop.model,
            loop.settings,
            loop.quality.size,
            loop.epoch + 1,
            loop.variant,
            loop.progress,
            WorkCancel(loop.inbox),
        )
    finally:
        loop.progress_done()
    loop.epoch += 1
    loop.paused = False
    if isinstance(command, OpenSession):
        loop.quality.size = world.explorer.size
        loop.quality.asked = world.quality or loop.quality.asked
        loop.publish_quality()
    elif world.last is not None:
        world.touch()
    loop.enter(world)
    return world.info()


def _reset(loop: EngineLoop, ident: int, command: Reset) -> Any:
    world = open_world_of(loop)
    if isinstance(world.source, OpenSession):
        if world.explorer.world is None or world.kind == "image":
            raise InputError("A world that was opened from a session cannot begin again; open its image or world anew.")
        config, spec = world.explorer.config, world.explorer.world.spec
        fov_deg = (world.first or world.camera).fov_deg
        again = OpenWorld(config.biome, spec.seed, spec.time, memory=config.memory, fov_deg=fov_deg)
        return _open(loop, ident, replace(again, start="nothing") if world.kind == "nothing" else again)
    return _open(loop, ident, world.source)


def _save(loop: EngineLoop, ident: int, command: SaveSession) -> Any:
    return saving.save(loop, command.path)


def _notes(loop: EngineLoop, ident: int, command: SetNotes) -> None:
    world = open_world_of(loop)
    world.notes = dict(command.notes)
    world.touch()


# ------------------------------------------------------------------------------------------- quality and views


def _set_quality(loop: EngineLoop, ident: int, command: SetQuality) -> Any:
    stride = loop.model.spec.spatial_stride
    if command.size is not None:
        check_size(command.size, stride)
    if command.steps != "auto" and not 1 <= command.steps <= MAX_STEPS:
        raise InputError(f"The number of steps must be between 1 and {MAX_STEPS}, or auto; it is {command.steps}.")
    loop.quality.asked = command
    if command.size is not None and command.size != loop.quality.size:
        loop.quality.size, loop.quality.dropped = command.size, ""
        if loop.world is not None:
            loop.world.explorer.resize(command.size)
            loop.world.last_is_stale = True
            loop.publish_world()
    loop.paused = False
    loop.publish_quality()
    return loop.quality.info()


def _set_budget(loop: EngineLoop, ident: int, command: SetBudget) -> None:
    if command.mib is not None and not command.mib > 0:
        raise InputError(f"The memory's limit must be more than 0 MiB; it is {command.mib}.")
    loop.settings = replace(loop.settings, budget_mib=command.mib)
    if loop.world is not None:
        loop.world.explorer.set_budget(command.mib)
        loop.memory_changed()


def _set_variant(loop: EngineLoop, ident: int, command: SetVariant) -> None:
    if command.memory not in MEMORY_VARIANTS:
        raise InputError(f"Unknown memory {command.memory!r}; choose one of {', '.join(MEMORY_VARIANTS)}.")
    loop.variant = command.memory


def _set_compare(loop: EngineLoop, ident: int, command: SetCompareSource) -> None:
    loop.second.choose(command.source, command.node)
    loop.second.refresh(loop)


def _pause(loop: EngineLoop, ident: int, command: Pause) -> None:
    loop.paused = command.on


def _record(loop: EngineLoop, ident: int, command: Record) -> None:
    world = open_world_of(loop)
    if command.on and not world.recording:
        world.recorded = []
    world.recording = command.on
    world.touch()
    loop.publish_world()


def _inspect(loop: EngineLoop, ident: int, command: Inspect) -> Any:
    world = open_world_of(loop)
    if world.last is None:
        raise InputError("There is no frame to look into yet.")
    known = conditions(world)
    row, column = command.cell
    if not (0 <= row < known.token.shape[0] and 0 <= column < known.token.shape[1]):
        raise InputError(
            f"The frame has {known.token.shape[0]}x{known.token.shape[1]} cells; {row}, {column} is not one of them."
        )
    token, coverage = int(known.token[row, column]), float(known.coverage[row, column])
    memory = world.explorer.memory.latent
    if memory is None or not 0 <= token < len(memory.store):
        return Provenance((row, column), -1, coverage)
    ids = np.array([token])
    info = memory.token_info(ids)
    step = int(steps_of(world, memory, info.node)[0])
    position = points.positions(memory.store, ids)[0]
    s = known.inverse_depth.shape[0] // known.token.shape[0]
    inverse = float(known.inverse_depth[row * s : row * s + s, column * s : column * s + s].max())
    return Provenance(
        cell=(row, column),
        token=token,
        coverage=coverage,
        node=int(info.node[0]),
        step=step,
        keyframe=int(info.keyframe[0]),
        source_cell=(int(info.cell[0, 1]), int(info.cell[0, 0])),
        age=max(0, world.last.index - step),
        depth_m=1.0 / inverse if inverse > 0.0 else float("inf"),
        footprint_m=float(info.footprint_m[0]),
        reads=int(info.reads[0]),
        log2_scale=float(known.log2_scale[row, column]),
        offset=(float(known.offsets[0, row, column]), float(known.offsets[1, row, column])),
        position_m=(float(position[0]), float(position[1]), float(position[2]))
        if np.isfinite(info.depth_m[0])
        else None,
        frozen=bool(info.frozen[0]),
    )


def _fetch(loop: EngineLoop, ident: int, command: FetchFrame) -> Any:
    record = record_of(loop, command.node, command.index)
    return FrameUpdate(record.result(), recalled=True) if record is not None else None


HANDLERS: dict[type, Handler] = {
    OpenWorld: _open,
    OpenImage: _open,
    OpenSession: _open,
    Reset: _reset,
    SaveSession: _save,
    SetNotes: _notes,
    SetQuality: _set_quality,
    SetBudget: _set_budget,
    SetVariant: _set_variant,
    SetCompareSource: _set_compare,
    Pause: _pause,
    Record: _record,
    Inspect: _inspect,
    FetchFrame: _fetch,
    **HISTORY,
    **EXPORTS,
}
