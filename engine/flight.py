"""A flight: cameras in, frames out, a film and a report beside.

The command line, the app's export and the benchmark fly with this.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np

from engine import panels
from engine.camera import Camera
from engine.dissolve import Dissolve
from engine.errors import Cancelled, InputError
from engine.explorer import Explorer
from engine.memory import LatentMemory
from engine.messages import LAYOUTS, STAGES, Layout, StepResult
from engine.metrics import psnr_db, ssim
from engine.pyramid import FirstView
from engine.report import REPORT_VERSION, FlightReport, Revisit, machine, peak_rss_mib, stage_timing
from engine.world_model import CancelToken

MAX_REVISITS = 24
"""SSIM of a frame costs about as much as the frame; more pairs than this are thinned out evenly."""


class Writer(Protocol):
    """Where frames go: ``engine.video.FrameWriter``."""

    @property
    def fps(self) -> float | Fraction:
        """Frames per second that they are shown at."""

    def write(self, rgb: np.ndarray) -> None:
        """One frame (H, W, 3) uint8."""

    def close(self) -> None:
        """Finish the film; keeps what was written."""


def revisit_pairs(cameras: Sequence[Camera], within_m: float = 0.1, within_deg: float = 1.0) -> list[tuple[int, int]]:
    """Pairs (first, second) of frames whose cameras agree after the view had been left in between.

    A view counts as left when some camera in between is four tolerances away; ``second`` is matched with the *earliest*
    frame that agrees with it. Fields of view must agree within 1 %.
    """
    if not cameras:
        return []
    position = np.stack([camera.position for camera in cameras])
    rotation = np.stack([camera.c2w[:3, :3] for camera in cameras])
    focal = np.array([camera.K[1, 1] / camera.height for camera in cameras])
    pairs = []
    for second in range(2, len(cameras)):
        distance = np.linalg.norm(position[:second] - position[second], axis=1) / within_m
        cosine = (np.einsum("nij,ij->n", rotation[:second], rotation[second]) - 1.0) / 2.0
        turn = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))) / within_deg
        apart = np.maximum(distance, turn)
        agree = (apart <= 1.0) & (np.abs(focal[:second] / focal[second] - 1.0) <= 0.01)
        left = np.flatnonzero(apart > 4.0)
        if len(left) and agree[: left[-1]].any():
            pairs.append((int(np.flatnonzero(agree[: left[-1]])[0]), second))
    return pairs


def memory_points(memory: LatentMemory) -> tuple[np.ndarray, np.ndarray]:
    """Living points (n, 3) float32 and their colours (n, 3) uint8, sky left out."""
    snapshot = memory.snapshot()
    shown = snapshot.alive & ~snapshot.sky
    return snapshot.positions[shown], snapshot.rgb[shown]


def layout_frame(result: StepResult, layout: Layout, explorer: Explorer) -> np.ndarray:
    """The film's picture of a step, (H, W', 3) uint8 with even sides.

    ``generated`` is the frame itself, as fine as it was drawn; ``side-by-side`` adds what the memory knew and the
    coverage; ``with-memory`` adds the memory as points, seen from behind the camera.
    """
    if layout == "generated":
        return result.picture
    if layout == "side-by-side":
        known = result.readout_rgb if result.readout_rgb is not None else np.zeros_like(result.rgb)
        cover = panels.coverage_image(result.coverage, result.rgb)
        return panels.beside(
            panels.label(result.rgb, "generated"),
            panels.label(known, "what the memory knew"),
            panels.label(cover, f"coverage {100.0 * result.coverage_mean:.0f} %"),
        )
    cloud = np.tile(panels.INK, (*result.rgb.shape[:2], 1))
    memory = explorer.memory.latent
    if memory is not None:
        positions_m, colours = memory_points(memory)
        cloud = panels.points_image(positions_m, colours, panels.chase_camera(result.camera))
    caption = f"memory {result.stats.tokens_living} tokens, {result.stats.mib:.2f} MiB"
    return panels.beside(panels.label(result.rgb, "generated"), panels.label(cloud, caption))


class Flight:
    """A flight in progress, one frame per :meth:`advance`; close it (or leave its block) to finish the film.

    Args:
        explorer: begun already (every camera is a step), or not (the first camera begins the world, from ``first`` or
            nothing).
        cameras: one a frame.
        writer: takes the laid-out frames; the caller chooses the format.
        first: the view that a fresh explorer begins with.
    """

    def __init__(
        self,
        explorer: Explorer,
        cameras: Sequence[Camera],
        writer: Writer | None = None,
        *,
        layout: Layout = "generated",
        steps: int | None = None,
        first: FirstView | None = None,
    ) -> None:
        if not cameras:
            raise InputError("A flight needs at least one camera.")
        if layout not in LAYOUTS:
            raise InputError(f"Unknown layout {layout!r}; choose one of {', '.join(LAYOUTS)}.")
        self.explorer = explorer
        self.cameras = [explorer.fit(camera) for camera in cameras]
        self.writer = writer
        self.layout = layout
        self.steps = steps
        self.cancelled = False
        self._first = first
        self._started = time.perf_counter()
        self._first_frame_s = 0.0
        self._results: list[StepResult] = []
        self._timings: dict[str, list[float]] = {}
        self._revisits: list[Revisit] = []
        pairs = revisit_pairs(self.cameras)
        self._returns_at = pairs[0][1] if pairs else None
        thin = (
            np.unique(np.linspace(0, len(pairs) - 1, MAX_REVISITS).round().astype(int))
            if len(pairs) > MAX_REVISITS
            else None
        )
        self._pairs = {second: one for one, second in (pairs if thin is None else [pairs[i] for i in thin])}
        self._wanted = set(self._pairs.values())
        self._kept: dict[int, np.ndarray] = {}
        self._dissolve = Dissolve(float(writer.fps) if writer is not None else 0.0)

    @property
    def done(self) -> int:
        """Frames rendered."""
        return len(self._results)

    @property
    def finished(self) -> bool:
        """All frames are rendered."""
        return self.done == len(self.cameras)

    def advance(self, cancel: CancelToken | None = None) -> StepResult:
        """Render the next frame and hand it to the writer.

        Raises:
            Cancelled: as asked; this frame was neither written nor remembered, those before it were.
        """
        number = self.done
        camera = self.cameras[number]
        cancel = cancel or CancelToken()
        if number == 0 and not self.explorer.begun:
            result = self.explorer.begin(camera, self._first, cancel=cancel)
        else:
            result = self.explorer.step(
                camera, steps=self.steps, with_readout=self.layout == "side-by-side", cancel=cancel
            )
        timings = dict(result.timings_ms)
        started = time.perf_counter()
        if self.writer is not None:
            self.writer.write(layout_frame(self._dissolve.shown(result), self.layout, self.explorer))
            timings["film"] = 1000.0 * (time.perf_counter() - started)
        for stage, ms in timings.items():
            self._timings.setdefault(stage, []).append(ms)
        nothing = np.empty((0, 0, 3), np.uint8)
        self._results.append(dataclasses.replace(result, rgb=nothing, readout_rgb=None, fine_rgb=None))
        if number == 0:
            self._first_frame_s = time.perf_counter() - self._started
        self._measure(number, result.rgb)
        return result

    def _measure(self, number: int, rgb: np.ndarray) -> None:
        """Keep a first visit, compare a second one with it."""
        if number in self._wanted:
            self._kept[number] = rgb
        if number in self._pairs:
            first = self._kept[self._pairs[number]]
            self._revisits.append(Revisit(self._pairs[number], number, psnr_db(first, rgb), ssim(first, rgb)))

    def close(self) -> None:
        """Finish the film with the frames rendered so far."""
        if self.writer is not None:
            self.writer.close()

    def __enter__(self) -> Flight:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def report(self, film: str = "") -> FlightReport:
        """What was flown so far."""
        results, explorer = self._results, self.explorer
        spec = explorer.model.spec
        generate_ms = [sum(r.timings_ms.get(stage, 0.0) for stage in STAGES) for r in results[1:]]
        points = [r.stats.tokens_living for r in results]
        growth = None
        if self._returns_at is not None and self._returns_at < len(points) and points[self._returns_at - 1]:
            growth = points[-1] / points[self._returns_at - 1] - 1.0
        psnrs, ssims = [r.psnr_db for r in self._revisits], [r.ssim for r in self._revisits]
        config = dataclasses.asdict(explorer.config) | {
            "steps": self.steps or explorer.default_steps,
            "layout": self.layout,
            "world": dataclasses.asdict(explorer.world.spec) if explorer.world is not None else None,
        }
        return FlightReport(
            version=REPORT_VERSION,
            frames=len(results),
            asked=len(self.cameras),
            cancelled=self.cancelled,
            size=explorer.size,
            stages={stage: stage_timing(self._timings[stage]) for stage in (*STAGES, "film") if stage in self._timings},
            generated_fps=1000.0 * len(generate_ms) / sum(generate_ms) if generate_ms else 0.0,
            wall_s=time.perf_counter() - self._started,
            first_frame_s=self._first_frame_s,
            points=points,
            points_added=[r.tokens_written - r.tokens_superseded for r in results],
            mib=[r.stats.mib for r in results],
            coverage=[r.coverage_mean for r in results],
            growth_after_return=growth,
            revisit_psnr_db=float(np.mean(psnrs)) if psnrs else None,
            revisit_psnr_min_db=min(psnrs) if psnrs else None,
            revisit_ssim=float(np.mean(ssims)) if ssims else None,
            revisits=list(self._revisits),
            model=spec.name,
            model_checksum=spec.checksum,
            config=config,
            machine=machine(str(explorer.model.device), explorer.model.spec.arithmetic),
            peak_rss_mib=peak_rss_mib(),
            film=film,
        )


def fly(
    explorer: Explorer,
    cameras: Sequence[Camera],
    writer: Writer | None = None,
    *,
    layout: Layout = "generated",
    steps: int | None = None,
    first: FirstView | None = None,
    on_step: Callable[[int, StepResult], None] | None = None,
    cancel: CancelToken | None = None,
    report_path: Path | None = None,
) -> FlightReport:
    """Fly through ``cameras`` to the end, or until ``cancel`` or Ctrl-C; either way the film is finished and the report
    made.

    Arguments as :class:`Flight`; ``on_step(frame number, result)`` is called after every frame. Ctrl-C is not re-
    raised: the report says ``cancelled``.
    """
    flight = Flight(explorer, cameras, writer, layout=layout, steps=steps, first=first)
    with flight:
        try:
            while not flight.finished:
                number = flight.done
                result = flight.advance(cancel)
                if on_step is not None:
                    on_step(number, result)
        except (Cancelled, KeyboardInterrupt):
            flight.cancelled = True
    report = flight.report(film=str(getattr(writer, "path", "")))
    if report_path is not None:
        report.write(report_path)
    return report
