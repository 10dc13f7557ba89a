"""Flights through the real command with the real classes at a tiny width."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from engine.messages import LAYOUTS, MEMORY_VARIANTS
from engine.models.embedded.eight_bits import available
from mirage_app.cli import EXIT_DONE, EXIT_INTERRUPTED, main
from mirage_app.commands import options

ROOT = Path(__file__).resolve().parents[2]


def film_shape(path: Path) -> tuple[int, int, int, float]:
    """Frames, height, width and frames a second, counted by decoding."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = sum(1 for _ in container.decode(stream))
        return frames, stream.height, stream.width, float(stream.average_rate or 0)


def frames_in(folder: Path) -> np.ndarray:
    return np.stack([np.asarray(Image.open(file)) for file in sorted(folder.glob("*.png"))])


@pytest.fixture
def start(tiny_model_dir: Path, picture: tuple[Path, Path]) -> list[str]:
    """The words that enter the small picture with the tiny model."""
    image, depth = picture
    return ["fly", "--model", str(tiny_model_dir), "--image", str(image), "--depth", str(depth)]


def test_a_flight_through_a_world_makes_a_film_and_a_report(
    tiny_model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film, report = tmp_path / "fly.mp4", tmp_path / "fly.json"
    words = ["fly", "--model", str(tiny_model_dir), "--world", "snow", "--seed", "1000003", "--path", "loop"]
    assert main([*words, "--frames", "7", "--fps", "12", "--out", str(film), "--report", str(report)]) == EXIT_DONE
    assert film_shape(film) == (7, 128, 224, 12.0)
    told = json.loads(report.read_text())
    assert told["frames"] == told["asked"] == 7
    assert told["config"]["biome"] == "snow"
    assert {"readout", "imagine", "decode", "write"} <= set(told["stages"])
    assert len(told["points"]) == len(told["mib"]) == len(told["coverage"]) == len(told["points_added"]) == 7
    assert told["extra"]["process_start_to_first_frame_s"] > 0
    assert "7 frames generated at 64x112, 12 a second" in capsys.readouterr().out
    assert sorted(file.name for file in tmp_path.iterdir()) == ["fly.json", "fly.mp4"]


@pytest.mark.parametrize(
    ("name", "layout"), [("a.webm", "generated"), ("a.gif", "side-by-side"), ("a.mp4", "with-memory")]
)
def test_kinds_of_film_and_layouts(name: str, layout: str, start: list[str], tmp_path: Path) -> None:
    film = tmp_path / name
    words = ["--path", "dolly:distance_m=1", "--frames", "4", "--size", "64x112", "--layout", layout]
    assert main([*start, *words, "--out", str(film)]) == EXIT_DONE
    frames, height, width, _ = film_shape(film)
    assert (frames, height) == (4, 128 if layout == "generated" else 64)
    assert width >= {"generated": 224, "side-by-side": 3 * 112, "with-memory": 2 * 112}[layout]


def test_a_plain_film_has_the_size_at_which_it_was_generated(start: list[str], tmp_path: Path) -> None:
    film = tmp_path / "plain.mp4"
    words = ["--path", "dolly:distance_m=1", "--frames", "2", "--size", "64x112", "--plain"]
    assert main([*start, *words, "--out", str(film)]) == EXIT_DONE
    assert film_shape(film)[:3] == (2, 64, 112)


@pytest.mark.parametrize("precision", ["auto", "full"])
def test_a_report_says_what_was_multiplied_in(precision: str, start: list[str], tmp_path: Path) -> None:
    report = tmp_path / "fly.json"
    words = ["--path", "dolly:distance_m=1", "--frames", "2", "--precision", precision, "--report", str(report)]
    assert main([*start, *words, "--out", str(tmp_path / "fly")]) == EXIT_DONE
    device = json.loads(report.read_text())["machine"]["device"]
    assert device.startswith("cpu, ") and "float" in device
    assert device.endswith("and bytes") == (precision == "auto" and available())


def test_the_same_words_give_the_same_frames(start: list[str], tmp_path: Path) -> None:
    for name, seed in (("one", "4"), ("two", "4"), ("other", "5")):
        words = ["--path", "look-around:degrees=40", "--frames", "4", "--seed", seed, "--steps", "2"]
        assert main([*start, *words, "--out", str(tmp_path / name)]) == EXIT_DONE
    one, two, other = (frames_in(tmp_path / name) for name in ("one", "two", "other"))
    assert np.array_equal(one, two)
    assert np.array_equal(one[0], other[0])  # the first frame is the picture
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("memory", MEMORY_VARIANTS)
def test_every_memory_flies(memory: str, start: list[str], tmp_path: Path) -> None:
    report = tmp_path / "fly.json"
    words = ["--memory", memory, "--path", "straight:distance_m=1", "--frames", "3", "--report", str(report)]
    assert main([*start, *words, "--out", str(tmp_path / "fly")]) == EXIT_DONE
    told = json.loads(report.read_text())
    assert told["config"]["memory"] == memory
    assert (told["points"][-1] == 0) == (memory == "none")


def test_a_world_can_begin_from_nothing(tiny_model_dir: Path, tmp_path: Path) -> None:
    report = tmp_path / "fly.json"
    words = [
        "fly",
        "--model",
        str(tiny_model_dir),
        "--start",
        "nothing",
        "--path",
        "look-around:degrees=5",
        "--frames",
        "2",
    ]
    assert main([*words, "--out", str(tmp_path / "fly"), "--report", str(report)]) == EXIT_DONE
    assert json.loads(report.read_text())["coverage"][0] == 0.0


def test_ctrl_c_leaves_a_playable_film_and_a_report(start: list[str], tmp_path: Path) -> None:
    film, report = tmp_path / "fly.mp4", tmp_path / "fly.json"
    words = [*start, "--path", "orbit", "--frames", "5000", "--out", str(film), "--report", str(report)]
    process = subprocess.Popen(
        [sys.executable, "main.py", *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".fly-*.mp4")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == EXIT_INTERRUPTED, err
    assert "Traceback" not in err
    told = json.loads(report.read_text())
    assert told["cancelled"]
    assert 1 <= told["frames"] < 5000
    assert film_shape(film)[0] == told["frames"]
    assert f"Stopped after {told['frames']} of 5000 frames" in err
    assert sorted(file.name for file in tmp_path.iterdir()) == ["fly.json", "fly.mp4"]


def test_the_words_of_the_command_line_are_the_engines() -> None:
    assert options.MemoryKind.__args__ == MEMORY_VARIANTS  # type: ignore[attr-defined]
    assert options.Layout.__args__ == LAYOUTS  # type: ignore[attr-defined]
