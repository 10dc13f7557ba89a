"""Keyframe splines, and the one place that turns ``--path`` into cameras."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.camera import Camera, c2w_from_angles
from engine.camera_path import CameraPath, fit_camera, fps_fraction
from engine.errors import InputError
from engine.formats import write_path
from engine.keyframes import EASINGS, Keyframe, PathSpec, ease
from engine.path import PRESETS, describe_presets, parse_preset, preset_to_text, resolve_path
from tests.engine.paths_support import flight

START = Camera.from_fov(c2w_from_angles(np.array([3.0, 4.0, 2.0]), 30.0, -8.0), 50.0, 448, 256)


def turns_deg(path: CameraPath) -> np.ndarray:
    rotations = path.c2ws[:, :3, :3]
    cosines = (np.einsum("nij,nij->n", rotations[:-1], rotations[1:]) - 1.0) / 2.0
    return np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0)))


def steps_m(path: CameraPath) -> np.ndarray:
    return np.linalg.norm(np.diff(path.positions, axis=0), axis=1)


# -------------------------------------------------------------------------------------------------------- keyframes


def keyframe(place: tuple[float, float, float], yaw: float, **keywords: object) -> Keyframe:
    return Keyframe(c2w_from_angles(np.array(place), yaw, 0.0), **{"fov_deg": 50.0, **keywords})  # type: ignore[arg-type]


KEYS = (
    keyframe((0, 0, 1), 0.0, seconds=1.0),
    keyframe((4, 1, 1), 40.0, seconds=0.5, fov_deg=35.0),
    keyframe((5, 5, 3), 130.0, seconds=2.0, fov_deg=60.0),
    keyframe((1, 6, 2), 200.0, seconds=1.0),
)


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("position", ["catmull-rom", "pchip", "linear"])
@pytest.mark.parametrize("rotation", ["spline", "slerp"])
def test_splines_pass_through_their_keyframes_to_the_last_bit(closed: bool, position: str, rotation: str) -> None:
    spec = PathSpec(KEYS, position=position, rotation=rotation, closed=closed)  # type: ignore[arg-type]
    c2ws, fovs_deg = spec.sample(spec.times_s)
    for i, key in enumerate((*KEYS, KEYS[0]) if closed else KEYS):
        assert np.array_equal(c2ws[i], key.c2w) and fovs_deg[i] == key.fov_deg


@settings(max_examples=30, deadline=None)
@given(
    places=st.lists(st.tuples(*[st.floats(-20, 20)] * 3), min_size=1, max_size=6),
    seconds=st.lists(st.floats(0.05, 5.0), min_size=6, max_size=6),
    easings=st.lists(st.sampled_from(EASINGS), min_size=6, max_size=6),
    closed=st.booleans(),
)
def test_any_keyframes_give_rigid_finite_poses(
    places: list[tuple[float, float, float]], seconds: list[float], easings: list, closed: bool
) -> None:
    keys = [
        keyframe(place, 57.0 * i, seconds=seconds[i], easing=easings[i], fov_deg=40.0 + i)
        for i, place in enumerate(places)
    ]
    spec = PathSpec(tuple(keys), closed=closed)
    path = spec.evaluate((64, 64), frames=40)
    rotations = path.c2ws[:, :3, :3]
    np.testing.assert_allclose(rotations @ rotations.transpose(0, 2, 1), np.tile(np.eye(3), (40, 1, 1)), atol=1e-9)
    reach = np.abs(np.array(places)).max() + 1.0
    assert np.abs(path.positions).max() <= 3.0 * reach, "the spline does not swing out"
    fovs = [camera.fov_deg for camera in path.cameras]
    assert (min(fovs) >= 40.0 - 1e-6 and max(fovs) <= 39.0 + len(places) + 1e-6) or len(places) == 1


@pytest.mark.parametrize("closed", [False, True])
def test_motion_is_smooth_through_keyframes(closed: bool) -> None:
    spec = PathSpec(KEYS, closed=closed)
    for at_s in spec.times_s[1:-1]:
        around = spec.sample(at_s + np.array([-2e-4, -1e-4, 0.0, 1e-4, 2e-4]))[0]
        before, after = (around[1] - around[0]) / 1e-4, (around[4] - around[3]) / 1e-4
        np.testing.assert_allclose(before, after, atol=0.02, err_msg="velocity jumps")
    if closed:
        ends = spec.sample(np.array([0.0, 1e-4, spec.seconds - 1e-4, spec.seconds]))[0]
        np.testing.assert_allclose(ends[1] - ends[0], ends[3] - ends[2], atol=2e-6)


def test_easing_rests_where_it_should() -> None:
    u = np.linspace(0, 1, 101)
    for kind in EASINGS:
        eased = ease(kind, u)
        assert (np.diff(eased) >= 0).all() and eased[0] == 0.0
        assert eased[-1] == (0.0 if kind == "hold" else 1.0)
    smooth = PathSpec((replace(KEYS[0], easing="smooth"), KEYS[1]))
    speeds = steps_m(smooth.evaluate((64, 64), frames=60))
    assert speeds[0] < 0.1 * speeds.max() and speeds[-1] < 0.1 * speeds.max()
    hold = PathSpec((replace(KEYS[0], easing="hold"), KEYS[1])).evaluate((64, 64), frames=10)
    assert all(np.array_equal(camera.c2w, KEYS[0].c2w) for camera in hold.cameras[:-1])
    assert np.array_equal(hold[-1].c2w, KEYS[1].c2w)


def test_uneven_keyframes_make_no_loops() -> None:
    """Two keyframes close together beside one far away: a uniform Catmull-Rom spline would swing backwards."""
    keys = [keyframe((x, 0, 0), 0.0, seconds=s) for x, s in ((0, 1.0), (10, 0.2), (10.2, 1.0), (20, 1.0))]
    x = PathSpec(tuple(keys)).evaluate((64, 64), frames=400).positions[:, 0]
    assert np.diff(x).min() > -1e-3


def test_films_are_as_long_as_their_keyframes_say() -> None:
    spec = PathSpec(KEYS)
    assert spec.seconds == 3.5 and spec.frames_at(24.0) == 85
    assert len(spec.evaluate((64, 64), fps=24.0)) == 85
    assert PathSpec(KEYS, closed=True).seconds == 4.5
    assert len(PathSpec(KEYS[:1]).evaluate((64, 64))) == 1


def test_keyframes_through_a_path_give_it_back() -> None:
    path = flight(5)
    again = PathSpec.through(path).evaluate(path[0].size, frames=5)
    np.testing.assert_allclose(again.c2ws, path.c2ws, atol=1e-9)
    np.testing.assert_allclose(again.Ks, path.Ks)


@pytest.mark.parametrize(
    ("keywords", "word"),
    [
        ({"fov_deg": 0.0}, "field of view"),
        ({"fov_deg": float("nan")}, "field of view"),
        ({"seconds": 0.0}, "seconds"),
        ({"easing": "wild"}, "easing"),
        ({"c2w": np.eye(3)}, "4x4"),
        ({"c2w": 2 * np.eye(4)}, "rigid"),
        ({"c2w": np.diag([1.0, 1.0, -1.0, 1.0])}, "rigid"),
        ({"c2w": np.full((4, 4), np.nan)}, "finite"),
    ],
)
def test_keyframes_are_checked(keywords: dict, word: str) -> None:
    with pytest.raises(InputError, match=word):
        Keyframe(**{"c2w": np.eye(4), "fov_deg": 50.0, **keywords})
    with pytest.raises(InputError, match="1 to"):
        PathSpec(())


# ------------------------------------------------------------------------------------------------------ resolve_path


def test_presets_by_name_with_options() -> None:
    path = resolve_path("orbit:radius_m=6,degrees=90", START, frames=10, size=(128, 224), fps=12.0)
    assert len(path) == 10 and path.fps == 12.0 and path[0].size == (128, 224)
    assert np.array_equal(path[0].c2w, START.c2w) and path[0].fov_deg == pytest.approx(50.0)
    assert len(resolve_path("Loop", START)) == 120
    assert resolve_path("look_around:degrees=30", START, 3)[2].yaw_deg == pytest.approx(60.0)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_being_copied_as_text(name: str) -> None:
    cls = PRESETS[name]
    values = {
        item.name: True if item.type == "bool" else 1.25
        for item in fields(cls)
        if item.name not in ("step_m", "clearance_m", "zoom")
    }
    preset = cls(**values)  # type: ignore[arg-type]
    assert parse_preset(preset_to_text(preset)) == preset
    assert preset_to_text(cls()) == name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lop", "did you mean loop"),
        ("", "empty"),
        ("  ", "empty"),
        ("nowhere.json", "does not exist"),
        ("a/b/c", "does not exist"),
        ("x" * 5000, "neither a path preset"),
        ("\0", "empty"),
        ("loop:distance=3", "options"),
        ("loop:distance_m", "name=value"),
        ("loop:distance_m=far", "number"),
        ("loop:distance_m=nan", "finite"),
        ("loop:distance_m=1e9", "between"),
        ("loop:distance_m=1,distance_m=2", "twice"),
        ("dolly:zoom=perhaps", "yes or no"),
        ("orbit:radius_m=-1", "radius_m"),
    ],
)
def test_one_sentence_for_a_wrong_path(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        resolve_path(text, START, 10)
    assert str(caught.value).endswith((".", "?")) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("frames", "size", "fps"), [(0, None, None), (100_001, None, None), (5, (0, 4), None), (5, None, 0.0)]
)
def test_one_sentence_for_wrong_numbers(frames: int, size: tuple[int, int] | None, fps: float | None) -> None:
    with pytest.raises(InputError):
        resolve_path("loop", START, frames, size, fps=fps)


def test_files_are_flown_exactly_as_they_are(tmp_path: Path) -> None:
    path = flight(6)
    write_path(path, tmp_path / "flight.json")
    file = str(tmp_path / "flight.json")
    assert resolve_path(file, START) == path
    short = resolve_path(file, START, frames=4)
    assert np.array_equal(short.c2ws, path.c2ws[:4])
    long = resolve_path(file, START, frames=10)
    assert len(long) == 6 and "fewer than the 10" in long.notes[0]
    ground = resolve_path(file, START, ground_height_m=lambda xy: np.full(len(xy), 100.0))
    assert np.array_equal(ground.c2ws, path.c2ws), "poses from a file are never changed by the ground"
    assert (
        "6 of the 6 cameras" in ground.notes[0]
        and resolve_path(file, START).notes == ()
        and "below the ground" in ground.notes[0]
    )


def test_another_size_changes_intrinsics_alone(tmp_path: Path) -> None:
    path = flight(3)
    write_path(path, tmp_path / "flight.json")
    small = resolve_path(str(tmp_path / "flight.json"), START, size=(128, 128))
    assert np.array_equal(small.c2ws, path.c2ws)
    assert small[0].fov_deg == pytest.approx(50.0) and small[0].K[0, 0] == pytest.approx(small[0].K[1, 1])
    assert small[0].K[0, 2] == pytest.approx(64.0)
    assert pytest.approx(path[0].K) == fit_camera(fit_camera(path[0], 100, 300), 448, 256).K


def test_anchoring_moves_the_path_as_one_piece(tmp_path: Path) -> None:
    path = flight(5)
    write_path(path, tmp_path / "flight.txt")
    moved = resolve_path(f"{tmp_path / 'flight.txt'}:anchor=start", START)
    assert np.array_equal(moved[0].c2w, START.c2w)
    for i in range(1, 5):
        np.testing.assert_allclose(moved[0].w2c @ moved[i].c2w, path[0].w2c @ path[i].c2w, atol=1e-9)
    (tmp_path / "axes.txt").write_text("0 0.5 0.9 0.5 0.5 0 0 1 0 0 0 0 1 0 0 0 0 1 0\n")
    notes = resolve_path(str(tmp_path / "axes.txt"), START).notes
    assert "tilted by 90 degrees" in notes[0] and "anchor=start" in notes[0]
    far = Camera(c2w_from_angles(np.array([500.0, 0, 2]), 0, 0), START.K, 448, 256)
    assert "anchor=start" in resolve_path(str(tmp_path / "flight.txt"), far).notes[0]


def test_resampling_spreads_a_file_over_the_frames(tmp_path: Path) -> None:
    path = flight(5)
    write_path(path, tmp_path / "flight.json")
    dense = resolve_path(f"{tmp_path / 'flight.json'}:resample=yes", START, frames=41)
    assert len(dense) == 41
    np.testing.assert_allclose(dense.c2ws[::10], path.c2ws, atol=1e-9)
    assert steps_m(dense).max() < 0.2


@pytest.mark.parametrize("options", ["anchor=moon", "format=excel", "speed=2", "anchor=start,anchor=start", "anchor="])
def test_file_options_are_checked(tmp_path: Path, options: str) -> None:
    write_path(flight(2), tmp_path / "flight.json")
    with pytest.raises(InputError):
        resolve_path(f"{tmp_path / 'flight.json'}:{options}", START)


def test_a_files_format_can_be_said(tmp_path: Path) -> None:
    write_path(flight(3), tmp_path / "flight.dat", format="realestate10k")
    file = str(tmp_path / "flight.dat")
    with pytest.raises(InputError, match="name its format"):
        resolve_path(file, START)
    assert len(resolve_path(f"{file}:format=realestate10k", START)) == 3
    assert len(resolve_path(file, START, format="realestate10k")) == 3


def test_a_file_whose_name_has_a_colon(tmp_path: Path) -> None:
    write_path(flight(2), tmp_path / "a:b=c.json")
    assert len(resolve_path(str(tmp_path / "a:b=c.json"), START)) == 2


def test_rates_become_the_ratios_containers_store() -> None:
    assert fps_fraction(23.976).numerator == 24000 and fps_fraction(29.97).denominator == 1001
    assert fps_fraction(24.0) == 24 and fps_fraction(12.5) == 12.5
    for wrong in (0.0, -1.0, float("nan"), float("inf"), 1e9):
        with pytest.raises(InputError):
            fps_fraction(wrong)


def test_presets_describe_themselves() -> None:
    rows = describe_presets()
    assert [row[0] for row in rows] == list(PRESETS) and all(about for _, _, about in rows)


def test_paths_films_and_pictures_need_no_torch_and_no_qt() -> None:
    """The user interface imports them; it must stay light."""
    modules = "engine.path, engine.formats, engine.fly, engine.video, engine.video_reader, engine.images"
    code = f"import sys, {modules}; print([m for m in ('torch', 'PyQt6', 'open3d') if m in sys.modules])"
    root = str(Path(__file__).parents[2])
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True, timeout=60)
    assert run.stdout.strip() == "[]"
