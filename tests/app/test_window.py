"""What ``mirage`` without a command does before there is a window."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from engine.messages import OpenImage, OpenSession, OpenWorld
from mirage_app import window
from mirage_app.cli import EXIT_DONE, main
from mirage_app.commands.app import App
from mirage_app.commands.fly import Fly


def test_without_a_display_the_flight_becomes_a_film(
    tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(window, "Fly", functools.partial(Fly, frames=4))
    assert main(["app", "--world", "desert", "--model", str(tiny_model_dir)]) == EXIT_DONE
    assert (tmp_path / "flythrough.mp4").stat().st_size > 1000
    assert "rendered to flythrough.mp4" in capsys.readouterr().err


def test_what_is_opened_first(tmp_path: Path) -> None:
    session = tmp_path / "a.mirage"
    assert window._first(App()) is None
    assert window._first(App(session=session)) == OpenSession(session)
    assert window._first(App(seed=4)) == OpenWorld("meadow", 4)
    assert window._first(App(world="snow", time="dusk")) == OpenWorld("snow", 7, "dusk")
    image = window._first(App(image=tmp_path / "a.png", fov_deg=40.0))
    assert image == OpenImage(tmp_path / "a.png", None, fov_deg=40.0, seed=7)
