"""Several countries in the same space, of which the one is shown that was seen from where one is.

Where a view is renewed (:mod:`engine.renewal`), another country is set down in the stead of what one sees: a write
*founds* it. What was there is hidden, not lost. Who comes back and looks as they did then *crosses* over to it again,
and what stands in its stead is hidden until they return. Both are nodes of the world tree, so history stays history.

Two countries are told apart only within the view that founded the second; all else is common to both.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.camera import Camera
from engine.memory.points import project
from engine.memory.store import TokenStore
from engine.memory.tree import Node, WorldTree

NEAR_M, ALIKE_DEG = 4.0, 30.0
"""A view is seen from where an earlier one was if it is no farther, and turned by no more than that."""
LEFT_M = 8.0
"""One comes back to a view after flying so far: what lies along the way that one is on is no return."""
INWARDS_M, OUTWARDS_M = 0.5, 1.5
"""One is in a country from so far behind the view that founded it on, and out of it so far behind that: else one would
change to and fro at its border."""
BEYOND = 0.25
"""A view that is renewed is so so far beyond its edges too, as a share of its size."""
BACK, ONWARD = "back", "onward"
"""What the nodes of history are called."""


class Trail:
    """The views along the history of the present, and how they lie to a camera.

    Attributes:
        country: (n,) int64, of each, oldest first. apart_m: (n,) metres from the camera.
        near: (n,) bool, whether the camera is where it was seen from, and looks the same way.
        left: (n,) bool, whether it was left since.
    """

    def __init__(self, store: TokenStore, tree: WorldTree, camera: Camera) -> None:
        past = np.zeros(len(tree), np.bool_)
        past[tree.ancestors(tree.current)] = True
        writers, first = np.unique(store.keyframe_node.rows, return_index=True)
        writers, first = writers[past[writers]], first[past[writers]]
        poses = store.keyframes.rows[first].astype(np.float64)
        positions, forward = poses[:, 9:12], poses[:, 2:9:3]
        way_m = np.linalg.norm(np.diff(positions, axis=0, append=camera.position[None]), axis=1)
        self.country = np.array([tree.nodes[node].country for node in writers], np.int64)
        self.apart_m = np.linalg.norm(positions - camera.position, axis=1)
        self.near = _alike(forward, camera) & (self.apart_m < NEAR_M)
        self.left = np.cumsum(way_m[::-1])[::-1] > LEFT_M

    @property
    def returned(self) -> bool:
        """Whether one was here before, looked as one does now, and had left since."""
        return bool((self.near & self.left).any())


class Countries:
    """The countries of a tree.

    Args:
        cell_center: of the memory's configuration.
    """

    def __init__(self, store: TokenStore, tree: WorldTree, cell_center: float) -> None:
        self._store, self._tree, self._cell_center = store, tree, cell_center

    def seen_in(self, camera: Camera) -> int:
        """The country that a camera's view was seen in before: that of the nearest earlier view that it may cross to.

        Where one looks as those did that founded a country, one is in it beyond them; where one looks another way, one
        comes back to a view that was left, unless this country has such a view, too.
        """
        trail, shown = Trail(self._store, self._tree, camera), self._tree.nodes[self._tree.current].country
        again = trail.near & trail.left
        at_home = bool((again & (trail.country == shown)).any())
        others = np.flatnonzero(trail.near & (trail.country != shown))
        for index in others[np.argsort(trail.apart_m[others])]:
            other = int(trail.country[index])
            line = self._line(other)
            inwards = shown in line
            beyond_m = self._beyond_m(line[line.index(shown) - 1] if inwards else shown, camera)
            if beyond_m is None:
                crosses = bool(again[index]) and not at_home
            else:
                crosses = beyond_m > -INWARDS_M if inwards else beyond_m < -OUTWARDS_M
            if crosses:
                return other
        return shown

    def _beyond_m(self, founded: int, camera: Camera) -> float | None:
        """How far a camera is beyond the view that founded a country, metres along it; ``None`` if it looks another
        way, or that was evicted."""
        keyframe = self._tree.nodes[founded].keyframe
        if keyframe < 0:
            return None
        view = self._store.keyframe(keyframe).camera
        ahead = view.c2w[:3, 2]
        return float((camera.position - view.position) @ ahead) if _alike(ahead, camera) else None

    def crossings(self, country: int) -> Iterator[Node]:
        """Add nodes to the tree, one for each border on the way from the country that is shown to another, without
        applying what they change: the caller does, before it asks for the next."""
        here, there = self._line(self._tree.nodes[self._tree.current].country), self._line(country)
        common = next(c for c in here if c in there)
        for founded in here[: here.index(common)]:
            yield self._leave(founded)
        for founded in there[: there.index(common)][::-1]:
            yield self._enter(founded)

    def _line(self, country: int) -> list[int]:
        """The country, that which it was founded in, and so on to the first."""
        line = [country]
        while line[-1]:
            line.append(self._parent(line[-1]))
        return line

    def _parent(self, country: int) -> int:
        """The country that another was founded in."""
        return self._tree.nodes[self._tree.nodes[country].parent].country

    def _leave(self, founded: int) -> Node:
        """Cross the border of a country outwards."""
        last, since = self._since(founded)
        inside = self._inside(founded)
        within, seen = self._written_in(inside), self._seen(founded)
        alive = self._store.alive & ~self._store.frozen
        back = _rows([node.killed for node in since if node.kind == "write" and node.country in inside])
        back = back[seen[back] | np.isin(back, self._tree.nodes[founded].killed)]
        back = np.union1d(back, last.killed) if last is not None else back
        back = back[~self._store.alive[back] & ~within[back]]
        return self._cross(self._parent(founded), np.flatnonzero(alive & within & seen), back)

    def _enter(self, founded: int) -> Node:
        """Cross it inwards again."""
        last, since = self._since(founded)
        if last is None:  # it was never left, which only a history can say that somebody made up
            return self._cross(founded, np.empty(0, np.int64), np.empty(0, np.int64))
        inside = self._inside(founded)
        newer = np.zeros(len(self._store), np.bool_)
        for node in since:
            for keyframe in node.keyframes:
                first, count = self._store.spans.rows[keyframe, :2]
                newer[first : first + count] = node.country not in inside
        hidden = newer & self._seen(founded)
        hidden[last.revived] = True
        hidden &= self._store.alive & ~self._store.frozen
        return self._cross(founded, np.flatnonzero(hidden), last.killed[~self._store.alive[last.killed]])

    def _cross(self, country: int, killed: np.ndarray, revived: np.ndarray) -> Node:
        node = self._tree.add("cross", ONWARD if country > self._tree.nodes[self._tree.current].country else BACK)
        node.country = country
        self._tree.record(node, killed=killed, revived=revived)
        return node

    def _since(self, founded: int) -> tuple[Node | None, list[Node]]:
        """The last crossing of a country's border and what came after it; without one, all from its founding on."""
        since: list[Node] = []
        for number in self._tree.ancestors(self._tree.current):
            node = self._tree.nodes[number]
            if node.kind == "cross" and founded == max(node.country, self._tree.nodes[node.parent].country):
                return node, since
            since.append(node)
            if number == founded:
                break
        return None, since

    def _inside(self, founded: int) -> set[int]:
        """A country and those that were founded in it, in those, and so on."""
        inside = {founded}
        for country in sorted({node.country for node in self._tree.nodes}):  # a country is younger than what it lies in
            if country > founded and self._parent(country) in inside:
                inside.add(country)
        return inside

    def _written_in(self, countries: set[int]) -> np.ndarray:
        """(N,) bool: tokens that were written in any of some countries."""
        nodes = np.array([node.country in countries for node in self._tree.nodes])
        rows = np.arange(len(self._store))
        return nodes[self._store.keyframe_node.rows[self._store.keyframes_of(rows)]]

    def _seen(self, founded: int) -> np.ndarray:
        """(N,) bool: tokens within the view that founded a country; none if that view was evicted."""
        keyframe = self._tree.nodes[founded].keyframe
        if keyframe < 0:
            return np.zeros(len(self._store), np.bool_)
        view = self._store.keyframe(keyframe).camera
        x, y, _ = project(self._store, np.arange(len(self._store)), view, self._cell_center)
        return (np.abs(x / view.width - 0.5) < 0.5 + BEYOND) & (np.abs(y / view.height - 0.5) < 0.5 + BEYOND)


def _alike(forward: np.ndarray, camera: Camera) -> np.ndarray:
    """(...) bool: whether directions (..., 3) are about that of a camera."""
    return np.asarray(forward @ camera.c2w[:3, 2] > np.cos(np.deg2rad(ALIKE_DEG)))


def _rows(parts: list[np.ndarray]) -> np.ndarray:
    return np.unique(np.concatenate([np.empty(0, np.int64), *parts]))
