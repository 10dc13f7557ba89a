"""Imagining wider than the frame, where its edge is unknown.

A camera that turns uncovers a sliver of a cell a frame. Imagined one by one, slivers know nothing of each other and set
like wood grain. So a frame whose edge is unknown is imagined with a margin all around: what comes into view next is
invented at once, as one picture, and the frames after it find it remembered.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from engine.camera import Camera

MARGIN_CELLS = (4, 8)
"""Rows above and below, columns left and right; even multiples keep the denoiser's coarse grids aligned."""

UNSURE_CELLS = 1
"""The outermost cells of a wider view saw half of what surrounds them: they are imagined, but not remembered, or they
would stand as stripes in what the next view adds."""

UNKNOWN_EDGE = 0.05
"""Share of the frame's outermost cells that must be unknown before a wider view is imagined."""

UNKNOWN_INSIDE = 0.02
"""Share of all cells that must be unknown before a frame is worth the steps of an invention."""

ENOUGH_STEPS = 16
"""From here on more steps no longer change what is invented."""


def edge_unknown(coverage: Tensor) -> bool:
    """Whether the outermost ring of ``coverage (h, w)`` in [0, 1] has holes worth a wider view."""
    ring = torch.cat([coverage[0], coverage[-1], coverage[1:-1, 0], coverage[1:-1, -1]])
    return bool((ring < 0.5).float().mean() > UNKNOWN_EDGE)


def much_unknown(coverage: Tensor) -> bool:
    """Whether ``coverage (h, w)`` in [0, 1] leaves so much open that it should be invented with care: what one step
    invents is soft, and would be remembered so."""
    return bool((coverage < 0.5).float().mean() > UNKNOWN_INSIDE)


def inventing_steps(steps: int) -> int:
    """Denoising steps where much must be invented and a frame gets ``steps``: one step cleans memories, invention takes
    more."""
    return max(steps, min(4 * steps, ENOUGH_STEPS))


def widened(camera: Camera, stride: int) -> Camera:
    """The same pose and focal length with a margin of ``MARGIN_CELLS`` tokens of ``stride`` pixels on every side."""
    rows, columns = (cells * stride for cells in MARGIN_CELLS)
    shift = np.array([[0.0, 0.0, columns], [0.0, 0.0, rows], [0.0, 0.0, 0.0]])
    return Camera(camera.c2w, camera.K + shift, camera.width + 2 * columns, camera.height + 2 * rows)


def shown_part(values: Tensor, per_cell: int) -> Tensor:
    """The frame within a widened view: (..., H, W), ``per_cell`` values a token side -> the part inside the margin."""
    rows, columns = (cells * per_cell for cells in MARGIN_CELLS)
    return values[..., rows : values.shape[-2] - rows, columns : values.shape[-1] - columns]


def without_edge(writable: Tensor, known: Tensor, samples: int) -> Tensor:
    """Inverse depth (h*s, w*s) of a widened view as it is to be written: NaN on its outermost ``UNSURE_CELLS``, of
    ``samples`` a side, unless the memory knew them, ``known`` (h*s, w*s) bool."""
    inner = torch.zeros_like(known)
    edge = UNSURE_CELLS * samples
    inner[edge:-edge, edge:-edge] = True
    return torch.where(inner | known, writable, writable.new_tensor(float("nan")))
