"""Settings of the latent spatial memory and the view that is written into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from engine.camera import Camera
from engine.errors import InputError

WritePolicy = Literal["novel", "append"]
ReadoutKind = Literal["learned", "nearest"]
Precision = Literal["half", "single"]


@dataclass(frozen=True)
class MemoryConfig:
    """What a memory stores and how it decides.

    Attributes:
        channels: C, channels of a latent token.
        stride: pixels per token side.
        samples: s, inverse-depth samples per token side (a token carries s x s); 1, 2 or 4.
        policy: ``novel`` writes a token only where its cell was a hole or the surface is seen clearly finer; ``append``
            (the paper's) writes every valid token of every view.
        readout: ``learned`` resamples tokens by a small network at their exact position; ``nearest`` (the paper's)
            copies.
        cell_center: where in its cell a token sits for the nearest readout: 0.5 as in the paper, 0.0 as in its released
            code.
        coverage_min: a cell of a new view is a hole if the memory covers less than this share of its samples.
        finer_log2: a covered cell is written again if the token covering it is magnified by more than this many
            octaves; the coarse token is then superseded.
        front_ratio: a covered cell is written if the new view sees all of it this much closer than the memory does.
        detail_log2: where a token that has finer ones is magnified by more than this many octaves, they stand for it.
        sky: whether sky samples are kept (at infinity); without it they are treated as unknown.
        precision: ``half`` stores features and inverse depth as float16, ``single`` as float32 (for exact comparisons).
        budget_mib: the memory evicts (see ``engine.memory.budget``) when it would grow past this; None is no limit.
    """

    channels: int = 16
    stride: int = 8
    samples: int = 2
    policy: WritePolicy = "novel"
    readout: ReadoutKind = "learned"
    cell_center: float = 0.5
    coverage_min: float = 0.5
    finer_log2: float = 0.8
    front_ratio: float = 1.25
    detail_log2: float = 0.1
    sky: bool = True
    precision: Precision = "half"
    budget_mib: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.channels <= 1024:
            raise InputError(f"A memory needs between 1 and 1024 latent channels; it was given {self.channels}.")
        if not 1 <= self.stride <= 64:
            raise InputError(f"A memory's spatial stride must be 1 to 64 pixels per token; it was given {self.stride}.")
        if self.samples not in (1, 2, 4):
            raise InputError(f"A token carries 1, 2 or 4 depth samples per side; {self.samples} was asked for.")
        if self.policy not in ("novel", "append"):
            raise InputError(f"The write policy must be 'novel' or 'append', not '{self.policy}'.")
        if self.readout not in ("learned", "nearest"):
            raise InputError(f"The readout must be 'learned' or 'nearest', not '{self.readout}'.")
        if self.precision not in ("half", "single"):
            raise InputError(f"The memory's precision must be 'half' or 'single', not '{self.precision}'.")
        if self.cell_center not in (0.0, 0.5):
            raise InputError(f"cell_center must be 0.5 (the paper) or 0.0 (its released code), not {self.cell_center}.")
        if self.budget_mib is not None and not self.budget_mib > 0:
            raise InputError(f"The memory budget must be more than 0 MiB; it was given {self.budget_mib}.")


@dataclass(frozen=True, eq=False)
class LatentView:
    """One frame to be written.

    Attributes:
        camera: at image size; the latent grid is (height // stride, width // stride).
        latents: (C, h, w) float32.
        inverse_depth: (h*s, w*s) float32, 1/m at the centres of the s x s samples of every token; 0 is sky, NaN is
            unknown (a moving object, a depth nobody trusts) and is never written.
    """

    camera: Camera
    latents: Tensor | np.ndarray
    inverse_depth: Tensor | np.ndarray
