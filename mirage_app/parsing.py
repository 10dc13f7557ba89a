"""From words on the command line to a command. Whatever does not fit becomes one sentence (:class:`InputError`)."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import re
from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Annotated, Any

import tyro

from engine.errors import InputError
from mirage_app.commands.base import Command
from mirage_app.commands.registry import COMMANDS, DEFAULT_COMMAND

PROGRAM = "mirage"
_DESCRIPTION = "Fly through worlds that a world model imagines, and that remember. Without a command, the app opens."
_CONFIG = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)
_ANYWHERE = ("--debug", "--verbose")


def parse(argv: Sequence[str]) -> Command:
    """The command that ``argv`` (without the program's name) asks for.

    Raises:
        InputError: an unknown command, option, choice or a value of the wrong kind.
        SystemExit: help, the version or a completion script was asked for and has been printed.
    """
    words = list(argv)
    ahead = []
    while words and words[0] in _ANYWHERE:
        ahead.append(words.pop(0))
    if (words and words[0] in ("-h", "--help")) or (words and words[0].startswith("--tyro-")):
        return _overview(words)
    if words and words[0] in ("-V", "--version"):
        _print_version()
    if not words or words[0].startswith("-"):
        words.insert(0, DEFAULT_COMMAND)
    name, rest = words[0], ahead + words[1:]
    if name not in COMMANDS:
        known = ", ".join(COMMANDS)
        raise InputError(f"There is no command '{name}'{_did_you_mean(name, COMMANDS)}; the commands are {known}.")
    return _parse_command(name, rest)


def _overview(words: list[str]) -> Command:
    """Help over all commands (or shell completion): the only place that builds every parser."""
    kinds: list[Any] = [
        Annotated[kind, tyro.conf.subcommand(name, description=_first_line(kind))]  # type: ignore[valid-type]
        for name, kind in COMMANDS.items()
    ]
    any_command: Any = reduce(or_, kinds)
    return tyro.cli(any_command, prog=PROGRAM, args=words, description=_DESCRIPTION, config=_CONFIG)


def _parse_command(name: str, words: list[str]) -> Command:
    kind = COMMANDS[name]
    program = f"{PROGRAM} {name}"
    _refuse_unknown_options(kind, program, words)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(kind, prog=program, args=words, config=_CONFIG)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise InputError(_sentence(said.getvalue(), program)) from None


def _refuse_unknown_options(kind: type[Any], program: str, words: list[str]) -> None:
    known = {"--" + field.name.replace("_", "-") for field in dataclasses.fields(kind)} | {"-h", "--help"}
    for word in words:
        option = word.split("=")[0].replace("_", "-")
        if word.startswith("--") and option not in known:
            raise InputError(f"{program} has no option {option}{_did_you_mean(option, known)}; see {program} --help.")


def _did_you_mean(word: str, known: Any) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _sentence(boxed: str, program: str) -> str:
    """The first paragraph of tyro's framed message (framed by lines, on plain terminals by dashes), as one sentence."""
    said: list[str] = []
    for line in boxed.splitlines()[1:]:  # the first line is the frame's title
        inner = line.strip("│╰╯ \t")
        is_rule = bool(inner) and not inner.strip("─-")
        if is_rule and said:
            break
        if inner and not is_rule:
            said.append(inner)
    text = " ".join(" ".join(said).split())
    for pattern, wording in _WORDINGS:
        if match := re.fullmatch(pattern, text):
            text = wording.format(*match.groups())
            break
    text = text.rstrip(".")
    text = text or "the command is not understood"
    return f"{text[:1].upper()}{text[1:]}; see {program} --help."


_WHOLE = "{0} takes a whole number and {1} came"
_NUMBER = "{0} takes a number and {1} came"
_WORDINGS = (
    (r"Error parsing (\S+): invalid literal for int\(\) with base 10: (.*)", _WHOLE),
    (r"Error parsing (\S+): no type matching .*invalid literal for int\(\) with base 10: (.*)", _WHOLE),
    (r"Error parsing (\S+): no type matching .*could not convert string to float: (.*)", _NUMBER),
    (r"Error parsing (\S+): could not convert string to float: (.*)", _NUMBER),
    (
        r"invalid choice (.*) for argument '(\S+)'\. Expected one of \((.*?),?\)\.?",
        "{1} takes one of {2}, and {0} came",
    ),
    (r"Missing value for argument '(\S+)'\. Expected .*", "{0} needs a value after it"),
    (r"Missing from .*?: \{(.*?)\} .*", "one of {0} must be named"),
    (r"Unrecognized options: (.*)", "the words '{0}' are not understood"),
)


def _first_line(kind: type[Any]) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]


def _print_version() -> None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        number = version("mirage-worlds")
    except PackageNotFoundError:
        number = "from a source folder"
    print(f"{PROGRAM} {number}")  # noqa: T201
    raise SystemExit(0)
