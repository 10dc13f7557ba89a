"""The file of stored places: all around from one point each, as latents and depth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from engine.atomic import atomic_write
from engine.camera import Camera
from engine.depth import SKY_INVERSE_DEPTH
from engine.errors import ModelError

FORMAT = "mirage-places"
NEAREST_M, FARTHEST_M = 0.05, 1.0 / SKY_INVERSE_DEPTH
_LEVELS = 65534
_LATENT_LEVELS = 255
MAX_PLACES = 4096
MAX_VIEWS = 64


@dataclass(frozen=True, eq=False)
class Place:
    """Views all around from one point, which lies at the origin.

    Attributes:
        latents: (V, C, h, w) float32.
        inverse_depth: (V, h*s, w*s) float32, 1/m; 0 = sky.
        cameras: V image-size cameras.
        biome: of its world.
    """

    latents: Tensor
    inverse_depth: Tensor
    cameras: tuple[Camera, ...]
    biome: str


@dataclass(frozen=True, eq=False)
class PlaceBank:
    """Places that share one rig, kept small: latents as 8 bits a channel, log-depths as 16.

    Attributes:
        latents: (P, V, C, h, w) uint8. depth: (P, V, h*s, w*s) int32 codes, see :func:`encode_depth`.
        cameras: the rig, V cameras around the origin, of one image size.
        biomes: of every place.
        bound: latents lie in [-bound, bound].
    """

    latents: Tensor
    depth: Tensor
    cameras: tuple[Camera, ...]
    biomes: tuple[str, ...]
    bound: float

    @property
    def token(self) -> tuple[int, int, int]:
        """What a token is: channels, pixels a side, depth samples a side."""
        columns = self.latents.shape[-1]
        return self.latents.shape[2], self.cameras[0].width // columns, self.depth.shape[-1] // columns

    def __len__(self) -> int:
        return len(self.biomes)

    def __getitem__(self, index: int) -> Place:
        latents = self.latents[index].float() * (2.0 * self.bound / _LATENT_LEVELS) - self.bound
        return Place(latents, decode_depth(self.depth[index]), self.cameras, self.biomes[index])

    @classmethod
    def of(cls, places: list[Place], bound: float) -> PlaceBank:
        """Pack places of one rig."""
        latents = torch.stack([p.latents for p in places]).clamp(-bound, bound)
        return cls(
            ((latents + bound) * (_LATENT_LEVELS / (2.0 * bound))).round().to(torch.uint8).contiguous(),
            torch.stack([encode_depth(p.inverse_depth) for p in places]),
            places[0].cameras,
            tuple(p.biome for p in places),
            bound,
        )

    def save(self, path: Path) -> None:
        """Write the bank, atomically."""
        first = self.cameras[0]
        tensors = {
            "latents": self.latents,
            "depth": self.depth.to(torch.uint16).contiguous(),
            "c2w": torch.from_numpy(np.stack([c.c2w for c in self.cameras])),
            "K": torch.from_numpy(np.stack([c.K for c in self.cameras])),
        }
        metadata = {
            "format": FORMAT,
            "biomes": ",".join(self.biomes),
            "bound": repr(self.bound),
            "size": f"{first.height}x{first.width}",
        }
        with atomic_write(path) as temporary:
            save_file(tensors, temporary, metadata=metadata)

    @classmethod
    def load(cls, path: Path) -> PlaceBank:
        """Read a bank.

        Raises:
            ModelError: the file is damaged, of another kind, or its tensors do not fit together.
        """
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise ModelError(f"{path} is not a file of places; restore the one that ships with the model.")
                height, width = (int(side) for side in metadata["size"].split("x"))
                biomes = tuple(metadata["biomes"].split(","))
                shape = file.get_slice("latents").get_shape()
                if not (0 < len(biomes) == shape[0] <= MAX_PLACES and 0 < shape[1] <= MAX_VIEWS):
                    raise ValueError(f"{len(biomes)} biomes for latents of shape {tuple(shape)}")
                latents, depth = file.get_tensor("latents"), file.get_tensor("depth")
                c2w, intrinsics = file.get_tensor("c2w").numpy(), file.get_tensor("K").numpy()
                intrinsics = np.broadcast_to(intrinsics, (len(c2w), 3, 3))  # banks of one ring hold a single matrix
                cameras = tuple(Camera(pose, k, width, height) for pose, k in zip(c2w, intrinsics, strict=True))
                samples = depth.shape[-1] // max(1, latents.shape[-1])
                if (
                    latents.dtype != torch.uint8
                    or depth.dtype != torch.uint16
                    or len(cameras) != shape[1]
                    or (height, width) != (shape[3] * (width // shape[4]), shape[4] * (width // shape[4]))
                    or depth.shape != (*shape[:2], shape[3] * samples, shape[4] * samples)
                ):
                    raise ValueError(f"latents {tuple(shape)} and depth {tuple(depth.shape)} do not belong together")
                return cls(latents, depth.to(torch.int32), cameras, biomes, float(metadata["bound"]))
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise ModelError(f"{path} is damaged or not a file of places ({error}); restore it.") from error


def encode_depth(inverse_depth: Tensor) -> Tensor:
    """Inverse depth in 1/m -> int32 codes that fit 16 bits: 0 is sky, the rest log-depth in steps of 0.02 %."""
    share = torch.log(1.0 / inverse_depth.clamp(min=1.0 / FARTHEST_M) / NEAREST_M) / np.log(FARTHEST_M / NEAREST_M)
    codes = 1 + (share.clamp(0.0, 1.0) * _LEVELS).round().to(torch.int32)
    return torch.where(inverse_depth > 0.0, codes, torch.zeros_like(codes))


def decode_depth(codes: Tensor) -> Tensor:
    """The inverse of :func:`encode_depth`."""
    share = (codes.float() - 1.0) / _LEVELS
    inverse = torch.exp(-share * np.log(FARTHEST_M / NEAREST_M)) / NEAREST_M
    return torch.where(codes > 0, inverse, torch.zeros_like(inverse))
