"""What makes steps reproducible, sizes legal and stages timed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from engine.errors import InputError


def step_generator(seed: int, index: int) -> torch.Generator:
    """The CPU generator of step ``index`` in a world of that ``seed``."""
    digest = hashlib.blake2b(f"mirage step {seed} {index}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


def check_size(size: tuple[int, int], stride: int) -> None:
    """Raise :class:`InputError` unless ``size`` (height, width) is made of multiples of ``stride``; the sentence says
    the nearest that are.
    """
    height, width = size
    if height % stride or width % stride or min(size) < 4 * stride:
        nearest = [max(4 * stride, round(side / stride) * stride) for side in size]
        raise InputError(
            f"Frame sizes must be multiples of {stride} of at least {4 * stride}; {height}x{width} is not, "
            f"{nearest[0]}x{nearest[1]} is the nearest."
        )


@contextmanager
def timed(timings: dict[str, float], device: torch.device, stage: str) -> Iterator[None]:
    """Add the milliseconds of a stage to ``timings``; on CUDA the device is waited for, so that a stage is charged with
    its own work."""
    started = time.perf_counter()
    yield
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    timings[stage] = timings.get(stage, 0.0) + 1000.0 * (time.perf_counter() - started)
