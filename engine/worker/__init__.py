"""The engine thread: one thread owns the model and the world; everything else talks to it through messages.

Importing this package loads neither torch nor the model; the thread does, once started.
"""

from __future__ import annotations

from engine.worker.facade import EngineWorker

__all__ = ["EngineWorker"]
