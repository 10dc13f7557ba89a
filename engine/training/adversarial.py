"""A critic that tells true patches from generated ones, so that what cannot be known is invented sharply rather than
averaged.

Relativistic pairing (Jolicoeur-Martineau 2018): the critic compares a generated picture with the true one of the same
view. Both reach it with a little noise on them, and its slope is held down at both (R1 and R2, Mescheder et al. 2018)
by finite differences, which need no second derivatives: a steep critic finds differences that no eye does.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pixel_shuffle, pixel_unshuffle, silu, softplus

from engine.models.embedded.blocks import ResidualBlock, channels_last

LEAD = 0.03
"""The critic learns for this share of the training before it pulls."""
DRIFT_WEIGHT = 0.01
SLOPE_EVERY = 3
"""Steps between two looks at the critic's slope: a look costs as much as a step."""

COARSE = 5
"""Pixels that what is coarse is averaged over, twice."""
TEXTURE_GAIN = 20.0


class PatchCritic(nn.Module):
    """Judges patches at two scales; (B, inputs, h, w) -> (B, judgements).

    Args:
        inputs: channels of the picture and of whatever it is conditioned on.
        widths: channels at full, half and quarter resolution of the input.
        unshuffle: pixels folded into channels first.
    """

    def __init__(self, inputs: int, widths: tuple[int, int, int], unshuffle: int = 1) -> None:
        super().__init__()
        full, half, quarter = widths
        self.stem = nn.Sequential(nn.PixelUnshuffle(unshuffle), nn.Conv2d(inputs * unshuffle**2, full, 3, padding=1))
        self.to_half = nn.Sequential(nn.SiLU(), nn.Conv2d(full, half, 4, stride=2, padding=1), ResidualBlock(half))
        self.to_quarter = nn.Sequential(
            nn.SiLU(), nn.Conv2d(half, quarter, 4, stride=2, padding=1), ResidualBlock(quarter)
        )
        self.judge_half = nn.Conv2d(half, 1, 3, padding=1)
        self.judge_quarter = nn.Conv2d(quarter, 1, 3, padding=1)

    def forward(self, picture: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, judgements) float32; higher means truer."""
        half = self.to_half(self.stem(picture))
        quarter = self.to_quarter(half)
        # The last sums in float32: bfloat16 would round away the differences that the slope is measured by.
        with torch.autocast(picture.device.type, enabled=False):
            judged = [self.judge_half(silu(half.float())), self.judge_quarter(silu(quarter.float()))]
        return torch.cat([j.flatten(1) for j in judged], dim=1)


class TextureCritic(nn.Module):
    """Judges pictures by their texture; sees them, and without what is coarse.

    Texture is a hundredth of a picture's variance: a critic of plain pixels did not find it in hundreds of steps, one
    of amplified differences from the local mean does within fifty.

    Args:
        fold: pixels of a side that come folded into channels. widths: see :class:`PatchCritic`.
    """

    def __init__(self, fold: int, widths: tuple[int, int, int]) -> None:
        super().__init__()
        self.fold = fold
        self.patches = PatchCritic(2 * 3 * fold**2, widths)

    def forward(self, seen: Tensor) -> Tensor:
        """(B, 3 fold^2, h, w) -> (B, judgements) float32; higher means truer."""
        picture = pixel_shuffle(seen, self.fold)
        mean = picture
        for _ in range(2):
            mean = avg_pool2d(mean, COARSE, stride=1, padding=COARSE // 2, count_include_pad=False)
        texture = pixel_unshuffle((picture - mean) * TEXTURE_GAIN, self.fold)
        judged: Tensor = self.patches(torch.cat([seen, texture], dim=1).contiguous(memory_format=torch.channels_last))
        return judged


class Adversary:
    """A critic with its optimiser.

    Args:
        critic: judges ``[picture, context]`` stacked along channels.
        share: how hard the critic pulls: the norm of its gradient over that of the other losses, at the picture.
        probe: standard deviation of the noise and of the finite differences, in units of the picture.
        slope_weight: weight of R1 and R2, which are looked at every ``SLOPE_EVERY`` steps.
    """

    def __init__(
        self,
        critic: nn.Module,
        device: torch.device,
        share: float,
        probe: float,
        lr: float = 4e-4,
        slope_weight: float = 10.0,
    ) -> None:
        self.critic = channels_last(critic, device)
        self.share = share
        self.probe = probe
        self.slope_weight = slope_weight
        self._steps = 0
        self.optimizer = torch.optim.AdamW(
            [p for p in self.critic.parameters() if p.requires_grad], lr=lr, betas=(0.5, 0.99), weight_decay=1e-3
        )

    def join(
        self,
        loss: Tensor,
        fake: Tensor,
        real: Tensor,
        since: float,
        context: Tensor | None = None,
        where: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, float]]:
        """Learn from a batch, and pull once there was time to learn: ``since`` is the share of the training since the
        critic came in. The rest is as for :meth:`pull`; returns the loss and figures to log."""
        figures = {"critic": self.learn(fake, real, context)}
        if since >= LEAD:
            loss, figures["told_apart"] = self.pull(loss, fake, real, context, where)
        return loss, figures

    def pull(
        self, loss: Tensor, fake: Tensor, real: Tensor, context: Tensor | None = None, where: Tensor | None = None
    ) -> tuple[Tensor, float]:
        """A loss whose gradient at ``fake`` is that of ``loss`` plus the critic's, scaled to ``share``.

        Args:
            loss: scalar, a function of ``fake``.
            fake: (B, C, h, w) generated. real: the same shape. context: (B, K, h, w).
            where: (B, 1, h, w) in [0, 1], how much the critic may pull at each place; everywhere if not given.

        Returns:
            The loss to go backward from (its value is ``loss``), and how well the critic tells them apart, 0.5 to 1.
        """
        self.critic.requires_grad_(False)
        judged = self._judge(self._noisy(fake), context) - self._judge(self._noisy(real), context).detach()
        (towards_true,) = torch.autograd.grad(softplus(-judged).mean(), fake, retain_graph=True)
        (own,) = torch.autograd.grad(loss, fake, retain_graph=True)
        self.critic.requires_grad_(True)
        weight = torch.ones_like(own[:, :1]) if where is None else where
        towards_true = towards_true * weight
        norm = (own * weight).norm() / towards_true.norm().clamp(min=1e-12)
        gradient = (own + self.share * norm * towards_true).detach()
        surrogate = (fake * gradient).sum()
        return loss.detach() + surrogate - surrogate.detach(), float((judged < 0).float().mean())

    def learn(self, fake: Tensor, real: Tensor, context: Tensor | None = None) -> float:
        """One step of the critic; returns its loss."""
        fake, real = self._noisy(fake.detach()), self._noisy(real)
        true, made = self._judge(real, context), self._judge(fake, context)
        # Only differences count above, so both judgements together would drift.
        loss = softplus(made - true).mean() + DRIFT_WEIGHT * (true.square().mean() + made.square().mean())
        if self._steps % SLOPE_EVERY == 0:
            for picture, judged in ((real, true), (fake, made)):
                probed = self._judge(self._noisy(picture), context)
                loss = loss + SLOPE_EVERY * self.slope_weight * (probed - judged).square().mean()
        self._steps += 1
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.critic.parameters(), 20.0)
        self.optimizer.step()
        return float(loss.detach())

    def _noisy(self, picture: Tensor) -> Tensor:
        return picture + self.probe * torch.randn_like(picture)

    def _judge(self, picture: Tensor, context: Tensor | None) -> Tensor:
        seen = picture if context is None else torch.cat([picture, context], dim=1)
        judged: Tensor = self.critic(seen.contiguous(memory_format=torch.channels_last))
        return judged

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints."""
        return {"critic": self.critic.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.critic.load_state_dict(state["critic"])
        self.optimizer.load_state_dict(state["optimizer"])
