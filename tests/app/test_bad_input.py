"""Whatever does not fit: exit code 2, one sentence, nothing left behind."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mirage_app.cli import EXIT_INPUT, main

ROOT = Path(__file__).resolve().parents[2]
POSE = "0 0.9 1.6 0.5 0.5 0 0 1 0 0 0 0 1 0 0 0 0 1 0"
SIZE = "64x112"

Words = list[str]
Make = Callable[[Path], Words]
"""Puts bad files into a folder and returns the words that name them."""


def refuse(words: Words, capsys: pytest.CaptureFixture[str], out: Path) -> str:
    """Run, check that it was refused properly, and return the sentence."""
    assert main(words) == EXIT_INPUT
    said = capsys.readouterr()
    assert said.out == ""
    sentence = said.err.rstrip("\n")
    assert sentence.count("\n") == 0, sentence
    assert sentence.endswith((".", "?")), sentence
    assert 20 < len(sentence) < 500, sentence
    assert "Traceback" not in sentence
    assert not sentence.split(":")[0].endswith("Error"), sentence
    assert list(out.iterdir()) == []
    return sentence


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("words", "naming"),
    [
        (["--world", "atlantis"], "meadow"),
        (["--world", "Meadow "], "meadow"),
        (["--time", "teatime"], "dusk"),
        (["--seed", "-1"], "seed"),
        (["--frames", "0"], "--frames"),
        (["--frames", "-5"], "--frames"),
        (["--frames", "100000000"], "100,000"),
        (["--fps", "0"], "second"),
        (["--fps", "nan"], "second"),
        (["--steps", "0"], "--steps"),
        (["--spawn", "-1"], "--spawn"),
        (["--fov-deg", "0"], "--fov-deg"),
        (["--fov-deg", "nan"], "--fov-deg"),
        (["--fov-deg", "180"], "--fov-deg"),
        (["--budget-mib", "0"], "--budget-mib"),
        (["--budget-mib", "nan"], "--budget-mib"),
        (["--size", "250x448"], "248x448"),
        (["--size", "256x450"], "256x448"),
        (["--size", "256"], "HEIGHTxWIDTH"),
        (["--size", "0x0"], "between"),
        (["--size", "80000x80000"], "between"),
        (["--size", "-256x448"], "HEIGHTxWIDTH"),
        (["--depth", "depth.npy"], "--image"),
        (["--image", "a.png", "--start", "nothing"], "--start nothing"),
        (["--session", "a.mirage", "--world", "snow"], "session"),
    ],
)
def test_options_that_do_not_fit(words: Words, naming: str, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert naming in refuse(["fly", *words, "--out", str(out / "film.mp4")], capsys, out)


@pytest.mark.parametrize(
    ("target", "naming"),
    [
        ("film.avi", ".mp4"),
        ("film.mp4.txt", ".mp4"),
        ("nowhere/film.mp4", "does not exist"),
        ("nowhere/frames", "does not exist"),
    ],
)
def test_films_that_cannot_be_written(target: str, naming: str, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert naming in refuse(["fly", "--out", str(out / target)], capsys, out)


def test_a_report_that_cannot_be_written(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["fly", "--out", str(out / "film.mp4"), "--report"]
    assert "does not exist" in refuse([*words, str(out / "nowhere" / "fly.json")], capsys, out)
    assert "is a folder" in refuse([*words, str(out)], capsys, out)


def test_a_place_that_nobody_may_write(
    out: Path, tiny_model_dir: Path, picture: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    start = ["--image", str(picture[0]), "--depth", str(picture[1]), "--frames", "2", "--size", SIZE]
    refuse(["fly", *start, "--model", str(tiny_model_dir), "--out", "/proc/film.mp4"], capsys, out)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_device_that_is_not_there(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["fly", "--device", "cuda", "--out", str(out / "film.mp4")]
    assert "--device cpu" in refuse(words, capsys, out)


def _path_file(name: str, content: str | bytes) -> Make:
    def make(folder: Path) -> Words:
        target = folder / name
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        return ["--path", str(target)]

    return make


def _frames(matrices: list[np.ndarray]) -> str:
    frames = [{"file_path": f"{n}.png", "transform_matrix": m.tolist()} for n, m in enumerate(matrices)]
    return json.dumps({"fl_x": 100.0, "fl_y": 100.0, "cx": 56, "cy": 32, "w": 112, "h": 64, "frames": frames})


BAD_PATHS: dict[str, Make] = {
    "unknown preset": lambda folder: ["--path", "lopo"],
    "unknown option of a preset": lambda folder: ["--path", "orbit:speed=3"],
    "preset option that is no number": lambda folder: ["--path", "orbit:radius_m=wide"],
    "preset option out of bounds": lambda folder: ["--path", "orbit:radius_m=nan"],
    "no such file": lambda folder: ["--path", str(folder / "missing.txt")],
    "a folder": lambda folder: ["--path", str(folder)],
    "empty text": _path_file("poses.txt", ""),
    "empty json": _path_file("transforms.json", ""),
    "empty npz": _path_file("poses.npz", b""),
    "truncated json": _path_file("camera_path.json", '{"camera_path": [{"camera_to_world": [1, 0, 0'),
    "truncated text": _path_file("poses.txt", f"https://example.org/clip\n{POSE[:20]}\n"),
    "numbers that are none": _path_file("poses.txt", "url\n" + POSE.replace("0.9", "nan") + "\n"),
    "words among numbers": _path_file("poses.txt", "url\n" + POSE.replace("0.9", "wide") + "\n"),
    "rotation that scales": _path_file("transforms.json", _frames([np.diag([2.0, 2.0, 2.0, 1.0])])),
    "rotation that mirrors": _path_file("transforms.json", _frames([np.diag([-1.0, 1.0, 1.0, 1.0])])),
    "position at infinity": _path_file("transforms.json", _frames([np.eye(4)]).replace("1.0", "Infinity", 1)),
    "a million poses": _path_file("poses.txt", "url\n" + (POSE + "\n") * 1_000_000),
    "bytes of no format": _path_file("poses.txt", bytes(range(256)) * 8),
    "pickled npy": _path_file(
        "poses.npy", b"\x93NUMPY\x01\x00\x46\x00{'descr': '|O', 'fortran_order': False}" + b" " * 30
    ),
}


@pytest.mark.parametrize("kind", BAD_PATHS)
def test_paths_that_cannot_be_flown(
    kind: str,
    tmp_path: Path,
    out: Path,
    tiny_model_dir: Path,
    picture: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    start = ["--image", str(picture[0]), "--depth", str(picture[1]), "--size", SIZE, "--model", str(tiny_model_dir)]
    refuse(["fly", *start, *BAD_PATHS[kind](tmp_path), "--out", str(out / "film.mp4")], capsys, out)


def _png_header(width: int, height: int) -> bytes:
    """A PNG that promises more pixels than anyone has."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def _picture(content: bytes) -> Make:
    def make(folder: Path) -> Words:
        (folder / "place.png").write_bytes(content)
        return ["--image", str(folder / "place.png")]

    return make


