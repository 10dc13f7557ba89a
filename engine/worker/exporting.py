"""Commands that take something home: films, points, meshes, frames; and plans of what a film would find."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import InputError
from engine.export import DepthFrame, MeshJob, write_png, write_points_ply
from engine.flight import memory_points
from engine.messages import (
    CancelExport,
    Export,
    ExportFrame,
    ExportMesh,
    ExportPoints,
    ExportStill,
    Plan,
    ResolvePath,
)
from engine.worker.cancelling import WorkCancel
from engine.worker.present import memory_of, open_world_of, record_of
from engine.worker.works import MeshWork, PathFilm, PlanWork, RecordedFilm, check_film, still

if TYPE_CHECKING:
    from engine.worker.loop import EngineLoop


def _plan(loop: EngineLoop, ident: int, command: Plan) -> None:
    loop.works.insert(0, PlanWork(ident, command, open_world_of(loop)))


def _resolve(loop: EngineLoop, ident: int, command: ResolvePath) -> Any:
    from engine.path import resolve_path

    world = open_world_of(loop)
    truth = world.explorer.world if world.has_truth else None
    return resolve_path(
        command.text,
        command.start,
        command.frames,
        fps=command.fps,
        ground_height_m=None if truth is None else lambda xy: truth.ground_height_m(xy).numpy(),
    )


def _export(loop: EngineLoop, ident: int, command: Export) -> None:
    world, job = open_world_of(loop), command.job
    check_film(job, world)
    film = RecordedFilm(ident, job, world) if job.source == "recorded" else PathFilm(ident, job, world)
    loop.works.append(film)
    film.tell(loop, None)


def _still(loop: EngineLoop, ident: int, command: ExportStill) -> Any:
    return still(open_world_of(loop), command.job, command.index, WorkCancel(loop.inbox, interruptible=True))


def _cancel_export(loop: EngineLoop, ident: int, command: CancelExport) -> None:
    for work in [work for work in loop.works if work.id == command.id]:
        work.cancel(loop)
        loop.works.remove(work)


def _points(loop: EngineLoop, ident: int, command: ExportPoints) -> Any:
    positions_m, colours = memory_points(memory_of(loop))
    config = open_world_of(loop).explorer.config
    write_points_ply(command.path, positions_m, colours, [f"Mirage, {config.biome or 'image'}, seed {config.seed}"])
    return command.path


def _mesh(loop: EngineLoop, ident: int, command: ExportMesh) -> None:
    world = open_world_of(loop)
    memory = world.explorer.memory.latent
    nodes = set(memory.tree.ancestors(memory.current)) if memory is not None else {0}
    frames = {r.summary.index: r for r in world.frames if r.jpeg and r.summary.node in nodes}
    views = (DepthFrame(r.summary.camera, r.rgb(), r.inverse_depth.astype(np.float32)) for r in frames.values())
    loop.works.append(MeshWork(ident, MeshJob(views, command.path, command.voxel_m)))


def _frame(loop: EngineLoop, ident: int, command: ExportFrame) -> Any:
    world = open_world_of(loop)
    if command.node is None:
        if world.last is None:
            raise InputError("There is no frame yet.")
        write_png(command.path, world.last.picture)
        return command.path
    record = record_of(loop, command.node)
    if record is None:
        raise InputError(f"No frame of node {command.node} was kept; choose another.")
    write_png(command.path, record.picture())
    return command.path


EXPORTS: dict[type, Any] = {
    Plan: _plan,
    ResolvePath: _resolve,
    Export: _export,
    ExportStill: _still,
    CancelExport: _cancel_export,
    ExportPoints: _points,
    ExportMesh: _mesh,
    ExportFrame: _frame,
}
"""Handlers by command."""
