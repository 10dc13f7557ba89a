"""The explorer's ``rgb`` memory: the baseline's point cloud, rasterised and encoded for every readout."""

from __future__ import annotations

import copy
import time

import torch
from torch import Tensor

from engine.camera import Camera
from engine.memory import LatentMemory, Readout
from engine.messages import MemoryStats
from engine.rgb_memory import RgbMemory, RgbView, assemble_readout
from engine.variants import Commit, Reading
from engine.world_model import WorldModel


class PixelMemory:
    """Pixels in 3D; the model encodes their picture every time."""

    latent: LatentMemory | None = None

    def __init__(self, model: WorldModel, cloud: RgbMemory | None = None) -> None:
        self._model = model
        self._cloud = cloud if cloud is not None else RgbMemory()
        self._seen: tuple[Camera, RgbView] | None = None

    def readout(self, camera: Camera) -> Reading:
        spec = self._model.spec
        view = self._cloud.render(camera)
        started = time.perf_counter()
        latents = self._model.encode(view.rgb[None].to(self._model.device))[0].cpu()
        encode_ms = 1000.0 * (time.perf_counter() - started)
        self._seen = (camera, view)
        return Reading(assemble_readout(view, latents, spec.spatial_stride, spec.geometry_samples), encode_ms)

    def write(
        self,
        camera: Camera,
        latents: Tensor,
        inverse_depth: Tensor,
        rgb: Tensor,
        readout: Readout,
        depth_m: Tensor | None,
    ) -> Commit:
        depth_m = full_depth_m(inverse_depth.cpu(), camera) if depth_m is None else depth_m
        seen = self._seen[1] if self._seen is not None and self._seen[0] is camera else None
        self._seen = None
        living = len(self._cloud)
        written = self._cloud.write(camera, rgb.cpu(), depth_m, seen)
        return Commit(0, written, living + written - len(self._cloud))

    def drop(self, node: int) -> None:
        self._cloud.retract()

    def coverage(self, camera: Camera) -> float:
        return float(self._cloud.render(camera).mask.float().mean())

    def stats(self) -> MemoryStats:
        living, used = len(self._cloud), self._cloud.used_bytes
        return MemoryStats(
            tokens_living=living,
            tokens_stored=self._cloud.stored,
            mib=used / 2**20,
            bytes_per_token=used / living if living else 0.0,
        )

    def set_budget(self, mib: float | None) -> None:
        """The baseline has no budget."""

    def fork(self) -> PixelMemory:
        return PixelMemory(self._model, copy.deepcopy(self._cloud))


def full_depth_m(inverse_depth: Tensor, camera: Camera) -> Tensor:
    """``inverse_depth (hs, ws)`` 1/m (0 sky, NaN unknown) -> z-depth (H, W) metres (inf sky, NaN unknown), nearest sample."""
    rows = torch.arange(camera.height) * inverse_depth.shape[0] // camera.height
    columns = torch.arange(camera.width) * inverse_depth.shape[1] // camera.width
    return inverse_depth[rows[:, None], columns[None, :]].reciprocal()
