"""What one biome changes in the networks: only that biome, in a file of its own, as it was trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from engine.errors import InputError, ModelError
from engine.explorer import Explorer, ExplorerConfig
from engine.models.embedded import EmbeddedModel
from engine.models.embedded.adapter import adapt, adapted, learned_updates
from engine.models.embedded.model import OWN_SHARE
from engine.models.embedded.weights import adapter_path, model_files, weight_path
from engine.training.config import ExportConfig, configure
from engine.training.export import export
from engine.training.run import train
from engine.variants import empty_readout
from tests.engine.explorer_support import camera, first_view
from tests.engine.training_support import changed, finishing

OWN, OTHER = "meadow", "snow"


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.SiLU(), nn.Flatten(), nn.Linear(5 * 16, 2))


def learned(network: nn.Module) -> dict[str, Tensor]:
    """Updates as if training had moved them."""
    adapt(network, rank=2)
    for parameter in network.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.3)
    return learned_updates(network.state_dict())


def updates() -> dict[str, Tensor]:
    """Updates of both networks of a tiny model that imagine."""
    networks = EmbeddedModel.tiny().networks()
    return {f"{name}.{k}": v for name in ("denoiser", "detail") for k, v in learned(networks[name]).items()}


def frame(model: EmbeddedModel, biome: str) -> np.ndarray:
    """What is seen two metres on from a first view."""
    explorer = Explorer(model, ExplorerConfig(biome=biome, seed=1))
    explorer.begin(camera(), first_view())
    return explorer.step(camera(2.0)).rgb


def test_an_update_begins_as_nothing_and_is_added_as_it_was_trained() -> None:
    network, x = small(), torch.randn(2, 3, 4, 4)
    before = network(x)
    adapt(network, rank=2)
    assert torch.equal(network(x), before)
    assert {n.split(".")[-1] for n, p in network.named_parameters() if p.requires_grad} == {"up", "down"}
    updates = learned(small())
    assert {name: tuple(t.shape) for name, t in updates.items()} == {
        "0.up": (5, 2),
        "0.down": (2, 27),
        "3.up": (2, 2),
        "3.down": (2, 80),
    }
    trained = small()
    adapt(trained, rank=2)
    weights = trained.state_dict()
    trained.load_state_dict(
        {k: updates.get(k.replace(".parametrizations.weight.0.", "."), weights[k]) for k in weights}
    )
    merged = adapted(small(), updates)
    assert torch.allclose(merged(x), trained(x), atol=1e-5)
    assert not torch.allclose(merged(x), before, atol=1e-2)


def test_only_worlds_of_its_biome_look_otherwise(tmp_path: Path) -> None:
    plain, better = EmbeddedModel.tiny(), EmbeddedModel.tiny()
    better.adopt(OWN, updates())
    assert np.array_equal(frame(plain, OTHER), frame(better, OTHER))
    assert not np.array_equal(frame(plain, OWN), frame(better, OWN))
    better.save(tmp_path)
    assert adapter_path(tmp_path, OWN) in model_files(tmp_path)
    again = EmbeddedModel.load(tmp_path)
    assert np.abs(frame(again, OWN).astype(int) - frame(better, OWN)).mean() < 1.0  # halves on disk
    with_it = again.spec.checksum
    adapter_path(tmp_path, OWN).unlink()
    assert EmbeddedModel.load(tmp_path).spec.checksum != with_it


def test_texture_of_the_closer_picture_is_the_biomes_too() -> None:
    model = EmbeddedModel.tiny()
    explorer = Explorer(model, ExplorerConfig(biome=OWN))
    explorer.begin(camera(), first_view())
    memory = explorer.memory.latent
    assert memory is not None
    readout = memory.readout(camera())
    before = {biome: model.textured(readout, camera(), biome, 0) for biome in (OWN, OTHER)}
    model.adopt(OWN, updates())
    assert torch.equal(model.textured(readout, camera(), OTHER, 0), before[OTHER])
    assert not torch.equal(model.textured(readout, camera(), OWN, 0), before[OWN])


def test_detail_of_one_biome_is_amplified_less() -> None:
    model = EmbeddedModel.tiny()
    readout = empty_readout(model.spec, camera())
    known = replace(
        readout, features=torch.randn(16, 8, 14), coverage=torch.ones(8, 14), covered=readout.covered | True
    )
    nothing = {name: torch.zeros_like(tensor) for name, tensor in updates().items()}
    before = model.textured(known, camera(), OWN, 0) - known.features
    model.adopt(OWN, nothing)
    assert torch.allclose(model.textured(known, camera(), OWN, 0) - known.features, OWN_SHARE * before, atol=1e-5)


def test_an_adapter_that_does_not_fit_is_named_in_one_sentence(tmp_path: Path) -> None:
    EmbeddedModel.tiny().save(tmp_path)
    good = updates()
    up = next(name for name in good if name.endswith(".up"))
    down = up.removesuffix("up") + "down"
    for wrong in (
        good | {up: good[up][:-1]},
        good | {down: good[down][:, :-1]},
        {name: tensor for name, tensor in good.items() if name != down},
        {"denoiser.nowhere.up": good[up], "denoiser.nowhere.down": good[down]},
        {"readout.cells.0.up": good[up], "readout.cells.0.down": good[down]},
    ):
        save_file({name: tensor.contiguous() for name, tensor in wrong.items()}, adapter_path(tmp_path, OWN))
        with pytest.raises(ModelError, match=rf"adapter-{OWN}\.safetensors does not fit the model \(.*\); restore"):
            EmbeddedModel.load(tmp_path)
    save_file(good | {up: good[up] * torch.nan}, adapter_path(tmp_path, OWN))
    with pytest.raises(ModelError, match="not finite"):
        EmbeddedModel.load(tmp_path)
    adapter_path(tmp_path, OWN).write_bytes(b"not tensors")
    with pytest.raises(ModelError, match="damaged"):
        EmbeddedModel.load(tmp_path)
    adapter_path(tmp_path, OWN).unlink()
    save_file(good, adapter_path(tmp_path, "atlantis"))
    with pytest.raises(ModelError, match="does not know the biome 'atlantis'"):
        EmbeddedModel.load(tmp_path)


@pytest.fixture
def settings(scenes: Path, tmp_path: Path) -> dict[str, object]:
    """Two steps of one biome's flights, from a tiny model in ``base``."""
    EmbeddedModel.tiny(image_size=(64, 112)).save(tmp_path / "base")
    given = finishing(scenes, tmp_path / "base", tmp_path / "run")
    given |= {"crops": 1, "crop_cells": 8, "pool": 2, "first_views": 2, "finish.adversarial": 0.0}
    return given | {"only_biome": OWN, "loop.weight_decay": 0.0, "loop.learning_rate": 0.1}


