"""Detail: what the network adds to imagined latents, the noise it hangs on, and how it is trained."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pixel_unshuffle

from engine.camera import Camera, c2w_from_angles
from engine.disocclusion import SUGGESTED
from engine.errors import InputError, ModelError
from engine.explorer import Explorer, ExplorerConfig
from engine.memory import LatentMemory, LatentView, MemoryConfig
from engine.models.embedded import EmbeddedModel
from engine.models.embedded.config import DenoiserConfig, DetailConfig
from engine.models.embedded.detail import (
    AROUND,
    EDGES,
    LEAST,
    MOST,
    MOST_TEXTURE,
    NEARER,
    NEARER_MOST,
    NEW,
    NEW_MOST,
    NEW_PER_OCTAVE,
    ROOM_MOST,
    SMOOTH,
    TORN,
    USUAL,
    DetailNetwork,
    gain,
    gain_of,
    gain_of_nearer,
    gain_of_new,
    in_keeping,
    limited_in,
    torn,
    world_noise,
)
from engine.training.adversarial import Adversary, PatchCritic, TextureCritic
from engine.training.config import DetailTraining, ExportConfig, SceneConfig, configure
from engine.training.detail import DetailStage
from engine.training.export import export
from engine.training.losses import texture_loss
from engine.training.run import train
from engine.training.scenes import render_scenes
from engine.worlds import World, WorldSpec
from tests.engine.memory_support import readout_of

WALL_M = 10.0


def facing_wall(sideways_m: float = 0.0, distance_m: float = WALL_M) -> tuple[Camera, Tensor]:
    """A camera in front of a wall that fills its view, and the wall's inverse depth on a grid of 16 x 28 cells."""
    pose = c2w_from_angles(np.array([WALL_M - distance_m, sideways_m, 2.0]), 0.0, 0.0)
    return Camera.from_fov(pose, 50.0, 224, 128), torch.full((16, 28), 1.0 / distance_m)


def batch(seed: int = 0) -> tuple[DetailNetwork, Tensor, Tensor, Tensor]:
    """A network that adds something, and a state, a condition and noise for it."""
    torch.manual_seed(seed)
    sizes = DenoiserConfig()
    network = DetailNetwork(DetailConfig(width=16, blocks=1), sizes)
    nn.init.normal_(network.head.weight, std=0.1)
    shape = (2, sizes.state_channels, 16, 28), (2, sizes.condition_channels, 16, 28), (2, 4, 16, 28)
    return network, *(torch.randn(s) for s in shape)


def test_a_new_network_changes_nothing() -> None:
    network, state, condition, noise = batch()
    fresh = DetailNetwork(network.config, DenoiserConfig())
    assert torch.equal(fresh(state, condition, noise), state)


