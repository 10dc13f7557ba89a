"""What one biome changes in the networks: low-rank updates of their kernels (LoRA, Hu et al. 2021).

A biome that comes later must not change how the others look. Its own updates are a few hundred kilobytes, added to
copies of the kernels when a model is loaded: every other world is drawn by the kernels as they are.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from engine.errors import InputError

N = TypeVar("N", bound=nn.Module)
_LEARNED = ".parametrizations.weight.0."


class LowRank(nn.Module):
    """W -> W + up @ down, of a kernel (out, ...) as a matrix (out, everything else); nothing at first."""

    def __init__(self, kernel: Tensor, rank: int) -> None:
        super().__init__()
        rows = kernel.shape[0]
        columns = kernel.numel() // rows
        rank = min(rank, rows, columns)
        self.up = nn.Parameter(kernel.new_zeros(rows, rank))
        self.down = nn.Parameter(torch.randn(rank, columns).to(kernel) / columns**0.5)

    def forward(self, kernel: Tensor) -> Tensor:
        """The updated kernel, of the same shape."""
        return kernel + (self.up @ self.down).view(kernel.shape)


def adapt(network: nn.Module, rank: int) -> None:
    """Freeze a network, in place, but for an update of ``rank`` of every kernel."""
    network.requires_grad_(False)
    for module in _with_kernels(network).values():
        parametrize.register_parametrization(module, "weight", LowRank(module.weight, rank))


def learned_updates(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The updates among the weights of networks that :func:`adapt` prepared: ``<module>.up`` (out, rank) and
    ``<module>.down`` (rank, in * kernel)."""
    return {name.replace(_LEARNED, "."): tensor for name, tensor in weights.items() if _LEARNED in name}


def adapted(network: N, updates: Mapping[str, Tensor]) -> N:
    """A copy of a network with updates added to its kernels.

    Args:
        updates: ``<module>.up`` and ``<module>.down`` of any of its modules.

    Raises:
        InputError: they belong to another network.
    """
    network = copy.deepcopy(network)
    kernels = _with_kernels(network)
    for name in sorted({name.rpartition(".")[0] for name in updates}):
        up, down = updates.get(f"{name}.up"), updates.get(f"{name}.down")
        kernel = kernels[name].weight if name in kernels else None
        if up is None or down is None or kernel is None:
            raise InputError(f"an update of {name!r} needs up, down and a kernel of that name")
        matrix = (len(kernel), kernel.numel() // len(kernel))
        if up.dim() != 2 or down.dim() != 2 or up.shape[1] != len(down) or (len(up), down.shape[1]) != matrix:
            raise InputError(f"the update of {name!r}, {tuple(up.shape)} by {tuple(down.shape)}, must make {matrix}")
        with torch.no_grad():
            kernel += (up.float() @ down.float()).view(kernel.shape).to(kernel)
    return network


def _with_kernels(network: nn.Module) -> dict[str, nn.Conv2d | nn.Linear]:
    return {name: module for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}
