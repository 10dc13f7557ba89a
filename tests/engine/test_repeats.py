"""A hall of pillars is the same bay again and again: wherever one stands in it, one sees it as from nearby."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.camera import Camera, c2w_from_angles
from engine.cells import cell_means, spliced
from engine.depth import sample_inverse_depth
from engine.memory import Readout
from engine.models.embedded import EmbeddedModel
from engine.places import Match
from engine.places.repeats import Repeat
from engine.worlds import World, WorldSpec
from engine.worlds.plan import BAY_M, KINDS, VAULTED
from tests.engine.memory_support import camera_at as in_the_open
from tests.engine.memory_support import memory_of, scene_view

SAME = 0.1


@pytest.fixture(scope="module")
def shipped() -> EmbeddedModel:
    return EmbeddedModel.load()


def rooms_of(model: EmbeddedModel) -> dict[int, int]:
    """The style of every stored room, by its place."""
    assert model.kinds is not None and model.places is not None
    rooms = model.places._choice.buildings["interior"].places
    return {room: KINDS[kind][0] for room, kind in zip(rooms, model.kinds.of_rooms.tolist(), strict=True)}


def camera_at(x: float, y: float, yaw_deg: float) -> Camera:
    return Camera.from_fov(c2w_from_angles(np.array([x, y, 0.0]), yaw_deg, 0.0), 64.0, 448, 256)


def test_bays_are_found_in_halls_of_pillars_and_nowhere_else(shipped: EmbeddedModel) -> None:
    assert shipped.places is not None
    for room, style in rooms_of(shipped).items():
        repeats = shipped.places._repeats(room)
        assert repeats.bay_m == (BAY_M if style == VAULTED else None)
        if style != VAULTED:
            view = shipped.places._memory(room).sight(camera_at(-12.0, 0.0, 0.0))
            everything = torch.ones_like(view.coverage, dtype=torch.bool)
            assert repeats.best(view, everything, camera_at(-12.0, 0.0, 0.0)) is None


@pytest.mark.parametrize("at", [(-14.0, 0.0, 0.0), (0.0, -13.0, 90.0), (9.0, 10.0, 220.0), (-6.0, 5.0, -30.0)])
def test_a_hall_shows_its_pillars_where_they_stand_from_anywhere(
    shipped: EmbeddedModel, at: tuple[float, float, float]
) -> None:
    """By the exact depth of such a hall, no two of which differ in their pillars, vaults and floors."""
    assert shipped.places is not None
    hall = next(room for room, style in rooms_of(shipped).items() if style == VAULTED)
    world, here = World(WorldSpec("interior", 1_000_300, "noon")), camera_at(*at)
    pose = here.c2w.copy()
    pose[:3, 3] += world.room(0)
    truth = world.render(here.posed(pose))
    points = here.position + here.rays() * truth.depth_m.numpy()[..., None]
    standing = torch.from_numpy(np.abs(points[..., :2]).max(axis=-1) < 14.0).float()

    plain = shipped.places._memory(hall).readout(here)
    inside = cell_means(standing, plain.coverage) > 0.99
    true_nearness = sample_inverse_depth(truth.depth_m, 64, 112)
    everything = torch.ones_like(inside)
    recalled = shipped.places._inside["interior"].recalled(Match(hall, 0.0, 0.0), here, everything)

    def right(view: Readout, cells: torch.Tensor) -> float:
        apart = (view.inverse_depth.clamp(min=1e-4) / true_nearness.clamp(min=1e-4)).log().abs()
        return float((cell_means((apart < SAME).float(), view.coverage)[cells] > 0.99).float().mean())

    hidden = inside & (plain.coverage <= 0.99)
    assert float(hidden[inside].float().mean()) > 0.03, "from there its pillars hide something"
    assert right(recalled, hidden) > right(plain, hidden) + 0.2
    assert right(recalled, inside) > 0.88


def test_a_motion_is_undone() -> None:
    motion = Repeat(3, (6.0, -12.0))
    points = np.random.default_rng(0).uniform(-15.0, 15.0, (50, 3))
    assert np.allclose(motion.before(motion.of(points)), points)
    assert np.allclose(motion.of(np.zeros(3)), [6.0, -12.0, 0.0])


def test_a_floor_of_tiles_is_told_only_where_they_fit(shipped: EmbeddedModel) -> None:
    """Its tiles are about the same after two bays, and light is dark after one; so it is after a quarter turn."""
    assert shipped.places is not None
    hall = next(room for room, style in rooms_of(shipped).items() if style == VAULTED)
    repeats = shipped.places._repeats(hall)
    assert repeats._floor_alike(Repeat(0, (2.0 * BAY_M, 0.0))) and repeats._floor_alike(Repeat(1, (BAY_M, BAY_M)))
    assert not repeats._floor_alike(Repeat(0, (9.0 * BAY_M, 0.0))), "it leads out of the room"
    assert not repeats._floor_alike(Repeat(0, (BAY_M, 0.0))) and not repeats._floor_alike(Repeat(1, (0.0, 0.0)))


def test_views_of_one_memory_are_spliced_down_to_their_tokens() -> None:
    one, two = in_the_open(0, 0, 1.6, pitch_deg=-10), in_the_open(0.4, 0.2, 1.6, pitch_deg=-10, yaw_deg=5)
    memory = memory_of([scene_view(one), scene_view(two)])
    under, over = memory.sight(one), memory.sight(two)
    cells = torch.zeros_like(under.coverage, dtype=torch.bool)
    cells[:, 5:] = True
    both = memory.resampled(spliced(under, over, cells))
    assert both.samples is not None and under.samples is not None and over.samples is not None
    assert torch.equal(both.samples.token[:, :10], under.samples.token[:, :10])
    assert torch.equal(both.samples.token[:, 10:], over.samples.token[:, 10:])
    far = slice(None, 5 - 3), slice(5 + 3, None)
    for part, view in zip(far, (memory.resampled(under), memory.resampled(over)), strict=True):
        assert torch.allclose(both.features[:, :, part], view.features[:, :, part], atol=1e-5)
        assert torch.equal(both.token[:, part], view.token[:, part])
