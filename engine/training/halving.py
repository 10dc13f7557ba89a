"""Training the network that halves latents, on the rooms of an exported model."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import avg_pool2d

from engine.models.embedded.latent_network import HalvingNetwork
from engine.places.scales import COARSER, padded
from engine.training.pairs import Pair, PairStage


class HalvingStage(PairStage):
    """Latents of the rooms' views, decoded, seen from twice as far and encoded again, are the aim; and so on from
    these."""

    kind = HalvingNetwork
    of = "rooms"
    score = "halved_db"
    plainly = "averaged_db"

    def pairs(self) -> list[Pair]:
        places, pairs = self.model.places, []
        bank = None if places is None else places.bank
        for index, biome in enumerate(() if bank is None else bank.biomes):
            if bank is None or biome not in bank.modules:
                continue
            for latents, _, _ in bank.first_views(index):
                fine = padded(latents, 1 << COARSER)
                for _ in range(COARSER):
                    coarse = self.model.encode(avg_pool2d(self.model.decode(fine[None]), 2))[0]
                    pairs.append((fine, coarse))
                    fine = coarse
        return pairs

    def plain(self, latents: Tensor) -> Tensor:
        return avg_pool2d(latents, 2)
