"""The baseline that latent memory replaces: an RGB point cloud at full resolution, rasterised for every conditioning
frame.

As in GEN3C, Spatia, Voyager or VMem; written as well as we know how, so that comparisons are fair: points in blocks
that are culled, a z-buffer in compiled code on all threads, splats as large as a point's footprint, sky at infinity,
and the same write policies as the latent memory. A conditioning frame costs this rasterisation plus an encoding of the
picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numba import njit
from torch import Tensor

from engine.camera import Camera
from engine.errors import InputError
from engine.geometry import inverse_depth_samples
from engine.memory.config import WritePolicy
from engine.memory.kernels import NEAR_M, NO_KEY, cull
from engine.memory.readout import Readout
from engine.memory.store import Table
from engine.memory.views import frustum
from engine.threads import in_parts, thread_count

TILE = 16
MAX_SPLAT_PX = 8.0
SMALL_POINTS = 200_000


@dataclass(frozen=True, eq=False)
class RgbView:
    """The point cloud seen from a camera.

    Attributes:
        rgb: (3, H, W) float32 in [0, 1], 0 where nothing is seen. mask: (H, W) bool.
        depth_m: (H, W) float32 z-depth, inf for sky and where nothing is seen.
        point: (H, W) int64 id of the point seen, -1 for none. magnification: (H, W) float32 pixels per source pixel, 0
            for none.
    """

    rgb: Tensor
    mask: Tensor
    depth_m: Tensor
    point: np.ndarray
    magnification: np.ndarray


class RgbMemory:
    """Points with colours.

    Args:
        policy: ``append`` keeps every pixel of every frame (as the baselines do), ``novel`` those not seen yet or seen
            clearly finer.
        finer_log2: octaves of magnification from which ``novel`` writes a pixel again, superseding the old point.
    """

    def __init__(self, policy: WritePolicy = "novel", finer_log2: float = 0.8) -> None:
        self.policy = policy
        self.finer = 2.0**finer_log2
        self._points = Table((3,), np.float32)
        self._colours = Table((3,), np.uint8)
        self._alive = Table((), np.bool_)
        self._blocks = Table((2,), np.int64)
        self._sources = Table((8,), np.float32)
        self._spheres = Table((8,), np.float32)
        self._living = Table((), np.int32)
        self._history: list[tuple[int, int, np.ndarray]] = []

    # ---------------------------------------------------------------- sizes

    def __len__(self) -> int:
        """Living points."""
        return int(self._living.rows.sum())

    @property
    def stored(self) -> int:
        """Points kept, superseded ones included."""
        return self._points.count

    @property
    def used_bytes(self) -> int:
        """Bytes of points, colours, liveness and blocks."""
        tables = (self._points, self._colours, self._alive, self._blocks, self._sources, self._spheres, self._living)
        return sum(table.used_bytes for table in tables)

    # ---------------------------------------------------------------- writing

    def write(
        self, camera: Camera, rgb: Tensor | np.ndarray, depth_m: Tensor | np.ndarray, seen: RgbView | None = None
    ) -> int:
        """Add what is new in a frame; returns how many points.

        Args:
            camera: at image size (H, W).
            rgb: (3, H, W) in [0, 1].
            depth_m: (H, W) z-depth in metres, inf sky; zero, negative and NaN are unknown and not written.
            seen: :meth:`render` of this camera if the caller has it.

        Raises:
            InputError: shapes do not fit the camera.
        """
        colours, depth = _array(rgb), _array(depth_m)
        if colours.shape != (3, *camera.size) or depth.shape != camera.size:
            raise InputError(
                f"A frame of {camera.size} needs rgb (3, H, W) and depth (H, W); "
                f"they are {colours.shape}, {depth.shape}."
            )
        written = depth > 0.0
        superseded = np.empty(0, np.int64)
        if self.policy == "novel" and self.stored:
            seen = self.render(camera) if seen is None else seen
            finer = written & (seen.magnification > self.finer)
            written &= (seen.point < 0) | finer
            superseded = np.unique(seen.point[finer])
        self._history.append((self._points.count, self._blocks.count, superseded))
        self._kill(superseded, False)
        for sky in (False, True):
            self._add(camera, colours, depth, written & (np.isinf(depth) == sky), sky)
        return self._points.count - self._history[-1][0]

    def _add(self, camera: Camera, colours: np.ndarray, depth: np.ndarray, chosen: np.ndarray, sky: bool) -> None:
        order = _tiles(*camera.size)
        pixels = order[chosen.ravel()[order]]
        if not len(pixels):
            return
        v, u = np.divmod(pixels, camera.width)
        rays = np.stack([u + 0.5, v + 0.5, np.ones(len(u))], axis=1) @ np.linalg.inv(camera.K).T @ camera.c2w[:3, :3].T
        if sky:
            points = rays / np.linalg.norm(rays, axis=1, keepdims=True)
        else:
            points = rays * depth.ravel()[pixels][:, None] + camera.position
        first = self._points.count
        self._points.append(points)
        self._colours.append(np.rint(np.clip(colours.reshape(3, -1).T[pixels], 0.0, 1.0) * 255.0))
        self._alive.append(np.ones(len(pixels), np.bool_))
        starts = np.append(np.arange(0, len(pixels), TILE * TILE), len(pixels))
        counts = np.diff(starts)
        self._blocks.append(np.stack([first + starts[:-1], counts], axis=1))
        focal = np.sqrt(camera.K[0, 0] * camera.K[1, 1])
        source = np.array([*camera.position, focal, float(sky), *camera.forward])
        self._sources.append(np.tile(source, (len(counts), 1)))
        self._living.append(counts)
        spheres = self._spheres.extend(len(counts))
        spheres[:, 3] = spheres[:, 7] = -1.0
        low, high = np.minimum.reduceat(points, starts[:-1]), np.maximum.reduceat(points, starts[:-1])
        slot = 4 if sky else 0
        spheres[:, slot : slot + 3] = 0.5 * (low + high)
        spheres[:, slot + 3] = 0.5 * np.linalg.norm(high - low, axis=1) * 1.001 + 1e-4

    def _kill(self, points: np.ndarray, alive: bool) -> None:
        points = points[self._alive.rows[points] != alive]
        self._alive.rows[points] = alive
        blocks = np.searchsorted(self._blocks.rows[:, 0], points, side="right") - 1
        np.add.at(self._living.rows, blocks, 1 if alive else -1)

    def retract(self) -> bool:
        """Take the newest write back; False if there is none."""
        if not self._history:
            return False
        points, blocks, superseded = self._history.pop()
        for table in (self._points, self._colours, self._alive):
            table.truncate(points)
        for table in (self._blocks, self._sources, self._spheres, self._living):
            table.truncate(blocks)
        self._kill(superseded, True)
        return True

    # ---------------------------------------------------------------- reading

    def render(self, camera: Camera) -> RgbView:
        """Rasterise the cloud at the camera's own size; nearest point wins, ties go to the older one."""
        visible = np.empty(self._blocks.count, np.int64)
        position = np.array(camera.position)
        seen = cull(self._spheres.rows, frustum(camera), position, self._living.rows, visible)
        visible = visible[:seen]
        threads = thread_count() if seen * TILE * TILE >= SMALL_POINTS else 1
        keys = np.full((threads, *camera.size), NO_KEY)
        P = np.ascontiguousarray(camera.K @ camera.c2w[:3, :3].T)
        focal = float(np.sqrt(camera.K[0, 0] * camera.K[1, 1]))

        def work(part: int, first: int, last: int) -> None:
            _rasterise(
                visible[first:last],
                self._blocks.rows,
                self._sources.rows,
                self._points.rows,
                self._alive.rows,
                P,
                position,
                focal,
                keys[part],
            )

        in_parts(seen, threads, work)
        best = keys.min(axis=0) if threads > 1 else keys[0]
        rgb = np.empty((3, *camera.size), np.float32)
        mask = np.empty(camera.size, np.bool_)
        depth_m, magnification = np.empty(camera.size, np.float32), np.empty(camera.size, np.float32)
        point = np.empty(camera.size, np.int64)
        _shade(
            best, self._blocks.rows, self._sources.rows, self._points.rows, self._colours.rows, position, focal,
            rgb, mask, depth_m, point, magnification,
        )  # fmt: skip
        return RgbView(torch.from_numpy(rgb), torch.from_numpy(mask), torch.from_numpy(depth_m), point, magnification)

    def readout(
        self, camera: Camera, encode: Callable[[Tensor], Tensor], *, stride: int = 8, samples: int = 2
    ) -> Readout:
        """The cloud rendered and encoded: what the baseline gives its model.

        Args:
            camera: at image size.
            encode: rgb (1, 3, H, W) in [0, 1] -> latents (1, C, h, w).
        """
        view = self.render(camera)
        return assemble_readout(view, encode(view.rgb[None])[0], stride, samples)


