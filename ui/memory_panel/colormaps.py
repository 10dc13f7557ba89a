"""Colour maps of the panels: a few anchors each, interpolated to 256 entries; dark means old, small or rare, bright
means the opposite.
"""

from __future__ import annotations

import numpy as np

_ANCHORS: dict[str, tuple[str, ...]] = {
    "age": ("#ffe9a8", "#ffb45c", "#e0607e", "#8a4fc4", "#3d4a9e", "#26335f"),
    "footprint": ("#f4fbc8", "#a8e39a", "#3fc3a4", "#2389a8", "#2b4f92", "#2c2560"),
    "reads": ("#27305a", "#2f5fa8", "#2fa6b8", "#7fd99a", "#f3ef9f", "#ffffff"),
}


def colormap(name: str) -> np.ndarray:
    """(256, 3) uint8 of ``age``, ``footprint`` or ``reads``."""
    anchors = np.array([[int(code[i : i + 2], 16) for i in (1, 3, 5)] for code in _ANCHORS[name]], float)
    at = np.linspace(0, len(anchors) - 1, 256)
    channels = [np.interp(at, np.arange(len(anchors)), anchors[:, c]) for c in range(3)]
    return np.stack(channels, axis=1).round().astype(np.uint8)


def colorize(name: str, values: np.ndarray) -> np.ndarray:
    """``values (...)`` in [0, 1] -> ``(..., 3)`` uint8."""
    index = np.clip(np.nan_to_num(values) * 255.0, 0, 255).astype(np.uint8)
    return colormap(name)[index]
