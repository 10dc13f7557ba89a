"""From memory snapshots to the vertex buffer: remembers what was uploaded, sends what is new or changed, keeps to a
cap. No GL here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from ui.memory_panel.packing import footprint_level, pack_count, pack_points, pack_rgb

if TYPE_CHECKING:
    from engine.memory.snapshot import MemorySnapshot

ColorMode = Literal["color", "latents", "age", "footprint", "reads"]
COLOR_MODES: dict[ColorMode, str] = {
    "color": "Decoded colour",
    "latents": "Latents (PCA)",
    "age": "Age",
    "footprint": "Footprint",
    "reads": "Times read",
}
Colors = Callable[["MemorySnapshot", np.ndarray], tuple[np.ndarray, np.ndarray]]
"""(snapshot, token ids (n,)) -> decoded colours (n, 3) uint8 and which of them are known (n,) bool."""
RUN_GAP = 512
"""Changed points closer than this in the buffer travel together: one larger upload is cheaper than many small ones."""


SKY_FOOTPRINT = 0.03
"""Side of a drawn sky token on the unit sphere: about that of a token of the embedded model."""


class PointSink(Protocol):
    """What the store fills; :class:`ui.memory_panel.points.PointVisual` is one."""

    @property
    def packed(self) -> np.ndarray: ...

    def clear(self) -> None: ...

    def append(self, packed: np.ndarray) -> int: ...

    def replace(self, first: int, packed: np.ndarray) -> None: ...


def thinned(tokens: np.ndarray, level: int) -> np.ndarray:
    """(n,) bool: a fixed, evenly scattered 1 / 2^level of token ids; each level keeps a part of the one below, so
    nothing flickers.
    """
    if level == 0:
        return np.ones(len(tokens), bool)
    scattered = (tokens.astype(np.uint64) * np.uint64(2654435761)) & np.uint64(0xFFFFFFFF)
    return (scattered >> np.uint64(32 - level)) == 0


class CloudStore:
    """Keeps one sink (surface points or sky) in step with snapshots.

    Attributes:
        snapshot: the newest one taken. rows: (n,) int64 token ids in buffer order, rising.
        living: tokens alive in the snapshot. shown: living tokens that were uploaded. level: the cloud is thinned
            to 1 / 2^level.
        cap: most living points to show.
    """

    def __init__(self, sink: PointSink, colors: Colors, *, sky: bool, cap: int) -> None:
        self.sink = sink
        self.sky = sky
        self.cap = cap
        self.mode: ColorMode = "color"
        self.level = 0
        self.living = 0
        self.shown = 0
        self.snapshot: MemorySnapshot | None = None
        self._colors = colors
        self._clear_buffer()

    def update(self, snapshot: MemorySnapshot) -> None:
        """Take a snapshot: only new tokens and those whose liveness (or shown number of reads) changed are uploaded."""
        if self.snapshot is None or snapshot.generation != self.snapshot.generation or snapshot.count < self._seen:
            self._clear_buffer()
        self.snapshot = snapshot
        self.living = int((snapshot.alive & (snapshot.sky == self.sky)).sum())
        level = self._wanted_level()
        if level != self.level:
            self.level = level
            self._clear_buffer()
        self._revise(snapshot)
        self._extend(snapshot)
        self.shown = int(self._alive.sum())

    def set_mode(self, mode: ColorMode) -> None:
        """Pack another colour source; every point travels again."""
        if mode != self.mode:
            self.mode = mode
            self._refill()

    def set_cap(self, cap: int) -> None:
        """Show at most that many points."""
        self.cap = cap
        before, self.level = self.level, 0  # no slack: the user asked for it
        self.level = self._wanted_level()
        if self.level != before:
            self._refill()

    def clear(self) -> None:
        """Forget the snapshot."""
        self._clear_buffer()
        self.snapshot = None
        self.living = self.shown = self.level = 0

    # --------------------------------------------------------------------------------------------------- reading

    @property
    def rows(self) -> np.ndarray:
        """(n,) token ids in buffer order."""
        return self._rows[: self._count]

    def points(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Uploaded points in buffer order: positions (n, 3), shown (n,) bool, token ids (n,) int64."""
        return self.sink.packed[:, :3], self._alive, self.rows

    def all_points(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Every token of the snapshot, thinned out or not: positions (n, 3), living (n,) bool, token ids (n,) int64."""
        snapshot = self.snapshot
        if snapshot is None:
            return np.zeros((0, 3), np.float32), np.zeros(0, bool), np.zeros(0, np.int64)
        return snapshot.positions, snapshot.alive & (snapshot.sky == self.sky), np.arange(snapshot.count)

    def payload_range(self) -> tuple[float, float]:
        """Smallest and largest ``birth``, ``reads`` or footprint level (by mode) among shown points; (0, 1) without
        any.
        """
        if self.snapshot is None or not self._alive.any():
            return 0.0, 1.0
        rows = self.rows[self._alive]
        if self.mode == "footprint":
            levels = footprint_level(self.snapshot.footprint_m[rows])
            low, high = np.percentile(levels, (1, 99))
            return float(low), float(max(high, low + 1))
        values = self.snapshot.birth[rows] if self.mode == "age" else self.snapshot.reads[rows]
        return float(values.min()), float(max(int(values.max()), int(values.min()) + 1))

    def bounds(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Corners (3,), (3,) around the middle 96 % of shown points, or ``None`` without any."""
        positions, shown, _ = self.points()
        positions = positions[shown]
        if len(positions) == 0:
            return None
        low, high = np.percentile(positions[:: max(1, len(positions) // 20_000)], (2, 98), axis=0)
        return low, np.maximum(high, low + 0.1)

    # ---------------------------------------------------------------------------------------------------- inside

    def _clear_buffer(self) -> None:
        self.sink.clear()
        self._rows = np.zeros(0, np.int64)
        self._count = 0
        self._seen = 0
        self._alive = np.zeros(0, bool)
        self._reads = np.zeros(0, np.uint16)
        self._uncolored = np.zeros(0, np.int64)

    def _refill(self) -> None:
        if self.snapshot is not None:
            self._clear_buffer()
            self.update(self.snapshot)

    def _wanted_level(self) -> int:
        level = 0
        while self.living >> level > self.cap:
            level += 1
        if level < self.level and self.living >> level > self.cap * 0.8:
            return self.level  # a little slack, so that a cloud about as large as the cap is not refilled over and over
        return level

    def _extend(self, snapshot: MemorySnapshot) -> None:
        new = np.arange(self._seen, snapshot.count)
        self._seen = snapshot.count
        new = new[(snapshot.sky[new] == self.sky) & thinned(new, self.level)]
        if len(new) == 0:
            return
        self.sink.append(self._pack(snapshot, new, len(self.rows)))
        self._rows = np.concatenate([self.rows, new])
        self._count = len(self._rows)
        self._alive = np.concatenate([self._alive, snapshot.alive[new]])
        self._reads = np.concatenate([self._reads, snapshot.reads[new]])

    def _revise(self, snapshot: MemorySnapshot) -> None:
        rows = self.rows
        if len(rows) == 0:
            return
        alive = snapshot.alive[rows]
        changed = alive != self._alive
        if self.mode == "reads":
            reads = snapshot.reads[rows]
            changed |= reads != self._reads
            self._reads = reads
        if len(self._uncolored) and self.mode == "color":
            waiting = self._uncolored
            known = self._colors(snapshot, rows[waiting])[1]
            changed[waiting[known]] = True
            self._uncolored = waiting[~known]
        self._alive = alive
        index = np.flatnonzero(changed)
        if len(index) == 0:
            return
        for run in np.split(index, np.flatnonzero(np.diff(index) > RUN_GAP) + 1):
            first, last = int(run[0]), int(run[-1]) + 1
            self.sink.replace(first, self._pack(snapshot, rows[first:last], None))

    def _pack(self, snapshot: MemorySnapshot, rows: np.ndarray, first: int | None) -> np.ndarray:
        """Packed points of token ids ``rows (n,)``; ``first``: where they will stand in the buffer if they are new
        there.
        """
        if self.mode == "color":
            colors, known = self._colors(snapshot, rows)
            payload = pack_rgb(colors)
            if first is not None and not known.all():
                self._uncolored = np.concatenate([self._uncolored, first + np.flatnonzero(~known)])
        elif self.mode == "latents":
            payload = pack_rgb(snapshot.rgb[rows])
        elif self.mode == "age":
            payload = pack_count(snapshot.birth[rows])
        else:
            payload = pack_count(snapshot.reads[rows]) if self.mode == "reads" else np.zeros(len(rows), np.uint32)
        positions, footprint_m = snapshot.positions[rows], snapshot.footprint_m[rows]
        if self.sky:
            positions = positions - snapshot.keyframe_c2w[snapshot.keyframe[rows], :3, 3]
            positions = positions / np.maximum(np.linalg.norm(positions, axis=1, keepdims=True), 1e-9)
            footprint_m = np.full(len(rows), SKY_FOOTPRINT, np.float32)
        return pack_points(positions, payload, footprint_m, snapshot.alive[rows])
