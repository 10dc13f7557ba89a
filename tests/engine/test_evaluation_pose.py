"""Pose recovery: the three-point solver, RANSAC among outliers, and real pictures."""

from __future__ import annotations

import numpy as np
import pytest

from engine.camera import Camera, c2w_from_angles
from engine.evaluation.alignment import Alignment
from engine.evaluation.pnp import MIN_INLIERS, recover_pose, three_point_poses
from engine.evaluation.pose import PoseProbe, pose_distance, pose_errors, probe_frames
from engine.evaluation.scenes import TrueView
from engine.worlds import World, WorldSpec


def camera_at(x: float, y: float, yaw_deg: float, size: tuple[int, int] = (64, 112)) -> Camera:
    return Camera.from_fov(c2w_from_angles(np.array([x, y, 2.0]), yaw_deg, 3.0, 1.0), 50.0, size[1], size[0])


def seen_points(camera: Camera, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """World points in front of ``camera`` and their pixels."""
    pixels = rng.uniform([0, 0], [camera.width, camera.height], (count, 2))
    depth_m = rng.uniform(2.0, 40.0, (count, 1))
    local = np.concatenate([pixels, np.ones((count, 1))], axis=1) @ np.linalg.inv(camera.K).T * depth_m
    return local @ camera.c2w[:3, :3].T + camera.position, pixels


@pytest.mark.parametrize("seed", range(8))
def test_three_points_determine_the_pose_among_few_candidates(seed: int) -> None:
    rng = np.random.default_rng(seed)
    camera = camera_at(*rng.uniform(-5, 5, 2), yaw_deg=rng.uniform(-180, 180))
    points, pixels = seen_points(camera, 3, rng)
    rays = np.concatenate([pixels, np.ones((3, 1))], axis=1) @ np.linalg.inv(camera.K).T
    found = three_point_poses(points, rays / np.linalg.norm(rays, axis=1, keepdims=True))
    assert 1 <= len(found) <= 4
    assert min(np.abs(w2c - camera.w2c).max() for w2c in found) < 1e-5


def test_coinciding_points_give_no_pose() -> None:
    assert three_point_poses(np.ones((3, 3)), np.eye(3)) == []


def test_ransac_finds_the_pose_among_half_outliers() -> None:
    rng = np.random.default_rng(3)
    camera = camera_at(1.0, 2.0, 70.0)
    points, pixels = seen_points(camera, 80, rng)
    pixels = pixels + rng.normal(0.0, 0.2, pixels.shape)
    pixels[40:] = rng.uniform([0, 0], [camera.width, camera.height], (40, 2))
    fit = recover_pose(points, pixels, camera.K, rng)
    assert fit is not None
    degrees, metres = pose_distance(fit.w2c, camera)
    assert degrees < 0.5
    assert metres < 0.1
    assert fit.inliers[:40].sum() >= 36
    assert fit.inliers[40:].sum() <= 4


def test_random_matches_give_no_pose() -> None:
    rng = np.random.default_rng(4)
    camera = camera_at(0.0, 0.0, 0.0, size=(256, 448))
    points, _ = seen_points(camera, 60, rng)
    assert recover_pose(points, rng.uniform([0, 0], [448, 256], (60, 2)), camera.K, rng, trials=60) is None
    assert recover_pose(points[: MIN_INLIERS - 1], np.zeros((MIN_INLIERS - 1, 2)), camera.K, rng) is None


def test_true_views_are_found_where_they_were_taken_and_noise_is_not() -> None:
    world = World(WorldSpec("village", 1_000_007))
    first = world.spawn(224, 128)

    def view(camera: Camera) -> TrueView:
        frame = world.render(camera)
        return TrueView(frame.rgb, frame.depth_m)

    moved = first.c2w.copy()
    moved[:3, 3] += 0.8 * first.forward
    cameras = [first, first.posed(moved)]
    views = [view(camera) for camera in cameras]
    probe = PoseProbe(first, views[0])
    chosen = probe_frames(probe, cameras, [v.depth_m for v in views], 4)
    assert chosen == [1]  # the first camera has flown no way yet
    errors = pose_errors(probe, cameras, [v.image for v in views], chosen)
    assert (errors.tried, errors.failed) == (1, 0)
    assert errors.rotation_deg[0] < 0.05
    assert errors.translation_share[0] < 0.01
    noise = np.random.default_rng(0).integers(0, 255, (128, 224, 3), dtype=np.uint8)
    assert pose_errors(probe, cameras, [noise, noise], chosen).failed == 1
    assert pose_errors(probe, cameras, [noise * 0, noise * 0], chosen).failed == 1


def textured_plane(camera: Camera, gain: float = 1.0, offset: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Grey levels of ground painted in waves, and the points of its pixels; NaN above the horizon."""
    rays = camera.rays()
    with np.errstate(divide="ignore"):
        depth_m = np.where(rays[..., 2] < -0.05, -camera.position[2] / rays[..., 2], np.nan)
    points = rays * depth_m[..., None] + camera.position
    x, y = np.nan_to_num(points[..., 0]), np.nan_to_num(points[..., 1])
    grey = 128.0 + 50.0 * np.sin(1.3 * x + 0.4 * y) + 50.0 * np.sin(0.7 * x - 1.1 * y)
    return gain * np.where(np.isfinite(depth_m), grey, 128.0) + offset, points


def test_alignment_makes_a_rough_pose_exact_whatever_the_exposure() -> None:
    reference, camera = camera_at(0.0, 0.0, 0.0, (128, 224)), camera_at(0.4, 0.2, 4.0, (128, 224))
    rough = camera_at(0.5, 0.1, 4.6, (128, 224))
    found = Alignment(*textured_plane(reference)).aligned(
        rough.w2c, textured_plane(camera, gain=0.7, offset=30.0)[0], camera.K
    )
    degrees, metres = pose_distance(found, camera)
    assert degrees < 0.02
    assert metres < 0.005


def test_alignment_overlooks_what_hides_a_quarter_of_the_ground() -> None:
    reference, camera = camera_at(0.0, 0.0, 0.0, (128, 224)), camera_at(0.4, 0.2, 4.0, (128, 224))
    grey, _ = textured_plane(camera)
    grey[96:, :112] = np.random.default_rng(0).uniform(0.0, 255.0, (32, 112))
    found = Alignment(*textured_plane(reference)).aligned(camera_at(0.42, 0.18, 4.1, (128, 224)).w2c, grey, camera.K)
    degrees, metres = pose_distance(found, camera)
    assert degrees < 0.1
    assert metres < 0.03


def test_a_pose_stays_where_too_little_is_in_sight_to_align_it() -> None:
    reference, away = camera_at(0.0, 0.0, 0.0), camera_at(0.0, 0.0, 180.0)
    grey, points = textured_plane(reference)
    assert np.array_equal(Alignment(grey, points).aligned(away.w2c, grey, away.K), away.w2c)
