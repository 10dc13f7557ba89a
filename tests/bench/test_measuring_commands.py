"""``mirage eval`` and ``mirage bench`` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.camera import Camera
from engine.camera_path import CameraPath
from engine.evaluation.bench.chunks import BENCH_WORLD
from engine.evaluation.settings import FIRST_SEED, EvaluationSettings
from engine.evaluation.tables import markdown_table
from engine.formats import write_path
from mirage_app.cli import EXIT_DONE, EXIT_INPUT, main
from mirage_app.commands.evaluate import Eval
from mirage_app.parsing import parse
from mirage_app.proof import evaluation_settings


def test_options_become_settings() -> None:
    command = parse(
        ["eval", "--quick", "--variants", "rgb", "latent", "--scenes", "3", "--steps", "4", "--size", "64x96"]
    )
    assert isinstance(command, Eval)
    settings = evaluation_settings(command)
    assert settings.variants == ("rgb", "latent")
    assert (settings.scenes, settings.steps, settings.size) == (3, 4, (64, 96))
    assert settings.loop_frames == EvaluationSettings.quick().loop_frames < EvaluationSettings().loop_frames
    assert evaluation_settings(Eval()) == EvaluationSettings()


def test_only_evaluation_seeds_are_used() -> None:
    assert min(FIRST_SEED, BENCH_WORLD.seed) >= 1_000_000


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["eval", "--scenes", "0"], "--scenes must lie"),
        (["eval", "--steps", "0"], "--steps must lie"),
        (["eval", "--size", "68x96"], "divisible by 8"),
        (["eval", "--variants", "cloud"], "cloud"),
        (["eval", "--import-re10k", "nowhere"], "not a folder"),
        (["bench", "--steps", "1000"], "--steps must lie"),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(
    words: list[str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--out", str(tmp_path / "out")]) == EXIT_INPUT
    said = capsys.readouterr().err.strip()
    assert complaint in said
    assert len(said.splitlines()) == 1


def test_results_cannot_go_into_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").write_text("mine")
    assert main(["eval", "--out", str(tmp_path / "taken")]) == EXIT_INPUT
    assert "choose another --out" in capsys.readouterr().err
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_recorded_folder_is_evaluated_from_the_command_line(
    tiny_model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = tmp_path / "clips"
    (clips / "wall").mkdir(parents=True)
    # A textured wall 4 m ahead, passed sideways: what a camera sees of it is a shifted crop.
    wall = np.asarray(
        Image.fromarray(np.random.default_rng(2).integers(0, 255, (16, 48, 3), dtype=np.uint8)).resize((336, 112), 3)
    )
    first = Camera.from_fov(np.eye(4), 50.0, 112, 64)
    cameras, shift_px = [], 12
    for n in range(3):
        pose = np.eye(4)
        pose[0, 3] = n * shift_px * 4.0 / first.K[0, 0]
        cameras.append(first.posed(pose))
        crop = wall[20:84, 100 + n * shift_px : 212 + n * shift_px]
        Image.fromarray(crop).save(clips / "wall" / f"{n:03d}.png")
    write_path(CameraPath(tuple(cameras)), clips / "wall.txt", "realestate10k")
    out = tmp_path / "out"
    words = ["eval", "--quick", "--variants", "latent", "--import-re10k", str(clips), "--model", str(tiny_model_dir)]
    assert main([*words, "--out", str(out)]) == EXIT_DONE
    told = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert told["scenes"]["wall"]["depth_share"] > 0.5
    assert told["scenes"]["wall"]["scale"] == pytest.approx(10.0 / 4.0, rel=0.1)  # the wall's 4 m became 10
    assert told["tables"]["closed loop"]["latent"]["PSNR_C, dB"]["n"] == 1
    assert told["about"]["model_checksum"]
    assert (out / "results.md").read_text(encoding="utf-8") in capsys.readouterr().out
    assert (out / "closed_loop.png").stat().st_size > 4000


def test_tables_leave_empty_columns_out() -> None:
    assert markdown_table(["a", "b", "c"], [["x", "–", "1"], ["y", "–", "2"]]).splitlines()[0] == "| a | c |"
