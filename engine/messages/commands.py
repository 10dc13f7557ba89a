"""What the window asks of the engine thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from engine.camera import DEFAULT_FOV_DEG, Camera
from engine.messages.names import CompareSource, Layout, MemoryVariant


@dataclass(frozen=True)
class OpenWorld:
    """Enter a procedural world.

    ``start="view"`` begins with its rendered first view, ``"nothing"`` imagines everything from the seed.
    """

    biome: str
    seed: int
    time: str = ""
    start: Literal["view", "nothing"] = "view"
    memory: MemoryVariant = "latent"
    fov_deg: float = DEFAULT_FOV_DEG
    spawn: int = 0


@dataclass(frozen=True)
class OpenImage:
    """Enter a picture with depth.

    ``depth=None`` looks for depth beside the image (see ``engine.images.load_rgbd``).
    """

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
    """Go to a node: its memory and its newest frame, or the frame of step ``index`` where several ended there."""

    node: int
    index: int | None = None


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
    """An oriented box.

    ``center_m`` (3,), ``half_m`` (3,) half sizes, ``rotation`` (3, 3) box-to-world (identity: axis-aligned).
    """

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
        steps: denoising steps a frame, or ``"auto"``: few while moving (within ``frame_budget_ms``), more when still,
            in place.
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
    """What the second view shows; computed only for the chosen source.

    ``node`` for ``"branch"``: the other branch's tip.
    """

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
        source: ``path`` renders ``cameras`` from the memory as it is now, on a branch of its own, without touching the
            user's world;
            ``recorded`` encodes the recorded flight's frames as they were seen.
        cameras: the path, one camera a frame; for ``recorded`` it is ignored.
        size: (height, width) of the generated frames, ``None``: as now. steps: denoising steps a frame, ``None``: the
            model's default.
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
    """Make a film; frames are rendered between the live ones.

    Progress: :attr:`Update.exports`. Reply when it ends: :class:`ExportProgress`.
    """

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
class ResolvePath:
    """The cameras of a preset (``orbit:degrees=180``) or path file from ``start``, as the command line would fly them:
    above the ground, where that is known. Reply: :class:`engine.camera_path.CameraPath`.
    """

    text: str
    start: Camera
    frames: int | None = None
    fps: float | None = None


@dataclass(frozen=True, eq=False)
class Inspect:
    """Where did this cell of the newest frame come from? ``cell`` (row, col) on the latent grid.

    Reply: :class:`Provenance`.
    """

    cell: tuple[int, int]


@dataclass(frozen=True)
class FetchFrame:
    """The recorded frame of a node.

    Reply: :class:`FrameUpdate` (``recalled=True``), or ``None`` if the node has none.
    """

    node: int
    index: int | None = None


@dataclass(frozen=True)
class Pause:
    """Stop (or resume) generating for looks; commands still run."""

    on: bool


@dataclass(frozen=True, eq=False)
class SetNotes:
    """Small JSON of the window (keyframes, their names) that sessions keep and hand back in ``WorldInfo.notes``."""

    notes: dict[str, Any]


@dataclass(frozen=True)
class Reset:
    """Open the same world again, from its beginning, with an empty memory."""


Command: TypeAlias = (
    OpenWorld | OpenImage | OpenSession | SaveSession | Undo | Redo | Checkout | Branch | RenameNode | Erase | Freeze
    | SelectRegion | SetQuality | SetBudget | SetVariant | SetCompareSource | Record | Export | ExportStill
    | CancelExport | ExportPoints | ExportMesh | ExportFrame | Plan | Inspect | FetchFrame | Pause | SetNotes | Reset
    | ResolvePath
)  # fmt: skip
