"""The model in ``assets/``: whole, small enough, and as good as its card promises on worlds it never saw."""

from __future__ import annotations

import json

import pytest
import torch

from engine.camera import c2w_from_angles
from engine.depth import sample_inverse_depth
from engine.explorer import Explorer, ExplorerConfig
from engine.memory import LatentMemory, LatentView, MemoryConfig
from engine.metrics import psnr_db
from engine.models import shipped_model_dir
from engine.models.embedded import EmbeddedModel
from engine.worlds import BIOMES, World, WorldSpec

SEED = 1_000_000
MIB = 1 << 20


@pytest.fixture(scope="module")
def model() -> EmbeddedModel:
    return EmbeddedModel.load()


@pytest.fixture(scope="module")
def world() -> World:
    return World(WorldSpec("meadow", SEED))


def test_the_folder_holds_weights_card_and_figures_and_stays_small() -> None:
    folder = shipped_model_dir()
    names = {path.name for path in folder.iterdir()}
    assert {"README.md", "config.json", "metrics.json", "training.json"} <= names
    assert sum(path.stat().st_size for path in folder.iterdir()) < 60 * MIB
    assert set(json.loads((folder / "metrics.json").read_text())) >= {"autoencoder", "readout", "denoiser"}


def test_it_knows_every_biome_of_the_worlds(model: EmbeddedModel) -> None:
    assert model.spec.biomes == BIOMES
    assert model.spec.image_size == (256, 448)


def test_the_readout_of_an_unseen_world_is_sharp_where_copies_of_tokens_are_not(
    model: EmbeddedModel, world: World
) -> None:
    """One metre on and two degrees aside."""
    camera = world.spawn(448, 256)
    step = camera.forward * [1, 1, 0]
    target = camera.posed(c2w_from_angles(camera.position + step, camera.yaw_deg + 2.0, camera.pitch_deg))
    first, truth = (world.render(view, supersample=2) for view in (camera, target))
    memory = LatentMemory(MemoryConfig(), model.readout_network)
    memory.write(LatentView(camera, model.encode(first.rgb[None])[0], sample_inverse_depth(first.depth_m, 64, 112)))
    learned, nearest = memory.readout_learned(target), memory.readout_nearest(target)
    cells = (learned.coverage == 1) & (nearest.token >= 0)
    assert cells.float().mean() > 0.4
    mask = cells.repeat_interleave(8, 0).repeat_interleave(8, 1)

    def quality(latents: torch.Tensor) -> float:
        error = (model.decode(latents[None])[0] - truth.rgb)[:, mask].square().mean()
        return float(-10 * torch.log10(error))

    ceiling = quality(model.encode(truth.rgb[None])[0])
    assert ceiling > 36
    assert quality(learned.features) > 31
    assert quality(learned.features) > quality(nearest.features) + 6


def test_a_place_is_still_there_after_a_look_away(model: EmbeddedModel, world: World) -> None:
    explorer = Explorer(model, ExplorerConfig(biome="meadow", seed=SEED), world)
    start = world.spawn(448, 256)
    explorer.begin(start, explorer.first_view(start))
    turns = [0.0, 12.0, 24.0, 12.0, 0.0]
    frames = [
        explorer.step(start.posed(c2w_from_angles(start.position, start.yaw_deg + turn, start.pitch_deg)))
        for turn in turns
    ]
    tokens = [frame.tokens_written for frame in frames]
    assert sum(tokens[3:]) <= 0.02 * sum(tokens[:3])
    assert psnr_db(frames[0].rgb, frames[-1].rgb) > 27
    assert psnr_db(frames[1].rgb, frames[3].rgb) > 25
    assert psnr_db(frames[0].rgb, frames[2].rgb) < 22
