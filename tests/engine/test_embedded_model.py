"""The embedded model: what explorer and memory rely on, checked with the real classes at a tiny width."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.camera import Camera, c2w_from_angles
from engine.errors import Cancelled, InputError, ModelError
from engine.memory import LatentMemory, LatentView, MemoryConfig
from engine.memory.readout import SampleMap
from engine.models.embedded import EmbeddedModel
from engine.models.embedded.condition import (
    FARTHEST_M,
    NEAREST_M,
    denormalise_depth,
    normalise_depth,
    pack_state,
    ray_elevation,
    unpack_state,
)
from engine.models.embedded.config import DenoiserConfig, EmbeddedConfig, ReadoutConfig
from engine.models.embedded.denoiser import Denoiser
from engine.models.embedded.readout import CENTRE, ReadoutNetwork
from engine.models.embedded.sampler import flow_times, sample_flow
from engine.models.embedded.weights import load_tensors, save_tensors
from engine.world_model import CancelToken, ChunkRequest

CAMERA = Camera.from_fov(c2w_from_angles(np.array([0.0, 0.0, 2.0]), 0.0, 0.0), 50.0, 112, 64)


def memory_of(model: EmbeddedModel, views: int = 0) -> LatentMemory:
    """A memory that has seen ``views`` copies of a frontal plane at 8 m."""
    memory = LatentMemory(MemoryConfig(), model.readout_network)
    rgb = torch.rand(1, 3, 64, 112, generator=torch.Generator().manual_seed(1))
    for _ in range(views):
        memory.write(LatentView(CAMERA, model.encode(rgb)[0], torch.full((16, 28), 1 / 8.0)))
    return memory


def request(model: EmbeddedModel, memory: LatentMemory, seed: int = 0, **changes: object) -> ChunkRequest:
    values: dict = {
        "cameras": [CAMERA],
        "readouts": [memory.readout(CAMERA)],
        "biome": model.spec.biomes[0],
        "generator": torch.Generator().manual_seed(seed),
        "steps": 2,
    }
    return ChunkRequest(**{**values, **changes})


def test_imagines_from_nothing_and_from_a_memory(tiny_model: EmbeddedModel) -> None:
    for views in (0, 1):
        chunk = tiny_model.imagine(request(tiny_model, memory_of(tiny_model, views)))
        assert chunk.latents.shape == (1, 16, 8, 14)
        assert chunk.inverse_depth.shape == (1, 16, 28)
        assert torch.isfinite(chunk.latents).all()
        assert (chunk.inverse_depth >= 0).all()
        rgb = tiny_model.decode(chunk.latents)
        assert rgb.shape == (1, 3, 64, 112)
        assert 0 <= float(rgb.min()) <= float(rgb.max()) <= 1


def test_the_same_seed_gives_the_same_frame_bit_for_bit_and_another_seed_does_not(tiny_model: EmbeddedModel) -> None:
    memory = memory_of(tiny_model)
    first, again, other = (tiny_model.imagine(request(tiny_model, memory, seed)).latents for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_what_is_known_stands_and_only_the_rest_is_imagined(tiny_model: EmbeddedModel) -> None:
    known = memory_of(tiny_model, 1).readout(CAMERA)
    left = torch.arange(14) < 7
    half = replace(known, coverage=torch.where(left, known.coverage, 0.0))
    memory = memory_of(tiny_model, 1)
    chunks = [
        tiny_model.imagine(request(tiny_model, memory, seed, readouts=[half], detail=False, steps=3)) for seed in (0, 1)
    ]
    assert all(chunk.denoised for chunk in chunks)
    for chunk in chunks:
        assert torch.allclose(chunk.latents[0][..., left], known.features[..., left], atol=1e-5)
    assert not torch.allclose(chunks[0].latents[..., ~left], chunks[1].latents[..., ~left], atol=1e-3)


def test_where_all_is_known_nothing_is_denoised(tiny_model: EmbeddedModel) -> None:
    memory, heard = memory_of(tiny_model, 1), []
    known = memory.readout(CAMERA)
    asked = request(tiny_model, memory, detail=False, progress=lambda *told: heard.append(told))
    before = asked.generator.get_state()
    chunk = tiny_model.imagine(asked)
    assert not chunk.denoised and not heard and torch.equal(asked.generator.get_state(), before)
    assert torch.allclose(chunk.latents[0], known.features, atol=1e-5)
    assert torch.equal(chunk.inverse_depth[0], known.inverse_depth)


@pytest.mark.parametrize(
    ("share", "cells", "denoised"), [(0.5, 2, False), (0.5, 4, True), (0.75, 60, False), (0.0, 1, True)]
)
def test_few_cells_that_are_half_known_are_taken_as_they_are(
    tiny_model: EmbeddedModel, share: float, cells: int, denoised: bool
) -> None:
    memory = memory_of(tiny_model, 1)
    known = memory.readout(CAMERA)
    coverage, covered = known.coverage.clone(), known.covered.clone()
    coverage.view(-1)[:cells] = share
    covered[:4, 3:6] = False
    chunk = tiny_model.imagine(
        request(tiny_model, memory, readouts=[replace(known, coverage=coverage, covered=covered)])
    )
    assert chunk.denoised == denoised
    assert bool(torch.isfinite(chunk.inverse_depth).all()) and bool(torch.isfinite(chunk.latents).all())


def test_cancel_is_heard_between_steps_and_progress_is_told(tiny_model: EmbeddedModel) -> None:
    token, heard = CancelToken(), []

    def progress(fraction: float, text: str) -> None:
        heard.append(fraction)
        if len(heard) == 2:
            token.cancel()

    with pytest.raises(Cancelled):
        tiny_model.imagine(request(tiny_model, memory_of(tiny_model), steps=8, progress=progress, cancel=token))
    assert heard == [0.0, 0.125]


@pytest.mark.parametrize(("change", "words"), [({"biome": "moon"}, "meadow"), ({"steps": 0}, "between 1 and")])
def test_refuses_what_it_cannot_do(tiny_model: EmbeddedModel, change: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        tiny_model.imagine(request(tiny_model, memory_of(tiny_model), **change))


def test_an_untrained_denoiser_hands_the_readout_through() -> None:
    """Its head starts at zero, so remembered cells are a copy from the first training step on."""
    network = Denoiser(DenoiserConfig(widths=(16, 16, 32), embedding_width=16, heads=2, biomes=("a",)))
    condition = torch.randn(2, network.config.condition_channels, 8, 14)
    state = network(torch.randn(2, 20, 8, 14), torch.tensor([0.0, 0.7]), condition, torch.tensor([0, 1]))
    assert torch.allclose(state, torch.cat([condition[:, :16], condition[:, 17:21]], 1))


@pytest.mark.parametrize("kernels", [0, 4])
def test_an_untrained_readout_network_copies_tokens_and_leaves_holes_empty(kernels: int) -> None:
    network = ReadoutNetwork(ReadoutConfig(sample_hidden=16, sample_width=8, cell_width=16, kernels=kernels))
    covered = torch.zeros(8, 8, dtype=torch.bool)
    covered[:4] = True
    n = int(covered.sum())
    token = torch.randn(1, 16)
    neighbourhood = torch.zeros(n, 9, 16)
    neighbourhood[:, CENTRE] = token
    samples = SampleMap(
        token=covered.long() - 1,
        uv=torch.rand(2, 8, 8) - 0.5,
        log2_scale=torch.rand(8, 8),
        inverse_depth=torch.rand(8, 8),
        sky=torch.zeros(8, 8, dtype=torch.bool),
        jacobian=torch.randn(2, 2, 8, 8),
        relief=torch.randn(4, 8, 8),
    )
    features = network.read(samples, neighbourhood, torch.ones(n, 9, dtype=torch.bool), torch.arange(n))[None]
    assert torch.allclose(features[0, :, :2], token[0, :, None, None].expand(-1, 2, 4), atol=1e-6)
    assert (features[0, :, 2:] == 0).all()


def test_kernels_leave_what_is_plain_as_it_is_and_resample_what_is_not() -> None:
    torch.manual_seed(0)
    network = ReadoutNetwork(ReadoutConfig(sample_hidden=16, sample_width=8, cell_width=16, kernels=4))
    torch.nn.init.normal_(network.kernels.weight, std=0.1)
    token, covered = torch.randn(16), torch.ones(1, 8, 8, dtype=torch.bool)
    valid = torch.rand(64, 9) < 0.7
    valid[:, CENTRE] = True
    plain = token * valid[..., None]
    varied = torch.where(valid[..., None], torch.randn(64, 9, 16), 0.0)
    geometry = torch.randn(64, network.geometry_width)
    with torch.no_grad():
        features, other = (
            network(torch.cat([tokens.flatten(1), valid, geometry], dim=1), tokens[:, CENTRE], covered)
            for tokens in (plain, varied)
        )
    assert torch.allclose(features, token[None, :, None, None].expand_as(features), atol=1e-5)
    copied = varied[:, CENTRE].view(4, 2, 4, 2, 16).mean(dim=(1, 3)).permute(2, 0, 1)
    assert float((other[0] - copied).std()) > 0.1


@given(st.floats(NEAREST_M, FARTHEST_M))
def test_depth_survives_normalisation(depth_m: float) -> None:
    inverse = torch.tensor([1.0 / depth_m], dtype=torch.float32)
    assert torch.allclose(denormalise_depth(normalise_depth(inverse)), inverse, rtol=1e-4)


def test_sky_survives_normalisation_and_a_state_survives_packing() -> None:
    assert denormalise_depth(normalise_depth(torch.zeros(1))).item() == 0.0
    latents, inverse_depth = torch.randn(1, 16, 4, 6), torch.rand(1, 8, 12) * 0.5 + 0.01
    inverse_depth[:, :2] = 0
    mean, std = torch.randn(16, 1, 1), torch.rand(16, 1, 1) + 0.5
    again = unpack_state(pack_state(latents, inverse_depth, mean, std, 2), mean, std, 2)
    assert torch.allclose(again[0], latents, atol=1e-5)
    assert torch.allclose(again[1], inverse_depth, rtol=1e-3)


def test_ray_elevation_knows_up() -> None:
    elevation = ray_elevation(CAMERA, 8, 14)[0]
    assert (elevation[:4] > 0).all()
    assert (elevation[4:] < 0).all()


def test_the_flow_ends_at_the_prediction_and_is_straight_for_a_constant_one() -> None:
    goal = torch.full((1, 2, 3, 3), 5.0)
    seen: list[float] = []

    def predict(state: torch.Tensor, t: float) -> torch.Tensor:
        seen.append(float(state.mean()))
        return goal

    assert torch.allclose(sample_flow(predict, torch.zeros_like(goal), flow_times(4)), goal)
    assert seen == pytest.approx([0.0, 1.25, 2.5, 3.75])


def test_a_saved_model_comes_back_the_same(tmp_path: Path, tiny_model: EmbeddedModel) -> None:
    tiny_model.save(tmp_path)
    again = EmbeddedModel.load(tmp_path)
    assert again.config == tiny_model.config
    rgb = torch.rand(1, 3, 64, 112)
    assert torch.allclose(again.encode(rgb), tiny_model.encode(rgb), atol=0.05)
    assert len(again.spec.checksum) == 64
    tiny_model.save(tmp_path / "copy")
    assert EmbeddedModel.load(tmp_path / "copy").spec.checksum == again.spec.checksum


def test_wide_kernels_of_the_denoiser_are_kept_in_bytes_and_all_else_in_halves(tmp_path: Path) -> None:
    torch.manual_seed(5)
    kernel, narrow, bias = (
        torch.randn(80, 96, 3, 3) * torch.logspace(-3, 2, 80)[:, None, None, None],
        *(torch.randn(*shape) for shape in ((20, 96, 3, 3), (80,))),
    )
    kernel[7] = 0.0  # a channel that nothing comes out of
    tensors = {"deep.weight": kernel, "head.weight": narrow, "deep.bias": bias}
    sizes = {}
    for name in ("denoiser", "autoencoder"):
        path = tmp_path / f"{name}.safetensors"
        save_tensors(tensors, path)
        sizes[name] = path.stat().st_size
        back = load_tensors(path, {key: tuple(value.shape) for key, value in tensors.items()})
        assert torch.equal(back["head.weight"], narrow.half().float()) and torch.equal(
            back["deep.bias"], bias.half().float()
        )
        most = kernel.flatten(1).abs().amax(1)[:, None, None, None]
        off = (back["deep.weight"] - kernel).abs() / most.clamp(min=1e-9)
        assert float(off.max()) <= (0.5 / 127 + 1e-6 if name == "denoiser" else 1e-3)
    assert sizes["denoiser"] < 0.65 * sizes["autoencoder"]
    again = load_tensors(tmp_path / "denoiser.safetensors")
    (tmp_path / "again").mkdir()
    save_tensors(again, tmp_path / "again" / "denoiser.safetensors")
    twice = load_tensors(tmp_path / "again" / "denoiser.safetensors")
    assert torch.allclose(twice["deep.weight"], again["deep.weight"], rtol=1e-6)  # rounded once, whoever saves it again


def _truncate(folder: Path) -> None:
    path = folder / "denoiser.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _remove(folder: Path) -> None:
    (folder / "denoiser.safetensors").unlink()


def _other_size(folder: Path) -> None:
    values = json.loads((folder / "config.json").read_text())
    values["denoiser"]["widths"] = [16, 32, 32]
    (folder / "config.json").write_text(json.dumps(values))


def _edit_config(folder: Path, old: str, new: str) -> None:
    (folder / "config.json").write_text(EmbeddedConfig().to_json().replace(old, new))


def _not_finite(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "denoiser.safetensors")
    tensors["stem.bias"][0] = float("nan")
    save_file(tensors, folder / "denoiser.safetensors")


def _steps_of_another_kernel(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "denoiser.safetensors")
    save_file(tensors | {"stem.weight.step": torch.ones(3)}, folder / "denoiser.safetensors")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_steps_of_another_kernel, "denoiser.safetensors .sha256 [0-9a-f]{12}. is damaged"),
        (_truncate, "denoiser.safetensors .sha256 [0-9a-f]{12}. is damaged"),
        (_remove, "denoiser.safetensors are missing"),
        (_other_size, "saved with another configuration"),
        (_not_finite, "not finite"),
        (lambda folder: (folder / "config.json").unlink(), "config.json is missing"),
        (lambda folder: (folder / "config.json").write_text("{"), "not readable JSON"),
        (lambda folder: (folder / "config.json").write_text("[]"), "not a configuration"),
        (
            lambda folder: _edit_config(folder, '"version": 1', '"version": 9'),
            "format version 9",
        ),
        (
            lambda folder: _edit_config(folder, "default_steps", "steps"),
            "fields this Mirage does not know: steps",
        ),
    ],
)  # fmt: skip
def test_damaged_model_folders_are_named(tmp_path: Path, tiny_model: EmbeddedModel, damage, words: str) -> None:
    tiny_model.save(tmp_path)
    damage(tmp_path)
    with pytest.raises(ModelError, match=words):
        EmbeddedModel.load(tmp_path)


def test_further_steps_leave_what_is_known_as_the_first_predicted_it() -> None:
    """Every prediction differs; where the memory knows, the first one stands, elsewhere the last."""
    known = torch.tensor([1.0, 1.0, 0.0, 0.0])[None, None, None]
    calls: list[float] = []

    def predict(state: torch.Tensor, t: float) -> torch.Tensor:
        calls.append(t)
        return torch.full_like(state, float(len(calls)))

    state = sample_flow(predict, torch.randn(1, 2, 1, 4), flow_times(4), known=known)
    assert calls == [0.0, 0.25, 0.5, 0.75]
    assert torch.allclose(state, torch.tensor([1.0, 1.0, 4.0, 4.0]).expand(1, 2, 1, 4))
