"""Compile what is compiled on first use (``python -m mirage_app.warm``), so that the first flight starts at once.

The compiled kernels are cached beside their sources; running this again takes a moment.
"""

from __future__ import annotations

import torch

from engine.explorer import Explorer, ExplorerConfig
from engine.flight import fly
from engine.models.embedded import EmbeddedModel
from engine.models.embedded.eight_bits import in_levels
from engine.models.embedded.winograd import InTiles
from engine.places.completion import ROOM_PARTS
from engine.worlds import World, WorldSpec

SIZE = (64, 112)


def warm() -> None:
    """Two tiny frames through everything that a flight goes through, and what only buildings and wide networks do."""
    world = World(WorldSpec("meadow", 7))
    explorer = Explorer(EmbeddedModel.tiny(image_size=SIZE), ExplorerConfig(biome="meadow", size=SIZE), world)
    camera = world.spawn(SIZE[1], SIZE[0])
    fly(explorer, [camera, camera], first=explorer.first_view(camera))
    if (places := EmbeddedModel.load().places) is not None:
        for biome in places.bank.modules:
            for _ in range(ROOM_PARTS):
                places.prepare(biome)
    for dtype in (torch.float32, torch.bfloat16):
        for activated in (True, False):
            in_levels(torch.ones(1, 1, 1, 1, dtype=dtype), activated)
    with torch.inference_mode():
        InTiles(torch.nn.Conv2d(1, 1, 3, padding=1))(torch.ones(1, 1, 16, 24))


if __name__ == "__main__":
    warm()
