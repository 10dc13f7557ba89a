"""Who comes back finds what was there, though another country was set down in its stead meanwhile."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.camera import Camera
from engine.errors import SessionError
from engine.memory import LatentMemory
from engine.memory.countries import LEFT_M
from engine.models.embedded import EmbeddedModel
from engine.world_model import Cancelled, CancelToken
from tests.engine.explorer_support import camera, explorer, first_view
from tests.engine.memory_support import camera_at, memory_of, scene_view

WAY_M, FOUNDED_M = np.arange(0.0, 37.0, 3.0), (12.0, 24.0)
"""Where one looks on the way out, each time something new, and where other countries are set down."""
WALL = (np.array([1.0, 0.0, 0.0]), 45.0)


def at(x: float, yaw_deg: float = 0.0) -> Camera:
    return camera_at(x, 0.0, 3.0, yaw_deg=yaw_deg, pitch_deg=-8.0)


def ahead(memory: LatentMemory, x: float) -> np.ndarray:
    """Living tokens that lie farther along the way."""
    rows = memory.living()
    return rows[memory.snapshot().positions[rows, 0] > x + 3.0]


def look(memory: LatentMemory, x: float, yaw_deg: float = 0.0) -> np.ndarray:
    """What is known from there, after having come there, (C, h, w)."""
    memory.cross_over(at(x, yaw_deg))
    return memory.readout(at(x, yaw_deg)).features.numpy()


def fly(memory: LatentMemory, number: int, x: float) -> None:
    """The next view on the way out, through three countries."""
    founds = x in FOUNDED_M
    memory.write(scene_view(at(x), number), renewed=ahead(memory, x) if founds else (), founds=founds)


def out(memory: LatentMemory) -> LatentMemory:
    """All of the way."""
    for number, x in enumerate(WAY_M):
        fly(memory, number, x)
    return memory


def seen_on_the_way() -> tuple[dict[float, np.ndarray], LatentMemory]:
    """What was known of views before the next country was set down, and the memory at the end."""
    memory, known = memory_of([]), {}
    for number, x in enumerate(WAY_M):
        if x in FOUNDED_M:
            known[x - 6.0] = memory.readout(at(x - 6.0)).features.numpy()
        fly(memory, number, x)
    known[30.0] = memory.readout(at(30.0)).features.numpy()
    return known, memory


def test_who_comes_back_finds_what_was_there() -> None:
    known, memory = seen_on_the_way()
    first, second, third = known
    countries = [memory.country]
    assert not np.allclose(memory.readout(at(first)).features.numpy(), known[first])  # another country is shown there
    for x in (second, first, second, third, first, third):
        np.testing.assert_array_equal(look(memory, x), known[x])
        countries.append(memory.country)
    assert len(set(countries)) == 3 and countries[-1] == countries[0] and countries[2] == 0


def test_who_is_on_the_way_or_looks_another_way_stays_in_the_country() -> None:
    memory = memory_of([])
    for number, x in enumerate(WAY_M):
        assert not memory.cross_over(at(x)), "flying on"
        fly(memory, number, x)
    country, nodes = memory.country, len(memory.tree)
    assert not memory.cross_over(at(4.0, yaw_deg=180.0)), "never looked that way"
    assert not memory.cross_over(camera_at(4.0, 30.0, 3.0)), "never was there"
    assert not memory.cross_over(at(FOUNDED_M[1] - 1.0)), "at a border one would change to and fro"
    assert memory.country == country and len(memory.tree) == nodes


def test_who_hovers_before_a_country_is_founded_stays_in_it_when_flying_on() -> None:
    """The views around are old by then, but one does not come back to them."""
    memory = memory_of([scene_view(at(x), int(x)) for x in (0.0, 3.0, 6.0, 1.5, 4.5, 7.5)])
    founded = memory.write(scene_view(at(9.0), 9), renewed=ahead(memory, 9.0), founds=True)
    assert founded.tokens_written and memory.country == founded.node
    for number, x in enumerate((9.5, 10.0, 11.0, 12.0, 15.0)):
        assert not memory.cross_over(at(x))
        memory.write(scene_view(at(x), 10 + number))
    assert memory.cross_over(at(6.0)) and memory.country == 0
    assert memory.cross_over(at(12.0)) and memory.country == founded.node


def test_who_comes_home_looking_the_other_way_and_turns_about_is_at_home() -> None:
    """What was founded on the way back does not lie where one looks now."""
    known, memory = seen_on_the_way()
    for number, x in enumerate(WAY_M[::-1]):
        founds = x in (30.0, 15.0)
        view = scene_view(at(x, yaw_deg=180.0), 50 + number)
        memory.cross_over(view.camera)
        rows = memory.living()
        behind = rows[memory.snapshot().positions[rows, 0] < x - 3.0]
        memory.write(view, renewed=behind if founds else (), founds=founds)
    back = memory.readout(at(6.0, yaw_deg=180.0)).features.numpy()
    assert memory.cross_over(at(6.0)) and memory.country == 0
    np.testing.assert_array_equal(memory.readout(at(6.0)).features.numpy(), known[6.0])
    assert memory.cross_over(at(6.0, yaw_deg=180.0))
    np.testing.assert_array_equal(memory.readout(at(6.0, yaw_deg=180.0)).features.numpy(), back)


def test_a_view_is_returned_to_after_it_was_left() -> None:
    memory = memory_of([scene_view(at(x), int(x)) for x in np.arange(0.0, 10.0, 2.0)])
    assert not memory.returned(at(8.5)), "that is the way that one is on"
    assert not memory_of([]).returned(at(0.0))
    assert memory.returned(at(1.0)) and not memory.returned(at(1.0, yaw_deg=90.0))
    near = memory_of([scene_view(at(0.0))])
    assert not near.returned(at(0.5)) and not near.returned(at(LEFT_M + 1.0))


def test_what_the_user_erased_or_froze_stays_so_in_every_country() -> None:
    _, memory = seen_on_the_way()
    memory.cross_over(at(6.0))
    seen = np.unique(memory.readout(at(6.0)).token.numpy())
    erased, frozen = seen[1::2], seen[2::2]
    memory.erase(erased)
    memory.freeze(frozen)
    memory.cross_over(at(30.0))
    assert memory.store.alive[frozen].all() and not memory.store.alive[erased].any()
    memory.cross_over(at(6.0))
    assert memory.store.alive[frozen].all() and not memory.store.alive[erased].any()


def test_what_is_seen_while_one_is_back_belongs_to_that_country() -> None:
    _, memory = seen_on_the_way()
    there = look(memory, 30.0)
    memory.cross_over(at(6.0))
    near = scene_view(at(6.0), 99, planes=(WALL,))
    wall = memory.write(near)
    assert wall.tokens_written > 0
    here = memory.readout(at(6.0)).features.numpy()
    np.testing.assert_array_equal(look(memory, 30.0), there)
    np.testing.assert_array_equal(look(memory, 6.0), here)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([6.0, 18.0, 30.0]), min_size=2, max_size=8))
def test_a_country_is_the_same_however_one_comes_there(stops: list[float]) -> None:
    memory = out(memory_of([]))
    states: dict[int, frozenset[int]] = {memory.country: frozenset(memory.living().tolist())}
    for x in stops:
        memory.cross_over(at(x))
        living = frozenset(memory.living().tolist())
        assert states.setdefault(memory.country, living) == living
    present = memory.current
    memory.checkout(0)
    memory.checkout(present)
    assert frozenset(memory.living().tolist()) == states[memory.country], "history says the same"


def test_a_crossing_can_be_undone_and_taken_back_for_good() -> None:
    _, memory = seen_on_the_way()
    present, living, nodes = memory.current, memory.living(), len(memory.tree)
    memory.cross_over(at(6.0))
    assert len(memory.tree) == nodes + 2, "one node for each border"
    assert memory.undo() and memory.undo() and memory.current == present
    np.testing.assert_array_equal(memory.living(), living)
    assert memory.redo() and memory.redo() and memory.country == 0
    memory = out(memory_of([]))
    memory.cross_over(at(6.0))
    memory.stay(present)
    assert memory.current == present and len(memory.tree) == nodes
    np.testing.assert_array_equal(memory.living(), living)


def test_a_session_keeps_its_countries_and_older_ones_have_one(tmp_path: Path) -> None:
    known, memory = seen_on_the_way()
    memory.cross_over(at(18.0))
    memory.save(tmp_path)
    restored = LatentMemory.load(tmp_path, memory.config, memory.network)
    assert restored.country == memory.country
    for x in (18.0, 6.0, 30.0):
        np.testing.assert_array_equal(look(restored, x), known[x])
    index = json.loads((tmp_path / "memory.json").read_text())
    for node in index["nodes"]:
        del node["country"]
    (tmp_path / "memory.json").write_text(json.dumps(index))
    older = LatentMemory.load(tmp_path, memory.config, memory.network)
    assert older.country == 0 and not older.cross_over(at(6.0))
    for node in index["nodes"]:
        node["country"] = 3
    (tmp_path / "memory.json").write_text(json.dumps(index))
    with pytest.raises(SessionError, match="no country"):
        LatentMemory.load(tmp_path, memory.config)


def test_within_a_budget_what_is_left_of_a_country_is_found() -> None:
    memory = memory_of([])
    full = out(memory_of([]))
    budget = 0.7 * full.stats().mib
    memory.config = replace(memory.config, budget_mib=budget)
    out(memory)
    assert memory.stats().evicted > 0
    for x in (6.0, 18.0, 30.0):
        memory.cross_over(at(x))
        assert memory.stats().tokens_living > 0
        memory.write(scene_view(at(x + 1.0), int(x) + 77, planes=(WALL,)))
        assert memory.stats().mib <= budget


def test_a_step_that_is_cancelled_does_not_cross(tiny_model: EmbeddedModel) -> None:
    one = explorer(tiny_model)
    one.begin(camera(), first_view())
    memory = one.memory.latent
    assert memory is not None
    for x in np.arange(1.0, 22.0):
        one.step(camera(x))
        if x == 12.0:  # as a renewal there would have it
            memory.tree[memory.current].country = memory.current
    country, node, match = memory.country, memory.current, one.match
    assert country != 0
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        one.step(camera(5.0), cancel=cancel)
    assert (memory.country, memory.current, one.match) == (country, node, match)
    assert one.step(camera(5.0)).renewed and memory.country == 0, "it fades in"
    assert not one.step(camera(4.8)).renewed
    one.begin(camera(), first_view())
    assert list(one.matches) == [0], "another world has countries of its own"
