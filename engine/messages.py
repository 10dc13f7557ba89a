"""What the user interface and the engine thread say to each other: frozen dataclasses of numpy arrays and plain Python.

Nothing here imports torch, so a window can be built, and the messages tested, before the engine has loaded. Arrays are
read-only by agreement: neither side changes one that it has passed on.

Commands (``Command``) go to :meth:`engine.worker.EngineWorker.do` and are never dropped; what comes back is one
:class:`Update` for each :meth:`engine.worker.EngineWorker.take`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from engine.camera import DEFAULT_FOV_DEG, Camera

if TYPE_CHECKING:
    from engine.memory.snapshot import MemorySnapshot

MemoryVariant: TypeAlias = Literal["latent", "latent-nearest", "append", "rgb", "none"]
Layout: TypeAlias = Literal["generated", "side-by-side", "with-memory"]
CompareSource: TypeAlias = Literal[
    "none", "readout", "readout-pca", "coverage", "offsets", "depth", "winners", "last-visit", "truth", "rgb-memory", "branch"
]

MEMORY_VARIANTS: tuple[MemoryVariant, ...] = ("latent", "latent-nearest", "append", "rgb", "none")
LAYOUTS: tuple[Layout, ...] = ("generated", "side-by-side", "with-memory")
COMPARE_SOURCES: dict[CompareSource, str] = {
    "none": "Nothing",
    "readout": "What the memory knew, decoded",
    "readout-pca": "Readout latents as colours (PCA)",
    "coverage": "Coverage of each cell",
    "offsets": "Sub-cell offsets of the winning tokens",
    "depth": "Depth",
    "winners": "Winning tokens by age",
    "last-visit": "The last visit to this place",
    "truth": "The true world (procedural worlds)",
    "rgb-memory": "The RGB point cloud (the baseline's memory)",
    "branch": "Another branch at this camera",
}
"""Every source of the second view, with the words that name it on screen."""


class WorkerState(str, Enum):
    """What the engine thread is doing."""

    WARMING = "warming"  # loading the model and running it once, or opening a world
    IDLE = "idle"  # nothing to do: no CPU is used
    GENERATING = "generating"
    EXPORTING = "exporting"  # a film is being made; looking around still generates
    STOPPED = "stopped"


# ----------------------------------------------------------------------------------------------- results of a step


@dataclass(frozen=True, eq=False)
class MemoryStats:
    """How full the memory is.

    Attributes:
        tokens_living: tokens alive at the current node; ``tokens_stored`` also counts those of other branches.
        mib: bytes held by the memory, in MiB; ``bytes_per_token`` per stored token.
        voxels_occupied: cells of the memory's own occupancy grid that hold a living token.
        budget_mib: the limit, ``None`` for no limit; ``evicted`` counts tokens dropped to keep to it.
    """

    tokens_living: int = 0
    tokens_stored: int = 0
    mib: float = 0.0
    bytes_per_token: float = 0.0
    keyframes: int = 0
    nodes: int = 0
    voxels_occupied: int = 0
    budget_mib: float | None = None
    evicted: int = 0


@dataclass(frozen=True, eq=False)
class StepResult:
    """One generated and remembered frame.

    Attributes:
        index: number of this step since the world was opened; seeds its randomness together with the world's seed.
        node: node of the world tree that holds what this step wrote (the previous node when nothing was new).
        camera: the view, image size.
        rgb: (H, W, 3) uint8.
        inverse_depth: (h*s, w*s) float32, 1/m; 0 is sky.
        coverage: (h, w) float32 in [0, 1]: how much of each cell the memory knew *before* this step.
        readout_rgb: (H, W, 3) uint8, what the memory alone knew, decoded; ``None`` unless it was asked for.
        timings_ms: milliseconds of ``readout``, ``imagine``, ``decode``, ``write`` (and ``encode``, where an image was encoded).
        steps: denoising steps spent.
        tokens_written, tokens_superseded: what the step changed in the memory.
        stats: the memory after the step.
    """

    index: int
    node: int
    camera: Camera
    rgb: np.ndarray
    inverse_depth: np.ndarray
    coverage: np.ndarray
    readout_rgb: np.ndarray | None
    timings_ms: dict[str, float]
    steps: int
    tokens_written: int
    tokens_superseded: int
    stats: MemoryStats

    @property
    def coverage_mean(self) -> float:
        """Share of the frame that was remembered, [0, 1]."""
        return float(self.coverage.mean())

    @property
    def generate_ms(self) -> float:
        """Readout + imagine + decode + write: what one generated frame costs, in milliseconds."""
        return sum(self.timings_ms.get(stage, 0.0) for stage in ("readout", "imagine", "decode", "write"))


@dataclass(frozen=True, eq=False)
class Preview:
    """The memory alone seen from a camera; never written.

    Attributes:
        rgb: (H, W, 3) uint8, the decoded readout. inverse_depth: (h*s, w*s) float32, 1/m, 0 is sky or a hole.
        coverage: (h, w) float32 in [0, 1]. token: (h, w) int64 winning token, -1 none.
        offsets: (2, h, w) float32, where in its source cell each winner was read (u right, v down, cell units).
        log2_scale: (h, w) float32, > 0 where a token is magnified.
    """

    camera: Camera
    rgb: np.ndarray
    inverse_depth: np.ndarray
    coverage: np.ndarray
    token: np.ndarray
    offsets: np.ndarray
    log2_scale: np.ndarray
    timings_ms: dict[str, float]


@dataclass(frozen=True, eq=False)
class FrameUpdate:
    """The newest frame on its way to the screen.

    Attributes:
        result: the step. look_id: the ``look`` that asked for it (0: none did, e.g. a world was opened or a node checked out).
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
        thumbnail: (54, 96, 3) uint8 or thereabouts, aspect kept. coverage_strip: (16,) float32, coverage by column of the view.
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


