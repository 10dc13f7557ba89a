"""The work behind ``mirage worlds``."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from engine.atomic import check_writable_parent
from engine.errors import InputError
from engine.worlds import BIOMES, TIMES, WorldSpec, contact_sheet
from mirage_app.commands.options import parse_size
from mirage_app.commands.worlds import Worlds


def list_worlds(options: Worlds) -> int:
    """Name the kinds of world, or draw them all to one picture."""
    chosen = (options.world,) if options.world else BIOMES
    # A WorldSpec checks biome and seed, so that a typing error is found before minutes of rendering.
    specs = [WorldSpec(biome, options.seed + 17 * n, time) for n, biome in enumerate(chosen) for time in TIMES]
    if options.sheet is None:
        table = Table(title="Kinds of world", show_header=False)
        for biome in chosen:
            table.add_row(biome, f"mirage fly --world {biome} --seed {options.seed} --out {biome}.mp4")
        console = Console(soft_wrap=not sys.stdout.isatty())
        console.print(table)
        console.print(f"Times of day for --time: {', '.join(TIMES)}.")
        return 0
    height, width = parse_size(options.size)
    _check_picture(options.sheet)
    with Console(stderr=True).status(f"Rendering {len(specs)} views"):
        contact_sheet(options.sheet, specs, columns=len(TIMES), width=width, height=height)
    sys.stdout.write(f"Wrote {options.sheet}: {len(chosen)} kinds of world at {len(TIMES)} times of day.\n")
    return 0


def _check_picture(path: Path) -> None:
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise InputError(f"A contact sheet is written as .png, .jpg or .webp; {path.name} is none of these.")
    check_writable_parent(path)
