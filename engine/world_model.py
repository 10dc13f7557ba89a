"""What a world model is to the rest of Mirage: the protocol, its messages, cancellation."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from engine.camera import Camera
from engine.errors import Cancelled

if TYPE_CHECKING:
    from engine.memory.readout import Readout


class CancelToken:
    """Set from any thread; the worker checks it between denoising steps."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        self._event.set()

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()

    def check(self) -> None:
        """Raise :class:`Cancelled` if the work should stop."""
        if self._event.is_set():
            raise Cancelled


Progress = Callable[[float, str], None]
"""Called with the fraction done in [0, 1] and a few words about what is going on."""


@dataclass(frozen=True)
class ModelSpec:
    """The sizes that memory and explorer must agree on with a model.

    Attributes:
        name: directory-safe name, e.g. ``embedded``.
        latent_channels: C of a token.
        spatial_stride: pixels per token side.
        temporal_stride: frames per latent frame.
        frames_per_chunk: frames that one ``imagine`` makes.
        image_size: (height, width) the model was made for.
        geometry_samples: inverse-depth samples per token side (s; a token carries s x s).
        biomes: names that may be asked for in a ``ChunkRequest``; empty for models steered by text.
        default_steps: denoising steps per chunk when nobody says otherwise.
        checksum: SHA-256 over the weight files, hex; identifies the model in reports and sessions.
        fine_scale: how much larger the larger picture is.
        arithmetic: what its networks multiply in, for reports.
    """

    name: str
    latent_channels: int
    spatial_stride: int
    temporal_stride: int
    frames_per_chunk: int
    image_size: tuple[int, int]
    geometry_samples: int
    biomes: tuple[str, ...]
    default_steps: int
    checksum: str
    fine_scale: int = 1
    arithmetic: str = ""


@dataclass(frozen=True)
class ChunkRequest:
    """What the model is asked to imagine.

    Attributes:
        cameras: T image-size cameras.
        readouts: T readouts of the memory, one a camera.
        biome: one of ``spec.biomes`` (or "" for unspecified).
        prompt: text, for models that read it.
        steps: denoising steps, >= 1.
        generator: the only source of randomness that differs from step to step.
        seed: of randomness that hangs in the world, the same at every step.
        detail: whether frames get their texture back, for models that do so apart.
        renewed: whether what was drawn too often gives way to something new, now and then. Until then more texture may
            be given to what came near; where nothing is renewed it would pile up.
        progress, cancel: called and checked between denoising steps.
    """

    cameras: Sequence[Camera]
    readouts: Sequence[Readout]
    biome: str
    generator: torch.Generator
    steps: int
    seed: int = 0
    detail: bool = True
    renewed: bool = True
    prompt: str = ""
    progress: Progress | None = None
    cancel: CancelToken = field(default_factory=CancelToken)


@dataclass(frozen=True)
class Chunk:
    """What the model imagined.

    Attributes:
        latents: (T, C, h, w) float32.
        inverse_depth: (T, h*s, w*s) float32, 1/m; 0 is sky.
        denoised: whether anything was left to imagine; else latents and depth are what the readouts tell.
    """

    latents: Tensor
    inverse_depth: Tensor
    denoised: bool = True


class WorldModel(Protocol):
    """A generator of views in latent space. Not thread-safe: one thread owns it."""

    spec: ModelSpec
    device: torch.device

    def encode(self, rgb: Tensor) -> Tensor:
        """``rgb (T, 3, H, W)`` in [0, 1] -> latents ``(t, C, h, w)`` float32."""

    def decode(self, latents: Tensor) -> Tensor:
        """latents ``(t, C, h, w)`` -> ``rgb (T, 3, H, W)`` float32 in [0, 1]."""

    def decode_fine(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """The frames as :meth:`decode` gives them, and at ``spec.fine_scale`` times the size; only where that is above
        1."""

    def imagine(self, request: ChunkRequest) -> Chunk:
        """Denoise one chunk. Raises :class:`Cancelled` between steps when asked to stop."""
