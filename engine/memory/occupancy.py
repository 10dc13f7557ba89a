"""How much of the world is remembered: voxels that hold a living token, counted as tokens come and go."""

from __future__ import annotations

import numpy as np
from numba import njit

from engine.voxels import voxel_keys

VOXEL_M = 0.5
_EMPTY = np.int64(-1)


@njit(cache=True, nogil=True)
def _change(keys: np.ndarray, table: np.ndarray, counts: np.ndarray, delta: int) -> int:
    """Add ``delta`` to the count of every key in an open-addressing table; returns how many voxels came or went."""
    mask = len(table) - 1
    changed = 0
    for key in keys:
        slot = np.int64((np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(20)) & mask
        while table[slot] != key and table[slot] != _EMPTY:
            slot = (slot + 1) & mask
        if table[slot] == _EMPTY:
            table[slot] = key
        before = counts[slot]
        counts[slot] += delta
        if before == 0 and counts[slot] > 0:
            changed += 1
        elif before > 0 and counts[slot] == 0:
            changed -= 1
    return changed


class Occupancy:
    """Counts of living tokens per voxel of :data:`VOXEL_M`; at most 12 bytes per slot, slots never over half full."""

    def __init__(self) -> None:
        self._table = np.full(1024, _EMPTY)
        self._counts = np.zeros(1024, np.int32)
        self._keys_seen = 0
        self.voxels = 0

    def change(self, points: np.ndarray, *, alive: bool) -> None:
        """Tokens at world points (n, 3), metres, came to life or died."""
        keys = voxel_keys(points, VOXEL_M)
        self._keys_seen += len(keys)
        if self._keys_seen * 2 > len(self._table):
            self._grow(len(keys))
        self.voxels += _change(keys, self._table, self._counts, 1 if alive else -1)

    def _grow(self, coming: int) -> None:
        """Room for the living voxels and ``coming`` more, all of which may be new: a full table would be searched
        without end."""
        used = self._counts > 0
        keys, counts = self._table[used], self._counts[used]
        self._keys_seen = len(keys) + coming
        size = 1 << int(np.ceil(np.log2(max(1024, 4 * self._keys_seen))))
        self._table, self._counts = np.full(size, _EMPTY), np.zeros(size, np.int32)
        for count in np.unique(counts):
            _change(keys[counts == count], self._table, self._counts, int(count))
