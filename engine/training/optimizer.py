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
            update = self._muon if group["muon"] else self._adam
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1.0 - group["lr"] * group["weight_decay"])
                    update(parameter, parameter.grad, group)

    def _muon(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
        momentum = state["momentum"]
        momentum.lerp_(gradient, 1.0 - group["momentum"])
        direction = gradient.lerp(momentum, group["momentum"]).flatten(1)
        whitened = orthogonalise(direction.to(inference_dtype(parameter.device))).to(parameter.dtype).view_as(parameter)
        rows, columns = direction.shape
        parameter.add_(whitened, alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)

    def _adam(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        beta1, beta2 = group["betas"]
        if not state:
            state |= {"first": torch.zeros_like(gradient), "second": torch.zeros_like(gradient), "count": 0}
        first, second = state["first"], state["second"]
        state["count"] += 1
        first.lerp_(gradient, 1.0 - beta1)
        second.lerp_(gradient.square(), 1.0 - beta2)
        scale = (second / (1.0 - beta2 ** state["count"])).sqrt_().add_(1e-8)
        parameter.addcdiv_(first, scale, value=-ADAM_SHARE * group["lr"] / (1.0 - beta1 ** state["count"]))


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
