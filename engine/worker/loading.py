"""Loading the model, opening worlds: the slow beginnings, with progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from engine.errors import InputError
from engine.explorer import Explorer, ExplorerConfig
from engine.messages import EngineSettings, MemoryVariant, OpenImage, OpenSession, OpenWorld
from engine.pyramid import levels_for
from engine.reopen import reopen
from engine.session import FrameStore
from engine.worker.opened import OpenedWorld
from engine.world_model import CancelToken, Progress, WorldModel

LoadModel = Callable[[EngineSettings], WorldModel]


def pick_device(name: str) -> torch.device:
    """``auto`` takes CUDA when there is one.

    Raises:
        InputError: CUDA was asked for and there is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError("There is no CUDA device on this machine; choose the device cpu.")
    return torch.device(name)


def load_model(settings: EngineSettings, folder: Path | None) -> WorldModel:
    """The embedded model on the device of ``settings``.

    Raises:
        ModelError: its files are missing, damaged or of another configuration.
    """
    from engine.models.embedded import EmbeddedModel

    return EmbeddedModel.load(folder, pick_device(settings.device), in_full=settings.in_full)


def warm_up(model: WorldModel, size: tuple[int, int], progress: Progress, cancel: CancelToken) -> None:
    """Run every stage once on a throw-away world, so that the first real frame is as fast as the next."""
    import numpy as np

    from engine.camera import DEFAULT_FOV_DEG, Camera

    explorer = Explorer(model, ExplorerConfig(size=size, first_steps=1))
    camera = Camera.look_at(np.zeros(3), np.array([1.0, 0.0, 0.0]), DEFAULT_FOV_DEG, size[1], size[0])
    progress(0.5, "warming up")
    explorer.begin(camera, cancel=cancel)
    progress(0.75, "warming up")
    explorer.step(camera, steps=1, cancel=cancel)
    progress(1.0, "ready")


def open_world(
    command: OpenWorld | OpenImage | OpenSession,
    model: WorldModel,
    settings: EngineSettings,
    size: tuple[int, int],
    epoch: int,
    variant: MemoryVariant | None,
    progress: Progress,
    cancel: CancelToken,
) -> OpenedWorld:
    """Carry out an open command; the world it returns has its first frame in ``last``.

    Raises:
        MirageError: what the user gave does not fit. Cancelled: as asked.
    """
    if isinstance(command, OpenSession):
        return _open_session(command, model, settings, epoch, progress, cancel)
    if isinstance(command, OpenImage):
        return _open_image(command, model, settings, size, epoch, variant, progress, cancel)
    return _open_procedural(command, model, settings, size, epoch, variant, progress, cancel)


def _open_procedural(
    command: OpenWorld,
    model: WorldModel,
    settings: EngineSettings,
    size: tuple[int, int],
    epoch: int,
    variant: MemoryVariant | None,
    progress: Progress,
    cancel: CancelToken,
) -> OpenedWorld:
    from engine.worlds import World, WorldSpec

    progress(0.1, "shaping the land")
    world = World(WorldSpec(command.biome, command.seed, command.time))
    cancel.check()
    camera = world.spawn(size[1], size[0], command.fov_deg, command.spawn)
    cancel.check()
    config = ExplorerConfig(
        biome=command.biome,
        seed=command.seed,
        memory=variant or command.memory,
        budget_mib=settings.budget_mib,
        size=size,
    )
    explorer = Explorer(model, config, world)
    first = None
    if command.start == "view":
        progress(0.5, "rendering the first view")
        first = explorer.first_view(camera)
        cancel.check()
    else:
        progress(0.5, "imagining a world")
    result = explorer.begin(camera, first, progress=lambda f, text: progress(0.5 + 0.5 * f, text), cancel=cancel)
    kind: Literal["world", "nothing"] = "world" if command.start == "view" else "nothing"
    opened = OpenedWorld(command, kind, explorer, camera, epoch, FrameStore(settings.frames_kept), first=camera)
    opened.remember(result, 0)
    return opened


def _open_image(
    command: OpenImage,
    model: WorldModel,
    settings: EngineSettings,
    size: tuple[int, int],
    epoch: int,
    variant: MemoryVariant | None,
    progress: Progress,
    cancel: CancelToken,
) -> OpenedWorld:
    from engine.images import load_rgbd

    progress(0.2, "reading the image")
    levels = levels_for(size, model.spec.spatial_stride)
    view = load_rgbd(command.image, command.depth, command.fov_deg, size, levels)
    cancel.check()
    config = ExplorerConfig(
        biome=command.biome, seed=command.seed, memory=variant or "latent", budget_mib=settings.budget_mib, size=size
    )
    explorer = Explorer(model, config)
    result = explorer.begin(view.camera, view.pyramid, progress=progress, cancel=cancel)
    opened = OpenedWorld(
        command, "image", explorer, view.camera, epoch, FrameStore(settings.frames_kept), first=view.camera
    )
    opened.remember(result, 0)
    return opened


def _open_session(
    command: OpenSession,
    model: WorldModel,
    settings: EngineSettings,
    epoch: int,
    progress: Progress,
    cancel: CancelToken,
) -> OpenedWorld:
    progress(0.2, f"opening {command.path.name}")
    found = reopen(command.path, model)
    cancel.check()
    state, explorer = found.state, found.explorer
    frames = FrameStore(settings.frames_kept)
    for record in found.frames:
        frames.add(record)
    opened = OpenedWorld(
        command,
        state.kind,
        explorer,
        state.camera,
        epoch,
        frames,
        first=state.first,
        session=None if command.path == settings.autosave else command.path,
        saved=command.path != settings.autosave,
        recorded=list(state.recorded),
        notes=dict(state.notes),
        quality=state.quality,
    )
    memory = explorer.memory.latent
    newest = frames.at_node(memory.current if memory is not None else 0)
    if newest is not None:
        opened.last = newest.result()
    else:  # nothing was kept of where we stand: look once, remembering nothing
        opened.last = explorer.fork().step(state.camera, cancel=cancel)
    opened.last = replace(opened.last, stats=explorer.memory.stats())
    return opened
