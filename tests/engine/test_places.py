"""Places: stored small, found again whichever way they lie, joined to what is remembered without touching it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.camera import Camera, c2w_from_angles, rotation_about_up
from engine.errors import InputError, ModelError, SessionError
from engine.explorer import Explorer, ExplorerConfig
from engine.memory import LatentMemory, LatentView, MemoryConfig, Readout
from engine.models.embedded import EmbeddedModel
from engine.places import SUGGESTED, Match, PlaceBank, Places
from engine.places.bank import decode_depth, encode_depth
from engine.places.matching import Matcher, describe, direction_bins
from engine.reopen import capture, memory_saver, reopen
from engine.session import save_session
from engine.training.config import PlacesConfig
from engine.training.places import pack_places, render_places
from engine.training.run import train
from engine.variants import empty_readout
from engine.worlds import BIOMES, World, WorldSpec

SMALL = {"places": 4, "height": 112, "width": 88, "supersample": 1}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> PlacesConfig:
    config = PlacesConfig(folder=str(tmp_path_factory.mktemp("places")), **SMALL)
    assert list(render_places(config))[-1] == (4, 4)
    return config


@pytest.fixture(scope="module")
def bank(config: PlacesConfig) -> PlaceBank:
    return pack_places(config, EmbeddedModel.tiny().autoencoder.float())


@pytest.fixture
def model(bank: PlaceBank) -> EmbeddedModel:
    made = EmbeddedModel.tiny()
    made.carry(bank)
    return made


def statistics(bank: PlaceBank) -> tuple[Tensor, Tensor]:
    latents = torch.cat([bank[i].latents for i in range(len(bank))])
    return latents.mean((0, 2, 3))[:, None, None], latents.std((0, 2, 3))[:, None, None]


def seen_at_home(bank: PlaceBank, index: int, camera: Camera) -> Readout:
    """What a memory of a whole place shows to ``camera``."""
    place = bank[index]
    memory = LatentMemory(MemoryConfig(channels=16, stride=8, samples=2, readout="nearest"))
    for latents, inverse_depth, view in zip(place.latents, place.inverse_depth, place.cameras, strict=True):
        memory.write(LatentView(view, latents, inverse_depth))
    return memory.readout(camera)


def looking(yaw_deg: float, pitch_deg: float = -4.0) -> Camera:
    return Camera.from_fov(c2w_from_angles(np.zeros(3), yaw_deg, pitch_deg), 50.0, 112, 64)


def test_a_place_is_all_around(bank: PlaceBank, model: EmbeddedModel) -> None:
    assert model.places is not None
    assert bank.biomes == BIOMES[:4]
    for index in range(4):
        for yaw_deg in range(0, 360, 24):
            for pitch_deg in (-90.0, -60.0, -30.0, -4.0, 30.0, 60.0, 90.0):
                # At 11 cells a view the seams between views, one cell wide, weigh more than at 44.
                coverage = model.places._memory(index).readout(looking(yaw_deg, pitch_deg)).coverage
                assert float((coverage >= 0.5).float().mean()) > 0.85


def test_looking_at_the_sky_or_at_ones_feet_goes_on_from_the_place(model: EmbeddedModel) -> None:
    assert model.places is not None
    for pitch_deg in (-85.0, 85.0):
        camera = looking(20.0, pitch_deg)
        done = model.places.complete(empty_readout(model.spec, camera), camera, "", torch.Generator().manual_seed(0))
        assert float(done.taken.float().mean()) > 0.85
        sky = float(done.readout.sky[done.readout.covered].float().mean())
        assert sky < 0.05 if pitch_deg < 0 else sky > 0.3  # what stands around reaches up


def test_a_bank_comes_back_as_it_was_saved(bank: PlaceBank, tmp_path: Path) -> None:
    bank.save(tmp_path / "places.safetensors")
    loaded = PlaceBank.load(tmp_path / "places.safetensors")
    assert (loaded.biomes, loaded.bound, loaded.cameras) == (bank.biomes, bank.bound, bank.cameras)
    for index in range(len(bank)):
        assert torch.equal(loaded[index].latents, bank[index].latents)
        assert torch.equal(loaded[index].inverse_depth, bank[index].inverse_depth)


def test_a_bank_of_one_ring_with_one_lens_is_read_too(bank: PlaceBank, tmp_path: Path) -> None:
    path = tmp_path / "places.safetensors"
    ring = replace(bank, latents=bank.latents[:, :6].contiguous(), depth=bank.depth[:, :6], cameras=bank.cameras[:6])
    ring.save(path)
    tensors = load_file(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file(tensors | {"K": tensors["K"][0].clone()}, path, metadata=metadata)
    assert PlaceBank.load(path).cameras == ring.cameras


def test_packing_costs_half_a_level(config: PlacesConfig, bank: PlaceBank) -> None:
    depth_m = torch.logspace(-1, 3.5, 500)
    assert torch.allclose(1.0 / decode_depth(encode_depth(1.0 / depth_m)), depth_m, rtol=2e-4)
    assert decode_depth(encode_depth(torch.zeros(3))).tolist() == [0.0, 0.0, 0.0]
    place = bank[0]
    again = PlaceBank.of([place], bank.bound)[0]
    assert float((again.latents - place.latents).abs().max()) <= bank.bound / 255 + 1e-6


def test_another_file_is_refused_by_name(bank: PlaceBank, tmp_path: Path) -> None:
    path = tmp_path / "places.safetensors"
    save_file({"latents": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match=r"places\.safetensors is not a file of places"):
        PlaceBank.load(path)
    bank.save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ModelError, match=r"places\.safetensors is damaged"):
        PlaceBank.load(path)
    tensors = {"latents": bank.latents, "depth": bank.depth.to(torch.uint16)[..., :-1].contiguous()}
    tensors |= {"c2w": torch.eye(4).repeat(8, 1, 1).double(), "K": torch.eye(3).repeat(8, 1, 1).double()}
    metadata = {"format": "mirage-places", "biomes": ",".join(bank.biomes), "bound": "3.0", "size": "112x88"}
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(ModelError, match="do not belong together"):
        PlaceBank.load(path)


@settings(max_examples=25, deadline=None)
@given(index=st.integers(0, 3), view=st.integers(0, 5), turned_deg=st.floats(-180, 180))
def test_a_place_is_found_again_whichever_way_it_lies(
    bank: PlaceBank, index: int, view: int, turned_deg: float
) -> None:
    mean, std = statistics(bank)
    place, camera = bank[index], bank.cameras[view]
    turn = np.eye(4)
    turn[:3, :3] = rotation_about_up(math.radians(turned_deg))
    bins = direction_bins(camera.posed(turn @ camera.c2w), *place.latents.shape[-2:])
    described = describe((place.latents[view] - mean) / std, place.inverse_depth[view])
    match = Matcher(bank, mean, std).best(described, bins, torch.ones(len(bins)), "")
    assert match.place == index
    off = math.remainder(match.turn_rad + math.radians(turned_deg), 2.0 * math.pi)
    assert abs(math.degrees(off)) < 2.9


def test_a_biome_narrows_the_choice(bank: PlaceBank) -> None:
    matcher = Matcher(bank, *statistics(bank))
    assert matcher.among(BIOMES[2]) == [2]
    assert matcher.among("") == matcher.among("somewhere else") == [0, 1, 2, 3]


def test_completing_fills_the_holes_and_leaves_the_rest(bank: PlaceBank, model: EmbeddedModel) -> None:
    camera = looking(10.0)
    known = seen_at_home(bank, 1, camera)
    half = known.coverage.clone()
    half[:, 7:] = 0.0
    fine = (half > 0).repeat_interleave(2, 0).repeat_interleave(2, 1)
    holed = Readout(
        features=known.features * (half > 0),
        coverage=half,
        inverse_depth=known.inverse_depth * fine,
        covered=known.covered & fine,
        sky=known.sky & fine,
        token=known.token,
        offsets=known.offsets,
        log2_scale=known.log2_scale,
    )
    assert model.places is not None
    done = model.places.complete(holed, camera, "", torch.Generator().manual_seed(0))
    assert done.match.place == 1
    assert abs(math.remainder(done.match.turn_rad, 2 * math.pi)) < math.radians(2.9)
    remembered = half > 0.5
    for name in ("features", "inverse_depth"):
        mask = remembered if name == "features" else fine & holed.covered
        assert torch.equal(getattr(done.readout, name)[..., mask], getattr(holed, name)[..., mask])
    assert torch.equal(done.readout.coverage[remembered], half[remembered])
    assert float(done.taken[:, 7:].float().mean()) > 0.95
    assert not done.taken[remembered].any()
    assert torch.all(done.readout.coverage[done.taken] == SUGGESTED)
    ground = done.taken & (done.readout.inverse_depth[::2, ::2] > 0)
    ratio = done.readout.inverse_depth[::2, ::2][ground] / known.inverse_depth[::2, ::2][ground].clamp(min=1e-6)
    assert 0.8 < float(ratio.median()) < 1.25


def test_a_place_is_brought_into_the_light_of_the_memory(bank: PlaceBank) -> None:
    """The same place under another light completes to what the memory would have shown."""
    mean, std = statistics(bank)
    flat = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))  # three directions that colours lie along
    places = Places(bank, EmbeddedModel.tiny().readout_network, mean, std, flat)
    camera = looking(40.0)
    recalled = places._memory(2).readout(camera)
    shift = (0.1 * (flat[0] + flat[1] - 2 * flat[3]))[:, None, None]
    half = recalled.coverage.clone()
    half[:, 7:] = 0.0
    lit = Readout(
        features=(recalled.features + shift) * (half > 0),
        coverage=half,
        inverse_depth=recalled.inverse_depth,
        covered=recalled.covered & (half > 0).repeat_interleave(2, 0).repeat_interleave(2, 1),
        sky=recalled.sky,
        token=recalled.token,
        offsets=recalled.offsets,
        log2_scale=recalled.log2_scale,
    )
    done = places.complete(lit, camera, "", torch.Generator())
    off = places._colour_only(done.readout.features - recalled.features - shift).abs()[:, done.taken].mean()
    assert float(off) < 0.5 * float(shift.abs().mean())


def test_open_country_is_not_gone_round_in_circles(bank: PlaceBank) -> None:
    """What fits about as well as the latest match does not take its place; what fits far better does."""
    mean, std = statistics(bank)
    matcher = Matcher(bank, mean, std)
    place, camera = bank[0], bank.cameras[0]
    bins = direction_bins(camera, *place.latents.shape[-2:])
    described = describe((place.latents[0] - mean) / std, place.inverse_depth[0])
    weight = torch.ones(len(bins))
    best = matcher.best(described, bins, weight, "")
    near = Match(0, best.turn_rad + 0.004, 0.0)
    assert matcher.best(described, bins, weight, "", near).turn_rad == near.turn_rad
    elsewhere = Match(3, 2.0, 0.0)
    assert matcher.best(described, bins, weight, "", elsewhere) == best


def test_a_place_stays_where_it_was_set_down_until_it_is_left(model: EmbeddedModel) -> None:
    places, generator = model.places, torch.Generator().manual_seed(1)
    assert places is not None
    start = looking(0.0)
    nothing = empty_readout(model.spec, start)
    first = places.complete(nothing, start, "", generator).match
    pose = c2w_from_angles(np.array([0.5, -0.4, 0.1]), 150.0, -4.0)
    moved = places.complete(nothing, start.posed(pose), "", generator, first)
    assert moved.match == first
    turned = np.eye(4)
    turned[:3, :3] = rotation_about_up(first.turn_rad)
    there = places._memory(first.place).readout(start.posed(turned @ pose))
    taken = moved.taken.repeat_interleave(2, 0).repeat_interleave(2, 1) & there.covered
    assert float(taken.float().mean()) > 0.5
    assert torch.allclose(moved.readout.inverse_depth[taken], there.inverse_depth[taken], rtol=1e-3)
    far = c2w_from_angles(np.array([30.0, 0.0, 0.0]), 0.0, -4.0)
    assert places.complete(nothing, start.posed(far), "", generator, first).match.anchor == (30.0, 0.0, 0.0)


def test_a_glance_aside_fits_to_what_was_seen_before(model: EmbeddedModel) -> None:
    """Nothing of the first view is left in the second, and yet the place is the first view's, not one by chance."""
    assert model.places is not None
    place = model.places.bank[2]
    world = looking(0.0)
    turned = np.eye(4)
    turned[:3, :3] = rotation_about_up(math.radians(-80.0))
    for seed in range(3):
        explorer = Explorer(model, ExplorerConfig(biome="", seed=seed))
        for latents, inverse_depth, view in zip(place.latents, place.inverse_depth, place.cameras, strict=True):
            if abs(math.remainder(view.yaw_deg, 360.0)) < 70.0 and abs(view.pitch_deg) < 45.0:
                seen = view.posed(turned @ view.c2w)
                explorer.memory.write(seen, latents, inverse_depth, torch.zeros(3, *view.size), None, None)
        explorer.begun, explorer.last_camera = True, world.posed(turned @ world.c2w)
        aside = explorer.step(looking(100.0))
        assert float(aside.coverage.max()) == 0.0
        assert explorer.match is not None
        assert explorer.match.place == 2
        assert abs(math.remainder(explorer.match.turn_rad - math.radians(80.0), 2 * math.pi)) < math.radians(6.0)


