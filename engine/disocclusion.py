"""What a near thing uncovers as it passes, suggested from what lies beside it.

Such a strip is too narrow for a place and too plain to be left to chance: the wood behind a fir goes on behind it. So
an unknown cell is lent a known one of its own row, where rays rise and fall alike, mirrored at the seam on the side
that lies farther away. The denoiser takes it as a suggestion; of what is too little to ask it, it is shown so, and not
remembered.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numba import njit
from scipy.ndimage import minimum_filter1d
from torch import Tensor

from engine.cells import in_samples
from engine.memory import surface

if TYPE_CHECKING:
    from engine.memory import Readout

SUGGESTED = 0.5
"""Coverage of a cell that is lent: all its samples are given, as of a cell that is remembered, yet they are only to be
believed half."""
REACH_CELLS = 12
"""Nothing is lent farther than this."""
NEARER = 1.3
"""What lies so many times nearer than the farthest in reach is a thing before the background: it is not lent."""
HIDES = 1.15
"""What lies so many times nearer hides what lies behind it."""
BACKGROUND = 0.01
"""Inverse depth, 1/m: beyond a hundred metres all is background."""
STANDS, WINDOW_CELLS = 1.2, 16
"""A thing stands before what is so many times farther in its row, so far to both sides: level ground is all equally
far there."""
SOLITARY_CELLS = 5
"""A thing that is no wider, and stands before something farther, stands alone."""
BACKMOST = 0.002
"""Inverse depth, 1/m: what lies farther is no longer told apart from the sky."""


def lenders(coverage: Tensor, inverse_depth: Tensor, *, between: bool = False) -> Tensor:
    """Which column each unknown cell is lent.

    Args:
        coverage: (h, w) in [0, 1], how much of each cell is known. inverse_depth: (h*s, w*s) 1/m, 0 is sky.
        between: only cells that have something known on both sides, as what a near thing uncovers has.

    Returns:
        (h, w) int64, -1 where a cell is known or has nobody to lend to it.
    """
    share = coverage.cpu().numpy()
    nearest, one = surfaces(inverse_depth, share.shape)
    hole, clean = share < 0.5, one & (share > 0.99)
    source = _lenders(hole, clean & ~solitary(nearest, hole, 1), nearest, between)
    left = hole & (source < 0)
    return torch.from_numpy(np.where(left, _lenders(left, clean, nearest, between), source) if left.any() else source)


def surfaces(inverse_depth: Tensor, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """How near (1/m) the cells of a view are, and which show one surface alone; both ``shape (h, w)``, of
    ``inverse_depth (h*s, w*s)``."""
    return surface.surfaces(inverse_depth.cpu().numpy(), inverse_depth.shape[-1] // shape[1])


def farthest_around(nearest: np.ndarray, told: np.ndarray, fineness: int) -> np.ndarray:
    """(h, w): how near (1/m) the farthest is of those cells that are ``told (h, w)`` bool and lie beside it in its
    row, ``WINDOW_CELLS`` to both sides; infinite if there is none. ``fineness`` cells are one of a frame, a side."""
    window = 2 * fineness * WINDOW_CELLS + 1
    return np.asarray(minimum_filter1d(np.where(told, nearest, np.inf), window, axis=1, mode="nearest"))


@njit(cache=True)
def solitary(nearest: np.ndarray, hole: np.ndarray, fineness: int) -> np.ndarray:
    """(h, w) bool: cells of things that stand alone, by how near (1/m) each cell is; nothing is told of a ``hole``,
    and beyond the edge. There are ``fineness`` cells for one of a frame, a side.

    A tower beside what a passing tree uncovers is not what goes on behind the tree: lent, it stands there twice.
    """
    h, w = nearest.shape
    widest = fineness * SOLITARY_CELLS
    found = np.zeros((h, w), np.bool_)
    for y in range(h):
        for x in range(w):
            ends, before = 0, False
            behind = max(nearest[y, x] / NEARER, BACKMOST)
            if hole[y, x] or nearest[y, x] <= NEARER * BACKMOST:
                continue
            for towards in (-1, 1):
                for away in range(1, widest + 1):
                    there = x + towards * away
                    if not 0 <= there < w or hole[y, there]:
                        ends += away
                        break
                    if nearest[y, there] <= behind or nearest[y, there] > NEARER * nearest[y, x]:
                        before |= nearest[y, there] <= behind
                        ends += away
                        break
                else:
                    ends += widest + 1
            found[y, x] = before and ends <= widest + 1
    return found


def lend(cells: Tensor, column: Tensor, samples: int = 1) -> Tensor:
    """``cells (..., h*samples, w*samples)`` with those that are lent another taken from it, as :func:`lenders` says in
    ``column (h, w)``."""
    h, w = column.shape
    source = torch.where(column >= 0, column, torch.arange(w)).to(cells.device)
    split = cells.unflatten(-2, (h, samples)).unflatten(-1, (w, samples))
    index = source[:, None, :, None].expand(*split.shape)
    return split.gather(-2, index).flatten(-2).flatten(-3, -2)


def extend_background(readout: Readout, *, between: bool = False) -> Readout:
    """``readout`` with suggestions in its unknown cells, wherever :func:`lenders` finds any."""
    column = lenders(readout.coverage, readout.inverse_depth, between=between)
    taken = column >= 0
    if not bool(taken.any()):
        return readout
    coverage = torch.where(taken.to(readout.coverage.device), SUGGESTED, readout.coverage)
    return replace(lent(readout, column), coverage=coverage)


def lent(readout: Readout, column: Tensor) -> Readout:
    """``readout`` with its cells lent to each other, as :func:`lend` does with maps."""
    samples = readout.covered.shape[-1] // column.shape[-1]
    return replace(
        readout,
        features=lend(readout.features, column),
        coverage=lend(readout.coverage, column),
        inverse_depth=lend(readout.inverse_depth, column, samples),
        covered=lend(readout.covered, column, samples),
        sky=lend(readout.sky, column, samples),
        log2_scale=lend(readout.log2_scale, column),
    )


@njit(cache=True)
def _lenders(hole: np.ndarray, clean: np.ndarray, nearest: np.ndarray, between: bool) -> np.ndarray:
    """:func:`lenders` of cells that are holes, whole and of one surface, and as near as that, (h, w) each."""
    h, w = hole.shape
    source = np.full((h, w), -1, np.int64)
    for y in range(h):
        for x in range(w):
            if not hole[y, x]:
                continue
            seam, side, limit, sides = -1, 0, np.inf, 0
            for towards in (-1, 1):
                farthest = np.inf
                for away in range(1, REACH_CELLS + 1):
                    there = x + towards * away
                    if 0 <= there < w and clean[y, there]:
                        farthest = min(farthest, nearest[y, there])
                allowed = max(NEARER * farthest, BACKGROUND)
                for away in range(1, REACH_CELLS + 1):
                    there = x + towards * away
                    if 0 <= there < w and clean[y, there] and nearest[y, there] <= allowed:
                        sides += 1
                        if allowed * NEARER < limit or (allowed < limit * NEARER and away < abs(seam - x)):
                            seam, side, limit = there, towards, allowed
                        break
            if sides == 0 or (between and sides == 1):
                continue
            length = 1  # of what may be lent, there and back again
            while length < REACH_CELLS:
                there = seam + side * length
                if not (0 <= there < w) or not clean[y, there] or nearest[y, there] > limit:
                    break
                length += 1
            turn = abs(seam - x) % (2 * length)
            source[y, x] = seam + side * (turn if turn < length else 2 * length - 1 - turn)
    return source


def without_suggested(writable: Tensor, believed: Readout, known: Tensor) -> Tensor:
    """Inverse depth (h*s, w*s) as it is to be written: NaN where it was only suggested, and nobody judged what of that
    there is; ``known (h*s, w*s)`` bool is not."""
    suggested = in_samples(believed.coverage <= SUGGESTED, known)
    return torch.where(suggested & ~known, writable.new_tensor(float("nan")), writable)
