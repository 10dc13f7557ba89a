"""What finished pictures are trained for: faithful where the memory knows, like the world everywhere."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, l1_loss, pixel_shuffle, pixel_unshuffle

from engine.models.embedded.condition import known_share
from engine.training.adversarial import Adversary, TextureCritic
from engine.training.config import FinishConfig
from engine.training.imagination import Imagination
from engine.training.losses import feature_texture_loss, texture_loss
from engine.training.scenes import STRIDE

FOLD = 4
"""Pixels that the critic folds into channels."""
CRITIC_WIDTHS = (64, 96, 160)
CRITIC_PROBE = 0.01
UNKNOWN_TEXTURE = 0.3
"""How much the energy of texture weighs where nothing is known: it would be answered with noise."""


class FinishLoss:
    """Judges finished states by the pictures that they decode to.

    Attributes:
        adversary: learns along, if the configuration asks for a critic.
    """

    def __init__(self, config: FinishConfig, imagination: Imagination) -> None:
        self.config = config
        self.imagination = imagination
        self.adversary: Adversary | None = None
        if config.adversarial:
            critic = TextureCritic(FOLD, CRITIC_WIDTHS)
            self.adversary = Adversary(critic, imagination.device, config.adversarial, CRITIC_PROBE)

    def __call__(
        self, finished: Tensor, condition: Tensor, certain: Tensor, soft: Tensor, rgb: Tensor, progress: float
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss of a batch, and figures to log.

        Args:
            finished: (B, C + s*s, h, w). condition: (B, condition_channels, h, w), what it was imagined from.
            certain: (B, 1, h, w) in [0, 1], see :class:`engine.training.examples.SeenView`: faith is kept with that.
            soft: (B, 3, H, W) in [0, 1], the picture before it was finished. rgb: the same of what is truly there.
            progress: the share of the training that has passed.
        """
        config, channels = self.config, self.imagination.mean.shape[0]
        drawn = pixel_unshuffle(self.imagination.decode(finished).float(), FOLD)
        made = pixel_shuffle(drawn, FOLD)
        known = known_share(condition, channels)
        # What came near has detail that nobody told: there the truth is one possibility of many.
        faith = interpolate(certain.square(), scale_factor=STRIDE)
        unfaithful = ((made - rgb).abs() * faith).mean()
        recoloured = l1_loss(avg_pool2d(made, STRIDE), avg_pool2d(soft, STRIDE))
        pixels_known = interpolate(known, scale_factor=STRIDE)
        weight = torch.lerp(known.new_tensor(UNKNOWN_TEXTURE), known.new_tensor(1.0), pixels_known)
        texture = texture_loss(made, rgb, weight)
        if config.feature_weight:
            with torch.no_grad():
                seen = self.imagination.features(rgb)
            features = feature_texture_loss(self.imagination.features(made), seen, weight)
            texture = texture + config.feature_weight * features
        loss = unfaithful + recoloured + config.texture_weight * texture
        figures = {"unfaithful": unfaithful, "recoloured": recoloured, "texture": texture}
        logs = {name: float(value.detach()) for name, value in figures.items()}
        since = progress - config.adversarial_from
        if self.adversary is not None and since >= 0.0:
            loss, told = self.adversary.join(loss, drawn, pixel_unshuffle(rgb, FOLD), since)
            logs |= told
        return loss, logs
