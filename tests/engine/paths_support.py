"""Camera paths for the tests of formats: fixed ones and hypothesis strategies."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from engine.camera import Camera, c2w_from_angles
from engine.camera_path import CameraPath


def flight(frames: int = 4, width: int = 448, height: int = 256, fov_deg: float = 50.0) -> CameraPath:
    """A short flight with turning, climbing and rolling."""
    cameras = []
    for i in range(frames):
        c2w = c2w_from_angles(np.array([3.0 + i, -2.0 + 0.5 * i, 1.5 + 0.1 * i]), 20.0 + 7.0 * i, -5.0 + i, 2.0 * i)
        cameras.append(Camera.from_fov(c2w, fov_deg, width, height))
    return CameraPath(tuple(cameras), 24.0)


def poses() -> st.SearchStrategy[np.ndarray]:
    """(4, 4) rigid poses within a kilometre."""
    unit = st.lists(st.floats(-1.0, 1.0), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.1)
    place = st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3)

    def build(q: list[float], t: list[float]) -> np.ndarray:
        c2w = np.eye(4)
        c2w[:3, :3] = Rotation.from_quat(q).as_matrix()
        c2w[:3, 3] = t
        return c2w

    return st.builds(build, unit, place)


@st.composite
def camera_paths(draw: st.DrawFn, centred: bool = False, zoom: bool = False) -> CameraPath:
    """Paths of one to five cameras of one size.

    ``centred``: square pixels and the principal point in the middle; otherwise square to a percent and anywhere near.
    ``zoom``: the lens may change from camera to camera.
    """
    width, height = draw(st.sampled_from([(448, 256), (64, 64), (832, 480), (200, 301)]))
    c2ws = draw(st.lists(poses(), min_size=1, max_size=5))

    def lens() -> np.ndarray:
        focal = draw(st.floats(0.3, 3.0)) * height
        if centred:
            return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
        stretch = draw(st.floats(0.995, 1.005))
        cx, cy = draw(st.floats(0.4, 0.6)) * width, draw(st.floats(0.4, 0.6)) * height
        return np.array([[focal * stretch, 0, cx], [0, focal, cy], [0, 0, 1]])

    first = lens()
    cameras = [Camera(c2w, lens() if zoom else first, width, height) for c2w in c2ws]
    return CameraPath(tuple(cameras), draw(st.sampled_from([24.0, 30.0, 8.0])))


def assert_same(path: CameraPath, other: CameraPath, position: float = 1e-9, rotation: float = 1e-12) -> None:
    """Poses and intrinsics agree; positions to ``position`` relative to their size."""
    assert len(path) == len(other)
    scale = 1.0 + np.abs(path.positions).max()
    np.testing.assert_allclose(other.c2ws[:, :3, :3], path.c2ws[:, :3, :3], rtol=0, atol=rotation)
    np.testing.assert_allclose(other.positions, path.positions, rtol=0, atol=position * scale)
    assert [camera.size for camera in other.cameras] == [camera.size for camera in path.cameras]
    np.testing.assert_allclose(other.Ks, path.Ks, rtol=1e-9, atol=1e-9)
