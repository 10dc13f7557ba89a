"""The camera path being edited: keyframes or a fixed flight, its playhead, and what a plan found out about it. Shared
by all panels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PyQt6.QtCore import QElapsedTimer, QObject, QTimer, pyqtSignal

from engine.camera import Camera
from engine.camera_path import DEFAULT_FPS, CameraPath, fit_camera
from engine.keyframes import Keyframe, PathSpec
from engine.messages import Failed, Plan, PlanResult, SetNotes, Update, WorldInfo
from ui.bridge import EngineBridge
from ui.path_notes import from_notes, to_notes

DEFAULT_SIZE = (256, 448)
MIN_GAP_S = 0.05
APPENDED_GAP_S = 2.0
PLANNED_CAMERAS_MAX = 96
PLAY_TICK_MS = 33
NOTE_DELAY_MS = 800


class PathModel(QObject):
    """What will be flown. Use :meth:`of`, so that timeline, memory panel and export dialog speak of the same path.

    A path is either *keyframes* (``spec``, editable) or *fixed* (``fixed``: a preset, an imported file or a recording,
    poses used exactly
    as given). :meth:`cameras` evaluates both by the engine's own evaluator, so what is previewed is what is rendered.

    Signals:
        changed(): keyframes, times or the fixed path. selected(int): a keyframe, or -1. moved(float): the playhead,
            seconds.
        planned(): the plan has arrived or lapsed. playing_changed(bool).
    """

    changed = pyqtSignal()
    selected = pyqtSignal(int)
    moved = pyqtSignal(float)
    planned = pyqtSignal()
    playing_changed = pyqtSignal(bool)

    def __init__(self, bridge: EngineBridge) -> None:
        super().__init__(bridge)
        self.bridge = bridge
        self.spec: PathSpec | None = None
        self.fixed: CameraPath | None = None
        self.fixed_name = ""
        self.fps = DEFAULT_FPS
        self.size: tuple[int, int] = DEFAULT_SIZE
        self.selection = -1
        self.playhead_s = 0.0
        self.loop = False
        self.plan: PlanResult | None = None
        self.planning = False
        self._epoch: int | None = None
        self._evaluated: tuple[float, CameraPath] | None = None
        self._clock = QElapsedTimer()
        self._tick = QTimer(self)
        self._tick.setInterval(PLAY_TICK_MS)
        self._tick.timeout.connect(self._advance)
        self._note = QTimer(self)
        self._note.setSingleShot(True)
        self._note.setInterval(NOTE_DELAY_MS)
        self._note.timeout.connect(self._send_notes)
        if bridge.world is not None:
            self.size, self._epoch = bridge.world.size, bridge.world.epoch
        bridge.updated.connect(self._take)

    @classmethod
    def of(cls, bridge: EngineBridge) -> PathModel:
        """The bridge's path, made at the first call."""
        found = bridge.findChild(cls)
        return found if found is not None else cls(bridge)

    # -------------------------------------------------------------------------------------------------- reading

    @property
    def keyframes(self) -> tuple[Keyframe, ...]:
        """The keyframes, () for a fixed path."""
        return self.spec.keyframes if self.spec is not None else ()

    @property
    def times_s(self) -> np.ndarray:
        """(n,) when each keyframe is reached."""
        return self.spec.times_s[: len(self.spec.keyframes)] if self.spec is not None else np.zeros(0)

    @property
    def empty(self) -> bool:
        """Nothing to fly."""
        return self.spec is None and self.fixed is None

    @property
    def seconds(self) -> float:
        """Time from the first to the last camera."""
        if self.spec is not None:
            return self.spec.seconds
        if self.fixed is not None:
            return (len(self.fixed) - 1) / self.fps
        return 0.0

    def cameras(self) -> CameraPath | None:
        """One camera a frame at ``fps``, of ``size``; ``None`` if there is no path."""
        if self.empty:
            return None
        if self._evaluated is None or self._evaluated[0] != self.fps:
            if self.spec is not None:
                path = self.spec.evaluate(self.size, fps=self.fps)
            else:
                assert self.fixed is not None
                path = self.fixed.fitted(self.size[1], self.size[0]).at_fps(self.fps)
            self._evaluated = (self.fps, path)
        return self._evaluated[1]

    def camera_at(self, seconds: float) -> Camera | None:
        """The camera at a time: between frames for keyframes, the frame shown for a fixed path."""
        if self.spec is not None:
            c2ws, fovs_deg = self.spec.sample(np.array([seconds]))
            return Camera.from_fov(c2ws[0], float(fovs_deg[0]), self.size[1], self.size[0])
        if self.fixed is not None:
            index = min(max(round(seconds * self.fps), 0), len(self.fixed) - 1)
            return fit_camera(self.fixed[index], self.size[1], self.size[0])
        return None

    def keyframe_cameras(self) -> list[Camera]:
        """A camera a keyframe, for drawing."""
        return [Camera.from_fov(key.c2w, key.fov_deg, self.size[1], self.size[0]) for key in self.keyframes]

    def coverage_at(self, seconds: np.ndarray) -> np.ndarray | None:
        """The plan's coverage at times ``(n,)``, or ``None`` without a valid plan."""
        if self.plan is None or len(self.plan.coverage) == 0:
            return None
        at = np.linspace(0.0, max(self.seconds, 1e-6), len(self.plan.coverage))
        return np.interp(seconds, at, self.plan.coverage)

    # -------------------------------------------------------------------------------------------------- editing

    def add(self, camera: Camera) -> None:
        """Add a keyframe at the playhead, or at the end when the playhead is there; it becomes the selection."""
        self._unfix()
        if self.spec is None:
            self._set(PathSpec((Keyframe.at(camera, APPENDED_GAP_S),)))
            self.select(0)
            return
        times, keys = self.times_s, list(self.spec.keyframes)
        at = self.playhead_s
        if at >= self.seconds - 1e-6 or len(keys) == 1:
            keys[-1] = replace(keys[-1], seconds=APPENDED_GAP_S)
            keys.append(Keyframe.at(camera, APPENDED_GAP_S))
            index = len(keys) - 1
        else:
            before = int(np.searchsorted(times, at, side="right")) - 1
            gap = keys[before].seconds
            first = min(max(at - float(times[before]), MIN_GAP_S), max(gap - MIN_GAP_S, MIN_GAP_S))
            keys[before] = replace(keys[before], seconds=first)
            keys.insert(before + 1, Keyframe.at(camera, max(gap - first, MIN_GAP_S), keys[before].easing))
            index = before + 1
        self._set(replace(self.spec, keyframes=tuple(keys)))
        self.select(index)
        self.seek(float(self.times_s[index]), look=False)

    def remove(self, index: int) -> None:
        """Delete a keyframe; its neighbours keep their times."""
        if self.spec is None or not 0 <= index < len(self.keyframes):
            return
        keys = list(self.keyframes)
        if len(keys) == 1:
            self.clear()
            return
        if 0 < index < len(keys) - 1:
            keys[index - 1] = replace(keys[index - 1], seconds=keys[index - 1].seconds + keys[index].seconds)
        del keys[index]
        self._set(replace(self.spec, keyframes=tuple(keys)))
        self.select(min(index, len(keys) - 1))

    def edit(self, index: int, **values: object) -> None:
        """Change a keyframe's ``c2w``, ``fov_deg``, ``easing`` or ``name``."""
        if self.spec is None or not 0 <= index < len(self.keyframes):
            return
        self._set(self.spec.with_keyframe(index, replace(self.keyframes[index], **values)))  # type: ignore[arg-type]

    def move(self, index: int, seconds: float) -> None:
        """Move a keyframe in time, between its neighbours; moving the last one makes the path longer or shorter."""
        if self.spec is None or not 0 < index < len(self.keyframes):
            return
        keys, times = list(self.keyframes), self.times_s
        low = float(times[index - 1]) + MIN_GAP_S
        high = float(times[index + 1]) - MIN_GAP_S if index + 1 < len(keys) else 86_400.0
        at = min(max(seconds, low), max(high, low))
        keys[index - 1] = replace(keys[index - 1], seconds=at - float(times[index - 1]))
        if index + 1 < len(keys):
            keys[index] = replace(keys[index], seconds=max(float(times[index + 1]) - at, MIN_GAP_S))
        self._set(replace(self.spec, keyframes=tuple(keys)))

    def set_closed(self, closed: bool) -> None:
        """Return to the first keyframe at the end, or not."""
        if self.spec is not None:
            self._set(replace(self.spec, closed=closed))

    def set_fixed(self, path: CameraPath, name: str) -> None:
        """Fly exactly these cameras."""
        self.pause()
        self.spec, self.fixed, self.fixed_name = None, path, name
        self.fps = path.fps
        self._changed()
        self.select(-1)
        self.seek(0.0, look=False)

    def set_spec(self, spec: PathSpec, fps: float | None = None) -> None:
        """Edit these keyframes."""
        self.pause()
        self.fixed, self.fixed_name = None, ""
        if fps is not None:
            self.fps = fps
        self._set(spec)
        self.select(0)
        self.seek(0.0, look=False)

    def to_keyframes(self, keyframes: int = 8) -> None:
        """Turn a fixed path into that many keyframes (or as many as it has cameras), so that it can be edited."""
        if self.fixed is None:
            return
        count = min(keyframes, len(self.fixed))
        index = np.unique(np.linspace(0, len(self.fixed) - 1, count).round().astype(int))
        gaps = [*(np.diff(index) / self.fps).tolist(), APPENDED_GAP_S]
        keys = [Keyframe.at(self.fixed[int(i)], max(gap, MIN_GAP_S)) for i, gap in zip(index, gaps, strict=True)]
        self.set_spec(PathSpec(tuple(keys)))

    def set_fps(self, fps: float) -> None:
        """Frames per second of the film; a fixed path keeps its frames, keyframes keep their times."""
        if fps != self.fps:
            self.fps = fps
            self._changed()

    def clear(self) -> None:
        """No path."""
        self.pause()
        self.spec, self.fixed, self.fixed_name = None, None, ""
        self._changed()
        self.select(-1)
        self.seek(0.0, look=False)

    def select(self, index: int) -> None:
        """Choose a keyframe, -1 for none."""
        index = index if 0 <= index < len(self.keyframes) else -1
        if index != self.selection:
            self.selection = index
            self.selected.emit(index)

    def _unfix(self) -> None:
        if self.fixed is not None:
            self.to_keyframes()
            self.playhead_s = self.seconds

    def _set(self, spec: PathSpec) -> None:
        self.spec = spec
        self._changed()

    def _changed(self) -> None:
        self._evaluated = None
        self.playhead_s = min(self.playhead_s, self.seconds)
        self.selection = self.selection if self.selection < len(self.keyframes) else -1
        if self.plan is not None:
            self.plan = None
            self.planned.emit()
        self._note.start()
        self.changed.emit()

    # ------------------------------------------------------------------------------------------- playing, planning

    @property
    def playing(self) -> bool:
        """The playhead runs."""
        return self._tick.isActive()

    def seek(self, seconds: float, *, look: bool = True) -> None:
        """Put the playhead at a time and, with ``look``, the user's camera on the path there."""
        self.playhead_s = min(max(seconds, 0.0), self.seconds)
        self.moved.emit(self.playhead_s)
        if look:
            self._look(moving=False)

    def step(self, frames: int) -> None:
        """That many frames on (negative: back)."""
        self.pause()
        self.seek(round(self.playhead_s * self.fps + frames) / self.fps)

    def jump(self, direction: int) -> None:
        """To the next (+1) or previous (-1) keyframe."""
        times = self.times_s
        if len(times) == 0:
            self.seek(self.seconds if direction > 0 else 0.0)
            return
        later = np.flatnonzero(times > self.playhead_s + 1e-4)
        earlier = np.flatnonzero(times < self.playhead_s - 1e-4)
        index = int(later[0]) if direction > 0 and len(later) else len(times) - 1
        if direction < 0:
            index = int(earlier[-1]) if len(earlier) else 0
        self.pause()
        self.select(index)
        self.seek(float(times[index]))

    def play(self) -> None:
        """Fly along the path in its own time, from the playhead (from the start if it is at the end)."""
        if self.empty or self.seconds <= 0 or self.playing:
            return
        if self.playhead_s >= self.seconds - 1e-3:
            self.playhead_s = 0.0
        self._clock.start()
        self._tick.start()
        self.playing_changed.emit(True)

    def pause(self) -> None:
        """Stop playing where it is."""
        if self.playing:
            self._tick.stop()
            self.playing_changed.emit(False)
            self._look(moving=False)

    def _advance(self) -> None:
        at = self.playhead_s + self._clock.restart() / 1000.0
        if at >= self.seconds and self.loop:
            at %= max(self.seconds, 1e-6)
        self.playhead_s = min(at, self.seconds)
        self.moved.emit(self.playhead_s)
        if at >= self.seconds:
            self.pause()
        else:
            self._look(moving=True)

    def _look(self, *, moving: bool) -> None:
        camera = self.camera_at(self.playhead_s)
        if camera is not None:
            self.bridge.look(camera, moving=moving)

    def request_plan(self) -> None:
        """Ask the engine how much of the path is remembered; :attr:`plan` and ``planned`` follow."""
        path = self.cameras()
        if path is None:
            return
        index = np.unique(np.linspace(0, len(path) - 1, min(len(path), PLANNED_CAMERAS_MAX)).round().astype(int))
        asked = tuple(path[int(i)] for i in index)
        self.planning = True
        self.planned.emit()

        def arrived(reply: PlanResult | Failed) -> None:
            self.planning = False
            if isinstance(reply, PlanResult) and self.cameras() is path:
                self.plan = reply
            self.planned.emit()

        self.bridge.do(Plan(asked), arrived)

    def _take(self, update: Update) -> None:
        if update.world is None:
            return
        resized, self.size = update.world.size != self.size, update.world.size
        if update.world.epoch != self._epoch:
            first, self._epoch = self._epoch is None, update.world.epoch
            self._reopen(update.world, keep=first and not self.empty)
        elif resized:
            self._changed()

    def _reopen(self, world: WorldInfo, *, keep: bool) -> None:
        """Another world: take the path that its session kept, or none."""
        found = from_notes(world.notes.get("path", {})) if isinstance(world.notes.get("path"), dict) else None
        if found is None:
            if not keep:
                self.clear()
        else:
            spec, fixed, name, fps = found
            self.fps = fps
            if spec is not None:
                self.set_spec(spec)
            elif fixed is not None:
                self.set_fixed(fixed, name)
        self._note.stop()

    def _send_notes(self) -> None:
        """Let the engine keep the path with the world."""
        if self._epoch is not None:
            self.bridge.do(SetNotes({"path": to_notes(self.spec, self.fixed, self.fixed_name, self.fps)}))
