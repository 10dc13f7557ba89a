"""Training denoiser and detail together on what their own flights leave in the memory.

A flight reads its own writing again and again: what is a little off in one frame is remembered, resampled and believed
in the next. Here the memory is written by such flights and the answer is the true view, so that the denoiser learns to
mend what flying breaks, and the detail to finish what the denoiser mends.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from engine.camera import Camera
from engine.errors import InputError
from engine.models.embedded.adapter import adapt
from engine.models.embedded.blocks import channels_last
from engine.models.embedded.condition import known_share, pack_state, with_known
from engine.models.embedded.denoiser import Denoiser
from engine.models.embedded.detail import DetailNetwork
from engine.models.embedded.weights import load_network, weight_path
from engine.training.adversarial import Adversary
from engine.training.config import FlightTraining
from engine.training.denoiser import FEW_STEP_TIMES, flow_loss
from engine.training.examples import SeenView
from engine.training.finish import FinishLoss
from engine.training.imagination import SEEDS, Imagination
from engine.training.inspection import Inspection
from engine.training.pool import Pool, corner
from engine.training.precision import mixed_precision
from engine.training.scenes import SAMPLES, STRIDE
from engine.training.workers import Workers

TOLD = 0.01
"""What true views saw from more than six octaves farther they do not tell."""
TOLD_CELLS = 2
"""What lies so near to what was truly seen is told by it: a strip of sky that a near thing gave free."""


@dataclass(frozen=True)
class Remembered:
    """A view, and what a memory knows of it.

    Attributes:
        condition: (1, condition_channels, h, w). target: (1, C + s*s, h, w), see :meth:`FlightStage._target`.
        certain: (1, 1, h, w), see :class:`engine.training.examples.SeenView`.
        rgb: (1, 3, H, W) uint8. biome: index into the biome embedding.
    """

    condition: Tensor
    target: Tensor
    certain: Tensor
    rgb: Tensor
    camera: Camera
    biome: int


class FlightStage:
    """Latents and pictures of single steps on memories of the model's own making."""

    score = "balance_db"

    def __init__(self, config: FlightTraining) -> None:
        self.config = config
        self.device = torch.device(config.loop.device)
        self.imagination = Imagination(
            config.model, config.scenes, config.loop, config.max_sources, (config.plain, config.fine), config.fine_share
        )
        sizes = self.imagination.model.config
        if sizes.detail is None:
            raise InputError(f"The model {config.model} has no detail yet; run `mirage train detail` first.")
        torch.manual_seed(config.loop.seed)
        self.denoiser = Denoiser(sizes.denoiser)
        self.detail = DetailNetwork(sizes.detail, sizes.denoiser)
        for name, network in (("denoiser", self.denoiser), ("detail", self.detail)):
            load_network(network, weight_path(Path(config.model), name))
        networks = nn.ModuleDict({"denoiser": self.denoiser, "detail": self.detail})
        self.network: nn.Module = channels_last(networks, self.device)
        if config.only_biome:
            self._learn_only(config.only_biome, config.rank)
        self.imagination.source.detail = self.detail
        self.finish = FinishLoss(config.finish, self.imagination)
        workers: Workers[Remembered] | None = None
        if config.workers:
            alone = replace(config, workers=0)
            workers = Workers(FlightStage, (alone,), self.network, config.workers, config.loop.seed, self.device)
        self.pool = Pool(self.example, config.pool, config.first_views, config.renew_steps, workers)

    def _learn_only(self, biome: str, rank: int) -> None:
        """Freeze everything but what is a biome's own: updates of a rank; or the denoiser's row of it, for 0, where
        without decay the others in that matrix stay, too.

        Raises:
            InputError: the model does not know the biome, or weights would decay.
        """
        known = self.denoiser.config.biomes
        if biome not in known or self.config.loop.weight_decay:
            raise InputError(
                f"only_biome takes one of {', '.join(known)}, with loop.weight_decay=0; got {biome!r} and "
                f"{self.config.loop.weight_decay}."
            )
        if rank:
            adapt(self.network, rank)
            return
        self.network.requires_grad_(False)
        rows = self.denoiser.biome.weight.requires_grad_(True)
        learns = torch.zeros_like(rows)
        learns[1 + known.index(biome)] = 1.0
        rows.register_hook(lambda gradient: gradient * learns)

    def close(self) -> None:
        """End the processes that make views, if there are any."""
        if self.pool.workers is not None:
            self.pool.workers.stop()

    @property
    def adversary(self) -> Adversary | None:
        """The critic of pixels."""
        return self.finish.adversary

    def loss(self, generator: torch.Generator, progress: float) -> tuple[Tensor, dict[str, float]]:
        """One batch of views, and crops of their pictures."""
        config = self.config
        views = self.pool.draw(config.loop.batch, generator)
        condition, target, certain = (
            torch.cat([getattr(v, name) for v in views]) for name in ("condition", "target", "certain")
        )
        biome = torch.tensor([v.biome for v in views], device=self.device)
        later = torch.tensor(FEW_STEP_TIMES)[torch.randint(len(FEW_STEP_TIMES), (len(views),), generator=generator)]
        t = torch.where(torch.rand(len(views), generator=generator) < config.pure_noise, 0.0, later).to(self.device)
        noise = torch.randn(target.shape, generator=generator).to(self.device)
        predicted = self.denoiser(torch.lerp(noise, target, t[:, None, None, None]), t, condition, biome).float()
        loss, logs = flow_loss(
            predicted, target, certain, t, config.covered_weight, config.invented_weight, config.depth_weight
        )
        shown = torch.nonzero(t == 0)[:, 0].tolist()
        if shown:
            pictures, more = self._pictures(predicted[shown], [views[i] for i in shown], generator, progress)
            loss, logs = loss + config.picture_weight * pictures, logs | more
        return loss, logs

    def _pictures(
        self, predicted: Tensor, views: list[Remembered], generator: torch.Generator, progress: float
    ) -> tuple[Tensor, dict[str, float]]:
        """What is shown of states (B, C + s*s, h, w), against the truth."""
        seed = int(torch.randint(SEEDS, (), generator=generator))
        noise = self.detail.noise(predicted.detach(), [v.camera for v in views], seed)
        state = torch.lerp(predicted.detach(), predicted, self.config.through)
        state = with_known(state, torch.cat([v.condition for v in views]), self.imagination.mean.shape[0])
        crops: list[tuple[Tensor, ...]] = []
        for index in range(self.config.crops):
            i = index % len(views)
            top, left, side = corner(state, self.config.crop_cells, generator)
            rows, columns = slice(top, top + side), slice(left, left + side)
            pixels = (
                slice(top * STRIDE, (top + side) * STRIDE),
                slice(left * STRIDE, (left + side) * STRIDE),
            )
            cells = (x[..., rows, columns] for x in (state[i : i + 1], noise[i : i + 1], views[i].condition))
            crops.append((*cells, views[i].certain[..., rows, columns], views[i].rgb[..., *pixels]))
        states, noises, conditions, certain, rgb = (torch.cat(parts) for parts in zip(*crops, strict=True))
        with torch.no_grad():
            soft = self.imagination.decode(states).float().clamp(0, 1)
        finished = self.detail(states, conditions, noises)
        return self.finish(finished, conditions, certain, soft, rgb.float() / 255, progress)

    @torch.no_grad()
    def example(self, generator: torch.Generator) -> Remembered:
        """A view of a scene, and what a memory knows of it."""
        with mixed_precision(self.config.loop, self.device):
            view = self.imagination.seen(self.config.own_memory, generator, self.denoiser)
        target, rgb = self._target(view), view.rgb.to(self.device)
        return Remembered(view.condition, target, view.certain, rgb, view.camera, view.scene.biome_index)

    def _target(self, view: SeenView) -> Tensor:
        """The state to aim at, (1, C + s*s, h, w): the truth; but where a flight imagined what the truth does not tell,
        what it remembers, so that flying back finds it."""
        one = slice(view.target, view.target + 1)
        truth = pack_state(
            view.scene.latents[one].to(self.device),
            view.scene.inverse_depth[one].to(self.device),
            self.imagination.mean,
            self.imagination.std,
            SAMPLES,
        )
        channels = self.imagination.mean.shape[0]
        depths = slice(channels + 1, channels + 1 + SAMPLES**2)
        remembered = torch.cat([view.condition[:, :channels], view.condition[:, depths]], dim=1)
        told = max_pool2d(view.certain, 2 * TOLD_CELLS + 1, stride=1, padding=TOLD_CELLS) > TOLD
        imagined = (known_share(view.condition, channels) > 0.99) & ~told
        return torch.where(imagined, remembered, truth)

    def evaluate(self, network: nn.Module, sheet: Path) -> dict[str, float]:
        """See :meth:`engine.training.inspection.Inspection.measure`."""
        denoiser, detail = network.get_submodule("denoiser"), network.get_submodule("detail")
        assert isinstance(detail, DetailNetwork)
        with mixed_precision(self.config.loop, self.device):
            return Inspection(self.imagination).measure(denoiser, detail, sheet)
