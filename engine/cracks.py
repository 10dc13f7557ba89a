"""Cracks between tokens of one surface, closed.

Tokens that were written from two views meet in gaps of a sample or two. Such a cell is known well enough not to be
written again, so the gap stays, and whatever is imagined in it, anew each frame, shows as a dash. So where a surface
goes on on both sides of a gap it goes on in it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numba import njit

from engine.cells import cell_means, in_samples

if TYPE_CHECKING:
    from engine.memory import Readout

WIDEST = 2
"""Samples."""
ONE_SURFACE = 1.25
"""The two sides of a crack differ no more in depth."""


def closed(readout: Readout) -> Readout:
    """``readout`` without the cracks in cells that are known in part: their depth goes on in between, their latents are
    what the rest of the cell shows. Which tokens were seen, ``samples``, stays as it is."""
    partly = ((readout.coverage > 0.0) & (readout.coverage < 1.0)).cpu()
    if not bool(partly.any()):
        return readout
    inside = in_samples(partly, readout.covered).numpy()
    inverse_depth, covered = readout.inverse_depth.cpu().numpy(), readout.covered.cpu().numpy()
    between, found = (torch.from_numpy(x) for x in _close(inverse_depth, covered, inside))
    if not bool(found.any()):
        return readout
    known = readout.covered | found.to(readout.covered.device)
    return replace(
        readout,
        coverage=torch.where(partly.to(known.device), cell_means(known.float(), readout.coverage), readout.coverage),
        inverse_depth=torch.where(found, between, readout.inverse_depth.cpu()).to(readout.inverse_depth.device),
        covered=known,
        sky=readout.sky | (found & (between == 0.0)).to(readout.sky.device),
    )


@njit(cache=True)
def _close(inverse_depth: np.ndarray, covered: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverse depth (hs, ws) in the cracks ``inside (hs, ws)`` bool, and where they are; the narrower way across."""
    rows, columns = covered.shape
    between, found = np.zeros_like(inverse_depth), np.zeros_like(covered)
    for y in range(rows):
        for x in range(columns):
            if covered[y, x] or not inside[y, x]:
                continue
            narrowest = WIDEST + 2
            for down, right in ((0, 1), (1, 0)):
                before, after = 0, 0
                for step in range(1, WIDEST + 1):
                    if before == 0 and y >= step * down and x >= step * right:
                        before = step if covered[y - step * down, x - step * right] else 0
                    if after == 0 and y + step * down < rows and x + step * right < columns:
                        after = step if covered[y + step * down, x + step * right] else 0
                if before == 0 or after == 0 or before + after >= narrowest:
                    continue
                a = inverse_depth[y - before * down, x - before * right]
                b = inverse_depth[y + after * down, x + after * right]
                if max(a, b) <= ONE_SURFACE * min(a, b):
                    narrowest = before + after
                    between[y, x] = (a * after + b * before) / narrowest
                    found[y, x] = True
    return between, found
