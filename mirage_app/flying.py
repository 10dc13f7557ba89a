"""The work behind ``mirage fly``: check everything that can be checked, load, fly, tell."""

from __future__ import annotations

import dataclasses
import logging
import os
import sys
import time

import psutil
from rich.console import Console

from engine.atomic import check_writable_parent
from engine.camera_path import DEFAULT_FPS, MAX_CAMERAS, CameraPath
from engine.errors import InputError
from engine.flight import fly
from engine.messages import StepResult
from engine.models.embedded import EmbeddedModel
from engine.models.embedded.model import MAX_STEPS
from engine.path import resolve_path
from engine.report import FlightReport
from engine.video import FrameWriter, check_output
from engine.world_model import CancelToken, WorldModel
from mirage_app.commands.fly import Fly
from mirage_app.commands.options import parse_size, require_at_least, resolve_device
from mirage_app.departure import Departure, check_departure, depart
from mirage_app.interrupt import cancel_on_ctrl_c
from mirage_app.progress import FlightProgress

EXIT_DONE, EXIT_INTERRUPTED = 0, 130
FOV_LIMITS_DEG = (5.0, 150.0)
MIN_BUDGET_MIB = 0.01

log = logging.getLogger(__name__)


def render_flight(options: Fly) -> int:
    """Render what ``options`` describe; 0, or 130 when Ctrl-C stopped it (the film holds what was rendered).

    Raises:
        MirageError: something does not fit; nothing was written.
    """
    size = _check(options)
    device = resolve_device(options.device)
    console = Console(stderr=True)
    cancel = CancelToken()
    with cancel_on_ctrl_c(cancel):
        with console.status("Loading the model"):
            model = EmbeddedModel.load(options.model, device, in_full=options.precision == "full")
        departure, path = _prepare(options, model, size, console)
        for note in path.notes:
            console.print(note, highlight=False)
        cancel.check()
        report = _fly(options, departure, path, cancel)
    if options.report is not None and report.frames:
        report.write(options.report)
    _tell(options, report, path.fps)
    return EXIT_INTERRUPTED if report.cancelled else EXIT_DONE


def _check(options: Fly) -> tuple[int, int] | None:
    """Whatever needs neither model nor world, so that it is said at once; returns the frame size if there is one."""
    size = parse_size(options.size) if options.size is not None else None
    if options.frames is not None and not 1 <= options.frames <= MAX_CAMERAS:
        raise InputError(f"--frames must lie between 1 and {MAX_CAMERAS:,}; {options.frames:,} came.")
    if options.steps is not None and not 1 <= options.steps <= MAX_STEPS:
        raise InputError(f"--steps must lie between 1 and {MAX_STEPS}; {options.steps} came.")
    if options.spawn < 0:
        raise InputError(f"--spawn counts starting places from 0; {options.spawn} came.")
    if options.fov_deg is not None and not FOV_LIMITS_DEG[0] <= options.fov_deg <= FOV_LIMITS_DEG[1]:
        low, high = FOV_LIMITS_DEG
        raise InputError(f"--fov-deg must lie between {low:g} and {high:g} degrees; {options.fov_deg:g} came.")
    if options.budget_mib is not None:
        require_at_least("--budget-mib", options.budget_mib, MIN_BUDGET_MIB)
    check_departure(options)
    check_output(
        options.out,
        size if options.layout == "generated" else None,
        DEFAULT_FPS if options.fps is None else options.fps,
    )
    if options.report is not None:
        check_writable_parent(options.report.absolute())
        if options.report.is_dir():
            raise InputError(f"{options.report} is a folder; give the report a file name, for example fly.json.")
    return size


def _prepare(
    options: Fly, model: WorldModel, size: tuple[int, int] | None, console: Console
) -> tuple[Departure, CameraPath]:
    """An explorer that stands where the flight begins, and the cameras to fly."""
    doing = "Opening the session" if options.session else "Reading the picture" if options.image else "Making the world"
    with console.status(doing):
        departure = depart(options, model, size)
        path = resolve_path(
            options.path,
            departure.camera,
            options.frames,
            departure.explorer.size,
            fps=options.fps,
            ground_height_m=departure.ground_height_m,
        )
    return departure, path


def _fly(options: Fly, departure: Departure, path: CameraPath, cancel: CancelToken) -> FlightReport:
    first_frame_s: list[float] = []
    with FlightProgress(len(path), f"Flying to {options.out.name}") as progress:

        def on_step(number: int, result: StepResult) -> None:
            if number == 0:
                first_frame_s.append(time.time() - psutil.Process().create_time())
            progress.advance()

        report = fly(
            departure.explorer,
            path.cameras,
            FrameWriter(options.out, path.fps),
            layout=options.layout,
            steps=options.steps,
            first=departure.first_view(path[0]),
            on_step=on_step,
            cancel=cancel,
        )
    start_s = first_frame_s[0] if first_frame_s else None
    extra = {"process_start_to_first_frame_s": start_s, "path": options.path, "fps": path.fps}
    return dataclasses.replace(report, extra={**report.extra, **extra})


def _tell(options: Fly, report: FlightReport, fps: float) -> None:
    """One sentence about the film."""
    if not report.frames:
        sys.stderr.write("Stopped before the first frame was finished; nothing was written.\n")
        return
    film = os.fspath(options.out)
    facts = [f"{report.frames} frames generated at {report.size[0]}x{report.size[1]}, {fps:g} a second"]
    if report.generated_fps:
        facts.append(f"{report.generated_fps:.1f} generated a second")
    facts.append(f"the memory holds {report.points[-1]:,} tokens in {report.mib[-1]:.2f} MiB")
    if report.revisit_psnr_db is not None:
        facts.append(f"places seen again match their first visit at {report.revisit_psnr_db:.1f} dB")
    log.info("%s: %s", film, "; ".join(facts))
    if report.cancelled:
        sys.stderr.write(f"Stopped after {report.frames} of {report.asked} frames; {film} holds them.\n")
    sys.stdout.write(f"{film}: {'; '.join(facts)}.\n")