def test_a_refined_frame_goes_on_from_the_same_place(model: EmbeddedModel) -> None:
    explorer = Explorer(model, ExplorerConfig(biome="", seed=4))
    explorer.begin(looking(0.0))
    stepped = explorer.step(looking(-60.0))
    assert stepped.inventive
    match = explorer.match
    explorer.refine(stepped, steps=2)
    assert explorer.match == match


def test_from_nothing_the_seed_chooses(model: EmbeddedModel) -> None:
    assert model.places is not None
    camera = looking(0.0)
    nothing = empty_readout(model.spec, camera)

    def chosen(seed: int, biome: str = "") -> int:
        generator = torch.Generator().manual_seed(seed)
        assert model.places is not None
        return model.places.complete(nothing, camera, biome, generator).match.place

    assert chosen(3) == chosen(3)
    assert {chosen(seed) for seed in range(20)} == {0, 1, 2, 3}
    assert {chosen(seed, BIOMES[1]) for seed in range(5)} == {1}


def test_a_flight_turns_into_a_place_and_keeps_what_it_knew(model: EmbeddedModel) -> None:
    world = World(WorldSpec("meadow", 7))
    camera = world.spawn(112, 64)
    aided, alone = (
        Explorer(model, ExplorerConfig(biome="meadow", seed=3, places=places), world) for places in (True, False)
    )
    first = aided.first_view(camera)
    assert np.array_equal(aided.begin(camera, first).rgb, alone.begin(camera, first).rgb)
    still = aided.step(camera), alone.step(camera)
    assert not still[0].inventive
    assert np.array_equal(still[0].rgb, still[1].rgb)
    turned = camera.posed(c2w_from_angles(camera.position, camera.yaw_deg - 25.0, camera.pitch_deg))
    new = aided.step(turned), alone.step(turned)
    assert new[0].inventive
    assert new[0].inventive == new[1].inventive
    assert not np.array_equal(new[0].rgb, new[1].rgb)


