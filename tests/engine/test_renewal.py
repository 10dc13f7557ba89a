"""What was only ever imagined gives way to a place; what was given, or kept by the user, never does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from engine.camera import Camera
from engine.cells import in_samples, only_sky, without
from engine.errors import SessionError
from engine.explorer import Explorer, ExplorerConfig
from engine.flight import fly
from engine.memory import WORN, LatentMemory, MemoryConfig
from engine.memory.kernels import WEAR_SHIFT
from engine.memory.points import center_inverse_depth
from engine.memory.saving import _sha256
from engine.metrics import psnr_db
from engine.models.embedded import EmbeddedModel
from engine.places import Match
from engine.renewal import (
    APART_M,
    FARTHEST_M,
    FORGOTTEN_WEAR,
    KEPT_M,
    MUCH_APART_M,
    SCENERY_M,
    TRUE_SHARE,
    Renewal,
    due,
    retold_by_rooms,
    wear_drawn,
)
from engine.world_model import Cancelled, CancelToken
from engine.worlds import World, WorldSpec
from tests.engine.memory_support import CHANNELS, GROUND, camera_at, memory_of, samples_of, scene_view
from tests.engine.test_flight import Shelf

CAMERA, NEARER = (camera_at(x, 0.0, 3.0, pitch_deg=-8.0) for x in (0.0, 2.0))


def begun() -> LatentMemory:
    """What is written now is not what the first view showed: that was elsewhere."""
    memory = memory_of([])
    memory.write(scene_view(camera_at(-500.0, 0.0, 3.0, yaw_deg=180.0)))
    return memory


def ground(wear: int, sky_wear: int | None = None) -> LatentMemory:
    """A level meadow seen once, as worn as that, and its sky, if not otherwise."""
    memory = memory_of([])
    view = scene_view(CAMERA)
    rows, columns = np.shape(view.latents)[1:]
    solid = np.asarray(view.inverse_depth).reshape(rows, 2, columns, 2).max((1, 3)) > 0.0
    memory.write(view, wear=np.where(solid, wear, wear if sky_wear is None else sky_wear).astype(np.uint8))
    return memory


def test_a_view_is_due_when_much_of_it_is_worn_and_no_place_was_set_down_near_by() -> None:
    for wear in range(int(WORN) + 1):
        memory = ground(wear)
        assert (due(memory, memory.readout(NEARER), NEARER, None) is not None) == (wear == WORN)
    here = Match(0, 0.0, 1.0, (0.0, 0.0, 3.0))
    away = Match(0, 0.0, 1.0, (3.0 + APART_M, 0.0, 3.0))
    readout = memory.readout(NEARER)
    assert not due(memory, readout, NEARER, here) and due(memory, readout, NEARER, away)
    farther = camera_at(-2.0, 0.0, 3.0, pitch_deg=-8.0)
    assert not due(memory, memory.readout(farther), farther, None)  # as it was drawn, or smaller: it stays
    empty = memory_of([])
    assert not due(empty, empty.readout(CAMERA), CAMERA, None)


def test_where_most_of_a_view_is_worn_another_place_is_set_down_sooner() -> None:
    view = scene_view(CAMERA, planes=((np.array([1.0, 0.0, 0.0]), 8.0),))
    rows, columns = np.shape(view.latents)[1:]
    for worn_columns, sooner in ((columns // 6, False), (columns, True)):
        memory = begun()
        memory.write(view, wear=np.where(np.arange(columns) < worn_columns, int(WORN), 0)[None].repeat(rows, 0))
        readout = memory.readout(NEARER)
        for apart_m, renewed in ((MUCH_APART_M - 0.1, False), (MUCH_APART_M + 0.1, sooner), (APART_M + 0.1, True)):
            latest = Match(0, 0.0, 1.0, (2.0 - apart_m, 0.0, 3.0))
            assert (due(memory, readout, NEARER, latest) is not None) == renewed


def test_while_most_of_a_view_is_what_the_first_one_showed_none_of_it_goes() -> None:
    view = scene_view(CAMERA, planes=((np.array([1.0, 0.0, 0.0]), 8.0),))
    rows, columns = np.shape(view.latents)[1:]
    for worn_share in (0.3, 0.7):
        worn = np.arange(columns) < worn_share * columns
        memory = memory_of([])
        memory.write(view, wear=np.where(worn, int(WORN), 0)[None].repeat(rows, 0))
        assert (due(memory, memory.readout(NEARER), NEARER, None) is not None) == (worn_share > TRUE_SHARE)


def test_a_memory_tells_what_it_began_with() -> None:
    memory = begun()
    count = len(memory.store)
    assert count and not memory_of([]).began_with(np.empty(0, np.int64)).size
    memory.write(scene_view(CAMERA))
    rows = np.arange(len(memory.store)).reshape(1, -1)
    assert np.array_equal(memory.began_with(rows), rows < count)


@pytest.mark.parametrize("height_m", [4.0, 60.0])
def test_far_country_is_a_reason_where_it_rises_into_the_sky(height_m: float) -> None:
    wall = (np.array([1.0, 0.0, 0.0]), 1.5 * FARTHEST_M)
    view = scene_view(CAMERA, planes=(GROUND, wall))
    rays = samples_of(CAMERA).rays()
    top = CAMERA.position[2] + 1.5 * FARTHEST_M * rays[..., 2]
    inverse_depth = np.where(top < height_m, np.asarray(view.inverse_depth), 0.0)
    rows, columns = np.shape(view.latents)[1:]
    far = inverse_depth.reshape(rows, 2, columns, 2).max((1, 3)) < 1.0 / FARTHEST_M
    memory = begun()
    memory.write(replace(view, inverse_depth=inverse_depth), wear=np.where(far, WORN, 0).astype(np.uint8))
    assert (due(memory, memory.readout(NEARER), NEARER, None) is not None) == (height_m > 10.0)


@pytest.mark.parametrize(("height_m", "renewed"), [(3.0, False), (60.0, True)])
def test_from_high_above_what_is_farther_below_is_a_reason_too(height_m: float, renewed: bool) -> None:
    """Ground that begins at 80 m is scenery to who walks, and all that there is to who flies high."""
    here = camera_at(0.0, 0.0, height_m, pitch_deg=-25.0)
    view = scene_view(here)
    rows, columns = np.shape(view.latents)[1:]
    far = np.asarray(view.inverse_depth).reshape(rows, 2, columns, 2).max((1, 3)) < 1.0 / FARTHEST_M
    memory = begun()
    memory.write(view, wear=np.where(far, WORN, 0).astype(np.uint8))
    lower = camera_at(5.0, 0.0, 0.95 * height_m, pitch_deg=-25.0)
    assert (due(memory, memory.readout(lower), lower, None) is not None) == renewed


def test_only_the_middle_ground_is_forgotten() -> None:
    memory = ground(int(WORN), 0)
    before = memory.readout(CAMERA)
    gone = Renewal(memory, KEPT_M).cells(before)
    after = without(before, gone)
    depth = 1.0 / before.inverse_depth.clamp(min=1e-6)
    nearest = torch.nn.functional.max_pool2d(-depth[None], 2)[0].neg()
    assert bool(gone.any()) and float(nearest[gone].min()) > KEPT_M and float(nearest[gone].max()) < SCENERY_M
    assert bool((after.coverage > 0.0).any())  # what is near, what is far and the sky
    assert bool((after.token[gone] == -1).all()) and not bool(after.covered[in_samples(gone, after.covered)].any())
    assert torch.equal(after.features[:, ~gone], before.features[:, ~gone])
    assert after.samples is not None and torch.equal(after.samples.covered, after.covered)


@pytest.mark.parametrize("began", [False, True])
@pytest.mark.parametrize("room", [False, True])
@pytest.mark.parametrize("wear", [0, FORGOTTEN_WEAR, int(WORN)])
@pytest.mark.parametrize("depth_m", [0.7 * SCENERY_M, 1.3 * SCENERY_M])
def test_all_goes_but_true_mountains_and_of_a_room_what_was_drawn(
    wear: int, depth_m: float, room: bool, began: bool
) -> None:
    wall = (np.array([1.0, 0.0, 0.0]), depth_m)
    memory = memory_of([]) if began else begun()
    view = scene_view(CAMERA, planes=(wall,))
    memory.write(view, wear=np.full(np.shape(view.latents)[1:], wear))
    readout = memory.readout(CAMERA)
    renewal = Renewal(memory, KEPT_M, room=room)
    gone = renewal.cells(readout)
    far = readout.inverse_depth[::2, ::2] < 1.0 / SCENERY_M
    if room:
        assert torch.equal(gone, torch.full_like(gone, wear >= FORGOTTEN_WEAR))
    else:
        stays = far if began and wear == 0 else torch.zeros_like(far)
        assert torch.equal(gone, ~stays) and (bool(far.any()) or depth_m < SCENERY_M)
    assert len(renewal.tokens(CAMERA, readout, gone)) == int(gone.sum())


def test_inside_of_something_worn_nothing_is_kept_for_being_near() -> None:
    wall = (np.array([1.0, 0.0, 0.0]), 2.5)
    memory = memory_of([])
    view = scene_view(CAMERA, planes=(wall,))
    memory.write(view, wear=np.full(np.shape(view.latents)[1:], WORN))
    for x, kept_m in ((0.0, KEPT_M), (2.0, 0.0)):
        before = camera_at(x, 0.0, 3.0, pitch_deg=-8.0)
        readout = memory.readout(before)
        renewal = due(memory, readout, before, None)
        assert renewal is None if kept_m else renewal is not None and renewal.inside
        assert bool(Renewal(memory, kept_m).cells(readout).all()) == (kept_m == 0.0)


def test_the_sky_that_something_worn_hid_is_seen_again() -> None:
    memory = ground(0)
    before = memory.readout(CAMERA)
    view = scene_view(CAMERA, seed=1, planes=((np.array([1.0, 0.0, 0.0]), 1.0),))
    memory.write(view, wear=np.full(np.shape(view.latents)[1:], WORN))
    hidden, alive = memory.readout(CAMERA), memory.store.alive.copy()
    renewal = Renewal(memory, 0.0)
    gone = renewal.cells(hidden)
    assert float(gone.float().mean()) > 0.9 and float(only_sky(hidden)[gone].float().sum()) == 0.0
    with memory.overlooking(renewal.tokens(CAMERA, hidden, gone)):
        behind = memory.readout(CAMERA)
        left = without(behind, renewal.bare(behind, CAMERA, gone))
    sky = only_sky(left)
    assert bool(sky.any()) and bool((only_sky(before) | ~sky).all())
    assert torch.equal(left.features[:, sky], before.features[:, sky])
    assert not bool(left.coverage[gone & ~sky].any())
    assert np.array_equal(memory.store.alive, alive)


def test_of_the_sky_only_what_was_imagined_goes() -> None:
    """A camera that comes up from below imagined ground remembers some of it as sky."""
    for wear in range(int(WORN) + 1):
        memory = ground(0, wear)
        readout = memory.readout(CAMERA)
        renewal = Renewal(memory, KEPT_M)
        gone, sky = renewal.cells(readout), only_sky(readout)
        assert bool(sky.any()) and bool((gone[sky] == (wear == WORN)).all())
        tokens = renewal.tokens(CAMERA, readout, gone)
        assert np.isin(readout.token[sky].numpy(), tokens).all() == (wear == WORN)


def test_frozen_tokens_stay() -> None:
    memory = ground(int(WORN))
    renewal = Renewal(memory, KEPT_M)
    readout = memory.readout(CAMERA)
    rows = renewal.tokens(CAMERA, readout, renewal.cells(readout))
    memory.freeze(rows)
    gone = renewal.cells(readout)
    assert len(rows) and not bool(gone.any()) and not len(renewal.tokens(CAMERA, readout, gone))
    assert not due(memory, memory.readout(NEARER), NEARER, None)


def test_rooms_may_tell_anew_all_but_what_is_kept_and_know_what_was_never_given() -> None:
    for wear in range(int(WORN) + 1):
        memory = ground(wear)
        readout = memory.readout(CAMERA)
        seen = readout.token >= 0
        kept = torch.unique(readout.token[seen])[::3]
        memory.freeze(kept)
        retold = retold_by_rooms(memory, readout, True)
        frozen = seen & torch.isin(readout.token, kept)
        assert bool(frozen.any())
        assert torch.equal(retold.free, ~frozen)
        assert torch.equal(retold.drawn[seen], (~frozen & (wear >= FORGOTTEN_WEAR))[seen])
        assert torch.equal(retold.imagined[seen], (~frozen & (wear >= int(WORN)))[seen])


def test_of_the_room_that_was_truly_seen_all_that_the_first_view_did_not_show_may_be_told_anew() -> None:
    memory = begun()
    memory.write(scene_view(CAMERA))
    for camera, told in ((CAMERA, True), (camera_at(-500.0, 0.0, 3.0, yaw_deg=180.0), False)):
        readout = memory.readout(camera)
        seen = readout.token >= 0
        retold = retold_by_rooms(memory, readout, False)
        assert bool(seen.any()) and bool((retold.may_be[seen] == told).all())
        assert not bool(retold.drawn[seen].any()), "it was given"
        assert torch.equal(retold_by_rooms(memory, readout, True).may_be, retold.free)


def test_wear_grows_by_octaves_and_ends_with_what_is_given() -> None:
    memory = ground(0)
    known = memory.readout(camera_at(6.0, 0.0, 3.0, pitch_deg=-8.0))
    wear = wear_drawn(memory, known, None)
    seen = known.token >= 0
    assert bool((wear[~seen] == int(WORN)).all()) and bool((wear[seen] >= 1).all())
    magnified = seen & (known.log2_scale > 1.6)
    assert bool(magnified.any()) and bool((wear[magnified] == int(WORN)).all())
    given = torch.zeros_like(seen)
    given[:2] = True
    assert not bool(wear_drawn(memory, known, given)[:2].any())


def test_a_session_keeps_account_of_wear_and_reads_those_that_did_not(tmp_path: Path) -> None:
    config = MemoryConfig(channels=CHANNELS)
    memory = ground(1)
    memory.save(tmp_path)
    assert np.all(LatentMemory.load(tmp_path, config).store.wear == 1)
    index = json.loads((tmp_path / "memory.json").read_text())
    tensors = load_file(tmp_path / index["tensors"])

    def rewrite() -> None:
        save_file(tensors, tmp_path / index["tensors"])
        index["bytes"] = (tmp_path / index["tensors"]).stat().st_size
        index["sha256"] = _sha256(tmp_path / index["tensors"])
        (tmp_path / "memory.json").write_text(json.dumps(index))

    wear = tensors.pop("wear")
    rewrite()
    assert np.all(LatentMemory.load(tmp_path, config).store.wear == 0)
    tensors["wear"] = wear + 2
    rewrite()
    with pytest.raises(SessionError, match="worn"):
        LatentMemory.load(tmp_path, config)
    tensors["wear"], rim = wear, tensors.pop("rim")  # nor did they of what lies beside an edge
    rewrite()
    assert len(LatentMemory.load(tmp_path, config).living()) == len(memory.living())
    tensors["rim"] = rim[1:]
    rewrite()
    with pytest.raises(SessionError, match="beside"):
        LatentMemory.load(tmp_path, config)


@pytest.fixture(scope="module")
def explorer() -> Explorer:
    """In a meadow that was all imagined, for what its memory can tell, but for its sky."""
    world = World(WorldSpec("meadow", 1000100))
    camera = world.spawn(448, 256, index=0)
    explorer = Explorer(EmbeddedModel.load("assets/models/embedded"), ExplorerConfig(biome="meadow", fine=False), world)
    explorer.begin(camera, explorer.first_view(camera))
    memory = explorer.memory.latent
    assert memory is not None
    solid = center_inverse_depth(memory.store, np.arange(len(memory.store))) > 0.0
    memory.store.state.rows[solid] |= WORN << WEAR_SHIFT
    return explorer


def test_a_film_of_a_worn_world_dissolves(explorer: Explorer) -> None:
    home = explorer.last_camera
    assert home is not None
    pose = home.c2w.copy()
    pose[:3, 3] += 0.5 * pose[:3, 2]
    shelf, made = Shelf(), []
    fly(explorer.fork(), [home, home.posed(pose)], shelf, on_step=lambda _, result: made.append(result))
    assert [result.renewed for result in made] == [False, True]
    assert np.array_equal(shelf.frames[0], made[0].rgb)
    assert psnr_db(shelf.frames[1], made[0].rgb) > psnr_db(shelf.frames[1], made[1].rgb) + 3.0


def test_a_worn_world_is_renewed_in_one_step_that_can_be_undone(explorer: Explorer) -> None:
    memory, camera = explorer.memory.latent, explorer.last_camera
    assert memory is not None and camera is not None
    before = memory.store.alive.copy()
    pose = camera.c2w.copy()
    pose[:3, 3] += 0.5 * pose[:3, 2]
    ahead = camera.posed(pose)
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        explorer.step(ahead, cancel=token)
    assert np.array_equal(memory.store.alive[: len(before)], before)
    result = explorer.step(ahead)
    assert result.inventive and explorer.match is not None
    died = before & ~memory.store.alive[: len(before)]
    assert died.sum() > 1000
    fresh = np.arange(len(before), len(memory.store))
    assert (memory.store.wear[fresh] == 0).mean() > 0.5  # a place's
    shown, kept = result.inverse_depth, memory.readout(ahead).inverse_depth.numpy()
    lost = (shown > 1.0 / 60.0) & (kept < 0.7 * shown)
    assert lost.mean() < 0.002, "tops of trees before the sky are remembered, too, but for slivers that are suggested"
    assert not due(memory, memory.readout(ahead), ahead, explorer.match)
    memory.undo()
    assert np.array_equal(memory.store.alive[: len(before)], before)


def test_who_flies_on_and_comes_back_sees_the_country_before(explorer: Explorer) -> None:
    """A dozen metres past where another was set down, and back again: the same picture as on the way out."""
    one = explorer.fork()
    assert one.world is not None
    memory, home = one.memory.latent, one.world.spawn(448, 256, index=0)
    assert memory is not None

    def ahead(metres: float) -> Camera:
        pose = home.c2w.copy()
        pose[:3, 3] += metres * pose[:3, 2]
        return home.posed(pose)

    start = one.step(ahead(-3.0))
    assert memory.country == 0, "seen from farther away nothing is due"
    one.match, one.matches = None, {}  # as if nothing had been set down near by
    founded = one.step(ahead(0.5))
    assert founded.renewed and memory.country == founded.node
    for metres in np.arange(2.0, 13.0, 1.0):
        one.step(ahead(metres))
    country = memory.country
    back = [one.step(ahead(metres)) for metres in (9.0, 6.0, 3.0, -3.0)]
    assert back[-1].renewed and memory.country == 0
    assert psnr_db(start.rgb, back[-1].rgb) > psnr_db(founded.rgb, back[-1].rgb) + 6.0
    assert psnr_db(start.rgb, back[-1].rgb) > 30.0
    one.step(ahead(12.0))
    assert memory.country == country


def test_without_places_nothing_is_forgotten(explorer: Explorer) -> None:
    world = explorer.world
    assert world is not None
    alone = Explorer(explorer.model, ExplorerConfig(biome="meadow", fine=False, places=False), world)
    camera = world.spawn(448, 256, index=0)
    alone.begin(camera, alone.first_view(camera))
    memory = alone.memory.latent
    assert memory is not None
    memory.store.state.rows[...] |= WORN << WEAR_SHIFT
    count = int(memory.store.alive.sum())
    alone.step(camera)
    assert int(memory.store.alive[: len(memory.store)].sum()) >= count
