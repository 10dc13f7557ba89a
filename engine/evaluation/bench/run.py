"""Runs the benchmark, part by part."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.atomic import atomic_write
from engine.evaluation.bench import chunks, memory, wan
from engine.evaluation.bench.report import Benchmark
from engine.explorer import Explorer, ExplorerConfig
from engine.messages import STAGES
from engine.presets import Straight
from engine.report import finite, machine
from engine.variants import readout_network
from engine.world_model import CancelToken, WorldModel
from engine.worlds import World

OnProgress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class BenchSettings:
    """How much is measured.

    Attributes:
        size: (height, width) of generated frames; ``None``: the model's. frames: of every path. paths: by name.
        variants: see :data:`engine.evaluation.bench.chunks.VARIANTS`.
        wan_frames: keyframes of the memories at Wan's shapes; 0 leaves that part out. wan_repeats: of each readout.
        encode_frames, encode_repeats, encode_size: of its encoder. memory_large: memories of a million tokens too.
        memory_tokens: of the smaller ones; 0 leaves them out. live_sizes: sizes to fly live. live_frames: each.
    """

    size: tuple[int, int] | None = None
    frames: int = chunks.CHUNKS * chunks.CHUNK_FRAMES
    chunk_frames: int = chunks.CHUNK_FRAMES
    paths: tuple[str, ...] = ("loop", "straight")
    variants: tuple[str, ...] = tuple(chunks.VARIANTS)
    steps: int | None = None
    wan_frames: int = 33
    wan_size: tuple[int, int] = wan.SIZE
    wan_repeats: int = 15
    encode_frames: int = 5
    encode_repeats: int = 1
    encode_size: tuple[int, int] | None = wan.SIZE
    memory_repeats: int = 30
    memory_large: bool = True
    memory_tokens: int = 100_000
    live_sizes: tuple[tuple[int, int], ...] = ((256, 448), (512, 896))
    live_frames: int = 24

    @classmethod
    def quick(cls) -> BenchSettings:
        """Three minutes on two cores."""
        return cls(
            paths=("loop",),
            variants=("latent", "append", "rgb", chunks.APPEND_ALL),
            wan_frames=9,
            wan_repeats=5,
            encode_frames=1,
            encode_size=wan.SMALLER_SIZE,
            memory_repeats=15,
            memory_large=False,
            live_sizes=(),
        )


def run_benchmark(
    model: WorldModel,
    settings: BenchSettings,
    *,
    on_progress: OnProgress | None = None,
    cancel: CancelToken | None = None,
) -> Benchmark:
    """Measure all parts; each is reported as it goes.

    Raises:
        Cancelled: as asked.
    """
    cancel = cancel or CancelToken()
    size = settings.size or model.spec.image_size
    result = Benchmark(_about(model, settings, size))
    total = (
        settings.frames * len(settings.paths) + settings.wan_frames + len(settings.live_sizes) * settings.live_frames
    )
    total += 10 if settings.memory_tokens else 0
    done = 0

    def tick(label: str, by: int = 1) -> None:
        nonlocal done
        done = min(total, done + by)
        cancel.check()
        if on_progress is not None:
            on_progress(done, total, label)

    world = World(chunks.BENCH_WORLD)
    courses = chunks.paths(settings.frames, size, world)
    for name in settings.paths:
        result.chunks[name] = chunks.run_chunks(
            model,
            name,
            courses[name],
            world,
            settings.variants,
            steps=settings.steps,
            chunk_frames=settings.chunk_frames,
            on_frame=lambda name=name: tick(f"flying {name}"),  # type: ignore[misc]
            cancel=cancel,
        )
    if settings.memory_tokens:
        tick("the memory alone", 0)
        result.memory = memory.measure(
            settings.memory_repeats,
            large=settings.memory_large,
            network=readout_network(model),  # type: ignore[arg-type]
            tokens=settings.memory_tokens,
        )
        tick("the memory alone", 10)
    if settings.wan_frames:
        result.wan = wan.run_wan(
            settings.wan_frames,
            settings.wan_repeats,
            encode_frames=settings.encode_frames,
            encode_repeats=settings.encode_repeats,
            encode_size=settings.encode_size,
            size=settings.wan_size,
            device=model.device.type,
            on_frame=lambda text: tick(text, 1 if "filling" in text else 0),
            cancel=cancel,
        )
    for live in settings.live_sizes:
        result.live[f"{live[0]}x{live[1]}"] = live_fps(model, live, settings, world, tick)
    return result


def live_fps(
    model: WorldModel,
    size: tuple[int, int],
    settings: BenchSettings,
    world: World,
    tick: Callable[[str], None],
) -> float:
    """Generated frames a second of ``latent`` flying straight, by the median frame, all its stages counted."""
    biome = chunks.BENCH_WORLD.biome if chunks.BENCH_WORLD.biome in model.spec.biomes else ""
    explorer = Explorer(model, ExplorerConfig(fine=False, biome=biome, size=size, steps=settings.steps), world)
    cameras = Straight().path(world.spawn(size[1], size[0]), settings.live_frames).cameras
    explorer.begin(cameras[0], explorer.first_view(cameras[0]))
    tick(f"live at {size[0]}x{size[1]}")
    times = []
    for camera in cameras[1:]:
        result = explorer.step(camera)
        times.append(sum(result.timings_ms.get(stage, 0.0) for stage in STAGES))
        tick(f"live at {size[0]}x{size[1]}")
    times.sort()
    return 1000.0 / times[len(times) // 2] if times else float("nan")


def _about(model: WorldModel, settings: BenchSettings, size: tuple[int, int]) -> dict[str, Any]:
    return {
        "model": model.spec.name,
        "model_checksum": model.spec.checksum,
        "steps": settings.steps or model.spec.default_steps,
        "size": size,
        "world": dataclasses.asdict(chunks.BENCH_WORLD),
        "settings": dataclasses.asdict(settings),
        "machine": dataclasses.asdict(machine(str(model.device), model.spec.arithmetic)),
    }


def write_json(plain: dict[str, Any], path: Path) -> None:
    """Write it, atomically; without NaN."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(finite(plain), indent=1, allow_nan=False) + "\n", encoding="utf-8")
