"""What a flight cost and how well it held together, as JSON."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from engine.atomic import atomic_write

REPORT_VERSION = 1


@dataclass(frozen=True)
class StageTiming:
    """Milliseconds of one stage over a flight's frames."""

    median_ms: float
    p95_ms: float
    total_ms: float


@dataclass(frozen=True)
class Revisit:
    """Two frames whose cameras agree: the ``first`` visit and the ``second``, by frame number."""

    first: int
    second: int
    psnr_db: float
    ssim: float


@dataclass(frozen=True)
class Machine:
    """Where it ran."""

    system: str
    cpu: str
    cores: int
    memory_gib: float
    python: str
    torch: str
    threads: int
    device: str


@dataclass(frozen=True)
class FlightReport:
    """Everything worth knowing about a flight.

    Attributes:
        frames: frames rendered (fewer than asked for when it was cancelled); ``asked`` how many were wanted.
        stages: by name: readout, encode (an image into latents), imagine, decode, write; and ``film`` (layout and video
            encoding).
        generated_fps: frames a second of readout + encode + imagine + decode + write, over all frames but the first.
        wall_s: seconds of the whole flight, film and measuring included. first_frame_s: until the first frame was
            there.
        points, mib, coverage, points_added: one value a frame.
        growth_after_return: growth of the memory from the first frame that revisits a place to the end, as a fraction;
            ``None`` if
            the path never returns.
        revisits: measured pairs; ``revisit_psnr_db`` and ``revisit_ssim`` their means, ``None`` without pairs.
        peak_rss_mib: the process's peak resident memory.
    """

    version: int
    frames: int
    asked: int
    cancelled: bool
    size: tuple[int, int]
    stages: dict[str, StageTiming]
    generated_fps: float
    wall_s: float
    first_frame_s: float
    points: list[int]
    points_added: list[int]
    mib: list[float]
    coverage: list[float]
    growth_after_return: float | None
    revisit_psnr_db: float | None
    revisit_psnr_min_db: float | None
    revisit_ssim: float | None
    revisits: list[Revisit]
    model: str
    model_checksum: str
    config: dict[str, Any]
    machine: Machine
    peak_rss_mib: float
    film: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Indented JSON without NaN."""
        return json.dumps(finite(dataclasses.asdict(self)), indent=2, allow_nan=False)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON file, atomically.

        Raises:
            InputError: the folder is missing, read-only or full.
        """
        with atomic_write(path) as temporary:
            temporary.write_text(self.to_json() + "\n", encoding="utf-8")


def finite(value: Any) -> Any:
    """``value`` with tuples as lists, numbers that are not finite as ``None`` and floats rounded to six digits."""
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{float(value):.6g}") if np.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, Path):
        return str(value)
    return value


def stage_timing(values_ms: list[float]) -> StageTiming:
    """Median, 95th percentile and sum of ``values_ms``."""
    values = np.asarray(values_ms, np.float64)
    return StageTiming(float(np.median(values)), float(np.percentile(values, 95)), float(values.sum()))


def machine(device: str, arithmetic: str) -> Machine:
    """This machine, as reports name it. ``device`` is torch's name of what ran the model, ``arithmetic`` what it
    multiplied in."""
    import torch

    name = ""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    except (OSError, ValueError):
        pages = 0.0
    if device.startswith("cuda"):
        device = f"{device} ({torch.cuda.get_device_name()})"
    return Machine(
        system=platform.platform(),
        cpu=name or platform.processor() or platform.machine(),
        cores=os.cpu_count() or 1,
        memory_gib=round(pages, 1),
        python=platform.python_version(),
        torch=torch.__version__,
        threads=torch.get_num_threads(),
        device=f"{device}, {arithmetic}" if arithmetic else device,
    )


def peak_rss_mib() -> float:
    """Peak resident memory of this process in MiB; 0 where the system does not say."""
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
