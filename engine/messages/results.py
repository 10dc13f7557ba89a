"""What the explorer hands back: plain numpy, for the command line, the tests and the window alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.camera import Camera
from engine.messages.names import STAGES


@dataclass(frozen=True, eq=False)
class MemoryStats:
    """How full the memory is.

    Attributes:
        tokens_living: tokens alive at the current node; ``tokens_stored`` also counts those of other branches.
        mib: bytes held by the memory, in MiB; ``bytes_per_token`` per stored token.
        voxels_occupied: half-metre voxels that hold a living token; counted now and then, 0 where it was not.
        hit_rate: share of cells that readouts found covered since the world was opened.
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
    hit_rate: float = 0.0


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
        timings_ms: milliseconds of each of ``STAGES`` (:mod:`engine.messages.names`): the memory read, what it does not
            know completed, imagined, decoded and written.
        steps: denoising steps asked for; 0 where nothing was left to imagine: a first view, or all of it known.
        tokens_written, tokens_superseded: what the step changed in the memory.
        stats: the memory after the step.
        wide: whether it was imagined wider than shown, with more steps (see :mod:`engine.overscan`).
        inventive: whether so much was unknown that it took more steps than asked for.
        renewed: whether country that was worn gave way to a place in it (see :mod:`engine.renewal`): it shows a change.
        fine_rgb: (sH, sW, 3) uint8, the frame at the model's fine scale; ``None`` where it was not drawn.
        closer: whether what the memory knows more finely was drawn into that (see :mod:`engine.closer`).
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
    wide: bool = False
    inventive: bool = False
    renewed: bool = False
    fine_rgb: np.ndarray | None = None
    closer: bool = False

    @property
    def picture(self) -> np.ndarray:
        """The finest picture there is of the frame, uint8: for the eye, not for measuring."""
        return self.rgb if self.fine_rgb is None else self.fine_rgb

    @property
    def coverage_mean(self) -> float:
        """Share of the frame that was remembered, [0, 1]."""
        return float(self.coverage.mean())

    @property
    def generate_ms(self) -> float:
        """What one generated frame costs, in milliseconds."""
        return sum(self.timings_ms.get(stage, 0.0) for stage in STAGES)


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
