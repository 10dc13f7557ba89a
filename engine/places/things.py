"""Things that stand at a seam are there whole or not at all.

A house of a place whose other half would stand where a memory shows open country is left out, and what lies beside it
goes on behind, as :mod:`engine.backdrop` has it. Each view decides anew, and alike: where a thing was left out before,
the memory shows none now. And a tree of which the memory knows one side only gets its other.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.ndimage import binary_dilation
from torch import Tensor

from engine.backdrop import beside
from engine.camera import Camera
from engine.cells import connected, in_samples, overlaid, sky_share
from engine.disocclusion import lent, surfaces
from engine.ground import steep
from engine.halves import ONE_THING
from engine.memory import Readout

CUT = 0.15
"""A thing may lose so much of what is seen of it."""
CUT_ROWS, WHOLE_ROWS = 0.2, 2
"""A thing is cut off where so much of its height ends at a seam; so many rows that do not tell where its middle is."""
HALF_CUT = 0.6
"""Of a thing that ends at a seam over so much of its height at most half is seen: the seam is its middle."""
SEAM_CELLS = 3
"""A thing ends at a seam where the unknown is so near: the outermost cells are often known in part."""
FARTHEST, FARTHEST_HIDING = 1.0 / 60.0, 1.0 / 150.0
"""Inverse depth, 1/m: what is farther is too small to be missed; but a tower without its top is seen from far."""
UPRIGHT = 0.3
"""So much of a thing is steeper than it is deep; what is not is lie of the land."""
FOOT_ROWS = 2
"""A thing stands where so many of its lowest rows are."""
ALIKE = 1.5
"""A memory shows the same thing where its depth differs no more."""


def ground(readout: Readout, camera: Camera) -> Tensor:
    """(h, w) bool: cells of the lie of the land alone, without sky, things, walls that are no nearer than the
    ground beside them, and what touches these."""
    label, _, nearest = _things(readout, camera)
    things = binary_dilation((label >= 0) | _steep(np.nan_to_num(nearest), camera), np.ones((3, 3)))
    return (sky_share(readout, readout.coverage) < 0.01) & ~torch.from_numpy(things)


def hiding(recalled: Readout, readout: Readout, known: Tensor, camera: Camera) -> Tensor:
    """(h, w) bool: cells of a place's things that stand on what is not ``known (h, w)`` bool, where they rise before
    something known that lies farther off."""
    label, _, nearest = _things(recalled, camera, FARTHEST_HIDING)
    there, _ = surfaces(readout.inverse_depth, label.shape)
    thing = label >= 0
    lowest = np.full(label.max() + 2, -1)
    rows = np.broadcast_to(np.arange(label.shape[0])[:, None], label.shape)
    np.maximum.at(lowest, label[thing], rows[thing])
    foot = thing & (rows > lowest[label] - FOOT_ROWS)
    free, all_of_it = (np.bincount(label[part], minlength=len(lowest)) for part in (foot & ~known.numpy(), foot))
    stands = thing & (free > 0.5 * all_of_it)[label]
    return torch.from_numpy(stands & known.numpy() & (nearest > ALIKE * there))


def whole(recalled: Readout, readout: Readout, known: Tensor, camera: Camera) -> Readout:
    """A place's readout without the things that what a memory knows, ``known (h, w)`` bool, would cut off."""
    label, column, nearest = _things(recalled, camera)
    there, _ = surfaces(readout.inverse_depth, label.shape)
    told = known.numpy() & (readout.coverage > 0.99).numpy()
    denied = told & ~(np.maximum(there, nearest) <= ALIKE * np.minimum(there, nearest))
    thing = label >= 0
    size, lost = (np.bincount(label[part], minlength=label.max() + 2) for part in (thing, thing & denied))
    cut = thing & (lost > CUT * size)[label] & ~known.numpy()
    if not cut.any():
        return recalled
    source = torch.from_numpy(np.where(cut, column, -1))
    left = torch.from_numpy(cut & (column < 0))
    gone = in_samples(left, recalled.covered)
    found = lent(recalled, source)
    return replace(
        found,
        coverage=torch.where(left, 0.0, found.coverage),
        inverse_depth=torch.where(gone, 0.0, found.inverse_depth),
        covered=found.covered & ~gone,
        sky=found.sky & ~gone,
    )


