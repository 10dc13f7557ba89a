"""What a readout of the memory returns, and what a network that resamples it must offer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

NEIGHBOURS = 9
"""Tokens around one, and itself."""


@dataclass(frozen=True, eq=False)
class SampleMap:
    """Geometry of a learned readout, without features: which token each target sample sees, and exactly where in it.

    Attributes:
        token: (hs, ws) int64 index into the memory's token table, -1 where nothing is seen.
        uv: (2, hs, ws) float32, where the target sample's centre falls inside that token, relative to the token's
            centre, in source-token units (u right, v down); within [-0.5, 0.5] but for a small margin at borders.
        log2_scale: (hs, ws) float32, log2 of source-token footprint over target-token footprint on the surface;
            positive means magnified (the memory is coarser than the view).
        inverse_depth: (hs, ws) float32, 1/m in the target camera; 0 for sky and for holes.
        sky: (hs, ws) bool.
        jacobian: (2, 2, hs, ws) float32, how the place inside the token moves with the target: d(u, v) / d(x, y), in
            source tokens per target cell. At a grazing angle one of its columns is far longer than the other.
        relief: (s*s, hs, ws) float32, of a token that straddles a depth edge: how many octaves nearer than what the
            sample sees each of the token's own samples lies; 0 of others.
    """

    token: Tensor
    uv: Tensor
    log2_scale: Tensor
    inverse_depth: Tensor
    sky: Tensor
    jacobian: Tensor
    relief: Tensor

    @property
    def covered(self) -> Tensor:
        """(hs, ws) bool."""
        return self.token >= 0


@dataclass(frozen=True, eq=False)
class Readout:
    """The memory seen from a camera, in latent space.

    Attributes:
        features: (C, h, w) float32, 0 where uncovered.
        coverage: (h, w) float32 in [0, 1], share of the cell's samples that the memory covers.
        inverse_depth: (hs, ws) float32, 1/m; 0 for sky and for holes.
        covered: (hs, ws) bool.
        sky: (hs, ws) bool.
        token: (h, w) int64, the token that wins the cell, -1 for none.
        offsets: (2, h, w) float32, where the winning token's centre lies relative to the cell's centre, in cells
            (right, down).
        log2_scale: (h, w) float32, see :class:`SampleMap`; 0 where uncovered.
        parallax: (h, w) float32, how far the camera stands from where the winning token was given, by a first view or
            a place, as a share of the distance to what it shows; 0 for sky, for what was imagined, and where uncovered.
        exact: (h, w) float32 in [0, 1], 1 where the cell shows a single token just as it was seen, and its features are
            that token's; 0 where they were resampled.
        samples: the sample-level geometry a learned readout was made from; None for ``nearest``.
    """

    features: Tensor
    coverage: Tensor
    inverse_depth: Tensor
    covered: Tensor
    sky: Tensor
    token: Tensor
    offsets: Tensor
    log2_scale: Tensor
    parallax: Tensor
    exact: Tensor
    samples: SampleMap | None = None


class ReadoutNetwork(Protocol):
    """Resamples tokens at fractional positions. ``engine.models.embedded.readout`` has the trained one."""

    def read(self, samples: SampleMap, neighbourhood: Tensor, valid: Tensor, which: Tensor) -> Tensor:
        """Target latents.

        Args:
            samples: the target's (h*s, w*s) sample geometry.
            neighbourhood: (m, 9, C) features around the tokens that are seen, neighbours row-major with the token
                itself at index 4; 0 where not valid.
            valid: (m, 9) bool.
            which: (n,) int64, the token of each covered sample, samples in row-major order.

        Returns:
            (C, h, w) float32.
        """
