"""Convolutions that are computed in another way when they infer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

N = TypeVar("N", bound=nn.Module)


class Quickly(Protocol):
    """Another way to compute a layer, by the weights that it has now."""

    def __call__(self, x: Tensor, *, activated: bool = False) -> Tensor:
        """``x (B, in, h, w)``, or silu(x) if it is to be ``activated`` -> (B, out, h', w')."""


class QuickConv2d(nn.Conv2d):
    """A layer that is computed ``quickly`` when it infers; it shares the parameters of the one that it stands for."""

    def __init__(self, conv: nn.Conv2d, quickly: Quickly) -> None:
        nn.Module.__init__(self)
        self.__dict__.update(conv.__dict__)
        self.quickly = quickly

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, h, w) -> (B, out, h', w')."""
        return self.quickly(x) if torch.is_inference_mode_enabled() else super().forward(x)

    def of_silu(self, x: Tensor) -> Tensor:
        """What the layer makes of silu(x), which is taken along."""
        if torch.is_inference_mode_enabled():
            return self.quickly(x, activated=True)
        return super().forward(nn.functional.silu(x))


def replaced(network: N, gains: Callable[[nn.Conv2d], bool], quickly: Callable[[nn.Conv2d], Quickly]) -> N:
    """A network, changed in place, whose convolutions that stand to gain are computed ``quickly`` when it infers."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Conv2d) and not isinstance(child, QuickConv2d) and gains(child):
                setattr(module, name, QuickConv2d(child, quickly(child)))
    return network


def version_of(weight: Tensor) -> tuple[int, int]:
    """What differs as soon as a weight does."""
    return weight.data_ptr(), 0 if weight.is_inference() else weight._version  # those of inference do not change
