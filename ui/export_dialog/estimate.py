"""How long a film will take, from how long frames have taken so far. No Qt here."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from engine.messages import STAGES, ExportJob, StepSummary

RECENT = 12
RECORDED_FRAME_S = 0.02
LAYOUT_COST: dict[str, float] = {"generated": 1.0, "side-by-side": 1.3, "with-memory": 1.1}


def frame_seconds(history: Sequence[StepSummary], job: ExportJob) -> float:
    """Seconds a frame of ``job``: the median of recent frames, scaled by steps, pixels and layout; ``nan`` without any
    to go by.
    """
    if job.source == "recorded":
        return RECORDED_FRAME_S
    recent = [step for step in history if step.timings_ms.get("imagine", 0.0) > 0][-RECENT:]
    if not recent:
        return math.nan
    costs = []
    for step in recent:
        steps = job.steps if job.steps is not None else step.steps
        imagine = step.timings_ms.get("imagine", 0.0) * (steps / step.steps if step.steps else 1.0)
        other = sum(step.timings_ms.get(stage, 0.0) for stage in STAGES if stage != "imagine")
        height, width = job.size if job.size is not None else step.camera.size
        costs.append((imagine + other) * (height * width) / (step.camera.height * step.camera.width))
    return float(np.median(costs)) / 1000.0 * LAYOUT_COST[job.layout]


def duration_text(seconds: float) -> str:
    """``45 s``, ``3 min 20 s``, ``1 h 5 min``; "" when unknown."""
    if not math.isfinite(seconds):
        return ""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
