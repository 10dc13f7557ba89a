"""What comes back under the id of a command."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.camera import Camera


@dataclass(frozen=True)
class Provenance:
    """Where a pixel's condition came from (reply to :class:`Inspect`).

    Attributes:
        cell: (row, col) of the frame that was clicked. token: -1 when the memory knew nothing there; the other fields
            are then neutral.
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
    """How much of a path is remembered (reply to :class:`Plan`).

    ``coverage`` is (n,) float32 in [0, 1], one a camera.
    """

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


@dataclass(frozen=True)
class Failed:
    """Reply to a command that could not be done; a :class:`Notice` with the same words went out, too."""

    title: str
    text: str
