"""The same film without a window: an export job as a command line. No Qt here."""

from __future__ import annotations

import shlex
from pathlib import Path

from engine.camera_path import CameraPath
from engine.formats import mirage
from engine.keyframes import PathSpec
from engine.messages import ExportJob


def path_file_for(film: Path) -> Path:
    """Where the film's camera path is written: beside the film."""
    return film.with_name(f"{film.stem}-path.json")


def session_file_for(film: Path) -> Path:
    """Where the world is saved for a film, if it has no file of its own yet."""
    return film.with_name(f"{film.stem}.mirage")


def write_path_file(job: ExportJob, target: Path, spec: PathSpec | None) -> Path:
    """The job's cameras to the last bit, and the keyframes they came from, if any.

    Raises:
        InputError: the place cannot be written.
    """
    mirage.write(CameraPath(job.cameras, job.fps), target, spec)
    return target


def fly_command(job: ExportJob, session: Path, path_file: Path) -> str:
    """A shell line that renders the job's film, frame for frame: the saved world, the cameras in the file, every
    setting spelled out.
    """
    height, width = job.size if job.size is not None else job.cameras[0].size
    words = ["mirage", "fly", "--session", str(session), "--path", str(path_file)]
    words += ["--frames", str(len(job.cameras)), "--fps", f"{job.fps:g}", "--size", f"{height}x{width}"]
    if job.steps is not None:
        words += ["--steps", str(job.steps)]
    words += ["--layout", job.layout, "--out", str(job.path)]
    return shlex.join(words)
