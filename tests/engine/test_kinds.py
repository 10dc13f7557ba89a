"""What one sees through a door tells which kind of room lies beyond it; and what a room hides, it shows when turned."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.camera import Camera, c2w_from_angles
from engine.errors import InputError, ModelError
from engine.explorer import Explorer, ExplorerConfig
from engine.models import shipped_model_dir
from engine.models.embedded import EmbeddedModel
from engine.models.embedded.kinds import KindNetwork
from engine.models.embedded.weights import KINDS as KINDS_FILE
from engine.models.embedded.weights import folder_checksum, weight_path
from engine.places import Match, PlaceBank, Retold
from engine.places.completion import ROOM_PARTS
from engine.places.doors import INSIDE, Ways, next_middle
from engine.places.inside import SAME_SURFACE, same_surface
from engine.places.kinds import FEWEST, GEOMETRY, described
from engine.places.matching import placed
from engine.places.module import SIDES
from engine.training.config import ExportConfig, KindTraining, PlacesConfig, configure
from engine.training.export import export
from engine.training.kinds import Samples, through_doors
from engine.training.run import train
from engine.worlds import World, WorldSpec
from engine.worlds.plan import COURT, KINDS
from tests.engine.memory_support import readout_of
from tests.engine.places_support import SMALL, packed


@pytest.fixture(scope="module")
def shipped() -> EmbeddedModel:
    return EmbeddedModel.load()


def test_doors_that_nobody_trained_on_tell_what_lies_beyond_them(shipped: EmbeddedModel) -> None:
    right, styles = [], [kind[0] for kind in KINDS]
    for seed in range(1_000_600, 1_000_606):
        for cells, kind in through_doors(shipped, seed, KindTraining(views=2)):
            likely = shipped.tell_kind(cells)
            assert likely.shape == (len(KINDS),) and float(likely.sum()) == pytest.approx(1.0, abs=1e-5)
            right.append(styles[int(likely.argmax())] == styles[kind])
    assert len(right) > 12 and np.mean(right) > 0.85


def test_every_stored_room_is_of_the_kind_that_is_said_of_it(shipped: EmbeddedModel) -> None:
    """A court is under the sky."""
    assert shipped.kinds is not None and shipped.places is not None
    rooms = shipped.places._choice.buildings["interior"].places
    kinds = shipped.kinds.of_rooms.tolist()
    assert len(rooms) == len(kinds) == shipped.stored_rooms == 12
    of = dict(zip(rooms, kinds, strict=True))
    for room, kind in zip(rooms, kinds, strict=True):
        match = Match(room, 1.5 * np.pi, 0.0)
        others = shipped.places._choice.buildings["interior"].alternatives(match)
        assert match in others and {of[other.place] for other in others} == {kind}
        assert {round(other.turn_rad / np.pi, 3) for other in others} == {0.5, 1.5}
        assert shipped.places._memory.court(room) == (KINDS[kind][0] == COURT)


def test_the_order_of_cells_and_what_is_not_there_do_not_matter() -> None:
    torch.manual_seed(0)
    network = KindNetwork(16 + GEOMETRY, 8, 5, 0).eval()
    cells, there = torch.randn(2, 40, 16 + GEOMETRY), torch.rand(2, 40) > 0.4
    told, order = network(cells, there), torch.randperm(40)
    assert torch.allclose(network(cells[:, order], there[:, order]), told, atol=1e-5)
    changed = torch.where(there[..., None], cells, torch.randn_like(cells))
    assert torch.allclose(network(changed, there), told, atol=1e-5)


@pytest.mark.parametrize("side", range(len(SIDES)))
def test_what_is_told_is_the_same_whichever_way_the_door_lies(side: int) -> None:
    """A cell ahead to the left lies in a next room ahead to the left."""
    yaw_deg = float(np.degrees(np.arctan2(SIDES[side][1], SIDES[side][0])))
    camera = Camera.from_fov(c2w_from_angles(np.zeros(3), yaw_deg, 0.0), 50.0, 112, 64)
    view = readout_of(torch.full((16, 8, 14), 0.5), torch.full((16, 28), 1.0 / 20.0))
    cells = torch.zeros(8, 14, dtype=torch.bool)
    cells[3, 2] = True
    told = described(view.features, view, cells, camera, next_middle((0.0, 0.0, 0.0), side, 30.0), side)
    assert told.shape == (1, 16 + GEOMETRY)
    ahead, left, up = (10.0 * told[0, 16], 10.0 * told[0, 17], 5.0 * told[0, 18])
    assert float(ahead) == pytest.approx(20.0 - 30.0, abs=1e-3) and float(left) > 0.0 and float(up) > 0.0


def test_damage_is_named_and_a_session_is_the_same_without(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(shipped_model_dir(), folder)
    identity = folder_checksum(folder)
    stored = weight_path(folder, KINDS_FILE)
    stored.write_bytes(weight_path(folder, "readout").read_bytes())
    with pytest.raises(ModelError, match="tells rooms"):
        EmbeddedModel.load(folder)
    stored.unlink()
    assert folder_checksum(folder) == identity
    model = EmbeddedModel.load(folder)
    assert model.kinds is None and model.places is not None
    with pytest.raises(ModelError, match="tells no kinds"):
        model.tell_kind(torch.zeros(1, 16 + GEOMETRY))
    (folder / "places-interior.safetensors").unlink()
    shutil.copyfile(weight_path(shipped_model_dir(), KINDS_FILE), stored)
    with pytest.raises(ModelError, match="stored rooms"):
        EmbeddedModel.load(folder)


def test_a_model_learns_to_tell_rooms(tmp_path: Path) -> None:
    model, samples = EmbeddedModel.tiny(image_size=(64, 112)), tmp_path / "samples"
    run = {
        "model": str(tmp_path / "model"),
        "folder": str(samples),
        "loop.run": str(tmp_path / "run"),
        "loop.steps": 3,
        "loop.batch": 4,
        "worlds": 20,
        "views": 2,
        "height": 128,
        "width": 224,
    }
    model.save(tmp_path / "model")
    with pytest.raises(InputError, match="no rooms of buildings"):
        train("kinds", None, run)
    places = {**SMALL, "places": 2, "folder": str(tmp_path / "places"), "biomes": "interior"}
    train("places", None, places)
    model.carry(packed(configure(PlacesConfig(), None, places)))
    model.save(tmp_path / "model")
    with pytest.raises(InputError, match="20 worlds or more"):
        train("kinds", None, {**run, "worlds": 3})
    seeds = range(KindTraining().seed, KindTraining().seed + 20)
    found = list(through_doors(model, seeds[0], configure(KindTraining(), None, run)))
    assert found and all(len(cells) >= FEWEST for cells, _ in found)
    with pytest.raises(InputError, match="nothing was seen"):
        train("kinds", None, {**run, "views": 0})
    looked_at = sorted(samples.glob("*"))
    assert len(looked_at) == 20
    looked_at[0].unlink()
    looked_at[1].unlink()
    figures = train("kinds", None, {**run, "loop.run": str(tmp_path / "again")})
    assert {"right", "clear", "right_if_clear"} <= set(figures)
    assert len(Samples.of(looked_at[:1]).kind) == len(found)
    made = export(
        configure(ExportConfig(), None, {"model": run["model"], "kinds_run": str(tmp_path / "again")}), tmp_path / "out"
    )
    assert made.kinds is not None and made.kinds.of_rooms.tolist() == [0, 1]
    assert made.places is not None and made.places._choice.buildings["interior"]._kinds is not None
    stored = {f"places.{name}": value for name, value in places.items()} | {"places.places": 1}
    asked = {"model": str(tmp_path / "out"), "new_places": True, **stored}
    for out in (tmp_path / "other", tmp_path / "out"):
        other = export(configure(ExportConfig(), None, asked), out)
        assert other.stored_rooms == 1 and other.kinds is None, "of other rooms it knows nothing"


def test_what_a_pillar_hides_is_seen_across_the_room(shipped: EmbeddedModel) -> None:
    places = shipped.places
    assert places is not None
    inside, building = places._inside["interior"], places._choice.buildings["interior"]
    more = []
    for room in building.places[::6]:  # two halls of pillars
        match = Match(room, 0.0, 0.0, (0.0, 0.0, 0.0))
        for yaw_deg in (33.0, 303.0):
            pose = c2w_from_angles(np.array([-12.0, -8.0, 0.0]), yaw_deg, -2.0)
            camera = Camera.from_fov(pose, 50.0, 448, 256)
            before = places._memory(room).readout(placed(camera, match))
            everywhere = torch.ones_like(before.coverage, dtype=torch.bool)
            after = inside.recalled(match, camera, everywhere)
            added = (before.coverage < 0.5) & (after.coverage > 0.5)
            assert bool((after.coverage >= before.coverage).all())
            out = Ways.from_camera(camera, (32, 56), match.anchor, building.module.side_m).out(after)
            assert bool((out[added] == INSIDE).all())
            more.append(float(added.float().mean()))
            nowhere = torch.zeros_like(everywhere)
            assert not inside.recalled(match, camera, nowhere).coverage.any()
            untouched = inside.recalled(match, camera, nowhere, whole=True)
            assert torch.equal(untouched.coverage, before.coverage)
    assert np.mean(more) > 0.02


def test_all_rooms_are_made_ready_while_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    model = EmbeddedModel.load()
    assert model.places is not None
    rooms = model.places._choice.buildings["interior"].places
    parts = ROOM_PARTS * len(rooms)
    assert [model.places.prepare("interior") for _ in range(parts + 1)] == [True] * parts + [False]
    monkeypatch.setattr(PlaceBank, "__getitem__", lambda bank, index: pytest.fail("a place is unpacked"))
    world = World(WorldSpec("interior", 1_000_029))
    explorer = Explorer(model, ExplorerConfig(biome="interior", fine=False), world)
    start = world.spawn(448, 256)
    explorer.begin(start, explorer.first_view(start))
    explorer.step(start.posed(c2w_from_angles(start.position, start.yaw_deg + 60.0, start.pitch_deg)))
    assert explorer.match is not None and explorer.match.place in rooms


@pytest.mark.parametrize("seed", [1_000_333, 1_000_345])
def test_the_room_where_a_world_begins_goes_on_as_what_it_is(shipped: EmbeddedModel, seed: int) -> None:
    """By texture alone these two, a hall of pillars and a refectory, went on as other kinds of rooms."""
    world = World(WorldSpec("interior", seed))
    start = world.spawn(448, 256)
    explorer = Explorer(shipped, ExplorerConfig(fine=False, biome="interior"), world)
    explorer.begin(start, explorer.first_view(start))
    pose = start.c2w.copy()
    pose[:2, 3] += 0.25 * pose[:2, 2]
    explorer.step(start.posed(pose))
    assert shipped.kinds is not None and shipped.places is not None and explorer.match is not None
    rooms = shipped.places._choice.buildings["interior"].places
    kind = dict(zip(rooms, shipped.kinds.of_rooms.tolist(), strict=True))[explorer.match.place]
    assert kind == world.room_kind(start.position)


def test_what_was_never_given_of_the_room_where_a_world_began_gives_way_to_its_place(shipped: EmbeddedModel) -> None:
    """Whoever flew through a pillar left strips in the air that nothing ever set right. What was truly seen stays."""
    assert shipped.places is not None
    inside = shipped.places._inside["interior"]
    middle = inside._building.module.middle
    camera = Camera.from_fov(c2w_from_angles(np.asarray(middle), 0.0, 0.0), 50.0, 448, 256)
    shape = (256 // shipped.spec.spatial_stride, 448 // shipped.spec.spatial_stride)
    strips, wall = (
        readout_of(torch.zeros(shipped.spec.latent_channels, *shape), torch.full((2 * shape[0], 2 * shape[1]), 1.0 / m))
        for m in (3.0, 8.0)
    )
    everything = torch.ones(shape, dtype=torch.bool)
    imagined = everything.clone()
    imagined[:, : shape[1] // 2] = False
    retold = Retold(everything, everything, everything, imagined, lent=False, began_at=middle)
    match = Match(inside._building.places[0], 0.0, 0.0, middle)
    assert torch.equal(inside.may_tell(retold, strips, wall, match, camera), imagined)
    assert bool(inside.may_tell(retold, wall, wall, match, camera).all()), "the same wall, seen since"


def test_only_what_is_as_deep_all_around_is_the_same_surface() -> None:
    wall = readout_of(torch.zeros(16, 8, 14), torch.full((16, 28), 0.1))
    assert bool(same_surface(wall, wall).all())
    near = replace(wall, inverse_depth=wall.inverse_depth * float(np.exp(0.9 * SAME_SURFACE)))
    assert bool(same_surface(near, wall).all())
    bars = wall.inverse_depth.clone()
    bars[:, ::4] = bars[:, 1::4] = 0.02  # every second cell shows what is behind a window
    assert not bool(same_surface(replace(wall, inverse_depth=bars), wall).any())


def test_the_room_that_one_began_in_is_known_from_then_on_and_told_again_where_it_is_worn(
    shipped: EmbeddedModel,
) -> None:
    world = World(WorldSpec("interior", 1_000_029))
    middle = world.room(0)
    explorer = Explorer(shipped, ExplorerConfig(biome="interior", fine=False), world)

    def walking(metres: float) -> Camera:
        pose = c2w_from_angles(middle + np.array([-7.0 + 0.84 * metres, -9.0 + 0.54 * metres, 0.0]), 33.0, -3.0)
        return Camera.from_fov(pose, 50.0, 448, 256)

    explorer.begin(walking(0.0), explorer.first_view(walking(0.0)))
    rooms = set()
    for metres in np.arange(0.8, 12.0, 0.8):
        explorer.step(walking(float(metres)))
        assert explorer.match is not None
        rooms.add((explorer.match.place, explorer.match.turn_rad))
    assert len(rooms) == 1
    assert explorer.match is not None and explorer.match.room(explorer.match.anchor) is not None
