"""Timings of the memory alone, as medians: ``python tests/bench/bench_memory.py``. ``mirage bench`` prints the same
figures among others.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.evaluation.bench.memory import measure


def main() -> None:
    """Print the table."""
    for timing in measure():
        target = f"  (target {timing.target_ms:g})" if timing.target_ms is not None else ""
        print(f"{timing.name:60s} {timing.median_ms:8.2f} ms  p95 {timing.p95_ms:8.2f}{target}")  # noqa: T201


if __name__ == "__main__":
    main()
