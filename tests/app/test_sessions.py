"""A saved world flies on without a window, frame for frame as it would have with one."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.camera import Camera
from engine.explorer import Explorer, ExplorerConfig
from engine.flight import fly
from engine.images import load_rgbd
from engine.messages import ExportJob
from engine.models.embedded import EmbeddedModel
from engine.path import resolve_path
from engine.reopen import capture, memory_saver
from engine.session import save_session
from engine.video import FrameWriter
from mirage_app.cli import EXIT_DONE, EXIT_INPUT, main
from ui.export_dialog.command import fly_command, write_path_file

SIZE = (64, 112)
STANDING = Camera.look_at(np.array([0.0, 0.0, 1.6]), np.array([1.0, 0.0, 1.5]), 60.0, SIZE[1], SIZE[0])


@pytest.fixture
def explorer(tiny_model_dir: Path, picture: tuple[Path, Path]) -> Explorer:
    """A world entered from the small picture and flown through for a few frames."""
    explorer = Explorer(EmbeddedModel.load(tiny_model_dir), ExplorerConfig(seed=3, size=SIZE))
    view = load_rgbd(*picture, 60.0, SIZE)
    fly(explorer, resolve_path("dolly:distance_m=0.5", view.camera, 3, SIZE).cameras, first=view)
    return explorer


def saved(explorer: Explorer, target: Path) -> Path:
    save_session(target, capture(explorer, kind="image", camera=STANDING), [], memory_saver(explorer))
    return target


def frames_in(folder: Path) -> np.ndarray:
    return np.stack([np.asarray(Image.open(file)) for file in sorted(folder.glob("*.png"))])


def test_the_copied_command_renders_the_same_frames(explorer: Explorer, tiny_model_dir: Path, tmp_path: Path) -> None:
    cameras = resolve_path("look-around:degrees=25", STANDING, 4, SIZE).cameras
    job = ExportJob(path=tmp_path / "headless", cameras=cameras, size=SIZE, steps=2)
    session = saved(explorer, tmp_path / "world.mirage")
    command = fly_command(job, session, write_path_file(job, tmp_path / "path.json", None))
    fly(explorer.fork(), cameras, FrameWriter(tmp_path / "window"), steps=2)
    words = shlex.split(command)
    assert words[0] == "mirage"
    assert main([*words[1:], "--model", str(tiny_model_dir)]) == EXIT_DONE
    assert np.array_equal(frames_in(tmp_path / "headless"), frames_in(tmp_path / "window"))


def test_a_session_of_another_model_is_refused(
    explorer: Explorer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = saved(explorer, tmp_path / "world.mirage")
    other = tmp_path / "other"
    EmbeddedModel.tiny(seed=9).save(other)
    words = ["fly", "--session", str(session), "--model", str(other), "--out", str(tmp_path / "fly.mp4")]
    assert main(words) == EXIT_INPUT
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "fly.mp4").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a zip", b"not a session"])
def test_a_damaged_session_is_refused(
    content: bytes, tiny_model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = tmp_path / "world.mirage"
    session.write_bytes(content)
    words = ["fly", "--session", str(session), "--model", str(tiny_model_dir), "--out", str(tmp_path / "fly.mp4")]
    assert main(words) == EXIT_INPUT
    assert capsys.readouterr().err.count("\n") == 1
