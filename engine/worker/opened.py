"""The world that is open: explorer, frames, recording, and what has changed since it was last saved."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from engine.camera import Camera
from engine.explorer import Explorer
from engine.memory import LatentMemory
from engine.messages import OpenImage, OpenSession, OpenWorld, SetQuality, StepResult, TreeNode, TreeUpdate, WorldInfo
from engine.session import FrameRecord, FrameStore


def can_undo(memory: LatentMemory) -> bool:
    """The first view is never undone: before it there is no world."""
    return memory.tree[memory.current].parent > 0


@dataclass(eq=False)
class OpenedWorld:
    """Mutable, owned by the engine thread.

    Attributes:
        source: the command that opened it; running it again is a reset.
        camera: where the user stands (the camera of the newest look or frame).
        last: the newest frame; ``refinements`` how often it was refined.
        quality: what a session was last seen with.
        last_is_stale: the memory changed under it; the same camera is generated again.
    """

    source: OpenWorld | OpenImage | OpenSession
    kind: Literal["world", "nothing", "image"]
    explorer: Explorer
    camera: Camera
    epoch: int
    frames: FrameStore
    first: Camera | None = None
    session: Path | None = None
    recording: bool = False
    recorded: list[int] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    last: StepResult | None = None
    refinements: int = 0
    last_is_stale: bool = False
    quality: SetQuality | None = None
    saved: bool = True
    autosaved: bool = True
    changed_at: float = 0.0

    def touch(self) -> None:
        """Something worth saving happened."""
        self.saved = False
        if self.autosaved:
            self.autosaved = False
            self.changed_at = time.monotonic()

    def remember(self, result: StepResult, refinement: int) -> FrameRecord:
        """Keep a frame; add it to the flight being recorded."""
        record = FrameRecord.of(result, refinement)
        self.frames.add(record)
        self.last, self.refinements, self.camera = result, refinement, result.camera
        self.last_is_stale = False
        if self.recording and refinement == 0 and result.index not in self.recorded[-1:]:
            self.recorded.append(result.index)
        self.touch()
        return record

    def info(self) -> WorldInfo:
        """As the window shows it."""
        config = self.explorer.config
        world = self.explorer.world
        return WorldInfo(
            kind=self.kind,
            biome=config.biome,
            seed=config.seed,
            time=world.spec.resolved_time if world is not None else "",
            memory=config.memory,
            size=self.explorer.size,
            camera=self.camera,
            epoch=self.epoch,
            session=self.session,
            saved=self.saved,
            recorded=len(self.recorded),
            recording=self.recording,
            has_truth=self.has_truth,
            notes=dict(self.notes),
            fine_scale=self.explorer.model.spec.fine_scale if config.fine else 1,
        )

    @property
    def has_truth(self) -> bool:
        """There is a world to compare with: what began from nothing has a setting, but no truth."""
        return self.kind == "world" and self.explorer.world is not None

    def tree(self) -> TreeUpdate:
        """The world tree with the frames that made its nodes."""
        memory = self.explorer.memory.latent
        if memory is None:
            return TreeUpdate((TreeNode(0, -1, "start", 0.0),), 0)
        tree = memory.tree
        by_node: dict[int, int] = {}
        for record in self.frames:
            by_node.setdefault(record.summary.node, record.summary.index)
        nodes = tuple(
            TreeNode(node.id, node.parent, node.label, node.created_s, by_node.get(node.id, -1)) for node in tree.nodes
        )
        return TreeUpdate(nodes, tree.current, can_undo(memory), tree.next_child() is not None)
