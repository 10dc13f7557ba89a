"""Files written by hand in each project's own convention, read as the cameras they mean."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.camera import Camera, look_at_c2w
from engine.camera_path import CameraPath
from engine.formats import read_path, write_path
from tests.engine.paths_support import assert_same, flight

# A camera at (1, 2, 3) that looks along world +Y, level: its x axis is world +X, its y axis (down) world -Z.
LOOKS_ALONG_Y = look_at_c2w(np.array([1.0, 2.0, 3.0]), np.array([1.0, 7.0, 3.0]))


def test_the_reference_camera_is_what_it_says() -> None:
    np.testing.assert_allclose(LOOKS_ALONG_Y[:3, :3], [[1, 0, 0], [0, 0, 1], [0, -1, 0]], atol=1e-12)


def test_nerfstudio_camera_path_is_opengl_and_vertical_degrees(tmp_path: Path) -> None:
    # OpenGL: x right, y up (world +Z), z backward (world -Y), written by rows.
    matrix = [1, 0, 0, 1, 0, 0, -1, 2, 0, 1, 0, 3, 0, 0, 0, 1]
    document = {
        "camera_type": "perspective",
        "render_height": 1080,
        "render_width": 1920,
        "fps": 24,
        "seconds": 4,
        "camera_path": [{"camera_to_world": matrix, "fov": 75, "aspect": 1.7777}],
    }
    file = tmp_path / "2024-01-01.json"
    file.write_text(json.dumps(document))
    path = read_path(file)
    assert_same(CameraPath((Camera.from_fov(LOOKS_ALONG_Y, 75.0, 1920, 1080),)), path)
    # What nerfstudio computes from it: focal = height / 2 / tan(fov / 2), principal point in the middle.
    assert path[0].K[0, 0] == pytest.approx(540.0 / np.tan(np.radians(37.5)))


def test_nerfstudio_camera_path_has_what_its_renderer_reads(tmp_path: Path) -> None:
    path = flight(30)
    write_path(path, tmp_path / "camera_path.json")
    document = json.loads((tmp_path / "camera_path.json").read_text())
    assert (document["render_height"], document["render_width"]) == (256, 448)
    assert document["camera_type"] == "perspective" and document["fps"] == 24.0
    assert document["seconds"] == pytest.approx(30 / 24)
    for i, camera in enumerate(document["camera_path"]):
        c2w = np.array(camera["camera_to_world"]).reshape(4, 4)
        assert camera["fov"] == pytest.approx(50.0) and camera["aspect"] == pytest.approx(448 / 256)
        np.testing.assert_allclose(-c2w[:3, 2], path[i].forward, atol=1e-12)  # OpenGL looks along -z
        np.testing.assert_allclose(c2w[:3, 1], -path[i].c2w[:3, 1], atol=1e-12)  # and its y points up
        np.testing.assert_allclose(c2w[:3, 3], path[i].position)
    matrices = [np.array(key["matrix"]).reshape(4, 4) for key in document["keyframes"]]
    np.testing.assert_allclose(matrices[0][:3, 3], path[0].position)
    np.testing.assert_allclose(matrices[-1][:3, 3], path[29].position)


def test_transforms_json_with_pixels_and_with_an_angle(tmp_path: Path) -> None:
    matrix = [[1, 0, 0, 1], [0, 0, -1, 2], [0, 1, 0, 3], [0, 0, 0, 1]]
    pixels = {"fl_x": 500, "fl_y": 510, "cx": 320.5, "cy": 239.5, "w": 640, "h": 480, "k1": 0.1}
    file = tmp_path / "transforms.json"
    file.write_text(json.dumps({**pixels, "frames": [{"file_path": "a.png", "transform_matrix": matrix}]}))
    path = read_path(file)
    K = np.array([[500, 0, 320.5], [0, 510, 239.5], [0, 0, 1]])
    assert_same(CameraPath((Camera(LOOKS_ALONG_Y, K, 640, 480),)), path)
    assert "distortion" in path.notes[0]
    angle = {"camera_angle_x": np.radians(90.0), "frames": [{"file_path": "./train/r_0", "transform_matrix": matrix}]}
    file.write_text(json.dumps(angle))
    blender = read_path(file, size=(400, 800))
    assert blender[0].K[0, 0] == pytest.approx(400.0) and blender[0].size == (400, 800)


def test_realestate10k_lines_are_shares_and_world_to_camera(tmp_path: Path) -> None:
    w2c = "1 0 0 -1 0 0 -1 3 0 1 0 -2"
    file = tmp_path / "0000cc6d8b108390.txt"
    lens = "0.474122 0.842883 0.5 0.5 0.0 0.0"
    file.write_text(f"https://www.youtube.com/watch?v=xyz\n52553000 {lens} {w2c}\n52586000 {lens} {w2c}\n")
    path = read_path(file, size=(360, 640))
    K = np.array([[0.474122 * 640, 0, 320], [0, 0.842883 * 360, 180], [0, 0, 1]])
    assert_same(CameraPath((Camera(LOOKS_ALONG_Y, K, 640, 360),) * 2), path)
    assert path.fps == pytest.approx(30.303)
    np.testing.assert_allclose(path.times_s, [52.553, 52.586])


def test_realestate10k_at_another_aspect_keeps_square_pixels(tmp_path: Path) -> None:
    file = tmp_path / "poses.txt"
    file.write_text("0 0.5 0.888889 0.5 0.5 0 0 1 0 0 0 0 1 0 0 0 0 1 0\n")
    camera = read_path(file, size=(300, 300))[0]
    assert camera.K[0, 0] == pytest.approx(camera.K[1, 1], rel=1e-3)
    assert (camera.height, camera.width) == (300, 533)


def test_colmap_text_model(tmp_path: Path) -> None:
    # Of the rotation about x by -90 degrees that takes world to camera: cos 45, -sin 45, 0, 0 (w x y z).
    half = float(np.sqrt(0.5))
    pose = f"{half} {half} 0 0 -1 3 -2"
    np.testing.assert_allclose(np.linalg.inv(LOOKS_ALONG_Y)[:3, 3], [-1, 3, -2], atol=1e-12)
    lenses = "# list\n1 SIMPLE_RADIAL 640 480 500 320 240 0.01\n2 PINHOLE 64 48 50 60 32 24\n"
    (tmp_path / "cameras.txt").write_text(lenses)
    (tmp_path / "images.txt").write_text(
        f"# list\n7 {pose} 1 frame_10.png\n10.5 20.5 -1 30 40 17\n3 {pose} 2 frame_9.png\n\n"
    )
    path = read_path(tmp_path)
    second = np.array([[500, 0, 320], [0, 500, 240], [0, 0, 1]])
    first = np.array([[50, 0, 32], [0, 60, 24], [0, 0, 1]])
    cameras = (Camera(LOOKS_ALONG_Y, first, 64, 48), Camera(LOOKS_ALONG_Y, second, 640, 480))
    assert_same(CameraPath(cameras), path)
    assert "distortion" in path.notes[0]


def test_colmap_opens_what_is_written(tmp_path: Path) -> None:
    pycolmap = pytest.importorskip("pycolmap", reason="pycolmap has no wheel for this machine")
    path = flight(6)
    write_path(path, tmp_path / "model", format="colmap")
    model = pycolmap.Reconstruction(str(tmp_path / "model"))
    images = sorted(model.images.values(), key=lambda image: image.name)
    assert len(images) == 6
    for camera, image in zip(path.cameras, images, strict=True):
        pose = image.cam_from_world
        w2c = (pose() if callable(pose) else pose).matrix()
        np.testing.assert_allclose(w2c, camera.w2c[:3], atol=1e-9)
        lens = model.cameras[image.camera_id]
        np.testing.assert_allclose(lens.calibration_matrix(), camera.K)
        assert (lens.height, lens.width) == camera.size
        # The same world point lands on the same pixel.
        point = camera.position + 5.0 * camera.forward + 0.3 * camera.c2w[:3, 0]
        ours = camera.K @ (camera.w2c @ [*point, 1.0])[:3]
        np.testing.assert_allclose(image.project_point(point), ours[:2] / ours[2], atol=1e-6)


def test_colmap_files_written_by_pycolmap_are_read(tmp_path: Path) -> None:
    pycolmap = pytest.importorskip("pycolmap", reason="pycolmap has no wheel for this machine")
    path = flight(3)
    write_path(path, tmp_path / "ours", format="colmap")
    (tmp_path / "theirs").mkdir()
    pycolmap.Reconstruction(str(tmp_path / "ours")).write_text(str(tmp_path / "theirs"))
    assert_same(path, read_path(tmp_path / "theirs"))


def test_spatia_reads_plain_numbers_and_json_lines(tmp_path: Path) -> None:
    plain = "1 0 0 -1 0 0 -1 3 0 1 0 -2"
    nested = "[[1.0, 0.0, 0.0, -1.0], [0.0, 0.0, -1.0, 3.0], [0.0, 1.0, 0.0, -2.0], [0.0, 0.0, 0.0, 1.0]]"
    (tmp_path / "w2c.txt").write_text(f"{plain}\n{nested}\n")
    (tmp_path / "intrinsics.txt").write_text("[0.5 0.88 0.5 0.5]")
    K = np.array([[352, 0, 352], [0, 352, 200], [0, 0, 1]])
    assert_same(CameraPath((Camera(LOOKS_ALONG_Y, K, 704, 400),) * 2), read_path(tmp_path, size=(400, 704)))


def test_spatia_lines_are_json_lists_of_rows(tmp_path: Path) -> None:
    path = flight(3)
    write_path(path, tmp_path / "w2c.txt")
    rows = [np.array(json.loads(line)) for line in (tmp_path / "w2c.txt").read_text().splitlines()]
    np.testing.assert_array_equal(rows[2], path[2].w2c)
    numbers = (tmp_path / "intrinsics.txt").read_text().strip()
    assert numbers.startswith("[") and len(numbers.strip("[]").split()) == 4


def test_spatia_without_intrinsics_says_what_it_assumes(tmp_path: Path) -> None:
    write_path(flight(2), tmp_path / "w2c.txt")
    (tmp_path / "intrinsics.txt").unlink()
    path = read_path(tmp_path / "w2c.txt", size=(256, 448), fov_deg=61.0)
    assert path[0].fov_deg == pytest.approx(61.0) and "61 degrees is assumed" in path.notes[0]


def test_lyra_npz_in_float32(tmp_path: Path) -> None:
    path = flight(4)
    w2c = np.stack([camera.w2c for camera in path.cameras]).astype(np.float32)
    size = {"image_height": 256, "image_width": 448}
    np.savez(tmp_path / "t.npz", w2c=w2c, intrinsics=path.Ks.astype(np.float32), **size)
    again = read_path(tmp_path / "t.npz")
    np.testing.assert_allclose(again.c2ws, path.c2ws, atol=2e-6)
    rotations = again.c2ws[:, :3, :3]
    np.testing.assert_allclose(rotations @ rotations.transpose(0, 2, 1), np.tile(np.eye(3), (4, 1, 1)), atol=1e-12)


def test_lyra_json_has_the_same_keys(tmp_path: Path) -> None:
    document = {"w2c": [np.linalg.inv(LOOKS_ALONG_Y).tolist()], "image_height": 48, "image_width": 64}
    document["intrinsics"] = [[50, 0, 32], [0, 50, 24], [0, 0, 1]]
    (tmp_path / "t.json").write_text(json.dumps(document))
    K = np.array(document["intrinsics"])
    assert_same(CameraPath((Camera(LOOKS_ALONG_Y, K, 64, 48),)), read_path(tmp_path / "t.json"))


def test_the_papers_npz_with_frames_and_empty_masks(tmp_path: Path) -> None:
    K = np.array([[50, 0, 32], [0, 50, 24], [0, 0, 1.0]])
    np.savez_compressed(
        tmp_path / "geometry.npz",
        frames=np.zeros((2, 48, 64, 3), np.uint8),
        depths=np.ones((2, 48, 64), np.float32),
        intrinsics=np.stack([K, K]),
        poses_c2w=np.stack([LOOKS_ALONG_Y] * 2),
        masks=np.array([]),
        frame_indices=np.array([]),
        original_size=np.array((-1, -1)),
        processed_size=np.array((-1, -1)),
    )
    path = read_path(tmp_path / "geometry.npz")
    assert_same(CameraPath((Camera(LOOKS_ALONG_Y, K, 64, 48),) * 2), path)


def test_lingbots_intrinsics_are_of_480_by_832(tmp_path: Path) -> None:
    np.save(tmp_path / "poses.npy", np.stack([LOOKS_ALONG_Y] * 3).astype(np.float32))
    np.save(tmp_path / "intrinsics.npy", np.array([[502.9, 503.1, 415.8, 239.8]] * 3, np.float32))
    path = read_path(tmp_path, size=(480, 832))
    np.testing.assert_allclose(path[2].K, [[502.9, 0, 415.8], [0, 503.1, 239.8], [0, 0, 1]], rtol=1e-6)
    small = read_path(tmp_path, size=(240, 416))
    np.testing.assert_allclose(small[0].K[:2], path[0].K[:2] / 2, rtol=1e-6)
    write_path(CameraPath((Camera.from_fov(LOOKS_ALONG_Y, 60.0, 416, 240),)), tmp_path / "poses.npy")
    lens = np.load(tmp_path / "intrinsics.npy", allow_pickle=False)
    np.testing.assert_allclose(lens, [[240 / np.tan(np.radians(30)), 240 / np.tan(np.radians(30)), 416, 240]])
