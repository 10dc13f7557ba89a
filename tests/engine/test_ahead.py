"""Who flies on gets on: where water is, that a place that renews a view has land ahead, and that it is another."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.camera import Camera, c2w_from_angles
from engine.cells import only_sky, without
from engine.memory import Mosaic, Readout
from engine.models.embedded import EmbeddedModel
from engine.places import Forgotten, Match, Place
from engine.places.ahead import SOON_M, blocked_ahead, water_ahead
from engine.places.choice import CROWDED, LAKE
from engine.places.matching import AZIMUTHS, placed
from engine.variants import empty_readout

EYE_M, LAKE_M = 4.0, 6.0
VIEWS = tuple(Camera.from_fov(c2w_from_angles(np.zeros(3), 60.0 * n, -10.0), 50.0, 176, 128) for n in range(6))


def shore(towards_deg: float, level: bool = True) -> Place:
    """A lake on one side, uneven ground on the other; not ``level``: ground that falls away where the lake was."""
    depths = []
    for camera in VIEWS:
        rays = camera.resized(44, 32).rays()
        azimuth = np.degrees(np.arctan2(rays[..., 1], rays[..., 0]))
        lake = np.abs((azimuth - towards_deg + 180.0) % 360.0 - 180.0) < 90.0
        below = np.maximum(-rays[..., 2], 0.0)
        uneven = EYE_M + 0.3 * np.sin(azimuth / 3.0) + 0.5 * np.cos(40.0 * below)
        wet = LAKE_M if level else LAKE_M + azimuth % 30.0 / 10.0
        depths.append(torch.from_numpy(below / np.where(lake, wet, uneven)).float())
    return Place(tuple(torch.zeros(16, 16, 22) for _ in VIEWS), tuple(depths), VIEWS, "meadow")


def hollow(towards_deg: float, wall_m: float) -> Place:
    """Level ground that rises as high as one's eyes so far away on one side."""
    depths = []
    for camera in VIEWS:
        rays = camera.resized(44, 32).rays()
        azimuth = np.degrees(np.arctan2(rays[..., 1], rays[..., 0]))
        before = np.abs((azimuth - towards_deg + 180.0) % 360.0 - 180.0) < 60.0
        ground = np.maximum(-rays[..., 2], 0.0) / EYE_M
        wall = np.hypot(rays[..., 0], rays[..., 1]) / wall_m
        low = np.abs(rays[..., 2]) < 0.1 * wall_m * wall
        depths.append(torch.from_numpy(np.where(before & low, np.maximum(ground, wall), ground)).float())
    return Place(tuple(torch.zeros(16, 16, 22) for _ in VIEWS), tuple(depths), VIEWS, "meadow")


def only_its_sky(readout: Readout) -> Readout:
    return without(readout, ~only_sky(readout))


@given(st.floats(-180.0, 180.0))
@settings(max_examples=20, deadline=None)
def test_water_is_level_and_lies_lowest(towards_deg: float) -> None:
    water = water_ahead(shore(towards_deg))
    middle = (np.arange(AZIMUTHS) + 0.5) * 360.0 / AZIMUTHS
    apart = np.abs((middle - towards_deg + 180.0) % 360.0 - 180.0)
    assert float(water[apart < 55.0].min()) > 0.95
    assert float(water[apart > 125.0].max()) < 0.05
    assert not bool(water_ahead(shore(towards_deg, level=False)).any())


@given(st.floats(-180.0, 180.0))
@settings(max_examples=20, deadline=None)
def test_what_one_would_soon_fly_into_is_in_the_way_and_what_is_far_is_not(towards_deg: float) -> None:
    blocked = blocked_ahead(hollow(towards_deg, 0.8 * SOON_M))
    middle = (np.arange(AZIMUTHS) + 0.5) * 360.0 / AZIMUTHS
    apart = np.abs((middle - towards_deg + 180.0) % 360.0 - 180.0)
    assert float(blocked[apart < 40.0].min()) > 0.95
    assert float(blocked[apart > 80.0].max()) < 0.05
    assert not bool(blocked_ahead(hollow(towards_deg, 1.3 * SOON_M)).any())


