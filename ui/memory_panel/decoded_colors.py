"""Decoded colours of tokens: each token looks itself up in the small picture of the frame that wrote it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.messages import StepSummary
from ui.history import StepHistory

if TYPE_CHECKING:
    from engine.memory.snapshot import MemorySnapshot


class DecodedColors:
    """Colour source of the cloud; see :data:`ui.memory_panel.cloud.Colors`."""

    def __init__(self, history: StepHistory) -> None:
        self.history = history

    def __call__(self, snapshot: MemorySnapshot, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Colours (n, 3) uint8 of tokens ``rows (n,)``, and where they are known; elsewhere a dimmed latent colour
        stands in.
        """
        colors = (snapshot.rgb[rows] // 2 + 48).astype(np.uint8)
        known = np.zeros(len(rows), bool)
        birth = snapshot.birth[rows]
        for node in np.unique(birth):
            step = self.history.by_node(int(node))
            if step is None:
                continue
            here = np.flatnonzero(birth == node)
            colors[here] = _sample(step, snapshot.positions[rows[here]])
            known[here] = True
        return colors, known


def _sample(step: StepSummary, positions: np.ndarray) -> np.ndarray:
    """(n, 3) uint8: the thumbnail's pixels where ``positions (n, 3)`` appear in it."""
    height, width = step.thumbnail.shape[:2]
    camera = step.camera.resized(width, height)
    seen = (positions.astype(np.float64) - camera.position) @ camera.c2w[:3, :3]
    depth = np.maximum(seen[:, 2], 1e-6)
    column = (camera.K[0, 0] * seen[:, 0] / depth + camera.K[0, 2]).astype(np.int64)
    line = (camera.K[1, 1] * seen[:, 1] / depth + camera.K[1, 2]).astype(np.int64)
    return step.thumbnail[np.clip(line, 0, height - 1), np.clip(column, 0, width - 1)]
