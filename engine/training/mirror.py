"""Training the network that turns latents over, on the places of open country of an exported model."""

from __future__ import annotations

from torch import Tensor

from engine.models.embedded.latent_network import MirrorNetwork
from engine.training.pairs import Pair, PairStage


class MirrorStage(PairStage):
    """Latents of the places' views, decoded, turned over and encoded again, are the aim."""

    kind = MirrorNetwork
    of = "places of open country"
    score = "mirrored_db"
    plainly = "flipped_db"

    def pairs(self) -> list[Pair]:
        places, pairs = self.model.places, []
        bank = None if places is None else places.bank
        for index, biome in enumerate(() if bank is None else bank.biomes):
            if bank is not None and biome not in bank.modules and bank.original(index) == index:
                for latents in bank[index].latents:
                    turned = self.model.encode(self.model.decode(latents[None]).flip(-1))[0]
                    pairs.append((latents, turned))
        return pairs

    def plain(self, latents: Tensor) -> Tensor:
        return latents.flip(-1)

    def cut(self, latents: Tensor, top: int, left: int, side: int) -> Tensor:
        return super().cut(latents, top, latents.shape[-1] - left - side, side)
