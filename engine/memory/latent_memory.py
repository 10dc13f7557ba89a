"""The latent spatial memory: tokens of a world model kept in 3D, written where they are news and read out for any camera.

The method is "Latent Spatial Memory for Video World Models" (Mirage, arXiv 2606.09828), with sub-cell geometry, a learned readout, a
write policy that grows with explored area, sky at infinity and a history that can be walked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.camera import Camera
from engine.errors import InputError
from engine.memory import kernels, novelty
from engine.memory.config import LatentView, MemoryConfig
from engine.memory.readout import Readout, ReadoutNetwork, SampleMap
from engine.memory.store import TokenStore
from engine.memory.surface import planar_tokens
from engine.memory.tree import Node, WorldTree
from engine.memory.views import View


@dataclass(frozen=True)
class WriteReport:
    """What a write did.

    Attributes:
        node: the tree node that now is the present; unchanged if nothing was new.
        tokens_written, tokens_superseded: how many tokens came and how many died.
        cells_holes: cells of the view that the memory did not cover before.
        written: (h, w) bool, read-only: the cells that became tokens.
    """

    node: int
    tokens_written: int
    tokens_superseded: int
    cells_holes: int
    written: np.ndarray


class LatentMemory:
    """M = {(p_i, f_i)}, as latent keyframes with fine geometry. One thread owns it; others read its snapshots.

    Args:
        config: see :class:`MemoryConfig`.
        network: resamples tokens for the ``learned`` readout; without one only geometry and ``nearest`` can be read.
    """

    def __init__(self, config: MemoryConfig, network: ReadoutNetwork | None = None) -> None:
        self.config = config
        self.network = network
        self.store = TokenStore(config)
        self.tree = WorldTree()

    # ---------------------------------------------------------------- writing

    def write(self, view: LatentView, *, readout: Readout | None = None, label: str = "") -> WriteReport:
        """Write what is new in a view.

        Args:
            view: the frame's latents and depth.
            readout: the memory at ``view.camera`` if the caller has it (saves computing it again); ``append`` ignores it.
            label: name of the tree node.

        Raises:
            InputError: shapes do not fit the configuration, or latents are not finite.
        """
        latents, inverse_depth, camera = self._checked(view)
        s = self.config.samples
        samples = novelty.cells(inverse_depth, s)
        if not self.config.sky:
            samples = np.where(samples == 0.0, np.float32(np.nan), samples)
        known = (samples >= 0.0).sum(axis=2)
        writable = 2 * known >= s * s
        superseded = np.empty(0, np.int64)
        written = writable
        holes = int(writable.size)
        if len(self.store) and self.config.policy == "novel":
            seen = readout.samples if readout is not None else None
            if seen is None or seen.token.shape != inverse_depth.shape:
                seen = self.sample_map(view.camera)
            holes = int((novelty.cells(seen.token.numpy(), s) < 0).all(axis=2).sum())
            written, superseded = novelty.decide(self.config, self.store, seen, samples, writable)
        count = int(written.sum())
        if count:
            node = self.tree.add("write", label)
            node.keyframe, node.written = self.store.keyframes.count, count
            self.store.append(camera, latents, samples, planar_tokens(inverse_depth, s), written, node.id)
            node.killed = superseded
            self.store.set_alive(superseded, False)
        else:
            superseded = superseded[:0]
        report = np.array(written)
        report.setflags(write=False)
        return WriteReport(self.tree.current, count, len(superseded), holes, report)

    def _checked(self, view: LatentView) -> tuple[np.ndarray, np.ndarray, Camera]:
        """Latents (C, h, w) and inverse depth (hs, ws) as float32 arrays, and the camera on the latent grid."""
        camera = self.latent_camera(view.camera)
        latents, inverse_depth = _as_array(view.latents), _as_array(view.inverse_depth)
        s, expected = self.config.samples, (self.config.channels, camera.height, camera.width)
        if latents.shape != expected:
            raise InputError(f"The memory expects latents of shape {expected} for this camera; they have {latents.shape}.")
        if inverse_depth.shape != (camera.height * s, camera.width * s):
            raise InputError(
                f"The memory expects inverse depth of shape {(camera.height * s, camera.width * s)}; it has {inverse_depth.shape}."
            )
        if not np.isfinite(latents).all():
            raise InputError("The latents to be written hold values that are not numbers; the frame is not written.")
        if np.isinf(inverse_depth).any() or (inverse_depth < 0).any():
            raise InputError("Inverse depth must be 0 (sky), positive or NaN (unknown); this frame has negative or infinite values.")
        return latents, inverse_depth, camera

    def latent_camera(self, camera: Camera) -> Camera:
        """``camera`` on the latent grid.

        Raises:
            InputError: the image size is not a multiple of the stride.
        """
        stride = self.config.stride
        if camera.width % stride or camera.height % stride or camera.width < stride or camera.height < stride:
            raise InputError(
                f"The camera's image size must be a multiple of {stride}; {camera.height}x{camera.width} is not "
                f"(try {max(stride, camera.height // stride * stride)}x{max(stride, camera.width // stride * stride)})."
            )
        return camera.latent(stride)

    # ---------------------------------------------------------------- reading

    def sample_map(self, camera: Camera) -> SampleMap:
        """Which token each of the view's (h*s, w*s) samples sees, and where in it. Reads nothing but geometry."""
        grid = self.latent_camera(camera)
        s = self.config.samples
        return View(self.store, grid.resized(grid.width * s, grid.height * s)).sample_map()

    def neighbourhood(self, token: Tensor | np.ndarray) -> tuple[Tensor, Tensor]:
        """Features around tokens.

        Args:
            token: (n,) int64 ids.

        Returns:
            features (n, 9, C), float16 (float32 in single precision), row-major with the token itself at index 4, and valid (n, 9) bool;
            a neighbour outside its keyframe is 0 and not valid.
        """
        rows = np.ascontiguousarray(_as_ids(token))
        self._check_rows(rows)
        store = self.store
        features = store.features.rows
        bits = np.uint16 if features.dtype == np.float16 else np.float32
        out = np.empty((len(rows), 9, self.config.channels), bits)
        valid = np.empty((len(rows), 9), np.bool_)
        kernels.gather_neighbours(
            rows, store.blocks.rows, store.spans.rows, store.grids.rows, store.cells.rows, store.ring_cells.rows,
            features.view(bits), store.ring_features.rows.view(bits), out, valid,
        )  # fmt: skip
        return torch.from_numpy(out.view(features.dtype)), torch.from_numpy(valid)

    def readout(self, camera: Camera) -> Readout:
        """The memory seen from ``camera``, by the configured readout.

        Raises:
            InputError: the readout is ``learned`` but the memory was made without a network.
        """
        return self.readout_learned(camera) if self.config.readout == "learned" else self.readout_nearest(camera)

    def readout_learned(self, camera: Camera) -> Readout:
        """Tokens resampled by the network at the exact positions that the view's samples see."""
        if self.network is None:
            raise InputError("A learned readout needs a readout network; give the memory one or choose the nearest readout.")
        grid = self.latent_camera(camera)
        samples = self.sample_map(camera)
        covered = samples.covered
        if bool(covered.any()):
            features, valid = self.neighbourhood(samples.token[covered])
            with torch.no_grad():
                latents = self.network.read(samples, features, valid).float()
        else:
            latents = torch.zeros(self.config.channels, grid.height, grid.width)
        return self._from_samples(grid, samples, latents)

    def _from_samples(self, grid: Camera, samples: SampleMap, latents: Tensor) -> Readout:
        """Cell-level summary of a sample map: the winner of a cell is its nearest sample, the first of equals."""
        s = self.config.samples
        token = novelty.cells(samples.token.numpy(), s)
        depth = np.where(token >= 0, novelty.cells(samples.inverse_depth.numpy(), s), -1.0)
        pick = depth.argmax(axis=2)[..., None]
        winner = np.take_along_axis(token, pick, axis=2)[..., 0]
        coverage = (token >= 0).mean(axis=2, dtype=np.float32)
        scale = np.take_along_axis(novelty.cells(samples.log2_scale.numpy(), s), pick, axis=2)[..., 0]
        self._count_reads(winner)
        mask = torch.from_numpy(coverage > 0)
        return Readout(
            features=torch.where(mask, latents, torch.zeros(())),
            coverage=torch.from_numpy(coverage),
            inverse_depth=samples.inverse_depth,
            covered=samples.covered,
            sky=samples.sky,
            token=torch.from_numpy(winner),
            offsets=torch.from_numpy(self._offsets(grid, winner)),
            log2_scale=torch.from_numpy(scale),
            samples=samples,
        )

    def readout_nearest(self, camera: Camera) -> Readout:
        """The paper's readout: the nearest token that lands in a cell is copied, nothing else."""
        grid = self.latent_camera(camera)
        keys = View(self.store, grid).nearest(self.config.cell_center)
        hit = keys != kernels.NO_KEY
        token = np.where(hit, keys & 0xFFFFFFFF, -1)
        depth = np.where(hit, 0x7FFFFFFF - (keys >> 32), 0).astype(np.int32).view(np.float32)
        features = np.zeros((grid.height, grid.width, self.config.channels), np.float32)
        features[hit] = self.store.features.rows[token[hit]]
        self._count_reads(token)
        s = self.config.samples
        covered = torch.from_numpy(hit.repeat(s, axis=0).repeat(s, axis=1))
        inverse_depth = torch.from_numpy(depth.repeat(s, axis=0).repeat(s, axis=1))
        return Readout(
            features=torch.from_numpy(np.ascontiguousarray(features.transpose(2, 0, 1))),
            coverage=torch.from_numpy(hit.astype(np.float32)),
            inverse_depth=inverse_depth,
            covered=covered,
            sky=covered & (inverse_depth == 0.0),
            token=torch.from_numpy(token),
            offsets=torch.from_numpy(self._offsets(grid, token)),
            log2_scale=torch.from_numpy(self._scales(grid, token, depth)),
        )

    def _count_reads(self, winner: np.ndarray) -> None:
        """Count one read for every token that won a cell, and mark its block as just read (what eviction goes by)."""

    def _offsets(self, grid: Camera, token: np.ndarray) -> np.ndarray:
        """(2, h, w) float32 position of each cell's token relative to the cell's centre, in cells."""
        offsets = np.zeros((2, *token.shape), np.float32)
        hit = token >= 0
        if hit.any():
            lines, columns = np.nonzero(hit)
            x, y, _ = self.project(token[hit], grid)
            offsets[0][hit] = np.clip(x - columns - 0.5, -8.0, 8.0)
            offsets[1][hit] = np.clip(y - lines - 0.5, -8.0, 8.0)
        return offsets

    def _scales(self, grid: Camera, token: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """(h, w) float32 log2 of magnification for tokens taken as facing the line of sight."""
        scales = np.zeros(token.shape, np.float32)
        hit = token >= 0
        rows = token[hit]
        if len(rows):
            focal = np.sqrt(self.store.keyframes.rows[self.store.keyframes_of(rows)][:, 12:14].prod(axis=1))
            source = self.center_inverse_depth(rows)
            # Both at infinity: the ratio of distances is 1.
            ratio = np.where(depth[hit] > 0.0, depth[hit] / np.maximum(source, 1e-12), 1.0)
            scales[hit] = np.clip(np.log2(np.sqrt(grid.K[0, 0] * grid.K[1, 1]) / focal * ratio), -6.0, 6.0)
        return scales

    # ---------------------------------------------------------------- tokens as points

    def center_inverse_depth(self, rows: np.ndarray) -> np.ndarray:
        """(n,) float32: tokens as single points; the mean of a token's samples, its nearest surface where it straddles an edge."""
        values = self.store.inverse_depth(rows)
        valid = values >= 0.0
        low = np.where(valid, values, np.inf).min(axis=1)
        high = np.where(valid, values, 0.0).max(axis=1)
        mean = np.where(valid, values, 0.0).sum(axis=1, dtype=np.float32) / np.maximum(valid.sum(axis=1), 1).astype(np.float32)
        return np.where(high <= np.float32(kernels.EDGE_RATIO) * low, mean, high).astype(np.float32)

    def project(self, rows: np.ndarray, grid: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Token centres in ``grid`` cells: x, y and inverse depth (n,) float64; NaN behind the camera."""
        rays, inverse_depth, centers = self._rays(rows)
        P = grid.K @ grid.c2w[:3, :3].T
        seen = rays @ P.T + inverse_depth[:, None] * ((centers - grid.position) @ P.T)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.where(seen[:, 2] > 0.0, seen[:, 2], np.nan)
            return seen[:, 0] / z, seen[:, 1] / z, inverse_depth / z

    def _rays(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """World rays (n, 3) with source z = 1 through token centres, inverse depths (n,), source centres (n, 3), float64."""
        packed = self.store.keyframes.rows[self.store.keyframes_of(rows)]
        u, v = self.store.cell(rows)
        c = self.config.cell_center
        local = np.stack([(u + c - packed[:, 14]) / packed[:, 12], (v + c - packed[:, 15]) / packed[:, 13], np.ones(len(rows))], axis=1)
        rays = np.einsum("nij,nj->ni", packed[:, :9].reshape(-1, 3, 3), local)
        return rays, self.center_inverse_depth(rows).astype(np.float64), packed[:, 9:12]

    def positions(self, rows: np.ndarray) -> np.ndarray:
        """(n, 3) float32 world points of tokens, metres; sky lies at infinity and is drawn 1 km away."""
        rays, inverse_depth, centers = self._rays(rows)
        return (centers + rays / np.maximum(inverse_depth, 1e-3)[:, None]).astype(np.float32)

    def living(self) -> np.ndarray:
        """(n,) int64 ids of the tokens alive at the present node."""
        return np.flatnonzero(self.store.alive)

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """The paper's M at the present node: world points (n, 3) float32 and features (n, C), sky left out."""
        rows = self.living()
        rows = rows[self.center_inverse_depth(rows) > 0.0]
        return self.positions(rows), self.store.features.rows[rows]

    def _check_rows(self, rows: np.ndarray) -> None:
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self.store)):
            raise InputError(f"Token ids must lie between 0 and {len(self.store) - 1}; some of those given do not.")

    # ---------------------------------------------------------------- history

    @property
    def current(self) -> int:
        """Id of the present node."""
        return self.tree.current

    def checkout(self, node: int) -> None:
        """Make any node of the tree the present."""
        back, forth = self.tree.path(self.tree.current, node)
        for passed in back:
            self._apply(passed, forward=False)
        for passed in forth:
            self._apply(passed, forward=True)
        self.tree.visit(node)

    def _apply(self, node: Node, *, forward: bool) -> None:
        store = self.store
        if node.keyframe >= 0:
            first, count = store.spans.rows[node.keyframe, :2]
            store.set_alive(np.arange(first, first + count), forward)
        store.set_alive(node.killed, not forward)
        store.set_frozen(node.frozen, forward)
        store.set_frozen(node.thawed, not forward)


def _as_array(values: Tensor | np.ndarray) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    return np.ascontiguousarray(values, dtype=np.float32)


def _as_ids(ids: Tensor | np.ndarray | Iterable[int]) -> np.ndarray:
    if isinstance(ids, Tensor):
        return ids.detach().cpu().numpy().astype(np.int64).ravel()
    return np.asarray(list(ids) if not isinstance(ids, np.ndarray) else ids, dtype=np.int64).ravel()
