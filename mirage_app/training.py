"""The work of ``mirage train``: options to the training engine's settings."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from engine.errors import InputError
from mirage_app.commands.options import require_at_least, resolve_device

if TYPE_CHECKING:
    from mirage_app.commands.train import Train


def train(options: Train) -> int:
    """Run one stage and print its last figures.

    Raises:
        InputError: a setting does not fit, or an earlier stage is missing.
    """
    from engine.training.config import ExportConfig, configure
    from engine.training.export import export
    from engine.training.run import train

    values = overrides(options)
    console = Console()
    if options.stage == "export":
        folder = options.out or Path("assets/models/embedded")
        model = export(configure(ExportConfig(), options.config, values), folder)
        console.print(f"Wrote {folder} (checksum {model.spec.checksum[:12]}).")
        return 0
    figures = train(options.stage, options.config, values)
    table = Table("figure", "value", title=f"{options.stage}: last evaluation")
    for name, value in figures.items():
        table.add_row(name, f"{value:.3f}")
    console.print(table)
    return 0


def overrides(options: Train) -> dict[str, Any]:
    """The command line's settings by their dotted names; ``--set`` first, so that the options with names win."""
    values: dict[str, Any] = {}
    for word in options.set:
        name, equals, text = word.partition("=")
        if not equals or not name.strip():
            raise InputError(f"--set takes NAME=VALUE, for example loop.batch=32; '{word}' came.")
        values[name.strip()] = _value(text.strip())
    if options.stage in ("scenes", "places"):
        return values | ({"folder": str(options.out)} if options.out else {})
    if options.stage == "export":
        return values
    if options.minutes is not None:
        require_at_least("--minutes", options.minutes, 0.01)
        values["loop.minutes"] = options.minutes
    if options.out is not None:
        values["loop.run"] = str(options.out)
    if options.device != "auto" or (options.config is None and "loop.device" not in values):
        values["loop.device"] = resolve_device(options.device)
    return values


def _value(text: str) -> Any:
    """A value as TOML writes it; words without quotes are text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
