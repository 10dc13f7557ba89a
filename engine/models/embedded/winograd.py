"""3x3 convolutions in float32 with a quarter of the products, for processors that are quick at nothing else.

What comes in is cut into tiles of 6x6 pixels that overlap by two; each is mixed, so are the kernels, and 36 products of
matrices give 4x4 pixels of what comes out once it is mixed back: F(4x4, 3x3) of Lavin and Gray 2015, after Winograd. In
single precision it is off by some millionths of what a convolution gives. Mixing takes less time than the products
save, as long as there are channels and tiles enough to fill a product.

A network keeps its weights; mixed kernels are made beside them and used in inference alone.
"""

from __future__ import annotations

import copy
import math
import threading
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from engine.models.embedded.quick import replaced, version_of
from engine.models.embedded.tiles import SIDE, TAPS, into_tiles, out_of_tiles
from engine.threads import inferred_apart

LEAST_CHANNELS = 16
"""Narrower layers have products too small to be worth the mixing."""
FEWEST_TILES = 24
"""Smaller parts of pictures, too: of those the kernels, four times as large as they were, are most of what is read."""
MOST_NUMBERS = 1 << 20
"""So many numbers are mixed before they are multiplied: they are to stay in the processor's cache."""

N = TypeVar("N", bound=nn.Module)
_G = torch.tensor(
    [
        [1 / 4, 0.0, 0.0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0.0, 0.0, 1.0],
    ],
    dtype=torch.float64,
)
_scratch = threading.local()


class InTiles:
    """A convolution with its kernel mixed; made anew when weights change."""

    def __init__(self, conv: nn.Conv2d) -> None:
        self.conv = conv
        self._made_of: tuple[int, int] | None = None
        self._kernel = self._bias = torch.empty(0)

    def __deepcopy__(self, memo: dict[int, Any]) -> InTiles:
        return InTiles(copy.deepcopy(self.conv, memo))

    def __call__(self, x: Tensor, *, activated: bool = False) -> Tensor:
        """``x (B, in, h, w)``, or silu(x) if it is to be ``activated`` -> (B, out, h, w), channels last."""
        down, across = -(-x.shape[2] // SIDE), -(-x.shape[3] // SIDE)
        if down * across < FEWEST_TILES:
            conv = self.conv
            return nn.functional.conv2d(nn.functional.silu(x) if activated else x, conv.weight, conv.bias, padding=1)
        self._mix()
        out = x.new_empty(x.shape[0], *x.shape[2:], self._kernel.shape[2])
        pictures, told = x.permute(0, 2, 3, 1).contiguous().numpy(), out.numpy()

        def work(first: int, last: int) -> None:
            for given, made in zip(pictures, told, strict=True):
                self._convolve(given, activated, first, last, made)

        inferred_apart(down, work, most=down * across // FEWEST_TILES)
        return out.permute(0, 3, 1, 2)

    def _convolve(self, given: np.ndarray, activated: bool, first: int, last: int, made: np.ndarray) -> None:
        """The tile rows ``first`` to ``last`` of what is ``made (h, w, out)`` of ``given (h, w, in)``."""
        _, inner, outer = self._kernel.shape
        across = -(-given.shape[1] // SIDE)
        rows = max(1, min(last - first, MOST_NUMBERS // (TAPS**2 * across * max(inner, outer))))
        for start in range(first, last, rows):
            end = min(start + rows, last)
            tiles = _room("given", (TAPS**2, (end - start) * across, inner))
            products = _room("made", (TAPS**2, (end - start) * across, outer))
            into_tiles(given, activated, start, end, tiles.numpy())
            torch.bmm(tiles, self._kernel, out=products)
            out_of_tiles(products.numpy(), self._bias.numpy(), start, end, made)

    def _mix(self) -> None:
        weight, bias = self.conv.weight, self.conv.bias
        made_of = version_of(weight)
        if made_of == self._made_of:
            return
        mixed = torch.einsum("ai,bj,okij->abko", _G, _G, weight.detach().double())
        self._kernel = mixed.float().flatten(0, 1).contiguous()
        self._bias = torch.zeros(len(weight)) if bias is None else bias.detach()
        self._made_of = made_of


def _room(name: str, shape: tuple[int, int, int]) -> Tensor:
    """Float32 of a shape to write to; the same memory each time in a thread, for new memory costs more than what is
    written there."""
    numbers, room = math.prod(shape), getattr(_scratch, name, None)
    if room is None or len(room) < numbers:
        room = torch.empty(numbers)
        setattr(_scratch, name, room)
    return room[:numbers].view(shape)


def in_tiles(network: N) -> N:
    """A network, changed in place, that computes its wide 3x3 convolutions in tiles when it infers."""
    return replaced(network, wide, InTiles)


def wide(conv: nn.Conv2d) -> bool:
    """Whether it stands to gain."""
    plain = (conv.kernel_size, conv.stride, conv.padding, conv.dilation) == ((3, 3), (1, 1), (1, 1), (1, 1))
    return plain and conv.groups == 1 and min(conv.in_channels, conv.out_channels) >= LEAST_CHANNELS
