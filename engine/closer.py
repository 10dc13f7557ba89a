"""The larger picture, drawn from what the memory knows more finely than a frame's tokens can tell.

A frame's tokens are as coarse as the frame; its larger picture is the decoder's guess at what lies between. Where the
memory holds finer tokens (:mod:`engine.pyramid`) nothing needs to be guessed: they are read at the larger picture's own
grid and decoded there. It costs a readout and a decoding of four times a frame's size, so a moving camera does without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from engine.camera import Camera
from engine.pixels import to_uint8

if TYPE_CHECKING:
    from engine.memory import LatentMemory
    from engine.world_model import WorldModel

MAGNIFIED_LOG2 = 0.35
"""Tokens that are magnified by more octaves, on the larger picture's grid, tell no more than the frame's do."""
LEAST_SHARE = 0.02
"""Of the picture; less is not worth the while."""
MARGIN_CELLS = 6
"""So far around what is drawn the decoder is shown, too."""


def knows_more(memory: LatentMemory | None) -> bool:
    """Whether a memory holds finer tokens than frames have."""
    return memory is not None and bool((memory.store.finer.rows >= 0).any())


def drawn_closer(
    model: WorldModel, memory: LatentMemory, camera: Camera, fine: np.ndarray, biome: str, seed: int | None
) -> np.ndarray:
    """``fine (sH, sW, 3)`` uint8, a frame at the model's fine scale, with what finer tokens show of it.

    Args:
        camera: of the frame. biome, seed: of texture, as for imagining; ``None``, or a model that has none, leaves it
            out.
    """
    closer = camera.resized(fine.shape[1], fine.shape[0])
    readout = memory.readout(closer, counted=False)
    told = (readout.coverage > 0.99) & (readout.log2_scale < MAGNIFIED_LOG2)
    if float(told.float().mean()) < LEAST_SHARE:
        return fine
    latents = readout.features.to(model.device)
    if seed is not None and (textured := getattr(model, "textured", None)) is not None:
        exact = readout.exact.to(latents)  # what is shown as it was seen has its texture
        latents = torch.lerp(textured(readout, closer, biome, seed), latents, exact)
    rows, columns = _around(told.any(1)), _around(told.any(0))
    stride = model.spec.spatial_stride
    rgb = model.decode(latents[None, :, rows, columns])[0].float().cpu()
    part = slice(stride * rows.start, stride * rows.stop), slice(stride * columns.start, stride * columns.stop)
    weight = _feathered(told, stride)[part]
    before = torch.from_numpy(fine[part].copy()).permute(2, 0, 1).float() / 255.0
    drawn = fine.copy()
    drawn[part] = to_uint8(torch.lerp(before, rgb, weight))
    drawn.setflags(write=False)
    return drawn


def _around(told: Tensor) -> slice:
    """The stretch of a side (n,) bool that is told, and a margin."""
    at = told.nonzero()
    return slice(max(0, int(at[0]) - MARGIN_CELLS), min(len(told), int(at[-1]) + 1 + MARGIN_CELLS))


def _feathered(told: Tensor, stride: int) -> Tensor:
    """(h, w) bool -> (H, W) in [0, 1]: 0 outside, rising to 1 over the cell within the border."""
    within = avg_pool2d(told[None, None].float(), 3, 1, 1, count_include_pad=False)
    return (2.0 * interpolate(within, scale_factor=stride, mode="bilinear")[0, 0] - 1.0).clamp(0.0, 1.0)
