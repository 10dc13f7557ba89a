"""Learning from rooms: what one of a room's points tells of a view from the other."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from engine.depth import sample_inverse_depth
from engine.models.embedded import EmbeddedModel
from engine.training.config import PlacesConfig
from engine.training.places import middle, place_spec
from engine.training.rooms import Rooms
from engine.training.run import train
from engine.worlds import World


@pytest.fixture
def places(tmp_path: Path) -> PlacesConfig:
    """One rendered room."""
    config = PlacesConfig(
        folder=str(tmp_path / "rooms"), biomes="interior", places=1, height=128, width=144, supersample=1
    )
    assert train("places", None, asdict(config)) == {"places": 1.0}
    return config


def test_a_rooms_view_is_what_its_camera_sees_and_its_memory_is_of_the_other_point(places: PlacesConfig) -> None:
    encoder = EmbeddedModel.tiny().autoencoder.float().encoder
    rooms, world = Rooms(places, encoder, (8, 14)), World(place_spec(places, 0), sun_disc=False)
    for seed in range(4):
        view, other = rooms.view(torch.Generator().manual_seed(seed))
        camera = view.cameras[0]
        frame = world.render(camera.posed(middle(world, 0) @ camera.c2w), panes=True)
        near = sample_inverse_depth(frame.depth_m, 16, 28)
        assert torch.allclose(view.inverse_depth[0], near, rtol=0.02, atol=1e-3)
        assert view.latents.shape[2:] == (8, 14) and camera.size == (64, 112)
        x, _, _ = other.began_at or (0.0, 0.0, 0.0)
        assert x == pytest.approx(-camera.position[0])
        assert abs(x) == pytest.approx(places.apart_m / 2)
