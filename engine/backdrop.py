"""What stands behind near things, imagined in one piece when they are first seen.

A camera that moves uncovers it a strip at a time. Strips that are imagined one by one go on from each other: what
begins as a blemish ends as a streak. So what a new near thing hides is lent at once what lies beside it, or the ground
where that goes on behind (:mod:`engine.ground`), and remembered behind it: the second layer of a layered depth image
(Shade et al. 1998; Shih et al. 2020 for photographs).
"""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from scipy.ndimage import binary_closing, binary_dilation
from torch import Tensor

from engine.camera import Camera
from engine.cells import in_samples
from engine.disocclusion import BACKGROUND, BACKMOST, HIDES, NEARER, STANDS, farthest_around, lend, solitary, surfaces
from engine.ground import ground_behind
from engine.halves import hidden_halves
from engine.memory import LatentView
from engine.memory.surface import spoiled

FARTHEST = 1.0 / 150.0
"""Inverse depth, 1/m: what is farther moves too little to uncover anything soon."""
REACH_CELLS = 40
"""Nothing is lent farther than this. Cells here and below are a frame's; those of a finer view are smaller."""
ANOTHER = 1.8
"""Of two things that stand before a background the one that is so many times nearer stands before the other."""
LEAST_CELLS, FEWEST_CELLS = 2, 5
"""Fewer that lend make a pattern: then nothing is lent; then the other side lends, if it has more."""
MEAN_CELLS = 4
"""So many cells to each side tell how different two skies are."""
RIM_CELLS = 2
"""So far from a thing a token may show something of it."""
UPRIGHT_CELLS = 7
"""Notches in an outline that are no higher are closed first, so that what is lent row by row fits together."""


