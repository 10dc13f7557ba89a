"""Malformed camera paths: one sentence that names the file, the place, the problem and the remedy; nothing else."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.camera_path import CameraPath
from engine.errors import InputError
from engine.formats import FORMATS, read_path, write_path
from engine.formats import base as formats_base
from tests.engine.paths_support import flight

LINE = "0 0.5 0.9 0.5 0.5 0 0 1 0 0 0 0 1 0 0 0 0 1 0"


def refused(path: Path, *words: str, format: str | None = None) -> None:
    """Reading fails with one sentence that holds all ``words``."""
    with pytest.raises(InputError) as caught:
        read_path(path, format=format)
    sentence = str(caught.value)
    for word in words:
        assert word in sentence, sentence
    assert sentence.endswith(".") and "\n" not in sentence and len(sentence) < 400


def test_missing_empty_and_unknown(tmp_path: Path) -> None:
    refused(tmp_path / "nothing.txt", "nothing.txt", "no such file")
    for content in ("", "   \n \n"):
        (tmp_path / "empty.txt").write_text(content)
        refused(tmp_path / "empty.txt", "empty.txt", "empty")
    (tmp_path / "readme.txt").write_text("hello, world\n")
    refused(tmp_path / "readme.txt", "no camera path", "realestate10k")
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder", "folder", "no camera path")
    (tmp_path / "photo.txt").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    refused(tmp_path / "photo.txt", "not text", format="realestate10k")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (LINE + " 7", ("line 2", "19 numbers", "20")),
        (LINE[:-2], ("line 2", "19 numbers", "18")),
        (LINE.replace("0.9", "nan"), ("line 2, number 3", "nan")),
        (LINE.replace("0.9", "inf"), ("line 2, number 3", "inf")),
        (LINE.replace("0.9", "x9"), ("line 2, number 3", "x9")),
        (LINE.replace("0.9", "1_0"), ("line 2, number 3", "1_0")),
        (LINE.replace("0.9", "-0.9"), ("line 2", "fy", "positive")),
        (LINE.replace("0.9", "0"), ("line 2", "fy", "positive")),
        ("0 0.5 0.9 0.5 0.5 0 0 1.1 0 0 0 0 1 0 0 0 0 1 0", ("line 2", "not rigid", "0.21", "scale")),
        ("0 0.5 0.9 0.5 0.5 0 0 -1 0 0 0 0 1 0 0 0 0 1 0", ("line 2", "mirrors")),
        ("0 0.5 0.9 0.5 0.5 0 0 0 0 0 0 0 0 0 0 0 0 0 0", ("line 2", "not rigid")),
        ("0 0.5 0.9 0.5 0.5 0 0 1e300 0 0 0 0 1 0 0 0 0 1 0", ("line 2", "no rotation")),
        ("0 0.5 0.9 0.5 0.5 0 0 1 0 0 1e12 0 1 0 0 0 0 1 0", ("line 2", "position")),
    ],
)
def test_realestate10k_names_line_and_number(tmp_path: Path, line: str, words: tuple[str, ...]) -> None:
    file = tmp_path / "poses.txt"
    file.write_text(f"{LINE}\n{line}\n")
    refused(file, "poses.txt", *words)


def test_rotations_within_tolerance_become_the_nearest_rotation(tmp_path: Path) -> None:
    file = tmp_path / "poses.txt"
    file.write_text(LINE.replace(" 1 0 0 0 0 1", " 1.0002 0 0 0 0 1") + "\n")
    np.testing.assert_allclose(read_path(file)[0].c2w[:3, :3], np.eye(3), atol=1e-12)


def test_too_many_poses_and_too_large_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "poses.txt"
    file.write_text((LINE + "\n") * 100_001)
    refused(file, "100,0", "at most 100,000")
    monkeypatch.setattr(formats_base, "MAX_FILE_BYTES", 1 << 20)
    refused(file, "MiB", "100,000 poses")


def edited(name: str, change: Callable[[dict], None], tmp_path: Path) -> Path:
    """A valid JSON file of a format, changed."""
    file = tmp_path / FORMATS[name].default_name
    write_path(flight(3), file, format=name)
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))
    return file


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("nerfstudio", lambda d: d.pop("camera_path"), ("camera_path", "missing")),
        ("nerfstudio", lambda d: d.update(camera_path=[]), ("no camera pose",)),
        ("nerfstudio", lambda d: d["camera_path"][1].pop("camera_to_world"), ("camera_path[1]", "camera_to_world")),
        ("nerfstudio", lambda d: d["camera_path"][1]["camera_to_world"].pop(), ("camera_path[1]", "16 numbers", "15")),
        ("nerfstudio", lambda d: d["camera_path"][2].update(fov=0), ("camera_path[2].fov", "0.1")),
        ("nerfstudio", lambda d: d["camera_path"][2].update(fov="wide"), ("camera_path[2].fov", "number")),
        ("nerfstudio", lambda d: d["camera_path"][2].update(fov=float("nan")), ("camera_path[2].fov", "NaN")),
        ("nerfstudio", lambda d: d.update(camera_type="equirectangular"), ("camera_type", "perspective")),
        ("nerfstudio", lambda d: d.update(render_height=-4), ("render_height",)),
        ("nerfstudio", lambda d: d.update(fps=0), ("fps",)),
        ("nerfstudio", lambda d: d.update(fps=10**400), ("fps",)),
        ("nerfstudio", lambda d: d["camera_path"].insert(0, 7), ("camera_path[0]", "object")),
        ("nerfstudio-transforms", lambda d: d.pop("fl_x") and d.pop("fl_y"), ("fl_x", "camera_angle_x")),
        ("nerfstudio-transforms", lambda d: d.pop("w"), ("size w",)),
        ("nerfstudio-transforms", lambda d: d.update(w=True), ("size w",)),
        ("nerfstudio-transforms", lambda d: d["frames"][0].pop("transform_matrix"), ("frames[0]", "transform_matrix")),
        ("nerfstudio-transforms", lambda d: d["frames"][0]["transform_matrix"].pop(), ("frames[0]", "16 numbers")),
        ("nerfstudio-transforms", lambda d: d.update(camera_model="OPENCV_FISHEYE"), ("camera_model", "undistort")),
        ("nerfstudio-transforms", lambda d: d.update(frames={}), ("frames", "missing")),
        ("lyra-json", lambda d: d.pop("image_width"), ("image_width", "missing")),
        ("lyra-json", lambda d: d["w2c"][1][0].pop(), ("w2c", "one shape")),
        ("lyra-json", lambda d: d.update(w2c=[]), ("no camera pose",)),
        ("lyra-json", lambda d: d.update(w2c="x"), ("w2c", "list")),
        ("lyra-json", lambda d: d["intrinsics"].pop(), ("intrinsics", "2 intrinsics for 3 poses")),
        ("lyra-json", lambda d: d["w2c"][1][3].__setitem__(3, 2.0), ("w2c[1]", "0 0 0 1")),
        ("lyra-json", lambda d: d["w2c"][1][0].__setitem__(3, float("nan")), ("w2c[1]", "NaN")),
        ("mirage", lambda d: d.update(version=2), ("version", "update Mirage")),
        ("mirage", lambda d: d.update(version=True), ("version",)),
        ("mirage", lambda d: d.pop("cameras"), ("neither cameras nor keyframes",)),
        ("mirage", lambda d: d.pop("K"), ("cameras[0]", "K is missing")),
        ("mirage", lambda d: d.pop("width"), ("cameras[0]", "width")),
        ("mirage", lambda d: d["K"][1].__setitem__(0, 3.0), ("K", "pinhole")),
        ("mirage", lambda d: d["cameras"][0].update(time_s=1.0), ("1 of 3", "time_s")),
        ("mirage", lambda d: [c.update(time_s=-i) for i, c in enumerate(d["cameras"])], ("backwards",)),
        ("mirage", lambda d: d.update(fps="fast"), ("fps", "numbers")),
    ],
)
def test_json_files_name_the_field(name: str, change: Callable, words: tuple[str, ...], tmp_path: Path) -> None:
    file = edited(name, change, tmp_path)
    refused(file, file.name, *words, format=name)


@pytest.mark.parametrize("name", ["mirage", "nerfstudio", "nerfstudio-transforms", "lyra-json"])
def test_truncated_and_absurd_json(name: str, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    write_path(flight(3), file, format=name)
    text = file.read_text()
    file.write_text(text[: len(text) // 2])
    refused(file, "x.json", "line", "JSON is broken", format=name)
    for content in ("[" * 100_000, '{"a": ' * 50_000, "1" * 5000, "[]", "7", "null", '"text"', "{}"):
        file.write_text(content)
        refused(file, "x.json", format=name)


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("cameras.txt", "PINHOLE", "FISHEYE", ("cameras.txt, line 3", "FISHEYE")),
        ("cameras.txt", "1 PINHOLE 448", "1 PINHOLE -448", ("cameras.txt, line 3", "width")),
        ("cameras.txt", "1 PINHOLE 448 256", "1 PINHOLE 448", ("cameras.txt, line 3", "4 parameters")),
        ("cameras.txt", "1 PINHOLE", "2 PINHOLE", ("images.txt, line 5", "no camera '1'")),
        ("images.txt", "1 frame_000001.png", "frame_000001.png", ("images.txt, line 7", "9 words")),
        ("images.txt", "\n2 ", "\n2 nan ", ("images.txt, line 7", "nan")),
        ("images.txt", "\n2 ", "\n2 5.0 ", ("images.txt, line 7", "quaternion")),
    ],
)
def test_colmap_names_file_and_line(file: str, old: str, new: str, words: tuple[str, ...], tmp_path: Path) -> None:
    write_path(flight(3), tmp_path, format="colmap")
    text = (tmp_path / file).read_text()
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new, 1))
    refused(tmp_path, *words)


def test_colmap_without_cameras_and_binary_models(tmp_path: Path) -> None:
    write_path(flight(2), tmp_path, format="colmap")
    (tmp_path / "cameras.txt").unlink()
    refused(tmp_path, "cameras.txt", "no such file")
    (tmp_path / "images.txt").rename(tmp_path / "images.bin")
    refused(tmp_path, "binary", "model_converter")


def test_spatia_names_line(tmp_path: Path) -> None:
    write_path(flight(3), tmp_path / "w2c.txt")
    text = (tmp_path / "w2c.txt").read_text().splitlines()
    (tmp_path / "w2c.txt").write_text("\n".join([text[0], text[1][:60], text[2]]))
    refused(tmp_path, "w2c.txt, line 2", "12 or 16")
    (tmp_path / "w2c.txt").write_text("\n".join(text))
    (tmp_path / "intrinsics.txt").write_text("268 268 224 128")
    refused(tmp_path, "intrinsics.txt", "pixels", "divide")
    (tmp_path / "intrinsics.txt").write_text("0.5 0.9 0.5")
    refused(tmp_path, "intrinsics.txt", "4 numbers")


def test_npz_of_other_things(tmp_path: Path) -> None:
    file = tmp_path / "x.npz"
    path = flight(3)
    size = {"image_height": 256, "image_width": 448}
    w2c = np.stack([camera.w2c for camera in path.cameras])
    np.savez(file, w2c=w2c, intrinsics=path.Ks, image_height=256)
    refused(file, "image_width", "missing")
    np.savez(file, w2c=w2c[:, :, :3], intrinsics=path.Ks, **size)
    refused(file, "w2c", "(3, 4, 3)")
    np.savez(file, w2c=w2c, intrinsics=path.Ks * 0, **size)
    refused(file, "intrinsics[0]", "fx", "positive")
    np.savez(file, w2c=w2c * np.nan, intrinsics=path.Ks, **size)
    refused(file, "w2c[0]", "NaN")
    np.savez(file, w2c=np.array([{"a": 1}], dtype=object), intrinsics=path.Ks, **size)
    refused(file, "w2c", "pickled")
    np.savez(file, w2c=w2c, intrinsics=path.Ks, **size)
    file.write_bytes(file.read_bytes()[:900])
    refused(file, "x.npz", format="lyra")
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("w2c.npy", b"not an array")
    refused(file, "w2c", "no NumPy array")


def test_arrays_that_claim_to_be_huge_are_not_allocated(tmp_path: Path) -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (100000000000, 4, 4), }"
    header += b" " * (117 - len(header)) + b"\n"
    (tmp_path / "poses.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    refused(tmp_path / "poses.npy", "poses.npy", "MiB")
    np.save(tmp_path / "poses.npy", np.zeros((0, 4, 4)))
    refused(tmp_path / "poses.npy", "no camera pose")
    np.save(tmp_path / "poses.npy", np.zeros((3, 4)))
    refused(tmp_path / "poses.npy", "not rigid")


def test_keyframe_files_are_checked_like_all_others(tmp_path: Path) -> None:
    from engine.formats.mirage import read_spec, write_spec
    from engine.keyframes import PathSpec

    spec = PathSpec.through(flight(3))
    write_spec(spec, tmp_path / "keys.json", fps=12.0)
    assert read_spec(tmp_path / "keys.json") == spec
    path = read_path(tmp_path / "keys.json", size=(256, 448))
    assert path == spec.evaluate((256, 448), fps=12.0) and path.fps == 12.0
    document = json.loads((tmp_path / "keys.json").read_text())
    for change, words in (
        ({"fov_deg": 500}, ("keyframes[1]", "field of view")),
        ({"seconds": -1}, ("keyframes[1]", "seconds")),
        ({"easing": "bouncy"}, ("keyframes[1]", "easing")),
        ({"easing": 3}, ("keyframes[1]", "text")),
        ({"c2w": [1]}, ("keyframes[1]", "16 numbers")),
    ):
        broken = json.loads(json.dumps(document))
        broken["keyframes"][1].update(change)
        (tmp_path / "broken.json").write_text(json.dumps(broken))
        refused(tmp_path / "broken.json", *words)


def test_paths_themselves_refuse_nonsense() -> None:
    cameras = flight(2).cameras
    for keywords, words in (
        ({"fps": 0.0}, "Frames per second"),
        ({"fps": float("nan")}, "Frames per second"),
        ({"timestamps_s": (1.0, 0.0)}, "backwards"),
        ({"timestamps_s": (1.0,)}, "timestamps"),
    ):
        with pytest.raises(InputError, match=words):
            CameraPath(cameras, **keywords)
    with pytest.raises(InputError, match="at least one"):
        CameraPath(())
