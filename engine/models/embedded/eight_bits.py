"""Convolutions in bytes, where the processor adds up four such products at once (VNNI).

That takes half of the time of bfloat16 and a quarter of float32's. What comes in is rounded to the 256 levels between
the least and the most that there is of it just then, the kernel to 255 for each channel that comes out; sums are exact
and leave in the network's own type. What streams past the blocks, and the first and last layers, stay as they are: only
what a block adds is rounded, some 40 dB below itself (as Jacob et al. 2018 do it, without their training).

A network keeps its weights; those in bytes are made beside them and used in inference alone.
"""

from __future__ import annotations

import copy
import logging
import math
from functools import cache
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from engine.models.embedded.quick import replaced, version_of
from engine.models.embedded.rounding import activated_to_bytes, to_bytes
from engine.processor import has_bytes

LEAST_CHANNELS = 64
"""Narrower convolutions take no time worth saving: they read latents or write pictures, which are told in full."""
LEAST_ACTIVATED = -0.2785
"""silu never falls below."""
LEVELS, KERNEL_LEVELS = 255, 127
TINY = 1e-8
CLOSE = 0.03
"""So little, of its size, may a product in bytes be away from the true one for this to be trusted."""

N = TypeVar("N", bound=nn.Module)

log = logging.getLogger(__name__)


class InBytes:
    """A convolution with its kernel in bytes, as the processor wants them laid out; made anew when weights change."""

    def __init__(self, conv: nn.Conv2d) -> None:
        self.conv = conv
        self._made_of: tuple[int, int] | None = None
        self._kernel = self._step = self._zeros = torch.empty(0)
        self._settled = [list(conv.stride), list(conv.padding), list(conv.dilation), conv.groups]

    def __deepcopy__(self, memo: dict[int, Any]) -> InBytes:
        return InBytes(copy.deepcopy(self.conv, memo))

    def __call__(self, x: Tensor, *, activated: bool = False) -> Tensor:
        """``x (B, in, h, w)``, or silu(x) if it is to be ``activated`` -> (B, out, h', w')."""
        self._pack()
        kernel = (self._kernel, self._step, self._zeros, self.conv.bias)
        made: Tensor = torch.ops.onednn.qconv2d_pointwise(
            *in_levels(x, activated), *kernel, *self._settled, 1.0, 0, x.dtype, "none", [], ""
        )
        return made

    def _pack(self) -> None:
        weight = self.conv.weight
        made_of = version_of(weight)
        if made_of == self._made_of:
            return
        levels, self._step = kernel_in_levels(weight.detach())
        self._kernel = torch.ops.onednn.qconv_prepack(levels, self._step, 1.0, 1, *self._settled, None)
        self._zeros = torch.zeros(len(levels), dtype=torch.int64)
        self._made_of = made_of


def kernel_in_levels(kernel: Tensor) -> tuple[Tensor, Tensor]:
    """A kernel (out, ...) as int8 levels, and a level's step for each channel that comes out, (out,) float32."""
    rows = kernel.float().flatten(1)
    step = rows.abs().amax(dim=1).clamp(min=TINY) / KERNEL_LEVELS
    return (rows / step[:, None]).round().to(torch.int8).view(kernel.shape).contiguous(), step


def in_levels(x: Tensor, activated: bool) -> tuple[Tensor, float, int]:
    """``x (B, C, h, w)``, or silu(x), as uint8 levels of the same shape, channels last; a level's step, and which one
    is 0."""
    last = x.permute(0, 2, 3, 1).contiguous()
    flat = last.flatten()
    least, most = (float(value) for value in flat.aminmax())
    if not math.isfinite(most - least):  # one broken number is not to spoil all others
        return in_levels(torch.nan_to_num(x, 0.0, 0.0, 0.0), activated)
    least, most = LEAST_ACTIVATED if activated else min(least, 0.0), max(most, 0.0)
    step = max(most - least, TINY) / LEVELS
    zero = round(-least / step)
    bits = flat.view(torch.uint16) if flat.dtype == torch.bfloat16 else flat.float()
    levels = torch.empty(flat.shape, dtype=torch.uint8)
    to_levels = activated_to_bytes if activated else to_bytes
    to_levels(bits.numpy(), np.float32(1.0 / step), np.float32(zero), levels.numpy())
    return levels.view(last.shape).permute(0, 3, 1, 2), step, zero


def in_eight_bits(network: N) -> N:
    """A network, changed in place, that computes its wide 3x3 convolutions in bytes when it infers."""
    return replaced(network, wide, InBytes)


def wide(conv: nn.Conv2d) -> bool:
    """Whether it takes long enough."""
    return conv.kernel_size == (3, 3) and min(conv.in_channels, conv.out_channels) >= LEAST_CHANNELS


@cache
def available() -> bool:
    """Whether this processor is quick at it, this torch knows how, and a product comes out as it should."""
    if not has_bytes():
        return False
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            conv = nn.Conv2d(LEAST_CHANNELS, LEAST_CHANNELS, 3, padding=1).requires_grad_(False)
            x = 1.0 + 0.1 * torch.rand(1, LEAST_CHANNELS, 9, 7)
        conv.weight.abs_()  # of one sign and high, products add up to what the instructions before these cut off
        with torch.inference_mode():
            true = conv(x)
            error = float((InBytes(conv)(x) - true).norm() / true.norm())
    except (AttributeError, RuntimeError, TypeError, ValueError) as problem:
        log.warning("convolutions in bytes are not to be had here: %s", problem)
        return False
    if error > CLOSE:
        log.warning("convolutions in bytes come out wrong here (by %.0f %%); not used", 100.0 * error)
    return error <= CLOSE
