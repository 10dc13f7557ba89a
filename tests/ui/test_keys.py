"""Physical keys and their bindings."""

from __future__ import annotations

import pytest
from PyQt6.QtCore import Qt

from ui.input.bindings import ACTIONS, KeyMap
from ui.input.keys import KEY_NAMES, key_label, key_name, platform_kind


@pytest.mark.parametrize(
    ("scan_code", "virtual_key", "platform"), [(25, 0, "x11"), (17, 0, "windows"), (0, 0x0D, "mac")]
)
def test_where_w_sits_is_w_whatever_is_printed_on_it(scan_code: int, virtual_key: int, platform: str) -> None:
    # A French keyboard sends Z for the key right of Tab's neighbour; the place is what counts.
    assert key_name(scan_code, virtual_key, Qt.Key.Key_Z, platform) == "KeyW"


@pytest.mark.parametrize(
    ("qt_key", "name"),
    [(Qt.Key.Key_W, "KeyW"), (Qt.Key.Key_Greater, "Period"), (Qt.Key.Key_Return, "Enter"), (Qt.Key.Key_F11, "F11")],
)
def test_without_a_scan_code_the_printed_key_counts(qt_key: Qt.Key, name: str) -> None:
    assert key_name(0, 0, qt_key, "x11") == name
    assert key_name(0, 0, qt_key, "none") == name


def test_unknown_keys_have_no_name() -> None:
    assert key_name(250, 0, Qt.Key.Key_MediaPlay, "x11") == ""


def test_mac_counts_from_zero_and_a_is_zero() -> None:
    assert key_name(0, 0, Qt.Key.Key_A, "mac") == "KeyA"
    assert key_name(0, 0x7E, Qt.Key.Key_Up, "mac") == "ArrowUp"


def test_platforms() -> None:
    assert platform_kind("xcb") == platform_kind("wayland") == "x11"
    assert platform_kind("windows") == "windows"
    assert platform_kind("cocoa") == "mac"
    assert platform_kind("offscreen") == "none"


def test_every_action_has_a_key_that_exists_and_a_label() -> None:
    keys = KeyMap()
    for action in ACTIONS:
        assert keys.key_of(action.id) in KEY_NAMES
        assert keys.label_of(action.id)
        assert set(action.also) <= KEY_NAMES


def test_no_two_actions_share_a_key() -> None:
    taken = [(key, action.chord) for action in ACTIONS for key in (action.key, *action.also)]
    assert len(taken) == len(set(taken))


def test_shift_finds_the_chord_and_still_flies() -> None:
    keys = KeyMap()
    assert keys.find("Comma", shift=False).id == "step_back"  # type: ignore[union-attr]
    assert keys.find("Comma", shift=True).id == "previous_key"  # type: ignore[union-attr]
    assert keys.find("KeyW", shift=True).id == "forward"  # type: ignore[union-attr]


def test_binding_a_taken_key_swaps() -> None:
    keys = KeyMap()
    assert keys.bind("forward", "KeyS") == "back"
    assert (keys.key_of("forward"), keys.key_of("back")) == ("KeyS", "KeyW")
    assert keys.find("KeyW", shift=False).id == "back"  # type: ignore[union-attr]
    assert keys.changed() == {"forward": "KeyS", "back": "KeyW"}
    keys.reset()
    assert keys.changed() == {}


def test_escape_stays_what_it_is() -> None:
    keys = KeyMap()
    assert keys.bind("forward", "Escape") is None
    assert keys.bind("release", "KeyX") is None
    assert keys.key_of("forward") == "KeyW"


def test_a_rebound_action_gives_up_its_spare_key() -> None:
    keys = KeyMap()
    keys.bind("help", "KeyJ")
    assert keys.find("F1", shift=False) is None
    assert keys.find("KeyJ", shift=False).id == "help"  # type: ignore[union-attr]


def test_settings_from_elsewhere_cannot_break_the_keys() -> None:
    keys = KeyMap({"forward": "KeyI", "nonsense": "KeyX", "back": "Nokey", "release": "KeyQ"})
    assert keys.key_of("forward") == "KeyI"
    assert keys.key_of("back") == "KeyS"
    assert keys.key_of("release") == "Escape"


def test_labels() -> None:
    assert [key_label(k) for k in ("KeyW", "Digit3", "Comma", "ShiftLeft", "F11")] == ["W", "3", ",", "Shift", "F11"]
    assert KeyMap().label_of("next_key") == "Shift + ."