@dataclass(frozen=True)
class QualityInfo:
    """What quality is in force. ``steps_moving``/``steps_still`` are what auto has settled on; ``dropped`` says why it fell, or is ""."""

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
    """A film being made. ``thumbnail`` is (H', W', 3) uint8 of the newest frame. ``done`` also when cancelled: the file is playable."""

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
class Provenance:
    """Where a pixel's condition came from (reply to :class:`Inspect`).

    Attributes:
        cell: (row, col) of the frame that was clicked. token: -1 when the memory knew nothing there; the other fields are then neutral.
        source_cell: (row, col) in the keyframe that wrote it. age: steps since it was written.
        depth_m: distance along the clicked camera's axis (inf for sky). footprint_m: side of the token on its surface.
        reads: how often readouts have used it. log2_scale: > 0 where it is magnified. frozen: it may not be superseded.
    """

    cell: tuple[int, int]
    token: int
    coverage: float
    node: int = -1
    step: int = -1
    keyframe: int = -1
    source_cell: tuple[int, int] = (-1, -1)
    age: int = -1
    depth_m: float = float("nan")
    footprint_m: float = float("nan")
    reads: int = 0
    log2_scale: float = 0.0
    offset: tuple[float, float] = (0.0, 0.0)
    position_m: tuple[float, float, float] | None = None
    frozen: bool = False


@dataclass(frozen=True, eq=False)
class PlanResult:
    """How much of a path is remembered (reply to :class:`Plan`). ``coverage`` is (n,) float32 in [0, 1], one a camera."""

    cameras: tuple[Camera, ...]
    coverage: np.ndarray


@dataclass(frozen=True, eq=False)
class RegionStats:
    """Reply to :class:`SelectRegion`: the living tokens inside, ids (n,) int64."""

    tokens: np.ndarray
    mib: float
    age_median: float
    footprint_median_m: float
    reads: int
    steps: tuple[int, int]
    """First and last step that wrote there."""


# ----------------------------------------------------------------------------------------------------- commands


