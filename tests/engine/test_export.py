"""Point clouds, meshes and single frames."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from engine.camera import Camera
from engine.errors import InputError, MirageError
from engine.export import DepthFrame, MeshJob, write_png, write_points_ply


def sphere_frames(count: int = 6) -> list[DepthFrame]:
    """A red ball of 1 m at (0, 0, 1) seen from around, 4 m away, sky behind."""
    frames = []
    for i in range(count):
        angle = 2 * np.pi * i / count
        eye = np.array([4 * np.cos(angle), 4 * np.sin(angle), 1.0])
        camera = Camera.look_at(eye, np.array([0.0, 0.0, 1.0]), 50.0, 96, 64)
        rays = camera.rays()
        a, b = np.einsum("hwi,hwi->hw", rays, rays), rays @ (eye - np.array([0.0, 0.0, 1.0]))
        root = b**2 - a * (16.0 - 1.0)
        z = np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, np.inf)
        rgb = np.full((64, 96, 3), (200, 40, 40), np.uint8)
        frames.append(DepthFrame(camera, rgb, np.where(np.isfinite(z), 1.0 / z, 0.0).astype(np.float32)))
    return frames


def test_points_come_back_from_the_ply(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(50, 3)).astype(np.float32)
    colours = rng.integers(0, 256, (50, 3)).astype(np.uint8)
    write_points_ply(tmp_path / "p.ply", points, colours, ["a\nb", "ümlaut"])
    data = (tmp_path / "p.ply").read_bytes()
    header, body = data.split(b"end_header\n", 1)
    lines = header.decode("ascii").splitlines()
    assert lines[0] == "ply" and "element vertex 50" in lines and "comment a b" in lines
    rows = np.frombuffer(body, [("p", "<f4", 3), ("c", "u1", 3)])
    assert np.array_equal(rows["p"], points) and np.array_equal(rows["c"], colours)


def test_what_cannot_be_written_says_so(tmp_path: Path) -> None:
    one = np.zeros((1, 3))
    with pytest.raises(InputError, match=r"\.ply"):
        write_points_ply(tmp_path / "p.obj", one, one)
    with pytest.raises(InputError, match="no points"):
        write_points_ply(tmp_path / "p.ply", one[:0], one[:0])
    with pytest.raises(InputError, match="does not exist"):
        write_points_ply(tmp_path / "no" / "p.ply", one, one)
    with pytest.raises(InputError, match=r"\.png"):
        write_png(tmp_path / "p.jpg", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(InputError, match=r"\.glb"):
        MeshJob(sphere_frames(1), tmp_path / "m.stl")
    with pytest.raises(InputError, match="no frames"):
        MeshJob([], tmp_path / "m.ply")
    assert not list(tmp_path.iterdir())


def test_a_frame_is_written_exactly(tmp_path: Path) -> None:
    from PIL import Image

    image = np.random.default_rng(0).integers(0, 256, (16, 24, 3)).astype(np.uint8)
    write_png(tmp_path / "f.png", image)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "f.png")), image)


def test_a_ball_becomes_a_mesh(tmp_path: Path) -> None:
    job = MeshJob(sphere_frames(), tmp_path / "ball.ply", voxel_m=0.08)
    assert job.wait(240.0)
    data = (tmp_path / "ball.ply").read_bytes()
    header, body = data.split(b"end_header\n", 1)
    words = header.decode("ascii").split()
    count = int(words[words.index("vertex") + 1])
    kinds = {"double": "<f8", "float": "<f4", "uchar": "u1"}
    fields, place = [], words.index("vertex")
    while place < len(words) and (
        place := words.index("property", place) if "property" in words[place:] else len(words)
    ):
        if words[place + 1] == "list":
            break
        fields.append((words[place + 2], kinds[words[place + 1]]))
        place += 1
    vertices = np.frombuffer(body, fields, count)
    radius = np.linalg.norm(np.stack([vertices["x"], vertices["y"], vertices["z"] - 1.0], axis=1), axis=1)
    assert count > 200 and abs(np.median(radius) - 1.0) < 0.05
    assert np.median(vertices["red"]) > 150 > np.median(vertices["green"])


def test_a_mesh_can_be_stopped_and_leaves_nothing(tmp_path: Path) -> None:
    job = MeshJob(sphere_frames(), tmp_path / "ball.ply")
    assert not job.wait(0.05)
    started = time.monotonic()
    job.cancel()
    assert time.monotonic() - started < 1.0 and not list(tmp_path.iterdir())


def test_frames_of_nothing_but_sky_say_so(tmp_path: Path) -> None:
    frame = sphere_frames(1)[0]
    job = MeshJob([DepthFrame(frame.camera, frame.rgb, np.zeros((16, 24), np.float32))], tmp_path / "m.glb")
    with pytest.raises(MirageError, match="fly closer"):
        job.wait(120.0)
    assert not list(tmp_path.iterdir())