def test_the_same_flight_gives_the_same_frames(model: EmbeddedModel) -> None:
    camera = looking(0.0)

    def fly() -> list[np.ndarray]:
        explorer = Explorer(model, ExplorerConfig(biome="autumn", seed=11))
        frames = [explorer.begin(camera).rgb]
        for step in range(1, 4):
            frames.append(explorer.step(looking(-12.0 * step)).rgb)
        return frames

    for one, other in zip(fly(), fly(), strict=True):
        assert np.array_equal(one, other)


def test_a_model_saves_its_places_and_is_known_by_them(model: EmbeddedModel, tmp_path: Path) -> None:
    model.save(tmp_path / "with")
    EmbeddedModel.tiny().save(tmp_path / "without")
    loaded, bare = EmbeddedModel.load(tmp_path / "with"), EmbeddedModel.load(tmp_path / "without")
    assert loaded.places is not None and loaded.places.bank.biomes == BIOMES[:4]
    assert bare.places is None
    assert loaded.spec.checksum != bare.spec.checksum


def test_places_of_another_kind_of_token_are_refused(model: EmbeddedModel, bank: PlaceBank, tmp_path: Path) -> None:
    model.carry(replace(bank, latents=bank.latents[:, :, :8].contiguous()))
    model.save(tmp_path)
    with pytest.raises(ModelError, match=r"\(8, 8, 2\).*\(16, 8, 2\)"):
        EmbeddedModel.load(tmp_path)


