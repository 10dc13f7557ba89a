"""Torch's thread count, and work in parts on as many threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

MOST_THREADS = 8
"""More would have too little each."""

_pool: tuple[int, ThreadPoolExecutor] | None = None


@contextmanager
def torch_threads_kept() -> Iterator[None]:
    """Give torch back its thread count: numba's parallel kernels set OpenMP's of the calling thread to their own."""
    count = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != count:
            torch.set_num_threads(count)


def thread_count() -> int:
    """Threads to work on."""
    return max(1, min(torch.get_num_threads(), MOST_THREADS))


def in_parts(total: int, threads: int, work: Callable[[int, int, int], None]) -> None:
    """Call ``work(part, first, last)`` over a split of ``range(total)``, by ``threads`` that stay for the next call; a
    pool is made anew after a fork."""
    global _pool
    if threads == 1:
        work(0, 0, total)
        return
    if _pool is None or _pool[0] != os.getpid():
        _pool = os.getpid(), ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="mirage-parts")
    bounds = [total * part // threads for part in range(threads + 1)]
    futures = [_pool[1].submit(work, part, bounds[part], bounds[part + 1]) for part in range(1, threads)]
    work(0, bounds[0], bounds[1])
    for future in futures:
        future.result()


def inferred_apart(total: int, work: Callable[[int, int], None], most: int = MOST_THREADS) -> None:
    """Call ``work(first, last)`` over a split of ``range(total)`` into ``most`` parts, each in a thread that does all
    of it by itself, in inference.

    Where torch splits every layer among threads instead, each reads what others have just written, and waits for them.
    """

    def alone(_: int, first: int, last: int) -> None:
        torch.set_num_threads(1)
        with torch.inference_mode():
            work(first, last)

    with torch_threads_kept():
        in_parts(total, max(1, min(total, most, thread_count())), alone)