def finished(recalled: Readout, readout: Readout, known: Tensor, camera: Camera) -> Readout:
    """A place's readout with the rest of the things that end where what a memory knows, ``known (h, w)`` bool, ends:
    mirrored about the middle of what is seen whole of them, else at the seam."""
    label, _, nearest = _things(readout, camera)
    label = np.where(known.numpy(), label, -1)
    there, _ = surfaces(recalled.inverse_depth, label.shape)
    source = torch.from_numpy(_rest(label, known.numpy(), nearest, there))
    return overlaid(recalled, lent(readout, source), source >= 0) if bool((source >= 0).any()) else recalled


def _rest(label: np.ndarray, known: np.ndarray, nearest: np.ndarray, there: np.ndarray) -> np.ndarray:
    """(h, w) int64: the column that each cell of the rest of a thing is lent, -1 for none."""
    source = np.full(label.shape, -1, np.int64)
    same = np.maximum(nearest, there) <= ONE_THING * np.minimum(nearest, there)
    at_seam = binary_dilation(~known, np.ones((1, 2 * SEAM_CELLS + 1)))
    for thing in np.unique(label[at_seam & (label >= 0)]):
        inside = label == thing
        if same[inside].mean() > 0.5:
            continue  # the place shows it too, and how it goes on
        rows = np.flatnonzero(inside.any(1))
        runs = [(y, *np.flatnonzero(inside[y])[[0, -1]]) for y in rows]
        for towards in (-1, 1):
            seams = [
                (y, first, last) if towards > 0 else (y, last, first)
                for y, first, last in runs
                if not (known[y, last:][:SEAM_CELLS] if towards > 0 else known[y, : first + 1][-SEAM_CELLS:]).all()
            ]
            if len(seams) < CUT_ROWS * len(rows):
                continue
            cut = {y for y, _, _ in seams}
            centres = [0.5 * (first + last) for y, first, last in runs if y not in cut]
            seam = np.median([last for _, _, last in seams])
            axis = np.median(centres) if len(centres) >= WHOLE_ROWS and len(cut) < HALF_CUT * len(rows) else seam
            for y, first, last in seams:
                for at in range(last + towards, round(2 * axis) - first + towards, towards):
                    lender = round(2 * axis) - at
                    if not (0 <= at < label.shape[1] and 0 <= lender < label.shape[1]):
                        continue
                    if known[y, at] or not inside[y, lender]:
                        continue
                    if nearest[y, lender] > there[y, at]:
                        source[y, at] = lender
    return source


def _things(readout: Readout, camera: Camera, farthest: float = FARTHEST) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of what is no farther, 1/m, all (h, w): int64 which thing each cell belongs to, -1 for none; what stands
    behind it, see :func:`engine.backdrop.beside`; and how near it is, 1/m."""
    inverse_depth = torch.where(readout.covered, readout.inverse_depth, float("nan"))
    nearest, clean = surfaces(inverse_depth, (readout.coverage.shape[0], readout.coverage.shape[1]))
    stands, column = beside(nearest, clean, farthest=farthest)
    stands &= (readout.coverage > 0.99).numpy()
    label = connected(stands, nearest, ONE_THING)
    upright = np.bincount(label.ravel(), weights=(_steep(nearest, camera) & stands).ravel())
    label = np.where(stands & (upright >= UPRIGHT * np.bincount(label.ravel()))[label], label, -1)
    return label, column, nearest


def _steep(nearest: np.ndarray, camera: Camera) -> np.ndarray:
    """(h, w) bool: surfaces that rise more than they recede, from each cell to the one above."""
    return np.pad(steep(nearest, camera, 1.0), ((1, 0), (0, 0)))
