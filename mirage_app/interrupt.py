"""Ctrl-C: the first one asks the running work to stop at its next safe point, the second one stops it at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol


class Cancellable(Protocol):
    """What can be asked to stop."""

    def cancel(self) -> None: ...


@contextmanager
def cancel_on_ctrl_c(token: Cancellable) -> Iterator[None]:
    """Within the block SIGINT and SIGTERM cancel ``token``; a second one raises :class:`KeyboardInterrupt` at once."""
    if threading.current_thread() is not threading.main_thread():  # Python delivers signals to the main thread alone
        yield
        return
    asked = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        token.cancel()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
