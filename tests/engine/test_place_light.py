"""The light that a place is seen in: told by what is remembered, without the glow of the place's own sun."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.camera import Camera, c2w_from_angles
from engine.memory import Readout
from engine.places import Place
from engine.places.glow import glow_along, sky_glow
from engine.places.lighting import KNOTS_DEG, Lighting
from engine.training.config import PlacesConfig
from engine.training.places import rig
from tests.engine.memory_support import readout_of


def a_sky(brightness: Tensor, known: Tensor) -> Readout:
    """A readout that is nothing but sky: ``brightness (h, w)`` along the first of sixteen channels."""
    h, w = brightness.shape
    features = torch.zeros(16, h, w)
    features[0] = brightness
    return readout_of(features, torch.zeros(2 * h, 2 * w), known)


def test_the_sky_goes_on_in_the_light_that_is_remembered() -> None:
    """The glow around a place's sun does not: one strip of it after the other would make a bright wall. Clouds do."""
    flat = torch.zeros(4, 16)
    flat[:3, :3] = torch.eye(3)
    lighting = Lighting(flat)
    h, w = 12, 40
    elevation_deg = torch.linspace(24.0, 2.0, h)[:, None].expand(h, w)
    gradient = elevation_deg / 10.0
    columns = torch.arange(w)
    known = (columns < 16).expand(h, w)
    clouds = 0.2 * torch.sin(columns * 1.7).expand(h, w)
    glow = 5.0 * torch.exp(-(((columns - 39) / 12.0) ** 2)).expand(h, w)
    seen = a_sky(gradient + clouds, known)
    shown = a_sky(3.0 + glow + clouds, torch.ones_like(known))
    away = (16 - columns).clamp(min=0).float().expand(h, w)
    everywhere = torch.ones_like(known)
    level, broad = (lighting.coordinates(a_sky(3.0 + x, everywhere).features) for x in (0.0 * glow, glow))
    light = lighting.told(seen, shown, known, away, elevation_deg, level)
    lit = shown.features + lighting.difference(shown, elevation_deg, level, broad, light)
    went_on = lit[0][:, 16:]
    assert float((went_on - gradient[:, 16:]).abs().mean()) < 0.25
    assert float((went_on[:, :-4].mean(0) - went_on[:, 4:].mean(0)).abs().max()) < 0.6
    assert float(torch.corrcoef(torch.stack([went_on.mean(0), clouds[0, 16:]]))[0, 1]) > 0.5
    assert torch.equal(lit[3:], shown.features[3:])  # what draws texture is the place's


def test_far_hills_take_the_light_of_the_air_before_them() -> None:
    flat = torch.zeros(4, 16)
    flat[:3, :3] = torch.eye(3)
    lighting = Lighting(flat)
    nothing = torch.zeros(3, 8, 10)
    everywhere = torch.ones(8, 10, dtype=torch.bool)
    ground, sky = (1.0, 0.0, 0.0), (5.0,) * len(KNOTS_DEG) + (0.0,) * 2 * len(KNOTS_DEG)
    shift = []
    for depth_m in (5.0, 900.0, 5000.0):
        shown = replace(a_sky(nothing[0], everywhere), sky=torch.zeros(16, 20, dtype=torch.bool))
        shown = replace(shown, inverse_depth=torch.full((16, 20), 1.0 / depth_m))
        lit = shown.features + lighting.difference(shown, nothing[0], nothing, nothing, ground + sky)
        shift.append(lighting.coordinates(lit)[0].mean())
    assert float(shift[0]) == pytest.approx(1.0, abs=0.1)
    assert 2.0 < float(shift[1]) < 4.5
    assert float(shift[2]) == pytest.approx(5.0, abs=0.1)


def test_the_glow_of_a_sky_is_where_its_sun_is() -> None:
    """All around, whichever way the place lies; clouds are no part of it."""
    colours = torch.eye(3, 16)
    cameras, sun_deg = rig(PlacesConfig()), 50.0
    lit, depths = [], []
    for camera in cameras:
        grid = camera.latent(8)
        rays = torch.from_numpy(grid.rays()).float()
        off = torch.atan2(rays[..., 1], rays[..., 0]) - math.radians(sun_deg)
        lit.append(torch.zeros(16, *grid.size))
        lit[-1][0] = torch.cos(off) + 0.5 * torch.cos(40.0 * off)
        depths.append(torch.zeros(2 * grid.height, 2 * grid.width))  # sky all around
    glow = sky_glow(Place(tuple(lit), tuple(depths), cameras, "meadow"), colours)
    for yaw_deg, turned_deg in ((50.0, 0.0), (120.0, 0.0), (120.0, 100.0), (-170.0, -35.0)):
        camera = Camera.from_fov(c2w_from_angles(np.zeros(3), yaw_deg, 25.0), 30.0, 112, 64).resized(14, 8)
        along = glow_along(glow, torch.from_numpy(camera.rays()).float(), math.radians(turned_deg))
        expected = math.cos(math.radians(yaw_deg + turned_deg - sun_deg))
        assert abs(float(along[0, 3:5, 6:8].mean()) - expected) < 0.15
        assert torch.all(along[1:] == 0.0)
