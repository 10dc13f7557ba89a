"""Training the network that turns latents over, on what it is for: the places of an exported model."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from engine.errors import InputError
from engine.models.embedded import EmbeddedModel
from engine.models.embedded.blocks import channels_last
from engine.models.embedded.mirror import MirrorNetwork
from engine.training.config import MirrorTraining
from engine.training.curves import write_sheet
from engine.training.losses import psnr_db

EDGE = 3
"""Cells that a crop's border makes different."""
EVERY = 29
"""The figures are of every so many views."""


class MirrorStage:
    """Latents of the places' views, decoded, turned over and encoded again, are the aim."""

    score = "mirrored_db"
    adversary = None

    def __init__(self, config: MirrorTraining) -> None:
        self.config = config
        self.device = torch.device(config.loop.device)
        torch.manual_seed(config.loop.seed)
        self.model = EmbeddedModel.load(Path(config.model), self.device, in_full=True)
        channels = self.model.spec.latent_channels
        self.network = channels_last(MirrorNetwork(channels, config.width), self.device)
        sizes = self.model.config
        self.mean, self.std = (torch.tensor(v)[:, None, None] for v in (sizes.latents_mean, sizes.latents_std))
        self.pairs = self._pairs()

    def _pairs(self) -> list[tuple[Tensor, Tensor]]:
        """(C, h, w) of each view of open country, and of its mirror image, normalised.

        Raises:
            InputError: the model has no such places, or their views are smaller than a crop.
        """
        places, pairs = self.model.places, []
        bank = None if places is None else places.bank
        for index, biome in enumerate(() if bank is None else bank.biomes):
            if bank is None or biome in bank.modules or bank.original(index) != index:
                continue
            for latents in bank[index].latents:
                turned = self.model.encode(self.model.decode(latents[None]).flip(-1))[0].cpu()
                pairs.append(((latents - self.mean) / self.std, (turned - self.mean) / self.std))
        if not pairs or min(min(latents.shape[-2:]) for latents, _ in pairs) < self.config.crop_cells:
            raise InputError(
                f"The model {self.config.model} has no places of open country whose views have "
                f"{self.config.crop_cells} cells a side; export it with places, or take smaller crops."
            )
        return pairs

    def loss(self, generator: torch.Generator, progress: float) -> tuple[Tensor, dict[str, float]]:
        """One batch of crops."""
        side, crops, aims = self.config.crop_cells, [], []
        for _ in range(self.config.loop.batch):
            latents, turned = self.pairs[int(torch.randint(len(self.pairs), (), generator=generator))]
            h, w = latents.shape[-2:]
            top, left = (int(torch.randint(room - side + 1, (), generator=generator)) for room in (h, w))
            crops.append(latents[:, top : top + side, w - left - side : w - left])
            aims.append(turned[:, top : top + side, left : left + side])
        made = self.network(torch.stack(crops).to(self.device))
        inner = slice(EDGE, -EDGE)
        error = (made - torch.stack(aims).to(self.device)).square()[:, :, inner, inner].mean()
        return error, {"loss": float(error.detach())}

    @torch.inference_mode()
    def evaluate(self, network: nn.Module, sheet: Path) -> dict[str, float]:
        """How near pictures of turned latents come to the pictures turned over, beside turning latents alone."""
        figures: dict[str, list[float]] = {"mirrored_db": [], "flipped_db": []}
        columns: list[list[Tensor]] = [[], [], []]
        for latents, turned in self.pairs[::EVERY]:
            made = network(latents[None].to(self.device))[0]
            aim, mirrored, flipped = (
                self.model.decode((z.cpu() * self.std + self.mean)[None]) for z in (turned, made, latents.flip(-1))
            )
            figures["mirrored_db"].append(float(psnr_db(mirrored, aim).mean()))
            figures["flipped_db"].append(float(psnr_db(flipped, aim).mean()))
            if not columns[0] or (len(columns[0]) < 4 and columns[0][0].shape == aim.shape):
                for column, picture in zip(columns, (flipped, mirrored, aim), strict=True):
                    column.append(picture)
        write_sheet([torch.cat(column) for column in columns], sheet)
        return {name: sum(values) / len(values) for name, values in figures.items()}
