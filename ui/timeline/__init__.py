"""The timeline: what was flown, what will be flown, and the tree of worlds they make."""

from __future__ import annotations

from ui.timeline.timeline import Timeline

__all__ = ["Timeline"]
