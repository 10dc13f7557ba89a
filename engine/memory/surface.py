"""Telling slopes from depth edges, and what lies beside an edge, where a view's whole depth is still at hand."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter, uniform_filter

FLAT_RATIO = 0.05
"""Neighbouring samples whose inverse depths differ by less than this share are one surface whatever lies around."""
STEEP_RATIO = 1.0
"""Slopes steeper than this share per sample are treated as edges."""
CONTINUES = 0.4
"""A slope goes on: on both sides the step is at least this share of it. At a silhouette it is not."""
EDGE = 1.5
"""A token straddles an edge where its nearest sample is so many times nearer than another; that one is behind. It lies
beside one where a token next to it is so many times nearer."""
PLAIN = 0.3
"""What it shows of that stands out where a view varies less than so much of what it varies in all (variances)."""
NEAR_THING = 1.0 / 300.0
"""Inverse depth, 1/m: what is farther never moves away from what it stands before."""


def surfaces(inverse_depth: np.ndarray, s: int) -> tuple[np.ndarray, np.ndarray]:
    """How near (1/m) the cells of a view are, and which show one surface alone; both (h, w), of ``inverse_depth (h*s,
    w*s)``."""
    samples = inverse_depth.reshape(inverse_depth.shape[0] // s, s, -1, s)
    nearest, farthest = samples.max(axis=(1, 3)), samples.min(axis=(1, 3))
    return nearest, nearest <= EDGE * farthest


def rims(
    latents: np.ndarray, inverse_depth: np.ndarray, s: int, fineness: int = 1, guessed: np.ndarray | None = None
) -> np.ndarray:
    """Tokens that show a little of something much nearer beside them, where that stands out or was only ``guessed (h,
    w)``: (h, w) bool from ``latents (C, h, w)`` and ``inverse_depth (h*s, w*s)``, NaN unknown."""
    nearest, clean = surfaces(np.nan_to_num(inverse_depth), s)
    shows = spoiled(latents, nearest, clean, fineness)
    return shows if guessed is None else shows | (guessed & _beside(nearest, clean))


def spoiled(latents: np.ndarray, nearest: np.ndarray, clean: np.ndarray, fineness: int = 1) -> np.ndarray:
    """:func:`rims`, by how near (1/m) cells are and which are ``clean``, of one surface, (h, w) each; there are
    ``fineness`` cells for one of a frame, a side."""
    nearest = np.nan_to_num(nearest)
    beside = _beside(nearest, clean)
    if not beside.any():
        return np.asarray(beside)
    side = 4 * fineness + 1
    background = np.maximum(minimum_filter(nearest, side, mode="nearest"), NEAR_THING)
    fair = clean & ~beside & (nearest <= EDGE * background)
    weight = uniform_filter(fair.astype(np.float32), side).clip(min=1e-6)
    mean, square = (uniform_filter(values * fair, (0, side, side)) / weight for values in (latents, np.square(latents)))
    varies = (square - np.square(mean)).sum(axis=0)
    return np.asarray(beside & (varies < PLAIN * latents.var(axis=(1, 2)).sum()))


def _beside(nearest: np.ndarray, clean: np.ndarray) -> np.ndarray:
    around = maximum_filter(nearest, 3, mode="nearest")
    return np.asarray((around > EDGE * nearest) & (around > NEAR_THING) & clean)


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
