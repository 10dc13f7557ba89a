"""A model that learns of a new biome: its places come beside the old ones, and it begins as another that is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.errors import InputError
from engine.models.embedded import EmbeddedModel
from engine.models.embedded.weights import load_network, model_files, places_path, weight_path
from engine.places.bank import PlaceBank
from engine.places.module import Module
from engine.training.config import ExportConfig, PlacesConfig, configure
from engine.training.export import export
from engine.training.places import pack_places
from engine.training.run import train
from engine.worlds import BIOMES

SMALL = {"fine_height": 80, "fine_width": 160, "height": 112, "width": 88, "supersample": 1, "places": 1}


@pytest.fixture(scope="module")
def knows_less(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that knows all biomes but the last, with a place of the first; and, rendered beside it, a place of
    the last."""
    folder = tmp_path_factory.mktemp("less")
    for name, biome in (("old", BIOMES[0]), ("new", BIOMES[-1])):
        train("places", None, {**SMALL, "folder": str(folder / name), "biomes": biome})
    model = EmbeddedModel.tiny()
    small = replace(model.config, denoiser=replace(model.config.denoiser, biomes=BIOMES[:-1]))
    knowing = EmbeddedModel(small, checksum="")
    places = PlacesConfig(folder=str(folder / "old"), **SMALL)
    unit = torch.tensor(small.latents_mean), torch.tensor(small.latents_std)
    knowing.carry(pack_places(places, knowing.autoencoder.float(), *unit))
    knowing.save(folder / "model")
    return folder


def options(folder: Path) -> dict[str, object]:
    places = {f"places.{name}": value for name, value in SMALL.items()}
    return {"model": str(folder / "model"), "places.folder": str(folder / "new"), **places}


def test_a_new_biome_begins_as_one_that_is_known(knows_less: Path, tmp_path: Path) -> None:
    asked = options(knows_less) | {"new_biomes": f"{BIOMES[-1]}={BIOMES[1]}"}
    made = export(configure(ExportConfig(), None, asked), tmp_path)
    assert made.spec.biomes == BIOMES
    before = load_file(weight_path(knows_less / "model", "denoiser"))["biome.weight"]
    after = load_file(weight_path(tmp_path, "denoiser"))["biome.weight"]
    assert torch.equal(after[:-1], before)
    assert torch.equal(after[-1], before[1 + 1])
    load_network(made.denoiser, weight_path(tmp_path, "denoiser"))


def test_new_places_join_those_that_a_model_has(knows_less: Path, tmp_path: Path) -> None:
    """In a file of their own: what is there stays as it is, and so does its history."""
    joined = options(knows_less) | {"new_places": True, "keep_places": True, "places.biomes": BIOMES[-1]}
    made = export(configure(ExportConfig(), None, joined), tmp_path)
    assert places_path(tmp_path).read_bytes() == places_path(knows_less / "model").read_bytes()
    assert places_path(tmp_path, BIOMES[-1]) in model_files(tmp_path)
    before = PlaceBank.load(places_path(knows_less / "model"))
    assert made.places is not None
    after = made.places.bank
    assert after.biomes == (BIOMES[0], BIOMES[-1])
    assert torch.equal(after.packed[0], before.packed[0])
    assert [len(after[n].latents) for n in (0, 1)] == [14, 64]
    made.save(tmp_path / "again")
    again = EmbeddedModel.load(tmp_path / "again")
    assert again.places is not None and again.places.bank.rigs == after.rigs
    assert again.places.bank.modules == after.modules == {BIOMES[-1]: Module(30.0, (15.0, 15.0, pytest.approx(2.9)))}
    with pytest.raises(InputError, match="same tokens and statistics"):
        before.joined(replace(after, mean=after.mean + 1.0))
    with pytest.raises(InputError, match="one rig"):
        after.save(tmp_path / "both.safetensors")


@pytest.mark.parametrize("wrong", ["atlantis=meadow", f"{BIOMES[-1]}=atlantis", BIOMES[-1], f"{BIOMES[0]}={BIOMES[1]}"])
def test_biomes_that_cannot_be_added_are_named(knows_less: Path, tmp_path: Path, wrong: str) -> None:
    with pytest.raises(InputError, match=rf"got '{wrong}'"):
        export(configure(ExportConfig(), None, options(knows_less) | {"new_biomes": wrong}), tmp_path)
    assert not list(tmp_path.iterdir())