def test_a_reopened_session_goes_on_from_the_same_place(model: EmbeddedModel, tmp_path: Path) -> None:
    """Also where the newest view alone would not lead a search there again."""
    explorer = Explorer(model, ExplorerConfig(biome="", seed=6))
    explorer.begin(looking(0.0))
    explorer.step(looking(-60.0))
    assert explorer.match is not None
    path = tmp_path / "world.mirage"
    save_session(path, capture(explorer, kind="nothing", camera=looking(-60.0)), [], memory_saver(explorer))
    again = reopen(path, model).explorer
    assert again.match == replace(explorer.match, error=math.inf)
    for yaw_deg in (-140.0, -230.0):
        assert np.array_equal(again.step(looking(yaw_deg)).rgb, explorer.step(looking(yaw_deg)).rgb)
    elsewhere = EmbeddedModel.tiny()
    elsewhere.spec = model.spec
    with pytest.raises(SessionError, match="stored place"):
        reopen(path, elsewhere)


def test_packing_wants_the_places_rendered(tmp_path: Path) -> None:
    rendered = train("places", None, {**SMALL, "folder": str(tmp_path), "places": 1})
    assert rendered == {"places": 1.0}
    autoencoder = EmbeddedModel.tiny().autoencoder.float()
    with pytest.raises(InputError, match="mirage train places"):
        pack_places(PlacesConfig(folder=str(tmp_path), **{**SMALL, "places": 2}), autoencoder)
