"""The world tree as a drawing: runs of single steps are folded; branch points, tips, names and edits stay."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from engine.messages import TreeNode, TreeUpdate

_STEP_LABEL = re.compile(r"(step|frame|chunk)?\s*#?\d*", re.IGNORECASE)


@dataclass(frozen=True)
class TreeItem:
    """One drawn node.

    Attributes:
        node: the tree node. x, y: place in units of a column and a lane. parent: index of the drawn parent in the
            list, -1 at the root.
        folded: steps hidden between the parent and this one. tip: it has no children. on_path: it leads to the
            current node.
        name: what to write beside it, "" for nothing.
    """

    node: TreeNode
    x: float
    y: int
    parent: int
    folded: int
    tip: bool
    on_path: bool
    name: str


def named(node: TreeNode) -> bool:
    """The label is more than a number the engine gave."""
    return bool(node.label) and _STEP_LABEL.fullmatch(node.label.strip()) is None


def edited(node: TreeNode) -> bool:
    """The node erased or froze something instead of showing a frame."""
    return node.frame < 0 and node.parent >= 0


def ancestors(tree: TreeUpdate, node: int) -> set[int]:
    """Ids from ``node`` to the root, both included."""
    parents = {item.id: item.parent for item in tree.nodes}
    found: set[int] = set()
    while node in parents and node not in found:
        found.add(node)
        node = parents[node]
    return found


def tips(tree: TreeUpdate) -> list[TreeNode]:
    """Nodes without children, newest first."""
    parents = {node.parent for node in tree.nodes}
    return sorted((node for node in tree.nodes if node.id not in parents), key=lambda node: -node.created)


def layout_tree(tree: TreeUpdate) -> list[TreeItem]:
    """Drawn nodes, parents before children. A lane a branch; the oldest child goes straight on."""
    nodes = {node.id: node for node in tree.nodes}
    children: dict[int, list[int]] = {node.id: [] for node in tree.nodes}
    roots = []
    for node in sorted(tree.nodes, key=lambda item: item.id):
        if node.parent in children:
            children[node.parent].append(node.id)
        else:
            roots.append(node.id)
    path = ancestors(tree, tree.current)

    def kept(ident: int) -> bool:
        node = nodes[ident]
        return (
            len(children[ident]) != 1
            or ident == tree.current
            or node.parent not in nodes
            or named(node)
            or edited(node)
        )

    items: list[TreeItem] = []
    lanes = 0
    stack = [(root, -1, 0, 0) for root in reversed(roots)]  # node, drawn parent, folded so far, lane (-1: a new one)
    while stack:
        ident, parent, folded, lane = stack.pop()
        if not kept(ident):
            stack.append((children[ident][0], parent, folded + 1, lane))
            continue
        if lane < 0 or parent < 0:
            lane, lanes = lanes, lanes + 1
        x = 0.0 if parent < 0 else items[parent].x + 1.0 + 0.28 * math.log2(1 + folded)
        tip = not children[ident]
        items.append(
            TreeItem(
                nodes[ident],
                x,
                lane,
                parent,
                folded,
                tip,
                ident in path,
                _name(nodes[ident], tip, ident == tree.current),
            )
        )
        here = len(items) - 1
        for order, child in reversed(list(enumerate(children[ident]))):
            stack.append((child, here, 0, lane if order == 0 else -1))
    return items


def _name(node: TreeNode, tip: bool, current: bool) -> str:
    if named(node):
        return node.label
    if edited(node):
        return "edit"
    if node.frame >= 0 and (tip or current):
        return f"step {node.frame}"
    return ""
