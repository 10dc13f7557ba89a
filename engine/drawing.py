"""From latents to pictures for the eye."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from engine.overscan import shown_part
from engine.panels import INK
from engine.pixels import to_uint8
from engine.world_model import WorldModel

if TYPE_CHECKING:
    from engine.memory import Readout


@dataclass(frozen=True, eq=False)
class Drawing:
    """A decoded view.

    Attributes:
        rgb: (3, H, W) float as decoded, margin included.
        picture: (H, W, 3) uint8, the frame. fine: the same at the model's fine scale, or ``None``.
    """

    rgb: Tensor
    picture: np.ndarray
    fine: np.ndarray | None


def draw(model: WorldModel, latents: Tensor, *, wider: bool, fine: bool) -> Drawing:
    """Decode ``latents (C, h, w)``; ``wider``: they have a margin (:mod:`engine.overscan`) that is not shown; ``fine``:
    also at the model's fine scale, if it has one.
    """
    stride, scale = model.spec.spatial_stride, model.spec.fine_scale

    def shown(rgb: Tensor, per_cell: int) -> np.ndarray:
        return to_uint8(shown_part(rgb, per_cell) if wider else rgb)

    if not fine or scale == 1:
        rgb = model.decode(latents[None])[0].float()
        return Drawing(rgb, shown(rgb, stride), None)
    rgb, large = (part[0].float() for part in model.decode_fine(latents[None]))
    return Drawing(rgb, shown(rgb, stride), shown(large, stride * scale))


def draw_readout(model: WorldModel, readout: Readout) -> np.ndarray:
    """(H, W, 3) uint8: a readout's latents decoded, faded to dark where nothing is covered."""
    rgb = model.decode(readout.features[None].to(model.device))[0].float()
    cover = readout.coverage[None, None].to(rgb.device).float()
    share = interpolate(cover, rgb.shape[1:], mode="bilinear", align_corners=False)[0]
    ink = torch.tensor(INK / 255.0, dtype=torch.float32, device=rgb.device)[:, None, None]
    return to_uint8(share * rgb + (1.0 - share) * ink)
