"""The explorer's ``rgb`` memory: the baseline's point cloud, rasterised and encoded for every readout."""

from __future__ import annotations

import copy
import time

import torch
from torch import Tensor

from engine.camera import Camera
from engine.hole_filling import fill_holes
from engine.memory import LatentMemory
from engine.messages import MemoryStats
from engine.prospect import News
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
        picture = fill_holes(view.rgb, view.mask)
        started = time.perf_counter()
        latents = self._model.encode(picture[None].to(self._model.device))[0].cpu()
        encode_ms = 1000.0 * (time.perf_counter() - started)
        self._seen = (camera, view)
        return Reading(assemble_readout(view, latents, spec.spatial_stride, spec.geometry_samples), encode_ms)

    def write(self, news: News, rgb: Tensor) -> Commit:
        camera, depth_m = news.camera, news.depth_m
        depth_m = full_depth_m(news.writable.cpu(), camera) if depth_m is None else depth_m
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
    """``inverse_depth (hs, ws)`` 1/m (0 sky, NaN unknown) -> z-depth (H, W) metres (inf sky, NaN unknown).

    Where the samples around lie on one plane (inverse depth is linear there) pixels follow it; elsewhere they take the
    nearest sample. Steps of constant depth would tear the baseline's ground apart and make it look worse than it is.
    """
    height, width = camera.size
    hs, ws = inverse_depth.shape
    v, u = ((torch.arange(n) + 0.5) * m / n for n, m in ((height, hs), (width, ws)))
    rows, columns = v.long(), u.long()
    tall = torch.cat(
        [2 * inverse_depth[:1] - inverse_depth[1:2], inverse_depth, 2 * inverse_depth[-1:] - inverse_depth[-2:-1]]
    )
    wide = torch.cat(
        [
            2 * inverse_depth[:, :1] - inverse_depth[:, 1:2],
            inverse_depth,
            2 * inverse_depth[:, -1:] - inverse_depth[:, -2:-1],
        ],
        dim=1,
    )
    left, right, up, down = wide[:, :-2], wide[:, 2:], tall[:-2], tall[2:]
    bend = torch.maximum((left + right - 2 * inverse_depth).abs(), (up + down - 2 * inverse_depth).abs())
    plane = bend <= 0.05 * inverse_depth  # NaN compares false
    right_slope, down_slope = (torch.where(plane, 0.5 * (b - a), 0.0) for a, b in ((left, right), (up, down)))
    at = (rows[:, None], columns[None, :])
    along, below = (u - columns - 0.5)[None, :], (v - rows - 0.5)[:, None]
    return (inverse_depth[at] + along * right_slope[at] + below * down_slope[at]).reciprocal()
