"""The latent spatial memory: tokens of a world model kept in 3D, written where they are news and read out for any
camera.

The method is "Latent Spatial Memory for Video World Models" (Mirage, arXiv 2606.09828), with sub-cell geometry, a
learned readout, a write policy that grows with explored area, sky at infinity and a history that can be walked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.camera import Camera
from engine.errors import InputError
from engine.memory import assemble, budget, kernels, novelty, points
from engine.memory.checks import checked_view, latent_camera
from engine.memory.config import LatentView, MemoryConfig
from engine.memory.countries import Countries, Trail
from engine.memory.levels import with_other_scales, with_second_layer
from engine.memory.occupancy import Occupancy
from engine.memory.points import OrientedBox, TokenInfo
from engine.memory.readout import NEIGHBOURS, Readout, ReadoutNetwork, SampleMap
from engine.memory.snapshot import MemorySnapshot, SnapshotMaker
from engine.memory.stats import MemoryStats, count_stats
from engine.memory.store import TokenStore
from engine.memory.surface import planar_tokens, rims
from engine.memory.tree import Node, WorldTree
from engine.memory.views import View
from engine.memory.writing import checked_scales, sampled_cells, write_backdrop, write_scales

PENDING = 64
"""Writes whose effect on the occupied voxels may wait until somebody asks."""
TokenIds = Tensor | np.ndarray | Sequence[int]


@dataclass(frozen=True, eq=False)
class WriteReport:
    """What a write did.

    Attributes:
        node: the tree node that now is the present; unchanged if nothing was new.
        tokens_written, tokens_superseded, tokens_evicted: how many tokens came, died of finer ones, or left for the
            budget.
        cells_holes: cells of the view that the memory did not cover at all.
        written: (h, w) bool, read-only: the cells that became tokens.
    """

    node: int
    tokens_written: int
    tokens_superseded: int
    tokens_evicted: int
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
        self._snapshots = SnapshotMaker()
        self._occupancy = Occupancy()
        self._version = 0
        self._readouts = 0
        self._cells_read = 0
        self._cells_hit = 0
        self._evicted = 0

    @property
    def began_at(self) -> tuple[float, float, float] | None:
        """Where the first view was seen from; ``None`` as long as there is none."""
        if not self.store.keyframes.count:
            return None
        x, y, z = self.store.keyframes.rows[0, 9:12].tolist()
        return x, y, z

    def began_with(self, rows: np.ndarray) -> np.ndarray:
        """Whether tokens (any shape) were written with the first view."""
        nodes = self.store.keyframe_node.rows
        if not len(nodes):
            return np.zeros(rows.shape, np.bool_)
        return nodes[self.store.keyframes_of(rows.ravel())].reshape(rows.shape) == nodes[0]

    # ---------------------------------------------------------------- writing

    def write(
        self,
        view: LatentView,
        *,
        readout: Readout | None = None,
        backdrop: LatentView | None = None,
        finer: Sequence[LatentView] = (),
        wear: Tensor | np.ndarray | None = None,
        renewed: TokenIds = (),
        founds: bool = False,
        label: str = "",
    ) -> WriteReport:
        """Write what is new in a view; a node joins the tree if anything is.

        Args:
            view: the frame's latents and depth.
            readout: the memory at ``view.camera`` as it is now, if the caller has it; saves computing its geometry
                again.
            backdrop: a second layer of the same view, behind the first: cells with a depth are written with it.
            finer: the same view at finer scales, coarse to fine, each with twice as many cells a side: those with a
                depth, in whole cells of the scale before, refine what is written of it (:mod:`engine.memory.levels`).
            wear: (h, w) up to WORN, how far the view's cells are from what was given (a backdrop's are worn).
            renewed: tokens that this view replaces, whether it sees them or not; they are superseded.
            founds: by another country, see :mod:`engine.memory.countries`.
            label: name of the tree node.

        Raises:
            InputError: shapes do not fit the configuration, or values are not finite. Nothing is written then.
        """
        latents, inverse_depth, camera = checked_view(self.config, view)
        s = self.config.samples
        samples = sampled_cells(self.config, inverse_depth)
        written = 2 * (samples >= 0.0).sum(axis=2) >= s * s
        superseded = np.empty(0, np.int64)
        holes = int(written.size)
        if len(self.store) and self.config.policy == "novel":
            seen = readout.samples if readout is not None else None
            if seen is None or seen.token.shape != inverse_depth.shape:
                seen = self.sample_map(view.camera)
            holes = int((novelty.cells(seen.token.numpy(), s) < 0).all(axis=2).sum())
            written, superseded = novelty.decide(self.config, self.store, seen, samples, written)
        layer = checked_view(self.config, backdrop) if backdrop is not None else None
        scales = checked_scales(self.config, camera, budget.affordable(self.store, finer, self.config.budget_mib))
        count, evicted = int(written.sum()), 0
        if count:
            node = self.tree.add("write", label)
            node.keyframe, node.written = self.store.keyframes.count, count
            node.country = node.id if founds else node.country
            worn = None if wear is None else np.asarray(wear, np.uint8)
            planar = planar_tokens(inverse_depth, s)
            rim = rims(latents, inverse_depth, s, guessed=None if worn is None else worn >= kernels.WORN)
            self.store.append(camera, latents, samples, planar, written, node.id, wear=worn, rim=rim)
            if layer is not None:
                count += write_backdrop(self.config, self.store, node, *layer)
            count += write_scales(self.config, self.store, node, scales, written)
            superseded = np.union1d(superseded, self._living_in(renewed))
            self.tree.record(node, killed=superseded)
            self.store.set_alive(superseded, False)
            self._version += 1
            evicted = self._keep_budget()
            if self.store.pending_changes > PENDING:
                self._occupied()
        report = np.array(written)
        report.setflags(write=False)
        return WriteReport(self.tree.current, count, len(superseded) if count else 0, evicted, holes, report)

    def _keep_budget(self) -> int:
        if self.config.budget_mib is None or not budget.over_budget(self.store, self.tree, self.config.budget_mib):
            return 0
        self._occupied()
        keep = budget.choose(self.store, self.tree, self.config.budget_mib)
        self.store.set_alive(np.flatnonzero(~keep), False)
        self._occupied()
        evicted = budget.drop(self.store, self.tree, keep)
        if evicted:
            self._evicted += evicted
            self._snapshots.renumbered()
        return evicted

    # ---------------------------------------------------------------- reading

    def sample_map(self, camera: Camera, only: Tensor | None = None) -> SampleMap:
        """Which token each of the view's (h*s, w*s) samples sees, and where in it. Reads nothing but geometry.

        ``only``: (h, w) bool, cells that are asked for; of others it shows nothing, and is the sooner done.
        """
        grid = latent_camera(self.config, camera)
        s = self.config.samples
        view = View(self.store, grid.resized(grid.width * s, grid.height * s))
        return view.sample_map(None if only is None else np.repeat(np.repeat(only.numpy(), s, axis=0), s, axis=1))

    def neighbourhood(self, token: TokenIds) -> tuple[Tensor, Tensor]:
        """Features around tokens.

        Args:
            token: (n,) int64 ids.

        Returns:
            features (n, 9, C) float32, row-major with the token itself at index 4, and valid (n, 9) bool; a neighbour
            outside
            its keyframe is 0 and not valid.
        """
        rows = self._rows(token)
        around = torch.empty(len(rows), NEIGHBOURS, self.config.channels)
        valid = torch.empty(len(rows), NEIGHBOURS, dtype=torch.bool)
        assemble.gather(self.store, rows, np.arange(len(rows)), around, valid)
        return around, valid

    def readout(self, camera: Camera, *, counted: bool = True) -> Readout:
        """The memory seen from ``camera``, by the configured readout; not ``counted`` where it conditions no frame.

        Raises:
            InputError: the readout is ``learned`` but the memory was made without a network.
        """
        read = self.readout_learned if self.config.readout == "learned" else self.readout_nearest
        return read(camera, counted=counted)

    def readout_learned(self, camera: Camera, *, counted: bool = True) -> Readout:
        """Tokens resampled by the network at the exact positions that the view's samples see."""
        return self.resampled(self.sight(camera, counted=counted))

    def sight(self, camera: Camera, *, counted: bool = False, only: Tensor | None = None) -> Readout:
        """A learned readout but for its features, which are 0; ``counted`` where it is to condition a frame. ``only``:
        see :meth:`sample_map`."""
        grid = latent_camera(self.config, camera)
        sight = assemble.from_samples(View(self.store, grid), self.sample_map(camera, only))
        return self._counted(sight) if counted else sight

    def resampled(self, sight: Readout) -> Readout:
        """A :meth:`sight`, which may be put together from several, with its features.

        Raises:
            InputError: the memory was made without a network.
        """
        network, samples = self.reader, sight.samples
        assert samples is not None, "a sight is made of samples"
        latents = torch.zeros_like(sight.features)
        if bool(samples.covered.any()):
            tokens, which = samples.token[samples.covered].unique(return_inverse=True)
            with torch.no_grad():
                latents = network.read(samples, *self.neighbourhood(tokens), which)
        return assemble.with_features(self.store, sight, latents)

    @property
    def reader(self) -> ReadoutNetwork:
        """The network that resamples tokens.

        Raises:
            InputError: the memory was made without one.
        """
        if self.network is None:
            raise InputError(
                "A learned readout needs a readout network; give the memory one or choose the nearest readout."
            )
        return self.network

    def readout_nearest(self, camera: Camera, *, counted: bool = True) -> Readout:
        """The paper's readout: the nearest token that lands in a cell is copied, nothing else."""
        grid = latent_camera(self.config, camera)
        readout = assemble.from_nearest(View(self.store, grid), self.config.cell_center)
        return self._counted(readout) if counted else readout

    @contextmanager
    def overlooking(self, token: TokenIds) -> Iterator[None]:
        """Within the block the memory is read as if these tokens were gone."""
        rows = self._living_in(token)
        self.store.set_alive(rows, False)
        try:
            yield
        finally:
            self.store.set_alive(rows, True)

    def _counted(self, readout: Readout) -> Readout:
        """Count one read for every token that won a cell, and mark its block as just read (what eviction goes by)."""
        winner = readout.token.numpy()
        rows = np.unique(winner[winner >= 0])
        reads = self.store.reads.rows
        reads[rows] += reads[rows] < np.iinfo(reads.dtype).max
        self._readouts += 1
        self.store.block_read.rows[self.store.blocks_of(rows)] = self._readouts
        self._cells_read += winner.size
        self._cells_hit += int((winner >= 0).sum())
        return readout

    # ---------------------------------------------------------------- looking inside

    def living(self) -> np.ndarray:
        """(n,) int64 ids of the tokens alive at the present node."""
        return np.flatnonzero(self.store.alive)

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """The paper's M at the present node: world points (n, 3) float32 and features (n, C), sky left out."""
        rows = self.living()
        rows = rows[points.center_inverse_depth(self.store, rows) > 0.0]
        return points.positions(self.store, rows, self.config.cell_center), self.store.features.rows[rows]

    def tokens_in(self, region: OrientedBox | TokenIds) -> np.ndarray:
        """(n,) int64 ids of the living tokens in a box (sky is in no box), or those of the given ids that live."""
        return self._living_in(region)

    def token_info(self, token: TokenIds) -> TokenInfo:
        """Provenance of tokens (n,): who wrote them, where they sit, how far, how fine, how often read."""
        return points.token_info(self.store, self._rows(token))

    def snapshot(self) -> MemorySnapshot:
        """An immutable picture of the memory for drawing; cheap, and the same object while nothing changed."""
        return self._snapshots.take(self.store, self.tree, self.config.cell_center, self._version)

    def stats(self) -> MemoryStats:
        """Sizes and costs at the present node."""
        return count_stats(
            self.store,
            self.tree,
            voxels_occupied=self._occupied(),
            budget_mib=self.config.budget_mib,
            evicted=self._evicted,
            cells_read=self._cells_read,
            cells_hit=self._cells_hit,
        )

    def _occupied(self) -> int:
        """Voxels with a living token, brought up to date with the tokens that came and went since the last look."""
        for rows, alive in self.store.take_changes():
            rows = rows[points.center_inverse_depth(self.store, rows) > 0.0]
            self._occupancy.change(points.positions(self.store, rows, self.config.cell_center), alive=alive)
        return self._occupancy.voxels

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
        self._version += 1

    def undo(self) -> bool:
        """Step to the parent node; False at the root."""
        parent = self.tree[self.tree.current].parent
        if parent >= 0:
            self.checkout(parent)
        return parent >= 0

    def redo(self) -> bool:
        """Step to the child last visited; False at a tip."""
        child = self.tree.next_child()
        if child is not None:
            self.checkout(child)
        return child is not None

    @property
    def country(self) -> int:
        """The one that is shown, by the node that founded it; 0 is the first."""
        return self.tree[self.tree.current].country

    def returned(self, camera: Camera) -> bool:
        """Whether a view was seen before, and left since."""
        return Trail(self.store, self.tree, camera).returned

    def cross_over(self, camera: Camera) -> bool:
        """Show the country that a camera's view was seen in, if that is another."""
        before, countries = self.country, Countries(self.store, self.tree, self.config.cell_center)
        country = countries.seen_in(camera)
        for node in countries.crossings(country):
            self._apply(node, forward=True)
            self._version += 1
        return country != before

    def stay(self, node: int) -> None:
        """Take back for good the crossings since ``node``: what they were for did not come about."""
        while self.tree.current != node and self.tree[self.tree.current].kind == "cross":
            self._apply(self.tree[self.tree.current], forward=False)
            self.tree.drop_newest()
            self._version += 1

    def branch(self, label: str) -> int:
        """Start a named line of history here: an empty node that what follows hangs from. Returns its id."""
        self._version += 1
        return self.tree.add("branch", label).id

    def rename(self, node: int, label: str) -> None:
        """Name a node."""
        self.tree.rename(node, label)
        self._version += 1

    def erase(self, region: OrientedBox | TokenIds, label: str = "") -> int:
        """Kill the living tokens in a box (sky is in no box) or of those ids, at all their scales, frozen ones too.
        Returns the node, undoable."""
        return self._edit("erase", "killed", self._living_in(region), label)

    def freeze(self, region: OrientedBox | TokenIds, label: str = "") -> int:
        """Protect living tokens from being superseded or evicted. Returns the node."""
        rows = self._living_in(region)
        return self._edit("freeze", "frozen", rows[~self.store.frozen[rows]], label)

    def thaw(self, region: OrientedBox | TokenIds, label: str = "") -> int:
        """Take that protection back. Returns the node."""
        rows = self._living_in(region)
        return self._edit("thaw", "thawed", rows[self.store.frozen[rows]], label)

    def _edit(self, kind: str, field: str, rows: np.ndarray, label: str) -> int:
        """A node that changes ``rows``; the present one if there are none."""
        if len(rows):
            node = self.tree.add(kind, label)
            self.tree.record(node, **{field: rows})
            self._apply(node, forward=True)
            self._version += 1
        return self.tree.current

    def _apply(self, node: Node, *, forward: bool) -> None:
        store = self.store
        for keyframe in node.keyframes:
            store.set_alive(store.rows_of(keyframe), forward)
        store.set_alive(node.killed, not forward)
        store.set_alive(node.revived, forward)
        store.set_frozen(node.frozen, forward)
        store.set_frozen(node.thawed, not forward)

    def _living_in(self, region: OrientedBox | TokenIds) -> np.ndarray:
        if not isinstance(region, OrientedBox):
            rows = with_other_scales(self.store, np.unique(self._rows(region)))
            rows = with_second_layer(self.store, self.tree, rows)
            return rows[self.store.alive[rows]]
        reach = float(np.linalg.norm(region.half_size_m))
        spheres = self.store.spheres.rows
        near = (spheres[:, 3] >= 0.0) & (
            np.linalg.norm(spheres[:, :3] - region.center, axis=1) <= spheres[:, 3] + reach
        )
        spans = self.store.blocks.rows[near]
        rows = np.concatenate([np.arange(first, first + count) for first, count, _ in spans] or [np.empty(0, np.int64)])
        rows = rows[self.store.alive[rows] & (points.center_inverse_depth(self.store, rows) > 0.0)]
        return rows[region.contains(points.positions(self.store, rows, self.config.cell_center))]

    def _rows(self, token: TokenIds) -> np.ndarray:
        """Token ids as a checked (n,) int64 array."""
        values = token.detach().cpu().numpy() if isinstance(token, Tensor) else np.asarray(token)
        rows = np.ascontiguousarray(values, dtype=np.int64).ravel()
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self.store)):
            raise InputError(f"Token ids must lie between 0 and {len(self.store) - 1}; some of those given do not.")
        return rows

    def retract(self) -> bool:
        """Take the newest write back for good, so that a better version of the same frame leaves no litter in the
        history.

        Its tokens and its node are gone, what it superseded lives again, and its parent is the present.

        Returns:
            False, and nothing has changed, unless the present is the newest node and wrote the newest keyframe.
        """
        node = self.tree.nodes[-1]
        newest = max(node.keyframes, default=-1) == self.store.keyframes.count - 1
        if node.id != self.current or node.kind != "write" or not newest:
            return False
        self._apply(node, forward=False)
        self._occupied()
        for _ in node.keyframes:
            self.store.drop_newest_keyframe()
        self.tree.drop_newest()
        self._snapshots.truncated(len(self.store), self.store.keyframes.count)
        self._version += 1
        return True

    # ---------------------------------------------------------------- keeping

    def save(self, folder: Path) -> None:
        """Write the memory with its whole history into ``folder``; see :mod:`engine.memory.saving`."""
        from engine.memory import saving

        saving.save(self, folder)

    @classmethod
    def load(cls, folder: Path, config: MemoryConfig, network: ReadoutNetwork | None = None) -> LatentMemory:
        """Read what :meth:`save` wrote.

        Raises:
            SessionError: files are missing, damaged or of another configuration.
        """
        from engine.memory import saving

        memory = cls(config, network)
        saving.restore(memory, folder)
        return memory
