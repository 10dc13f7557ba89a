"""Places are chosen in the light that a world is in."""

from __future__ import annotations

import torch

from engine.places.daylight import in_like_light
from engine.places.lighting import DIRECTIONS, Lighting
from tests.engine.memory_support import readout_of

H, W = 12, 40
ELEVATION_DEG = torch.linspace(24.0, 2.0, H)[:, None].expand(H, W)
LIGHTING = Lighting(torch.randn(8, 16, generator=torch.Generator().manual_seed(0)))
LEVELS = [torch.full((DIRECTIONS, H, W), value) for value in (0.0, 0.1, 3.0, 3.0)]


def test_places_are_those_whose_sky_is_lit_alike() -> None:
    clouds = 0.3 * torch.sin(1.7 * torch.arange(W)).expand(DIRECTIONS, H, W)
    view = readout_of(LIGHTING.shift(LEVELS[0] + clouds), torch.zeros(2 * H, 2 * W))

    def alike(places: list[int]) -> list[int]:
        return in_like_light(LIGHTING, places, view, ELEVATION_DEG, LEVELS.__getitem__)

    assert alike([0, 1, 2, 3]) == [0, 1]
    assert alike([2, 3]) == [2, 3]  # there is always one


def test_without_sky_the_place_before_is_in_the_right_light_or_every_one() -> None:
    view = readout_of(torch.zeros(16, H, W), torch.full((2 * H, 2 * W), 0.2))
    for before, found in ((None, [0, 1, 2, 3]), (2, [2]), (7, [0, 1, 2, 3])):
        assert in_like_light(LIGHTING, [0, 1, 2, 3], view, ELEVATION_DEG, LEVELS.__getitem__, before) == found
