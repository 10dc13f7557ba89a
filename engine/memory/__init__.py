"""Latent spatial memory (DESIGN section 4; arXiv 2606.09828): write views, read them out for any camera."""

from engine.memory.config import LatentView, MemoryConfig
from engine.memory.latent_memory import LatentMemory, WriteReport
from engine.memory.readout import Readout, ReadoutNetwork, SampleMap

__all__ = ["LatentMemory", "LatentView", "MemoryConfig", "Readout", "ReadoutNetwork", "SampleMap", "WriteReport"]
