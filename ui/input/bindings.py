"""What each key does, as one table that the help overlay shows, the user may change, and the settings keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ui.input.keys import KEY_NAMES, key_label

Scope = Literal["held", "press", "view"]
"""``held``: acts while down. ``press``: acts once, wherever the focus is (never in a text field). ``view``: only with
the focus in the live view, because buttons and lists need the key themselves."""


@dataclass(frozen=True)
class Action:
    """One thing that a key can do. ``chord`` is a modifier that must be down with it (only ``shift``), ``group`` its
    heading in the help.
    """

    id: str
    text: str
    key: str
    scope: Scope
    group: str
    chord: Literal["", "shift"] = ""
    also: tuple[str, ...] = ()


ACTIONS: tuple[Action, ...] = (
    Action("forward", "Fly forward", "KeyW", "held", "Move"),
    Action("back", "Fly back", "KeyS", "held", "Move"),
    Action("left", "Fly left", "KeyA", "held", "Move"),
    Action("right", "Fly right", "KeyD", "held", "Move"),
    Action("up", "Rise", "KeyE", "held", "Move"),
    Action("down", "Sink", "KeyQ", "held", "Move"),
    Action("fast", "Five times as fast", "ShiftLeft", "held", "Move", also=("ShiftRight",)),
    Action("slow", "Slowly", "AltLeft", "held", "Move"),
    Action("level", "On foot, or fly where you look", "KeyL", "press", "Move"),
    Action("look_up", "Look up", "ArrowUp", "held", "Look"),
    Action("look_down", "Look down", "ArrowDown", "held", "Look"),
    Action("look_left", "Look left", "ArrowLeft", "held", "Look"),
    Action("look_right", "Look right", "ArrowRight", "held", "Look"),
    Action("focus", "Glide up to what is ahead", "KeyF", "press", "Look"),
    Action("reset", "Back to where this world began", "KeyR", "press", "Look"),
    Action("orbit", "Orbit around what is ahead, or fly", "KeyV", "press", "Look"),
    Action("play", "Play or pause the path", "Space", "view", "Path"),
    Action("step_back", "One frame back", "Comma", "press", "Path"),
    Action("step_forward", "One frame on", "Period", "press", "Path"),
    Action("previous_key", "Previous keyframe", "Comma", "press", "Path", chord="shift"),
    Action("next_key", "Next keyframe", "Period", "press", "Path", chord="shift"),
    Action("add_key", "Add a keyframe here", "Enter", "view", "Path", also=("NumpadEnter",)),
    Action("help", "These keys", "KeyH", "press", "Window", also=("F1",)),
    Action("hud", "Figures over the view", "KeyI", "press", "Window", also=("F3",)),
    Action("fullscreen", "Full screen", "F11", "press", "Window"),
    Action("release", "Release the mouse, close what is open", "Escape", "press", "Window"),
)
_BY_ID = {action.id: action for action in ACTIONS}
_FIXED = frozenset({"release"})


class KeyMap:
    """Which physical key does what.

    Args:
        changed: action id -> key name, as kept in the settings; what does not fit is ignored.
    """

    def __init__(self, changed: Mapping[str, str] | None = None) -> None:
        self._keys = {action.id: action.key for action in ACTIONS}
        for action_id, key in (changed or {}).items():
            if self.can_bind(action_id, key):
                self._keys[action_id] = key

    def key_of(self, action_id: str) -> str:
        """Name of the key that does this."""
        return self._keys[action_id]

    def label_of(self, action_id: str) -> str:
        """What to print for the key, with its chord."""
        action = _BY_ID[action_id]
        return ("Shift + " if action.chord else "") + key_label(self._keys[action_id])

    def find(self, key: str, *, shift: bool) -> Action | None:
        """The action of a key; with Shift a chord wins, and what has none still works (Shift is also *fast*)."""
        plain: Action | None = None
        for action in ACTIONS:
            bound = key == self._keys[action.id] or (key in action.also and self._keys[action.id] == action.key)
            if not bound:
                continue
            if action.chord == "shift":
                if shift:
                    return action
            else:
                plain = action
        return plain

    def can_bind(self, action_id: str, key: str) -> bool:
        """Whether this key may do this: both exist, and Esc stays what it is."""
        return action_id in _BY_ID and action_id not in _FIXED and key in KEY_NAMES and key != "Escape"

    def bind(self, action_id: str, key: str) -> str | None:
        """Give an action another key. An action that had it gets the old key in exchange; returns that action's id, or
        ``None``.
        """
        if not self.can_bind(action_id, key):
            return None
        old = self._keys[action_id]
        chord = _BY_ID[action_id].chord
        swapped = next(
            (
                a.id
                for a in ACTIONS
                if a.id != action_id and self._keys[a.id] == key and a.chord == chord and a.id not in _FIXED
            ),
            None,
        )
        if swapped is not None:
            self._keys[swapped] = old
        self._keys[action_id] = key
        return swapped

    def reset(self) -> None:
        """Every key as it was delivered."""
        self._keys = {action.id: action.key for action in ACTIONS}

    def changed(self) -> dict[str, str]:
        """What differs from delivery, for the settings."""
        return {action.id: self._keys[action.id] for action in ACTIONS if self._keys[action.id] != action.key}
