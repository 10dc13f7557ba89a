"""The command line: light to start, and one readable sentence for whatever does not fit."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InputError
from mirage_app.cli import EXIT_DONE, EXIT_INPUT, main
from mirage_app.commands.app import App
from mirage_app.commands.fly import Fly
from mirage_app.commands.registry import COMMANDS
from mirage_app.parsing import parse

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "numpy", "scipy", "numba", "open3d", "matplotlib", "diffusers", "av", "PyQt6", "vispy", "PIL")


def run(*words: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "main.py", *words], cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False
    )


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_is_printed_and_ends_well(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == EXIT_DONE
    said = capsys.readouterr()
    assert "usage: mirage" in said.out
    assert said.err == ""


def test_building_every_parser_imports_nothing_heavy() -> None:
    program = (
        "import sys, contextlib, io, json\n"
        "from mirage_app.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    codes = [main(['--help']), main(['fly', '--help']), main(['train', '--help'])]\n"
        f"print(json.dumps([codes, [name for name in {HEAVY!r} if name in sys.modules]]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[0, 0, 0], []]


def test_without_a_command_the_app_opens() -> None:
    assert parse([]) == App()
    assert parse(["--world", "snow", "--seed", "3"]) == App(world="snow", seed=3)
    assert parse(["--debug", "fly", "--frames", "3"]) == Fly(debug=True, frames=3)


@pytest.mark.parametrize(
    ("words", "naming"),
    [
        (["flyy"], "did you mean fly"),
        (["fly", "--frame", "3"], "did you mean --frames"),
        (["fly", "--frames", "many"], "whole number"),
        (["fly", "--fps", "fast"], "takes a number"),
        (["fly", "--frames"], "needs a value"),
        (["fly", "--memory", "elephant"], "latent-nearest"),
        (["fly", "--layout", "triptych"], "side-by-side"),
        (["fly", "--device", "abacus"], "cuda"),
        (["fly", "surplus"], "surplus"),
        (["train", "everything"], "autoencoder"),
        (["train"], "readout"),
        (["train", "autoencoder", "--minutes", "soon"], "takes a number"),
    ],
)
def test_words_that_do_not_fit_are_named(words: list[str], naming: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=r"^[^\n]+$") as refused:
        parse(words)
    assert naming in str(refused.value)
    assert main(words) == EXIT_INPUT
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"{refused.value}\n"


def test_the_process_ends_with_two_and_one_sentence() -> None:
    done = run("fly", "--frames", "many")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_an_unexpected_error_names_the_log_and_ends_with_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mirage_home: Path
) -> None:
    def broken(command: App) -> int:
        raise RuntimeError("the moon is in the way")

    monkeypatch.setattr(App, "run", broken)
    assert main([]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "the moon is in the way" in said
    assert str(mirage_home / "log" / "mirage.log") in said
    assert "Traceback" in (mirage_home / "log" / "mirage.log").read_text()


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(command: App) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(App, "run", interrupted)
    assert main([]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(command: App) -> int:
        raise InputError("That world is full.")

    monkeypatch.setattr(App, "run", refused)
    assert main(["--debug"]) == EXIT_INPUT
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert said.endswith("That world is full.\n")


@given(
    name=st.sampled_from([*COMMANDS, "", "--", "-x"]),
    words=st.lists(
        st.one_of(st.text(max_size=12), st.sampled_from(["--frames", "--world", "--out", "--", "-1", "="])), max_size=5
    ),
)
def test_no_words_bring_a_traceback(name: str, words: list[str]) -> None:
    with contextlib.redirect_stdout(io.StringIO()):  # a stray -h prints help and leaves
        try:
            parse([name, *words])
        except InputError as refused:
            assert "\n" not in str(refused).strip()
        except SystemExit as stop:
            assert stop.code in (0, None)
