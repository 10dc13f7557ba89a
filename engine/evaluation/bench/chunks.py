"""The paper's efficiency figure on this machine: five chunks of 33 frames, time per frame and cache, stage by stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.camera import Camera
from engine.evaluation.bench.timing import Ratio, Spread, ratio, shuffled, spread
from engine.explorer import Explorer, ExplorerConfig
from engine.flight import revisit_pairs
from engine.messages import STAGES, MemoryVariant
from engine.metrics import psnr_db
from engine.presets import Loop, Straight
from engine.pyramid import FirstView
from engine.rgb_memory import RgbMemory
from engine.rgb_variant import PixelMemory
from engine.world_model import CancelToken, Progress, WorldModel
from engine.worlds import World, WorldSpec

CHUNKS, CHUNK_FRAMES = 5, 33
APPEND_ALL = "rgb, append-all"
VARIANTS: dict[str, MemoryVariant] = {
    "latent": "latent",
    "latent-nearest": "latent-nearest",
    "append": "append",
    "rgb": "rgb",
    APPEND_ALL: "rgb",
}
CONDITIONING = ("readout", "encode")
BENCH_WORLD = WorldSpec("meadow", 1_000_300)


class AppendAllExplorer(Explorer):
    """The RGB baseline as it is published: every pixel of every frame is kept."""

    def begin(
        self,
        camera: Camera,
        first: FirstView | None = None,
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ):  # type: ignore[no-untyped-def]
        """As :meth:`Explorer.begin`, from a given view only."""
        if first is None:
            return super().begin(camera, first, progress=progress, cancel=cancel)
        self.memory = PixelMemory(self.model, RgbMemory(policy="append"))
        self.index = 0
        result = self._encode(self.fit(camera), first, cancel or CancelToken())
        self.begun = True
        return result


@dataclass
class Course:
    """What one variant did along the path: one value a frame each."""

    stages: dict[str, list[float]] = field(default_factory=dict)
    mib: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    coverage: list[float] = field(default_factory=list)
    images: list[np.ndarray] = field(default_factory=list)

    def stage_ms(self, names: Sequence[str]) -> list[float]:
        """Milliseconds a frame of some stages together, the given first frame left out."""
        rows = [self.stages[name] for name in names if name in self.stages]
        return [float(sum(values)) for values in zip(*rows, strict=True)][1:] if rows else []


@dataclass(frozen=True)
class ChunkCosts:
    """What a run over one path gave.

    Attributes:
        path: its name. frames: per variant, as measured. size: (height, width).
        psnr_c_db: variant -> mean PSNR of revisits against first visits, for paths that return.
        growth: variant -> growth of the memory after the turning point, as a share.
    """

    path: str
    size: tuple[int, int]
    courses: dict[str, Course]
    psnr_c_db: dict[str, float]
    growth: dict[str, float]
    chunk_frames: int

    def per_chunk(self, variant: str, names: Sequence[str] = STAGES) -> list[Spread]:
        """Milliseconds a frame, chunk by chunk."""
        values = self.courses[variant].stage_ms(names)
        size = self.chunk_frames
        starts = range(0, len(values) + 1, size)  # the first frame is given, so the first chunk measures one fewer
        found = [values[max(0, start - 1) : start - 1 + size] for start in starts]
        return [spread(chunk) for chunk in found if chunk]

    def mib_per_chunk(self, variant: str) -> list[float]:
        """Cache at the end of every chunk."""
        mib = self.courses[variant].mib
        ends = range(self.chunk_frames, len(mib) + self.chunk_frames, self.chunk_frames)
        return [mib[min(end, len(mib)) - 1] for end in ends]

    def stage_ratio(self, slow: str, fast: str, names: Sequence[str]) -> Ratio:
        """How many times dearer ``slow`` is than ``fast`` in the stages ``names``."""
        return ratio(self.courses[slow].stage_ms(names), self.courses[fast].stage_ms(names))

    def amdahl(self, slow: str, fast: str) -> tuple[Ratio, float]:
        """End to end, measured; and the bound that Amdahl's law sets: everything free but the model's own work."""
        shared = float(np.median(self.courses[fast].stage_ms(("imagine", "decode"))))
        total = float(np.median(self.courses[slow].stage_ms(STAGES)))
        return self.stage_ratio(slow, fast, STAGES), total / shared


def paths(frames: int, size: tuple[int, int], world: World) -> dict[str, tuple[Camera, ...]]:
    """A path that explores all the time, and one that turns back half way: (name -> cameras)."""

    def ground(positions_xy: np.ndarray) -> np.ndarray:
        return world.ground_height_m(positions_xy).numpy()

    start = world.spawn(size[1], size[0])
    odd = frames - 1 + frames % 2
    # The loop leaves the first view well behind and never turns by more than a few degrees a frame.
    loop = Loop(distance_m=0.3 * odd / 2, turn_deg=min(200.0, 1.2 * odd))
    return {
        "loop": loop.path(start, odd, ground_height_m=ground).cameras,
        "straight": Straight().path(start, frames, ground_height_m=ground).cameras,
    }


def run_chunks(
    model: WorldModel,
    path: str,
    cameras: Sequence[Camera],
    world: World,
    variants: Sequence[str] = tuple(VARIANTS),
    *,
    steps: int | None = None,
    chunk_frames: int = CHUNK_FRAMES,
    on_frame: Callable[[], None] = lambda: None,
    cancel: CancelToken | None = None,
) -> ChunkCosts:
    """Fly all variants along ``cameras`` in turns: frame by frame, each time in another order.

    Raises:
        Cancelled: as asked.
    """
    cancel = cancel or CancelToken()
    size = cameras[0].size
    explorers = {name: _explorer(model, name, size, steps) for name in variants}
    courses = {name: Course() for name in variants}
    first = world.render(cameras[0], supersample=2)
    pairs = revisit_pairs(cameras)
    wanted = {n for pair in pairs for n in pair}
    for n, camera in enumerate(cameras):
        for name in shuffled(list(variants), n):
            explorer, course = explorers[name], courses[name]
            result = explorer.begin(camera, first) if n == 0 else explorer.step(camera, cancel=cancel)
            for stage in STAGES:
                course.stages.setdefault(stage, []).append(result.timings_ms.get(stage, 0.0))
            course.mib.append(result.stats.mib)
            course.tokens.append(result.stats.tokens_living)
            course.coverage.append(result.coverage_mean)
            course.images.append(result.rgb if n in wanted else np.empty((0, 0, 3), np.uint8))
        on_frame()
    psnr, growth = {}, {}
    for name, course in courses.items():
        if pairs:
            psnr[name] = float(np.mean([psnr_db(course.images[one], course.images[two]) for one, two in pairs]))
            turn = course.tokens[len(cameras) // 2]
            growth[name] = course.tokens[-1] / turn - 1.0 if turn else 0.0
        course.images.clear()
    return ChunkCosts(path, size, courses, psnr, growth, chunk_frames)


def _explorer(model: WorldModel, name: str, size: tuple[int, int], steps: int | None) -> Explorer:
    biome = BENCH_WORLD.biome if BENCH_WORLD.biome in model.spec.biomes else ""
    config = ExplorerConfig(fine=False, biome=biome, seed=3, steps=steps, memory=VARIANTS[name], size=size)
    return AppendAllExplorer(model, config) if name == APPEND_ALL else Explorer(model, config)
