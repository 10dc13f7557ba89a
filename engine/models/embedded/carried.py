"""Reading the networks that a model may do without: what is wrong with one is said in a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from engine.errors import ModelError
from engine.models.embedded import weights
from engine.models.embedded.kinds import KindNetwork
from engine.models.embedded.latent_network import LatentNetwork
from engine.places.kinds import GEOMETRY

Kind = TypeVar("Kind", bound=LatentNetwork)


def load_latent_network(path: Path, kind: type[Kind], channels: int) -> Kind:
    """The network of a ``kind`` in a file of weights.

    Raises:
        ModelError: it is damaged, or of other latents.
    """
    tensors = weights.load_tensors(path)
    try:
        network = kind.like(tensors)
        network.load_state_dict(tensors)
    except (KeyError, ValueError, RuntimeError) as error:
        raise ModelError(f"{path} is no network that {kind.does} ({error}); restore it.") from error
    if network.linear.in_channels != channels:
        raise ModelError(
            f"{path} {kind.does} latents of {network.linear.in_channels} channels, not {channels}; restore it."
        )
    return network


def load_kinds(path: Path, channels: int, rooms: int) -> KindNetwork:
    """The network in a file of weights.

    Raises:
        ModelError: it is damaged, or of other latents or rooms.
    """
    tensors = weights.load_tensors(path)
    try:
        network = KindNetwork.like(tensors)
        network.load_state_dict(tensors)
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        raise ModelError(f"{path} is no network that tells rooms ({error}); restore it.") from error
    found = tensors["cell.0.weight"].shape[1] - GEOMETRY, len(network.of_rooms)
    if found != (channels, rooms):
        raise ModelError(
            f"{path} tells (channels, stored rooms) of {found}, but the model's are {channels, rooms}; restore it."
        )
    return network
