"""To the engine thread: one slot for the camera (latest wins), a queue for commands (none is lost), and flags to stop.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field

from engine.camera import Camera
from engine.messages import (
    Checkout,
    Command,
    Erase,
    OpenImage,
    OpenSession,
    OpenWorld,
    Pause,
    Redo,
    Reset,
    SetQuality,
    SetVariant,
    Undo,
)

INTERRUPTS: tuple[type, ...] = (
    OpenWorld,
    OpenImage,
    OpenSession,
    Undo,
    Redo,
    Checkout,
    Erase,
    Reset,
    SetQuality,
    SetVariant,
    Pause,
)
"""Commands that make the frame being generated moot."""


@dataclass(frozen=True, eq=False)
class Look:
    """A camera to generate for; ``at`` is ``time.perf_counter()`` of the request."""

    id: int
    camera: Camera
    moving: bool
    at: float = field(default_factory=time.perf_counter)


class Inbox:
    """Thread-safe. Ids of looks and commands come from one monotonic counter."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._look: Look | None = None
        self._commands: deque[tuple[int, Command]] = deque()
        self._last_id = 0
        self._cancels = 0
        self._barred = False
        self.stopping = False

    def look(self, camera: Camera, moving: bool) -> int:
        with self._condition:
            self._last_id += 1
            if not self._barred:
                self._look = Look(self._last_id, camera, moving)
                self._condition.notify_all()
            return self._last_id

    def put(self, command: Command) -> int:
        with self._condition:
            self._last_id += 1
            self._commands.append((self._last_id, command))
            self._condition.notify_all()
            return self._last_id

    def cancel(self) -> None:
        with self._condition:
            self._cancels += 1
            self._condition.notify_all()

    def stop(self) -> None:
        with self._condition:
            self.stopping = True
            self._condition.notify_all()

    @property
    def cancels(self) -> int:
        """How often :meth:`cancel` was called; work that started at another count is cancelled."""
        return self._cancels

    @property
    def newest_look(self) -> Look | None:
        """The look to generate for; it stays until a newer one comes."""
        return self._look

    def forget_look(self, look: Look) -> None:
        """Drop ``look`` (it was cancelled or failed), unless a newer one came."""
        with self._condition:
            if self._look is look:
                self._look = None

    def bar_looks(self) -> None:
        """The world or the place in it changed: looks meant the old one until the listener has taken the news."""
        with self._condition:
            self._look = None
            self._barred = True

    def admit_looks(self) -> None:
        """The listener has taken the news."""
        with self._condition:
            self._barred = False

    @property
    def interrupting(self) -> bool:
        """A queued command makes the running step moot."""
        with self._condition:
            return any(isinstance(command, INTERRUPTS) for _, command in self._commands)

    @property
    def has_commands(self) -> bool:
        return bool(self._commands)

    def next_command(self) -> tuple[int, Command] | None:
        with self._condition:
            return self._commands.popleft() if self._commands else None

    def wait(self, seen_look: int, timeout_s: float | None) -> None:
        """Sleep until there is a command, a look newer than ``seen_look``, a request to stop, or ``timeout_s`` has
        passed.
        """
        with self._condition:
            self._condition.wait_for(
                lambda: self.stopping or self._commands or (self._look is not None and self._look.id > seen_look),
                timeout_s,
            )
