"""The live view: the world at the user's camera, always at once.

Between generated frames the last one is reprojected on the GPU. It redraws only when the camera, the frame or the size
changed; a frame in which country gave way to other country fades in.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque

from PyQt6.QtCore import QSize, Qt, pyqtSignal
from PyQt6.QtGui import QResizeEvent, QSurfaceFormat
from PyQt6.QtOpenGLWidgets import QOpenGLWidget
from PyQt6.QtWidgets import QWidget

from engine.camera import Camera
from engine.messages import FrameUpdate
from ui.badge import Badge
from ui.reprojection import build_mesh, same_view
from ui.reprojector import Reprojector, is_software

log = logging.getLogger(__name__)

FADE_S = 0.5
"""So long a frame takes to fade in."""


class LiveView(QOpenGLWidget):
    """Shows the newest frame from the current camera.

    Signals:
        drawn(): a frame reached the screen.
        resized(): overlays should find their places again.
    """

    drawn = pyqtSignal()
    resized = pyqtSignal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        surface = QSurfaceFormat.defaultFormat()
        surface.setProfile(QSurfaceFormat.OpenGLContextProfile.CompatibilityProfile)  # gloo speaks GLSL 1.20
        surface.setDepthBufferSize(24)
        surface.setSwapBehavior(QSurfaceFormat.SwapBehavior.DoubleBuffer)
        self.setFormat(surface)
        self.setAccessibleName("Live view")
        self.setAccessibleDescription(
            "The world at your camera. Move with the keys in the help overlay, hold the right mouse button to look."
        )
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_AcceptTouchEvents, False)
        self.setMouseTracking(False)
        self.setMinimumSize(320, 183)
        self.badge = Badge(self)
        self.badge.move(14, 14)
        self.camera: Camera | None = None
        self.frame: FrameUpdate | None = None
        self.draw_ms: list[float] = []
        self._drawn_at: deque[float] = deque(maxlen=60)
        self._renderer = ""
        self._painter: Reprojector | None = None
        self._pending: FrameUpdate | None = None
        self._fades, self._faded_at = False, -math.inf
        self._exact = False

    @property
    def software(self) -> bool:
        """Whether drawing happens on the CPU; False until the first paint has told."""
        return is_software(self.renderer)

    @property
    def renderer(self) -> str:
        """Name of the OpenGL renderer, "" until the first paint."""
        return self._renderer

    @property
    def showing(self) -> str:
        """``generated``, ``preview`` or ``nothing``: what the badge says."""
        return self.badge.state

    @property
    def draws_per_s(self) -> float:
        """Pictures a second over the last second, ``nan`` while the view rests."""
        now = time.perf_counter()
        recent = [at for at in self._drawn_at if now - at < 1.0]
        return (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 5 else math.nan

    def sizeHint(self) -> QSize:
        return QSize(1120, 640)

    def set_frame(self, update: FrameUpdate) -> None:
        """Take a generated frame; it is uploaded with the next paint, so that of several in a row only the last one
        costs anything.
        """
        before = self.frame
        if before is not None and update.result.renewed and update.result.index != before.result.index:
            self._fades = True
        self.frame = self._pending = update
        if self.camera is None:
            self.camera = update.result.camera
        self._refresh()

    def set_camera(self, camera: Camera) -> None:
        """Look from here."""
        self.camera = camera
        self._refresh()

    def clear(self) -> None:
        """Forget the frame, e.g. because another world is being opened."""
        self._fades, self._faded_at = False, -math.inf
        self.frame = self._pending = None
        if self._painter is not None:
            self._painter.clear_frame()
        self._refresh()

    def _refresh(self) -> None:
        if self.frame is None or self.camera is None:
            self.badge.set_state("nothing")
            self._exact = False
        else:
            self._exact = same_view(self.frame.result.camera, self.camera)
            known = self.frame.result.coverage_mean
            self.badge.set_state("generated" if self._exact else "preview", known)
        self.update()

    # -------------------------------------------------------------------------------------------------- OpenGL

    def initializeGL(self) -> None:
        # A widget that moves to another window gets a new context: what was uploaded to the old one is gone.
        self._painter = Reprojector()
        self._pending = self.frame
        self._renderer = self._painter.renderer
        log.info("Live view draws with %s", self._renderer)

    def paintGL(self) -> None:
        if self._painter is None:
            return
        started = time.perf_counter()
        if self._pending is not None:
            result = self._pending.result
            mesh = build_mesh(result.camera, result.picture, result.inverse_depth, result.rgb)
            self._painter.set_frame(mesh, fading=self._fades)
            if self._fades:
                self._fades, self._faded_at = False, started + FADE_S
            self._pending = None
        ratio = self.devicePixelRatioF()
        size = (max(1, round(self.width() * ratio)), max(1, round(self.height() * ratio)))
        leaving = max(0.0, (self._faded_at - started) / FADE_S)
        self._painter.draw(self.camera, self._exact, size, self.defaultFramebufferObject(), leaving)
        self._drawn_at.append(started)
        self.draw_ms.append(1000.0 * (time.perf_counter() - started))
        del self.draw_ms[:-240]
        self.drawn.emit()
        if leaving > 0.0:
            self.update()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        self.resized.emit()

    def shut(self) -> None:
        """Give back what lies on the GPU while there is still a context."""
        if self._painter is not None:
            self.makeCurrent()
            self._painter.close()
            self._painter = None
            self.doneCurrent()
