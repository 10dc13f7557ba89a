"""Open country as a mirror shows it: as many places again, for nothing.

A hill to the left is as good as one to the right. In a building rooms are turned by quarters already.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from engine.camera import Camera
from engine.places.bank import Place, PlaceBank

TurnOver = Callable[[Tensor], Tensor]
"""Latents (C, h, w) of a picture -> those of its mirror image."""


@dataclass(frozen=True, eq=False)
class MirroredBank(PlaceBank):
    """A bank whose places of open country follow once more, mirrored.

    Attributes:
        originals: of the mirrored places, in order. turn_over: see :data:`TurnOver`.
    """

    originals: tuple[int, ...] = ()
    turn_over: TurnOver | None = None

    @classmethod
    def from_bank(cls, bank: PlaceBank, turn_over: TurnOver) -> MirroredBank:
        """Places keep their indices."""
        originals = tuple(index for index, biome in enumerate(bank.biomes) if biome not in bank.modules)
        return cls(
            bank.packed,
            bank.rigs,
            bank.biomes + tuple(bank.biomes[index] for index in originals),
            bank.token,
            bank.mean,
            bank.std,
            bank.modules,
            originals=originals,
            turn_over=turn_over,
        )

    def original(self, index: int) -> int:
        """The place that one is, or mirrors."""
        return index if index < len(self.packed) else self.originals[index - len(self.packed)]

    def _unpacked(self, index: int) -> Place:
        place = super()._unpacked(self.original(index))
        return place if index < len(self.packed) or self.turn_over is None else mirrored(place, self.turn_over)


def mirrored(place: Place, turn_over: TurnOver) -> Place:
    """What lies at y lies at -y."""
    return Place(
        tuple(turn_over(latents) for latents in place.latents),
        tuple(inverse_depth.flip(-1) for inverse_depth in place.inverse_depth),
        tuple(_mirrored(camera) for camera in place.cameras),
        place.biome,
    )


def _mirrored(camera: Camera) -> Camera:
    """A camera that sees the mirror image, turned over."""
    pose, k = camera.c2w.copy(), camera.K.copy()
    pose[1] *= -1.0
    pose[:3, 0] *= -1.0
    k[0, 2] = camera.width - k[0, 2]
    return Camera(np.ascontiguousarray(pose), k, camera.width, camera.height)
