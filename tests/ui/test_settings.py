"""What is remembered between two starts, and what a damaged file costs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ui.settings import MAX_RECENT, Settings, SettingsStore


def test_settings_come_back(tmp_path: Path) -> None:
    path = tmp_path / "mirage" / "settings.json"
    store = SettingsStore(path)
    store.values.speed_mps = 7.5
    store.values.keys = {"forward": "KeyI"}
    store.values.invert_look = True
    store.save()
    again = SettingsStore(path).values
    assert (again.speed_mps, again.keys, again.invert_look) == (7.5, {"forward": "KeyI"}, True)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", "\x00\x01", '{"speed_mps": "fast"}'])
def test_a_damaged_file_costs_only_itself(tmp_path: Path, text: str) -> None:
    path = tmp_path / "settings.json"
    path.write_text(text, encoding="utf-8")
    assert SettingsStore(path).values == Settings()


def test_what_fits_is_kept_and_what_does_not_is_left(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    stored = {"speed_mps": 1e9, "font_scale": -3, "show_hud": 1, "keys": {"a": 3}, "seed": 12, "future": True}
    path.write_text(json.dumps(stored), encoding="utf-8")
    values = SettingsStore(path).values
    assert values.speed_mps == 200.0
    assert values.font_scale == 0.8
    assert values.show_hud is False
    assert values.keys == {}
    assert values.seed == 12


def test_not_a_number_is_not_a_setting(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text('{"speed_mps": NaN, "fov_deg": Infinity}', encoding="utf-8")
    values = SettingsStore(path).values
    assert (values.speed_mps, values.fov_deg) == (Settings().speed_mps, Settings().fov_deg)


def test_a_disk_that_refuses_does_not_stop_the_app(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    SettingsStore(blocked / "settings.json").save()
    assert blocked.read_text() == "in the way"


def test_recent_sessions_newest_first_without_repeats(tmp_path: Path) -> None:
    values = Settings()
    paths = [tmp_path / f"{k}.mirage" for k in range(MAX_RECENT + 2)]
    for path in paths:
        path.touch()
        values.add_recent(path)
    values.add_recent(paths[-2])
    assert len(values.recent) == MAX_RECENT
    assert values.recent_paths()[:2] == [paths[-2], paths[-1]]
    paths[-1].unlink()
    assert paths[-1] not in values.recent_paths()
