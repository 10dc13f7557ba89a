"""The benchmark as JSON, Markdown and plots."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from engine.evaluation.bench.chunks import APPEND_ALL, CONDITIONING, ChunkCosts
from engine.evaluation.bench.memory import Timing
from engine.evaluation.bench.timing import Spread
from engine.evaluation.bench.wan import SIZE as WAN_SIZE
from engine.evaluation.bench.wan import WanCosts, summary_rows
from engine.evaluation.plots import COLOURS, new_figure, save_figure, tidy
from engine.evaluation.tables import markdown_table
from engine.messages import STAGES


@dataclass(frozen=True)
class Startup:
    """A flight in a process of its own, cold: seconds to its first frame, its peak memory, and ``mirage --help``."""

    first_frame_s: float
    peak_rss_mib: float
    help_s: float
    generated_fps: float


@dataclass
class Benchmark:
    """What was measured; parts that were left out are ``None`` or empty.

    Attributes:
        chunks: path name -> costs. live: (height, width) -> generated frames a second of ``latent``.
        about: model, machine, settings.
    """

    about: dict[str, Any]
    chunks: dict[str, ChunkCosts] = field(default_factory=dict)
    wan: WanCosts | None = None
    memory: list[Timing] = field(default_factory=list)
    live: dict[str, float] = field(default_factory=dict)
    startup: Startup | None = None

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "about": self.about,
            "chunks": {name: _plain_chunks(costs) for name, costs in self.chunks.items()},
            "wan": dataclasses.asdict(self.wan) if self.wan else None,
            "memory": [dataclasses.asdict(timing) for timing in self.memory],
            "live": self.live,
            "startup": dataclasses.asdict(self.startup) if self.startup else None,
        }


def _plain_chunks(costs: ChunkCosts) -> dict[str, Any]:
    return {
        "size": costs.size,
        "chunk_frames": costs.chunk_frames,
        "psnr_c_db": costs.psnr_c_db,
        "over_latent": _plain_ratios(costs),
        "growth": costs.growth,
        "variants": {
            name: {
                "per_chunk_ms": [dataclasses.asdict(value) for value in costs.per_chunk(name)],
                "mib_per_chunk": costs.mib_per_chunk(name),
                "stages_ms": {stage: dataclasses.asdict(_spread_of(costs, name, (stage,))) for stage in STAGES},
                "conditioning_ms": dataclasses.asdict(_spread_of(costs, name, CONDITIONING)),
                "coverage": float(np.mean(course.coverage[1:])),
                "tokens": course.tokens[-1],
            }
            for name, course in costs.courses.items()
        },
    }


def _plain_ratios(costs: ChunkCosts) -> dict[str, Any]:
    """Every variant over ``latent``: conditioning, whole frame, Amdahl's bound, cache."""
    if "latent" not in costs.courses:
        return {}
    found = {}
    for name in costs.courses:
        end_to_end, bound = costs.amdahl(name, "latent")
        found[name] = {
            "conditioning": dataclasses.asdict(costs.stage_ratio(name, "latent", CONDITIONING)),
            "frame": dataclasses.asdict(end_to_end),
            "amdahl_bound": bound,
            "cache": costs.mib_per_chunk(name)[-1] / max(costs.mib_per_chunk("latent")[-1], 1e-9),
        }
    return found


def _spread_of(costs: ChunkCosts, name: str, stages: tuple[str, ...]) -> Spread:
    from engine.evaluation.bench.timing import spread

    return spread(costs.courses[name].stage_ms(stages))


def benchmark_markdown(result: Benchmark, command: str) -> str:
    """The whole report."""
    about, machine = result.about, result.about["machine"]
    parts = [
        "# Benchmark",
        f"`{command}`: model {about['model']} (SHA-256 {about['model_checksum'][:16]}), {about['steps']} "
        "denoising steps, on "
        f"{machine['cpu']} ({machine['cores']} cores, {machine['threads']} threads, {machine['device']}).",
        "Medians; variants take turns frame by frame. Ratios are of medians, with 95 % bootstrap intervals in "
        "brackets. "
        "What each figure means: `docs/measuring.md`.",
    ]
    for costs in result.chunks.values():
        parts += _chunk_section(costs)
    if result.wan is not None:
        parts += _wan_section(result.wan)
    if result.live:
        rows = [[size, f"{fps:.1f}"] for size, fps in result.live.items()]
        parts += ["## Live frames a second", markdown_table(["size", "frames a second, `latent`"], rows)]
    if result.memory:
        rows = [
            [t.name.strip(), f"{t.median_ms:.2f}", f"{t.p95_ms:.2f}", "" if t.target_ms is None else f"{t.target_ms:g}"]
            for t in result.memory
        ]
        parts += ["## The memory alone", markdown_table(["what", "median, ms", "p95, ms", "goal, ms"], rows)]
    if result.startup is not None:
        start = result.startup
        rows = [
            ["`mirage fly`: process start to first frame, s", f"{start.first_frame_s:.2f}"],
            ["`mirage fly`: peak resident memory, MiB", f"{start.peak_rss_mib:.0f}"],
            ["`mirage fly`: generated frames a second", f"{start.generated_fps:.1f}"],
            ["`mirage --help`, s", f"{start.help_s:.2f}"],
        ]
        parts += ["## Start", markdown_table(["what", "value"], rows)]
    return "\n\n".join(parts) + "\n"