def assemble_readout(view: RgbView, latents: Tensor, stride: int, samples: int) -> Readout:
    """A readout from a rendered view and its encoding ``latents (C, h, w)``."""
    mask = view.mask.numpy()
    step = stride // samples
    hs, ws = mask.shape[0] // step, mask.shape[1] // step
    covered = 2 * mask.reshape(hs, step, ws, step).mean(axis=(1, 3)) >= 1.0
    depth = np.where(mask, view.depth_m.numpy(), np.float32(np.nan))
    inverse_depth = np.nan_to_num(inverse_depth_samples(depth, stride, samples))
    coverage = mask.reshape(hs // samples, stride, ws // samples, stride).mean(axis=(1, 3), dtype=np.float32)
    center = (slice(stride // 2, None, stride), slice(stride // 2, None, stride))
    scale = view.magnification[center]
    known = torch.from_numpy(covered)
    return Readout(
        features=latents.detach().to("cpu", torch.float32) * torch.from_numpy(coverage > 0),
        coverage=torch.from_numpy(coverage),
        inverse_depth=torch.from_numpy(np.where(covered, inverse_depth, np.float32(0.0))),
        covered=known,
        sky=known & torch.from_numpy(inverse_depth == 0.0),
        token=torch.from_numpy(view.point[center].copy()),
        offsets=torch.zeros(2, *coverage.shape),
        log2_scale=torch.from_numpy(np.log2(np.where(scale > 0, scale, 1.0)).astype(np.float32)),
        parallax=torch.zeros(coverage.shape),
        exact=torch.zeros(coverage.shape),
    )


def _array(values: Tensor | np.ndarray) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


@lru_cache(maxsize=8)
def _tiles(height: int, width: int) -> np.ndarray:
    """(height*width,) pixel indices tile by tile, so that blocks are compact."""
    v, u = np.divmod(np.arange(height * width), width)
    return np.lexsort((u, v, u // TILE, v // TILE))


@njit(cache=True, nogil=True)
def _rasterise(
    visible: np.ndarray,
    blocks: np.ndarray,
    sources: np.ndarray,
    points: np.ndarray,
    alive: np.ndarray,
    P: np.ndarray,
    center: np.ndarray,
    focal: float,
    keys: np.ndarray,
) -> None:
    """Splat the living points of the visible blocks: (depth, id) keys into ``keys (H, W)`` by min; sky lies behind
    everything."""
    height, width = keys.shape
    p = P.astype(np.float32)
    cx, cy, cz = np.float32(center[0]), np.float32(center[1]), np.float32(center[2])
    for index in range(visible.shape[0]):
        block = visible[index]
        source = sources[block]
        sky = source[4] > 0
        for i in range(blocks[block, 0], blocks[block, 0] + blocks[block, 1]):
            if not alive[i]:
                continue
            x, y, z = points[i, 0], points[i, 1], points[i, 2]
            if not sky:
                x, y, z = x - cx, y - cy, z - cz
            w = p[2, 0] * x + p[2, 1] * y + p[2, 2] * z
            if w <= np.float32(NEAR_M):
                continue
            inverse = np.float32(1.0) / w
            px = (p[0, 0] * x + p[0, 1] * y + p[0, 2] * z) * inverse
            py = (p[1, 0] * x + p[1, 1] * y + p[1, 2] * z) * inverse
            if not (px > -8.0 and py > -8.0 and px < width + 8.0 and py < height + 8.0):
                continue
            bits = np.int64(0x7F7FFFFF)
            sx, sy, sz = points[i, 0], points[i, 1], points[i, 2]
            if not sky:
                sx, sy, sz = sx - source[0], sy - source[1], sz - source[2]
                bits = np.int64(np.float32(w).view(np.int32))
            # A pixel grows by the ratio of z-depths, and away from the centre once more by the stretch of perspective.
            depth = max(sx * source[5] + sy * source[6] + sz * source[7], np.float32(1e-6))
            far = max(sx * sx + sy * sy + sz * sz, np.float32(1e-12))
            stretch = depth / w * np.sqrt((x * x + y * y + z * z) / far)
            half = np.float32(0.5) * focal / source[3] * (depth / w) * max(np.float32(1.0), stretch)
            key = (bits << np.int64(32)) | np.int64(i)
            column, line = int(np.floor(px)), int(np.floor(py))
            if half < np.float32(0.45):
                if 0 <= column < width and 0 <= line < height and key < keys[line, column]:
                    keys[line, column] = key
                continue
            # A little larger than the footprint, which closes hairlines where points spread apart.
            half = min(max(half * np.float32(1.15), np.float32(0.55)), np.float32(MAX_SPLAT_PX))
            for b in range(max(0, int(np.ceil(py - half - 0.5))), min(height - 1, int(np.floor(py + half - 0.5))) + 1):
                for a in range(
                    max(0, int(np.ceil(px - half - 0.5))), min(width - 1, int(np.floor(px + half - 0.5))) + 1
                ):
                    if key < keys[b, a]:
                        keys[b, a] = key


@njit(cache=True, nogil=True)
def _shade(
    keys: np.ndarray,
    blocks: np.ndarray,
    sources: np.ndarray,
    points: np.ndarray,
    colours: np.ndarray,
    center: np.ndarray,
    focal: float,
    rgb: np.ndarray,
    mask: np.ndarray,
    depth_m: np.ndarray,
    point: np.ndarray,
    magnification: np.ndarray,
) -> None:
    """Colour, depth and magnification of the winners."""
    for line in range(keys.shape[0]):
        for column in range(keys.shape[1]):
            key = keys[line, column]
            mask[line, column] = key != NO_KEY
            point[line, column] = -1
            magnification[line, column] = 0.0
            depth_m[line, column] = np.inf
            if key == NO_KEY:
                for c in range(3):
                    rgb[c, line, column] = 0.0
                continue
            i = key & np.int64(0xFFFFFFFF)
            point[line, column] = i
            for c in range(3):
                rgb[c, line, column] = np.float32(colours[i, c]) * np.float32(1.0 / 255.0)
            low, high = 0, blocks.shape[0]
            while high - low > 1:
                middle = (low + high) >> 1
                if blocks[middle, 0] <= i:
                    low = middle
                else:
                    high = middle
            source = sources[low]
            magnification[line, column] = focal / source[3]
            if source[4] == 0:
                near = 0.0
                far = 0.0
                for k in range(3):
                    far += (points[i, k] - source[k]) ** 2
                    near += (points[i, k] - center[k]) ** 2
                magnification[line, column] *= np.sqrt(far / max(near, 1e-12))
                depth_m[line, column] = np.int32(key >> np.int64(32)).view(np.float32)
