"""Torch's thread count, kept from others who share its OpenMP pool."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def torch_threads_kept() -> Iterator[None]:
    """Give torch back its thread count: numba's parallel kernels set OpenMP's of the calling thread to their own."""
    count = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != count:
            torch.set_num_threads(count)
