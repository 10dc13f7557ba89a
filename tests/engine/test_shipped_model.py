"""The model in ``assets/``: whole, small enough, and as good as its card promises on worlds it never saw."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d

from engine.camera import Camera, c2w_from_angles
from engine.depth import sample_inverse_depth
from engine.drawing import draw_readout
from engine.evaluation.measures import mean_lab, sharpness_ratio
from engine.evaluation.visibility import cells_to_pixels
from engine.explorer import Explorer, ExplorerConfig
from engine.memory import WORN, LatentMemory, LatentView, MemoryConfig, Mosaic
from engine.memory.kernels import WEAR_SHIFT
from engine.metrics import psnr_db
from engine.models import shipped_model_dir
from engine.models.embedded import EmbeddedModel
from engine.variants import empty_readout
from engine.worlds import BIOMES, World, WorldSpec
from engine.worlds.plan import BLOCK_M, COURT, ROOMS, style

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


@pytest.mark.parametrize("pixels", [(1, 0), (4, 0), (3, 4)])
def test_a_picture_shifted_by_part_of_a_cell_stays_sharp(
    model: EmbeddedModel, world: World, pixels: tuple[int, int]
) -> None:
    """From the same point, so that nothing comes into view but at the edge."""
    camera = world.spawn(448, 256)
    k = camera.K.copy()
    k[:2, 2] -= pixels
    aside = Camera(camera.c2w, k, 448, 256)
    first, truth = (world.render(view, supersample=2) for view in (camera, aside))
    memory = LatentMemory(MemoryConfig(), model.readout_network)
    memory.write(LatentView(camera, model.encode(first.rgb[None])[0], sample_inverse_depth(first.depth_m, 64, 112)))
    inside = (..., slice(16, -16), slice(16, -16))
    true, shifted, drawn = (
        (x * 255).clamp(0, 255).byte()[inside].permute(1, 2, 0).numpy()
        for x in (
            truth.rgb,
            model.decode(memory.readout_learned(aside).features[None])[0].float(),
            model.decode(model.encode(truth.rgb[None]))[0].float(),
        )
    )
    assert sharpness_ratio(shifted, drawn) > 0.88
    assert psnr_db(shifted, true) > psnr_db(drawn, true) - 1.3


@pytest.mark.parametrize("colour", [(0.93, 0.95, 0.99), (0.72, 0.66, 0.62), (0.1, 0.25, 0.4)])
def test_who_comes_nearer_to_what_is_plain_sees_its_colour_unchanged(
    model: EmbeddedModel, colour: tuple[float, float, float]
) -> None:
    """Snow, sand and water, remembered at two scales."""
    pose = c2w_from_angles(np.array([0.0, 0.0, 2.0]), 0.0, 0.0)
    camera = Camera.from_fov(pose, 50.0, 224, 128)
    memory = LatentMemory(MemoryConfig(), model.readout_network)
    views = [
        LatentView(
            camera.resized(224 * side, 128 * side),
            model.encode(torch.tensor(colour)[None, :, None, None].expand(1, 3, 128 * side, 224 * side))[0],
            torch.full((32 * side, 56 * side), 1.0 / 12.0),
        )
        for side in (1, 2)
    ]
    memory.write(views[0], finer=views[1:])
    for ahead_m in (0.5, 2.0, 5.0, 8.0):
        nearer = camera.posed(c2w_from_angles(np.array([ahead_m, 0.0, 2.0]), 1.5, 0.0))
        drawn = model.decode(memory.readout_learned(nearer).features[None])[0].float()[:, 24:-24, 24:-24]
        off = 255.0 * (drawn - torch.tensor(colour)[:, None, None]).abs()
        assert float(off.mean()) < 3.0, ahead_m


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


def test_who_walks_up_to_a_house_sees_what_the_first_view_was_given_of_it(model: EmbeddedModel) -> None:
    """Eight metres on, from memory alone: the same first view at one scale and at three."""
    village = World(WorldSpec("village", SEED + 3))
    camera = village.spawn(448, 256)
    near = camera.posed(c2w_from_angles(camera.position + 8.0 * camera.forward, camera.yaw_deg, camera.pitch_deg))
    truth = village.render(near, supersample=2)
    image = (truth.rgb.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    seen = []
    for memory in ("latent-flat", "latent"):
        explorer = Explorer(model, ExplorerConfig(biome="village", memory=memory, fine=False), village)
        explorer.begin(camera, explorer.first_view(camera))
        seen.append(explorer.preview(near))
    whole = [torch.from_numpy(preview.coverage.copy()) == 1.0 for preview in seen]
    mask = (whole[0] & whole[1]).repeat_interleave(8, 0).repeat_interleave(8, 1).numpy()
    mask &= truth.depth_m.numpy() < 60.0
    assert mask.mean() > 0.2
    coarse, fine = (psnr_db(preview.rgb[mask][None], image[mask][None]) for preview in seen)
    assert fine > coarse + 0.7
    coarse, fine = (sharpness_ratio(preview.rgb, image, mask) for preview in seen)
    assert fine > coarse + 0.1


@pytest.mark.parametrize(("biome", "seed"), [("meadow", 1_000_021), ("autumn", 1_000_022)])
def test_what_nobody_has_seen_has_no_grain_and_more_shapes_from_a_place_than_without(
    model: EmbeddedModel, biome: str, seed: int
) -> None:
    world = World(WorldSpec(biome, seed))
    camera = world.spawn(448, 256)
    first = world.render(camera, supersample=2)
    found, shapes = {}, {}
    for places in (True, False):
        config = ExplorerConfig(biome=biome, seed=3, fine=False, places=places)
        explorer = Explorer(model, config, world)
        explorer.begin(camera, first)
        for turn in range(1, 12):
            pose = c2w_from_angles(camera.position, camera.yaw_deg - 9.0 * turn, camera.pitch_deg)
            result = explorer.step(camera.posed(pose))
        edges = laplacian(result.rgb)
        found[places] = float(np.abs(edges).mean() ** 2 / np.square(edges).mean())  # 2 / pi of Gaussian noise
        coarse = avg_pool2d(torch.tensor(result.rgb).permute(2, 0, 1)[None].float(), 8)[0].permute(1, 2, 0).numpy()
        shapes[places] = sharpness(coarse) / sharpness(result.rgb)
    assert found[True] < 0.4
    assert found[False] < 0.46
    assert shapes[True] > 1.5 * shapes[False]


def laplacian(image: np.ndarray) -> np.ndarray:
    """Of the mean of the channels of (H, W, 3)."""
    luma = image.astype(np.float32).mean(2)
    return 4 * luma[1:-1, 1:-1] - luma[:-2, 1:-1] - luma[2:, 1:-1] - luma[1:-1, :-2] - luma[1:-1, 2:]


def sharpness(image: np.ndarray) -> float:
    """Variance of the Laplacian of (H, W, 3)."""
    return float(laplacian(image).var())


@pytest.mark.parametrize("biome", ["autumn", "snow"])
def test_detail_brings_the_picture_nearer_to_the_worlds_sharpness_and_stays_faithful(
    model: EmbeddedModel, biome: str
) -> None:
    world = World(WorldSpec(biome, 1_000_031))
    camera = world.spawn(448, 256)
    first = world.render(camera, supersample=2)
    ahead = camera.posed(
        c2w_from_angles(camera.position + camera.forward * [1, 1, 0], camera.yaw_deg + 3.0, camera.pitch_deg)
    )
    truth = (world.render(ahead, supersample=2).rgb.permute(1, 2, 0) * 255).clamp(0, 255).byte().numpy()
    pictures = {}
    for detail in (True, False):
        explorer = Explorer(model, ExplorerConfig(biome=biome, seed=3, fine=False, detail=detail), world)
        explorer.begin(camera, first)
        pictures[detail] = explorer.step(ahead).rgb
    true, finished, soft = sharpness(truth), sharpness(pictures[True]), sharpness(pictures[False])
    assert finished > 1.15 * soft
    assert abs(math.log(finished / true)) < 0.55 * abs(math.log(soft / true))
    assert psnr_db(pictures[True], truth) > psnr_db(pictures[False], truth) - 0.7


@pytest.mark.parametrize("time", ["night", "noon"])
def test_a_glance_aside_shows_the_same_time_of_day(model: EmbeddedModel, time: str) -> None:
    for biome in ("meadow", "desert"):
        world = World(WorldSpec(biome, 1_000_041, time))
        camera = world.spawn(448, 256)
        aside = camera.posed(c2w_from_angles(camera.position, camera.yaw_deg + 110.0, camera.pitch_deg))
        explorer = Explorer(model, ExplorerConfig(biome=biome, seed=5, fine=False), world)
        first = explorer.begin(camera, explorer.first_view(camera)).rgb
        glance = explorer.step(aside)
        assert float(glance.coverage.max()) == 0.0
        assert abs(float(glance.rgb.mean()) - float(first.mean())) < 40.0


@pytest.mark.parametrize("pitch_deg", [-80.0, 75.0])
def test_ones_feet_and_the_sky_go_on_from_what_is_seen_without_stripes(
    model: EmbeddedModel, world: World, pitch_deg: float
) -> None:
    camera = world.spawn(448, 256)
    explorer = Explorer(model, ExplorerConfig(biome="meadow", seed=1, fine=False), world)
    explorer.begin(camera, explorer.first_view(camera))
    for share in np.linspace(0.0, 1.0, 17)[1:]:
        pitched = camera.pitch_deg + share * (pitch_deg - camera.pitch_deg)
        target = camera.posed(c2w_from_angles(camera.position, camera.yaw_deg, pitched))
        picture = explorer.step(target).rgb
    truth = (world.render(target).rgb.permute(1, 2, 0) * 255).clamp(0, 255).byte().numpy()
    assert np.linalg.norm(mean_lab(picture) - mean_lab(truth)) < 20.0
    assert np.abs(np.diff(picture.mean((1, 2)), n=2)).max() < 4.0


@pytest.mark.parametrize(("biome", "seed"), [("meadow", 1_000_007), ("highland", 1_000_105), ("village", 1_000_003)])
def test_a_turn_stays_under_the_same_sky(model: EmbeddedModel, biome: str, seed: int) -> None:
    """Sixty degrees aside, where the sky is a stored place's: no brighter wall, no other hour."""
    world = World(WorldSpec(biome, seed))
    camera = world.spawn(448, 256)
    explorer = Explorer(model, ExplorerConfig(biome=biome, seed=seed, fine=False), world)
    explorer.begin(camera, explorer.first_view(camera))
    first = (world.render(camera).rgb.permute(1, 2, 0) * 255).clamp(0, 255).byte().numpy()
    for turned_deg in range(12, 61, 12):
        pose = c2w_from_angles(camera.position, camera.yaw_deg + turned_deg, camera.pitch_deg)
        picture = explorer.step(camera.posed(pose)).rgb
    assert np.linalg.norm(mean_lab(picture[:60, :250]) - mean_lab(first[:60])) < 6.0


