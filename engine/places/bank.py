"""The file of stored places: all around from one point each, as latents and depth."""

from __future__ import annotations

import json
import lzma
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import max_pool2d

from engine.atomic import atomic_write
from engine.camera import Camera
from engine.depth import SKY_INVERSE_DEPTH
from engine.errors import InputError, ModelError
from engine.places.module import Module

FORMAT = "mirage-places-2"
NEAREST_M, FARTHEST_M = 0.05, 1.0 / SKY_INVERSE_DEPTH
LATENT_STEP = 0.1
"""Latents are kept in steps of so many standard deviations: off by 0.03 of them, as much as the decoder forgives."""
XZ = b"\xfd7zXZ"
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 4, "lp": 0, "pb": 0}]
"""Of what was tried the closest: a fifth less than deflated."""
_MIDDLE = 128
_DEPTH_LEVELS, _UNKNOWN = 12_000, 0xFFFF
MAX_PLACES = 4096
MAX_VIEWS = 64
MAX_SIDE = 4096
"""Bounds on what a file may ask for; sides in pixels."""


View = tuple[Tensor, Tensor, Camera]
"""Latents (C, h, w), inverse depth (h*s, w*s) and image-size camera of one view of a place."""


@dataclass(frozen=True, eq=False)
class Place:
    """Views all around from one point, which lies at the origin; each of its own size.

    Attributes:
        latents: V of (C, h, w) float32.
        inverse_depth: V of (h*s, w*s) float32, 1/m; 0 = sky, NaN = unknown, as where others of its views tell as much.
        cameras: V image-size cameras.
        biome: of its world.
    """

    latents: tuple[Tensor, ...]
    inverse_depth: tuple[Tensor, ...]
    cameras: tuple[Camera, ...]
    biome: str

    def views(self) -> Iterator[View]:
        """Latents, inverse depth and camera of one after the other."""
        return zip(self.latents, self.inverse_depth, self.cameras, strict=True)


