"""Telling slopes from depth edges, where a view's whole depth is still at hand."""

from __future__ import annotations

import numpy as np

FLAT_RATIO = 0.05
"""Neighbouring samples whose inverse depths differ by less than this share are one surface whatever lies around."""
STEEP_RATIO = 1.0
"""Slopes steeper than this share per sample are treated as edges."""
CONTINUES = 0.4
"""A slope goes on: on both sides the step is at least this share of it. At a silhouette it is not."""


def planar_tokens(inverse_depth: np.ndarray, s: int) -> np.ndarray:
    """Tokens that one plane in inverse depth describes: (h, w) bool from ``inverse_depth (h*s, w*s)``, NaN unknown.

    The others straddle a depth edge, and their samples must be treated one by one.
    """
    if s == 1:
        return np.ones(inverse_depth.shape, np.bool_)
    q = np.asarray(inverse_depth, np.float32)
    across = _steps_continue(q, s)
    down = _steps_continue(np.ascontiguousarray(q.T), s).T
    h, w = q.shape[0] // s, q.shape[1] // s
    return np.logical_and(across.reshape(h, s, w).all(axis=1), down.reshape(h, w, s).all(axis=2))


def _steps_continue(q: np.ndarray, s: int) -> np.ndarray:
    """(hs, w) bool: along every line, all steps inside each token are gentle, or steps of a slope that goes on beside
    it."""
    with np.errstate(invalid="ignore"):
        step = np.diff(q, axis=1)
        size = np.abs(step)
        low = np.minimum(q[:, 1:], q[:, :-1])
        gentle = size <= FLAT_RATIO * low
        # Beyond the frame, and where depth is unknown, a slope gets the benefit of the doubt.
        before = np.full_like(step, np.nan)
        after = np.full_like(step, np.nan)
        before[:, 1:] = step[:, :-1] * np.sign(step[:, 1:])
        after[:, :-1] = step[:, 1:] * np.sign(step[:, :-1])
        broken = (before < CONTINUES * size) | (after < CONTINUES * size)
        slope = (size <= STEEP_RATIO * low) & ~broken
    good = np.concatenate([gentle | slope, np.ones((q.shape[0], 1), np.bool_)], axis=1)
    inside = good.reshape(q.shape[0], -1, s)[:, :, : s - 1]
    return np.asarray(inside.all(axis=2))
