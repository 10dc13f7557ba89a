"""The gallery's worlds: names, a line about each, and the colours that stand in for a picture until it is rendered."""

from __future__ import annotations

from dataclasses import dataclass

from engine.messages import MemoryVariant


@dataclass(frozen=True)
class GalleryWorld:
    """One card. ``sky``, ``far``, ``near``: colours of the stand-in, top to bottom. ``indoors``: one walks on a floor,
    between walls.
    """

    biome: str
    title: str
    line: str
    sky: str
    far: str
    near: str
    indoors: bool = False


GALLERY: tuple[GalleryWorld, ...] = (
    GalleryWorld("meadow", "Meadow", "Orchards under far snow", "#8fb4d6", "#7fa07a", "#5d7d3c"),
    GalleryWorld("autumn", "Autumn", "Woods the colour of copper", "#c9b79f", "#b7793f", "#7d4a25"),
    GalleryWorld("snow", "Snow", "Firs, frost and quiet", "#b9c9da", "#cfd9e4", "#8e9eb0"),
    GalleryWorld("desert", "Desert", "Mesas over warm sand", "#d9c2a4", "#c08a5c", "#a4703f"),
    GalleryWorld("coast", "Coast", "Palms and a bright sea", "#9cc9de", "#4f9bab", "#c9b78a"),
    GalleryWorld("highland", "Highland", "Stones, moss and mist", "#a3afba", "#77856f", "#55604b"),
    GalleryWorld("savanna", "Savanna", "Acacias in dry grass", "#d3c5a2", "#b3a05c", "#8c7a38"),
    GalleryWorld("village", "Village", "Roofs among the fields", "#a9c0d6", "#96935f", "#77713d"),
    GalleryWorld("river", "River", "Stone bridges over slow water", "#a4c4dc", "#3f6f86", "#6f9048"),
    GalleryWorld("interior", "Interior", "Halls, books and courtyards", "#d9cdb8", "#a98b64", "#6e4a33", indoors=True),
)
SURPRISE = GalleryWorld("", "Somewhere", "Throw the dice for all of it", "#7f88ad", "#7d6f94", "#4a4566")
"""The last card: any biome, any seed, any time."""
TIMES: tuple[tuple[str, str], ...] = (
    ("", "As it comes"),
    ("dawn", "Dawn"),
    ("morning", "Morning"),
    ("noon", "Noon"),
    ("afternoon", "Afternoon"),
    ("dusk", "Dusk"),
    ("night", "Night"),
)
MEMORIES: tuple[tuple[MemoryVariant, str, str], ...] = (
    ("latent", "Latent, learned readout", "Remembers latent tokens and reads them where they lie between cells."),
    ("latent-flat", "Latent, one layer", "Nothing behind near things, and first views no finer than frames."),
    ("latent-nearest", "Latent, nearest token", "The paper's readout: the nearest token is copied into the cell."),
    ("append", "Latent, append everything", "The paper's policy: every token of every frame is kept."),
    ("rgb", "RGB point cloud", "The baseline: pixels are remembered, rasterised and encoded again for every frame."),
    ("none", "No memory", "Every view is imagined afresh."),
)
SEEDS = 1_000_000
"""Seeds that the dice may throw; training and evaluation have theirs elsewhere, any number may be typed."""


def gallery_world(biome: str) -> GalleryWorld:
    """The card of a biome; one that the gallery does not know gets a plain card of its own."""
    for world in GALLERY:
        if world.biome == biome:
            return world
    return GalleryWorld(biome, biome.capitalize(), "", "#8fa3b8", "#6f7f74", "#4f5a4c")
