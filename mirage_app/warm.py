"""Compile what is compiled on first use (``python -m mirage_app.warm``), so that the first flight starts at once.

The compiled kernels are cached beside their sources; running this again takes a moment.
"""

from __future__ import annotations

from engine.explorer import Explorer, ExplorerConfig
from engine.flight import fly
from engine.models.embedded import EmbeddedModel
from engine.worlds import World, WorldSpec

SIZE = (64, 112)


def warm() -> None:
    """Two tiny frames through everything that a flight goes through."""
    world = World(WorldSpec("meadow", 7))
    explorer = Explorer(EmbeddedModel.tiny(image_size=SIZE), ExplorerConfig(biome="meadow", size=SIZE), world)
    camera = world.spawn(SIZE[1], SIZE[0])
    fly(explorer, [camera, camera], first=explorer.first_view(camera))


if __name__ == "__main__":
    warm()