@pytest.mark.parametrize("yaw_deg", [0.0, 75.0, 190.0, 300.0])
def test_over_a_lake_a_place_is_set_down_with_open_land_ahead(yaw_deg: float) -> None:
    model = EmbeddedModel.load()
    places = model.places
    assert places is not None
    meadows = [n for n, biome in enumerate(places.bank.biomes) if biome == "meadow"]
    lake = max(meadows, key=lambda n: float(water_ahead(places.bank[n]).min()))
    camera = Camera.from_fov(c2w_from_angles(np.zeros(3), yaw_deg, 0.0), 50.0, 448, 256)
    over = places._memory(lake).readout(placed(camera, Match(lake, 0.0, 0.0, (0.0, 0.0, 0.0))))
    assert float(water_ahead(places.bank[lake]).min()) > LAKE
    done = places.complete(
        Mosaic(empty_readout(model.spec, camera)),
        camera,
        "meadow",
        torch.Generator(),
        forgotten=Forgotten(Mosaic(over), None, over.coverage > 0.0),
    )
    ahead = math.floor((math.radians(yaw_deg) + done.match.turn_rad) * AZIMUTHS / (2.0 * math.pi)) % AZIMUTHS
    water = water_ahead(places.bank[done.match.place])
    around = [(ahead - 1) % AZIMUTHS, ahead, (ahead + 1) % AZIMUTHS]
    assert float(water[around].min()) <= LAKE + 0.02
    assert float(blocked_ahead(places.bank[done.match.place])[around].min()) <= CROWDED + 0.02


def test_what_is_most_like_a_place_is_that_place_but_another_comes_next() -> None:
    model = EmbeddedModel.load()
    places = model.places
    assert places is not None
    meadows = [n for n, biome in enumerate(places.bank.biomes) if biome == "meadow"]
    camera = Camera.from_fov(c2w_from_angles(np.zeros(3), 0.0, 0.0), 50.0, 448, 256)
    followed = []
    for meadow in meadows:
        match = Match(meadow, 0.0, 0.0, (0.0, 0.0, 0.0))
        view = places._memory(meadow).readout(placed(camera, match))
        next_place = places.complete(
            Mosaic(only_its_sky(view)),
            camera,
            "meadow",
            torch.Generator(),
            forgotten=Forgotten(Mosaic(view), match, ~only_sky(view)),
        ).match.place
        followed.append(next_place != meadow)
    assert sum(followed) >= 5  # where no other is in like light it comes again


@pytest.mark.parametrize("biome", ["autumn", "desert"])
def test_a_long_flight_meets_more_than_two_places(biome: str) -> None:
    model = EmbeddedModel.load()
    places = model.places
    assert places is not None
    camera = Camera.from_fov(c2w_from_angles(np.zeros(3), 0.0, 0.0), 50.0, 448, 256)
    match = Match([n for n, other in enumerate(places.bank.biomes) if other == biome][1], 0.0, 0.0)
    sky = only_its_sky(places._memory(match.place).readout(placed(camera, match)))
    met = [match.place]
    for _ in range(6):
        view = places._memory(match.place).readout(placed(camera, match))
        forgotten = Forgotten(Mosaic(view), match, ~only_sky(view))
        match = places.complete(Mosaic(sky), camera, biome, torch.Generator(), forgotten=forgotten).match
        met.append(match.place)
    assert all(here != there for here, there in itertools.pairwise(met))
    assert len(set(met)) > 2


def test_what_fills_a_hole_is_no_other_country() -> None:
    """Else a view without shape would stay so for as long as its edges bring something new."""
    model = EmbeddedModel.load()
    places = model.places
    assert places is not None
    latest = Match(places.bank.biomes.index("meadow"), 0.0, 0.0)
    camera = Camera.from_fov(c2w_from_angles(np.array([8.0, 0.0, 0.0]), 40.0, 0.0), 50.0, 448, 256)
    view = places._memory(latest.place).readout(placed(camera, latest))
    hole = torch.arange(view.coverage.shape[1]) < 8
    match = places.complete(
        Mosaic(without(view, hole.expand(view.coverage.shape))), camera, "meadow", torch.Generator(), latest
    ).match
    assert match.anchor == (8.0, 0.0, 0.0) and match.since == latest.since
