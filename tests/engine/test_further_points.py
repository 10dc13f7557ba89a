"""Rooms are stored from further points, too: what stands there hides much from the first two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from engine.memory import LatentMemory, LatentView, MemoryConfig
from engine.models.embedded import EmbeddedModel
from engine.places import Place, PlaceBank
from engine.places.bank import decode_depth, encode_depth, unknown_cells
from engine.places.roof import sky_behind
from engine.places.rooms import RoomMatcher
from engine.training.config import PlacesConfig
from engine.training.places import encoded_place, further, render_places, rig, without_repetition

LIBRARY = 2


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> PlacesConfig:
    """A hall of pillars, a court and a library, rendered."""
    folder = str(tmp_path_factory.mktemp("rooms"))
    config = PlacesConfig(folder=folder, biomes="interior", places=3, height=240, width=176, supersample=1)
    assert list(render_places(config))[-1] == (3, 3)
    return config


@pytest.fixture(scope="module")
def library(rooms: PlacesConfig) -> Place:
    encoder = EmbeddedModel.tiny().autoencoder.float().encoder
    return encoded_place(rooms, Path(rooms.folder) / f"place_{LIBRARY:04d}.safetensors", encoder)


def living(place: Place) -> int:
    """How many tokens a memory of all of its views keeps."""
    memory = LatentMemory(MemoryConfig(channels=16, stride=8, samples=2))
    for latents, inverse_depth, camera in place.views():
        memory.write(LatentView(camera, latents, inverse_depth))
    return int(memory.snapshot().alive.sum())


def test_further_points_lie_beside_the_line_between_the_first_two(rooms: PlacesConfig) -> None:
    whole, more = rig(rooms, built=True), further(rooms)
    assert whole[-len(more) :] == more and len(more) == 6 * (rooms.views + 2)
    assert {tuple(np.abs(camera.position[:2])) for camera in more} == {(0.0, 10.5), (7.5, 10.5)}
    assert {tuple(camera.position) for camera in whole[: -len(more)]} == {(-7.5, 0.0, 0.0), (7.5, 0.0, 0.0)}
    assert all(0.6 * whole[0].width < camera.width < 0.8 * whole[0].width for camera in more)


def test_every_room_is_seen_from_there(rooms: PlacesConfig) -> None:
    for index in range(rooms.places):
        with safe_open(Path(rooms.folder) / f"place_{index:04d}.safetensors", framework="pt") as file:
            views = sum(name.startswith("rgb_") for name in file.keys())  # noqa: SIM118 - not a dict
        assert views == len(rig(rooms, built=True))


def test_only_what_the_others_do_not_tell_is_kept(rooms: PlacesConfig, library: Place) -> None:
    more = len(further(rooms))
    less = without_repetition(library, more)
    for before, after in zip(library.inverse_depth[:-more], less.inverse_depth[:-more], strict=True):
        assert torch.equal(before, after)
    for before, after in zip(library.inverse_depth[-more:], less.inverse_depth[-more:], strict=True):
        assert torch.equal(before.where(~after.isnan(), torch.nan).nan_to_num(-1.0), after.nan_to_num(-1.0))
    known = [float((~depth.isnan()).float().mean()) for depth in less.inverse_depth[-more:]]
    assert 0.05 < sum(known) / more < 0.75
    assert living(less) == pytest.approx(living(library), rel=0.02)  # nothing that a memory would have kept is missing


def test_what_is_unknown_costs_nothing_and_comes_back_as_unknown(rooms: PlacesConfig, library: Place) -> None:
    less = without_repetition(library, len(further(rooms)))
    last = less.inverse_depth[-1]
    nothing = torch.full_like(last, torch.nan)
    less = Place(less.latents, (*less.inverse_depth[:-1], nothing), less.cameras, less.biome)
    mean, std = torch.zeros(16), torch.ones(16)
    whole, packed = (PlaceBank.of([place], mean, std) for place in (library, less))
    assert len(packed.packed[0]) < 0.9 * len(whole.packed[0])
    back = packed[0]
    assert len(back.cameras) == len(less.cameras) - 1  # a view that tells nothing is none
    for depth, before in zip(back.inverse_depth, less.inverse_depth, strict=False):
        assert torch.equal(depth.isnan(), before.isnan())
    assert living(back) == pytest.approx(living(less), rel=0.01)


def test_unknown_depth_is_no_depth() -> None:
    depths = torch.tensor([0.0, torch.nan, 0.5, 2.0])
    back = decode_depth(encode_depth(depths))
    assert back[0] == 0.0 and bool(back[1].isnan()) and torch.allclose(back[2:], depths[2:], rtol=1e-3)
    cells = torch.tensor([[torch.nan, torch.nan, 0.1, torch.nan], [torch.nan, torch.nan, torch.nan, 0.1]])
    assert unknown_cells(cells, 2).tolist() == [[True, False]]


def test_what_is_unknown_is_not_sky(library: Place) -> None:
    inverse_depth = torch.zeros_like(library.inverse_depth[0])  # all of it sky, but what is not known
    half = inverse_depth.shape[0] // 2
    inverse_depth[:half] = torch.nan
    behind = sky_behind(library.cameras[0], library.latents[0], inverse_depth)
    assert behind is None or bool(torch.as_tensor(behind.inverse_depth)[:half].isnan().all())


def test_rooms_are_compared_by_what_their_first_points_see(rooms: PlacesConfig, library: Place) -> None:
    more = len(further(rooms))
    first = Place(library.latents[:-more], library.inverse_depth[:-more], library.cameras[:-more], library.biome)
    unit: tuple[Tensor, Tensor] = torch.zeros(16), torch.ones(16)
    shown = []
    for place in (first, without_repetition(library, more)):
        matcher = RoomMatcher(PlaceBank.of([place], *unit), *(v[:, None, None] for v in unit), torch.eye(3, 16))
        shown.append(matcher._room(0, 30.0))
    assert np.array_equal(shown[0].points, shown[1].points) and len(shown[0].points)
