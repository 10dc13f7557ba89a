"""Places are chosen in the light that a world is in, and lit by what it began with."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.places import PlaceBank
from engine.places.daylight import Daylight
from engine.places.lighting import DIRECTIONS, ENOUGH_CELLS, Lighting
from tests.engine.memory_support import readout_of

H, W = 12, 40
ELEVATION_DEG = torch.linspace(24.0, 2.0, H)[:, None].expand(H, W)


@pytest.fixture(scope="module")
def lighting() -> Lighting:
    return Lighting(torch.randn(8, 16, generator=torch.Generator().manual_seed(0)))


@pytest.fixture(scope="module")
def daylight(bank: PlaceBank, lighting: Lighting) -> Daylight:
    return Daylight(bank, lighting)


def ground_like(daylight: Daylight, lighting: Lighting, place: int, shift: float = 0.0) -> Tensor:
    """(n, C) latents whose middle colour is that of a place's ground, shifted along the first direction."""
    noise = torch.randn(400, 16, generator=torch.Generator().manual_seed(1))
    noise -= (noise @ lighting.colours.T).median(dim=0).values @ lighting.colours
    return noise + daylight.ground(place) @ lighting.colours + shift * lighting.colours[0]


def sky_like(lighting: Lighting, level: Tensor) -> Tensor:
    """(C, h, w) with clouds."""
    clouds = 0.3 * torch.sin(1.7 * torch.arange(W)).expand(DIRECTIONS, H, W)
    return lighting.shift(level + clouds)


def test_the_ground_differs_by_what_the_world_began_with(daylight: Daylight, lighting: Lighting) -> None:
    differs = daylight.differs(ground_like(daylight, lighting, 2, shift=0.7), 2)
    assert differs == pytest.approx((0.7, 0.0, 0.0), abs=1e-4)
    assert daylight.differs(torch.zeros(ENOUGH_CELLS - 1, 16), 2) is None


def test_places_are_those_whose_sky_and_ground_are_lit_alike(
    daylight: Daylight, lighting: Lighting, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels = [torch.full((DIRECTIONS, H, W), value) for value in (0.0, 0.1, 3.0, 3.0)]
    view = readout_of(sky_like(lighting, levels[0]), torch.zeros(2 * H, 2 * W))
    nothing = torch.zeros(0, 16)

    def alike(began: Tensor, places: list[int]) -> list[int]:
        return daylight.alike(places, view, ELEVATION_DEG, levels.__getitem__, began)

    assert alike(nothing, [0, 1, 2, 3]) == [0, 1]
    assert alike(nothing, [2, 3]) == [2, 3]  # there is always one
    # Under one sky the ground decides.
    apart = daylight.ground(3) - daylight.ground(2)
    monkeypatch.setattr("engine.places.daylight.AS_GOOD", 0.5 * float(apart.norm()))  # these places are all but alike
    beyond = ground_like(daylight, lighting, 3) + 5.0 * (apart / apart.norm()) @ lighting.colours
    assert alike(beyond, [2, 3]) == [3]


def test_without_sky_and_ground_every_place_is_as_good(daylight: Daylight) -> None:
    view = readout_of(torch.zeros(16, H, W), torch.full((2 * H, 2 * W), 0.2))
    found = daylight.alike(
        [0, 1, 2, 3], view, ELEVATION_DEG, lambda _: torch.ones(DIRECTIONS, H, W), torch.zeros(0, 16)
    )
    assert found == [0, 1, 2, 3]
