"""The user's flight: held keys and the mouse become a camera, many times a second, whatever the engine is doing."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
from PyQt6.QtCore import QObject, Qt, QTimer, pyqtSignal

from engine import fly
from engine.camera import Camera
from engine.fly import FlyInput, FlySettings, FlyState
from engine.messages import FrameUpdate
from engine.obstacles import Obstacles
from ui.bridge import EngineBridge
from ui.input.flying import FlyKeys
from ui.input.looking import LookMouse

TICK_MS = 16
SOFTWARE_TICK_MS = 28
BASE_SPEED_M_S = 4.0
_SETTLE_S = 0.18
_AHEAD_M = 12.0
_APPROACH = 0.6
_APPROACH_S = 0.9


class Pilot(QObject):
    """Owns the camera while the user flies and hands it to the bridge.

    A timer runs only while something moves. When all is still, the engine is told so, once.

    Signals:
        speed_changed(float): metres a second. arrived(): the flight has come to rest.
    """

    speed_changed = pyqtSignal(float)
    arrived = pyqtSignal()

    def __init__(self, bridge: EngineBridge, keys: FlyKeys, mouse: LookMouse, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self._keys = keys
        self.settings = FlySettings(speed_m_s=BASE_SPEED_M_S)
        self.orbiting = False
        self._like: Camera | None = None
        self._state = FlyState((0.0, 0.0, 0.0))
        self._pivot = np.zeros(3)
        self._obstacles = Obstacles()
        self._approach: tuple[FlyState, FlyState, float] | None = None
        self._ticked_at = 0.0
        self._moved_at = 0.0
        self._own = False
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self.tick)
        keys.held_changed.connect(self._wake)
        mouse.turned.connect(self.turn)
        mouse.scrolled.connect(self.scroll)
        bridge.camera_changed.connect(self._adopt)
        bridge.frame_arrived.connect(self._look_around)

    # ---------------------------------------------------------------------------------------------------- state

    @property
    def camera(self) -> Camera | None:
        """Where the user is, or ``None`` before a world is open."""
        return self._state.camera(self._like) if self._like is not None else None

    @property
    def moving(self) -> bool:
        """Whether the camera is under way or has only just come to rest."""
        return self._timer.isActive()

    @property
    def speed_m_s(self) -> float:
        """Metres a second at which the keys fly, without Shift or Alt."""
        return self.settings.speed_m_s * self._state.factor

    def set_speed(self, speed_m_s: float) -> None:
        """Fly at this speed from now on."""
        limits = self.settings.min_factor, self.settings.max_factor
        factor = min(max(speed_m_s / self.settings.speed_m_s, limits[0]), limits[1])
        self._state = replace(self._state, factor=factor)
        self.speed_changed.emit(self.speed_m_s)

    @property
    def level(self) -> bool:
        """Whether one is on foot: forward and back keep one's height, and what stands in the way stops one."""
        return self.settings.level

    def set_level(self, on: bool) -> None:
        """Go on foot from now on, or fly where one looks."""
        self.settings = replace(self.settings, level=on)
        self._obstacles.clear()
        if self._bridge.frame is not None:
            self._look_around(self._bridge.frame)

    def scroll(self, notches: float) -> None:
        """Faster or slower, by the wheel."""
        self._state = fly.wheel(self._state, notches, self.settings)
        self.speed_changed.emit(self.speed_m_s)

    def take_over(self, camera: Camera) -> None:
        """Stand here: a world was opened, a keyframe chosen, a path is playing. What was under way ends."""
        self._like = camera
        self._state = FlyState.from_camera(camera, self._state.factor)
        self._approach = None
        self.orbiting = False

    def set_interval(self, milliseconds: int) -> None:
        """How often to move; software rendering cannot follow a fast clock."""
        self._timer.setInterval(milliseconds)

    def stop(self) -> None:
        """No more motion."""
        self._timer.stop()
        self._state = fly.stopped(self._state)

    # --------------------------------------------------------------------------------------------------- turning

    def turn(self, dx_px: float, dy_px: float) -> None:
        """Turn the head, or go around the pivot while orbiting; shown at once, without waiting for the next tick."""
        if self._like is None:
            return
        self._approach = None
        if self.orbiting:
            self._state = fly.orbit(self._state, self._pivot, dx_px, dy_px, self.settings)
        else:
            self._state = fly.look(self._state, dx_px, dy_px, self.settings)
        self._show(moving=True)
        self._wake()

    def toggle_orbit(self) -> bool:
        """Orbit around what is ahead, or fly again; returns whether it orbits now."""
        self.orbiting = not self.orbiting and self._like is not None
        if self.orbiting:
            self._pivot = self._ahead(self.distance_ahead_m())
        return self.orbiting

    def approach(self) -> None:
        """Glide up to what is ahead, most of the way."""
        if self._like is None:
            return
        distance_m = self.distance_ahead_m()
        there = fly.focus(self._state, self._ahead(distance_m), (1.0 - _APPROACH) * distance_m)
        self._approach = (fly.stopped(self._state), there, time.perf_counter())
        self._wake()

    def distance_ahead_m(self) -> float:
        """How far the surface in the middle of the newest frame is, metres; a little ahead where there is only sky."""
        frame = self._bridge.frame
        if frame is None:
            return _AHEAD_M
        q = frame.result.inverse_depth
        rows, cols = q.shape
        middle = q[3 * rows // 8 : 5 * rows // 8 + 1, 3 * cols // 8 : 5 * cols // 8 + 1]
        near = middle[middle > 1e-3]
        return float(np.clip(1.0 / np.median(near), 0.5, 200.0)) if near.size else _AHEAD_M

    def _ahead(self, distance_m: float) -> np.ndarray:
        return np.array(self._state.position) + distance_m * self._state.c2w[:3, 2]

    # ---------------------------------------------------------------------------------------------------- moving

    def tick(self) -> None:
        """One step of motion over the time that really passed."""
        now = time.perf_counter()
        dt_s, self._ticked_at = now - self._ticked_at, now
        if self._like is None:
            self._timer.stop()
            return
        if self._advance(dt_s, now):
            self._show(moving=True)
        elif now - self._moved_at > _SETTLE_S:
            self._timer.stop()
            self._show(moving=False)
            self.arrived.emit()

    def held_input(self) -> FlyInput:
        """What the keys ask for."""
        held = self._keys.held

        def axis(plus: str, minus: str) -> float:
            return float((plus in held) - (minus in held))

        return FlyInput(
            forward=axis("forward", "back"),
            right=axis("right", "left"),
            up=axis("up", "down"),
            yaw=axis("look_left", "look_right"),
            pitch=axis("look_up", "look_down"),
            boost="fast" in held,
            slow="slow" in held,
        )

    def _advance(self, dt_s: float, now: float) -> bool:
        held = self.held_input()
        if not held.idle:
            self._approach = None
        if self._approach is not None:
            start, end, began = self._approach
            t = min((now - began) / _APPROACH_S, 1.0)
            mix = t * t * (3.0 - 2.0 * t)
            x, y, z = (a + mix * (b - a) for a, b in zip(start.position, end.position, strict=True))
            self._state = replace(self._state, position=(x, y, z))
            if t >= 1.0:
                self._approach = None
            return True
        before = self._state.position
        if held.idle and not self._state.moving:
            return False
        self._state = self._not_through(before, fly.step(self._state, held, dt_s, self.settings))
        if held.idle and self._state.speed_m_s < 0.01 * self.speed_m_s:
            self._state = fly.stopped(self._state)
        if self.orbiting:
            self._pivot = self._pivot + np.subtract(self._state.position, before)
        return True

    def _not_through(self, before: tuple[float, float, float], state: FlyState) -> FlyState:
        """A state as it is if what stands in the way stops one, who was at ``before``."""
        if not self.level or self.orbiting:
            return state
        x, y, z = (float(value) for value in self._obstacles.walked(np.array(before), np.array(state.position)))
        wanted_m, gone_m = (math.dist(before[:2], place) for place in (state.position[:2], (x, y)))
        if gone_m > wanted_m - 1e-6:
            return replace(state, position=(x, y, z))
        share = gone_m / wanted_m
        vx, vy, vz = state.velocity
        return replace(state, position=(x, y, z), velocity=(share * vx, share * vy, vz))

    def _look_around(self, frame: FrameUpdate) -> None:
        """Learn from a new frame what stands in the way."""
        if self.level:
            self._obstacles.see(frame.result.camera, frame.result.inverse_depth)

    def _wake(self) -> None:
        """Start ticking; held keys and motion keep it going."""
        if self._like is None or self._timer.isActive():
            return
        self._ticked_at = self._moved_at = time.perf_counter()
        self._timer.start()

    def _show(self, *, moving: bool) -> None:
        camera = self.camera
        if camera is None:
            return
        if moving:
            self._moved_at = time.perf_counter()
        self._own = True
        self._bridge.look(camera, moving=moving)
        self._own = False

    def _adopt(self, camera: Camera) -> None:
        """Somebody else moved the camera: fly on from there."""
        if not self._own:
            self.take_over(camera)
