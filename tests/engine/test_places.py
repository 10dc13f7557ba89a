"""Places: stored small, found again whichever way they lie, joined to what is remembered without touching it."""

from __future__ import annotations

import math
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.camera import Camera, c2w_from_angles, rotation_about_up
from engine.cells import only_sky, without
from engine.errors import InputError, ModelError, SessionError
from engine.explorer import Explorer, ExplorerConfig
from engine.memory import LatentMemory, LatentView, MemoryConfig, Mosaic, Readout
from engine.models.embedded import EmbeddedModel
from engine.places import LIGHT_SIZES, Forgotten, PlaceBank, Places
from engine.places.bank import LATENT_STEP, decode_depth, encode_depth
from engine.places.choice import OPEN, TURNS
from engine.places.lighting import DIRECTIONS
from engine.places.matching import placed
from engine.places.skyline import FAR
from engine.prospect import News, as_given, look_ahead
from engine.reopen import capture, memory_saver, reopen
from engine.session import save_session
from engine.training.config import PlacesConfig
from engine.training.places import pack_places, rig
from engine.training.run import train
from engine.variants import empty_readout
from engine.worlds import BIOMES, World, WorldSpec
from tests.engine.memory_support import readout_of
from tests.engine.places_support import SMALL, statistics


@pytest.fixture
def model(bank: PlaceBank) -> EmbeddedModel:
    made = EmbeddedModel.tiny()
    made.carry(bank)
    return made


def seen_at_home(bank: PlaceBank, index: int, camera: Camera) -> Readout:
    """What a memory of a whole place shows to ``camera``."""
    place = bank[index]
    memory = LatentMemory(MemoryConfig(channels=16, stride=8, samples=2, readout="nearest"))
    for latents, inverse_depth, view in place.views():
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
        done = model.places.complete(
            Mosaic(empty_readout(model.spec, camera)), camera, "", torch.Generator().manual_seed(0)
        )
        assert float(done.taken.float().mean()) > 0.85
        sky = float(done.readout.sky[done.readout.covered].float().mean())
        assert sky < 0.05 if pitch_deg < 0 else sky > 0.3  # what stands around reaches up


def test_a_bank_comes_back_as_it_was_saved(bank: PlaceBank, tmp_path: Path) -> None:
    bank.save(tmp_path / "places.safetensors")
    loaded = PlaceBank.load(tmp_path / "places.safetensors")
    assert (loaded.biomes, loaded.token, loaded.rigs) == (bank.biomes, bank.token, bank.rigs)
    for index in range(len(bank)):
        for one, other in zip(loaded[index].views(), bank[index].views(), strict=True):
            assert torch.equal(one[0], other[0])
            assert torch.equal(one[1], other[1])


def test_places_look_ahead_as_finely_as_a_frame_does_at_its_edges(bank: PlaceBank) -> None:
    """That is where they are asked first. Everywhere else they are as fine as the middle of a frame."""
    config = PlacesConfig()
    frame = Camera.from_fov(np.eye(4), 50.0, 448, 256)
    half_deg = math.degrees(math.atan(224.0 / frame.K[0, 0]))
    finest, coarser = rig(config)[0], rig(config)[config.views]
    assert finest.K[0, 0] >= 0.9 * frame.K[0, 0] / math.cos(math.radians(half_deg)) ** 2
    assert math.isclose(coarser.K[0, 0], frame.K[0, 0], rel_tol=0.01)
    assert len(bank.rigs[0]) == len(bank[0].latents) == 2 * config.views + 2


def test_packing_costs_half_a_step(places_config: PlacesConfig, bank: PlaceBank) -> None:
    depth_m = torch.logspace(-1, 3.5, 500)
    assert torch.allclose(1.0 / decode_depth(encode_depth(1.0 / depth_m)), depth_m, rtol=1e-3)
    assert decode_depth(encode_depth(torch.zeros(3))).tolist() == [0.0, 0.0, 0.0]
    with safe_open(Path(places_config.folder) / "place_0000.safetensors", framework="pt") as file:
        image = file.get_tensor("rgb_7")[None].float() / 255
    with torch.inference_mode():
        latents = EmbeddedModel.tiny().autoencoder.float().encoder(image)[0]
    off = ((bank[0].latents[7] - latents) / bank.std[:, None, None]).abs()
    assert float(off.max()) <= LATENT_STEP / 2 + 1e-3


