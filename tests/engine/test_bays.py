"""Walls go in bays; a bay of which the first view saw a part goes on as one that is like it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.camera import Camera, c2w_from_angles
from engine.cells import cell_means
from engine.memory import LatentMemory, Mosaic
from engine.models.embedded import EmbeddedModel
from engine.places import Match, Retold
from engine.places.bays import ALL_BAYS, BAYS, FACE_M, OTHER, PORTAL, Bays, Faces, changed, motion
from engine.places.module import SIDES

SIDE_M = 30.0
OWN = tuple(range(ALL_BAYS))
HALL = 83
"""A stored hall of pillars with an arch, pictures and a bookcase on its walls:"""
BOOKCASE, ARCH, PICTURE = 16, 18, 11


@pytest.fixture(scope="module")
def shipped() -> EmbeddedModel:
    return EmbeddedModel.load()


def room_of(shipped: EmbeddedModel) -> tuple[LatentMemory, Bays]:
    assert shipped.places is not None
    return shipped.places._memory(HALL), shipped.places._memory.bays(HALL)


def before(bay: int, away_m: float = 4.5, aside_m: float = 0.0) -> Camera:
    """Looks at the middle of a bay from so far away."""
    side, number = divmod(bay, BAYS)
    normal = np.array([*SIDES[side], 0.0])
    along = np.array([-normal[1], normal[0], 0.0])
    middle = (0.5 * SIDE_M - FACE_M - away_m) * normal + ((number + 0.5) * SIDE_M / BAYS - 0.5 * SIDE_M) * along
    yaw_deg = float(np.degrees(np.arctan2(normal[1], normal[0])))
    return Camera.from_fov(c2w_from_angles(middle + aside_m * along, yaw_deg, 0.0), 50.0, 448, 256)


def instead(**others: int) -> tuple[int, ...]:
    like = list(OWN)
    for bay, other in others.items():
        like[int(bay[1:])] = other
    return tuple(like)


@given(
    bay=st.integers(0, ALL_BAYS - 1),
    other=st.integers(0, ALL_BAYS - 1),
    along_m=st.floats(0.5, 5.5),
    high_m=st.floats(-1.6, 4.2),
    x=st.floats(-13.0, 13.0),
    y=st.floats(-13.0, 13.0),
)
def test_a_motion_takes_what_looks_at_a_bay_to_before_another(
    bay: int, other: int, along_m: float, high_m: float, x: float, y: float
) -> None:
    side, number = divmod(bay, BAYS)
    normal = np.array(SIDES[side], float)
    on_wall = (0.5 * SIDE_M - FACE_M) * normal
    on_wall = on_wall + (number * SIDE_M / BAYS + along_m - 0.5 * SIDE_M) * np.array([-normal[1], normal[0]])
    eye, point = np.array([x, y, 0.3]), np.array([*on_wall, high_m])
    for looks_at, take in ((bay, lambda p: p), (other, motion(bay, other, SIDE_M).of)):
        faces = Faces.along(take(point) - take(eye), take(eye), SIDE_M)
        if looks_at == other and np.abs(take(eye)[:2]).max() > 0.5 * SIDE_M - FACE_M - 0.5:
            continue  # taken out of the room
        assert int(faces.bay) == looks_at
        assert float(faces.along_m) == pytest.approx(along_m, abs=1e-6)
        assert float(faces.high_m) == pytest.approx(high_m, abs=1e-6)
        assert float(faces.depth) == pytest.approx(1.0)
        assert float(faces.beyond_m(np.array(1.0 / 1.25))) == pytest.approx(0.25 * float(faces.towards))


def test_a_room_is_like_itself(shipped: EmbeddedModel) -> None:
    room, bays = room_of(shipped)
    for bay in (BOOKCASE, ARCH, PICTURE):
        view = room.readout(before(bay, 6.0, 1.0))
        like = bays.like(view, view.coverage > 0.99, before(bay, 6.0, 1.0))
        assert not changed(like) and OTHER not in like


@pytest.mark.parametrize(("bay", "other"), [(PICTURE, ARCH), (PICTURE, BOOKCASE), (ARCH, BOOKCASE), (ARCH, PICTURE)])
def test_a_bay_of_which_half_is_seen_goes_on_as_one_like_it(shipped: EmbeddedModel, bay: int, other: int) -> None:
    """A room that has the other bay there is seen; half of that tells the other bay, and no more changes."""
    room, bays = room_of(shipped)
    there = bays.rehung(room, instead(**{f"b{bay}": other}))
    view, camera = there.readout(before(bay, 7.0)), before(bay, 7.0)
    half = view.coverage > 0.99
    half[:, : half.shape[1] // 2] = False
    like = bays.like(view, half, camera)
    assert like[bay] == other
    assert [like[b] for b in OWN if b != bay] == [b for b in OWN if b != bay]


def test_a_room_shows_other_bays_as_it_does_where_they_are_its_own(shipped: EmbeddedModel) -> None:
    room, bays = room_of(shipped)
    count = len(room.living())
    there = bays.rehung(room, instead(b11=ARCH))
    assert len(room.living()) == count, "the stored one stays as it is"
    here, moved = before(PICTURE), before(PICTURE).posed(motion(PICTURE, ARCH, SIDE_M).matrix @ before(PICTURE).c2w)
    ahead = np.s_[4:26, 18:38]
    seen, own, was = there.sight(here), room.sight(moved), room.sight(here)
    both = ((seen.coverage > 0.99) & (own.coverage > 0.99))[ahead]
    assert float(both.float().mean()) > 0.6
    nearness = [cell_means(view.inverse_depth, view.coverage)[ahead].clamp(min=1e-3).log() for view in (seen, own, was)]
    assert float(((nearness[0] - nearness[1]).abs() < 0.05)[both].float().mean()) > 0.9
    assert float(((nearness[0] - nearness[2]).abs() < 0.05)[both].float().mean()) < 0.7, "the picture's wall has gone"
    for bay in (BOOKCASE, ARCH):
        before_it = [memory.sight(before(bay)) for memory in (room, there)]
        assert torch.equal(before_it[0].inverse_depth, before_it[1].inverse_depth)


def test_walls_are_open_where_the_place_has_them_so_and_where_they_are_like_none(shipped: EmbeddedModel) -> None:
    _, bays = room_of(shipped)
    portal = 10 + PORTAL
    through = bays.closed(OWN, before(portal), (32, 56))
    assert not bool(through[8:24, 20:36].any()), "whoever looks through a portal sees what lies beyond"
    assert bool(bays.closed(OWN, before(PICTURE), (32, 56))[8:24, 18:38].all())
    unlike = bays.closed(instead(b11=OTHER), before(PICTURE), (32, 56))
    assert not bool(unlike[8:24, 20:36].any())


@pytest.mark.parametrize("like", [OWN, instead(b11=OTHER)])
def test_what_was_seen_through_a_door_does_not_show_through_a_wall(
    shipped: EmbeddedModel, like: tuple[int, ...]
) -> None:
    """Unless the wall may be open there: the first view saw of it what its place has nowhere."""
    room, bays = room_of(shipped)
    assert shipped.places is not None
    middle = shipped.places.bank.modules["interior"].middle
    known, camera = bays.rehung(room, instead(b11=ARCH)), before(PICTURE, 7.0)
    pose = camera.c2w.copy()
    pose[:3, 3] += middle
    sight = known.sight(camera)
    nothing = torch.zeros_like(sight.coverage, dtype=torch.bool)
    retold = Retold(~nothing, nothing, nothing, nothing, lent=False, began_at=middle)
    match = Match(HALL, 0.0, 1.0, middle, bays=like)
    match = match.knowing(match)
    completed = shipped.places.complete(
        Mosaic.of(known, sight), camera.posed(pose), "interior", torch.Generator(), match, retold=retold
    )
    through = cell_means(sight.inverse_depth, sight.coverage) < 1.0 / 9.0
    through[:, :22] = through[:, 34:] = through[:10] = through[17:] = False
    assert float(through.float().mean()) > 0.03
    if like == OWN:
        assert float(completed.hidden[through].float().mean()) > 0.5, "what was known"
        assert float(completed.taken[through].float().mean()) > 0.8, "and the rest"
        assert bool(completed.taken[completed.hidden].all())
        depth_m = 1.0 / cell_means(completed.readout.inverse_depth, completed.readout.coverage)
        assert float((depth_m[through] - 7.0).abs().median()) < 0.3, "the wall"
    else:
        assert not bool(completed.hidden.any())