def _depth(depth_m: np.ndarray) -> Make:
    def make(folder: Path) -> Words:
        Image.new("RGB", (112, 64), (90, 120, 150)).save(folder / "place.png")
        np.save(folder / "depth.npy", depth_m)
        return ["--image", str(folder / "place.png"), "--depth", str(folder / "depth.npy")]

    return make


def _depth_bytes(content: bytes) -> Make:
    def make(folder: Path) -> Words:
        Image.new("RGB", (112, 64), (90, 120, 150)).save(folder / "place.png")
        (folder / "depth.npy").write_bytes(content)
        return ["--image", str(folder / "place.png"), "--depth", str(folder / "depth.npy")]

    return make


BAD_PICTURES: dict[str, Make] = {
    "missing": lambda folder: ["--image", str(folder / "missing.png")],
    "a folder": lambda folder: ["--image", str(folder)],
    "not a picture": _picture(b"This is a letter to the editor."),
    "empty": _picture(b""),
    "corrupt": _picture(_png_header(112, 64)),
    "enormous": _picture(_png_header(200_000, 200_000)),
    "depth of another size": _depth(np.ones((30, 40), np.float32)),
    "depth of another dimension": _depth(np.ones((3, 64, 112), np.float32)),
    "depth of zeros": _depth(np.zeros((64, 112), np.float32)),
    "negative depth": _depth(np.full((64, 112), -2.0, np.float32)),
    "depth of NaN": _depth(np.full((64, 112), np.nan, np.float32)),
    "infinite depth": _depth(np.full((64, 112), np.inf, np.float32)),
    "depth of words": _depth(np.full((64, 112), "far")),
    "pickled depth": _depth(np.full((64, 112), None, object)),
    "truncated depth": _depth_bytes(b"\x93NUMPY\x01\x00"),
    "depth that is no array": _depth_bytes(b"not an array at all"),
}


