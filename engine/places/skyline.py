"""Far ridges that do not end at a seam: a memory's run out where a place has sky, a place's where a memory has.

Seen from afar the horizon is what gives a seam away: a mountain cut off as by a knife. So the skyline of far terrain
may rise and fall beyond the seam only so steeply.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import distance_transform_cdt
from torch import Tensor

from engine.cells import cell_means, in_samples, sky_share
from engine.disocclusion import lend
from engine.memory import Readout

FAR = 1.0 / 50.0
"""Inverse depth, 1/m: terrain beyond is a ridge on the horizon; what is nearer stands where it stands."""
STEEPEST = 0.4
"""Rows that a skyline may rise or fall a column."""
KNOWN_COLUMN = 0.6
"""A column of which so much is known tells where its skyline is, if its ground reaches up to its sky."""


@dataclass(frozen=True, eq=False)
class Ridges:
    """What a memory tells of the skyline beyond what it knows; all (h, w).

    Attributes:
        too_high: where a place's far terrain would rise out of the memory's sky.
        goes_on: where the memory's far terrain would break off. source: the column (int64) that it goes on from.
    """

    too_high: Tensor
    goes_on: Tensor
    source: Tensor


def ridges(readout: Readout, known: Tensor) -> Ridges:
    """The skyline of a memory, ``known (h, w)`` bool, beyond what it knows; seen by a level camera, to which rows
    are heights."""
    h, w = known.shape
    _, far = _sky_and_far(readout, known)
    ground = known & (sky_share(readout, known) <= 0.5)
    rows, columns = np.arange(h), np.arange(w)

    def tops(cells: Tensor) -> np.ndarray:
        """(w,) the highest row of ``cells`` in each column; h where there is none."""
        return np.where(cells.any(0).numpy(), cells.int().argmax(0).numpy(), h)

    above = known.numpy()[np.maximum(tops(ground) - 1, 0), columns]
    told = above & (known.float().mean(0).numpy() >= KNOWN_COLUMN)
    nothing = torch.zeros(h, w, dtype=torch.bool)
    if not told.any() or told.all():
        return Ridges(nothing, nothing, torch.zeros(h, w, dtype=torch.int64))
    nearest = np.argmin(np.where(told[None], np.abs(columns[:, None] - columns[None]), 10 * w), axis=1)
    apart = np.abs(columns - nearest)
    highest, ridge = tops(ground)[nearest], tops(known & far)[nearest]
    mirrored = np.clip(nearest + np.sign(nearest - columns) * (apart - 1), 0, w - 1)
    unknown = ~told[None]
    return Ridges(
        torch.from_numpy(unknown & (rows[:, None] < highest - STEEPEST * apart)),
        torch.from_numpy(unknown & (rows[:, None] >= ridge + STEEPEST * apart)),
        torch.from_numpy(mirrored).expand(h, w),
    )


def lowered(recalled: Readout, too_high: Tensor) -> Readout:
    """A place's readout with sky in place of far terrain that is ``too_high (h, w)`` bool."""
    sky, far = _sky_and_far(recalled, too_high)
    cut = far & too_high
    if not bool(cut.any()) or not bool(sky.any()):
        return recalled
    at = distance_transform_cdt(~sky.numpy(), metric="chessboard", return_distances=False, return_indices=True)
    rows, columns = (torch.from_numpy(index).long() for index in at)
    samples = in_samples(cut, recalled.covered)
    return replace(
        recalled,
        features=torch.where(cut, recalled.features[:, rows, columns], recalled.features),
        inverse_depth=torch.where(samples, 0.0, recalled.inverse_depth),
        covered=recalled.covered | samples,
        sky=recalled.sky | samples,
    )


def continued(recalled: Readout, readout: Readout, known: Tensor, found: Ridges) -> Readout:
    """A place's readout with the memory's far terrain going on, mirrored, where the place has only sky."""
    sky, _ = _sky_and_far(recalled, known)
    _, far = _sky_and_far(readout, known)
    column = torch.where(found.goes_on & sky, found.source, -1)
    column = torch.where(lend(far & known, column), column, -1)
    given = column >= 0
    if not bool(given.any()):
        return recalled
    samples = in_samples(given, recalled.covered)
    side = samples.shape[-1] // given.shape[-1]
    return replace(
        recalled,
        features=torch.where(given, lend(readout.features, column), recalled.features),
        inverse_depth=torch.where(samples, lend(readout.inverse_depth, column, side), recalled.inverse_depth),
        sky=torch.where(samples, lend(readout.sky, column, side), recalled.sky),
    )


def _sky_and_far(readout: Readout, like: Tensor) -> tuple[Tensor, Tensor]:
    """(h, w) bool, cells that are all sky, and cells of nothing but far terrain and sky."""
    covered = cell_means(readout.covered.float(), like)
    sky = cell_means(readout.sky.float(), like)
    near = cell_means((readout.covered & ~readout.sky & (readout.inverse_depth > FAR)).float(), like)
    whole = covered > 0.99
    return whole & (sky > 0.99), whole & (sky <= 0.99) & (near < 0.01)
