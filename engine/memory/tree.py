"""The world tree: every edit is a node, the present is one of them, and nothing is copied.

A node says which keyframes it wrote, which tokens it killed and which it froze or thawed. A token lives at a node if
the node that wrote it is an ancestor (or the node itself) and no node on the way killed it. Moving the present walks
the path between two nodes and applies or takes back each node's change, so its cost is what changes, not what exists.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from engine.errors import InputError

MAX_LABEL = 200
ROW_LISTS = ("killed", "revived", "frozen", "thawed")
"""What a node may change of tokens, by their rows."""
NODE_BYTES = 400
"""About what an empty node takes."""


def _no_rows() -> np.ndarray:
    return np.empty(0, np.int64)


@dataclass
class Node:
    """One edit.

    Attributes:
        id: position in the tree's table; the root is 0.
        parent: id of the node it changes, -1 for the root.
        kind: ``root``, ``write``, ``erase``, ``freeze``, ``thaw``, ``branch`` or ``cross``.
        label: the user's name for it, or "".
        created_s: seconds since 1970, for display only.
        keyframe: index of the keyframe it wrote, -1 for none. backdrop: of the one behind that. finer: of those that
            refine it, coarse to fine.
        killed, revived, frozen, thawed: rows (n,) int64 that changed here.
        written: how many tokens it wrote.
        country: the node that founded the country which is shown from here on, 0 for the first; see
            :mod:`engine.memory.countries`.
    """

    id: int
    parent: int
    kind: str
    label: str = ""
    created_s: float = 0.0
    keyframe: int = -1
    backdrop: int = -1
    finer: tuple[int, ...] = ()
    written: int = 0
    country: int = 0
    killed: np.ndarray = field(default_factory=_no_rows)
    revived: np.ndarray = field(default_factory=_no_rows)
    frozen: np.ndarray = field(default_factory=_no_rows)
    thawed: np.ndarray = field(default_factory=_no_rows)

    @property
    def keyframes(self) -> tuple[int, ...]:
        """Those it wrote."""
        return tuple(index for index in (self.keyframe, self.backdrop, *self.finer) if index >= 0)

    @property
    def row_bytes(self) -> int:
        """What its lists of rows cost."""
        return sum(getattr(self, name).nbytes for name in ROW_LISTS)


class WorldTree:
    """Nodes by id. Knows the shape of history; what a node means for tokens is the memory's business."""

    def __init__(self) -> None:
        self.nodes: list[Node] = [Node(0, -1, "root", "start", time.time())]
        self.children: list[list[int]] = [[]]
        self.current = 0
        self._row_bytes = 0
        self._last_child: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.nodes)

    @property
    def bytes(self) -> int:
        """What all nodes cost."""
        return NODE_BYTES * len(self.nodes) + self._row_bytes

    def record(self, node: Node, **rows: np.ndarray) -> None:
        """Set which rows (n,) int64 a node ``killed``, ``revived``, ``frozen`` or ``thawed``."""
        self._row_bytes -= node.row_bytes
        for name, value in rows.items():
            setattr(node, name, value)
        self._row_bytes += node.row_bytes

    def __getitem__(self, node: int) -> Node:
        if not 0 <= node < len(self.nodes):
            raise InputError(
                f"There is no node {node} in this world's history; it has nodes 0 to {len(self.nodes) - 1}."
            )
        return self.nodes[node]

    def add(self, kind: str, label: str = "") -> Node:
        """A new child of the present, which becomes the present."""
        node = Node(len(self.nodes), self.current, kind, checked_label(label), time.time())
        node.country = self.nodes[self.current].country
        self.nodes.append(node)
        self.children.append([])
        self.children[self.current].append(node.id)
        self._last_child[self.current] = node.id
        self.current = node.id
        return node

    def drop_newest(self) -> None:
        """Forget the newest node, which is the present; its parent becomes the present."""
        node = self.nodes.pop()
        self.children.pop()
        self._row_bytes -= node.row_bytes
        siblings = self.children[node.parent]
        siblings.remove(node.id)
        if siblings:
            self._last_child[node.parent] = siblings[-1]
        else:
            self._last_child.pop(node.parent, None)
        self.current = node.parent

    def path(self, start: int, end: int) -> tuple[list[Node], list[Node]]:
        """Nodes to take back (from ``start`` upwards) and nodes to apply (downwards to ``end``) to get from one to the
        other."""
        back, forth = [], []
        a, b = self[start].id, self[end].id
        while a != b:
            if a > b:  # ids grow away from the root, so the larger one is never the common ancestor
                back.append(self.nodes[a])
                a = self.nodes[a].parent
            else:
                forth.append(self.nodes[b])
                b = self.nodes[b].parent
        return back, forth[::-1]

    def visit(self, node: int) -> None:
        """Make ``node`` the present and remember the way, so that redo follows the branch last walked."""
        below = self[node].id
        self.current = below
        while (parent := self.nodes[below].parent) >= 0:
            self._last_child[parent] = below
            below = parent

    def ancestors(self, node: int) -> list[int]:
        """Ids from ``node`` to the root, both included."""
        found = [self[node].id]
        while self.nodes[found[-1]].parent >= 0:
            found.append(self.nodes[found[-1]].parent)
        return found

    def next_child(self) -> int | None:
        """Where redo leads: the child of the present that was last walked, or None at a tip."""
        return self._last_child.get(self.current)

    def rename(self, node: int, label: str) -> None:
        self[node].label = checked_label(label)


def checked_label(label: str) -> str:
    """``label`` on one line, or an :class:`InputError` if it is too long."""
    text = " ".join(label.split())
    if len(text) > MAX_LABEL:
        raise InputError(f"A name may have at most {MAX_LABEL} characters; this one has {len(text)}.")
    return text
