"""Rooms at every scale that they are seen at: through a door from afar, a stored room's tokens lie many in a cell, and
whichever of them comes first would stand for all.

So each of its views is remembered at coarser scales, too: a mipmap (Williams 1983) of tokens, as for first views
(:mod:`engine.pyramid`), but downwards.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from engine.camera import Camera
from engine.memory import LatentView

Halve = Callable[[Tensor], Tensor]
"""Latents (C, 2h, 2w) of a picture -> (C, h, w) of the picture at half the size."""
COARSER = 2
"""How many times a view is halved: what one sees through a door lies up to four times as far as it was stored from."""


def at_scales(view: LatentView, stride: int, halve: Halve) -> list[LatentView]:
    """A view, coarse to fine, as :func:`engine.memory.memory_at_scales` takes it: each with half as many cells a side
    as the next, the last being the view itself, but for unknown cells at its right and its lower edge where there are
    no whole coarse ones."""
    many = 1 << COARSER
    latents = padded(torch.as_tensor(view.latents), many)
    h, w = latents.shape[-2:]
    inverse_depth = torch.as_tensor(view.inverse_depth)
    s = inverse_depth.shape[-1] // view.latents.shape[-1]
    inverse_depth = padded(inverse_depth[None], many * s, value=float("nan"))[0]
    camera = Camera(view.camera.c2w, view.camera.K, w * stride, h * stride)
    views = [LatentView(camera, latents, inverse_depth)]
    for _ in range(COARSER):
        latents, inverse_depth = halve(latents), halved_depth(inverse_depth)
        camera = camera.resized(camera.width // 2, camera.height // 2)
        views.insert(0, LatentView(camera, latents, inverse_depth))
    return views


def halved_depth(inverse_depth: Tensor) -> Tensor:
    """Inverse depth (2h, 2w) of samples -> (h, w) of those that stand for four of them each: neither the nearest, or
    things would grow, nor the farthest, or they would vanish. Unknown where one of the four is."""
    h, w = (side // 2 for side in inverse_depth.shape)
    four = inverse_depth.view(h, 2, w, 2).permute(0, 2, 1, 3).reshape(h, w, 4)
    return four.median(dim=2).values  # NaN if one is


def padded(cells: Tensor, many: int, value: float | None = None) -> Tensor:
    """(C, h, w) with as many more below and right as make sides multiples of ``many``: repeated, or a ``value``."""
    more = [-side % many for side in cells.shape[-2:]]
    how = {"mode": "replicate"} if value is None else {"value": value}
    return pad(cells[None], (0, more[1], 0, more[0]), **how)[0]