def test_another_file_is_refused_by_name(bank: PlaceBank, tmp_path: Path) -> None:
    path = tmp_path / "places.safetensors"
    save_file({"latents": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match=r"places\.safetensors is not a file of places"):
        PlaceBank.load(path)
    bank.save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ModelError, match=r"places\.safetensors is damaged"):
        PlaceBank.load(path)
    bank.save(path)
    tensors = load_file(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    for broken in ({"size": tensors["size"] - 4}, {"K": tensors["K"][:3]}, {"place_0001": torch.zeros(3, 3)}):
        save_file(tensors | broken, path, metadata=metadata)
        with pytest.raises(ModelError, match=r"places\.safetensors is damaged"):
            PlaceBank.load(path)


def test_a_place_that_is_not_what_its_rig_says_is_refused(bank: PlaceBank) -> None:
    """Also one that would unpack to far more than that."""
    codes = bytearray(bank.packed[1].numpy().tobytes())
    codes[len(codes) // 2] ^= 255
    for wrong in (bytes(codes), zlib.compress(b"\0" * 10**8), zlib.compress(b"short"), b""):
        damaged = replace(bank, packed=(bank.packed[0], torch.tensor(list(wrong), dtype=torch.uint8)))
        with pytest.raises(ModelError, match="Place 1 of the model"):
            damaged[1]


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
        parallax=known.parallax,
        exact=known.exact,
    )
    assert model.places is not None
    done = model.places.complete(Mosaic(holed), camera, "", torch.Generator().manual_seed(0))
    assert done.match.place == 1
    assert abs(math.remainder(done.match.turn_rad, 2 * math.pi)) < math.radians(2.9)
    remembered = half > 0.5
    for name in ("features", "inverse_depth"):
        mask = remembered if name == "features" else fine & holed.covered
        assert torch.equal(getattr(done.readout, name)[..., mask], getattr(holed, name)[..., mask])
    assert torch.equal(done.readout.coverage[remembered], half[remembered])
    assert float(done.taken[:, 7:].float().mean()) > 0.95
    assert not done.taken[remembered].any()
    assert torch.all(done.readout.coverage[done.taken] == 1.0)
    ground = done.taken & (done.readout.inverse_depth[::2, ::2] > 0)
    ratio = done.readout.inverse_depth[::2, ::2][ground] / known.inverse_depth[::2, ::2][ground].clamp(min=1e-6)
    assert 0.8 < float(ratio.median()) < 1.25


def test_a_place_is_brought_into_the_light_of_the_memory(bank: PlaceBank) -> None:
    """The same place under another light completes to what the memory would have shown."""
    mean, std = statistics(bank)
    flat = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))  # three directions that colours lie along
    places = Places(bank, EmbeddedModel.tiny().readout_network, mean, std, flat)
    camera = Camera.from_fov(looking(40.0).c2w, 50.0, 224, 128)
    recalled = places._memory(2).readout(camera)
    shift = (0.1 * (flat[0] + flat[1] - 2 * flat[3]))[:, None, None]
    half = recalled.coverage.clone()
    half[:, 14:] = 0.0
    lit = Readout(
        features=(recalled.features + shift) * (half > 0),
        coverage=half,
        inverse_depth=recalled.inverse_depth,
        covered=recalled.covered & (half > 0).repeat_interleave(2, 0).repeat_interleave(2, 1),
        sky=recalled.sky,
        token=recalled.token,
        offsets=recalled.offsets,
        log2_scale=recalled.log2_scale,
        parallax=recalled.parallax,
        exact=recalled.exact,
    )
    done = places.complete(Mosaic(lit), camera, "", torch.Generator())
    lighting = places._lighting
    missed = lighting.coordinates(done.readout.features - recalled.features - shift)[:, done.taken]
    asked = lighting.coordinates(shift.expand_as(recalled.features))[:, done.taken]
    assert float(missed.abs().mean()) < 0.4 * float(asked.abs().mean())
    # It stays in that light, however far it reaches: what was told once is kept with the match.
    again = places.complete(Mosaic(lit), camera, "", torch.Generator(), done.match)
    assert again.match.light == done.match.light
    assert len(again.match.light) == max(LIGHT_SIZES)
    # What is renewed is lit by the sky that is left; the ground keeps the place's own colours.
    here = (half > 0) & only_sky(recalled)
    left = without(lit, (half > 0) & ~here)
    renewed = places.complete(
        Mosaic(left), camera, "", torch.Generator(), forgotten=Forgotten(Mosaic(lit), None, (half > 0) & ~here)
    )
    assert len(renewed.match.light) == max(LIGHT_SIZES) and not any(renewed.match.light[:DIRECTIONS])
    there = only_sky(renewed.readout) & renewed.taken
    assert bool(there.any()) and bool(here.any())
    broadly = lighting.coordinates(renewed.readout.features)[:, there].mean(1)
    missed = broadly - lighting.coordinates(lit.features)[:, here].mean(1)
    assert float(missed.abs().mean()) < 0.4 * float(asked.abs().mean())


