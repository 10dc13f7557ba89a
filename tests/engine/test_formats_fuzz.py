"""Whatever bytes come, a reader gives cameras or one sentence: random files and valid ones with damage."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import InputError
from engine.formats import FORMATS, detect_format, read_path, write_path
from tests.engine.paths_support import flight

TOKENS = [b"nan", b"-inf", b"1e999", b"-1", b"0", b"null", b"[]", b"{}", b"true", b'"x"', b"9" * 400, b"\x00", b"\xff"]


@functools.cache
def valid_files(name: str) -> dict[str, bytes]:
    """The files of a valid path in a format, by name."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        root.mkdir()
        target = root if name == "colmap" else root / FORMATS[name].default_name
        write_path(flight(2), target, format=name)
        return {file.name: file.read_bytes() for file in sorted(root.iterdir())}


@st.composite
def damaged(draw: st.DrawFn, name: str) -> dict[str, bytes]:
    """The files of a valid path after one to four cuts, swaps, insertions or changed numbers."""
    files = dict(valid_files(name))
    for _ in range(draw(st.integers(1, 4))):
        key = draw(st.sampled_from(sorted(files)))
        data = files[key]
        at = draw(st.integers(0, len(data)))
        kind = draw(st.sampled_from(["cut", "delete", "insert", "token", "flip", "copy", "word"]))
        if kind == "cut":
            data = data[:at]
        elif kind == "delete":
            data = data[:at] + data[at + draw(st.integers(1, 60)) :]
        elif kind == "insert":
            data = data[:at] + draw(st.binary(min_size=1, max_size=20)) + data[at:]
        elif kind == "token":
            data = data[:at] + draw(st.sampled_from(TOKENS)) + data[at + draw(st.integers(0, 12)) :]
        elif kind == "flip" and data:
            at = min(at, len(data) - 1)
            data = data[:at] + bytes([data[at] ^ (1 << draw(st.integers(0, 7)))]) + data[at + 1 :]
        elif kind == "copy":
            data = data[:at] + data[max(0, at - 200) : at] + data[at:]
        else:
            words = data.split(b" ")
            words[draw(st.integers(0, len(words) - 1))] = draw(st.sampled_from(TOKENS))
            data = b" ".join(words)
        files[key] = data
    return files


def read_or_refuse(target: Path, format: str | None) -> None:
    try:
        path = read_path(target, format=format, size=(64, 112))
    except InputError as error:
        assert str(error).endswith(".") and "\n" not in str(error)
        return
    assert np.isfinite(path.c2ws).all() and np.isfinite(path.Ks).all()
    rotations = path.c2ws[:, :3, :3]
    assert np.abs(rotations @ rotations.transpose(0, 2, 1) - np.eye(3)).max() < 1e-6
    for camera in path.fitted(112, 64).cameras:
        assert np.isfinite(camera.w2c).all() and camera.K[0, 0] > 0 and camera.K[1, 1] > 0


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files(name: str) -> None:
    @settings(max_examples=60, deadline=None)
    @given(files=damaged(name))
    def check(files: dict[str, bytes]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            for key, data in files.items():
                (root / key).write_bytes(data)
            target = root if name == "colmap" else root / FORMATS[name].default_name
            read_or_refuse(target, name)
            read_or_refuse(target, None)

    check()


@settings(max_examples=40, deadline=None)
@given(
    data=st.one_of(
        st.binary(max_size=400),
        st.text(max_size=200).map(str.encode),
        st.lists(st.floats(width=32), max_size=40).map(lambda xs: " ".join(map(str, xs)).encode()),
        st.binary(max_size=200).map(lambda b: b"\x93NUMPY\x01\x00" + b),
        st.binary(max_size=200).map(lambda b: b"PK\x03\x04" + b),
    )
)
def test_random_files_in_every_format(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, entry in FORMATS.items():
            target = Path(folder) / entry.default_name
            if name == "colmap":
                (Path(folder) / "cameras.txt").write_bytes(data)
                (Path(folder) / "images.txt").write_bytes(data)
                target = Path(folder)
            else:
                target.write_bytes(data)
            read_or_refuse(target, name)


@settings(max_examples=60, deadline=None)
@given(
    data=st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "format",
                        "version",
                        "cameras",
                        "keyframes",
                        "c2w",
                        "K",
                        "width",
                        "height",
                        "camera_path",
                        "fov",
                        "fps",
                        "camera_to_world",
                        "frames",
                        "transform_matrix",
                        "fl_x",
                        "w",
                        "h",
                        "w2c",
                        "intrinsics",
                        "image_height",
                        "image_width",
                        "render_height",
                        "render_width",
                        "seconds",
                        "easing",
                    ]
                ),
                inner,
                max_size=6,
            )
        ),
        max_leaves=12,
    )
)
def test_json_of_the_wrong_shape(data: object) -> None:
    import json

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "x.json"
        for document in (data, {"format": "mirage-path", "version": 1, "cameras": data}, {"frames": data, "w": 4}):
            target.write_text(json.dumps(document))
            for name in ("mirage", "nerfstudio", "nerfstudio-transforms", "lyra-json"):
                read_or_refuse(target, name)


@settings(max_examples=60, deadline=None)
@given(name=st.text(min_size=1, max_size=20).filter(lambda s: "/" not in s and "\0" not in s and s not in (".", "..")))
def test_detection_never_breaks(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / name
        try:
            target.write_bytes(b"1 2 3\n")
        except (OSError, UnicodeEncodeError):
            return
        with contextlib.suppress(InputError):
            detect_format(target)