def backdrop(
    camera: Camera, latents: Tensor, inverse_depth: Tensor, new: Tensor, fineness: int = 1
) -> LatentView | None:
    """The layer behind a view's near things; ``None`` if it has none.

    Args:
        camera: the view. latents: (C, h, w) and inverse_depth: (h*s, w*s) 1/m, as they are remembered; NaN unknown.
        new: (h, w) bool, cells of which nothing was known: behind others something is known, or was lent before.
        fineness: cells of the view for one of a frame, a side.

    Returns:
        a view whose depth is NaN but where something is lent.
    """
    if not bool(new.any()):
        return None
    shape = (latents.shape[-2], latents.shape[-1])
    inverse_depth = inverse_depth.cpu()
    nearest, clean = surfaces(inverse_depth, shape)
    stands, column = beside(nearest, clean, fineness)
    unknown, background = new.cpu().numpy(), clean & ~stands
    hides = stands & unknown
    if not hides.any():
        return None
    # What stands behind goes on first; what it leaves is the background's.
    half = hidden_halves(nearest, stands & clean)
    column = np.where(half >= 0, half, column)
    source = torch.from_numpy(column)
    looks = without_rims(latents.cpu(), nearest, background, fineness)
    depth, seen = lend(inverse_depth, source, inverse_depth.shape[-1] // shape[1]), lend(looks, source)
    lender = np.take_along_axis(nearest, np.maximum(column, 0), axis=1)
    seen = evened(seen, np.where(lender == 0.0, column, -1))
    given = hides & (column >= 0)
    if (ground := ground_behind(camera, latents, inverse_depth, fineness)) is not None:
        lent = np.where(given, np.nan_to_num(lender), np.inf)
        # What the row has is farther still where it is other country, as a lake is beside a tree on a hill.
        other = (HIDES * ground.nearness < lent) | (ground.nearness > NEARER * np.maximum(lent, BACKGROUND))
        behind = ground.told & hides & other & (HIDES * ground.nearness < nearest) & (half < 0)
        cells = torch.from_numpy(behind)
        depth = torch.where(in_samples(cells, depth), ground.inverse_depth, depth)
        seen = torch.where(cells, ground.latents.to(seen), seen)
        given |= behind
    if not given.any():
        return None
    # What the near thing hides; and the truth beside it, but as it looks without the thing.
    hidden = in_samples(torch.from_numpy(given), depth) & (inverse_depth > HIDES * depth)
    near = binary_dilation(given, np.ones((3, 3)), iterations=fineness * RIM_CELLS)
    beside_it = torch.from_numpy((given & ~clean) | (near & background & unknown))
    told = torch.where(in_samples(beside_it, depth), inverse_depth, float("nan"))
    return LatentView(camera, seen, torch.where(hidden, depth, told))


def evened(latents: Tensor, column: np.ndarray) -> Tensor:
    """Latents (C, h, w) of a sky that was lent from both sides, as ``column (h, w)`` says, -1 where it was not: where
    the two meet they are brought to the same mean, and less so the farther away, or the sky would be torn there."""
    own = np.arange(column.shape[1])
    left, right = (column >= 0) & (column < own), column > own
    seams = [
        (y, at - _run(left[y, at::-1]) + 1, at + 1, at + 1 + _run(right[y, at + 1 :]))
        for y, at in np.argwhere(left[:, :-1] & right[:, 1:]).tolist()
    ]
    if not seams:
        return latents
    values = latents.float().numpy().copy()
    steps = [
        values[:, y, seam : min(last, seam + MEAN_CELLS)].mean(axis=1)
        - values[:, y, max(first, seam - MEAN_CELLS) : seam].mean(axis=1)
        for y, first, seam, last in seams
    ]
    rows, _, ats, _ = np.array(seams).T
    for y, first, seam, last in seams:
        near = (np.abs(rows - y) <= MEAN_CELLS) & (np.abs(ats - seam) <= 2 * MEAN_CELLS)
        step = 0.5 * np.array(steps)[near].mean(axis=0)[:, None]
        values[:, y, first:seam] += step * (np.arange(first, seam) - first + 1) / (seam - first + 0.5)
        values[:, y, seam:last] -= step * (last - np.arange(seam, last)) / (last - seam + 0.5)
    return torch.from_numpy(values).to(latents)


def _run(true: np.ndarray) -> int:
    """How many of ``true (n,)`` bool are, before the first that is not."""
    return len(true) if true.all() else int(true.argmin())


def without_rims(latents: Tensor, nearest: np.ndarray, background: np.ndarray, fineness: int) -> Tensor:
    """Latents (C, h, w) of which cells of the ``background (h, w)`` bool that show a little of a near thing beside them
    look like those next to them. ``nearest (h, w)`` 1/m, how near the cells are."""
    shows = spoiled(latents.float().numpy(), nearest, background, fineness)
    return lend(latents, torch.from_numpy(_alike(shows, background & ~shows, nearest, fineness * RIM_CELLS)))


def _alike(shows: np.ndarray, lends: np.ndarray, nearest: np.ndarray, reach: int) -> np.ndarray:
    """(h, w) int64, the column that each cell that ``shows`` something else is lent, -1 for none: of those in its row
    that may lend and lie as far away, the nearest one."""
    column, source = np.arange(shows.shape[1]), np.full(shows.shape, -1)
    depth = np.log(np.maximum(np.nan_to_num(nearest), BACKMOST))
    for away in range(1, reach + 1):
        for there in (column - away, column + away):
            at = there.clip(0, len(column) - 1)
            good = shows & (source < 0) & lends[:, at] & (np.abs(depth[:, at] - depth) < np.log(HIDES)) & (at == there)
            source = np.where(good, at, source)
    return source


def beside(
    nearest: np.ndarray, clean: np.ndarray, fineness: int = 1, farthest: float = FARTHEST
) -> tuple[np.ndarray, np.ndarray]:
    """What stands before a background, and what the background behind it is lent.

    Args:
        nearest, clean: (h, w) of a view, see :func:`engine.disocclusion.surfaces`. fineness: as above.
        farthest: 1/m, beyond it nothing stands.

    Returns:
        (h, w) bool, cells of things that stand before what is in their row, with their outlines; and (h, w) int64, the
        column of the same row that each is lent, -1 for none.
    """
    told = np.isfinite(nearest)
    row = farthest_around(nearest, told, fineness)
    stands = (nearest > farthest) & (nearest > STANDS * np.maximum(row, 0.5 * BACKGROUND))
    stands |= binary_dilation(stands, np.ones((3, 3)), iterations=fineness) & ~clean
    upright = fineness * UPRIGHT_CELLS
    edge = upright + 1
    closed = binary_closing(np.pad(stands, edge), np.ones((upright, 2 * fineness + 1)))[edge:-edge, edge:-edge] | stands
    lends = told & ~solitary(np.where(told, nearest, 0.0), ~told, fineness)
    return stands, np.where(stands, _lenders(closed, lends, nearest, fineness), -1)


@njit(cache=True)
def _lenders(hidden: np.ndarray, lends: np.ndarray, nearest: np.ndarray, fineness: int) -> np.ndarray:
    """(h, w) int64, the column that each ``hidden`` cell is lent, -1 for none: of those that may lend and lie farther
    on one side, from the first on and, where they are few, there and back again; the side that has enough of them, that
    lies farther away, or else the nearer one."""
    h, w = hidden.shape
    source, lenders = np.full((h, w), -1, np.int64), np.empty((2, fineness * REACH_CELLS), np.int64)
    for y in range(h):
        for x in range(w):
            if not hidden[y, x]:
                continue
            best, far, most = -1, np.inf, 0
            for side in range(2):
                towards = 2 * side - 1
                count = _gather(nearest[y], lends[y], hidden[y], x, towards, lenders[side])
                if count < fineness * LEAST_CELLS:
                    continue
                found = max(nearest[y, lenders[side, 0]], BACKGROUND)
                enough = min(count, fineness * FEWEST_CELLS)
                closer = best < 0 or abs(lenders[side, 0] - x) < abs(lenders[best, 0] - x)
                alike = found < far * NEARER and far < found * NEARER
                if enough > min(most, fineness * FEWEST_CELLS) or (
                    enough == min(most, fineness * FEWEST_CELLS) and (found * NEARER <= far or (alike and closer))
                ):
                    best, far, most = side, found, count
            if best >= 0:
                turn = abs(lenders[best, 0] - x) % (2 * most)
                source[y, x] = lenders[best, turn if turn < most else 2 * most - 1 - turn]
    return source


@njit(cache=True)
def _gather(
    nearest: np.ndarray, lends: np.ndarray, hidden: np.ndarray, x: int, towards: int, lenders: np.ndarray
) -> int:
    """Columns (n,) of a row, from ``x`` ``towards`` one side, that show what lies behind the thing at ``x``: as far
    as most of them, or farther. What is hidden itself must lie much farther."""
    count, limit = 0, nearest[x] / HIDES
    for away in range(1, len(lenders)):
        there = x + towards * away
        if not 0 <= there < len(nearest):
            break
        if lends[there] and nearest[there] < limit and (not hidden[there] or ANOTHER * nearest[there] < nearest[x]):
            lenders[count] = there
            count += 1
    if count == 0:
        return 0
    limit, kept = max(NEARER * np.median(nearest[lenders[:count]]), BACKGROUND), 0
    for k in range(count):
        if nearest[lenders[k]] <= limit:
            lenders[kept] = lenders[k]
            kept += 1
    return kept
