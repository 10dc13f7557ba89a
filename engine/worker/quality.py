"""How many denoising steps a frame gets: few while moving, more when still, within a budget of milliseconds."""

from __future__ import annotations

from engine.messages import STAGES, QualityInfo, SetQuality

STILL_FACTOR = 2
"""A refinement in place gets this many times the steps of the frame before it."""
MAX_STILL_STEPS = 16


class Quality:
    """Learns what a frame costs from the frames that were made, and decides the next one's steps."""

    def __init__(self, asked: SetQuality, default_steps: int, size: tuple[int, int], device: str) -> None:
        self.asked = asked
        self.default_steps = default_steps
        self.size = size
        self.device = device
        self.dropped = ""
        self._step_ms: float | None = None
        self._fixed_ms: float | None = None

    def observe(self, steps: int, timings_ms: dict[str, float]) -> None:
        """A frame of ``steps`` cost this much; smoothed, so that one slow frame changes little."""
        if steps < 1:
            return
        step_ms = timings_ms.get("imagine", 0.0) / steps
        fixed_ms = sum(ms for stage, ms in timings_ms.items() if stage in STAGES and stage != "imagine")
        self._step_ms = step_ms if self._step_ms is None else 0.8 * self._step_ms + 0.2 * step_ms
        self._fixed_ms = fixed_ms if self._fixed_ms is None else 0.8 * self._fixed_ms + 0.2 * fixed_ms

    @property
    def steps_moving(self) -> int:
        """Steps of a frame while the camera moves: as many as the budget pays for, at most the model's default."""
        if self.asked.steps != "auto":
            return self.asked.steps
        if self._step_ms is None or self._fixed_ms is None:
            return self.default_steps
        affordable = int((self.asked.frame_budget_ms - self._fixed_ms) / max(self._step_ms, 1e-3))
        return max(1, min(self.default_steps, affordable))

    @property
    def steps_still(self) -> int:
        """Steps of the best frame a still camera gets."""
        if self.asked.steps != "auto":
            return self.asked.steps
        return min(MAX_STILL_STEPS, self.default_steps * STILL_FACTOR ** max(0, self.asked.refinements))

    def steps(self, moving: bool, refinement: int) -> int:
        """Steps of the next frame: ``refinement`` 0 is the first at its camera."""
        if self.asked.steps != "auto":
            return self.asked.steps
        if moving or refinement == 0:
            return self.steps_moving
        return min(MAX_STILL_STEPS, self.default_steps * STILL_FACTOR**refinement)

    def wants_refinement(self, done: int, last_steps: int, coverage: float) -> bool:
        """Would another frame in place be better? Not when everything was remembered and the last frame had its full
        steps.
        """
        if self.asked.steps != "auto" or done >= self.asked.refinements:
            return False
        return last_steps < self.default_steps or (coverage < 0.97 and last_steps < self.steps_still)

    def drop(self, stride: int) -> tuple[int, int] | None:
        """One quality step down after the device ran out of memory: three quarters the size; ``None`` at the least."""
        height, width = (max(8 * stride, int(0.75 * side / stride) * stride) for side in self.size)
        if (height, width) == self.size:
            return None
        self.dropped = f"out of memory at {self.size[0]}x{self.size[1]}"
        self.size = (height, width)
        self._step_ms = self._fixed_ms = None
        return self.size

    def info(self) -> QualityInfo:
        """As the window shows it."""
        return QualityInfo(
            steps=self.asked.steps,
            steps_moving=self.steps_moving,
            steps_still=self.steps_still,
            size=self.size,
            frame_budget_ms=self.asked.frame_budget_ms,
            device=self.device,
            dropped=self.dropped,
        )
