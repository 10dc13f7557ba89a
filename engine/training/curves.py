"""Curves and sample sheets as PNG."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.atomic import atomic_write


def draw_curves(metrics: Path, target: Path) -> None:
    """Plot every figure of a metrics file over training minutes. Needs matplotlib; without it the numbers stay in the
    file."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return
    series: dict[str, list[tuple[float, float]]] = {}
    for line in metrics.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        for name, value in row.items():
            if name not in ("step", "minutes", "seconds_per_step"):
                series.setdefault(name, []).append((row["minutes"], value))
    columns = min(3, len(series))
    rows = -(-len(series) // columns)
    figure = Figure(figsize=(4.2 * columns, 2.6 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for index, (name, points) in enumerate(series.items(), start=1):
        axes = figure.add_subplot(rows, columns, index)
        axes.plot(*np.array(points).T, marker="." if len(points) < 40 else "", linewidth=1.2)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("minutes", fontsize=8)
        axes.grid(alpha=0.25)
    with atomic_write(target) as temporary:
        figure.savefig(temporary, dpi=110)


def write_sheet(columns: list[Tensor], target: Path) -> None:
    """Write image columns side by side: each (N, 3, H, W) in [0, 1], rows are examples."""
    from PIL import Image

    grid = torch.cat([torch.cat(list(column.float().cpu()), dim=1) for column in columns], dim=2)
    pixels = (grid.clamp(0, 1) * 255 + 0.5).to(torch.uint8).permute(1, 2, 0).numpy()
    with atomic_write(target) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")