@dataclass(frozen=True)
class OpenWorld:
    """Enter a procedural world. ``start="view"`` begins with its rendered first view, ``"nothing"`` imagines everything from the seed."""

    biome: str
    seed: int
    time: str = ""
    start: Literal["view", "nothing"] = "view"
    memory: MemoryVariant = "latent"
    fov_deg: float = DEFAULT_FOV_DEG
    spawn: int = 0


@dataclass(frozen=True)
class OpenImage:
    """Enter a picture with depth. ``depth=None`` looks for depth beside or inside the image (see ``engine.images.load_rgbd``)."""

    image: Path
    depth: Path | None = None
    fov_deg: float = 60.0
    biome: str = ""
    seed: int = 0


@dataclass(frozen=True)
class OpenSession:
    """Open a ``.mirage`` file or folder. Nothing of the open world changes if that fails."""

    path: Path


@dataclass(frozen=True)
class SaveSession:
    """Write the open world. ``path=None``: where it was last saved. Reply: the path."""

    path: Path | None = None


@dataclass(frozen=True)
class Undo:
    """Back to the parent of the current node."""


@dataclass(frozen=True)
class Redo:
    """Forward again to the node last undone."""


@dataclass(frozen=True)
class Checkout:
    """Go to a node: its memory and, if a frame made it, that frame."""

    node: int


@dataclass(frozen=True)
class Branch:
    """Name the current node as the start of a branch; what follows grows from here. Reply: the node."""

    name: str


@dataclass(frozen=True)
class RenameNode:
    """Give a node another label."""

    node: int
    name: str


@dataclass(frozen=True, eq=False)
class Box:
    """An oriented box. ``center_m`` (3,), ``half_m`` (3,) half sizes, ``rotation`` (3, 3) box-to-world (identity: axis-aligned)."""

    center_m: np.ndarray
    half_m: np.ndarray
    rotation: np.ndarray = field(default_factory=lambda: np.eye(3))


@dataclass(frozen=True, eq=False)
class Erase:
    """Forget a region: a box, or token ids (n,) int64. The next look re-imagines it."""

    region: Box | np.ndarray


@dataclass(frozen=True, eq=False)
class Freeze:
    """Keep a region as it is: its tokens are never superseded or evicted. ``frozen=False`` lifts that."""

    region: Box | np.ndarray
    frozen: bool = True


@dataclass(frozen=True, eq=False)
class SelectRegion:
    """Which tokens are inside? Reply: :class:`RegionStats`."""

    region: Box | np.ndarray


@dataclass(frozen=True)
class SetQuality:
    """Quality of what is generated from now on.

    Attributes:
        steps: denoising steps a frame, or ``"auto"``: few while moving (within ``frame_budget_ms``), more when still, in place.
        size: (height, width) or ``None`` to keep it; multiples of the model's stride.
        refinements: how many better frames a still camera gets before the engine rests.
    """

    steps: int | Literal["auto"] = "auto"
    size: tuple[int, int] | None = None
    frame_budget_ms: float = 125.0
    refinements: int = 2


@dataclass(frozen=True)
class SetBudget:
    """Limit the memory; ``None`` lifts the limit."""

    mib: float | None


@dataclass(frozen=True)
class SetVariant:
    """Which memory the next opened world uses (comparisons are configurations of one explorer)."""

    memory: MemoryVariant


@dataclass(frozen=True)
class SetCompareSource:
    """What the second view shows; computed only for the chosen source. ``node`` for ``"branch"``: the other branch's tip."""

    source: CompareSource
    node: int | None = None


@dataclass(frozen=True)
class Record:
    """Start (a new recording) or stop recording generated frames as a flight."""

    on: bool


