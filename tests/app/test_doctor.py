"""The doctor looks at a real machine and says plainly what is missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import engine.models
from engine.models.embedded.eight_bits import available
from engine.processor import has_bfloat16
from mirage_app.cli import main
from mirage_app.doctor import graphics, machine, media
from mirage_app.doctor.finding import State
from mirage_app.doctor.report import look


@pytest.fixture
def with_model(tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose shipped model is the tiny one."""
    monkeypatch.setattr(engine.models, "shipped_model_dir", lambda: tiny_model_dir)
    return tiny_model_dir


def test_a_complete_machine_is_told_so(with_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = [finding for finding in look() if finding.state is State.MISSING]
    assert main(["doctor", "--json"]) == int(bool(missing))
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] == (not missing)
    topics = {finding["topic"] for finding in told["findings"]}
    assert {"Python", "Torch", "OpenGL", "Codecs", "Display", "denoiser.safetensors", "Model"} <= topics
    assert all(finding["advice"] for finding in told["findings"] if finding["state"] == "missing")
    torch_here = next(finding for finding in told["findings"] if finding["topic"] == "Torch")
    quick = [name for name, there in (("bf16", has_bfloat16()), ("bytes", available())) if there]
    assert "quick at " + (" and ".join(quick) or "float32") in torch_here["found"]


def test_missing_weights_are_named_and_end_with_one(
    tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model_dir, folder)
    (folder / "readout.safetensors").unlink()
    monkeypatch.setattr(engine.models, "shipped_model_dir", lambda: folder)
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "Missing: " in said
    assert "readout.safetensors" in said


def test_damaged_weights_are_a_finding(tiny_model_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model_dir, folder)
    (folder / "denoiser.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{broken}")
    findings = {finding.topic: finding for finding in media.model(folder)}
    assert findings["denoiser.safetensors"].state is State.OK  # it is there
    assert findings["Model"].state is State.MISSING  # and cannot be used
    assert "denoiser.safetensors" in findings["Model"].found


def test_every_film_can_be_encoded_here() -> None:
    assert media.codecs().state is State.OK


def test_an_absent_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(machine.PACKAGES, "quantum_loom", "quantum-loom")
    finding = machine.packages()
    assert finding.state is State.MISSING
    assert "quantum-loom" in finding.advice


def test_a_probe_that_crashes_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":1")
    monkeypatch.setenv("QT_QPA_PLATFORM", "no-such-platform")  # Qt aborts the probe's process
    finding = graphics.opengl()
    assert finding.state is State.MISSING
    assert "probe failed" in finding.found


@pytest.mark.gl
def test_opengl_is_found_where_it_is() -> None:
    finding = graphics.opengl()
    assert finding.state is State.OK
    assert finding.found[0].isdigit()