def _chunk_section(costs: ChunkCosts) -> list[str]:
    height, width = costs.size
    names = list(costs.courses)
    rows = []
    for name in names:
        row = [name]
        for stage in STAGES:
            value = _spread_of(costs, name, (stage,))
            row.append(f"{value.median_ms:.1f}" if value.median_ms > 0.005 else "–")
        total = _spread_of(costs, name, STAGES)
        row += [f"{total.median_ms:.1f} [{total.low_ms:.1f}, {total.high_ms:.1f}]"]
        row += [f"{costs.mib_per_chunk(name)[-1]:.2f}"]
        row += [f"{costs.psnr_c_db[name]:.2f}" if name in costs.psnr_c_db else "–"]
        row += [f"{100 * costs.growth[name]:.2f}" if name in costs.growth else "–"]
        rows.append(row)
    frames = len(next(iter(costs.courses.values())).mib)
    heads = ["memory", *(f"{stage}, ms" for stage in STAGES), "frame, ms [quartiles]", "cache, MiB", "PSNR_C, dB"]
    parts = [
        f"## {frames} frames at {height}x{width}, path `{costs.path}`",
        markdown_table([*heads, "growth on the way back, %"], rows),
    ]
    chunks = costs.mib_per_chunk(names[0])
    per_chunk = [
        [name]
        + [f"{ms.median_ms:.0f} ms, {mib:.2f} MiB" for ms, mib in zip(costs.per_chunk(name), costs.mib_per_chunk(name))]
        for name in names
    ]
    heads = ["memory", *(f"chunk {n + 1} ({costs.chunk_frames} frames)" for n in range(len(chunks)))]
    parts.append(markdown_table(heads, per_chunk))
    if "latent" in costs.courses:
        parts.append(_ratios(costs))
    return parts


def _ratios(costs: ChunkCosts) -> str:
    lines = []
    for name in costs.courses:
        if name not in ("rgb", APPEND_ALL):
            continue
        conditioning = costs.stage_ratio(name, "latent", CONDITIONING)
        end_to_end, bound = costs.amdahl(name, "latent")
        cache = costs.mib_per_chunk(name)[-1] / max(costs.mib_per_chunk("latent")[-1], 1e-9)
        lines.append(
            f"- `{name}` over `latent` (above 1: latent is cheaper): conditioning, readout against rasterise + encode, "
            f"{conditioning}; a whole frame {end_to_end}, where Amdahl's law allows {bound:.3g}x, as what `latent` "
            f"spends on imagining and decoding stays; cache {cache:.3g}x."
        )
    return "\n".join(lines)


def _wan_section(costs: WanCosts) -> list[str]:
    height, width = WAN_SIZE
    rows = [list(row) for row in summary_rows(costs)]
    rows += [
        ["cache, latent append, MiB", f"{costs.latent_mib:.2f}"],
        ["cache, latent novel, MiB", f"{costs.latent_novel_mib:.2f}"],
        ["cache, RGB append-all, MiB", f"{costs.rgb_mib:.1f}"],
    ]
    return [
        f"## Conditioning at Wan's shapes: {height}x{width}, tokens 44x80x48",
        f"{costs.frames} keyframes of real depth with random latents. Encoding: {costs.encoder}. The denoiser is "
        "not run here: "
        "these are times of conditioning alone, and no end-to-end speed follows from them.",
        markdown_table(["what", "value"], rows),
    ]


def draw_benchmark(result: Benchmark, folder: Path) -> list[Path]:
    """Time per frame and cache over chunks, one picture a path."""
    return [_draw_chunks(costs, folder / f"chunks_{name}.png") for name, costs in result.chunks.items()]


def _draw_chunks(costs: ChunkCosts, path: Path) -> Path:
    figure = new_figure(10.5, 3.4)
    panels = (("Time per frame", STAGES, "ms"), ("of it: conditioning", CONDITIONING, "ms"))
    for number, (title, stages, unit) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, 3, number)
        for name in costs.courses:
            found = costs.per_chunk(name, stages)
            x = np.arange(1, len(found) + 1)
            axes.plot(x, [v.median_ms for v in found], marker="o", markersize=4, color=COLOURS.get(name), label=name)
            axes.fill_between(
                x, [v.low_ms for v in found], [v.high_ms for v in found], alpha=0.12, color=COLOURS.get(name)
            )
        axes.set_ylim(bottom=0)
        axes.set_xticks(x)
        tidy(axes, title, f"chunk of {costs.chunk_frames} frames", unit)
        if number == 1:
            axes.legend(fontsize=7, frameon=False)
    axes = figure.add_subplot(1, 3, 3)
    for name in costs.courses:
        mib = costs.mib_per_chunk(name)
        axes.plot(range(1, len(mib) + 1), mib, marker="o", markersize=4, color=COLOURS.get(name), label=name)
    axes.set_yscale("log")
    axes.set_xticks(range(1, len(mib) + 1))
    tidy(axes, "Cache", f"chunk of {costs.chunk_frames} frames", "MiB (logarithmic)")
    return save_figure(figure, path)
