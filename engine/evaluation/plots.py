"""An evaluation as pictures. matplotlib through its Agg canvas: no window, no global state."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.atomic import atomic_write
from engine.evaluation.run import PICTURES, REFERENCE, Evaluation
from engine.evaluation.sheets import HOME, TRUTH, Album
from engine.evaluation.summary import Column, estimate, gap_labels, lookup, variants_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {
    "latent": "#0b7285",
    "latent-flat": "#4dabf7",
    "latent-nearest": "#e8590c",
    "append": "#5c940d",
    "rgb": "#862e9c",
    "rgb, append-all": "#c2255c",
    "none": "#868e96",
    REFERENCE: "#212529",
}


def new_figure(width: float, height: float) -> Figure:
    """An empty figure in inches, drawn by Agg."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> Path:
    """Write it, atomically."""
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=130)
    return path


def tidy(axes: Any, title: str, x: str, y: str) -> None:
    """Titles, a light grid, no box."""
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def draw(evaluation: Evaluation, folder: Path) -> list[Path]:
    """All plots that the measurements support."""
    written = [_novel_views(evaluation, folder), _closed_loop(evaluation, folder)]
    if drift := _drift(evaluation, folder):
        written.append(drift)
    album, names = Album(folder / PICTURES), [TRUTH, *variants_of(evaluation)]
    gaps = gap_labels(evaluation)
    for label, file in ((gaps[len(gaps) // 2] if gaps else "", "novel_views_sheet.png"), (HOME, "loop_end_sheet.png")):
        if sheet := album.sheet(label, list(evaluation.scenes), names, folder / file):
            written.append(sheet)
    return written


def _novel_views(evaluation: Evaluation, folder: Path) -> Path:
    gaps = gap_labels(evaluation)
    figure = new_figure(10.5, 3.4)
    panels = (
        ("PSNR of what was seen", "psnr_seen_db", "dB", 1.0),
        ("Holes in what was seen", "hole_rate", "% of cells", 100.0),
        ("Sharpness where nothing was seen", "sharpness_invented", "share of the true world's", 1.0),
    )
    for number, (title, key, unit, scale) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, 3, number)
        parts = [part for part in (*variants_of(evaluation), REFERENCE) if part in evaluation.measurements]
        for shift, part in enumerate(parts):
            columns = [Column("", ("novel", gap, key), 2, scale) for gap in gaps]
            found = [estimate(evaluation.measurements[part], column) for column in columns]
            if not any(value.n for value in found):
                continue
            x = np.arange(len(gaps)) + 0.06 * (shift - (len(parts) - 1) / 2)
            mean = np.array([value.mean for value in found])
            low, high = ([getattr(value, side) for value in found] for side in ("low", "high"))
            name = "autoencoder alone" if part == REFERENCE else part
            axes.errorbar(
                x,
                mean,
                yerr=np.abs(np.array([low, high]) - mean),
                marker="o",
                markersize=4,
                linewidth=1.4,
                capsize=2,
                color=COLOURS.get(part),
                label=name,
                linestyle=":" if part == REFERENCE else "-",
            )
        axes.set_xticks(range(len(gaps)), gaps)
        tidy(axes, title, "from the first view", unit)
        if number == 1:
            axes.legend(fontsize=7, frameon=False)
    return save_figure(figure, folder / "novel_views.png")


def _closed_loop(evaluation: Evaluation, folder: Path) -> Path:
    figure = new_figure(10.5, 3.4)
    names = variants_of(evaluation)
    for number, (title, path) in enumerate(
        (
            ("PSNR_C: second visit against first", ("loop", "psnr_c_db")),
            ("Way back against the true world", ("loop", "true_psnr_back_db")),
        ),
        start=1,
    ):
        axes = figure.add_subplot(1, 3, number)
        for x, name in enumerate(names):
            values = [lookup(figures, path) for figures in evaluation.measurements[name].values()]
            values = [value for value in values if value is not None]
            found = estimate(evaluation.measurements[name], Column("", path))
            if not found.n:
                continue
            axes.scatter(np.full(len(values), x), values, s=9, alpha=0.4, color=COLOURS.get(name))
            axes.errorbar(
                x + 0.18,
                found.mean,
                yerr=[[found.mean - found.low], [found.high - found.mean]],
                marker="D",
                markersize=5,
                capsize=3,
                color=COLOURS.get(name),
            )
        axes.set_xticks(range(len(names)), names, rotation=20, ha="right")
        tidy(axes, title, "", "dB")
    axes = figure.add_subplot(1, 3, 3)
    for name in names:
        curves = [lookup(figures, ("loop", "coverage")) for figures in evaluation.measurements[name].values()]
        curves = [curve for curve in curves if curve]
        length = min((len(curve) for curve in curves), default=0)
        if length:
            mean = np.array([curve[:length] for curve in curves], float).mean(axis=0)
            axes.plot(100.0 * mean, color=COLOURS.get(name), label=name, linewidth=1.4)
    tidy(axes, "Remembered share along the loop", "frame", "% of the view")
    axes.legend(fontsize=7, frameon=False)
    return save_figure(figure, folder / "closed_loop.png")


def _drift(evaluation: Evaluation, folder: Path) -> Path | None:
    flights = {
        name: [figures["drift"] for figures in evaluation.measurements[name].values() if "drift" in figures]
        for name in variants_of(evaluation)
    }
    flights = {name: found for name, found in flights.items() if found}
    if not flights:
        return None
    figure = new_figure(10.5, 3.2)
    panels = (
        ("Sharpness along a straight flight", "sharpness", "share of the true world's"),
        ("Colour", "colour_from_truth", "ΔE from the true world"),
        ("PSNR against the true world", "psnr_db", "dB"),
    )
    for number, (title, key, unit) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, 3, number)
        for name, found in flights.items():
            for index, flight in enumerate(found):
                axes.plot(
                    flight["frames"],
                    [np.nan if value is None else value for value in flight[key]],
                    color=COLOURS.get(name),
                    linewidth=1.2,
                    alpha=0.9 if index == 0 else 0.5,
                    label=name if index == 0 else None,
                )
        tidy(axes, title, "frame", unit)
        if number == 1:
            axes.legend(fontsize=7, frameon=False)
    return save_figure(figure, folder / "drift.png")
