"""How often the window is put together anew where OpenGL runs on the processor.

Whatever changes in a window that holds OpenGL, be it a label, makes Qt draw all of it through OpenGL. On a GPU that is
nothing; in software it takes the time that the model needs, so changes are gathered there.
"""

from __future__ import annotations

import math
import time

from PyQt6.QtCore import QCoreApplication, QEvent, QObject, Qt, QTimer
from PyQt6.QtWidgets import QWidget

SOFTWARE_PACE_S = 1.0 / 20.0
"""Pictures of the window follow each other no sooner: enough for the eye, and the model keeps most of the machine."""


class WindowPace(QObject):
    """Holds back a window's requests to be drawn, as an event filter of it, until they are due.

    Attributes:
        pace_s: seconds between two pictures; 0 lets every request through at once.
    """

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self.pace_s = 0.0
        self._window = window
        self._drawn_at = -math.inf
        self._due = QTimer(self)
        self._due.setSingleShot(True)
        self._due.setTimerType(Qt.TimerType.PreciseTimer)
        self._due.timeout.connect(self._ask)
        window.installEventFilter(self)

    def _ask(self) -> None:
        QCoreApplication.postEvent(self._window, QEvent(QEvent.Type.UpdateRequest))

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Qt's hook."""
        if event is None or event.type() != QEvent.Type.UpdateRequest or self.pace_s == 0.0:
            return False
        now = time.perf_counter()
        wait_s = self._drawn_at + self.pace_s - now
        if wait_s > 0.0:
            if not self._due.isActive():
                self._due.start(math.ceil(1000.0 * wait_s))
            return True
        self._due.stop()
        self._drawn_at = now
        return False
