"""An evaluation as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.atomic import atomic_write
from engine.evaluation.run import ABLATIONS, REFERENCE, Evaluation
from engine.evaluation.statistics import Estimate
from engine.evaluation.summary import (
    DRIFT,
    LOOP,
    POSE,
    Column,
    against_latent,
    estimate,
    gap_labels,
    lookup,
    novel_columns,
    pose_counts,
    variants_of,
)

CLAIM = """\
LPIPS is not reported: its weights are not part of Mirage, and a figure under that name from other weights would be
wrong.
True views are rendered softly (a filter of about a pixel): PSNR and SSIM here compare variants with each other and do
not
compare with figures measured on photographs."""


def cell(value: Estimate, decimals: int) -> str:
    """``mean [low, high]``, the interval left out for a single scene."""
    if not value.n:
        return "–"
    if value.n == 1:
        return f"{value.mean:.{decimals}f}"
    return f"{value.mean:.{decimals}f} [{value.low:.{decimals}f}, {value.high:.{decimals}f}]"


def markdown_table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; columns without any value are left out."""
    keep = [i for i in range(len(heads)) if i == 0 or any(row[i] not in ("–", "") for row in rows)]
    lines = ["| " + " | ".join(heads[i] for i in keep) + " |", "|" + "---|" * len(keep)]
    lines += ["| " + " | ".join(row[i] for i in keep) + " |" for row in rows]
    return "\n".join(lines)


