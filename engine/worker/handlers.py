"""What each command does. A handler returns the reply, or ``None`` when there is none (or it comes later)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import InputError
from engine.explorer import check_size
from engine.export import DepthFrame, MeshJob, write_png, write_points_ply
from engine.flight import memory_points
from engine.memory import LatentMemory, OrientedBox, points
from engine.messages import (
    MEMORY_VARIANTS,
    Box,
    Branch,
    CancelExport,
    Checkout,
    Command,
    Erase,
    Export,
    ExportFrame,
    ExportMesh,
    ExportPoints,
    ExportStill,
    FetchFrame,
    FrameUpdate,
    Freeze,
    Inspect,
    OpenImage,
    OpenSession,
    OpenWorld,
    Pause,
    Plan,
    Provenance,
    Record,
    Redo,
    RegionStats,
    RenameNode,
    Reset,
    ResolvePath,
    SaveSession,
    SelectRegion,
    SetBudget,
    SetCompareSource,
    SetNotes,
    SetQuality,
    SetVariant,
    Undo,
    WorkerState,
)
from engine.session import FrameRecord
from engine.worker import saving
from engine.worker.cancelling import WorkCancel
from engine.worker.compare import conditions, steps_of
from engine.worker.loading import open_world
from engine.worker.opened import can_undo
from engine.worker.works import MeshWork, PathFilm, PlanWork, RecordedFilm, check_film, still

if TYPE_CHECKING:
    from engine.worker.loop import EngineLoop
    from engine.worker.opened import OpenedWorld

Handler = Callable[["EngineLoop", int, Any], Any]
MAX_STEPS = 256


def handle(loop: EngineLoop, ident: int, command: Command) -> Any:
    """Carry out a command; returns its reply, ``None`` for none."""
    return HANDLERS[type(command)](loop, ident, command)


def _world(loop: EngineLoop) -> OpenedWorld:
    if loop.world is None:
        raise InputError("No world is open; open one first.")
    return loop.world


def _memory(loop: EngineLoop) -> LatentMemory:
    memory = _world(loop).explorer.memory.latent
    if memory is None:
        raise InputError("This world keeps no latent memory; open one with the memory latent to do that.")
    return memory


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
    world = _world(loop)
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
    world = _world(loop)
    world.notes = dict(command.notes)
    world.touch()


# ------------------------------------------------------------------------------------------- the world tree


def _recall(loop: EngineLoop, index: int | None = None) -> None:
    """After the present moved: show the frame that belongs to it, or what the memory knows from where we stand."""
    world = _world(loop)
    loop.leave_place()
    node = _memory(loop).current
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
    if can_undo(_memory(loop)) and _memory(loop).undo():
        _recall(loop)
    return _memory(loop).current


def _redo(loop: EngineLoop, ident: int, command: Redo) -> Any:
    if _memory(loop).redo():
        _recall(loop)
    return _memory(loop).current


def _checkout(loop: EngineLoop, ident: int, command: Checkout) -> Any:
    _memory(loop).checkout(command.node)
    _recall(loop, command.index)
    return command.node


def _branch(loop: EngineLoop, ident: int, command: Branch) -> Any:
    node = _memory(loop).branch(command.name)
    _world(loop).touch()
    loop.memory_changed()
    return node


def _rename(loop: EngineLoop, ident: int, command: RenameNode) -> Any:
    _memory(loop).rename(command.node, command.name)
    _world(loop).touch()
    loop.memory_changed()
    return command.node


def _region(region: Box | np.ndarray) -> OrientedBox | np.ndarray:
    if isinstance(region, Box):
        return OrientedBox(region.center_m, region.half_m, region.rotation)
    return np.asarray(region, np.int64)


def _erase(loop: EngineLoop, ident: int, command: Erase) -> Any:
    memory, world = _memory(loop), _world(loop)
    before = memory.current
    node = memory.erase(_region(command.region))
    if node != before:
        world.touch()
        world.last_is_stale = True
        loop.memory_changed()
    return node


def _freeze(loop: EngineLoop, ident: int, command: Freeze) -> Any:
    memory = _memory(loop)
    node = (memory.freeze if command.frozen else memory.thaw)(_region(command.region))
    _world(loop).touch()
    loop.memory_changed()
    return node


def _select(loop: EngineLoop, ident: int, command: SelectRegion) -> Any:
    memory, world = _memory(loop), _world(loop)
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
    world = _world(loop)
    if command.on and not world.recording:
        world.recorded = []
    world.recording = command.on
    world.touch()
    loop.publish_world()


def _inspect(loop: EngineLoop, ident: int, command: Inspect) -> Any:
    world = _world(loop)
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


def _record_of(loop: EngineLoop, node: int | None, index: int | None = None) -> FrameRecord | None:
    world = _world(loop)
    record = world.frames.at_index(index) if index is not None else world.frames.at_node(node or 0)
    return record if record is not None and record.jpeg else None


def _fetch(loop: EngineLoop, ident: int, command: FetchFrame) -> Any:
    record = _record_of(loop, command.node, command.index)
    return FrameUpdate(record.result(), recalled=True) if record is not None else None


# ------------------------------------------------------------------------------------------- exports


def _plan(loop: EngineLoop, ident: int, command: Plan) -> None:
    loop.works.insert(0, PlanWork(ident, command, _world(loop)))


def _resolve(loop: EngineLoop, ident: int, command: ResolvePath) -> Any:
    from engine.path import resolve_path

    world = _world(loop)
    truth = world.explorer.world if world.has_truth else None
    return resolve_path(
        command.text,
        command.start,
        command.frames,
        fps=command.fps,
        ground_height_m=None if truth is None else lambda xy: truth.ground_height_m(xy).numpy(),
    )


def _export(loop: EngineLoop, ident: int, command: Export) -> None:
    world, job = _world(loop), command.job
    check_film(job, world)
    film = RecordedFilm(ident, job, world) if job.source == "recorded" else PathFilm(ident, job, world)
    loop.works.append(film)
    film.tell(loop, None)


def _still(loop: EngineLoop, ident: int, command: ExportStill) -> Any:
    return still(_world(loop), command.job, command.index, WorkCancel(loop.inbox, interruptible=True))


def _cancel_export(loop: EngineLoop, ident: int, command: CancelExport) -> None:
    for work in [work for work in loop.works if work.id == command.id]:
        work.cancel(loop)
        loop.works.remove(work)


def _points(loop: EngineLoop, ident: int, command: ExportPoints) -> Any:
    positions_m, colours = memory_points(_memory(loop))
    config = _world(loop).explorer.config
    write_points_ply(command.path, positions_m, colours, [f"Mirage, {config.biome or 'image'}, seed {config.seed}"])
    return command.path


def _mesh(loop: EngineLoop, ident: int, command: ExportMesh) -> None:
    world = _world(loop)
    memory = world.explorer.memory.latent
    nodes = set(memory.tree.ancestors(memory.current)) if memory is not None else {0}
    frames = {r.summary.index: r for r in world.frames if r.jpeg and r.summary.node in nodes}
    views = (DepthFrame(r.summary.camera, r.rgb(), r.inverse_depth.astype(np.float32)) for r in frames.values())
    loop.works.append(MeshWork(ident, MeshJob(views, command.path, command.voxel_m)))


def _frame(loop: EngineLoop, ident: int, command: ExportFrame) -> Any:
    world = _world(loop)
    if command.node is None:
        if world.last is None:
            raise InputError("There is no frame yet.")
        write_png(command.path, world.last.rgb)
        return command.path
    record = _record_of(loop, command.node)
    if record is None:
        raise InputError(f"No frame of node {command.node} was kept; choose another.")
    write_png(command.path, record.rgb())
    return command.path


HANDLERS: dict[type, Handler] = {
    OpenWorld: _open,
    OpenImage: _open,
    OpenSession: _open,
    Reset: _reset,
    SaveSession: _save,
    SetNotes: _notes,
    Undo: _undo,
    Redo: _redo,
    Checkout: _checkout,
    Branch: _branch,
    RenameNode: _rename,
    Erase: _erase,
    Freeze: _freeze,
    SelectRegion: _select,
    SetQuality: _set_quality,
    SetBudget: _set_budget,
    SetVariant: _set_variant,
    SetCompareSource: _set_compare,
    Pause: _pause,
    Record: _record,
    Inspect: _inspect,
    FetchFrame: _fetch,
    Plan: _plan,
    ResolvePath: _resolve,
    Export: _export,
    ExportStill: _still,
    CancelExport: _cancel_export,
    ExportPoints: _points,
    ExportMesh: _mesh,
    ExportFrame: _frame,
}
