"""Every format gives back the path it was given, and says what it cannot hold."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from engine.camera import Camera
from engine.camera_path import CameraPath
from engine.errors import InputError
from engine.formats import FORMATS, detect_format, format_for_writing, read_path, write_path
from tests.engine.paths_support import assert_same, camera_paths, flight

ONE_LENS = ("spatia",)
CENTRED = ("nerfstudio",)


@pytest.mark.parametrize("name", FORMATS)
def test_round_trip_of_a_flight_recognised_by_itself(name: str, tmp_path: Path) -> None:
    path = flight()
    target = tmp_path / FORMATS[name].default_name
    assert write_path(path, target, format=name) == ()
    assert detect_format(target).name == name
    again = read_path(target, size=path[0].size)
    assert_same(path, again)
    assert again.notes == ()
    assert not list(tmp_path.rglob(".*")), "temporary files stayed"


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=15, deadline=None)
@given(data=camera_paths(centred=True))
def test_round_trip_of_any_path(name: str, data: CameraPath) -> None:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / FORMATS[name].default_name
        write_path(data, target, format=name)
        assert_same(data, read_path(target, format=name, size=data[0].size))


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ONE_LENS + CENTRED])
@settings(max_examples=10, deadline=None)
@given(data=camera_paths(zoom=True))
def test_round_trip_keeps_zooms_and_off_centre_lenses(name: str, data: CameraPath) -> None:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / FORMATS[name].default_name
        write_path(data, target, format=name)
        assert_same(data, read_path(target, format=name, size=data[0].size))


def test_mirage_format_is_lossless_to_the_last_bit(tmp_path: Path) -> None:
    path = flight(7)
    path = CameraPath(path.cameras, 23.976, tuple(np.linspace(0.1, 1.7, 7)))
    write_path(path, tmp_path / "flight.json")
    again = read_path(tmp_path / "flight.json")
    assert again == path
    assert all(a == b for a, b in zip(again.cameras, path.cameras, strict=True))


def test_timestamps_and_rate_survive_realestate10k(tmp_path: Path) -> None:
    write_path(CameraPath(flight(5).cameras, 8.0), tmp_path / "poses.txt")
    again = read_path(tmp_path / "poses.txt")
    assert again.fps == 8.0
    np.testing.assert_allclose(again.times_s, np.arange(5) / 8.0)


@pytest.mark.parametrize("name", ["nerfstudio", "nerfstudio-transforms", "lyra-json", "mirage"])
def test_rate_survives(name: str, tmp_path: Path) -> None:
    target = tmp_path / "x.json"
    write_path(CameraPath(flight(3).cameras, 12.5), target, format=name)
    assert read_path(target).fps == 12.5


def test_what_a_format_cannot_hold_is_said(tmp_path: Path) -> None:
    base = flight(2)
    K = base[0].K.copy()
    K[0, 2] += 10.0
    shifted = CameraPath(tuple(Camera(c.c2w, K, c.width, c.height) for c in base.cameras))
    assert "off-centre" in write_path(shifted, tmp_path / "camera_path.json")[0]
    K[0, 0] *= 1.01
    zoomed = CameraPath((base[0], Camera(base[1].c2w, K, base[1].width, base[1].height)))
    assert "zooms are lost" in write_path(zoomed, tmp_path / "w2c.txt")[0]


@pytest.mark.parametrize("name", ["nerfstudio", "lyra", "lyra-json", "paper"])
def test_mixed_sizes_are_refused_where_the_format_has_one_size(name: str, tmp_path: Path) -> None:
    mixed = CameraPath((flight(1)[0], flight(1, width=64, height=64)[0]))
    with pytest.raises(InputError, match="one image size"):
        write_path(mixed, tmp_path / FORMATS[name].default_name, format=name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["mirage", "colmap", "nerfstudio-transforms"])
def test_mixed_sizes_survive_where_the_format_has_them(name: str, tmp_path: Path) -> None:
    mixed = CameraPath((flight(1)[0], flight(2, width=64, height=64)[1]))
    write_path(mixed, tmp_path / FORMATS[name].default_name, format=name)
    assert_same(mixed, read_path(tmp_path / FORMATS[name].default_name))


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("a.json", "mirage"),
        ("camera_path.json", "nerfstudio"),
        ("transforms.json", "nerfstudio-transforms"),
        ("trajectory.npz", "lyra"),
        ("geometry.npz", "paper"),
        ("b.txt", "realestate10k"),
        ("w2c.txt", "spatia"),
        ("poses.npy", "lingbot"),
        ("model", "colmap"),
    ],
)
def test_names_stand_for_formats(target: str, name: str) -> None:
    assert format_for_writing(Path(target)).name == name


@pytest.mark.parametrize("name", FORMATS)
def test_missing_folder_is_one_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"(does not exist|cannot be made)"):
        write_path(flight(2), tmp_path / "nowhere" / FORMATS[name].default_name, format=name)


def test_unknown_format_and_ending(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean colmap"):
        write_path(flight(2), tmp_path / "x", format="colmapp")
    with pytest.raises(InputError, match=r"ends in \.abc"):
        write_path(flight(2), tmp_path / "x.abc")
    with pytest.raises(InputError, match="no camera-path format"):
        read_path(tmp_path / "x", format="nope")


def test_text_formats_state_their_convention(tmp_path: Path) -> None:
    for name in ("mirage", "nerfstudio", "nerfstudio-transforms", "realestate10k", "lyra-json"):
        target = tmp_path / f"{name}.txt"
        write_path(flight(2), target, format=name)
        text = target.read_text()
        assert "camera" in text and ("OpenCV" in text or "OpenGL" in text), name
    write_path(flight(2), tmp_path / "model", format="colmap")
    assert "world-to-camera" in (tmp_path / "model" / "images.txt").read_text()
    for name in ("lyra", "paper"):
        target = tmp_path / f"{name}.npz"
        write_path(flight(2), target, format=name)
        with np.load(target, allow_pickle=False) as archive:
            assert "OpenCV" in str(archive["convention"])
