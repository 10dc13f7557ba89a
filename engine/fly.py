"""From keys, wheel and mouse to motion: a flying camera whose path does not depend on the frame rate.

The velocity approaches what the keys ask for with a time constant, dv/dt = (target - v) / tau, and the position is its
integral. Both are solved exactly for the length of a step, also while the view turns at a constant rate, so that ten
steps of 0.1 s end where a hundred of 0.01 s do. Looking by mouse happens at once, before a step.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass, replace

import numpy as np

from engine.camera import Camera, c2w_from_angles
from engine.errors import InputError

MAX_PITCH_DEG = 89.0
MAX_STEP_S = 1.0
"""Longer steps, as after a stall, are cut to this: nobody wants to have flown on while the screen stood still."""


@dataclass(frozen=True)
class FlySettings:
    """How flying feels.

    Attributes:
        speed_m_s: metres per second at speed factor 1.
        boost, slow: factors while Shift or Alt is held.
        tau_s: time constant of speeding up and slowing down; 0 is immediate.
        turn_deg_s: degrees per second of turning by keys or stick at full deflection.
        look_deg_per_px: degrees per pixel of mouse movement.
        invert_y: moving the mouse up looks down.
        level: forward and back keep one's height, as on foot, wherever one looks; else they go where one looks.
        wheel_factor: speed factor per notch of the wheel.
        min_factor, max_factor: limits of the speed factor.
    """

    speed_m_s: float = 4.0
    boost: float = 5.0
    slow: float = 0.2
    tau_s: float = 0.15
    turn_deg_s: float = 75.0
    look_deg_per_px: float = 0.12
    invert_y: bool = False
    level: bool = False
    wheel_factor: float = 1.2
    min_factor: float = 0.02
    max_factor: float = 50.0

    def __post_init__(self) -> None:
        limits = {
            "speed_m_s": (1e-3, 1e4),
            "boost": (1.0, 100.0),
            "slow": (1e-3, 1.0),
            "tau_s": (0.0, 5.0),
            "turn_deg_s": (0.0, 720.0),
            "look_deg_per_px": (1e-4, 10.0),
            "wheel_factor": (1.0, 10.0),
            "min_factor": (1e-6, 1.0),
            "max_factor": (1.0, 1e6),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise InputError(f"The flying setting {name} must lie between {low:g} and {high:g}; it was {value:g}.")


@dataclass(frozen=True)
class FlyInput:
    """What is held down during a step; axes in [-1, 1], larger values are cut.

    Attributes:
        forward: W minus S. right: D minus A. up: E minus Q, along world +Z.
        yaw, pitch: turning by keys or stick, positive left and up.
        boost, slow: Shift, Alt.
    """

    forward: float = 0.0
    right: float = 0.0
    up: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0
    boost: bool = False
    slow: bool = False

    @property
    def idle(self) -> bool:
        """Whether nothing is asked for."""
        return not (self.forward or self.right or self.up or self.yaw or self.pitch)


@dataclass(frozen=True)
class FlyState:
    """Where the camera is and how it moves. Immutable: steps return a new one.

    Attributes:
        position: (x, y, z) world metres.
        velocity: (x, y, z) metres per second.
        yaw_deg: heading, counter-clockwise from above, 0 along +X. pitch_deg: up is positive.
        roll_deg: kept from where the flight began.
        factor: speed factor set by the wheel.
    """

    position: tuple[float, float, float]
    velocity: tuple[float, float, float] = (0.0, 0.0, 0.0)
    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    roll_deg: float = 0.0
    factor: float = 1.0

    @classmethod
    def from_camera(cls, camera: Camera, factor: float = 1.0) -> FlyState:
        """At rest where a camera is, with its heading, pitch and roll."""
        x, y, z = (float(v) for v in camera.position)
        forward, right = camera.forward, camera.c2w[:3, 0]
        if math.hypot(forward[0], forward[1]) < 1e-6:  # straight up or down: the heading is where the top points
            sign = -1.0 if forward[2] > 0 else 1.0
            top = -camera.c2w[:3, 1] * sign
            yaw_deg = math.degrees(math.atan2(top[1], top[0]))
        else:
            yaw_deg = camera.yaw_deg
        level = c2w_from_angles(np.zeros(3), yaw_deg, camera.pitch_deg)
        roll_deg = math.degrees(math.atan2(right @ level[:3, 1], right @ level[:3, 0]))
        return cls((x, y, z), yaw_deg=yaw_deg, pitch_deg=camera.pitch_deg, roll_deg=roll_deg, factor=factor)

    @property
    def c2w(self) -> np.ndarray:
        """(4, 4) camera-to-world, OpenCV."""
        return c2w_from_angles(np.array(self.position), self.yaw_deg, self.pitch_deg, self.roll_deg)

    def camera(self, like: Camera) -> Camera:
        """A camera here with the lens and size of ``like``."""
        return like.posed(self.c2w)

    @property
    def speed_m_s(self) -> float:
        """Metres per second."""
        return math.hypot(*self.velocity)

    @property
    def moving(self) -> bool:
        """Whether it drifts on noticeably, more than a millimetre per second."""
        return self.speed_m_s > 1e-3


def look(state: FlyState, dx_px: float, dy_px: float, settings: FlySettings) -> FlyState:
    """Turn by a mouse movement of ``dx_px`` to the right and ``dy_px`` down."""
    down = -dy_px if settings.invert_y else dy_px
    yaw_deg = math.remainder(state.yaw_deg - dx_px * settings.look_deg_per_px, 360.0)
    pitch_deg = state.pitch_deg - down * settings.look_deg_per_px
    return replace(state, yaw_deg=yaw_deg, pitch_deg=min(max(pitch_deg, -MAX_PITCH_DEG), MAX_PITCH_DEG))


def wheel(state: FlyState, notches: float, settings: FlySettings) -> FlyState:
    """Change the speed factor by turns of the wheel, up is faster."""
    factor = state.factor * settings.wheel_factor ** max(min(notches, 100.0), -100.0)
    return replace(state, factor=min(max(factor, settings.min_factor), settings.max_factor))


def stopped(state: FlyState) -> FlyState:
    """The same place, at rest: for losing focus, teleports and resets."""
    return replace(state, velocity=(0.0, 0.0, 0.0))


def step(state: FlyState, held: FlyInput, dt_s: float, settings: FlySettings) -> FlyState:
    """Fly for ``dt_s`` seconds (at most ``MAX_STEP_S``) with ``held`` down all the while; exact, whatever the step.

    W flies where the camera looks (level: where it heads), E straight up. Two keys at once are no faster than one.
    """
    if not math.isfinite(dt_s) or dt_s <= 0.0:
        return state
    left_s = min(dt_s, MAX_STEP_S)
    yaw_rate = _axis(held.yaw) * settings.turn_deg_s
    pitch_rate = _axis(held.pitch) * settings.turn_deg_s
    limit_deg = math.copysign(MAX_PITCH_DEG, pitch_rate)
    if pitch_rate and (limit_deg - state.pitch_deg) / pitch_rate < left_s:
        # The pitch stops on its way: fly to that moment, then on without pitching.
        first_s = max(0.0, (limit_deg - state.pitch_deg) / pitch_rate)
        state = replace(_glide(state, held, first_s, yaw_rate, pitch_rate, settings), pitch_deg=limit_deg)
        left_s, pitch_rate = left_s - first_s, 0.0
    return _glide(state, held, left_s, yaw_rate, pitch_rate, settings)


def _axis(value: float) -> float:
    return min(max(value, -1.0), 1.0) if math.isfinite(value) else 0.0


def _glide(
    state: FlyState, held: FlyInput, dt_s: float, yaw_rate: float, pitch_rate: float, settings: FlySettings
) -> FlyState:
    """The exact solution over ``dt_s`` for constant keys and turning rates in degrees per second.

    The wanted velocity is a sum of turning vectors: along the view, (cos p e^{iy}, sin p) with pitch p and yaw y, to
    the right, -i e^{iy}, and up. As complex exponentials each is solved on its own; x + iy is the horizontal part.
    """
    forward, right, up = _axis(held.forward), _axis(held.right), _axis(held.up)
    norm = max(1.0, math.sqrt(forward**2 + right**2 + up**2))
    speed = settings.speed_m_s * state.factor
    speed *= settings.boost if held.boost else 1.0
    speed *= settings.slow if held.slow else 1.0
    forward, right, up = (speed * axis / norm for axis in (forward, right, up))
    yaw, turn = math.radians(state.yaw_deg), math.radians(yaw_rate)
    pitch, nod = (0.0, 0.0) if settings.level else (math.radians(state.pitch_deg), math.radians(pitch_rate))

    # (amplitude, angular rate) of every turning vector in the wanted velocity
    flat = [
        (0.5 * forward * cmath.exp(1j * (yaw + pitch)), turn + nod),
        (0.5 * forward * cmath.exp(1j * (yaw - pitch)), turn - nod),
        (-1j * right * cmath.exp(1j * yaw), turn),
    ]
    steep = [
        (-0.5j * forward * cmath.exp(1j * pitch), nod),
        (0.5j * forward * cmath.exp(-1j * pitch), -nod),
        (complex(up), 0.0),
    ]
    vx, vy, vz = state.velocity
    flat_velocity, flat_way = _relax(complex(vx, vy), flat, dt_s, settings.tau_s)
    rise_velocity, rise = _relax(complex(vz), steep, dt_s, settings.tau_s)
    x, y, z = state.position
    return replace(
        state,
        position=(x + flat_way.real, y + flat_way.imag, z + rise.real),
        velocity=(flat_velocity.real, flat_velocity.imag, rise_velocity.real),
        yaw_deg=math.remainder(state.yaw_deg + yaw_rate * dt_s, 360.0),
        pitch_deg=state.pitch_deg + pitch_rate * dt_s,
    )


def _relax(
    velocity: complex, wanted: list[tuple[complex, float]], dt_s: float, tau_s: float
) -> tuple[complex, complex]:
    """Velocity after ``dt_s`` and the way gone, for tau v' = sum a e^{iwt} - v."""
    decay = math.exp(-dt_s / tau_s) if tau_s > 0.0 else 0.0
    way, steady_before, steady_after = 0j, 0j, 0j
    for amplitude, rate in wanted:
        response = amplitude / (1.0 + 1j * rate * tau_s)
        turned = cmath.exp(1j * rate * dt_s)
        steady_before += response
        steady_after += response * turned
        small = abs(rate * dt_s) < 1e-6  # the quotient below loses its digits; its series has them
        way += response * (dt_s * (1.0 + 0.5j * rate * dt_s) if small else (turned - 1.0) / (1j * rate))
    rest = velocity - steady_before
    return steady_after + rest * decay, way + rest * tau_s * (1.0 - decay)


def orbit(state: FlyState, pivot: np.ndarray, dx_px: float, dy_px: float, settings: FlySettings) -> FlyState:
    """Turn around ``pivot (3,)`` as if the mouse dragged the world: the pivot stays where it is in the picture."""
    turned = look(state, dx_px, dy_px, settings)
    before, after = state.c2w, turned.c2w
    in_camera = before[:3, :3].T @ (np.asarray(pivot, dtype=np.float64) - before[:3, 3])
    x, y, z = (float(v) for v in np.asarray(pivot) - after[:3, :3] @ in_camera)
    return replace(turned, position=(x, y, z), velocity=(0.0, 0.0, 0.0))


def focus(state: FlyState, target: np.ndarray, distance_m: float) -> FlyState:
    """Keep the viewing direction and stand ``distance_m`` before ``target (3,)``, at rest."""
    forward = state.c2w[:3, 2]
    x, y, z = (float(v) for v in np.asarray(target, dtype=np.float64) - distance_m * forward)
    return replace(state, position=(x, y, z), velocity=(0.0, 0.0, 0.0))
