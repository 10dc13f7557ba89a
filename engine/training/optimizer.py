"""Muon for the inner convolutions, AdamW for the rest.

Muon (Jordan et al. 2024) follows the momentum with all its singular values made equal, which trains convolutions in
noticeably fewer steps than AdamW. torch's own takes matrices only; here a convolution's kernel counts as one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from engine.models.embedded.model import inference_dtype

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the odd polynomial whose iteration drives singular values towards 1."""

ADAM_SHARE = 0.1
"""AdamW's learning rate as a share of Muon's: AdamW's steps are about ten times as large for one rate."""


def orthogonalise(matrix: Tensor, iterations: int = 5) -> Tensor:
    """(..., m, n) -> the same shape with all singular values near 1 (Newton-Schulz)."""
    a, b, c = NEWTON_SCHULZ
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Groups with ``muon=True`` hold parameters of two or more dimensions; the others are stepped by AdamW's rule."""

    def __init__(self, groups: list[dict[str, Any]], lr: float, weight_decay: float) -> None:
        super().__init__(
            groups, {"lr": lr, "weight_decay": weight_decay, "muon": False, "momentum": 0.95, "betas": (0.9, 0.99)}
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step of every parameter that has a gradient."""
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                torch._foreach_mul_(parameters, 1.0 - group["lr"] * group["weight_decay"])
                (self._muon if group["muon"] else self._adam)(parameters, [p.grad for p in parameters], group)

    def _muon(self, parameters: list[Tensor], gradients: list[Tensor], group: dict[str, Any]) -> None:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if not self.state[parameter]:
                self.state[parameter]["momentum"] = torch.zeros_like(gradient)
        momenta = [self.state[parameter]["momentum"] for parameter in parameters]
        torch._foreach_lerp_(momenta, gradients, 1.0 - group["momentum"])
        directions = torch._foreach_lerp(gradients, momenta, group["momentum"])
        alike: dict[torch.Size, list[int]] = {}  # one product for all kernels of a shape: an accelerator waits less
        for index, direction in enumerate(directions):
            alike.setdefault(direction.flatten(1).shape, []).append(index)
        dtype = inference_dtype(parameters[0].device)
        for (rows, columns), indices in alike.items():
            whitened = orthogonalise(torch.stack([directions[i].flatten(1).to(dtype) for i in indices]))
            for index, matrix in zip(indices, whitened, strict=True):
                parameter = parameters[index]
                step = matrix.to(parameter.dtype).view_as(parameter)
                parameter.add_(step, alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)

    def _adam(self, parameters: list[Tensor], gradients: list[Tensor], group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        states = [self.state[parameter] for parameter in parameters]
        for state, gradient in zip(states, gradients, strict=True):
            if not state:
                state |= {"first": torch.zeros_like(gradient), "second": torch.zeros_like(gradient), "count": 0}
            state["count"] += 1
        first, second = [s["first"] for s in states], [s["second"] for s in states]
        torch._foreach_lerp_(first, gradients, 1.0 - beta1)
        torch._foreach_lerp_(second, torch._foreach_mul(gradients, gradients), 1.0 - beta2)
        scale = torch._foreach_div(second, [1.0 - beta2 ** s["count"] for s in states])
        torch._foreach_sqrt_(scale)
        torch._foreach_add_(scale, 1e-8)
        rates = [-ADAM_SHARE * group["lr"] / (1.0 - beta1 ** s["count"]) for s in states]
        torch._foreach_addcdiv_(parameters, first, scale, rates)


def make_optimizer(network: nn.Module, lr: float, weight_decay: float) -> Muon:
    """Muon for every kernel but the first and the last, AdamW for those, biases, norms and embeddings.

    ``lr`` is Muon's; AdamW takes ``ADAM_SHARE`` of it.
    """
    modules = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    kernels = [m.weight for m in modules[1:-1] if m.weight.requires_grad]
    inner = [kernel for kernel in kernels if kernel.is_leaf]  # not what an adapter makes of one
    chosen = {id(p) for p in inner}
    others = [p for p in network.parameters() if p.requires_grad and id(p) not in chosen]
    return Muon([{"params": inner, "muon": True}, {"params": others}], lr, weight_decay)
