"""Endless procedural RGB-D worlds: what the embedded model learns from and is measured against."""

from __future__ import annotations

from engine.worlds.sheet import contact_sheet
from engine.worlds.spec import BIOMES, TIMES, WorldSpec
from engine.worlds.world import Frame, World, reconstruct

__all__ = ["BIOMES", "TIMES", "Frame", "World", "WorldSpec", "contact_sheet", "reconstruct"]