@pytest.mark.parametrize("kind", BAD_PICTURES)
def test_pictures_that_cannot_be_entered(
    kind: str, tmp_path: Path, out: Path, tiny_model_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*BAD_PICTURES[kind](tmp_path), "--size", SIZE, "--model", str(tiny_model_dir), "--frames", "2"]
    refuse(["fly", *words, "--out", str(out / "film.mp4")], capsys, out)


def _without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _truncated(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return spoil


def _of_another(name: str, source: str) -> Callable[[Path], None]:
    return lambda folder: shutil.copy(folder / source, folder / name) and None


BAD_MODELS: dict[str, tuple[Callable[[Path], None], str]] = {
    "no folder": (shutil.rmtree, "config.json"),
    "no configuration": (_without("config.json"), "config.json"),
    "broken configuration": (_truncated("config.json"), "config.json"),
    "no weights": (_without("denoiser.safetensors"), "denoiser.safetensors"),
    "truncated weights": (_truncated("autoencoder.safetensors"), "sha256"),
    "weights of another configuration": (_of_another("readout.safetensors", "denoiser.safetensors"), "sha256"),
}


@pytest.mark.parametrize("kind", BAD_MODELS)
def test_models_that_cannot_be_loaded(
    kind: str, tmp_path: Path, out: Path, tiny_model_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, naming = BAD_MODELS[kind]
    folder = tmp_path / "model"
    shutil.copytree(tiny_model_dir, folder)
    spoil(folder)
    assert naming in refuse(["fly", "--model", str(folder), "--out", str(out / "film.mp4")], capsys, out)


@pytest.mark.parametrize(
    "words",
    [
        ["worlds", "--world", "atlantis"],
        ["worlds", "--sheet", "sheet.txt"],
        ["worlds", "--sheet", "nowhere/sheet.png"],
        ["worlds", "--sheet", "sheet.png", "--size", "100x100"],
        ["train", "readout", "--config", "missing.toml"],
        ["train", "readout", "--set", "colour=red"],
        ["train", "readout", "--set", "colour"],
        ["train", "denoiser", "--minutes", "-1"],
        ["app", "missing.mirage"],
        ["app", "--world", "atlantis"],
    ],
)
def test_other_commands_refuse_as_well(
    words: Words, out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(out)
    refuse(words, capsys, out)


def test_a_full_disk_is_named_and_leaves_nothing(out: Path, tiny_model_dir: Path, picture: tuple[Path, Path]) -> None:
    """A limit on file size stands for the full disk: the kernel refuses the write in the same place."""
    start = ["--image", str(picture[0]), "--depth", str(picture[1]), "--size", SIZE, "--frames", "6"]
    words = ["fly", *start, "--model", str(tiny_model_dir), "--out", str(out / "film.mp4")]
    program = (
        "import resource, sys\n"
        "from mirage_app.cli import main\n"
        "import mirage_app.flying, engine.images, logging\n"
        "logging.disable()\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        f"sys.exit(main({words!r}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", program],  # or what it imports last is cached cut off
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == EXIT_INPUT, done.stderr
    assert "room" in done.stderr or "full" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(out.iterdir()) == []
