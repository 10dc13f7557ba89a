"""Training a network from latents to latents on what it is for: the places of an exported model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from engine.errors import InputError
from engine.models.embedded import EmbeddedModel
from engine.models.embedded.blocks import channels_last
from engine.models.embedded.latent_network import LatentNetwork
from engine.training.config import PairTraining
from engine.training.curves import write_sheet
from engine.training.losses import psnr_db

EDGE = 3
"""Cells that a crop's border makes different."""
EVERY = 29
"""The figures are of every so many pairs, which are not learned from."""

Pair = tuple[Tensor, Tensor]
"""(C, h, w) latents of a view and what is to be made of them, normalised."""


class PairStage(ABC):
    """What the network makes of latents is to be what the encoder makes of a changed picture of them.

    Attributes:
        kind: of the network. of: what it learns from, in words.
        score: how near pictures of it come to that, in dB. plainly: the same of what is made without a network.
    """

    kind: ClassVar[type[LatentNetwork]]
    of: ClassVar[str]
    score: str
    plainly: ClassVar[str]
    adversary = None

    def __init__(self, config: PairTraining) -> None:
        self.config = config
        if config.crop_cells // self.kind.shrinks <= 2 * EDGE:
            raise InputError(
                f"Crops of {config.crop_cells} cells show nothing but borders; take larger crops, of more than "
                f"{2 * EDGE * self.kind.shrinks} cells a side."
            )
        self.device = torch.device(config.loop.device)
        torch.manual_seed(config.loop.seed)
        self.model = EmbeddedModel.load(Path(config.model), self.device, in_full=True)
        self.network = channels_last(self.kind(self.model.spec.latent_channels, config.width), self.device)
        sizes = self.model.config
        self.mean, self.std = (torch.tensor(v)[:, None, None] for v in (sizes.latents_mean, sizes.latents_std))
        pairs = [tuple((z.cpu() - self.mean) / self.std for z in pair) for pair in self.pairs()]
        if not pairs or min(min(latents.shape[-2:]) for latents, _ in pairs) < config.crop_cells:
            raise InputError(
                f"The model {config.model} has no {self.of} whose views have {config.crop_cells} cells a side; export "
                "it with places, or take smaller crops."
            )
        self.shown = pairs[::EVERY]
        self.learned = [pair for index, pair in enumerate(pairs) if index % EVERY] or self.shown

    @abstractmethod
    def pairs(self) -> list[Pair]:
        """What it learns from, as latents are: not normalised."""

    @abstractmethod
    def plain(self, latents: Tensor) -> Tensor:
        """What is made of latents without a network."""

    def cut(self, latents: Tensor, top: int, left: int, side: int) -> Tensor:
        """Of a view's latents, those that the crop of what is made of them comes from."""
        top, left, side = (self.kind.shrinks * number for number in (top, left, side))
        return latents[:, top : top + side, left : left + side]

    def loss(self, generator: torch.Generator, progress: float) -> tuple[Tensor, dict[str, float]]:
        """One batch of crops."""
        side, crops, aims = self.config.crop_cells // self.kind.shrinks, [], []
        for _ in range(self.config.loop.batch):
            latents, aim = self.learned[int(torch.randint(len(self.learned), (), generator=generator))]
            top, left = (int(torch.randint(room - side + 1, (), generator=generator)) for room in aim.shape[-2:])
            crops.append(self.cut(latents, top, left, side))
            aims.append(aim[:, top : top + side, left : left + side])
        made = self.network(torch.stack(crops).to(self.device))
        inner = slice(EDGE, -EDGE)
        error = (made - torch.stack(aims).to(self.device)).square()[:, :, inner, inner].mean()
        return error, {"loss": float(error.detach())}

    @torch.inference_mode()
    def evaluate(self, network: nn.Module, sheet: Path) -> dict[str, float]:
        """How near pictures of what is made of latents come to the aim, beside what is made of them plainly."""
        figures: dict[str, list[float]] = {self.score: [], self.plainly: []}
        columns: list[list[Tensor]] = [[], [], []]
        for latents, wanted in self.shown:
            made = network(latents[None].to(self.device))[0]
            aim, learned, plain = (
                self.model.decode((z.cpu() * self.std + self.mean)[None]) for z in (wanted, made, self.plain(latents))
            )
            figures[self.score].append(float(psnr_db(learned, aim).mean()))
            figures[self.plainly].append(float(psnr_db(plain, aim).mean()))
            if not columns[0] or (len(columns[0]) < 4 and columns[0][0].shape == aim.shape):
                for column, picture in zip(columns, (plain, learned, aim), strict=True):
                    column.append(picture)
        write_sheet([torch.cat(column) for column in columns], sheet)
        return {name: sum(values) / len(values) for name, values in figures.items()}