def test_detail_leaves_depth_and_colour_as_they_are() -> None:
    network, state, condition, noise = batch()
    condition[:, 16] = 1.0
    with torch.no_grad():
        added = network(state, condition, noise) - state
    assert torch.equal(added[:, 16:], torch.zeros_like(added[:, 16:]))
    inside = (..., slice(SMOOTH, -SMOOTH), slice(SMOOTH, -SMOOTH))
    coarse = avg_pool2d(added[:, :16], SMOOTH, stride=1, padding=SMOOTH // 2)[inside]
    assert float(added[:, :16].std()) > 0.05
    assert float(coarse.std()) < 0.15 * float(added[:, :16].std())


def test_what_is_unknown_is_not_finished_and_what_is_suggested_is() -> None:
    network, state, condition, noise = batch()
    condition[:, 16] = torch.tensor([0.0, SUGGESTED])[:, None, None]
    with torch.no_grad():
        added = network(state, condition, noise) - state
    assert torch.equal(added[0], torch.zeros_like(added[0]))
    condition[:, 16] = 1.0
    with torch.no_grad():
        known = network(state, condition, noise) - state
    assert float(added[1].std()) > 0.5 * float(known[1].std())


def test_more_is_given_back_where_surfaces_moved_against_each_other() -> None:
    network, state, condition, _ = batch()
    condition[:, 16] = 1.0
    apart = torch.full((1, 16, 28), 0.001)
    apart[:, :, 14:] = 2.0
    camera, _ = facing_wall()
    with torch.no_grad():
        alike = network.finish(state[:1], condition[:1], [camera], 0) - state[:1]
        finished = network.finish(state[:1], condition[:1], [camera], 0, gain(apart)) - state[:1]
    share = (finished / alike)[0, :16]
    assert torch.allclose(share[..., :14], torch.tensor(LEAST / USUAL), atol=1e-3)
    assert torch.allclose(share[..., 14:], torch.tensor(MOST / USUAL), atol=1e-3)
    assert torch.equal(finished[:, 16:], alike[:, 16:]), "depth stays"
    rising = gain(torch.tensor([0.0, 0.02, 0.05, 0.1, TORN, 9.0]))
    assert float(rising[0]) == pytest.approx(LEAST) and rising[-2:].tolist() == pytest.approx([MOST, MOST])
    assert bool((rising.diff() >= 0).all())


@pytest.mark.parametrize("moved_m", [0.0, 0.5, 2.0])
def test_surfaces_are_torn_apart_by_the_way_moved_and_only_where_one_ends_before_another(moved_m: float) -> None:
    """A near wall to the left of a far one, sky above, holes to the right."""
    near = torch.full((32, 56), 0.2)
    near[:, 28:] = 0.05
    near[:6] = 0.0
    known = torch.ones(16, 28, dtype=torch.bool)
    known[:, 20:] = False
    readout = readout_of(torch.zeros(16, 16, 28), near, known)
    nearness = near.view(16, 2, 28, 2).amax(dim=(1, 3))
    apart = torn(replace(readout, parallax=moved_m * nearness * known))
    expected = torch.zeros(16, 28)
    expected[4:, 13:15] = 0.15 * moved_m
    expected[2:4, :15], expected[2:4, 15:21] = 0.2 * moved_m, 0.05 * moved_m
    assert torch.allclose(apart, expected, atol=1e-6)
    one = readout_of(torch.zeros(16, 16, 28), torch.full((32, 56), 0.2))
    assert not torn(replace(one, parallax=torch.full((16, 28), 5.0))).any()


def test_more_is_given_to_what_a_place_tells_the_more_of_its_tokens_a_cell_holds() -> None:
    given = gain_of_new(torch.tensor([2.0, 0.0, -0.3, -0.6, -4.0]))
    assert given.tolist() == pytest.approx([NEW, NEW, NEW + 0.3 * NEW_PER_OCTAVE, NEW + 0.6 * NEW_PER_OCTAVE, NEW_MOST])
    camera, _ = facing_wall()
    memory = LatentMemory(MemoryConfig(channels=16, readout="nearest"))
    latents, near = torch.randn(16, 16, 28, generator=torch.Generator().manual_seed(0)), torch.full((32, 56), 0.1)
    near[:, 28:] = torch.nan
    memory.write(LatentView(camera, latents, near))
    readout = memory.readout(camera)
    amplified = gain_of(readout)
    assert torch.equal(amplified[:, :14], gain(torn(readout))[:, :14]), "remembered: by what is torn apart"
    assert bool((amplified[:, 14:] == NEW).all()), "no token; what is there comes from elsewhere"


def test_what_came_nearer_than_it_was_drawn_is_given_more_up_to_an_octave() -> None:
    readout = readout_of(torch.zeros(16, 16, 28), torch.full((32, 56), 0.2))
    octaves = torch.linspace(-1.0, 2.0, 28).expand(16, 28)
    usual, given = gain_of(readout), gain_of(replace(readout, log2_scale=octaves))
    assert torch.equal(given[octaves <= 0.0], usual[octaves <= 0.0])
    assert bool((given[:, 1:] >= given[:, :-1]).all()) and given.max() == pytest.approx(LEAST + NEARER)
    assert torch.equal(gain_of(replace(readout, log2_scale=octaves), renewed=False), usual), "it would pile up"
    most = gain_of_nearer(torch.tensor([MOST, NEW_MOST, 3.0]), torch.ones(3))
    assert most.tolist() == pytest.approx([NEARER_MOST, NEARER_MOST, 3.0]), "never less than without"


def test_in_a_building_more_is_given_where_one_surface_ends_before_another_and_not_where_knowledge_ends() -> None:
    near = torch.full((32, 56), 0.2)
    near[:, 28:] = 0.1
    known = torch.ones(16, 28, dtype=torch.bool)
    known[:, 20:] = False
    readout = readout_of(torch.zeros(16, 16, 28), near, known)
    amplified, usual = gain_of(readout, built=True), gain(torn(readout))
    assert torch.equal(gain_of(readout), usual), "outside, leaves are all edges"
    assert torch.equal(amplified > usual, (torch.arange(28) >= 13) & (torch.arange(28) < 15) & known)
    assert amplified.max() == pytest.approx(EDGES * LEAST)
    slope = readout_of(torch.zeros(16, 16, 28), torch.linspace(0.1, 0.2, 56).expand(32, 56))
    assert torch.equal(gain_of(slope, built=True), gain(torn(slope)))


def test_rooms_are_given_less_of_it_for_coarser_tokens_tell_them() -> None:
    near = torch.full((32, 56), 0.2)
    near[:, 28:] = 0.1
    octaves = torch.linspace(-3.0, 0.0, 16)[:, None].expand(16, 28)
    nothing = torch.full((16, 28), -1)
    readout = replace(readout_of(torch.zeros(16, 16, 28), near), log2_scale=octaves, token=nothing)
    country, room = gain_of(readout), gain_of(readout, built=True)
    assert country.max() == pytest.approx(NEW_MOST) and room.max() == pytest.approx(ROOM_MOST)
    flat = torch.ones(28, dtype=torch.bool)
    flat[13:15] = False
    assert torch.equal(room[:, flat], country[:, flat].clamp(max=ROOM_MOST))
    assert bool((room[:, ~flat] >= room[:, flat][:, :2]).all()), "edges get more, but no more than that"


def test_what_one_stands_right_before_in_a_building_is_plain() -> None:
    octaves = torch.tensor([0.0, 1.5, 2.0, 2.5, 5.0]).expand(16, 5)
    readout = replace(readout_of(torch.zeros(16, 16, 5), torch.full((32, 10), 0.2)), log2_scale=octaves)
    share = gain_of(readout, built=True) / gain_of(readout)
    assert torch.allclose(share, torch.tensor([1.0, 1.0, 0.5, 0.0, 0.0]).expand(16, 5))


def noise_of(camera: Camera, near: Tensor, seed: int) -> Tensor:
    """Four channels (4, h, w) of one view's noise."""
    return world_noise([camera], near[None], 4, seed)[0]


def test_what_is_plain_stays_plain_and_what_varies_gets_all_of_its_texture() -> None:
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(1, 16, 12, 24, generator=generator)
    latents[..., :12] = 0.05 * latents[..., :12]  # a lake
    added = 0.3 * torch.randn(1, 16, 12, 24, generator=generator)
    kept = in_keeping(added, latents)
    lake, wood = slice(0, 12 - AROUND), slice(12 + AROUND, 24)
    assert torch.equal(kept[..., wood], added[..., wood])
    assert float(kept[..., lake].std()) < 1.1 * MOST_TEXTURE * float(latents[..., lake].std())
    assert torch.equal(kept.sign(), added.sign())  # as it was, only weaker
    assert not in_keeping(added, torch.ones_like(latents)).any()


def test_only_what_is_remembered_and_is_no_building_is_kept_plain() -> None:
    network, state, condition, _ = batch()
    camera, _ = facing_wall()
    state[:, : network.channels] *= 0.01  # a lake
    remembered = torch.zeros(2, 16, 28, dtype=torch.bool)
    remembered[:, :, :14] = True
    full, kept = (network.finish(state, condition, [camera] * 2, 7, None, part) for part in (None, remembered))
    assert torch.equal(kept[..., 14:], full[..., 14:])
    added, allowed = ((x - state)[..., :14].abs().mean().detach() for x in (full, kept))
    assert 0.0 < float(allowed) < 0.2 * float(added)
    readout = readout_of(torch.zeros(16, 16, 28), torch.full((32, 56), 0.1), remembered[0])
    assert torch.equal(limited_in(readout), readout.token >= 0) and bool(limited_in(readout).any())
    assert not limited_in(readout, built=True).any()


def test_noise_is_even_and_only_its_seed_and_place_choose_it() -> None:
    camera, near = facing_wall()
    noise = noise_of(camera, near, seed=3)
    assert noise.shape == (4, 16, 28)
    assert torch.equal(noise, noise_of(camera, near, seed=3))
    assert not torch.equal(noise, noise_of(camera, near, seed=4))
    many = torch.cat([noise_of(*facing_wall(50.0 * n), seed=n) for n in range(20)])
    assert abs(float(many.mean())) < 0.1
    assert float(many.std()) == pytest.approx(1.0, abs=0.1)
    assert abs(float(np.corrcoef(noise[:2].flatten(1).numpy())[0, 1])) < 0.3


def test_noise_stays_on_its_surface_when_the_camera_moves() -> None:
    """Two cells aside along a wall: every cell finds the noise that the cell beside it had."""
    camera, near = facing_wall()
    cell_m = WALL_M / camera.resized(28, 16).K[0, 0]
    moved, _ = facing_wall(-2.0 * cell_m)
    before, after = (noise_of(c, near, seed=0) for c in (camera, moved))
    assert float((before[:, :, 2:] == after[:, :, :-2]).float().mean()) > 0.95
    assert float((before == after).float().mean()) < 0.7


def test_the_skys_noise_turns_with_the_view_and_ignores_where_one_stands() -> None:
    here, near = facing_wall()
    there, _ = facing_wall(400.0)
    sky = torch.zeros_like(near)
    assert torch.equal(noise_of(here, sky, seed=0), noise_of(there, sky, seed=0))
    assert not torch.equal(noise_of(here, near, seed=0), noise_of(there, near, seed=0))


def test_a_model_can_do_without_detail_and_is_another_one(tiny_model: EmbeddedModel, tmp_path: Path) -> None:
    bare = EmbeddedModel(replace(tiny_model.config, detail=None), checksum="")
    assert bare.detail is None
    assert "detail" not in bare.networks()
    tiny_model.save(tmp_path / "with")
    bare.save(tmp_path / "without")
    loaded, without = EmbeddedModel.load(tmp_path / "with"), EmbeddedModel.load(tmp_path / "without")
    assert loaded.detail is not None
    assert without.detail is None
    assert loaded.spec.checksum != without.spec.checksum
    (tmp_path / "with" / "detail.safetensors").unlink()
    with pytest.raises(ModelError, match=r"detail\.safetensors are missing"):
        EmbeddedModel.load(tmp_path / "with")
    older = json.loads((tmp_path / "without" / "config.json").read_text())
    del older["detail"]
    (tmp_path / "without" / "config.json").write_text(json.dumps(older))
    assert EmbeddedModel.load(tmp_path / "without").detail is None


def test_a_flight_is_finished_unless_told_otherwise_and_remembers_it(tiny_model: EmbeddedModel) -> None:
    world = World(WorldSpec("meadow", 7))
    camera = world.spawn(112, 64)
    turned = camera.posed(c2w_from_angles(camera.position, camera.yaw_deg - 25.0, camera.pitch_deg))

    def fly(detail: bool) -> tuple[Explorer, np.ndarray]:
        explorer = Explorer(tiny_model, ExplorerConfig(biome="meadow", seed=3, detail=detail), world)
        explorer.begin(camera, explorer.first_view(camera))
        return explorer, explorer.step(turned).rgb

    (finished, picture), (_, again), (plain, bare) = fly(True), fly(True), fly(False)
    assert np.array_equal(picture, again)
    assert not np.array_equal(picture, bare)
    assert not np.array_equal(finished.preview(turned).rgb, plain.preview(turned).rgb)


def textured(count: int, generator: torch.Generator, share: float) -> Tensor:
    """(count, 3, 32, 32): smooth shades with fine texture, whose amplitude is ``share`` of 0.05."""
    shades = nn.functional.interpolate(torch.rand(count, 3, 3, 3, generator=generator), 32, mode="bilinear")
    return shades + share * 0.05 * torch.randn(count, 1, 32, 32, generator=generator)


def test_texture_is_measured_by_how_much_there_is_not_by_where_it_lies() -> None:
    generator = torch.Generator().manual_seed(0)
    shades = textured(4, generator, 0.0)
    one, other, half = (shades + s * 0.05 * torch.randn(4, 1, 32, 32, generator=generator) for s in (1.0, 1.0, 0.5))
    everywhere = torch.ones(4, 1, 32, 32)
    assert float(texture_loss(one, one, everywhere)) == 0.0
    off = [float(texture_loss(picture, other, everywhere)) for picture in (one, half, shades)]
    assert off[0] < 0.5 * off[1] < 0.3 * off[2]
    left = everywhere.clone()
    left[..., 16:] = 0.0
    mixed = torch.cat([one[..., :24], shades[..., 24:]], dim=-1)
    assert float(texture_loss(mixed, one, left)) < 0.2 * float(texture_loss(mixed, one, everywhere))


def test_a_critic_of_texture_soon_sees_what_one_of_plain_pixels_misses() -> None:
    def told_apart(critic: nn.Module) -> float:
        torch.manual_seed(0)
        generator = torch.Generator().manual_seed(0)
        adversary = Adversary(critic, torch.device("cpu"), 1.0, probe=0.01)
        right = []
        for step in range(80):
            real, fake = (pixel_unshuffle(textured(6, generator, share), 4) for share in (1.0, 0.5))
            if step >= 60:
                with torch.no_grad():
                    right.append(float((critic(real).mean(1) > critic(fake).mean(1)).float().mean()))
            adversary.learn(fake, real)
        return sum(right) / len(right)

    torch.manual_seed(0)
    widths = (16, 16, 16)
    assert told_apart(TextureCritic(4, widths)) > 0.95
    assert told_apart(PatchCritic(48, widths)) < 0.7


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One training and one evaluation scene at 64x112."""
    folder = tmp_path_factory.mktemp("scenes")
    list(render_scenes(SceneConfig(folder=str(folder), scenes=1, evaluation_scenes=1, views=4, height=64, width=112)))
    return folder


def settings(scenes: Path, model: Path, run: Path) -> dict[str, object]:
    return {
        "scenes.folder": str(scenes),
        "loop.run": str(run),
        "loop.batch": 2,
        "loop.steps": 3,
        "model": str(model),
        "crop_cells": 8,
        "pool": 3,
        "first_views": 2,
        "finish.adversarial_from": 0.3,
    }


def test_detail_is_trained_on_a_model_and_given_to_it(scenes: Path, tmp_path: Path) -> None:
    base, run, out = tmp_path / "base", tmp_path / "run", tmp_path / "out"
    EmbeddedModel.tiny(image_size=(64, 112)).save(base)
    values = settings(scenes, base, run)
    figures = train("detail", None, values)
    assert {"covered_3m_db", "soft_whole_3m_sharpness", "flown_7m_sharpness", "balance_db"} <= set(figures)
    assert (run / "sheet.png").exists()
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert any("eval_balance_db" in row for row in rows)
    finished = export(configure(ExportConfig(), None, {"model": str(base), "detail_run": str(run)}), out)
    before = EmbeddedModel.load(base)
    assert finished.detail is not None
    assert set(json.loads((out / "metrics.json").read_text())) == {"detail"}
    for name, network in before.networks().items():
        same = all(torch.equal(a, b) for a, b in zip(network.parameters(), finished.networks()[name].parameters()))
        assert same == (name != "detail")
    with pytest.raises(InputError, match="no trained detail"):
        export(configure(ExportConfig(), None, {"model": str(base), "detail_run": str(tmp_path / "none")}), out)


def test_a_critic_joins_and_the_pool_holds_no_more_than_it_may(scenes: Path, tmp_path: Path) -> None:
    EmbeddedModel.tiny(image_size=(64, 112)).save(tmp_path / "base")
    stage = DetailStage(configure(DetailTraining(), None, settings(scenes, tmp_path / "base", tmp_path / "run")))
    generator = torch.Generator().manual_seed(0)
    for step in range(6):
        with torch.autocast("cpu", torch.bfloat16):
            loss, logs = stage.loss(generator, progress=step / 6)
        loss.backward()
        assert torch.isfinite(loss)
        assert ("critic" in logs) == (step / 6 >= 0.3)
    assert len(stage.pool.items) == 3
    assert stage.network.head.weight.grad is not None
    assert all(p.grad is None for p in stage.imagination.model.denoiser.parameters())
