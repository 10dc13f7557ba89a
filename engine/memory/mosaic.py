"""A view put together from several memories, each of which tells some of its cells.

What the cells show is known at once. What they look like is read when somebody asks, for all of them together: once,
and nothing of what another memory tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from engine.cells import chosen, in_samples, overlaid, without
from engine.memory import assemble
from engine.memory.latent_memory import LatentMemory
from engine.memory.readout import NEIGHBOURS, Readout, SampleMap


@dataclass(frozen=True, eq=False)
class Tile:
    """What one memory tells of a view.

    Attributes:
        memory: it has the tokens. sight: what it shows of all of the view, see :meth:`LatentMemory.sight`.
        cells: (h, w) bool, the cells that it tells.
        light: (C, h, w), by how much its latents are to differ from what is stored; ``None``: not at all. They are
            resampled as they are: shifted before, what comes is softer.
    """

    memory: LatentMemory
    sight: Readout
    cells: Tensor
    light: Tensor | None = None

    @property
    def samples(self) -> SampleMap:
        """Where the samples of the view look."""
        assert self.sight.samples is not None, "a sight is made of samples"
        return self.sight.samples

    def told(self, latents: Tensor) -> Tensor:
        """(C, h, w): what its cells look like, of ``latents (C, h, w)`` as they were resampled; see
        :func:`engine.memory.assemble.with_features`."""
        features = assemble.with_features(self.memory.store, self.sight, latents).features
        return features if self.light is None else features + self.light


@dataclass(frozen=True, eq=False)
class Mosaic:
    """A view.

    Attributes:
        sight: what it shows; its features are those of the cells that no tile tells.
        tiles: they have no cell in common.
    """

    sight: Readout
    tiles: tuple[Tile, ...] = ()

    @classmethod
    def of(cls, memory: LatentMemory, sight: Readout) -> Mosaic:
        """What one memory shows, not yet read."""
        return cls(sight, (Tile(memory, sight, torch.ones_like(sight.coverage, dtype=torch.bool)),))

    def laid(self, tile: Tile) -> Mosaic:
        """With a tile laid over its cells."""
        under = tuple(replace(other, cells=other.cells & ~tile.cells) for other in self._left)
        return Mosaic(overlaid(self._base, tile.sight, tile.cells), (*under, tile))

    def showing(self, sight: Readout) -> Mosaic:
        """The same, but for what is known of it."""
        return Mosaic(replace(sight, features=self._base.features), self._left)

    def without(self, cells: Tensor) -> Mosaic:
        """The same that knows nothing of ``cells (h, w)`` bool."""
        if not bool(cells.any()):
            return self
        under = tuple(replace(tile, cells=tile.cells & ~cells) for tile in self._left)
        return Mosaic(without(self._base, cells), under)

    @property
    def _base(self) -> Readout:
        """The sight, or what was read of it: nothing is read twice."""
        return self.readout if "readout" in self.__dict__ else self.sight

    @property
    def _left(self) -> tuple[Tile, ...]:
        return () if "readout" in self.__dict__ else self.tiles

    @cached_property
    def readout(self) -> Readout:
        """The sight with the features of all its cells.

        Raises:
            InputError: a memory was made without a network.
        """
        if not self.tiles:
            return self.sight
        latents, features = _resampled(self.tiles), self.sight.features
        for tile in self.tiles:
            features = torch.where(tile.cells, tile.told(latents), features)
        return replace(self.sight, features=features * (self.sight.coverage > 0.0))


def _resampled(tiles: Sequence[Tile]) -> Tensor:
    """(C, h, w) latents of the cells that tiles tell, by one call of the network."""
    samples, owner = tiles[0].samples, torch.full(tiles[0].samples.token.shape, -1)
    for index, tile in enumerate(tiles):
        its = in_samples(tile.cells, owner)
        owner[its] = index
        samples = chosen(samples, tile.samples, tile.cells, its)
    samples = replace(samples, token=torch.where(owner >= 0, samples.token, -1))
    where = samples.covered.flatten().nonzero().flatten()
    if not len(where):
        return torch.zeros_like(tiles[0].sight.features)
    whose, token = owner.flatten()[where], samples.token.flatten()[where]
    which, count, seen = torch.empty_like(where), 0, []
    for index in range(len(tiles)):
        its = whose == index
        tokens, of = token[its].unique(return_inverse=True)
        which[its] = of + count
        seen.append((tokens.numpy(), np.arange(count, count + len(tokens))))
        count += len(tokens)
    around = torch.empty(count, NEIGHBOURS, len(tiles[0].sight.features))
    valid = torch.empty(count, NEIGHBOURS, dtype=torch.bool)
    for tile, (tokens, slots) in zip(tiles, seen, strict=True):
        assemble.gather(tile.memory.store, tokens, slots, around, valid)
    with torch.no_grad():
        return tiles[0].memory.reader.read(samples, around, valid, which).to("cpu", torch.float32)
