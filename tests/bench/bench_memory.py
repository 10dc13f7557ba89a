"""Timings of the memory alone: ``python tests/bench/bench_memory.py``. ``mirage bench`` reports the same figures."""

from __future__ import annotations

import sys

from engine.evaluation.bench.memory import measure


def main() -> None:
    """Print the table."""
    for timing in measure():
        target = f"  (target {timing.target_ms:g})" if timing.target_ms is not None else ""
        sys.stdout.write(f"{timing.name:60s} {timing.median_ms:8.2f} ms  p95 {timing.p95_ms:8.2f}{target}\n")


if __name__ == "__main__":
    main()
