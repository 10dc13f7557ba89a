"""What the engine thread tells the window."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from engine.camera import Camera
from engine.messages.commands import SetQuality
from engine.messages.names import CompareSource, MemoryVariant, WorkerState
from engine.messages.results import MemoryStats, StepResult

if TYPE_CHECKING:
    from engine.memory.snapshot import MemorySnapshot


@dataclass(frozen=True, eq=False)
class FrameUpdate:
    """The newest frame on its way to the screen.

    Attributes:
        result: the step. look_id: the ``look`` that asked for it (0: none did, e.g. a world was opened or a node
            checked out).
        fps: generated frames a second, smoothed over the last second or two; 0 until it is known.
        input_to_photon_ms: from the ``look`` call to this update, milliseconds; ``nan`` when no look asked for it.
        refinement: 0 for the first frame at a camera, 1.. when a still camera was refined in place.
        recalled: True when the frame was taken out of the record (undo, checkout, session) and not generated now.
    """

    result: StepResult
    look_id: int = 0
    fps: float = 0.0
    input_to_photon_ms: float = float("nan")
    refinement: int = 0
    recalled: bool = False


@dataclass(frozen=True, eq=False)
class StepSummary:
    """One step in small, for the filmstrip and the plots. Unlike frames, summaries are never skipped.

    Attributes:
        thumbnail: (54, 96, 3) uint8 or thereabouts, aspect kept. coverage_strip: (16,) float32, coverage by column of
            the view.
    """

    index: int
    node: int
    camera: Camera
    thumbnail: np.ndarray
    coverage_mean: float
    coverage_strip: np.ndarray
    tokens_written: int
    tokens_living: int
    mib: float
    timings_ms: dict[str, float]
    steps: int
    refinement: int = 0
    renewed: bool = False


@dataclass(frozen=True, eq=False)
class CompareImage:
    """The second view.

    Attributes:
        source: what it shows. rgb: (H, W, 3) uint8. camera: where it was seen from (that of frame ``index``).
        caption: one line saying what the colours mean, or why there is nothing to show.
    """

    source: CompareSource
    rgb: np.ndarray
    camera: Camera
    index: int
    caption: str = ""


@dataclass(frozen=True)
class TreeNode:
    """One write or erasure in the world tree. ``parent`` is -1 at the root; ``created`` is seconds since the epoch."""

    id: int
    parent: int
    label: str
    created: float
    frame: int = -1
    """Index of the step that made it, -1 when none did (an erasure, the root)."""


@dataclass(frozen=True)
class TreeUpdate:
    """The world tree and where in it we are."""

    nodes: tuple[TreeNode, ...]
    current: int
    can_undo: bool = False
    can_redo: bool = False


@dataclass(frozen=True, eq=False)
class WorldInfo:
    """The open world, as a title bar or a start page shows it.

    Attributes:
        kind: ``world`` (procedural), ``nothing`` (imagined from an empty memory), ``image`` or ``session``.
        camera: where to stand when it opens; the window takes its fly state from here.
        session: the ``.mirage`` file, if it has one. saved: nothing changed since that file was written.
        recorded: frames in the recorded flight; recording: whether new frames are being added.
        epoch: grows whenever another world takes this one's place, so that views know to drop what they hold.
        fine_scale: frames are drawn at so many times the size at which they are generated.
    """

    kind: Literal["world", "nothing", "image", "session"]
    biome: str
    seed: int
    time: str
    memory: MemoryVariant
    size: tuple[int, int]
    camera: Camera
    epoch: int
    session: Path | None = None
    saved: bool = True
    recorded: int = 0
    recording: bool = False
    has_truth: bool = False
    notes: dict[str, Any] = field(default_factory=dict)
    fine_scale: int = 1

    def film_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of a film of the frames alone, generated at ``size``: as fine as they are drawn."""
        return size[0] * self.fine_scale, size[1] * self.fine_scale


@dataclass(frozen=True)
class QualityInfo:
    """What quality is in force.

    ``steps_moving``/``steps_still`` are what auto has settled on; ``dropped`` says why it fell, or is "".
    """

    steps: int | Literal["auto"]
    steps_moving: int
    steps_still: int
    size: tuple[int, int]
    frame_budget_ms: float
    device: str
    dropped: str = ""


@dataclass(frozen=True)
class ProgressInfo:
    """Long work. ``fraction`` in [0, 1], or < 0 when it cannot be known."""

    fraction: float
    text: str


@dataclass(frozen=True, eq=False)
class ExportProgress:
    """A film being made.

    ``thumbnail`` is (H', W', 3) uint8 of the newest frame. ``done`` also when cancelled: the file is playable.
    """

    id: int
    path: Path
    frame: int
    frames: int
    frames_per_s: float
    time_left_s: float
    done: bool = False
    cancelled: bool = False
    thumbnail: np.ndarray | None = None


@dataclass(frozen=True)
class Notice:
    """Something to tell the user: a few words, and one sentence with the cause and what to do."""

    level: Literal["info", "warning", "error"]
    title: str
    text: str


@dataclass(frozen=True)
class EngineSettings:
    """What an engine thread is started with.

    Attributes:
        device: ``auto`` takes CUDA when there is one. in_full: nothing is multiplied in bytes.
        threads: CPU threads for torch, ``None``: torch's own choice.
        size: (height, width) of generated frames. quality: as :class:`SetQuality`.
        budget_mib: limit of the memory. autosave: file that the open world is saved to every ``autosave_s`` seconds of
            change; ``None``: never.
        compare: source of the second view at the start.
        frames_kept: recorded frames whose pixels are kept for going back; older ones are re-decoded from the memory
            when asked for.
    """

    device: str = "auto"
    in_full: bool = False
    threads: int | None = None
    size: tuple[int, int] | None = None
    quality: SetQuality = field(default_factory=SetQuality)
    budget_mib: float | None = None
    autosave: Path | None = None
    autosave_s: float = 4.0
    compare: CompareSource = "readout"
    frames_kept: int = 2000


@dataclass(frozen=True, eq=False)
class Update:
    """Everything new since the last ``take``. ``None`` and empty mean: nothing new of that kind.

    Attributes:
        state: always current.
        frame: the newest frame (older ones are skipped). steps: a summary of *every* step, in order.
        compare: the second view for the newest frame. snapshot: the memory for drawing, only if it changed.
        tree, world, quality, stats: only if they changed. progress: set while long work runs; ``progress_done`` once
            when it ends.
        exports: the newest progress of each film. replies: by the id that ``do`` returned. notices: in order.
    """

    state: WorkerState
    frame: FrameUpdate | None = None
    steps: tuple[StepSummary, ...] = ()
    compare: CompareImage | None = None
    snapshot: MemorySnapshot | None = None
    stats: MemoryStats | None = None
    tree: TreeUpdate | None = None
    world: WorldInfo | None = None
    quality: QualityInfo | None = None
    progress: ProgressInfo | None = None
    progress_done: bool = False
    exports: tuple[ExportProgress, ...] = ()
    replies: dict[int, Any] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()
