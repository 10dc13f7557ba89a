"""Integrating the rectified flow. Pure functions; the state stays in float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor


def flow_times(steps: int) -> list[float]:
    """``steps + 1`` times from 0 (noise) to 1 (data), evenly spaced."""
    return [step / steps for step in range(steps + 1)]


def sample_flow(
    predict: Callable[[Tensor, float], Tensor],
    noise: Tensor,
    times: Sequence[float],
    between: Callable[[int], None] | None = None,
    known: Tensor | None = None,
) -> Tensor:
    """Euler steps along ``dx/dt = (data - x) / (1 - t)`` where ``predict(x, t)`` gives the data.

    Args:
        predict: (state, t) -> predicted data, same shape.
        noise: the state at ``times[0]``.
        times: increasing, the last is 1.
        between: called before every step with its index; may raise to stop.
        known: in [0, 1], broadcast over the state: where the memory knows, the first prediction stands, because every
            further step drifts from what is remembered; steps are for what must be invented.

    Returns:
        The state at time 1: the last prediction.
    """
    state, first = noise, None
    for step, (now, after) in enumerate(pairwise(times)):
        if between is not None:
            between(step)
        data = predict(state, now)
        first = data if first is None else first
        if known is not None:
            data = torch.lerp(data, first, known)
        state = state + (after - now) / (1.0 - now) * (data - state)
    return state
