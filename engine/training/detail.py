"""Training the detail network, under a critic of pixels: crops of imagined views that look like crops of the world."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from engine.models.embedded.blocks import channels_last
from engine.models.embedded.config import DetailConfig
from engine.models.embedded.detail import DetailNetwork
from engine.models.embedded.weights import load_network
from engine.training.adversarial import Adversary
from engine.training.config import DetailTraining
from engine.training.finish import FinishLoss
from engine.training.imagination import SEEDS, Imagination
from engine.training.inspection import Inspection
from engine.training.pool import Pool, corner
from engine.training.precision import mixed_precision
from engine.training.scenes import STRIDE

TWO_STEPS = 0.25
"""Share of views that are imagined in two steps instead of one."""


@dataclass(frozen=True)
class Unfinished:
    """Views, or crops of them, as the denoiser leaves them.

    Attributes:
        state: (B, C + s*s, h, w). condition: (B, condition_channels, h, w). noise: (B, noise_channels, h, w).
        certain: (B, 1, h, w), see :class:`engine.training.examples.SeenView`.
        soft: (B, 3, H, W) uint8, the state decoded as it is. rgb: the same of what is truly there.
    """

    state: Tensor
    condition: Tensor
    noise: Tensor
    certain: Tensor
    soft: Tensor
    rgb: Tensor

    def crop(self, top: int, left: int, side: int) -> Unfinished:
        """A square of ``side`` cells."""
        cells = (..., slice(top, top + side), slice(left, left + side))
        pixels = (..., slice(top * STRIDE, (top + side) * STRIDE), slice(left * STRIDE, (left + side) * STRIDE))
        state, condition, noise, certain = (x[cells] for x in (self.state, self.condition, self.noise, self.certain))
        return Unfinished(state, condition, noise, certain, self.soft[pixels], self.rgb[pixels])


class DetailStage:
    """Texture for what was imagined: faithful where the memory knows, like the world everywhere."""

    score = "balance_db"

    def __init__(self, config: DetailTraining) -> None:
        self.config = config
        self.device = torch.device(config.loop.device)
        self.imagination = Imagination(
            config.model, config.scenes, config.loop, config.max_sources, (config.plain, config.fine), config.fine_share
        )
        model = self.imagination.model
        torch.manual_seed(config.loop.seed)
        sizes = model.config.detail or DetailConfig()
        self.network = channels_last(DetailNetwork(sizes, model.config.denoiser), self.device)
        if config.start_from:
            load_network(self.network, Path(config.start_from))
        self.imagination.source.detail = self.network
        self.finish = FinishLoss(config.finish, self.imagination)
        self.pool: Pool[Unfinished] = Pool(self._view, config.pool, config.first_views, config.renew_steps)

    @property
    def adversary(self) -> Adversary | None:
        """The critic of pixels."""
        return self.finish.adversary

    def loss(self, generator: torch.Generator, progress: float) -> tuple[Tensor, dict[str, float]]:
        """One batch of crops."""
        crops = self._draw(generator)
        finished = self.network(crops.state, crops.condition, crops.noise)
        soft, rgb = crops.soft.float() / 255, crops.rgb.float() / 255
        return self.finish(finished, crops.condition, crops.certain, soft, rgb, progress)

    def _draw(self, generator: torch.Generator) -> Unfinished:
        """Crops of views of the pool, (batch, ...)."""
        crops = []
        for view in self.pool.draw(self.config.loop.batch, generator):
            top, left, side = corner(view.state, self.config.crop_cells, generator)
            crops.append(view.crop(top, left, side))
        return Unfinished(
            *(
                torch.cat([getattr(c, name) for c in crops]).contiguous(memory_format=torch.channels_last)
                for name in ("state", "condition", "noise", "certain", "soft", "rgb")
            )
        )

    @torch.no_grad()
    def _view(self, generator: torch.Generator) -> Unfinished:
        source, denoiser = self.imagination.source, self.imagination.model.denoiser
        view = self.imagination.seen(self.config.own_memory, generator, denoiser)
        steps = 1 + int(torch.rand((), generator=generator) < TWO_STEPS)
        state = source.imagine_state(denoiser, view.condition, view.scene.biome_index, steps, generator)
        seed = int(torch.randint(SEEDS, (), generator=generator))
        noise = self.network.noise(state, [view.camera], seed)
        soft = (self.imagination.decode(state).float().clamp(0, 1) * 255 + 0.5).to(torch.uint8)
        return Unfinished(state, view.condition, noise, view.certain, soft, view.rgb.to(self.device))

    def evaluate(self, network: nn.Module, sheet: Path) -> dict[str, float]:
        """See :meth:`engine.training.inspection.Inspection.measure`."""
        assert isinstance(network, DetailNetwork)
        with mixed_precision(self.config.loop, self.device):
            return Inspection(self.imagination).measure(self.imagination.model.denoiser, network, sheet)
