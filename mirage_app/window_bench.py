"""``mirage bench --ui``: the real window, a real engine, a scripted user; how smooth is it?

The user looks around without pause. A heartbeat on the GUI thread shows every stall; the rest is counted at the
widgets.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from engine.errors import MirageError
from engine.evaluation.bench.run import write_json
from engine.evaluation.tables import markdown_table, write_markdown
from engine.messages import FrameUpdate, OpenWorld
from mirage_app.commands.bench import Bench
from mirage_app.config import cache_dir, has_display

if TYPE_CHECKING:
    from ui.main_window import MainWindow

HEARTBEAT_MS = 5
LOOK_MS = 16
STALL_MS = 50.0
WARM_S = 2.0
GIVE_UP_S = 180.0


@dataclass(frozen=True)
class WindowFigures:
    """How the window felt.

    Attributes:
        first_paint_s, first_frame_s: from the process's start to the first painted window, and to the first frame of
            the world.
        generated_fps, painted_fps: frames of the model, and of the live view (which reprojects in between), a second.
        heartbeat_p99_ms, heartbeat_max_ms: gaps of a timer of 5 ms on the GUI thread. stalls: gaps beyond 50 ms.
        input_to_photon_ms: median from the look that asked for a frame to that frame. peak_rss_mib: of the process.
        renderer: of OpenGL. seconds: of measuring.
    """

    first_paint_s: float
    first_frame_s: float
    generated_fps: float
    painted_fps: float
    heartbeat_p99_ms: float
    heartbeat_max_ms: float
    stalls: int
    input_to_photon_ms: float
    peak_rss_mib: float
    renderer: str
    seconds: float


def bench_window(options: Bench) -> int:
    """Open the window, look around for a while, close it, write ``window.json`` and ``window.md``.

    Raises:
        MirageError: there is no display, or the world does not open.
    """
    if not has_display():
        raise MirageError("The window needs a display to be measured; without one run `xvfb-run mirage bench --ui`.")
    figures = measure_window(options, 8.0 if options.quick else 20.0)
    rows = [
        [name.replace("_", " "), f"{v:.4g}" if isinstance(v, float) else str(v)] for name, v in asdict(figures).items()
    ]
    text = "# The window\n\n" + markdown_table(["what", "value"], rows) + "\n"
    write_json(asdict(figures), options.out / "window.json")
    write_markdown(text, options.out / "window.md")
    sys.stdout.write(text)
    return 0


def measure_window(options: Bench, seconds: float) -> WindowFigures:
    """Drive the window for ``seconds`` after its world has opened."""
    from PyQt6 import sip

    from ui.app import AppOptions, close_all, make_application, make_bridge, make_window
    from ui.settings import SettingsStore

    app = make_application(sys.argv[:1])
    store = SettingsStore(None)
    first = OpenWorld("meadow", 1_000_301)
    choice = AppOptions(
        first=first,
        cache_dir=cache_dir(),
        model_dir=options.model,
        device=options.device,
        in_full=options.precision == "full",
    )
    bridge = make_bridge(choice, store)
    bridge.start()
    window = make_window(choice, bridge, store)
    user = _User(window, seconds)
    window.show()
    try:
        app.exec()
        return user.figures()
    finally:
        close_all(window, bridge)
        sip.delete(window)  # while Qt still lives: at the interpreter's end the order is anyone's guess


class _User:
    """Looks around once the first frame is there, counts, and leaves."""

    def __init__(self, window: MainWindow, seconds: float) -> None:
        from PyQt6.QtCore import QTimer

        self._window = window
        self._seconds = seconds
        self._began: float | None = None
        self._first_paint: float | None = None
        self._first_frame: float | None = None
        self._beats: list[float] = []
        self._last_beat = time.perf_counter()
        self._photons: list[float] = []
        self._generated = self._painted = 0
        self._opened = time.perf_counter()
        self._timers = [QTimer(window), QTimer(window)]
        for timer, interval_ms, slot in zip(
            self._timers, (HEARTBEAT_MS, LOOK_MS), (self._beat, self._look), strict=True
        ):
            timer.setInterval(interval_ms)
            timer.timeout.connect(slot)
            timer.start()
        window.bridge.frame_arrived.connect(self._frame)
        window.stage.view.frameSwapped.connect(self._swapped)

    @property
    def _measuring(self) -> bool:
        return self._began is not None and time.perf_counter() - self._began > WARM_S

    def _frame(self, frame: FrameUpdate) -> None:
        if self._first_frame is None:
            self._first_frame = _since_start()
            self._began = time.perf_counter()
        if self._measuring and not frame.recalled:
            self._generated += 1
            if np.isfinite(frame.input_to_photon_ms):
                self._photons.append(frame.input_to_photon_ms)

    def _swapped(self) -> None:
        if self._first_paint is None:
            self._first_paint = _since_start()
        self._painted += self._measuring

    def _beat(self) -> None:
        now = time.perf_counter()
        if self._measuring:
            self._beats.append(1000.0 * (now - self._last_beat))
        self._last_beat = now
        late = now - self._opened > GIVE_UP_S and self._began is None
        done = self._began is not None and now - self._began > WARM_S + self._seconds
        if late or done:
            for timer in self._timers:
                timer.stop()
            self._window.close()
            from PyQt6.QtWidgets import QApplication

            QApplication.quit()

    def _look(self) -> None:
        if self._began is not None:
            swing = np.sin(0.7 * (time.perf_counter() - self._began))
            self._window.pilot.turn(6.0 * float(swing), 0.0)

    def figures(self) -> WindowFigures:
        """What was counted.

        Raises:
            MirageError: no frame ever came.
        """
        if self._first_frame is None or not self._beats:
            raise MirageError(
                "The window showed no frame of the world in time; `mirage doctor` says what may be missing."
            )
        beats = np.asarray(self._beats)
        renderer: Any = self._window.stage.view.renderer
        return WindowFigures(
            first_paint_s=self._first_paint or float("nan"),
            first_frame_s=self._first_frame,
            generated_fps=self._generated / self._seconds,
            painted_fps=self._painted / self._seconds,
            heartbeat_p99_ms=float(np.percentile(beats, 99)),
            heartbeat_max_ms=float(beats.max()),
            stalls=int((beats > STALL_MS).sum()),
            input_to_photon_ms=float(np.median(self._photons)) if self._photons else float("nan"),
            peak_rss_mib=_peak_rss_mib(),
            renderer=str(renderer() if callable(renderer) else renderer),
            seconds=self._seconds,
        )


def _since_start() -> float:
    """Seconds since this process was started."""
    return time.time() - psutil.Process().create_time()


def _peak_rss_mib() -> float:
    from engine.report import peak_rss_mib

    return peak_rss_mib()
