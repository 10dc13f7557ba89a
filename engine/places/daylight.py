"""Which places were seen in about the light that a world is in.

A place at noon makes no dusk, by whatever its colours are shifted. The sky stays for as long as one flies and tells
what light it is; ground in like light keeps its own colours. Shifted to those of what it replaces, which was drawn anew
several times, or of what the world began with, which may have been a beach, they would be no country's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from engine.cells import sky_share
from engine.memory import Readout
from engine.places.lighting import ENOUGH_CELLS, Lighting, along_elevation, between_knots

AS_GOOD = 0.45
"""Light that differs by so much more than the most like one, along the main directions of colours, is still like it."""


def in_like_light(
    lighting: Lighting,
    places: Sequence[int],
    view: Readout,
    elevation_deg: Tensor,
    level: Callable[[int], Tensor],
    before: int | None = None,
) -> list[int]:
    """Those of ``places`` whose sky is lit most like that of a view; where too little of it is seen to tell, the one
    that was there ``before``, or else all.

    Args:
        elevation_deg: (h, w) of the view's cells.
        level: (DIRECTIONS, h, w), the broad light of a place's sky at these elevations.
    """
    sky = (view.coverage > 0.0) & (sky_share(view, view.coverage) > 0.5)
    if int(sky.sum()) < ENOUGH_CELLS:
        return [place for place in places if place == before] or list(places)
    seen = lighting.coordinates(view.features)
    apart = []
    for place in places:
        broadly = along_elevation(seen - level(place), sky.float(), elevation_deg)
        apart.append(float(between_knots(broadly, elevation_deg)[:, sky].square().sum(0).mean().sqrt()))
    return [place for place, by in zip(places, apart, strict=True) if by <= min(apart) + AS_GOOD]
