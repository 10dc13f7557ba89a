"""Four small places, rendered once for all tests that need a bank of them."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.models.embedded import EmbeddedModel
from engine.places import PlaceBank
from engine.training.config import PlacesConfig
from engine.training.places import pack_places

SMALL = {
    "places": 4,
    "fine_height": 80,
    "fine_width": 160,
    "height": 112,
    "width": 88,
    "supersample": 1,
}


def packed(config: PlacesConfig) -> PlaceBank:
    """With the statistics of the places themselves, as those of a trained model would be."""
    autoencoder, unit = EmbeddedModel.tiny().autoencoder.float(), (torch.zeros(16), torch.ones(16))
    place = pack_places(config, autoencoder, *unit)[0]
    latents = torch.cat([view.flatten(1) for view in place.latents], dim=1)
    return pack_places(config, autoencoder, latents.mean(1), latents.std(1))


def statistics(bank: PlaceBank) -> tuple[Tensor, Tensor]:
    return bank.mean[:, None, None], bank.std[:, None, None]
