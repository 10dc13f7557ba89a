"""From the engine thread to whoever draws: newest frame wins, summaries and replies are kept, one signal until it is
heard.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from engine.messages import ExportProgress, Notice, StepSummary, Update, WorkerState

log = logging.getLogger(__name__)


class Outbox:
    """Collects an :class:`Update`.

    Any thread may publish or take; ``on_change`` is called outside the lock, by the publisher.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._lock = threading.Lock()
        self._update = Update(WorkerState.WARMING)
        self._signalled = False
        self._news = False

    @property
    def state(self) -> WorkerState:
        return self._update.state

    def publish(
        self,
        *,
        steps: tuple[StepSummary, ...] = (),
        export: ExportProgress | None = None,
        reply: tuple[int, Any] | None = None,
        notice: Notice | None = None,
        news: bool = False,
        **latest: Any,
    ) -> None:
        """Add to the update: ``latest`` fields (frame, state, tree, ...) replace what was not yet taken; the named ones
        accumulate.
        """
        with self._lock:
            update = self._update
            exports = {progress.id: progress for progress in update.exports}
            if export is not None:
                exports[export.id] = export
            replies = update.replies if reply is None else {**update.replies, reply[0]: reply[1]}
            notices = update.notices if notice is None else (*update.notices, notice)
            self._update = replace(
                update,
                steps=update.steps + steps,
                exports=tuple(exports.values()),
                replies=replies,
                notices=notices,
                **latest,
            )
            signal = not self._signalled
            self._signalled = True
            self._news |= news
        if signal:
            try:
                self._on_change()
            except Exception:  # a listener's fault must not take the engine down
                log.exception("on_change failed")

    def forget_world(self) -> None:
        """Another world takes this one's place: what was said of the old one and not yet taken would mislead."""
        with self._lock:
            self._update = replace(
                self._update, frame=None, steps=(), compare=None, snapshot=None, stats=None, tree=None, world=None
            )

    def take(self) -> tuple[Update, bool]:
        """Everything since the last call, and whether it holds news about where we are.

        The next publish signals again.
        """
        with self._lock:
            update, self._update = self._update, Update(self._update.state)
            news, self._news, self._signalled = self._news, False, False
        return update, news