def test_hills_rise_before_the_sky_that_what_is_forgotten_hid(bank: PlaceBank, model: EmbeddedModel) -> None:
    """A sky that was seen has no hills, and none rise there."""
    places, camera = model.places, Camera.from_fov(looking(10.0).c2w, 50.0, 224, 128)
    assert places is not None
    view = seen_at_home(bank, 0, camera)
    seen = only_sky(view) | (torch.arange(16) < 8)[:, None]
    sky = readout_of(view.features, torch.zeros_like(view.inverse_depth), seen)

    def hidden(gone: Tensor) -> tuple[Tensor, Tensor]:
        """What the place stands before, and its hills among the sky."""
        done = places.complete(
            Mosaic(sky), camera, "", torch.Generator(), forgotten=Forgotten(Mosaic(view), None, gone)
        )
        place = places._memory(done.match.place).readout(placed(camera, done.match))
        far = (place.inverse_depth < FAR)[::2, ::2] & (place.inverse_depth > 0.0)[::2, ::2]
        return done.hidden, far & (place.coverage > 0.99) & seen & ~only_sky(place)

    for gone in (~only_sky(view), torch.zeros(16, 28, dtype=torch.bool)):
        stands, hills = hidden(gone)
        assert int(hills.sum()) > 4
        share = float(stands[hills].float().mean())
        assert share > 0.8 if bool(gone.any()) else share < 0.2


