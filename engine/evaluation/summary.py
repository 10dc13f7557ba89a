"""From measurements to means with intervals: what the tables, the plots and ``results.json`` share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from engine.evaluation.protocol import Figures
from engine.evaluation.run import ABLATIONS, REFERENCE, Evaluation
from engine.evaluation.statistics import Estimate, bootstrap, paired_difference


@dataclass(frozen=True)
class Column:
    """A figure of a table: its heading, where it lies in the measurements, decimals, and what it is multiplied with."""

    title: str
    path: tuple[str, ...]
    decimals: int = 2
    scale: float = 1.0


def novel_columns(gap: str) -> list[Column]:
    """Figures of a novel view at one gap."""
    at = ("novel", gap)
    return [
        Column("PSNR seen, dB", (*at, "psnr_seen_db")),
        Column("SSIM seen", (*at, "ssim_seen"), 3),
        Column("PSNR whole, dB", (*at, "psnr_db")),
        Column("SSIM whole", (*at, "ssim"), 3),
        Column("readout alone, dB", (*at, "readout_psnr_db")),
        Column("covered, %", (*at, "coverage"), 1, 100.0),
        Column("holes in what was seen, %", (*at, "hole_rate"), 1, 100.0),
        Column("sharpness seen", (*at, "sharpness_seen")),
        Column("sharpness invented", (*at, "sharpness_invented")),
        Column("depth AbsRel", (*at, "depth_abs_rel"), 3),
        Column("sky IoU", (*at, "sky_iou"), 3),
    ]


LOOP = [
    Column("PSNR_C, dB", ("loop", "psnr_c_db")),
    Column("SSIM_C", ("loop", "ssim_c"), 3),
    Column("last against given first, dB", ("loop", "psnr_c_first_db")),
    Column("against truth on the way back, dB", ("loop", "true_psnr_back_db")),
    Column("sharpness back", ("loop", "sharpness")),
    Column("covered out, %", ("loop", "coverage_out"), 1, 100.0),
    Column("covered back, %", ("loop", "coverage_back"), 1, 100.0),
    Column("growth on the way back, %", ("loop", "growth_after_return"), 2, 100.0),
    Column("memory, MiB", ("loop", "mib")),
    Column("colour change, ΔE", ("loop", "colour_drift")),
    Column("flicker, grey levels", ("loop", "flicker")),
]
POSE = [
    Column("rotation, deg", ("loop", "pose", "rotation_deg"), 3),
    Column("translation, m", ("loop", "pose", "translation_m"), 3),
    Column("translation, % of the way", ("loop", "pose", "translation_share"), 2, 100.0),
]
DRIFT = [
    Column("sharpness, change first to last tenth, %", ("drift", "sharpness_change"), 1, 100.0),
    Column("colour drift, ΔE", ("drift", "colour_drift")),
    Column("hangs in the air, %", ("drift", "hanging"), 2, 100.0),
    Column("in the true world, %", ("drift", "true_hanging"), 2, 100.0),
    Column("own sharpness, octaves", ("drift", "sharpness_octaves")),
    Column("the true world's, octaves", ("drift", "true_sharpness_octaves")),
    Column("own colour, ΔE", ("drift", "colour_change")),
    Column("the true world's, ΔE", ("drift", "true_colour_change")),
]


def lookup(figures: Figures, path: Sequence[str]) -> Any:
    """The value at a path of keys, ``None`` where it does not exist."""
    found: Any = figures
    for key in path:
        if not isinstance(found, dict) or key not in found:
            return None
        found = found[key]
    return found


def estimate(measurements: dict[str, Figures], column: Column) -> Estimate:
    """A column over scenes, scaled."""
    values = [lookup(figures, column.path) for figures in measurements.values()]
    return bootstrap([None if value is None else column.scale * float(value) for value in values])


def gap_labels(evaluation: Evaluation) -> list[str]:
    """The novel views' labels, nearest first."""
    for part in evaluation.measurements.values():
        for figures in part.values():
            if "novel" in figures:
                return list(figures["novel"])
    return []


def variants_of(evaluation: Evaluation) -> list[str]:
    """The measured variants, in the order of the settings."""
    return [part for part in evaluation.measurements if part not in (REFERENCE, ABLATIONS)]


def pose_counts(measurements: dict[str, Figures]) -> tuple[int, int]:
    """Frames whose pose was tried, and those that gave none."""
    found = [lookup(figures, ("loop", "pose")) or lookup(figures, ("pose",)) for figures in measurements.values()]
    return sum(p["tried"] for p in found if p), sum(p["failed"] for p in found if p)


def against_latent(evaluation: Evaluation, column: Column) -> dict[str, Estimate]:
    """``latent - other`` scene by scene: the paired difference says more than two overlapping intervals."""
    ours = evaluation.measurements.get("latent")
    if ours is None:
        return {}
    found = {}
    for variant in variants_of(evaluation):
        if variant == "latent":
            continue
        theirs = evaluation.measurements[variant]
        scenes = [scene for scene in ours if scene in theirs]
        found[variant] = paired_difference(
            [lookup(ours[scene], column.path) for scene in scenes],
            [lookup(theirs[scene], column.path) for scene in scenes],
        )
    return found


def summarise(evaluation: Evaluation) -> dict[str, Any]:
    """Every estimate by table, variant and column, as plain data."""
    tables: dict[str, Any] = {}
    for gap in gap_labels(evaluation):
        tables[f"novel views, {gap}"] = _table(evaluation, novel_columns(gap), with_reference=True)
    tables["closed loop"] = _table(evaluation, LOOP)
    tables["pose"] = _table(evaluation, POSE)
    tables["drift"] = _table(evaluation, DRIFT)
    return {
        "about": evaluation.about,
        "scenes": evaluation.scenes,
        "tables": tables,
        "measurements": evaluation.measurements,
    }


def _table(evaluation: Evaluation, columns: list[Column], *, with_reference: bool = False) -> dict[str, Any]:
    parts = variants_of(evaluation) + ([REFERENCE] if with_reference and REFERENCE in evaluation.measurements else [])
    rows = {}
    for part in parts:
        found = {column.title: estimate(evaluation.measurements[part], column) for column in columns}
        rows["autoencoder alone" if part == REFERENCE else part] = {
            title: asdict(value) for title, value in found.items() if value.n
        }
    return rows