@dataclass(frozen=True, eq=False)
class PlaceBank:
    """Places, each packed until it is asked for.

    Attributes:
        packed: P of (n,) uint8, a place each: the compressed codes of its latents and depths, view by view.
        rigs: of every place, the V cameras that see it.
        biomes: of every place.
        token: what a token is: channels, pixels a side, depth samples a side.
        mean, std: (C,) of the latents, float32.
        modules: of the biomes whose worlds are buildings.
    """

    packed: tuple[Tensor, ...]
    rigs: tuple[tuple[Camera, ...], ...]
    biomes: tuple[str, ...]
    token: tuple[int, int, int]
    mean: Tensor
    std: Tensor
    modules: Mapping[str, Module] = field(default_factory=dict)
    _newest: dict[int, Place] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.biomes)

    def __getitem__(self, index: int) -> Place:
        """Unpack a place; the newest one stays so, for one question often follows another.

        Raises:
            ModelError: what is packed is damaged, or not as large as the rig.
        """
        if index not in self._newest:
            place = self._unpacked(index)
            self._newest.clear()
            self._newest[index] = place
        return self._newest[index]

    def original(self, index: int) -> int:
        """The place that one is a version of: itself."""
        return index

    def first_views(self, index: int) -> list[View]:
        """The views of a room, which has no mirror image, that are as large as its first; the rest stays packed.

        Raises:
            ModelError: as for a place.
        """
        cameras = self.rigs[index]
        return self._views(index, [camera for camera in cameras if camera.size == cameras[0].size])

    def _unpacked(self, index: int) -> Place:
        views = self._views(index, self.rigs[index])
        telling = [view for view in views if not bool(view[1].isnan().all())]
        latents, inverse_depth, cameras = zip(*telling, strict=True)
        return Place(latents, inverse_depth, cameras, self.biomes[index])

    def _views(self, index: int, cameras: Sequence[Camera]) -> list[View]:
        """A place's first views, so many as there are ``cameras``."""
        channels, stride, samples = self.token
        sizes = [(camera.height // stride, camera.width // stride) for camera in cameras]
        expected = sum(h * w * (channels + 2 * samples**2) for h, w in sizes)
        whole = len(cameras) == len(self.rigs[index])
        packed = self.packed[index].numpy().tobytes()
        # Packed by whichever was used when the place was made; both tell at once, and give no more than asked for.
        inflate = lzma.LZMADecompressor(lzma.FORMAT_XZ) if packed.startswith(XZ) else zlib.decompressobj()
        try:
            codes = np.frombuffer(inflate.decompress(packed, expected + whole), np.uint8)
        except (zlib.error, lzma.LZMAError, EOFError) as error:
            raise ModelError(f"Place {index} of the model is damaged ({error}); restore its places.") from error
        if len(codes) != expected or inflate.eof != whole:
            raise ModelError(f"Place {index} of the model does not have the size of its cameras; restore its places.")
        views, at = [], 0
        step = LATENT_STEP * self.std[:, None, None]
        for camera, (h, w) in zip(cameras, sizes, strict=True):
            tokens, depths = channels * h * w, samples**2 * h * w
            values = torch.from_numpy(codes[at : at + tokens].astype(np.float32)).view(channels, h, w)
            latents = (values - _MIDDLE) * step + self.mean[:, None, None]
            high, low = codes[at + tokens : at + tokens + 2 * depths].astype(np.int32).reshape(2, h * samples, -1)
            views.append((latents, decode_depth(torch.from_numpy(high * 256 + low)), camera))
            at += tokens + 2 * depths
        return views

    @classmethod
    def of(
        cls, places: list[Place], mean: Tensor, std: Tensor, modules: Mapping[str, Module] | None = None
    ) -> PlaceBank:
        """Pack places; ``mean``, ``std`` (C,) of the latents; ``modules`` of the biomes that have one."""
        mean, std = (values.flatten().float().cpu() for values in (mean, std))
        first = places[0]
        columns = first.latents[0].shape[-1]
        token = len(mean), first.cameras[0].width // columns, first.inverse_depth[0].shape[-1] // columns
        packed = []
        for place in places:
            parts = []
            for latents, inverse_depth, _ in place.views():
                steps = ((latents - mean[:, None, None]) / (LATENT_STEP * std[:, None, None])).round()
                steps[:, unknown_cells(inverse_depth, latents.shape[-1])] = 0.0
                parts.append((steps.clamp(-_MIDDLE, 255 - _MIDDLE) + _MIDDLE).to(torch.uint8).numpy())
                codes = encode_depth(inverse_depth).numpy()
                parts += [(codes >> 8).astype(np.uint8), (codes & 255).astype(np.uint8)]
            squeezed = lzma.compress(b"".join(part.tobytes() for part in parts), filters=FILTERS)
            packed.append(torch.from_numpy(np.frombuffer(squeezed, np.uint8).copy()))
        biomes = tuple(place.biome for place in places)
        rigs = tuple(place.cameras for place in places)
        return cls(tuple(packed), rigs, biomes, token, mean, std, dict(modules or {}))

    def joined(self, other: PlaceBank) -> PlaceBank:
        """The places of both.

        Raises:
            InputError: the other's are packed in another way.
        """
        alike = all(torch.equal(getattr(self, name), getattr(other, name)) for name in ("mean", "std"))
        if not alike or self.token != other.token:
            raise InputError("Places can join others only if they have the same tokens and statistics of latents.")
        return replace(
            self,
            packed=self.packed + other.packed,
            rigs=self.rigs + other.rigs,
            biomes=self.biomes + other.biomes,
            modules={**self.modules, **other.modules},
        )

    def of_one_rig(self) -> list[PlaceBank]:
        """The same places in banks that :meth:`save` takes, by their rigs."""
        groups: list[list[int]] = []
        for index, rig in enumerate(self.rigs):
            group = next((g for g in groups if self.rigs[g[0]] == rig), None)
            if group is None:
                groups.append([index])
            else:
                group.append(index)
        parts = []
        for group in groups:
            packed, biomes = tuple(self.packed[i] for i in group), tuple(self.biomes[i] for i in group)
            modules = {biome: module for biome, module in self.modules.items() if biome in biomes}
            rigs = (self.rigs[group[0]],) * len(group)
            parts.append(replace(self, packed=packed, rigs=rigs, biomes=biomes, modules=modules))
        return parts

    def save(self, path: Path) -> None:
        """Write the bank, atomically; its places share one rig.

        Raises:
            InputError: they do not.
        """
        if len(self.of_one_rig()) != 1:
            raise InputError("A file of places has one rig; save places of others in files of their own.")
        rig = self.rigs[0]
        tensors = {f"place_{index:04d}": packed for index, packed in enumerate(self.packed)} | {
            "c2w": torch.from_numpy(np.stack([c.c2w for c in rig])),
            "K": torch.from_numpy(np.stack([c.K for c in rig])),
            "size": torch.tensor([c.size for c in rig]),
            "mean": self.mean,
            "std": self.std,
        }
        _, stride, samples = self.token
        metadata = {
            "format": FORMAT,
            "biomes": ",".join(self.biomes),
            "stride": str(stride),
            "samples": str(samples),
            "modules": json.dumps({biome: [m.side_m, *m.middle] for biome, m in self.modules.items()}),
        }
        with atomic_write(path) as temporary:
            save_file(tensors, temporary, metadata=metadata)

    @classmethod
    def load(cls, path: Path) -> PlaceBank:
        """Read a bank; its places stay packed.

        Raises:
            ModelError: the file is damaged, of another kind, or its tensors do not fit together.
        """
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise ModelError(
                        f"{path} is not a file of places that this version reads; restore the one that ships with the "
                        "model."
                    )
                biomes = tuple(metadata["biomes"].split(","))
                mean, std = file.get_tensor("mean"), file.get_tensor("std")
                c2w, intrinsics = file.get_tensor("c2w").numpy(), file.get_tensor("K").numpy()
                sizes = file.get_tensor("size").tolist()
                token = len(mean), int(metadata["stride"]), int(metadata["samples"])
                modules = {
                    biome: _module(*numbers) for biome, numbers in json.loads(metadata.get("modules", "{}")).items()
                }
                if not (
                    0 < len(biomes) <= MAX_PLACES
                    and 0 < len(c2w) == len(intrinsics) == len(sizes) <= MAX_VIEWS
                    and mean.shape == std.shape == (token[0],)
                    and min(token) > 0
                    and all(0 < side <= MAX_SIDE and side % token[1] == 0 for size in sizes for side in size)
                ):
                    raise ValueError(f"{len(biomes)} biomes, {len(c2w)} cameras of sizes {sizes}, tokens {token}")
                packed = tuple(file.get_tensor(f"place_{index:04d}") for index in range(len(biomes)))
                if any(codes.dtype != torch.uint8 or codes.ndim != 1 for codes in packed):
                    raise ValueError("places are not strings of bytes")
        except (SafetensorError, OSError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise ModelError(f"{path} is damaged or not a file of places ({error}); restore it.") from error
        cameras = tuple(
            Camera(pose, k, width, height) for pose, k, (height, width) in zip(c2w, intrinsics, sizes, strict=True)
        )
        return cls(packed, (cameras,) * len(biomes), biomes, token, mean, std, modules)


def _module(side_m: float, x: float, y: float, z: float) -> Module:
    """A module as it was read; ValueError if it is none."""
    if not (all(math.isfinite(v) for v in (side_m, x, y, z)) and side_m > 0.0):
        raise ValueError(f"a module of {side_m} m around {(x, y, z)}")
    return Module(side_m, (x, y, z))


def encode_depth(inverse_depth: Tensor) -> Tensor:
    """Inverse depth in 1/m -> int32 codes that fit 16 bits: 0 is sky, the last unknown, the rest log-depth in steps of
    0.1 %."""
    share = torch.log(1.0 / inverse_depth.clamp(min=1.0 / FARTHEST_M) / NEAREST_M) / np.log(FARTHEST_M / NEAREST_M)
    codes = 1 + (share.clamp(0.0, 1.0) * _DEPTH_LEVELS).round().to(torch.int32)
    return codes.where(inverse_depth > 0.0, 0).where(~inverse_depth.isnan(), _UNKNOWN)


def decode_depth(codes: Tensor) -> Tensor:
    """The inverse of :func:`encode_depth`."""
    share = (codes.float() - 1.0) / _DEPTH_LEVELS
    inverse = torch.exp(-share * np.log(FARTHEST_M / NEAREST_M)) / NEAREST_M
    return inverse.where(codes > 0, 0.0).where(codes != _UNKNOWN, torch.nan)


def unknown_cells(inverse_depth: Tensor, columns: int) -> Tensor:
    """(h, w) bool: cells, so many ``columns`` of them, that nothing is known of, from (h*s, w*s) samples, 1/m."""
    samples = inverse_depth.shape[-1] // columns
    return ~(max_pool2d((~inverse_depth.isnan())[None].float(), samples)[0] > 0.0)
