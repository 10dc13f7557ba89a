"""Physical keys: where a key sits, not what is printed on it, so that WASD is the same square on every layout.

Names are those of the W3C's UI Events ``code`` values (``KeyW``, ``ShiftLeft``); numbers are Linux's evdev codes, which are also the
scan codes of Windows for these keys. macOS numbers keys in its own way.
"""

from __future__ import annotations

import sys

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QKeyEvent

_ROWS: tuple[tuple[int, str], ...] = (
    (2, "Digit1 Digit2 Digit3 Digit4 Digit5 Digit6 Digit7 Digit8 Digit9 Digit0 Minus Equal Backspace Tab"),
    (16, "KeyQ KeyW KeyE KeyR KeyT KeyY KeyU KeyI KeyO KeyP BracketLeft BracketRight Enter ControlLeft"),
    (30, "KeyA KeyS KeyD KeyF KeyG KeyH KeyJ KeyK KeyL Semicolon Quote Backquote ShiftLeft Backslash"),
    (44, "KeyZ KeyX KeyC KeyV KeyB KeyN KeyM Comma Period Slash ShiftRight"),
    (56, "AltLeft Space CapsLock F1 F2 F3 F4 F5 F6 F7 F8 F9 F10"),
    (87, "F11 F12"),
)
_EVDEV: dict[int, str] = {1: "Escape", 86: "IntlBackslash", 96: "NumpadEnter", 97: "ControlRight", 100: "AltRight"}
_EVDEV |= {103: "ArrowUp", 105: "ArrowLeft", 106: "ArrowRight", 108: "ArrowDown", 102: "Home", 107: "End", 111: "Delete"}
_EVDEV |= {104: "PageUp", 109: "PageDown"}
_EVDEV |= {first + k: name for first, names in _ROWS for k, name in enumerate(names.split())}

_MAC_NAMES = {
    "KeyA": 0x00, "KeyS": 0x01, "KeyD": 0x02, "KeyF": 0x03, "KeyH": 0x04, "KeyG": 0x05, "KeyZ": 0x06, "KeyX": 0x07, "KeyC": 0x08,
    "KeyV": 0x09, "IntlBackslash": 0x0A, "KeyB": 0x0B, "KeyQ": 0x0C, "KeyW": 0x0D, "KeyE": 0x0E, "KeyR": 0x0F, "KeyY": 0x10,
    "KeyT": 0x11, "Digit1": 0x12, "Digit2": 0x13, "Digit3": 0x14, "Digit4": 0x15, "Digit6": 0x16, "Digit5": 0x17, "Equal": 0x18,
    "Digit9": 0x19, "Digit7": 0x1A, "Minus": 0x1B, "Digit8": 0x1C, "Digit0": 0x1D, "BracketRight": 0x1E, "KeyO": 0x1F, "KeyU": 0x20,
    "BracketLeft": 0x21, "KeyI": 0x22, "KeyP": 0x23, "Enter": 0x24, "KeyL": 0x25, "KeyJ": 0x26, "Quote": 0x27, "KeyK": 0x28,
    "Semicolon": 0x29, "Backslash": 0x2A, "Comma": 0x2B, "Slash": 0x2C, "KeyN": 0x2D, "KeyM": 0x2E, "Period": 0x2F, "Tab": 0x30,
    "Space": 0x31, "Backquote": 0x32, "Backspace": 0x33, "Escape": 0x35, "ShiftLeft": 0x38, "AltLeft": 0x3A, "ShiftRight": 0x3C,
    "AltRight": 0x3D, "NumpadEnter": 0x4C, "F1": 0x7A, "F2": 0x78, "F3": 0x63, "F4": 0x76, "F5": 0x60, "F6": 0x61, "F7": 0x62,
    "F8": 0x64, "F9": 0x65, "F10": 0x6D, "F11": 0x67, "F12": 0x6F, "ArrowLeft": 0x7B, "ArrowRight": 0x7C, "ArrowDown": 0x7D,
    "ArrowUp": 0x7E, "Home": 0x73, "End": 0x77, "PageUp": 0x74, "PageDown": 0x79, "Delete": 0x75,
}  # fmt: skip
_MAC = {code: name for name, code in _MAC_NAMES.items()}
_X11_OFFSET = 8