def test_every_biome_has_places_and_a_world_from_nothing_begins_in_one(model: EmbeddedModel) -> None:
    assert model.places is not None
    counts = {biome: model.places.bank.biomes.count(biome) for biome in model.spec.biomes}
    assert counts == dict.fromkeys(model.spec.biomes, 16) | {"interior": 2 * len(ROOMS)}  # mirrored, too
    camera = World(WorldSpec("coast", 5)).spawn(448, 256)
    explorer = Explorer(model, ExplorerConfig(biome="coast", seed=5, fine=False))
    begun = explorer.begin(camera)
    sky = begun.inverse_depth == 0.0
    assert float(sky[: sky.shape[0] // 2].mean()) > 0.1
    assert float(sky[-8:].mean()) < 0.05
    assert float(begun.rgb.std()) > 20.0


def test_a_room_is_told_from_what_one_sees_of_it(model: EmbeddedModel) -> None:
    """From off its middle, in a world and at an hour that are no place's."""
    assert model.places is not None
    places, right = model.places, 0
    for index, (kind, _) in enumerate(ROOMS):
        world = World(WorldSpec("interior", 1_000_400 + index, "afternoon"))
        middle = world.room(index)
        camera = Camera.from_fov(c2w_from_angles(middle - np.array([6.0, 0.0, 0.0]), 0.0, 0.0), 50.0, 448, 256)
        explorer = Explorer(model, ExplorerConfig(biome="interior", memory="latent-flat", fine=False), world)
        explorer.begin(camera, explorer.first_view(camera))
        aside = camera.posed(c2w_from_angles(camera.position, 15.0, 0.0))
        match = places.complete(
            Mosaic(explorer.memory.readout(aside).readout), aside, "interior", torch.Generator()
        ).match
        assert match.anchor == pytest.approx(tuple(middle), abs=1e-6)
        assert match.scale == 1.0
        assert math.isclose(math.remainder(match.turn_rad, math.pi / 2), 0.0, abs_tol=1e-9)
        right += ROOMS[(match.place - 72) % len(ROOMS)][0] == kind
    assert right >= len(ROOMS) - 1


def test_what_a_pillar_hides_comes_from_the_room_that_fits(model: EmbeddedModel) -> None:
    """Cells at its edge too, which are known in part; in open country those are the denoiser's."""
    assert model.places is not None
    for biome, given in (("interior", True), ("village", False)):
        world = World(WorldSpec(biome, 1_000_404, "afternoon"))
        start = world.spawn(448, 256)
        explorer = Explorer(model, ExplorerConfig(biome=biome, memory="latent-flat", fine=False), world)
        explorer.begin(start, explorer.first_view(start))
        passed = start.posed(c2w_from_angles(start.position + 1.5 * start.forward, start.yaw_deg, 0.0))
        readout = explorer.memory.readout(passed).readout
        completed = model.places.complete(Mosaic(readout), passed, biome, torch.Generator())
        partly = (readout.coverage > 0.0) & (readout.coverage < 0.99)
        assert int(partly.sum()) > 20
        if given:
            assert float(completed.taken[partly].float().mean()) > 0.6
            assert bool((completed.readout.coverage[completed.taken] == 1.0).all())
        else:
            assert not bool(completed.taken[partly].any())


def test_the_room_that_one_began_in_stays_what_it_is(model: EmbeddedModel) -> None:
    """However often it was drawn anew: another, maybe at another hour, would be none that leads on."""
    world = World(WorldSpec("interior", 1_000_404, "dusk"))
    start = world.spawn(448, 256)
    explorer = Explorer(model, ExplorerConfig(biome="interior", fine=False), world)
    explorer.begin(start, explorer.first_view(start))
    memory = explorer.memory.latent
    assert memory is not None
    memory.store.state.rows[...] |= WORN << WEAR_SHIFT
    ahead = start.posed(c2w_from_angles(start.position + 0.5 * start.forward, start.yaw_deg, 0.0))
    assert not explorer.step(ahead).renewed


def test_the_next_room_is_set_down_where_it_lies_and_has_a_ceiling(model: EmbeddedModel) -> None:
    """Through a portal, from a court whose sky is known in all directions."""
    world = World(WorldSpec("interior", 1_000_402, "morning"))
    court = world.room(next(n for n, (kind, _) in enumerate(ROOMS) if kind == COURT))
    block = (court[:2] // BLOCK_M).astype(int)
    seed = int(world._p[0])
    towards = [n for n in range(4) if style(block[0] + [1, 0, -1, 0][n], block[1] + [0, 1, 0, -1][n], seed) != COURT]
    ahead = np.array([[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]])[towards[0]]
    yaw_deg = 90.0 * towards[0]
    explorer = Explorer(model, ExplorerConfig(biome="interior", fine=False), world)
    start = Camera.from_fov(c2w_from_angles(court + 5.0 * ahead, yaw_deg, 10.0), 50.0, 448, 256)
    explorer.begin(start, explorer.first_view(start))
    for metres in (6.0, 7.5, 9.0, 10.5, 12.0, 13.5, 15.5, 17.0, 18.5, 20.0):
        result = explorer.step(start.posed(c2w_from_angles(court + metres * ahead, yaw_deg, 8.0)))
    assert explorer.match is not None
    assert explorer.match.anchor == pytest.approx(tuple(court + BLOCK_M * ahead), abs=1e-6)
    remembered = explorer.memory.readout(result.camera).readout
    assert float((remembered.inverse_depth[:8] > 1.0 / 60.0).float().mean()) > 0.9, "there is sky in the hall"
    # It is shown as its place has it, which has lost nothing by having been drawn, not as it was remembered.
    assert model.places is not None
    place = model.places.complete(
        Mosaic(empty_readout(model.spec, result.camera)), result.camera, "interior", torch.Generator(), explorer.match
    )
    cells = (place.readout.coverage > 0.99) & (remembered.coverage > 0.99)
    told, known = (draw_readout(model, part) for part in (place.readout, remembered))
    pixels = cells_to_pixels(cells, model.spec.spatial_stride)
    assert float(cells.float().mean()) > 0.5
    assert psnr_db(result.rgb, told, pixels) > 2.0 + psnr_db(result.rgb, known, pixels)


@pytest.mark.parametrize("seed", [1_000_219, 1_000_029, 1_000_359])
def test_the_room_that_one_sees_through_a_door_is_the_one_that_one_enters(model: EmbeddedModel, seed: int) -> None:
    """And one sees it as it is, from metres before the door on; when one comes back it is there still."""
    world = World(WorldSpec("interior", seed))
    start = world.spawn(448, 256)
    yaw_deg = 90.0 * round(start.yaw_deg / 90.0)
    towards = np.round(c2w_from_angles(np.zeros(3), yaw_deg, 0.0)[:3, 2])
    middle = np.append((np.floor(start.position[:2] / BLOCK_M) + 0.5) * BLOCK_M, start.position[2])

    def walking(metres: float) -> Camera:
        return start.posed(c2w_from_angles(middle + metres * towards, yaw_deg, -3.0))

    explorer = Explorer(model, ExplorerConfig(biome="interior", fine=False), world)
    explorer.begin(walking(-5.0), explorer.first_view(walking(-5.0)))
    beyond = tuple(middle + BLOCK_M * towards)
    foreseen = []
    for metres in np.arange(-4.6, 14.0, 0.4):
        result = explorer.step(walking(metres))
        room = explorer.match.room(beyond) if explorer.match is not None else None
        if room is not None and explorer.match.anchor[:2] != pytest.approx(beyond[:2], abs=1e-6):
            foreseen.append(room.place)
            assert not result.renewed
    assert explorer.match is not None and foreseen and set(foreseen) == {explorer.match.place}
    assert explorer.match.anchor[:2] == pytest.approx(beyond[:2], abs=1e-6)
    back = explorer.step(walking(8.0))
    assert explorer.match.anchor[:2] == pytest.approx(tuple(middle[:2]), abs=1e-6)
    again = explorer.match.room(beyond)
    assert again is not None and again.place == foreseen[0]
    # What the door shows stands far behind it, not in it.
    rows, columns = back.inverse_depth.shape
    assert float(back.inverse_depth[rows // 2, columns // 2]) < 2.0 / BLOCK_M


@pytest.mark.parametrize(("seed", "turn_deg", "to_m"), [(SEED + 100, 90.0, 12.3), (SEED + 102, -90.0, 12.9)])
def test_whoever_comes_up_to_a_wall_sees_the_wall_and_not_the_room_behind_it(
    model: EmbeddedModel, seed: int, turn_deg: float, to_m: float
) -> None:
    """Both are about to enter the next room by where they look, and stand in their own."""
    from_m = 8.0
    world = World(WorldSpec("interior", seed))
    spawn = world.spawn(448, 256)
    yaw_deg = spawn.yaw_deg + turn_deg
    heading = np.array([math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg)), 0.0])

    def after(way_m: float) -> Camera:
        return spawn.posed(c2w_from_angles(spawn.position + way_m * heading, yaw_deg, 0.0))

    explorer = Explorer(model, ExplorerConfig("interior", fine=False), world)
    explorer.begin(after(from_m), explorer.first_view(after(from_m)))
    for way_m in np.linspace(from_m, to_m, 7)[1:]:
        result = explorer.step(after(float(way_m)))
    truth = world.render(after(to_m))
    nearer = torch.tensor(result.inverse_depth) / sample_inverse_depth(truth.depth_m, 64, 112)
    nearer = nearer[~nearer.isnan()]  # of an edge, where depth is either
    assert float(((nearer > 0.8) & (nearer < 1.25)).float().mean()) > 0.95
    assert psnr_db(result.rgb, (255.0 * truth.rgb).byte().permute(1, 2, 0).numpy()) > 28.0


def test_a_building_begins_from_nothing_in_one_of_its_rooms_and_goes_on(model: EmbeddedModel) -> None:
    """Its rooms are asked what they tell anew of a memory that holds nothing yet."""
    spawn = World(WorldSpec("interior", SEED)).spawn(448, 256)
    explorer = Explorer(model, ExplorerConfig("interior", fine=False, seed=11))
    begun = explorer.begin(spawn)
    assert explorer.match is not None and model.places is not None
    assert model.places.bank.biomes[explorer.match.place] == "interior"
    ahead = explorer.step(spawn.posed(c2w_from_angles(spawn.position + 0.4 * spawn.forward, spawn.yaw_deg, 0.0)))
    assert begun.rgb.std() > 20.0 and float(ahead.coverage.mean()) > 0.8
