"""From an explorer to a session and back: what the app's save and open, and ``mirage fly --session``, share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.camera import Camera
from engine.errors import InputError, SessionError
from engine.explorer import Explorer, ExplorerConfig
from engine.memory import LatentMemory
from engine.messages import SetQuality
from engine.session import FrameRecord, SessionState, open_session
from engine.session.store import SaveMemory
from engine.variants import LatentVariant, memory_config, readout_network
from engine.world_model import WorldModel


@dataclass
class Reopened:
    """A session come back to life."""

    explorer: Explorer
    state: SessionState
    frames: list[FrameRecord]


def capture(
    explorer: Explorer,
    *,
    kind: Literal["world", "nothing", "image"],
    camera: Camera,
    first: Camera | None = None,
    quality: SetQuality | None = None,
    recorded: Sequence[int] = (),
    notes: dict[str, Any] | None = None,
) -> SessionState:
    """The small part of a session of ``explorer``; ``camera`` is where the user stands."""
    config, spec = explorer.config, explorer.model.spec
    return SessionState(
        kind=kind,
        biome=config.biome,
        seed=config.seed,
        time=explorer.world.spec.time if explorer.world is not None else "",
        memory=config.memory,
        size=explorer.size,
        model=spec.name,
        checksum=spec.checksum,
        camera=camera,
        next_index=explorer.index,
        first=first,
        quality=quality or SetQuality(),
        budget_mib=config.budget_mib,
        recorded=tuple(recorded),
        notes=notes or {},
        world_seed=explorer.world.spec.seed if explorer.world is not None else None,
        match=explorer.match,
        matches=dict(explorer.matches),
    )


def memory_saver(explorer: Explorer) -> SaveMemory | None:
    """Writes the explorer's memory into a folder; ``None`` where the variant has none that can be kept."""
    memory = explorer.memory.latent
    return memory.save if memory is not None else None


def reopen(path: Path, model: WorldModel, size: tuple[int, int] | None = None) -> Reopened:
    """Open a session with ``model``.

    Args:
        size: (height, width) of frames to come, ``None``: as they were.

    Raises:
        SessionError: the session is damaged, unsafe, of another version or another model; one sentence, nothing opened.
    """
    spec = model.spec
    with open_session(path, model=spec.name, checksum=spec.checksum) as opened:
        state = opened.state
        try:
            explorer = Explorer(model, _config(state, size), _world(state))
            if opened.memory_folder is not None:
                config = memory_config(state.memory, spec, state.budget_mib)
                memory = LatentMemory.load(opened.memory_folder, config, readout_network(model))
                explorer.memory = LatentVariant(memory, layered=state.memory == "latent" and not explorer.built)
        except InputError as error:
            raise SessionError(f"The session does not fit this Mirage: {error}") from error
        explorer.index, explorer.begun = state.next_index, True
        explorer.match, explorer.matches = state.match, dict(state.matches)
        explorer.last_camera = opened.frames[-1].summary.camera if opened.frames else state.camera
        known = len(explorer.places.bank) if explorer.places is not None else 0
        matches = [match for match in (state.match, *state.matches.values()) if match is not None]
        if any(one.place >= known for match in matches for one in (match, *match.rooms)):
            raise SessionError(
                "The session goes on from a stored place that the model does not have; open an earlier copy of it."
            )
        nodes = len(explorer.memory.latent.tree) if explorer.memory.latent is not None else 1
        if any(record.summary.node >= nodes for record in opened.frames):
            raise SessionError(
                "The session's frames name places in its history that do not exist; open an earlier copy of it."
            )
        return Reopened(explorer, state, opened.frames)


def _config(state: SessionState, size: tuple[int, int] | None) -> ExplorerConfig:
    return ExplorerConfig(
        biome=state.biome,
        seed=state.seed,
        memory=state.memory,
        budget_mib=state.budget_mib,
        size=size or state.size,
    )


def _world(state: SessionState) -> Any:
    """The procedural world behind a session, where there is one."""
    if state.world_seed is None:
        return None
    from engine.worlds import World, WorldSpec

    return World(WorldSpec(state.biome, state.world_seed, state.time))