_PRINTED = {
    "Minus": "-", "Equal": "=", "BracketLeft": "[", "BracketRight": "]", "Semicolon": ";", "Quote": "'", "Backquote": "`",
    "Backslash": "\\", "Comma": ",", "Period": ".", "Slash": "/", "IntlBackslash": "<>",
}  # fmt: skip
_NAMED = {
    "Space": "Space", "Enter": "Enter", "NumpadEnter": "Enter (pad)", "Escape": "Esc", "Tab": "Tab", "Backspace": "Backspace",
    "Delete": "Del", "ShiftLeft": "Shift", "ShiftRight": "Shift (right)", "AltLeft": "Alt", "AltRight": "Alt (right)",
    "ControlLeft": "Ctrl", "ControlRight": "Ctrl (right)", "ArrowUp": "↑", "ArrowDown": "↓", "ArrowLeft": "←", "ArrowRight": "→",
    "PageUp": "PgUp", "PageDown": "PgDn", "CapsLock": "Caps",
}  # fmt: skip
KEY_NAMES = frozenset(_EVDEV.values())

_Key = Qt.Key
_BY_QT_KEY: dict[int, str] = {
    _Key.Key_Minus: "Minus", _Key.Key_Equal: "Equal", _Key.Key_BracketLeft: "BracketLeft", _Key.Key_BracketRight: "BracketRight",
    _Key.Key_Semicolon: "Semicolon", _Key.Key_Apostrophe: "Quote", _Key.Key_QuoteLeft: "Backquote", _Key.Key_Backslash: "Backslash",
    _Key.Key_Comma: "Comma", _Key.Key_Less: "Comma", _Key.Key_Period: "Period", _Key.Key_Greater: "Period", _Key.Key_Slash: "Slash",
    _Key.Key_Space: "Space", _Key.Key_Return: "Enter", _Key.Key_Enter: "NumpadEnter", _Key.Key_Escape: "Escape", _Key.Key_Tab: "Tab",
    _Key.Key_Backspace: "Backspace", _Key.Key_Delete: "Delete", _Key.Key_Shift: "ShiftLeft", _Key.Key_Alt: "AltLeft",
    _Key.Key_AltGr: "AltRight", _Key.Key_Control: "ControlLeft", _Key.Key_Up: "ArrowUp", _Key.Key_Down: "ArrowDown",
    _Key.Key_Left: "ArrowLeft", _Key.Key_Right: "ArrowRight", _Key.Key_Home: "Home", _Key.Key_End: "End",
    _Key.Key_PageUp: "PageUp", _Key.Key_PageDown: "PageDown", _Key.Key_CapsLock: "CapsLock",
}  # fmt: skip
_BY_QT_KEY |= {_Key.Key_A + k: f"Key{chr(ord('A') + k)}" for k in range(26)}
_BY_QT_KEY |= {_Key.Key_0 + k: f"Digit{k}" for k in range(10)}
_BY_QT_KEY |= {_Key.Key_F1 + k: f"F{k + 1}" for k in range(12)}


def key_name(scan_code: int, virtual_key: int, qt_key: int, platform: str) -> str:
    """The physical key's name, or "" for one that Mirage does not use.

    ``platform``: ``x11`` (also Wayland: evdev + 8), ``windows`` (set 1), ``mac`` (virtual key), anything else: what is printed on it,
    read as a US keyboard; so also for events without a scan code (on-screen keyboards, remote desktops, tests).
    """
    if platform == "mac":
        return _MAC.get(virtual_key, _BY_QT_KEY.get(qt_key, "")) if virtual_key or qt_key == _Key.Key_A else _BY_QT_KEY.get(qt_key, "")
    if scan_code > 0 and platform in ("x11", "windows"):
        evdev = scan_code - _X11_OFFSET if platform == "x11" else scan_code
        if evdev in _EVDEV:
            return _EVDEV[evdev]
    return _BY_QT_KEY.get(qt_key, "")


def platform_kind(qpa_name: str) -> str:
    """How Qt's platform plug-in numbers keys."""
    if qpa_name in ("xcb", "wayland", "wayland-egl"):
        return "x11"
    if qpa_name == "windows" or (not qpa_name and sys.platform == "win32"):
        return "windows"
    return "mac" if qpa_name == "cocoa" else "none"


def physical_key(event: QKeyEvent, platform: str) -> str:
    """The name of the key behind an event."""
    return key_name(event.nativeScanCode(), event.nativeVirtualKey(), int(event.key()), platform)


def key_label(name: str) -> str:
    """What to call a key on screen."""
    if name in _NAMED:
        return _NAMED[name]
    if name in _PRINTED:
        return _PRINTED[name]
    return name.removeprefix("Key").removeprefix("Digit")
