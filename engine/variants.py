"""The memories an explorer can have, behind one protocol: every comparison is a configuration of the same code path.

==============  ======================================================================================================
latent          ours: learned readout, tokens written where they are news; first views at several scales, and what
                stands behind near things
latent-flat     the same in one layer at one scale, which is what the others are given
latent-nearest  the paper's readout: the nearest token is copied
append          the paper's write policy: every token of every frame is kept
rgb             the baseline: a full-resolution RGB point cloud, rasterised and encoded for every readout
none            nothing is remembered
==============  ======================================================================================================
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from engine.backdrop import backdrop
from engine.camera import Camera
from engine.memory import LatentMemory, LatentView, MemoryConfig, Readout, ReadoutNetwork
from engine.messages import MemoryStats, MemoryVariant
from engine.prospect import News
from engine.world_model import ModelSpec, WorldModel

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, eq=False)
class Reading:
    """A readout and the milliseconds of it that went into encoding pixels (the baseline's price)."""

    readout: Readout
    encode_ms: float = 0.0


@dataclass(frozen=True)
class Commit:
    """What a write changed; ``node`` is the present afterwards."""

    node: int
    tokens_written: int
    tokens_superseded: int


class Memory(Protocol):
    """What an explorer needs of a memory."""

    @property
    def latent(self) -> LatentMemory | None:
        """The latent memory with its tree, where there is one."""

    def readout(self, camera: Camera) -> Reading:
        """The memory seen from ``camera`` (image size), in latent space."""

    def write(self, news: News, rgb: Tensor) -> Commit:
        """Remember a frame that was drawn as ``rgb (3, H, W)``."""

    def drop(self, node: int) -> None:
        """Take back the newest write, ``node``; its parent is the present afterwards."""

    def coverage(self, camera: Camera) -> float:
        """Share of the view that is remembered, from geometry alone."""

    def stats(self) -> MemoryStats:
        """How full it is."""

    def set_budget(self, mib: float | None) -> None:
        """Limit it; ``None``: no limit."""

    def fork(self) -> Memory:
        """A copy that goes its own way."""


def make_memory(variant: MemoryVariant, model: WorldModel, budget_mib: float | None, *, layered: bool = True) -> Memory:
    """The memory of that name, empty; ``layered``: it may guess what stands behind near things."""
    if variant == "none":
        return NoMemory(model.spec)
    if variant == "rgb":
        from engine.rgb_variant import PixelMemory

        return PixelMemory(model)
    memory = LatentMemory(memory_config(variant, model.spec, budget_mib), readout_network(model))
    return LatentVariant(memory, layered=layered and variant == "latent")


def memory_config(variant: MemoryVariant, spec: ModelSpec, budget_mib: float | None) -> MemoryConfig:
    """The latent memory's configuration for a model and variant."""
    return MemoryConfig(
        channels=spec.latent_channels,
        stride=spec.spatial_stride,
        samples=spec.geometry_samples,
        policy="append" if variant == "append" else "novel",
        readout="nearest" if variant == "latent-nearest" else "learned",
        budget_mib=budget_mib,
    )


def readout_network(model: WorldModel) -> ReadoutNetwork | None:
    """The model's readout network, or ``None``."""
    return getattr(model, "readout_network", None)


def empty_readout(spec: ModelSpec, camera: Camera) -> Readout:
    """What an empty memory reads out at ``camera``."""
    h, w = camera.height // spec.spatial_stride, camera.width // spec.spatial_stride
    hs, ws = h * spec.geometry_samples, w * spec.geometry_samples
    nothing = torch.zeros(hs, ws, dtype=torch.bool)
    return Readout(
        features=torch.zeros(spec.latent_channels, h, w),
        coverage=torch.zeros(h, w),
        inverse_depth=torch.zeros(hs, ws),
        covered=nothing,
        sky=nothing,
        token=torch.full((h, w), -1, dtype=torch.int64),
        offsets=torch.zeros(2, h, w),
        log2_scale=torch.zeros(h, w),
        parallax=torch.zeros(h, w),
        exact=torch.zeros(h, w),
    )


class LatentVariant:
    """Latent tokens.

    Args:
        layered: what stands behind near things is remembered too, see :mod:`engine.backdrop`.
    """

    def __init__(self, memory: LatentMemory, *, layered: bool = True) -> None:
        self._memory = memory
        self._layered = layered

    @property
    def latent(self) -> LatentMemory | None:
        return self._memory

    def readout(self, camera: Camera) -> Reading:
        return Reading(self._memory.readout(camera))

    def write(self, news: News, rgb: Tensor) -> Commit:
        behind = news.behind
        if behind is None and self._layered:
            behind = backdrop(news.camera, news.lasting, news.writable, news.readout.coverage < 0.5)
        view = LatentView(news.camera, news.lasting, news.writable)
        report = self._memory.write(
            view,
            readout=news.readout,
            backdrop=behind,
            finer=news.finer,
            wear=news.wear,
            renewed=news.renewed,
            founds=news.founds,
        )
        return Commit(report.node, report.tokens_written, report.tokens_superseded)

    def drop(self, node: int) -> None:
        self._memory.checkout(node)
        if not self._memory.retract():
            self._memory.checkout(self._memory.tree[node].parent)

    def coverage(self, camera: Camera) -> float:
        return float(self._memory.sample_map(camera).covered.float().mean())

    def stats(self) -> MemoryStats:
        stats = self._memory.stats()
        shown = {field.name: getattr(stats, field.name) for field in fields(MemoryStats) if hasattr(stats, field.name)}
        return MemoryStats(**shown)

    def fork(self) -> LatentVariant:
        network = self._memory.network
        memory = copy.deepcopy(self._memory, {id(network): network})  # the network is shared, it never changes
        return LatentVariant(memory, layered=self._layered)

    def set_budget(self, mib: float | None) -> None:
        """Limit the memory from the next write on."""
        self._memory.config = replace(self._memory.config, budget_mib=mib)


class NoMemory:
    """Every frame is imagined anew."""

    latent = None

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec

    def readout(self, camera: Camera) -> Reading:
        return Reading(empty_readout(self._spec, camera))

    def write(self, news: News, rgb: Tensor) -> Commit:
        return Commit(0, 0, 0)

    def drop(self, node: int) -> None:
        pass

    def coverage(self, camera: Camera) -> float:
        return 0.0

    def stats(self) -> MemoryStats:
        return MemoryStats()

    def set_budget(self, mib: float | None) -> None:
        pass

    def fork(self) -> NoMemory:
        return self
