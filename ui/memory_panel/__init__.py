"""The memory in 3D: every token a point, with the flight, the view and what can be done to a region."""

from __future__ import annotations

from ui.memory_panel.panel import MemoryPanel

__all__ = ["MemoryPanel"]
