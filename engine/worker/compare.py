"""The second view: computed for the chosen source only, and never at the price of the first."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import torch

from engine import panels
from engine.drawing import draw_readout
from engine.errors import InputError
from engine.messages import COMPARE_SOURCES, CompareImage, CompareSource, Preview
from engine.rgb_memory import RgbMemory
from engine.rgb_variant import full_depth_m

if TYPE_CHECKING:
    from engine.memory import LatentMemory
    from engine.worker.loop import EngineLoop
    from engine.worker.opened import OpenedWorld

SHARE = 0.1
"""At most this share of the time goes into the second view while the camera moves."""
LAST_VISIT_GAP = 12
"""Steps: a visit more recent than this is not a visit but the same flight."""
RGB_FRAMES = 120
"""The baseline's cloud is made of at most this many recorded frames."""


class SecondView:
    """Which source is shown, and when it was last brought up to date."""

    def __init__(self, source: CompareSource) -> None:
        self.source: CompareSource = source
        self.node: int | None = None
        self._cost_s = 0.0
        self._ended_at = 0.0
        self._due = False
        self._basis: tuple[int, int, np.ndarray, np.ndarray] | None = None
        self._cloud: RgbCloud | None = None

    def choose(self, source: CompareSource, node: int | None) -> None:
        """Raises :class:`InputError` for a source that does not exist."""
        if source not in COMPARE_SOURCES:
            raise InputError(f"There is no second view {source!r}; choose one of {', '.join(COMPARE_SOURCES)}.")
        self.source, self.node = source, node
        self.changed()
        if source != "rgb-memory":
            self._cloud = None

    def changed(self) -> None:
        """What is shown no longer fits."""
        self._cost_s = 0.0
        self._due = True

    def follow(self, loop: EngineLoop, moving: bool) -> None:
        """A new frame is on screen.

        While moving, only as often as :data:`SHARE` allows; the rest is caught up with at rest.
        """
        self._due = True
        if not moving or time.perf_counter() - self._ended_at >= self._cost_s / SHARE:
            self.refresh(loop)

    def refresh(self, loop: EngineLoop) -> None:
        """Compute and publish it, if it is out of date."""
        world = loop.world
        if not self._due or self.source == "none" or world is None or world.last is None:
            return
        self._due = False
        started = time.perf_counter()
        try:
            rgb, caption = self._draw(world)
        except Exception as error:
            loop.report(error)
            self.source = "none"
            return
        self._ended_at = time.perf_counter()
        self._cost_s = self._ended_at - started
        loop.outbox.publish(compare=CompareImage(self.source, rgb, world.last.camera, world.last.index, caption))

    def _draw(self, world: OpenedWorld) -> tuple[np.ndarray, str]:
        """(H, W, 3) uint8 and a caption."""
        last = world.last
        assert last is not None
        height, width = last.rgb.shape[:2]
        if self.source == "truth":
            return self._truth(world)
        if self.source == "last-visit":
            return self._last_visit(world)
        if self.source == "rgb-memory":
            return self._rgb_memory(world)
        if self.source == "branch":
            return self._branch(world)
        if self.source == "depth":
            return panels.depth_image(last.inverse_depth, height, width), "bright is near, dark is far, sky is black"
        if self.source == "coverage":
            caption = f"teal was remembered, amber invented: {100.0 * last.coverage_mean:.0f} % remembered"
            return panels.coverage_image(last.coverage, last.rgb), caption
        known = conditions(world)
        covered = known.coverage > 0.0
        if self.source == "offsets":
            caption = "hue: direction from the cell's centre to its token, brightness: distance (up to a cell)"
            return panels.offsets_image(known.offsets, covered, height, width), caption
        if self.source == "winners":
            ages = token_ages(world, known.token)
            return panels.age_image(
                ages, height, width
            ), "bright tokens are new, dark ones old (logarithmic, to 300 steps)"
        if self.source == "readout-pca":
            return self._components(world, height, width), "three main components of the latents"
        return known.rgb, "what the memory knew of this view, decoded; dark where it knew nothing"

    def _truth(self, world: OpenedWorld) -> tuple[np.ndarray, str]:
        last = world.last
        assert last is not None
        if not world.has_truth or world.explorer.world is None:
            return np.tile(panels.INK, (*last.rgb.shape[:2], 1)), "only procedural worlds have a truth to compare with"
        frame = world.explorer.world.render(last.camera)
        rgb = (frame.rgb.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
        return np.ascontiguousarray(rgb), "the procedural world itself; what was invented need not agree with it"

    def _last_visit(self, world: OpenedWorld) -> tuple[np.ndarray, str]:
        last = world.last
        assert last is not None
        memory = world.explorer.memory.latent
        nodes = set(memory.tree.ancestors(memory.current)) if memory is not None else None
        record = world.frames.nearest(last.camera, last.index - LAST_VISIT_GAP, nodes)
        if record is None:
            return np.tile(panels.INK, (*last.rgb.shape[:2], 1)), "this is the first visit to this place"
        rgb = panels.enlarge(record.rgb(), *last.rgb.shape[:2])
        return rgb, f"step {record.summary.index}, {last.index - record.summary.index} steps ago"

    def _branch(self, world: OpenedWorld) -> tuple[np.ndarray, str]:
        last, memory = world.last, world.explorer.memory.latent
        assert last is not None
        if memory is None or self.node is None or self.node >= len(memory.tree):
            return np.tile(panels.INK, (*last.rgb.shape[:2], 1)), "choose another branch to compare with"
        home = memory.current
        memory.checkout(self.node)
        try:
            preview = world.explorer.preview(last.camera)
        finally:
            memory.checkout(home)
        label = memory.tree[self.node].label or f"node {self.node}"
        return preview.rgb, f"the memory of {label}, decoded at this camera"

    def _components(self, world: OpenedWorld, height: int, width: int) -> np.ndarray:
        """The readout's latents through a basis that stays while the memory does not double."""
        readout = world.explorer.last_readout
        features = _readout_features(world)
        memory = world.explorer.memory.latent
        count = len(memory.store) if memory is not None else 0
        if self._basis is None or self._basis[0] != world.epoch or count > 2 * self._basis[1]:
            sample = features.reshape(len(features), -1).T
            if memory is not None and count:
                rows = np.linspace(0, count - 1, min(count, 4096)).astype(np.int64)
                sample = memory.store.features.rows[rows].astype(np.float32)
            self._basis = (world.epoch, count, *panels.pca(sample.astype(np.float64)))
        coverage = readout.coverage.cpu().numpy() if readout is not None else np.zeros(features.shape[1:])
        return panels.latents_image(features, coverage > 0.0, self._basis[2], self._basis[3], height, width)

    def _rgb_memory(self, world: OpenedWorld) -> tuple[np.ndarray, str]:
        last = world.last
        assert last is not None
        if self._cloud is None or self._cloud.epoch != world.epoch:
            self._cloud = RgbCloud(world.epoch)
        return self._cloud.draw(world)


class RgbCloud:
    """The baseline's memory, filled with the frames that were generated here: what an RGB point cloud would know."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self._memory = RgbMemory()
        self._taken = 0

    def draw(self, world: OpenedWorld) -> tuple[np.ndarray, str]:
        """The cloud at the newest frame's camera, without that frame."""
        last = world.last
        assert last is not None
        records = [record for record in world.frames if record.jpeg and record.summary.index < last.index]
        for record in records[max(self._taken, len(records) - RGB_FRAMES) :]:
            rgb = torch.from_numpy(record.rgb().copy()).permute(2, 0, 1).float() / 255.0
            inverse = torch.from_numpy(record.inverse_depth.astype(np.float32))
            self._memory.write(record.summary.camera, rgb, full_depth_m(inverse, record.summary.camera))
        self._taken = len(records)
        view = self._memory.render(last.camera)
        ink = torch.from_numpy(panels.INK.astype(np.float32) / 255.0)[:, None, None]
        image = torch.where(view.mask[None], view.rgb, ink)
        out = (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        mib = self._memory.used_bytes / 2**20
        return np.ascontiguousarray(out), f"an RGB point cloud of the same frames, {mib:.1f} MiB"


def conditions(world: OpenedWorld) -> Preview:
    """What conditioned the newest frame, as a preview; read again where it is no longer at hand (a recalled frame)."""
    last, explorer = world.last, world.explorer
    assert last is not None
    readout = explorer.last_readout
    if readout is None or last.index != explorer.index - 1:
        return explorer.preview(last.camera)
    return Preview(
        camera=last.camera,
        rgb=draw_readout(explorer.model, readout),
        inverse_depth=readout.inverse_depth.cpu().numpy(),
        coverage=readout.coverage.cpu().numpy(),
        token=readout.token.cpu().numpy(),
        offsets=readout.offsets.cpu().numpy(),
        log2_scale=readout.log2_scale.cpu().numpy(),
        timings_ms={},
    )


def _readout_features(world: OpenedWorld) -> np.ndarray:
    """(C, h, w) float32 latents of the readout that conditioned the newest frame."""
    explorer = world.explorer
    readout = explorer.last_readout
    if readout is None:
        assert world.last is not None
        readout = explorer.memory.readout(world.last.camera).readout
    return readout.features.float().cpu().numpy()


def token_ages(world: OpenedWorld, token: np.ndarray) -> np.ndarray:
    """(h, w) int64 steps since each winning ``token (h, w)`` was written, -1 for none."""
    ages = np.full(token.shape, -1, np.int64)
    memory = world.explorer.memory.latent
    hit = (token >= 0) & (token < (len(memory.store) if memory is not None else 0))
    if memory is not None and hit.any():
        ages[hit] = world.explorer.index - 1 - steps_of(world, memory, memory.token_info(token[hit]).node)
    return np.where(hit, np.maximum(ages, 0), -1)


def steps_of(world: OpenedWorld, memory: LatentMemory, nodes: np.ndarray) -> np.ndarray:
    """(n,) int64 steps that wrote tree ``nodes (n,)``; 0 where no frame is known."""
    table = np.zeros(len(memory.tree), np.int64)
    for record in world.frames:
        if record.summary.tokens_written and record.summary.node < len(table):
            table[record.summary.node] = record.summary.index
    return table[nodes]
