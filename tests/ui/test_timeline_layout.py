"""The world tree as a drawing, and a path's times, for any tree and any edits."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.messages import TreeNode, TreeUpdate
from ui.timeline.tree_layout import ancestors, layout_tree, tips


@st.composite
def trees(draw: st.DrawFn) -> TreeUpdate:
    """Any tree of up to 60 nodes, steps and edits, some with names."""
    count = draw(st.integers(1, 60))
    nodes = [TreeNode(0, -1, "start", 0.0, 0)]
    for ident in range(1, count):
        parent = draw(st.integers(max(0, ident - 4), ident - 1))
        frame = draw(st.sampled_from([ident, ident, ident, -1]))
        label = draw(st.sampled_from(["", "", f"step {ident}", "old mill"]))
        nodes.append(TreeNode(ident, parent, label, float(ident), frame))
    return TreeUpdate(tuple(nodes), draw(st.integers(0, count - 1)))


@given(trees())
def test_every_branch_is_drawn_once_and_nothing_overlaps(tree: TreeUpdate) -> None:
    items = layout_tree(tree)
    shown = {item.node.id for item in items}
    assert len(shown) == len(items)
    assert {node.id for node in tips(tree)} <= shown
    assert {0, tree.current} <= shown
    assert all(node.id in shown for node in tree.nodes if node.label == "old mill")
    assert all(item.folded + 1 >= 1 and item.parent < index for index, item in enumerate(items))
    folded = sum(item.folded for item in items)
    assert folded + len(items) == len(tree.nodes)  # a run of steps is folded, none is lost
    for item in items:
        if item.parent >= 0:
            assert items[item.parent].x < item.x  # time runs to the right
            assert items[item.parent].node.id in ancestors(tree, item.node.id)
    places = {(round(item.x, 6), item.y) for item in items}
    assert len(places) == len(items)


@given(trees())
def test_the_way_to_the_present_is_marked(tree: TreeUpdate) -> None:
    here = ancestors(tree, tree.current)
    for item in layout_tree(tree):
        assert item.on_path == (item.node.id in here)
        assert item.tip == all(node.parent != item.node.id for node in tree.nodes)


def test_a_long_flight_is_one_line() -> None:
    nodes = tuple(TreeNode(i, i - 1, f"step {i}", float(i), i) for i in range(5000))
    items = layout_tree(TreeUpdate(nodes, 4999))
    assert [item.node.id for item in items] == [0, 4999]
    assert items[1].folded == 4998
    assert np.isclose(items[1].x, 1.0 + 0.28 * np.log2(4999))
