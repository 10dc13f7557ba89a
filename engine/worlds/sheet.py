"""A labelled contact sheet of worlds."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from engine.atomic import atomic_write
from engine.worlds.spec import BIOMES, TIMES, WorldSpec
from engine.worlds.world import World


def all_specs(seed: int = 1) -> list[WorldSpec]:
    """Every biome at every time of day."""
    return [WorldSpec(biome, seed + 17 * n, time) for n, biome in enumerate(BIOMES) for time in TIMES]


def contact_sheet(path: str | os.PathLike[str], specs: Sequence[WorldSpec] | None = None, columns: int = 6,
                  width: int = 320, height: int = 184, supersample: int = 2, index: int = 0) -> None:  # fmt: skip
    """Write a PNG grid of one view a spec (all biomes x times by default), labelled, `columns` wide.

    Raises InputError if the file cannot be written.
    """
    from PIL import Image, ImageDraw

    chosen = list(all_specs() if specs is None else specs)
    rows = -(-len(chosen) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height))
    for n, spec in enumerate(chosen):
        world = World(spec)
        frame = world.render(world.spawn(width, height, index=index), supersample)
        picture = Image.fromarray((frame.rgb.permute(1, 2, 0).numpy() * 255.0 + 0.5).astype(np.uint8))
        label = f"{spec.biome}, {spec.resolved_time}, seed {spec.seed}"
        draw = ImageDraw.Draw(picture)
        draw.text((7, height - 15), label, fill=(0, 0, 0))
        draw.text((6, height - 16), label, fill=(255, 255, 255))
        sheet.paste(picture, (n % columns * width, n // columns * height))
    with atomic_write(path) as temporary:
        sheet.save(temporary)