def test_updates_are_trained_and_come_in_a_file_of_their_own(settings: dict[str, object], tmp_path: Path) -> None:
    base, run, out = tmp_path / "base", tmp_path / "run", tmp_path / "out"
    train("flights", None, settings | {"rank": 2})
    made = export(configure(ExportConfig(), None, {"model": str(base), "adapter_run": str(run)}), out)
    assert changed(base, out) == set()
    moved = load_file(adapter_path(out, OWN))
    assert {name.split(".")[0] for name in moved} == {"denoiser", "detail"}
    assert any(bool(tensor.any()) for name, tensor in moved.items() if name.endswith(".up"))
    plain = EmbeddedModel.load(base)
    assert np.array_equal(frame(plain, OTHER), frame(made, OTHER))
    assert not np.array_equal(frame(plain, OWN), frame(made, OWN))


def test_an_adapter_goes_when_the_kernels_beside_it_do(settings: dict[str, object], tmp_path: Path) -> None:
    base, out = tmp_path / "base", tmp_path / "out"
    model = EmbeddedModel.load(base)
    model.adopt(OWN, updates())
    model.save(base)
    for only, stays in ((OTHER, True), ("", False)):
        run = tmp_path / f"run-{only}"
        train("flights", None, settings | {"only_biome": only, "loop.run": str(run)})
        for folder in (out, base):
            export(configure(ExportConfig(), None, {"model": str(base), "flight_run": str(run)}), folder)
            assert adapter_path(folder, OWN).exists() == stays, (only, folder)


def test_a_row_may_learn_while_all_others_stay(settings: dict[str, object], tmp_path: Path) -> None:
    base, run = tmp_path / "base", tmp_path / "run"
    train("flights", None, settings)
    after = load_file(run / "best.safetensors")
    row = 1 + EmbeddedModel.tiny().config.denoiser.biomes.index(OWN)
    for name in ("denoiser", "detail"):
        for key, before in load_file(weight_path(base, name)).items():
            same = (after[f"{name}.{key}"] == before).view(len(before), -1).all(1) if before.ndim else None
            if (name, key) == ("denoiser", "biome.weight"):
                assert same is not None and [n for n, kept in enumerate(same.tolist()) if not kept] == [row]
            else:
                assert torch.equal(after[f"{name}.{key}"], before)
    for wrong in ({"only_biome": "atlantis"}, {"loop.weight_decay": 0.1}):
        with pytest.raises(InputError, match="only_biome takes one of"):
            train("flights", None, settings | wrong)


def test_flights_through_all_biomes_make_no_adapter(settings: dict[str, object], tmp_path: Path) -> None:
    asked = {"model": str(tmp_path / "base"), "adapter_run": str(tmp_path / "run")}
    with pytest.raises(InputError, match="mirage train flights"):
        export(configure(ExportConfig(), None, asked), tmp_path / "out")
    train("flights", None, settings | {"only_biome": ""})
    with pytest.raises(InputError, match="learned of all biomes"):
        export(configure(ExportConfig(), None, asked), tmp_path / "out")
