"""The world tree against a naive model, snapshots, and editing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import InputError
from engine.memory import LatentMemory, OrientedBox
from engine.memory.occupancy import VOXEL_M
from engine.memory.tree import WorldTree
from engine.voxels import voxel_keys
from tests.engine.memory_support import camera_at, memory_of, scene_view

VIEWS = [scene_view(camera_at(0.4 * i, 0.0, 1.6, 25.0 * i, -8, size=(32, 48)), i) for i in range(6)]
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["write", "write both layers"]), st.integers(0, 5)),
        st.tuples(st.just("erase"), st.integers(0, 10**6)),
        st.tuples(st.just("freeze"), st.integers(0, 10**6)),
        st.tuples(st.just("thaw"), st.integers(0, 10**6)),
        st.tuples(st.just("checkout"), st.integers(0, 10**6)),
        st.tuples(st.sampled_from(["undo", "redo", "branch", "retract"]), st.just(0)),
    ),
    max_size=14,
)


def state(memory: LatentMemory) -> tuple[frozenset[int], frozenset[int]]:
    store = memory.store
    return frozenset(np.flatnonzero(store.alive).tolist()), frozenset(np.flatnonzero(store.frozen).tolist())


@settings(max_examples=25, deadline=None)
@given(ACTIONS)
def test_history_agrees_with_keeping_every_state(actions: list[tuple[str, int]]) -> None:
    memory = memory_of([])
    states = {0: state(memory)}
    parents = {0: -1}
    for action, value in actions:
        before, living = memory.current, memory.living()
        some = living[value % max(len(living), 1) :: 3] if len(living) else living
        if action == "write":
            memory.write(VIEWS[value])
        elif action == "write both layers":
            memory.write(VIEWS[value], backdrop=replace(VIEWS[value], inverse_depth=0.5 * VIEWS[value].inverse_depth))
        elif action in ("erase", "freeze", "thaw"):
            getattr(memory, action)(some)
        elif action == "checkout":
            memory.checkout(value % len(memory.tree))
        elif action == "branch":
            memory.branch("other")
        elif action == "undo":
            assert memory.undo() == (parents[before] >= 0)
            assert memory.current == (parents[before] if parents[before] >= 0 else before)
        elif action == "redo":
            moved = memory.redo()
            assert not moved or parents[memory.current] == before
        elif action == "retract" and memory.retract():
            del states[before]
            assert memory.current == parents.pop(before)
        node = memory.current
        if node in states:
            assert state(memory) == states[node]
        else:
            parents[node] = before
            states[node] = state(memory)
        assert len(memory.tree) == len(states)
        alive = memory.store.alive
        counts = [int(alive[first : first + n].sum()) for first, n, _ in memory.store.blocks.rows]
        np.testing.assert_array_equal(memory.store.alive_in_block.rows, counts)
        occupied = len(np.unique(voxel_keys(memory.points()[0], VOXEL_M))) if len(memory.living()) else 0
        assert memory.stats().voxels_occupied == occupied
    for node, expected in states.items():
        memory.checkout(node)
        assert state(memory) == expected


def test_erasing_a_region_kills_what_is_in_it_and_can_be_undone() -> None:
    camera = camera_at(0, 0, 1.6, pitch_deg=-20)
    memory = memory_of([scene_view(camera)])
    before = memory.living()
    box = OrientedBox(np.array([4.0, 0.0, 0.0]), np.array([1.5, 1.0, 0.5]))
    positions, _ = memory.points()
    node = memory.erase(box, "no more path")
    assert memory.tree[node].kind == "erase" and memory.tree[node].label == "no more path"
    assert len(before) - len(memory.living()) == box.contains(positions).sum() > 0
    assert not box.contains(memory.points()[0]).any()
    assert not memory.sample_map(camera).covered.all()
    # What was erased is written again when it is seen again.
    assert memory.write(scene_view(camera, 1)).tokens_written > 0
    memory.undo()
    memory.undo()
    np.testing.assert_array_equal(memory.living(), before)
    far_away = OrientedBox(np.array([0.0, 0.0, 500.0]), np.ones(3))
    assert memory.erase(far_away) == memory.current == 1


def test_branches_go_their_own_ways() -> None:
    memory = memory_of([VIEWS[0]])
    trunk = memory.current
    left = memory.branch("left")
    memory.write(VIEWS[1])
    left_tip, left_living = memory.current, memory.living()
    memory.checkout(trunk)
    right = memory.branch("right")
    memory.write(VIEWS[3])
    assert memory.tree[left].label == "left" and memory.tree[right].parent == trunk
    assert set(memory.living()) != set(left_living)
    memory.checkout(left_tip)
    np.testing.assert_array_equal(memory.living(), left_living)
    assert memory.tree.ancestors(left_tip) == [left_tip, left, trunk, 0]
    memory.checkout(0)
    memory.redo()
    memory.redo()
    assert memory.current == left  # redo follows the branch last walked
    memory.rename(left, "  towards\nthe coast ")
    assert memory.tree[left].label == "towards the coast"


def test_senseless_edits_are_refused() -> None:
    memory = memory_of([VIEWS[0]])
    for wrong in (lambda: memory.checkout(9), lambda: memory.rename(-1, "x"), lambda: memory.branch("x" * 300)):
        with pytest.raises(InputError):
            wrong()
    for tokens in ([10**6], [-1]):
        with pytest.raises(InputError, match="Token ids"):
            memory.erase(tokens)
    for center, half, axes in (
        (np.zeros(2), np.ones(3), None),
        (np.full(3, np.nan), np.ones(3), None),
        (np.zeros(3), np.zeros(3), None),
        (np.zeros(3), np.ones(3), np.ones((3, 3))),
    ):
        with pytest.raises(InputError):
            OrientedBox(center, half, axes)


def test_paths_between_nodes_meet_at_the_common_ancestor() -> None:
    tree = WorldTree()
    a = tree.add("branch")
    tree.add("branch")
    tree.visit(a.id)
    c = tree.add("branch")
    back, forth = tree.path(2, c.id)
    assert [n.id for n in back] == [2] and [n.id for n in forth] == [c.id]
    assert tree.path(c.id, c.id) == ([], [])


def test_snapshots_never_change_and_only_grow() -> None:
    memory = memory_of([VIEWS[0]])
    first = memory.snapshot()
    assert memory.snapshot() is first
    kept = {
        name: np.array(getattr(first, name)) for name in ("positions", "rgb", "alive", "birth", "reads", "keyframe_c2w")
    }
    memory.write(VIEWS[2])
    memory.erase(memory.living()[:5])
    second = memory.snapshot()
    assert second.generation == first.generation and second.version > first.version and second.count > first.count
    for name, value in kept.items():
        np.testing.assert_array_equal(getattr(first, name), value)
        assert not getattr(first, name).flags.writeable
    for name in ("positions", "rgb", "birth", "footprint_m", "sky", "keyframe"):
        np.testing.assert_array_equal(getattr(second, name)[: first.count], getattr(first, name))
    assert second.alive.sum() == len(memory.living()) and len(second.keyframe_c2w) == 2
    finite = second.alive & ~second.sky
    np.testing.assert_allclose(second.positions[finite], memory.points()[0], rtol=1e-6)
    memory.undo()
    assert not memory.retract()  # the erasing came later: what it refers to stays
    memory = memory_of([VIEWS[0]])
    first = memory.snapshot()
    kept = {"positions": np.array(first.positions)}
    memory.write(VIEWS[2])
    second = memory.snapshot()
    assert memory.retract()
    memory.write(VIEWS[4])
    third = memory.snapshot()
    assert third.generation > second.generation  # numbers were given to others: draw anew
    for name, value in kept.items():
        np.testing.assert_array_equal(getattr(first, name), value)
