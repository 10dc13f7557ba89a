"""Reading and writing the embedded model's folder: ``config.json`` and one safetensors file a network."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.atomic import atomic_write
from engine.errors import ModelError
from engine.models.embedded.config import EmbeddedConfig
from engine.models.embedded.eight_bits import LEAST_CHANNELS, kernel_in_levels
from engine.places.bank import PlaceBank

CONFIG_NAME = "config.json"
NETWORKS = ("autoencoder", "readout", "denoiser")
MIRROR, HALVING, KINDS = "mirror", "halving", "kinds"
"""Networks that only make more of what there is: a session means the same with and without them."""
OPTIONAL_NETWORKS = ("detail", MIRROR, HALVING, KINDS)
"""What a model may do without."""
IN_BYTES = ("denoiser",)
"""Networks whose wide kernels are kept in bytes, each channel that comes out in steps of its own: what they add is some
40 dB above that, and a file is halved. The others tell what was seen, and are kept in full."""
STEP = "step"
""""<name>.step" (out,) is by what the levels of a kernel are to be multiplied."""


def weight_path(folder: Path, network: str) -> Path:
    """``<folder>/<network>.safetensors``."""
    return folder / f"{network}.safetensors"


def places_path(folder: Path, of: str = "") -> Path:
    """``<folder>/places.safetensors``, which a model may do without; or places ``of`` other biomes, that came later."""
    return folder / (f"places-{of}.safetensors" if of else "places.safetensors")


def places_paths(folder: Path) -> list[Path]:
    """The files of places that there are, in the order in which their places count."""
    return [path for path in (places_path(folder), *sorted(folder.glob("places-*.safetensors"))) if path.exists()]


def adapter_path(folder: Path, biome: str) -> Path:
    """``<folder>/adapter-<biome>.safetensors``: what a biome changes in the networks."""
    return folder / f"adapter-{biome}.safetensors"


def adapter_paths(folder: Path) -> dict[str, Path]:
    """The adapters that there are, by biome."""
    return {path.stem.removeprefix("adapter-"): path for path in sorted(folder.glob("adapter-*.safetensors"))}


def save_places(bank: PlaceBank, folder: Path) -> None:
    """Write places, a file a rig; the first has no biomes in its name."""
    for first, part in enumerate(bank.of_one_rig()):
        part.save(places_path(folder, "-".join(sorted(set(part.biomes))) if first else ""))


def model_files(folder: Path) -> list[Path]:
    """All files of a model: configuration, weights, and what it carries of the rest."""
    files = [folder / CONFIG_NAME, *(weight_path(folder, name) for name in NETWORKS)]
    optional = [path for name in OPTIONAL_NETWORKS if (path := weight_path(folder, name)).exists()]
    return files + optional + list(adapter_paths(folder).values()) + places_paths(folder)


def file_checksum(path: Path) -> str:
    """SHA-256 of a file, hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def folder_checksum(folder: Path) -> str:
    """SHA-256 over the checksums of the files of a model: its identity, by which a session knows it."""
    files = [path for path in model_files(folder) if path.stem not in (MIRROR, HALVING, KINDS)]
    return hashlib.sha256("".join(file_checksum(path) for path in files).encode()).hexdigest()


def save_network(module: nn.Module, path: Path) -> None:
    """Write a network's parameters, atomically."""
    save_tensors(module.state_dict(), path)


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as float16, atomically; wide kernels of a network that is kept ``IN_BYTES`` as bytes."""
    kept: dict[str, Tensor] = {}
    for name, value in tensors.items():
        value = value.detach().float().cpu()
        if path.stem in IN_BYTES and value.ndim == 4 and min(value.shape[:2]) >= LEAST_CHANNELS:
            kept[name], kept[f"{name}.{STEP}"] = kernel_in_levels(value)
        else:
            kept[name] = value.half().contiguous()
    with atomic_write(path) as temporary:
        save_file(kept, temporary, metadata={"format": "pt"})


def of_network(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Those of several networks' tensors that are one's, by their names in it."""
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}


def save_config(config: EmbeddedConfig, folder: Path) -> None:
    """Write ``config.json``, atomically."""
    with atomic_write(folder / CONFIG_NAME) as temporary:
        temporary.write_text(config.to_json() + "\n", encoding="utf-8")


def load_network(module: nn.Module, path: Path) -> None:
    """Fill ``module`` from a safetensors file.

    Raises:
        ModelError: the file is missing, truncated, not finite, or holds other tensors than ``module`` has; the
            sentence names the file and, where it can be read, its checksum.
    """
    module.load_state_dict(load_tensors(path, {name: tuple(t.shape) for name, t in module.state_dict().items()}))


def load_tensors(path: Path, expected: Mapping[str, tuple[int, ...]] | None = None) -> dict[str, Tensor]:
    """The tensors in a safetensors file, as float32; of the ``expected`` names and shapes, if given.

    Raises:
        ModelError: as for :func:`load_network`.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())
            steps = {name for name in names if name.endswith(f".{STEP}") and name.removesuffix(f".{STEP}") in names}
            found = {name: tuple(file.get_slice(name).get_shape()) for name in sorted(names - steps)}
            if expected is not None and found != expected:
                differing = sorted(set(found) ^ set(expected)) or [n for n in found if found[n] != expected[n]]
                raise ModelError(
                    f"{path} (sha256 {file_checksum(path)[:12]}) was saved with another configuration "
                    f"({differing[0]} differs); restore the weights that belong to its config.json."
                )
            tensors = {name: file.get_tensor(name).float() for name in found}
            for step in steps:
                name = step.removesuffix(f".{STEP}")
                tensors[name] *= file.get_tensor(step).view(-1, 1, 1, 1)
    except FileNotFoundError:
        raise ModelError(
            f"The weights {path} are missing; reinstall Mirage or point --model at a complete model folder."
        ) from None
    except (SafetensorError, OSError, RuntimeError) as error:  # the last: steps of another kernel
        checksum = file_checksum(path)[:12] if path.is_file() else "unreadable"
        raise ModelError(
            f"{path} (sha256 {checksum}) is damaged or not a safetensors file ({error}); restore it."
        ) from error
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        raise ModelError(f"{path} (sha256 {file_checksum(path)[:12]}) holds numbers that are not finite; restore it.")
    return tensors