def test_inside_of_something_the_place_comes_once_more_turned_to_where_it_is_open(model: EmbeddedModel) -> None:
    places, camera = model.places, looking(10.0)
    assert places is not None
    before = replace(
        places.complete(Mosaic(empty_readout(model.spec, camera)), camera, "", torch.Generator()).match, scale=2.0
    )
    moved = camera.posed(camera.c2w + np.array([[0, 0, 0, 4.0], [0] * 4, [0] * 4, [0] * 4]))
    inside = empty_readout(model.spec, moved)
    forgotten = Forgotten(Mosaic(inside), None, inside.coverage > 0.0)
    done = places.complete(Mosaic(inside), moved, "", torch.Generator(), before, forgotten)
    match = done.match
    assert match.place == before.place and match.anchor == tuple(moved.position) and match.scale == 1.0
    turned = math.remainder(match.turn_rad - before.turn_rad, 2.0 * math.pi)
    assert abs(turned) >= 2.0 * math.pi / TURNS - 1e-6
    assert float(done.taken.float().mean()) > 0.9

    def ahead(turn: float) -> float:
        """How near (1/m) things are ahead of a camera that stands where the place's does."""
        turn_by = rotation_about_up(match.turn_rad + turn)
        pose = np.eye(4)
        pose[:3, :3] = turn_by @ moved.c2w[:3, :3]
        nearness = seen_at_home(places.bank, match.place, moved.posed(pose)).inverse_depth
        return float(nearness[:, nearness.shape[1] // 3 : -(nearness.shape[1] // 3)].mean())

    chosen, *others = (ahead(2.0 * math.pi * n / TURNS) for n in range(TURNS))
    assert chosen <= max(OPEN, float(np.median(others)))


def test_what_a_place_shows_is_remembered_as_the_place_has_it(bank: PlaceBank, model: EmbeddedModel) -> None:
    """What denoiser and detail make of it is for show."""
    camera = looking(10.0)
    known = seen_at_home(bank, 1, camera)
    half = known.coverage * (torch.arange(14) < 7)
    fine = (half > 0).repeat_interleave(2, 0).repeat_interleave(2, 1)
    holed = replace(
        known, features=known.features * (half > 0), coverage=half, covered=known.covered & fine, sky=known.sky & fine
    )
    ahead = look_ahead(
        camera,
        Mosaic(holed),
        lambda wider: Mosaic(empty_readout(model.spec, wider)),
        model.places,
        stride=8,
        biome="",
        steps=1,
        generator=torch.Generator().manual_seed(0),
        latest=None,
        before=None,
    )
    assert ahead.inventive
    assert ahead.given is not None
    assert bool(ahead.given.any())
    assert torch.all(ahead.believed.coverage[ahead.given] == 1.0)
    imagined = torch.full_like(ahead.believed.features, 7.0)
    depth = torch.full_like(ahead.believed.inverse_depth, 0.5)
    lasting, shown, writable = as_given(ahead, imagined, depth, depth)
    assert torch.equal(lasting[:, ahead.given], ahead.believed.features[:, ahead.given])
    assert torch.all(lasting[:, ~ahead.given] == 7.0)
    samples = ahead.given.repeat_interleave(2, 0).repeat_interleave(2, 1) & ahead.believed.covered
    for depths in (shown, writable):
        assert torch.equal(depths[samples], ahead.believed.inverse_depth[samples])
        assert torch.all(depths[~samples] == 0.5)
    nothing_given = replace(ahead, given=None)
    assert as_given(nothing_given, imagined, depth, depth)[0] is imagined


def test_a_place_stays_where_it_was_set_down_until_it_is_left(model: EmbeddedModel) -> None:
    places, generator = model.places, torch.Generator().manual_seed(1)
    assert places is not None
    start = looking(0.0)
    nothing = empty_readout(model.spec, start)
    first = places.complete(Mosaic(nothing), start, "", generator).match
    pose = c2w_from_angles(np.array([0.5, -0.4, 0.1]), 150.0, -4.0)
    moved = places.complete(Mosaic(nothing), start.posed(pose), "", generator, first)
    assert moved.match == first
    turned = np.eye(4)
    turned[:3, :3] = rotation_about_up(first.turn_rad)
    there = places._memory(first.place).readout(start.posed(turned @ pose))
    taken = moved.taken.repeat_interleave(2, 0).repeat_interleave(2, 1) & there.covered
    assert float(taken.float().mean()) > 0.5
    assert torch.allclose(moved.readout.inverse_depth[taken], there.inverse_depth[taken], rtol=1e-3)
    far = c2w_from_angles(np.array([30.0, 0.0, 0.0]), 0.0, -4.0)
    assert places.complete(Mosaic(nothing), start.posed(far), "", generator, first).match.anchor == (30.0, 0.0, 0.0)


def test_a_glance_aside_fits_to_what_was_seen_before(model: EmbeddedModel) -> None:
    """Nothing of the first view is left in the second, and yet the place is the first view's, not one by chance."""
    assert model.places is not None
    place = model.places.bank[2]
    world = looking(0.0)
    turned = np.eye(4)
    turned[:3, :3] = rotation_about_up(math.radians(-80.0))
    for seed in range(3):
        explorer = Explorer(model, ExplorerConfig(biome="", seed=seed))
        for latents, inverse_depth, view in place.views():
            if abs(math.remainder(view.yaw_deg, 360.0)) < 70.0 and abs(view.pitch_deg) < 45.0:
                seen = view.posed(turned @ view.c2w)
                readout = explorer.memory.readout(seen).readout
                news = News(seen, readout, latents, latents, inverse_depth, inverse_depth)
                explorer.memory.write(news, torch.zeros(3, *view.size))
        explorer.begun, explorer.last_camera = True, world.posed(turned @ world.c2w)
        aside = explorer.step(looking(100.0))
        assert float(aside.coverage.max()) == 0.0
        assert explorer.match is not None
        assert explorer.match.place == 2
        assert abs(math.remainder(explorer.match.turn_rad - math.radians(80.0), 2 * math.pi)) < math.radians(6.0)


def test_what_a_place_tells_takes_no_steps_and_no_refining(model: EmbeddedModel) -> None:
    explorer = Explorer(model, ExplorerConfig(biome="", seed=4))
    explorer.begin(looking(0.0))
    told = explorer.step(looking(-60.0))
    match = explorer.match
    assert told.inventive and told.steps == 0 and match is not None and not explorer.can_refine(told)
    with pytest.raises(InputError, match="imagined"):
        explorer.refine(told, steps=2)
    assert explorer.match == match


def test_a_refined_frame_goes_on_from_the_same_place(model: EmbeddedModel) -> None:
    explorer = Explorer(model, ExplorerConfig(biome="", seed=4))
    explorer.begin(looking(0.0))
    explorer.step(looking(-60.0))
    match = explorer.match
    explorer.config = replace(explorer.config, places=False)  # else they tell all of it
    stepped = explorer.step(looking(60.0))
    assert stepped.inventive and stepped.steps > 0 and match is not None
    explorer.refine(stepped, steps=2)
    assert explorer.match == match


def test_from_nothing_the_seed_chooses(model: EmbeddedModel) -> None:
    assert model.places is not None
    camera = looking(0.0)
    nothing = empty_readout(model.spec, camera)

    def chosen(seed: int, biome: str = "") -> int:
        generator = torch.Generator().manual_seed(seed)
        assert model.places is not None
        return model.places.complete(Mosaic(nothing), camera, biome, generator).match.place

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
    model.carry(replace(bank, token=(8, 8, 2), mean=bank.mean[:8], std=bank.std[:8]))
    model.save(tmp_path)
    with pytest.raises(ModelError, match=r"\(8, 8, 2\).*\(16, 8, 2\)"):
        EmbeddedModel.load(tmp_path)


def test_a_reopened_session_goes_on_from_the_same_place(model: EmbeddedModel, tmp_path: Path) -> None:
    """Also where the newest view alone would not lead a search there again."""
    explorer = Explorer(model, ExplorerConfig(biome="", seed=6))
    explorer.begin(looking(0.0))
    explorer.step(looking(-60.0))
    assert explorer.match is not None
    explorer.match = replace(explorer.match, past=(1, 0)).knowing(replace(explorer.match, error=math.inf))
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
    autoencoder, statistics = EmbeddedModel.tiny().autoencoder.float(), (torch.zeros(16), torch.ones(16))
    with pytest.raises(InputError, match="mirage train places"):
        pack_places(PlacesConfig(folder=str(tmp_path), **{**SMALL, "places": 2}), autoencoder, *statistics)


def test_what_a_first_choice_asks_of_all_places_is_made_ready_a_place_at_a_time(
    model: EmbeddedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = model.places
    assert places is not None
    biome, count = "", len(places.bank)  # any
    camera = Camera.from_fov(c2w_from_angles(np.array([0.0, 0.0, 2.0]), 0.0, -8.0), 60.0, 112, 64)
    view = seen_at_home(places.bank, 0, camera)
    gone = Forgotten(Mosaic(view), None, view.coverage > 0.0)
    assert [places.prepare(biome) for _ in range(count + 1)] == [True] * count + [False]
    unpacked: list[int] = []
    monkeypatch.setattr(PlaceBank, "__getitem__", lambda bank, index: unpacked.append(index) or bank._unpacked(index))
    chosen = places.complete(Mosaic(view), camera, biome, torch.Generator(), forgotten=gone).match.place
    assert set(unpacked) == {chosen}, "only what is shown is unpacked"
