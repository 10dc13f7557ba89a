"""Stored rooms are remembered at coarser scales, too: through a door one sees them from afar."""

from __future__ import annotations

import math
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import avg_pool2d

from engine.camera import Camera, c2w_from_angles
from engine.errors import InputError, ModelError
from engine.memory import LatentView, MemoryConfig, ScaledView, memory_at_scales
from engine.memory.grids import cell_of
from engine.metrics import psnr_db
from engine.models import shipped_model_dir
from engine.models.embedded import EmbeddedModel
from engine.models.embedded.weights import HALVING, folder_checksum, weight_path
from engine.places import Place, PlaceBank
from engine.places.memories import Memories
from engine.places.module import Module
from engine.places.scales import COARSER, at_scales, halved_depth, padded
from engine.training.config import ExportConfig, configure
from engine.training.export import export
from engine.training.run import train


@pytest.fixture(scope="module")
def shipped() -> EmbeddedModel:
    return EmbeddedModel.load()


def averaged(latents: Tensor) -> Tensor:
    return avg_pool2d(latents, 2)


def rooms_of(model: EmbeddedModel) -> list[int]:
    assert model.places is not None
    return [index for index, biome in enumerate(model.places.bank.biomes) if biome in model.places.bank.modules]


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_the_depth_of_four_samples_is_one_of_them_and_neither_nearest_nor_unknown(h: int, w: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    depth = generator.uniform(0.0, 1.0, (2 * h, 2 * w)).astype(np.float32)
    depth[generator.random(depth.shape) < 0.1] = np.nan
    made = halved_depth(torch.from_numpy(depth))
    assert made.shape == (h, w)
    for y in range(h):
        for x in range(w):
            four = np.sort(depth[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].ravel())
            assert math.isnan(made[y, x]) if np.isnan(four).any() else float(made[y, x]) == four[1]


@given(st.integers(1, 9), st.integers(1, 9))
def test_scales_double_and_the_finest_is_the_view(h: int, w: int) -> None:
    camera = Camera.from_fov(c2w_from_angles(np.array([1.0, -2.0, 0.5]), 20.0, 5.0), 60.0, 8 * w, 8 * h)
    view = LatentView(camera, torch.rand(3, h, w), torch.rand(2 * h, 2 * w))
    views = at_scales(view, 8, averaged)
    assert len(views) == COARSER + 1
    for coarse, fine in pairwise(views):
        assert (2 * coarse.camera.width, 2 * coarse.camera.height) == (fine.camera.width, fine.camera.height)
        assert tuple(2 * side for side in coarse.latents.shape[1:]) == tuple(fine.latents.shape[1:])
        ray = coarse.camera.K[:2] / fine.camera.K[:2].clip(min=1e-9)
        assert ray[0, 0] == pytest.approx(0.5) and ray[0, 2] == pytest.approx(0.5), "the same rays"
    fine = views[-1]
    assert torch.equal(torch.as_tensor(fine.latents)[:, :h, :w], torch.as_tensor(view.latents))
    depth = torch.as_tensor(fine.inverse_depth)
    assert torch.equal(depth[: 2 * h, : 2 * w], torch.as_tensor(view.inverse_depth))
    assert bool(depth[2 * h :].isnan().all()) and bool(depth[:, 2 * w :].isnan().all()), "nothing is made up"
    assert np.array_equal(fine.camera.K, camera.K)
    assert padded(torch.rand(1, h, w), 4).shape[1:] == torch.Size([-(-h // 4) * 4, -(-w // 4) * 4])


@pytest.mark.parametrize("back_m", [15.0, 25.0])
def test_from_afar_a_room_is_told_by_tokens_about_as_large_as_cells(shipped: EmbeddedModel, back_m: float) -> None:
    assert shipped.places is not None
    bank, room = shipped.places.bank, rooms_of(shipped)[0]
    camera = Camera.from_fov(c2w_from_angles(np.array([-back_m, 0.0, 0.0]), 0.0, 0.0), 60.0, 448, 256)
    scale = {}
    for halve in (None, shipped.halved):
        sight = Memories(bank, shipped.readout_network, halve)(room).sight(camera)
        inside = (sight.coverage > 0.99) & (sight.inverse_depth[::2, ::2] > 0.0)
        scale[halve is None] = float(sight.log2_scale[inside].quantile(0.1))
    assert scale[True] < -1.5 and scale[False] > max(-1.5, scale[True] + 1.0)


@pytest.mark.parametrize(
    ("x", "y", "yaw_deg"), [(1.0, 1.4, 0.0), (1.0, 1.4, 120.0), (-4.0, 0.0, 0.0), (-20.0, 0.0, 0.0)]
)
def test_at_every_scale_it_is_the_same_room(shipped: EmbeddedModel, x: float, y: float, yaw_deg: float) -> None:
    """A tree's coarse tokens, seen from the side, are no lattice that one sees through."""
    assert shipped.places is not None
    bank = shipped.places.bank
    made = [Memories(bank, shipped.readout_network, halve) for halve in (None, shipped.halved)]
    court = next(room for room in rooms_of(shipped) if made[0].court(room))
    camera = Camera.from_fov(c2w_from_angles(np.array([x, y, 0.0]), yaw_deg, 0.0), 60.0, 448, 256)
    plain, scaled = (memory(court).sight(camera) for memory in made)
    both = plain.covered & scaled.covered
    assert float(both.float().mean()) > 0.96 * float(plain.covered.float().mean())
    same = (plain.inverse_depth - scaled.inverse_depth).abs() <= 0.1 * plain.inverse_depth
    assert float(same[both].float().mean()) > 0.9
    near = plain.inverse_depth > 1.0 / 8.0
    assert float((scaled.inverse_depth[near & both] < 1.0 / 12.0).float().mean()) < 0.03, "things are whole"


def test_a_coarser_token_lives_as_long_as_one_that_it_stands_for(shipped: EmbeddedModel) -> None:
    assert shipped.places is not None
    memory = Memories(shipped.places.bank, shipped.readout_network, shipped.halved)(rooms_of(shipped)[0])
    store, refined = memory.store, 0
    for node in memory.tree.nodes:
        for coarse, fine in pairwise((node.keyframe, *node.finer)):
            lives = []
            for keyframe in (coarse, fine):
                (height, width), (first, count, _, _) = store.grids.rows[keyframe], store.spans.rows[keyframe]
                u, v = cell_of(store.cells.rows[first : first + count], int(width))
                lives.append(np.full((height, width), -1))
                lives[-1][v, u] = store.alive[first : first + count]
            four = lives[1].reshape(*(side for n in lives[0].shape for side in (n, 2)))
            there = lives[0] >= 0
            assert (four.min(axis=(1, 3))[there] >= 0).all(), "all four are there"
            assert ((lives[0] > 0) == (four.max(axis=(1, 3)) > 0))[there].all()
            refined += int(there.sum())
    assert refined > 1000 and len(memory.living()) < len(store)


def test_what_was_chosen_before_is_written_as_it_is() -> None:
    """A second look at a wall tells no more than the first; but whoever says that it does is believed."""
    camera = Camera.from_fov(np.eye(4), 60.0, 128, 64)
    latents = torch.randn(16, 8, 16, generator=torch.Generator().manual_seed(3))
    inverse_depth = torch.full((16, 32), 0.25)
    inverse_depth[:8] = torch.nan
    config = MemoryConfig(channels=16, stride=8, samples=2)
    view = at_scales(LatentView(camera, latents, inverse_depth), 8, lambda z: avg_pool2d(z, 2))

    def living(chosen: bool) -> int:
        memory = memory_at_scales(config, None, [ScaledView(view), ScaledView(view, chosen=chosen)])
        return int(memory.snapshot().alive.sum())

    known = (4 * 16) * (1 + 1 / 4 + 1 / 16)  # of three scales
    assert living(chosen=False) == known
    assert living(chosen=True) == 2 * known


def test_the_shipped_model_halves_what_it_shows(shipped: EmbeddedModel) -> None:
    assert shipped.places is not None
    for index in rooms_of(shipped)[::5]:
        latents = padded(shipped.places.bank[index].latents[1], 2)
        picture = avg_pool2d(shipped.decode(latents[None]), 2)
        made, mean = (shipped.decode(z[None]) for z in (shipped.halved(latents), averaged(latents)))
        aim, halved, plain = ((255 * p[0].permute(1, 2, 0)).round().byte().numpy() for p in (picture, made, mean))
        assert psnr_db(aim, halved) > max(30.0, psnr_db(aim, plain) + 4.0)


def test_a_session_is_the_same_with_and_without_and_damage_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(shipped_model_dir(), folder)
    identity = folder_checksum(folder)
    stored = weight_path(folder, HALVING)
    stored.write_bytes(weight_path(folder, "readout").read_bytes())
    with pytest.raises(ModelError, match="halves"):
        EmbeddedModel.load(folder)
    stored.unlink()
    assert folder_checksum(folder) == identity
    model = EmbeddedModel.load(folder)
    assert model.halving is None and model.places is not None
    with pytest.raises(ModelError, match="does not halve"):
        model.halved(torch.zeros(16, 4, 4))


def test_a_model_learns_to_halve_its_rooms(bank: PlaceBank, tmp_path: Path) -> None:
    model = EmbeddedModel.tiny()
    run = {"model": str(tmp_path / "model"), "loop.run": str(tmp_path / "run"), "loop.steps": 3, "loop.batch": 2}
    model.carry(bank)
    model.save(tmp_path / "model")
    with pytest.raises(InputError, match="no rooms"):
        train("halving", None, run)
    camera = Camera.from_fov(c2w_from_angles(np.zeros(3), 0.0, 0.0), 60.0, 256, 264)
    views = (torch.randn(16, 33, 32),), (torch.rand(66, 64) + 0.1,), (camera,)
    module = {"interior": Module(20.0, (0.0, 0.0, 0.0))}
    model.carry(PlaceBank.of([Place(*views, "interior")], torch.zeros(16), torch.ones(16), module))
    model.save(tmp_path / "model")
    with pytest.raises(InputError, match="smaller crops"):
        train("halving", None, run)
    with pytest.raises(InputError, match="larger crops"):
        train("halving", None, {**run, "crop_cells": 12})
    figures = train("halving", None, {**run, "crop_cells": 14, "width": 8})
    assert {"halved_db", "averaged_db"} <= set(figures)
    asked = {"model": str(tmp_path / "model"), "halving_run": str(tmp_path / "run")}
    made = export(configure(ExportConfig(), None, asked), tmp_path / "better")
    assert made.halving is not None
    again = export(configure(ExportConfig(), None, asked | {"model": str(tmp_path / "better")}), tmp_path / "copy")
    assert again.halving is not None, "a copy has it too"
