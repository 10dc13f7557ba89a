"""What Mirage remembers of its user between two starts: a small JSON file, read with suspicion, written atomically."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.atomic import atomic_write
from engine.errors import InputError

log = logging.getLogger(__name__)

MAX_RECENT = 8
_LIMITS: dict[str, tuple[float, float]] = {
    "speed_mps": (0.1, 200.0),
    "look_degrees_per_px": (0.02, 1.0),
    "font_scale": (0.8, 2.0),
    "frame_budget_ms": (30.0, 5000.0),
    "fov_deg": (20.0, 110.0),
}


@dataclass
class Settings:
    """Everything that persists. Defaults are what a new user gets.

    Attributes:
        steps: denoising steps, 0 for auto. height, width: of generated frames, 0 for the model's own.
        keys: changed key bindings, action id -> key name. geometry, layout: the window, as Qt packs them, base64.
        recent: paths of sessions, newest first.
    """

    speed_mps: float = 4.0
    look_degrees_per_px: float = 0.14
    invert_look: bool = False
    click_captures: bool = True
    show_hud: bool = False
    seen_help: bool = False
    font_scale: float = 1.0
    steps: int = 0
    height: int = 0
    width: int = 0
    frame_budget_ms: float = 125.0
    fov_deg: float = 50.0
    biome: str = "meadow"
    seed: int = 1
    time: str = ""
    start: str = "view"
    memory: str = "latent"
    keys: dict[str, str] = field(default_factory=dict)
    recent: list[str] = field(default_factory=list)
    geometry: str = ""
    layout: str = ""

    def add_recent(self, path: Path) -> None:
        """Put a session at the head of the list."""
        name = str(path.resolve())
        self.recent = [name, *(other for other in self.recent if other != name)][:MAX_RECENT]

    def recent_paths(self) -> list[Path]:
        """Sessions that are still there."""
        return [Path(name) for name in self.recent if Path(name).exists()]


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, (int, float)) and math.isfinite(value)
    if isinstance(default, dict):
        return isinstance(value, dict) and all(isinstance(k, str) and isinstance(v, str) for k, v in value.items())
    if isinstance(default, list):
        return isinstance(value, list) and all(isinstance(v, str) for v in value)
    return isinstance(value, type(default))


class SettingsStore:
    """Keeps one ``Settings`` and its file. A file that is damaged or from the future costs only what cannot be read of
    it.

    Args:
        path: the JSON file; ``None`` keeps the settings in memory only.
        autosave: where the engine saves the open world by itself; the gallery offers it.
    """

    def __init__(self, path: Path | None, autosave: Path | None = None) -> None:
        self.path = path
        self.autosave = autosave
        self.values = Settings()
        if path is not None:
            self._load(path)

    def _load(self, path: Path) -> None:
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            log.warning("The settings in %s cannot be read (%s); starting with the defaults.", path, error)
            return
        if not isinstance(stored, dict):
            log.warning("The settings in %s are not a table; starting with the defaults.", path)
            return
        for item in dataclasses.fields(Settings):
            value = stored.get(item.name)
            if value is None or not _fits(value, getattr(self.values, item.name)):
                continue
            low, high = _LIMITS.get(item.name, (-math.inf, math.inf))
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                value = min(max(value, low), high)
            setattr(self.values, item.name, value)

    def save(self) -> None:
        """Write the file; a disk that does not take it is logged and never stops the app."""
        if self.path is None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.path) as temporary:
                temporary.write_text(json.dumps(dataclasses.asdict(self.values), indent=1), encoding="utf-8")
        except (OSError, InputError) as error:
            log.warning("The settings could not be written to %s: %s", self.path, error)
