"""Physical keys: where a key sits, not what is printed on it, so that WASD is the same square on every layout.

Names are those of the W3C's UI Events ``code`` values (``KeyW``, ``ShiftLeft``); numbers are Linux's evdev codes, which
are also the scan codes of Windows for these keys. macOS numbers keys in its own way.
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
_EVDEV |= {
    103: "ArrowUp",
    105: "ArrowLeft",
    106: "ArrowRight",
    108: "ArrowDown",
    102: "Home",
    107: "End",
    111: "Delete",
}
_EVDEV |= {104: "PageUp", 109: "PageDown"}
_EVDEV |= {first + k: name for first, names in _ROWS for k, name in enumerate(names.split())}

_MAC_FROM_0 = [
    "KeyA",
    "KeyS",
    "KeyD",
    "KeyF",
    "KeyH",
    "KeyG",
    "KeyZ",
    "KeyX",
    "KeyC",
    "KeyV",
    "IntlBackslash",
    "KeyB",
    "KeyQ",
    "KeyW",
    "KeyE",
    "KeyR",
    "KeyY",
    "KeyT",
    "Digit1",
    "Digit2",
    "Digit3",
    "Digit4",
    "Digit6",
    "Digit5",
    "Equal",
    "Digit9",
    "Digit7",
    "Minus",
    "Digit8",
    "Digit0",
    "BracketRight",
    "KeyO",
    "KeyU",
    "BracketLeft",
    "KeyI",
    "KeyP",
    "Enter",
    "KeyL",
    "KeyJ",
    "Quote",
    "KeyK",
    "Semicolon",
    "Backslash",
    "Comma",
    "Slash",
    "KeyN",
    "KeyM",
    "Period",
    "Tab",
    "Space",
    "Backquote",
    "Backspace",
]
_MAC = dict(enumerate(_MAC_FROM_0))
_MAC |= {0x35: "Escape", 0x38: "ShiftLeft", 0x3A: "AltLeft", 0x3C: "ShiftRight", 0x3D: "AltRight", 0x4C: "NumpadEnter"}
_MAC |= {0x7A: "F1", 0x78: "F2", 0x63: "F3", 0x76: "F4", 0x60: "F5", 0x61: "F6", 0x62: "F7", 0x64: "F8", 0x65: "F9"}
_MAC |= {
    0x6D: "F10",
    0x67: "F11",
    0x6F: "F12",
    0x7B: "ArrowLeft",
    0x7C: "ArrowRight",
    0x7D: "ArrowDown",
    0x7E: "ArrowUp",
}
_MAC |= {0x73: "Home", 0x77: "End", 0x74: "PageUp", 0x79: "PageDown", 0x75: "Delete"}
_X11_OFFSET = 8

_PRINTED = dict(
    zip(
        [
            "Minus",
            "Equal",
            "BracketLeft",
            "BracketRight",
            "Semicolon",
            "Quote",
            "Backquote",
            "Backslash",
            "Comma",
            "Period",
            "Slash",
        ],
        "-=[];'`\\,./",
        strict=True,
    )
)
_NAMED = {"NumpadEnter": "Enter (pad)", "Escape": "Esc", "Delete": "Del", "IntlBackslash": "<>", "CapsLock": "Caps"}
_NAMED |= {"ShiftLeft": "Shift", "ShiftRight": "Shift (right)", "AltLeft": "Alt", "AltRight": "Alt (right)"}
_NAMED |= {"ControlLeft": "Ctrl", "ControlRight": "Ctrl (right)", "PageUp": "PgUp", "PageDown": "PgDn"}
_NAMED |= {"ArrowUp": "↑", "ArrowDown": "↓", "ArrowLeft": "←", "ArrowRight": "→"}
KEY_NAMES = frozenset(_EVDEV.values())

_Key = Qt.Key
_SAME_IN_QT = (
    "Minus Equal BracketLeft BracketRight Semicolon Backslash Comma Period Slash Space Escape Tab Backspace Delete "
    "Home End PageUp PageDown CapsLock"
)
_BY_QT_KEY: dict[int, str] = {int(getattr(_Key, f"Key_{name}")): name for name in _SAME_IN_QT.split()}
_BY_QT_KEY |= {_Key.Key_Apostrophe: "Quote", _Key.Key_QuoteLeft: "Backquote", _Key.Key_Return: "Enter"}
_BY_QT_KEY |= {_Key.Key_Enter: "NumpadEnter", _Key.Key_Less: "Comma", _Key.Key_Greater: "Period"}
_BY_QT_KEY |= {_Key.Key_Shift: "ShiftLeft", _Key.Key_Alt: "AltLeft", _Key.Key_AltGr: "AltRight"}
_BY_QT_KEY |= {_Key.Key_Control: "ControlLeft", _Key.Key_Up: "ArrowUp", _Key.Key_Down: "ArrowDown"}
_BY_QT_KEY |= {_Key.Key_Left: "ArrowLeft", _Key.Key_Right: "ArrowRight"}
_BY_QT_KEY |= {_Key.Key_A + k: f"Key{chr(ord('A') + k)}" for k in range(26)}
_BY_QT_KEY |= {_Key.Key_0 + k: f"Digit{k}" for k in range(10)}
_BY_QT_KEY |= {_Key.Key_F1 + k: f"F{k + 1}" for k in range(12)}


def key_name(scan_code: int, virtual_key: int, qt_key: int, platform: str) -> str:
    """The physical key's name, or "" for one that Mirage does not use.

    ``platform``: ``x11`` (also Wayland: evdev + 8), ``windows`` (set 1), ``mac`` (virtual key), anything else: what is
    printed on it, read as a US keyboard; so also for events without a scan code (on-screen keyboards, remote desktops,
    tests).
    """
    if platform == "mac":
        return (
            _MAC.get(virtual_key, _BY_QT_KEY.get(qt_key, ""))
            if virtual_key or qt_key == _Key.Key_A
            else _BY_QT_KEY.get(qt_key, "")
        )
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
