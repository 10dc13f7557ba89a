"""Learning from rooms: what one of a room's points tells of a view from the other."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from engine.models.embedded import EmbeddedModel
from engine.training.config import DetailTraining, FlightTraining, PlacesConfig, configure
from engine.training.detail import DetailStage
from engine.training.flights import FlightStage
from engine.training.places import middle, place_spec
from engine.training.rooms import Rooms
from engine.training.run import train
from engine.worlds import World
from tests.engine.training_support import finishing


@pytest.fixture
def places(tmp_path: Path) -> PlacesConfig:
    """One rendered room."""
    config = PlacesConfig(
        folder=str(tmp_path / "rooms"), biomes="interior", places=1, height=128, width=144, supersample=1
    )
    assert train("places", None, asdict(config)) == {"places": 1.0}
    return config


def test_a_rooms_view_is_what_its_camera_sees_and_its_memory_is_of_the_other_point(places: PlacesConfig) -> None:
    encoder = EmbeddedModel.tiny().autoencoder.encoder
    rooms, world = Rooms(places, encoder, (8, 14)), World(place_spec(places, 0), sun_disc=False)
    for seed in range(4):
        seen = rooms.view(torch.Generator().manual_seed(seed))
        camera = seen.scene.cameras[0]
        frame = world.render(camera.posed(middle(world, 0) @ camera.c2w), supersample=places.supersample)
        off = (frame.rgb - seen.rgb[0].float() / 255).abs()
        assert off[:, 4:-4, 4:-4].max() < 0.01, "but for its edges: they were no edges where it was rendered"
        x, _, _ = seen.memory.began_at or (0.0, 0.0, 0.0)
        assert x == pytest.approx(-camera.position[0])
        assert abs(x) == pytest.approx(places.apart_m / 2)


@pytest.mark.parametrize("stage", ["detail", "flights"])
def test_detail_and_flights_learn_from_rooms(scenes: Path, tmp_path: Path, places: PlacesConfig, stage: str) -> None:
    base = tmp_path / "base"
    EmbeddedModel.tiny(image_size=(64, 112)).save(base)
    settings = finishing(scenes, base, tmp_path / "run") | {"room_share": 1.0}
    settings |= {f"places.{name}": value for name, value in asdict(places).items()}
    made = (
        DetailStage(configure(DetailTraining(), None, settings))
        if stage == "detail"
        else FlightStage(configure(FlightTraining(), None, settings))
    )
    generator = torch.Generator().manual_seed(0)
    view = made.imagination.seen(1.0, generator, made.imagination.model.denoiser)
    assert view.rgb.shape == (1, 3, 64, 112) and view.scene.biome == "interior"
    assert 0.0 < float(view.certain.mean()) < float(view.certain.max()) <= 1.0, "a part is known, and not from as near"
    loss, _ = made.loss(generator, 0.0)
    assert loss.isfinite()
