"""Which place goes on best, and turned how: found whichever way it lies, and stayed with."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.camera import rotation_about_up
from engine.places import Match, PlaceBank
from engine.places.matching import Matcher, direction_bins
from engine.worlds import BIOMES
from tests.engine.places_support import statistics


@settings(max_examples=25, deadline=None)
@given(index=st.integers(0, 3), view=st.integers(0, 11), turned_deg=st.floats(-180, 180))
def test_a_place_is_found_again_whichever_way_it_lies(
    bank: PlaceBank, index: int, view: int, turned_deg: float
) -> None:
    mean, std = statistics(bank)
    place, camera = bank[index], bank.rigs[0][view]
    turn = np.eye(4)
    turn[:3, :3] = rotation_about_up(math.radians(turned_deg))
    bins = direction_bins(camera.posed(turn @ camera.c2w), *place.latents[view].shape[-2:])
    matcher = Matcher(bank, lambda latents: (latents - mean) / std)
    described = matcher.described(place.latents[view], place.inverse_depth[view])
    match = matcher.best(described, bins, torch.ones(len(bins)), range(4))
    assert match.place == index
    off = math.remainder(match.turn_rad + math.radians(turned_deg), 2.0 * math.pi)
    assert abs(math.degrees(off)) < 2.9


def test_a_biome_narrows_the_choice(bank: PlaceBank) -> None:
    matcher = Matcher(bank, lambda latents: latents)
    assert matcher.among(BIOMES[2]) == [2]
    assert matcher.among("") == matcher.among("somewhere else") == [0, 1, 2, 3]


def test_open_country_is_not_gone_round_in_circles(bank: PlaceBank) -> None:
    """What fits about as well as the latest match does not take its place; what fits far better does."""
    mean, std = statistics(bank)
    matcher = Matcher(bank, lambda latents: (latents - mean) / std)
    place, camera = bank[0], bank.rigs[0][0]
    bins = direction_bins(camera, *place.latents[0].shape[-2:])
    described = matcher.described(place.latents[0], place.inverse_depth[0])
    weight = torch.ones(len(bins))
    best = matcher.best(described, bins, weight, range(4))
    near = Match(0, best.turn_rad + 0.004, 0.0)
    assert matcher.best(described, bins, weight, range(4), near).turn_rad == near.turn_rad
    elsewhere = Match(3, 2.0, 0.0)
    assert matcher.best(described, bins, weight, range(4), elsewhere) == best
    # Nor is a place set down after itself, turned as it was, unless nothing else is like it.
    assert matcher.best(described, bins, weight, range(4), replaced=best).place == best.place
    like_all = torch.full_like(described, 50.0)
    first = matcher.best(like_all, bins, weight, range(4))
    other = matcher.best(like_all, bins, weight, range(4), replaced=first)
    turned = math.remainder(other.turn_rad - first.turn_rad, 2.0 * math.pi)
    assert other.place != first.place or abs(turned) > math.radians(44.0)
