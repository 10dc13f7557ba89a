"""The light a world is in, and which places were seen in about the same.

A place at noon makes no dusk, by whatever its colours are shifted. The sky stays for as long as one flies, so it is
asked of the view. The ground is renewed, and each time a little otherwise: asked of the view its light would wander.
So it is asked of what the world began with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from engine.cells import cell_means, sky_share
from engine.memory import Readout
from engine.places.bank import PlaceBank
from engine.places.lighting import DIRECTIONS, ENOUGH_CELLS, Lighting, along_elevation, between_knots

NEAR = 1.0 / 80.0
"""Inverse depth, 1/m: ground is told by what is nearer, before there is haze."""
AS_GOOD = 0.5
"""Light that differs by so much more than the most like one, along the main directions of colours, is still like it."""


class Daylight:
    """What light places are in; each is looked at when it is first needed.

    Args:
        bank: the places. lighting: the directions that light differs along.
    """

    def __init__(self, bank: PlaceBank, lighting: Lighting) -> None:
        self._bank, self._lighting = bank, lighting
        self._grounds: dict[int, Tensor] = {}

    def ground(self, index: int) -> Tensor:
        """(DIRECTIONS,) a place's middle colour of ground, all around."""
        if index not in self._grounds:
            near = [
                latents[:, cell_means(inverse_depth, latents[0]) > NEAR].T
                for latents, inverse_depth, _ in self._bank[index].views()
            ]
            self._grounds[index] = self._middle(torch.cat(near))
        return self._grounds[index]

    def differs(self, began: Tensor, place: int) -> tuple[float, ...] | None:
        """By how much the ground's colours differ from those of a place, three numbers, where a world ``began (n, C)``
        with such ground; ``None`` if that is too little to tell."""
        if len(began) < ENOUGH_CELLS:
            return None
        return tuple((self._middle(began) - self.ground(place)).tolist())

    def alike(
        self,
        places: Sequence[int],
        view: Readout,
        elevation_deg: Tensor,
        level: Callable[[int], Tensor],
        began: Tensor,
    ) -> list[int]:
        """Those of ``places`` whose sky is lit most like that of a view, and their ground most like what the world
        ``began (n, C)`` with.

        Args:
            elevation_deg: (h, w) of the view's cells.
            level: (DIRECTIONS, h, w), the broad light of a place's sky at these elevations.
        """
        seen = self._lighting.coordinates(view.features)
        sky = (view.coverage > 0.0) & (sky_share(view, view.coverage) > 0.5)
        apart = torch.zeros(len(places))
        for n, place in enumerate(places):
            if int(sky.sum()) >= ENOUGH_CELLS:
                broadly = along_elevation(seen - level(place), sky.float(), elevation_deg)
                apart[n] += between_knots(broadly, elevation_deg)[:, sky].square().sum(0).mean()
            apart[n] += sum(x * x for x in self.differs(began, place) or ())
        apart = apart.sqrt()
        return [place for place, by in zip(places, apart.tolist(), strict=True) if by <= float(apart.min()) + AS_GOOD]

    def _middle(self, latents: Tensor) -> Tensor:
        """(n, C) -> (DIRECTIONS,)."""
        if not len(latents):
            return torch.zeros(DIRECTIONS)
        return (latents @ self._lighting.colours.T).median(dim=0).values