@dataclass(frozen=True, eq=False)
class ExportJob:
    """A film to make.

    Attributes:
        path: output; the ending chooses the codec (.mp4, .webm, .gif, or no ending: a folder of PNGs).
        source: ``path`` renders ``cameras`` from the memory as it is now, on a branch of its own, without touching the user's world;
            ``recorded`` encodes the recorded flight's frames as they were seen.
        cameras: the path, one camera a frame; for ``recorded`` it is ignored.
        size: (height, width) of the generated frames, ``None``: as now. steps: denoising steps a frame, ``None``: the model's default.
        branch: keep what the film's flight added to the world under this name; "" forgets it.
    """

    path: Path
    source: Literal["path", "recorded"] = "path"
    cameras: tuple[Camera, ...] = ()
    fps: float = 24.0
    size: tuple[int, int] | None = None
    steps: int | None = None
    layout: Layout = "generated"
    branch: str = ""
    report: Path | None = None


@dataclass(frozen=True, eq=False)
class Export:
    """Make a film; frames are rendered between the live ones. Progress: :attr:`Update.exports`. Reply when it ends: :class:`ExportProgress`."""

    job: ExportJob


@dataclass(frozen=True, eq=False)
class ExportStill:
    """One frame of a job, for the dialog's preview: reply (H, W, 3) uint8. Nothing is written or remembered."""

    job: ExportJob
    index: int = 0


@dataclass(frozen=True)
class CancelExport:
    """Stop a film by the id that ``do(Export(...))`` returned; what was rendered is kept as a playable file."""

    id: int


@dataclass(frozen=True)
class ExportPoints:
    """The living memory as a coloured PLY point cloud. Reply: the path."""

    path: Path


@dataclass(frozen=True)
class ExportMesh:
    """A mesh by TSDF fusion of the generated RGB-D frames on this branch, .ply or .glb. Reply: the path."""

    path: Path
    voxel_m: float | None = None


@dataclass(frozen=True)
class ExportFrame:
    """The frame of a node (``None``: the newest) as a PNG. Reply: the path."""

    path: Path
    node: int | None = None


@dataclass(frozen=True, eq=False)
class Plan:
    """How much of a path is remembered? From geometry alone, nothing is generated. Reply: :class:`PlanResult`."""

    cameras: tuple[Camera, ...]


@dataclass(frozen=True, eq=False)
class Inspect:
    """Where did this cell of the newest frame come from? ``cell`` (row, col) on the latent grid. Reply: :class:`Provenance`."""

    cell: tuple[int, int]


@dataclass(frozen=True)
class FetchFrame:
    """The recorded frame of a node. Reply: :class:`FrameUpdate` (``recalled=True``), or ``None`` if the node has none."""

    node: int


@dataclass(frozen=True)
class Pause:
    """Stop (or resume) generating for looks; commands still run."""

    on: bool


@dataclass(frozen=True)
class Reset:
    """Open the same world again, from its beginning, with an empty memory."""


Command: TypeAlias = (
    OpenWorld | OpenImage | OpenSession | SaveSession | Undo | Redo | Checkout | Branch | RenameNode | Erase | Freeze
    | SelectRegion | SetQuality | SetBudget | SetVariant | SetCompareSource | Record | Export | ExportStill | CancelExport
    | ExportPoints | ExportMesh | ExportFrame | Plan | Inspect | FetchFrame | Pause | Reset
)  # fmt: skip


@dataclass(frozen=True)
class Failed:
    """Reply to a command that could not be done; a :class:`Notice` with the same words went out, too."""

    title: str
    text: str


# ------------------------------------------------------------------------------------------------ settings, update


@dataclass(frozen=True)
class EngineSettings:
    """What an engine thread is started with.

    Attributes:
        device: ``auto`` takes CUDA when there is one.
        threads: CPU threads for torch, ``None``: torch's own choice.
        size: (height, width) of generated frames. quality: as :class:`SetQuality`.
        budget_mib: limit of the memory. autosave: file that the open world is saved to every ``autosave_s`` seconds of change; ``None``: never.
        compare: source of the second view at the start.
        frames_kept: recorded frames whose pixels are kept for going back; older ones are re-decoded from the memory when asked for.
    """

    device: str = "auto"
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
        tree, world, quality, stats: only if they changed. progress: set while long work runs; ``progress_done`` once when it ends.
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
