"""Building blocks shared by the networks."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

from engine.models.embedded.quick import QuickConv2d

M = TypeVar("M", bound=nn.Module)
L = TypeVar("L", nn.Conv2d, nn.Linear)


def channels_last(module: M, device: torch.device | str, dtype: torch.dtype | None = None) -> M:
    """Move a module and lay its convolutions out for channels-last kernels, which the CPU and tensor cores prefer."""
    moved: M = module.to(device=device, dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def zero_(layer: L) -> L:
    """Zero a layer so that a residual branch starts as the identity."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def of_silu(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """conv(silu(x)), in one where the convolution is computed in another way."""
    return conv.of_silu(x) if isinstance(conv, QuickConv2d) else conv(nn.functional.silu(x))


class ResidualBlock(nn.Module):
    """x + conv(silu(conv(silu(x)))), no normalisation: exact at any image size, cheap on a CPU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = zero_(nn.Conv2d(width, width, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, h, w) -> the same shape."""
        return x + of_silu(self.second, of_silu(self.first, x))


class ModulatedBlock(nn.Module):
    """Residual block with group norm whose scale and shift come from an embedding (adaptive group norm)."""

    def __init__(self, width_in: int, width_out: int, embedding_width: int) -> None:
        super().__init__()
        self.norm_in = nn.GroupNorm(16, width_in)
        self.first = nn.Conv2d(width_in, width_out, 3, padding=1)
        self.norm_out = nn.GroupNorm(16, width_out, affine=False)
        self.modulation = nn.Linear(embedding_width, 2 * width_out)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        self.second = zero_(nn.Conv2d(width_out, width_out, 3, padding=1))
        self.skip = nn.Conv2d(width_in, width_out, 1) if width_in != width_out else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x (B, width_in, h, w), embedding (B, E) -> (B, width_out, h, w)."""
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, dim=1)
        hidden = of_silu(self.first, self.norm_in(x))
        hidden = self.norm_out(hidden) * (1 + scale) + shift
        return self.skip(x) + of_silu(self.second, hidden)


class SelfAttention(nn.Module):
    """Multi-head attention over all cells of a coarse grid, residual."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(16, width)
        self.qkv = nn.Conv2d(width, 3 * width, 1)
        self.out = zero_(nn.Conv2d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, h, w) -> the same shape."""
        b, c, h, w = x.shape
        qkv = self.qkv(self.norm(x)).reshape(b, 3, self.heads, c // self.heads, h * w).transpose(-1, -2)
        attended = nn.functional.scaled_dot_product_attention(qkv[:, 0], qkv[:, 1], qkv[:, 2])
        return x + self.out(attended.transpose(-1, -2).reshape(b, c, h, w))


def sinusoid(values: Tensor, width: int, max_period: float = 100.0) -> Tensor:
    """Fourier features of scalars: values (B,) -> (B, width) float32."""
    frequency = torch.exp(
        -torch.linspace(0.0, 1.0, width // 2, device=values.device) * torch.log(torch.tensor(max_period))
    )
    angle = values.float()[:, None] * frequency[None] * max_period
    return torch.cat([angle.sin(), angle.cos()], dim=1)
