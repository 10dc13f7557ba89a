"""Things at a seam: left out where they would be cut, finished where the memory cuts them, and hills are no things."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from engine.memory import Readout
from engine.places.things import _rest, _things, finished, ground, hiding, whole
from tests.engine.memory_support import GROUND, camera_at, planes_inverse_depth, readout_of, samples_of

H, W, SEAM = 24, 40, 16
CAMERA = camera_at(0.0, 0.0, 1.6, size=(8 * H, 8 * W))
TALL = slice(4, 20)
"""Rows of a post: its foot stands on the ground, which begins in row 12."""


def view(value: float, posts: tuple[tuple[int, int], ...] = (), known: Tensor | None = None) -> Readout:
    """Ground and sky, with posts at four metres between those columns; what is not known is empty."""
    inverse = torch.from_numpy(planes_inverse_depth(samples_of(CAMERA), (GROUND,)))
    features = torch.full((3, H, W), value)
    for first, last in posts:
        inverse[2 * TALL.start : 2 * TALL.stop, 2 * first : 2 * last] = 0.25
        features[:, TALL, first:last] = 5.0
    return readout_of(features, inverse, known)


def left() -> Tensor:
    return (torch.arange(W) < SEAM).expand(H, W)


def standing(readout: Readout) -> Tensor:
    """(h, w) bool: cells of things."""
    return torch.from_numpy(_things(readout, CAMERA)[0] >= 0)


def stands(readout: Readout) -> list[int]:
    """Columns in which something stands ten rows high or more."""
    return torch.nonzero(standing(readout).sum(0) >= 10).flatten().tolist()


def test_posts_stand_and_level_ground_does_not() -> None:
    assert not bool(standing(view(0.0)).any())
    assert stands(view(0.0, ((20, 24),))) == [20, 21, 22, 23]


def test_a_slope_is_no_thing() -> None:
    hill = view(0.0)
    steeper = torch.linspace(1.0, 3.0, 2 * W)  # the ground comes nearer to the right
    assert not bool(standing(replace(hill, inverse_depth=hill.inverse_depth * steeper))[H // 2 + 2 :].any())


def test_a_wall_is_no_ground_down_to_its_foot() -> None:
    """Where it is no nearer than the ground beside it it does not stand before anything, and yet grass must not grow
    over it."""
    land = ground(view(0.0, ((20, 24),)), CAMERA)
    assert not bool(land[TALL, 20:24].any())
    below = slice(H // 2 + 2, H)
    assert bool(land[below, :18].all()) and bool(land[below, 26:].all())


def test_a_thing_whose_other_half_a_memory_denies_is_left_out() -> None:
    found = whole(view(1.0, ((13, 19),)), view(0.0, (), left()), left(), CAMERA)
    foot = TALL.stop - 2  # from there on it is no nearer than the ground beside it
    assert not bool((found.features[:, :foot, SEAM:] == 5.0).any())
    assert bool((found.features[:, TALL.start + 2, SEAM:19] == 1.0).all())
    assert float(found.inverse_depth[2 * TALL.start + 4, 2 * SEAM : 38].max()) == 0.0


def test_whole_things_and_things_that_are_remembered_stay() -> None:
    for posts, remembered in ((((20, 26),), ()), (((13, 19),), ((13, 16),))):
        place = view(1.0, posts)
        assert whole(place, view(0.0, remembered, left()), left(), CAMERA) is place


def test_on_renewed_ground_things_rise_before_what_is_known_behind_them() -> None:
    """Else country that was renewed would be bare: of a tree a known sky would leave the trunk."""
    horizon = (torch.arange(H)[:, None] < H // 2 + 1).expand(H, W)
    place = view(1.0, ((20, 24),))
    found = hiding(place, view(0.0, (), horizon), horizon, CAMERA)
    assert bool(found[TALL.start : H // 2, 20:24].all())
    assert not bool((found & ~horizon).any()) and not bool(found[:, :18].any()) and not bool(found[:, 26:].any())
    nearer = view(0.0, ((20, 24),), horizon)
    nearer.inverse_depth[nearer.inverse_depth == 0.25] = 0.5  # stands before it
    assert not bool(hiding(place, nearer, horizon, CAMERA)[TALL.start : H // 2, 20:24].any())
    everything = torch.ones(H, W, dtype=torch.bool)
    everything[:, :8] = False
    assert not bool(hiding(place, view(0.0, (), everything), everything, CAMERA).any())  # its foot is not renewed


def test_a_tower_far_away_keeps_its_top() -> None:
    """A lighthouse whose upper half the known sky hides is seen from far."""
    sky = (torch.arange(H)[:, None] < H // 2 - 3).expand(H, W)
    for distance_m, whole_tower in ((77.0, True), (400.0, False)):
        place = view(1.0, ((20, 24),))
        inverse_depth = torch.where(place.inverse_depth == 0.25, 1.0 / distance_m, place.inverse_depth)
        found = hiding(replace(place, inverse_depth=inverse_depth), view(0.0, (), sky), sky, CAMERA)
        assert bool(found[TALL.start : H // 2 - 3, 20:24].all()) == whole_tower


def test_half_a_thing_gets_its_other_half() -> None:
    memory = view(0.0, ((12, 16),), left())
    found = finished(view(1.0), memory, left(), CAMERA)
    assert stands(found) == [16, 17, 18]
    assert bool((found.features[:, TALL.start + 2, 16:19] == 5.0).all())
    assert torch.equal(found.features[:, :, 20:], view(1.0).features[:, :, 20:])
    # What stands before it in the place hides it.
    near = view(1.0, ((16, 30),))
    near.inverse_depth[near.inverse_depth == 0.25] = 0.5
    assert torch.equal(finished(near, memory, left(), CAMERA).inverse_depth, near.inverse_depth)


def test_what_is_cut_over_most_of_its_height_is_half_a_thing() -> None:
    """A crown's top that is seen whole beside the cut says little of where its middle is."""
    for mirror in (np.asarray, np.fliplr):
        label, known = np.full((10, W), -1), np.ones((10, W), np.bool_)
        label[0, 18:22] = label[1, 17:23] = 0
        label[2:, 16:24], known[:, :16] = 0, False
        nearest, there = np.where(label == 0, 1.0, 0.1), np.full((10, W), 0.1)
        rest = _rest(mirror(label), mirror(known), mirror(nearest), there)
        found = mirror(rest) >= 0
        assert found[2:, 9:16].all()
        assert not found[:, :9].any()


def test_a_thing_whose_middle_lies_beyond_its_cut_rows_has_nothing_to_mirror() -> None:
    """What is known can end in a slant, so that rows which are seen whole lie beyond those that are cut."""
    for mirror in (np.asarray, np.fliplr):
        label, known = np.full((10, W), -1), np.ones((10, W), np.bool_)
        label[:5, 5:11], known[:5, 11:] = 0, False
        label[5:, 30:37] = 0
        nearest, there = np.where(label == 0, 0.25, 0.01), np.full((10, W), 0.01)
        assert not (_rest(mirror(label), mirror(known), mirror(nearest), there) >= 0).any()


def test_a_thing_that_the_place_shows_too_goes_on_as_there() -> None:
    place = view(1.0, ((12, 18),))
    assert finished(place, view(0.0, ((12, 16),), left()), left(), CAMERA) is place


def test_a_thing_that_is_seen_whole_ends_where_it_ends() -> None:
    place = view(1.0)
    assert finished(place, view(0.0, ((8, 12),), left()), left(), CAMERA) is place
