"""Latent spatial memory (arXiv 2606.09828): write views, read them out for any camera, walk their history."""

from engine.memory.coarser import ScaledView, memory_at_scales
from engine.memory.config import LatentView, MemoryConfig
from engine.memory.grids import fits_memory
from engine.memory.kernels import WORN
from engine.memory.latent_memory import LatentMemory, WriteReport
from engine.memory.mosaic import Mosaic, Tile
from engine.memory.moved import add_moved
from engine.memory.points import OrientedBox, TokenInfo
from engine.memory.readout import Readout, ReadoutNetwork, SampleMap
from engine.memory.snapshot import MemorySnapshot
from engine.memory.stats import MemoryStats
from engine.memory.tree import Node, WorldTree

__all__ = [
    "WORN",
    "LatentMemory",
    "LatentView",
    "MemoryConfig",
    "MemorySnapshot",
    "MemoryStats",
    "Mosaic",
    "Node",
    "OrientedBox",
    "Readout",
    "ReadoutNetwork",
    "SampleMap",
    "ScaledView",
    "Tile",
    "TokenInfo",
    "WorldTree",
    "WriteReport",
    "add_moved",
    "fits_memory",
    "memory_at_scales",
]
