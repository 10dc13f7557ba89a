"""Sizes of the embedded model. Plain frozen dataclasses, kept as ``config.json`` beside the weights."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from engine.errors import ModelError

FORMAT_VERSION = 1
MAX_CONFIG_BYTES = 1 << 20

T = TypeVar("T")


@dataclass(frozen=True)
class AutoencoderConfig:
    """Frames to tokens: f8, 16 channels; back at the same size and at ``fine_scale`` times it."""

    latent_channels: int = 16
    latent_bound: float = 3.0
    encoder_width_4: int = 64
    encoder_blocks_4: int = 1
    encoder_width_8: int = 128
    encoder_blocks_8: int = 2
    decoder_width_8: int = 160
    decoder_blocks_8: int = 3
    decoder_width_4: int = 80
    decoder_blocks_4: int = 3
    fine_scale: int = 2

    @property
    def stride(self) -> int:
        return 8


@dataclass(frozen=True)
class ReadoutConfig:
    """The backward warp of memory tokens: kernels and an MLP per sample, then convolutions over cells.

    Attributes:
        kernels: linear maps of a sample's neighbourhood that geometry mixes; 0 is none, as in models from before them.
    """

    latent_channels: int = 16
    samples: int = 2
    position_octaves: int = 4
    gate_hidden: int = 64
    sample_hidden: int = 256
    sample_width: int = 64
    cell_width: int = 128
    kernels: int = 0


READOUT = ReadoutConfig(kernels=24)
"""What is trained."""


@dataclass(frozen=True)
class DenoiserConfig:
    """The rectified-flow UNet over [latents, log-depth samples]."""

    latent_channels: int = 16
    samples: int = 2
    widths: tuple[int, int, int] = (64, 160, 320)
    embedding_width: int = 256
    heads: int = 5
    biomes: tuple[str, ...] = ()

    @property
    def state_channels(self) -> int:
        """Latents and s x s log-depths of a token."""
        return self.latent_channels + self.samples**2

    @property
    def condition_channels(self) -> int:
        """Readout, coverage, s x s log-depths and their coverage, sky share, log scale, ray elevation."""
        return self.latent_channels + 1 + 2 * self.samples**2 + 3


@dataclass(frozen=True)
class DetailConfig:
    """The network that finishes imagined latents, see :mod:`engine.models.embedded.detail`.

    Attributes:
        bound: what is added to a normalised latent stays within this: a broken place is not finished with sparks.
    """

    width: int = 80
    blocks: int = 4
    noise_channels: int = 4
    bound: float = 0.8


@dataclass(frozen=True)
class EmbeddedConfig:
    """Everything needed to build the networks and to interpret their numbers.

    Attributes:
        detail: of the network that finishes what was imagined; a model may do without.
        latents_mean, latents_std: per channel, over the training set; the denoiser works on normalised latents.
        image_size: (height, width) the model was trained for.
    """

    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    readout: ReadoutConfig = field(default_factory=ReadoutConfig)
    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    detail: DetailConfig | None = None
    latents_mean: tuple[float, ...] = (0.0,) * 16
    latents_std: tuple[float, ...] = (1.0,) * 16
    image_size: tuple[int, int] = (256, 448)
    default_steps: int = 1

    def to_json(self) -> str:
        return json.dumps(
            {"format": "mirage-embedded", "version": FORMAT_VERSION, **dataclasses.asdict(self)}, indent=2
        )

    @classmethod
    def read(cls, path: Path) -> EmbeddedConfig:
        """Read ``config.json``.

        Raises:
            ModelError: missing, unreadable, of another version, or with unknown or missing fields.
        """
        try:
            if path.stat().st_size > MAX_CONFIG_BYTES:
                raise ModelError(
                    f"{path} is larger than a model configuration can be; restore the file that ships with Mirage."
                )
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ModelError(
                f"The model configuration {path} is missing; reinstall Mirage or point --model at a model folder."
            ) from None
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ModelError(f"The model configuration {path} is not readable JSON ({error}); restore it.") from error
        if not isinstance(values, dict) or values.pop("format", None) != "mirage-embedded":
            raise ModelError(
                f"{path} is not a configuration of the embedded model; point --model at a folder that holds one."
            )
        if (version := values.pop("version", None)) != FORMAT_VERSION:
            raise ModelError(f"{path} has format version {version}; this Mirage reads version {FORMAT_VERSION}.")
        return _build(cls, values, path)


def _build(kind: type[T], values: Any, path: Path) -> T:
    """A dataclass from parsed JSON, nested dataclasses and tuples restored, unknown names refused."""
    if not isinstance(values, dict):
        raise ModelError(
            f"{path}: expected an object for {kind.__name__}, found {type(values).__name__}; restore the file."
        )
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - set(fields)):
        raise ModelError(
            f"{path} has fields this Mirage does not know: {', '.join(unknown)}; use the version it was made with."
        )
    nested = {
        "autoencoder": AutoencoderConfig,
        "readout": ReadoutConfig,
        "denoiser": DenoiserConfig,
        "detail": DetailConfig,
    }
    arguments = {
        name: _build(nested[name], value, path)
        if name in nested and value is not None
        else tuple(value)
        if isinstance(value, list)
        else value
        for name, value in values.items()
    }
    return kind(**arguments)
