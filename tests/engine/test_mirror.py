"""Places of open country are there twice, as they are and as a mirror shows them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.camera import Camera, c2w_from_angles
from engine.errors import InputError, ModelError
from engine.memory import LatentMemory, LatentView, MemoryConfig
from engine.metrics import psnr_db
from engine.models import shipped_model_dir
from engine.models.embedded import EmbeddedModel
from engine.models.embedded.weights import MIRROR, folder_checksum, weight_path
from engine.places import Match, MirroredBank, Place, PlaceBank
from engine.places.mirror import mirrored
from engine.places.module import Module
from engine.training.config import ExportConfig, configure
from engine.training.export import export
from engine.training.run import train
from tests.engine.memory_support import CentreNetwork


def turned(camera: Camera) -> Camera:
    """Where the mirror image of what a camera sees is seen."""
    x, y, z = camera.position
    return camera.posed(c2w_from_angles(np.array([x, -y, z]), -camera.yaw_deg, camera.pitch_deg))


def memory_of_place(place: Place, token: tuple[int, int, int]) -> LatentMemory:
    channels, stride, samples = token
    memory = LatentMemory(MemoryConfig(channels=channels, stride=stride, samples=samples), CentreNetwork(samples))
    for latents, inverse_depth, camera in place.views():
        memory.write(LatentView(camera, latents, inverse_depth))
    return memory


@pytest.mark.parametrize("yaw_deg", [0.0, 37.0, -120.0])
def test_a_mirrored_place_shows_what_a_mirror_does(bank: PlaceBank, yaw_deg: float) -> None:
    """Seen from the mirrored camera it is the picture turned over, up to which of two equal samples wins."""
    place = bank[0]
    image = mirrored(place, lambda latents: latents.flip(-1))
    camera = Camera.from_fov(c2w_from_angles(np.array([0.7, -0.4, 0.2]), yaw_deg, -6.0), 60.0, 160, 112)
    seen = memory_of_place(place, bank.token).readout_nearest(camera)
    there = memory_of_place(image, bank.token).readout_nearest(turned(camera))
    straight = memory_of_place(image, bank.token).readout_nearest(camera)
    off, otherwise = (
        float((seen.features - features).abs().mean()) for features in (there.features.flip(-1), straight.features)
    )
    assert off < 0.1 * otherwise, "and it is another place"
    assert float((seen.coverage - there.coverage.flip(-1)).abs().mean()) < 0.01


def test_places_keep_their_numbers_and_rooms_are_not_mirrored(bank: PlaceBank) -> None:
    built = replace(bank, modules={bank.biomes[1]: Module(20.0, (0.0, 0.0, 0.0))})
    twice = MirroredBank.from_bank(built, lambda latents: latents.flip(-1))
    assert len(twice) == 2 * len(bank) - 1 and twice.biomes[: len(bank)] == bank.biomes
    for index in range(len(bank)):
        assert torch.equal(twice[index].latents[0], bank[index].latents[0]) and twice.original(index) == index
    for index in range(len(bank), len(twice)):
        original = twice.original(index)
        assert twice.biomes[index] == bank.biomes[original] != bank.biomes[1]
        assert torch.equal(twice[index].latents[0], bank[original].latents[0].flip(-1))


def test_what_comes_next_is_not_the_mirror_image_of_what_was_there() -> None:
    """As long as there is anything else; then it is rather that than the same once more."""
    places = EmbeddedModel.load().places
    assert places is not None
    original, not_lately = places.bank.original, places._choice._not_lately
    meadows = places._choice.among("meadow")
    assert len(meadows) == 16 == 2 * len({original(place) for place in meadows})
    here, other = meadows[0], meadows[1]
    twins = {place: next(p for p in meadows if original(p) == place and p != place) for place in (here, other)}
    assert not {here, twins[here]} & set(not_lately(meadows, Match(here, 0.0, 1.0)))
    two = [here, twins[here], other, twins[other]]
    assert set(not_lately(two, Match(here, 0.0, 1.0))) == {other, twins[other]}
    assert not_lately(two, Match(here, 0.0, 1.0, past=(other,))) == [twins[other]]
    assert not_lately([here, twins[here]], Match(here, 0.0, 1.0)) == [twins[here]]
    assert not_lately([here], Match(here, 0.0, 1.0)) == [here]


def test_the_shipped_model_turns_latents_over() -> None:
    model = EmbeddedModel.load()
    assert model.places is not None and isinstance(model.places.bank, MirroredBank)
    bank = model.places.bank
    for index in (0, 20, 71):
        twin = next(i for i in range(len(bank)) if i != index and bank.original(i) == index)
        view, image = bank[index].latents[1], bank[twin].latents[1]
        picture, mirror_image = (model.decode(z[None])[0].permute(1, 2, 0).numpy() for z in (view, image))
        picture, mirror_image = (np.round(255 * p).astype(np.uint8) for p in (picture, mirror_image))
        assert psnr_db(picture[:, ::-1], mirror_image) > 36.0


def test_a_session_is_the_same_with_and_without_and_damage_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(shipped_model_dir(), folder)
    identity = folder_checksum(folder)
    stored = weight_path(folder, MIRROR)
    stored.write_bytes(weight_path(folder, "readout").read_bytes())
    with pytest.raises(ModelError, match="mirror"):
        EmbeddedModel.load(folder)
    stored.unlink()
    assert folder_checksum(folder) == identity
    model = EmbeddedModel.load(folder)
    assert model.mirror is None and model.places is not None and len(model.places.bank) == 84
    with pytest.raises(ModelError, match="does not mirror"):
        model.turned_over(torch.zeros(16, 4, 4))


def test_a_model_learns_to_mirror_its_places(bank: PlaceBank, tmp_path: Path) -> None:
    model = EmbeddedModel.tiny()
    run = {"model": str(tmp_path / "model"), "loop.run": str(tmp_path / "run"), "loop.steps": 3, "loop.batch": 2}
    model.save(tmp_path / "model")
    with pytest.raises(InputError, match="no places of open country"):
        train("mirror", None, run)
    model.carry(bank)
    model.save(tmp_path / "model")
    figures = train("mirror", None, {**run, "crop_cells": 8, "width": 8})
    assert {"mirrored_db", "flipped_db"} <= set(figures)
    asked = {"model": str(tmp_path / "model"), "mirror_run": str(tmp_path / "run")}
    made = export(configure(ExportConfig(), None, asked), tmp_path / "better")
    assert made.places is not None and len(made.places.bank) == 2 * len(bank)
    again = export(configure(ExportConfig(), None, asked | {"model": str(tmp_path / "better")}), tmp_path / "copy")
    assert again.mirror is not None, "a copy has it too"
