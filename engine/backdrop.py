"""What stands behind near things, imagined in one piece when they are first seen.

A camera that moves uncovers it a strip at a time. Strips that are imagined one by one go on from each other: what
begins as a blemish ends as a streak. So what a new near thing hides is lent at once what lies beside it, and remembered
behind it: the second layer of a layered depth image (Shade et al. 1998; Shih et al. 2020 for photographs).
"""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from scipy.ndimage import binary_closing, binary_dilation, minimum_filter1d
from torch import Tensor

from engine.camera import Camera
from engine.cells import in_samples
from engine.disocclusion import BACKGROUND, NEARER, lend, surfaces
from engine.memory import LatentView

STANDS = 1.2
"""A thing stands before what is so many times farther in its row, where level ground is all equally far."""
FARTHEST = 1.0 / 60.0
"""Inverse depth, 1/m: what is farther moves too little to uncover anything soon."""
WINDOW_CELLS = 16
"""So far to both sides its row is looked at."""
REACH_CELLS = 40
"""Nothing is lent farther than this."""
HIDES = 1.15
"""Only what is so many times farther is lent."""
UPRIGHT_CELLS = 7
"""Notches in an outline that are no higher are closed first, so that what is lent row by row fits together."""


def backdrop(camera: Camera, latents: Tensor, inverse_depth: Tensor, new: Tensor) -> LatentView | None:
    """The layer behind a view's near things; ``None`` if it has none.

    Args:
        camera: the view. latents: (C, h, w) and inverse_depth: (h*s, w*s) 1/m, as they are remembered; NaN unknown.
        new: (h, w) bool, cells of which nothing was known: behind others something is known, or was lent before.

    Returns:
        a view whose depth is NaN but where something is lent.
    """
    if not bool(new.any()):
        return None
    shape = (latents.shape[-2], latents.shape[-1])
    _, column = beside(*surfaces(inverse_depth, shape))
    given = torch.from_numpy(column >= 0) & new
    if not bool(given.any()):
        return None
    source = torch.from_numpy(column)
    samples = inverse_depth.shape[-1] // shape[1]
    depth = lend(inverse_depth.cpu(), source, samples)
    # Of an outline only what the near thing hides: beside it is the truth.
    fine = in_samples(given, depth) & (inverse_depth.cpu() > HIDES * depth)
    return LatentView(camera, lend(latents.cpu(), source), torch.where(fine, depth, float("nan")))


def beside(nearest: np.ndarray, clean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What stands before a background, and what the background behind it is lent.

    Args:
        nearest, clean: (h, w) of a view, see :func:`engine.disocclusion.surfaces`.

    Returns:
        (h, w) bool, cells of things that stand before what is in their row, with their outlines; and (h, w) int64, the
        column of the same row that each is lent, -1 for none.
    """
    told = np.isfinite(nearest)
    row = minimum_filter1d(np.where(told, nearest, np.inf), 2 * WINDOW_CELLS + 1, axis=1, mode="nearest")
    stands = (nearest > FARTHEST) & (nearest > STANDS * np.maximum(row, 0.5 * BACKGROUND))
    stands |= binary_dilation(stands, np.ones((3, 3))) & ~clean
    edge = UPRIGHT_CELLS + 1
    closed = binary_closing(np.pad(stands, edge), np.ones((UPRIGHT_CELLS, 3)))[edge:-edge, edge:-edge] | stands
    return stands, np.where(stands, _lenders(closed, told & ~closed, nearest), -1)


@njit(cache=True)
def _lenders(hidden: np.ndarray, shown: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    """(h, w) int64, the column that each ``hidden`` cell is lent, -1 for none: of those that are ``shown`` farther on
    one side, from the first on and, where they are few, there and back again; the side that lies farther away, or else
    the nearer one."""
    h, w = hidden.shape
    source, lenders = np.full((h, w), -1, np.int64), np.empty(REACH_CELLS, np.int64)
    for y in range(h):
        for x in range(w):
            if not hidden[y, x]:
                continue
            seam, side, far = -1, 0, np.inf
            for towards in (-1, 1):
                for away in range(1, REACH_CELLS):
                    there = x + towards * away
                    if not 0 <= there < w:
                        break
                    if shown[y, there] and nearest[y, there] * HIDES < nearest[y, x]:
                        found = max(nearest[y, there], BACKGROUND)
                        if found * NEARER < far or (found < far * NEARER and away < abs(seam - x)):
                            seam, side, far = there, towards, found
                        break
            if seam < 0:
                continue
            limit, count = max(NEARER * far, BACKGROUND), 0
            for away in range(REACH_CELLS):
                there = seam + side * away
                if 0 <= there < w and shown[y, there] and nearest[y, there] <= limit:
                    lenders[count] = there
                    count += 1
            turn = abs(seam - x) % (2 * count)
            source[y, x] = lenders[turn if turn < count else 2 * count - 1 - turn]
    return source
