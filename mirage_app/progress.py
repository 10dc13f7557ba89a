"""The progress bar of a flight: frames, milliseconds a frame, time left."""

from __future__ import annotations

import sys
from collections import deque
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

RECENT_FRAMES = 24


class FlightProgress:
    """A context manager around a rich bar on stderr; where that is no terminal, a line every tenth of the way."""

    def __init__(self, total: int, label: str) -> None:
        self._total = total
        self._label = label
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[pace]}"),
            TimeRemainingColumn(compact=True),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(label, total=total, pace="")
        self._ends: deque[float] = deque(maxlen=RECENT_FRAMES)
        self._done = 0
        self._tenth = 0

    def __enter__(self) -> FlightProgress:
        self._bar.start()
        self._ends.append(monotonic())
        return self

    def __exit__(self, *exc: object) -> None:
        self._bar.stop()

    @property
    def pace_ms(self) -> float:
        """Milliseconds a frame over the last frames."""
        if len(self._ends) < 2:
            return 0.0
        return 1000.0 * (self._ends[-1] - self._ends[0]) / (len(self._ends) - 1)

    def advance(self) -> None:
        """One frame more is done."""
        self._done += 1
        self._ends.append(monotonic())
        self._bar.update(self._task, advance=1, pace=f"{self.pace_ms:.0f} ms a frame")
        tenth = 10 * self._done // self._total
        if not self._console.is_terminal and tenth > self._tenth:
            self._tenth = tenth
            left_s = (self._total - self._done) * self.pace_ms / 1000.0
            pace = f"{self.pace_ms:.0f} ms a frame, {left_s:.0f} s left"
            sys.stderr.write(f"{self._label}: {self._done} of {self._total} frames, {pace}\n")
            sys.stderr.flush()
