"""Pictures beside the numbers: what every memory made of the same view, row by row a scene."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine import panels
from engine.atomic import atomic_write

TRUTH = "truth"
MAX_ROWS = 8
HOME = "loop end"
"""The last frame of the closed loop, back where it began."""


class Album:
    """Keeps pictures of measurements as PNG files, so that a resumed evaluation still has them all.

    Args:
        folder: made when the first picture comes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, scene: str, part: str, label: str) -> Path:
        """The file of one picture."""
        return self.folder / f"{scene}.{part}.{label.replace(' ', '').replace('%', 'pct')}.png"

    def keep(self, scene: str, part: str, label: str, image: np.ndarray) -> None:
        """Write ``image (H, W, 3)`` uint8."""
        from PIL import Image

        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.path(scene, part, label)) as temporary:
            Image.fromarray(np.ascontiguousarray(image)).save(temporary, format="PNG")

    def sheet(self, label: str, scenes: Sequence[str], parts: Sequence[str], target: Path) -> Path | None:
        """A sheet of the view ``label``: the truth, then every part; ``None`` without pictures."""
        from PIL import Image

        rows = []
        for scene in scenes:
            files = [self.path(scene, part, label) for part in parts]
            if all(file.exists() for file in files):
                pictures = [np.asarray(Image.open(file).convert("RGB")) for file in files]
                rows.append(np.concatenate([panels.label(p, name) for p, name in zip(pictures, parts)], axis=1))
            if len(rows) == MAX_ROWS:
                break
        if not rows:
            return None
        with atomic_write(target) as temporary:
            Image.fromarray(np.concatenate(rows, axis=0)).save(temporary, format="PNG")
        return target