def headline_columns(gaps: list[str]) -> list[Column]:
    """The few figures that say most: fidelity where the memory must know, loop closure, truth, price."""
    middle = gaps[len(gaps) // 2]
    return [
        Column(f"PSNR seen at {middle}, dB", ("novel", middle, "psnr_seen_db")),
        Column(f"holes at {middle}, %", ("novel", middle, "hole_rate"), 1, 100.0),
        *(LOOP[n] for n in (0, 1, 3)),
        Column("memory, MiB", ("loop", "mib")),
    ]


def _rows(evaluation: Evaluation, columns: list[Column], parts: list[str]) -> str:
    rows = []
    for part in parts:
        name = "autoencoder alone" if part == REFERENCE else part
        measured = evaluation.measurements[part]
        rows.append([name] + [cell(estimate(measured, column), column.decimals) for column in columns])
    return markdown_table(["memory"] + [column.title for column in columns], rows)


def evaluation_markdown(evaluation: Evaluation, command: str) -> str:
    """The whole report."""
    about, scenes = evaluation.about, evaluation.scenes
    settings, machine = about["settings"], about["machine"]
    height, width = settings["size"]
    what = "recorded clips" if about["recordings"] else "unseen procedural worlds"
    parts = [
        "# Evaluation",
        f"`{command}`: {len(scenes)} {what} at {height}x{width}, {settings['steps']} denoising steps, model "
        f"{about['model']} "
        f"(SHA-256 {about['model_checksum'][:16]}), on {machine['cpu']} ({machine['cores']} cores, "
        f"{machine['device']}).",
        "Means over scenes with 95 % bootstrap intervals. *Seen* is what the first view truly saw, by exact "
        "visibility, the "
        "same mask for every memory. What each figure means: `docs/measuring.md`.",
        CLAIM,
    ]
    measured = variants_of(evaluation)
    parts += ["## In short", _rows(evaluation, headline_columns(gap_labels(evaluation)), measured)]
    with_reference = measured + ([REFERENCE] if REFERENCE in evaluation.measurements else [])
    gaps = gap_labels(evaluation)
    for gap in gaps:
        parts += [f"## Novel views, {gap} from the first view", _rows(evaluation, novel_columns(gap), with_reference)]
        parts.append(_paired(evaluation, Column("PSNR seen", ("novel", gap, "psnr_seen_db"))))
    parts += ["## Closed loop: leave, return, compare with the first visit", _rows(evaluation, LOOP, measured)]
    parts.append(_paired(evaluation, Column("PSNR_C", ("loop", "psnr_c_db"))))
    parts += _pose(evaluation, measured)
    drift = [part for part in measured if any("drift" in figures for figures in evaluation.measurements[part].values())]
    if drift:
        frames = settings["drift_frames"]
        parts += [f"## Drift over {frames} frames straight ahead", _rows(evaluation, DRIFT, drift)]
    if ABLATIONS in evaluation.measurements:
        parts += _ablations(evaluation, gaps)
    parts += _losses(evaluation, gaps)
    parts += ["## Scenes", _scenes(scenes)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _paired(evaluation: Evaluation, column: Column) -> str:
    """The paired differences as a sentence."""
    found = {name: value for name, value in against_latent(evaluation, column).items() if value.n}
    if not found:
        return ""
    words = [f"{name} {cell(value, 2)}" for name, value in found.items()]
    return f"{column.title} of `latent` minus, scene by scene, in dB: {'; '.join(words)}."


def _pose(evaluation: Evaluation, measured: list[str]) -> list[str]:
    rows = []
    for part in [*measured, REFERENCE]:
        figures = evaluation.measurements.get(part, {})
        tried, failed = pose_counts(figures)
        if not tried:
            continue
        strip = 1 if part == REFERENCE else 0
        columns = [Column(c.title, c.path[strip:], c.decimals, c.scale) for c in POSE]
        name = "the true frames (the method's own error)" if part == REFERENCE else part
        rows.append([name, f"{failed} of {tried}"] + [cell(estimate(figures, c), c.decimals) for c in columns])
    if not rows:
        return []
    heads = ["memory", "frames without a pose"] + [column.title for column in POSE]
    return ["## Is the camera where it was asked to be?", markdown_table(heads, rows)]


TURNED = (
    Column("sharpness", ("turned", "sharpness_new")),
    Column("colour from the true world's, ΔE", ("turned", "colour_new"), 1),
)
_TITLES = {
    "readout": "readout",
    "steps": "denoising steps",
    "sky": "sky",
    "invention": "what is new comes",
    "detail": "what is imagined is",
    "downsampling": "how depth came to the token grid",
}
_ABLATION_COLUMNS = (
    ("readout alone, dB", "readout_psnr_db", 2, 1.0),
    ("generated PSNR seen, dB", "psnr_seen_db", 2, 1.0),
    ("generated PSNR whole, dB", "psnr_db", 2, 1.0),
    ("sharpness seen", "sharpness_seen", 2, 1.0),
    ("sharpness invented", "sharpness_invented", 2, 1.0),
    ("holes in what was seen, %", "hole_rate", 1, 100.0),
    ("holes in the whole view, %", "hole_rate_all", 1, 100.0),
)


def _ablations(evaluation: Evaluation, gaps: list[str]) -> list[str]:
    measured = evaluation.measurements[ABLATIONS]
    first: dict[str, Any] = next(iter(measured.values()))
    parts = [
        "## Ablations",
        f"On {len(measured)} of the scenes; memory of the first view alone. 4x4 geometry and a denoiser that is "
        "told the offsets "
        "of copied tokens need other weights than the shipped ones and are not shown. The write policy is the "
        "row `append` above.",
    ]
    for name in first:
        if name not in _TITLES:
            continue
        for gap in gaps:
            columns = [Column(title, (gap, key), d, s) for title, key, d, s in _ABLATION_COLUMNS]
            parts += [f"### {_TITLES[name].capitalize()}, {gap}", _ablation(measured, name, columns)]
        if name in ("sky", "invention", "detail"):
            parts += [f"### {_TITLES[name].capitalize()}, closed loop", _ablation(measured, name, LOOP)]
        if name == "invention":
            parts += ["### Turned away until all of the picture is new", _ablation(measured, name, TURNED)]
    return parts


def _ablation(measured: dict[str, dict[str, Any]], name: str, columns: Sequence[Column]) -> str:
    """One ablation's rows under some columns."""
    lines = []
    for row in next(iter(measured.values()))[name]:
        here = {scene: lookup(figures, (name, row)) or {} for scene, figures in measured.items()}
        lines.append([row] + [cell(estimate(here, c), c.decimals) for c in columns])
    return markdown_table([_TITLES[name], *(c.title for c in columns)], lines)


def _losses(evaluation: Evaluation, gaps: list[str]) -> list[str]:
    """Where the default memory is not the best, said by the table itself."""
    if "latent" not in evaluation.measurements or len(variants_of(evaluation)) < 2:
        return []
    checks = [(f"PSNR seen at {gap}", Column("", ("novel", gap, "psnr_seen_db")), 1.0) for gap in gaps]
    checks += [
        ("PSNR_C", Column("", ("loop", "psnr_c_db")), 1.0),
        ("truth on the way back", Column("", ("loop", "true_psnr_back_db")), 1.0),
        ("flicker", Column("", ("loop", "flicker")), -1.0),
    ]
    lines = []
    for title, column, sign in checks:
        for variant, value in against_latent(evaluation, column).items():
            if value.n and sign * value.mean < 0.0:
                sure = value.n > 1 and (value.high < 0.0 if sign > 0 else value.low > 0.0)
                lines.append(
                    f"- {title}: behind `{variant}` by {abs(value.mean):.2f} {cell(value, 2)}"
                    + ("" if sure else " (within the interval's reach of zero)")
                )
    return ["## Where `latent` loses", "\n".join(lines) if lines else "In none of the figures above."]


def _scenes(scenes: dict[str, dict[str, Any]]) -> str:
    keys = list(dict.fromkeys(key for identity in scenes.values() for key in identity))
    rows = [[name, *(_text(identity.get(key)) for key in keys)] for name, identity in scenes.items()]
    return markdown_table(["scene", *keys], rows)


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, (float, np.floating)) else str(value)


def write_markdown(text: str, path: Path) -> None:
    """Write the report, atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
