"""The second view: what the memory knew beside what was generated, and where each pixel came from."""

from __future__ import annotations

from ui.compare.view import CompareView

__all__ = ["CompareView"]
