"""Pictures of worlds for a gallery, rendered in a process of their own so that neither window nor engine waits for
them.

``python -m engine.thumbnails FOLDER`` reads one request a line from standard input, ``biome seed time`` (``-``: the
seed's own time), renders the world's first view into FOLDER and answers with the file's name, or with ``! `` and a
sentence. It ends with its
input.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from engine.atomic import atomic_write
from engine.errors import MirageError

SIZE = (216, 384)
"""(height, width) in pixels."""
VERSION = 1
"""Part of every file name: grows when worlds change their looks, so that old pictures are not taken for new ones."""


def thumbnail_name(biome: str, seed: int, time: str) -> str:
    """File name of a world's picture."""
    return f"{biome}-{seed}-{time or 'any'}-v{VERSION}.png"


def render_thumbnail(folder: Path, biome: str, seed: int, time: str) -> Path:
    """Render one picture, or find it there.

    Raises:
        InputError: no such world, or the folder cannot be written.
    """
    target = folder / thumbnail_name(biome, seed, time)
    if target.exists():
        return target
    from PIL import Image

    from engine.worlds import World, WorldSpec

    height, width = SIZE
    world = World(WorldSpec(biome, seed, time))
    frame = world.render(world.spawn(width, height), supersample=2)
    pixels = (frame.rgb.clamp(0, 1) * 255.0).round().byte().permute(1, 2, 0).contiguous().numpy()
    with atomic_write(target) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")
    return target


def main(arguments: list[str]) -> int:
    """Serve requests until the input ends."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m engine.thumbnails FOLDER\n")
        return 2
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    if hasattr(os, "nice"):
        os.nice(10)
    import torch

    torch.set_num_threads(1)
    for line in sys.stdin:
        words = line.split()
        if not words:
            continue
        try:
            biome, seed, time = words[0], int(words[1]), words[2]
            answer = render_thumbnail(folder, biome, seed, "" if time == "-" else time).name
        except (MirageError, ValueError, IndexError, OSError) as error:
            answer = f"! {' '.join(str(error).split())}"
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the window, which then closes the input
    sys.exit(main(sys.argv[1:]))
