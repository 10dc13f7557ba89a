"""A critic of imagined views that sees them through a denoiser's eyes.

After latent adversarial diffusion distillation (Sauer et al. 2024): a trained denoiser, frozen, already knows what a
view is made of and what its condition says, so the critic is only a few heads on its features. It judges from the
first step on, where a critic from nothing would first have to learn to see.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from engine.models.embedded.denoiser import Denoiser

HEAD_WIDTH = 128


class FlowCritic(nn.Module):
    """Judges cells at the three scales of a frozen denoiser.

    Args:
        denoiser: whose features are looked at; copied, frozen.
        noise: standard deviation of the noise that is on every picture shown, relative to the picture: the flow's time
            at which the denoiser knows such pictures is ``1 / (1 + noise)``.
    """

    def __init__(self, denoiser: Denoiser, noise: float) -> None:
        super().__init__()
        self.eyes = copy.deepcopy(denoiser).eval()
        self.time = 1.0 / (1.0 + noise)
        self.heads = nn.ModuleList(JudgingHead(width) for width in denoiser.config.widths)

    def requires_grad_(self, requires_grad: bool = True) -> FlowCritic:
        """Only the heads ever learn."""
        super().requires_grad_(requires_grad)
        self.eyes.requires_grad_(False)
        return self

    def forward(self, seen: Tensor) -> Tensor:
        """(B, state + condition + 1, h, w): noisy picture, condition and the biome's index -> (B, judgements) float32;
        higher means truer."""
        config = self.eyes.config
        picture, condition, biome = seen.split([config.state_channels, config.condition_channels, 1], dim=1)
        t = torch.full((len(seen),), self.time, device=seen.device)
        features = self.eyes.features(picture * self.time, t, condition, biome[:, 0, 0, 0].round().long())
        judged = [head(feature) for head, feature in zip(self.heads, features, strict=True)]
        return torch.cat(judged, dim=1)


class JudgingHead(nn.Module):
    """(B, width, h, w) features -> (B, h * w) float32 judgements."""

    def __init__(self, width: int) -> None:
        super().__init__()
        # Without weights of its own: torch on the CPU cannot go back through a norm whose input needs no gradient.
        self.look = nn.Sequential(
            nn.GroupNorm(16, width, affine=False), nn.SiLU(), nn.Conv2d(width, HEAD_WIDTH, 3, padding=1)
        )
        self.judge = nn.Conv2d(HEAD_WIDTH, 1, 3, padding=1)

    def forward(self, feature: Tensor) -> Tensor:
        hidden = silu(self.look(feature))
        # The last sums in float32: bfloat16 would round away the differences that the slope is measured by.
        with torch.autocast(feature.device.type, enabled=False):
            judged: Tensor = self.judge(hidden.float())
        return judged.flatten(1)
