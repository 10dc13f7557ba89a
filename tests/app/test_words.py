"""What is written about Mirage agrees with what Mirage is."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from engine.path import PRESETS
from engine.worlds import BIOMES, TIMES
from mirage_app.commands.fly import Fly
from mirage_app.doctor.machine import PACKAGES
from mirage_app.parsing import parse

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SHELL_LINES = [line for block in re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL) for line in block.splitlines()]


@pytest.mark.parametrize("line", [line for line in SHELL_LINES if line.startswith("mirage")])
def test_commands_of_the_readme_are_understood(line: str) -> None:
    command = parse(shlex.split(line, comments=True)[1:])
    if isinstance(command, Fly):
        assert command.world is None or command.world in BIOMES
        assert not command.time or command.time in TIMES
        assert command.path.split(":")[0] in PRESETS or "." in command.path


def test_the_two_commands_come_first() -> None:
    assert [line.split("#")[0].strip() for line in SHELL_LINES[:2]] == ["make run", "make test"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`?make (\w+)", README):
        if target not in ("keeps",):
            assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_links_and_pictures_of_the_readme_exist() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README) + re.findall(r'src="([^"]+)"', README):
        assert (ROOT / target).exists(), target


def test_help_names_every_preset() -> None:
    help_text = (ROOT / "mirage_app" / "commands" / "fly.py").read_text(encoding="utf-8")
    assert all(name in help_text for name in PRESETS)


def test_the_doctor_looks_for_every_dependency() -> None:
    named = {re.split(r"[<>=!~; ]", line)[0].lower() for line in PROJECT["dependencies"]}
    assert named == {name.lower() for name in PACKAGES.values()}


def test_nothing_is_left_unfinished() -> None:
    words = re.compile(r"\b(TODO|FIXME|XXX|TBD|raise NotImplementedError|lorem ipsum)\b", flags=re.IGNORECASE)
    texts = [
        ROOT / "README.md",
        *(file for part in ("engine", "ui", "mirage_app", "docs") for file in (ROOT / part).rglob("*.[pm][yd]")),
    ]
    assert [str(file) for file in texts if words.search(file.read_text(encoding="utf-8"))] == []
