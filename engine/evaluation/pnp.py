"""Camera pose from 3D-2D matches: Grunert's three-point solver inside RANSAC, refined on the inliers.

Needs no first guess, so the pose that was asked for cannot leak into the pose that is found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MIN_INLIERS = 12
ENOUGH = 9.2
"""-ln of the chance (1 in 10,000) that no trial so far drew three inliers."""


@dataclass(frozen=True, eq=False)
class PoseFit:
    """A recovered pose.

    Attributes:
        w2c: (4, 4) world-to-camera. inliers: (n,) bool over the matches. rms_px: reprojection error of the inliers.
    """

    w2c: np.ndarray
    inliers: np.ndarray
    rms_px: float


def three_point_poses(points: np.ndarray, rays: np.ndarray) -> list[np.ndarray]:
    """Up to four w2c (4, 4) that put ``points (3, 3)`` on the unit ``rays (3, 3)`` of a camera.

    Grunert's quartic as written down by Haralick et al. (1994).
    """
    a2 = float(np.sum((points[1] - points[2]) ** 2))
    b2 = float(np.sum((points[0] - points[2]) ** 2))
    c2 = float(np.sum((points[0] - points[1]) ** 2))
    if min(a2, b2, c2) < 1e-12:
        return []
    cos_a, cos_b, cos_c = float(rays[1] @ rays[2]), float(rays[0] @ rays[2]), float(rays[0] @ rays[1])
    difference, total, ca, cc = (a2 - c2) / b2, (a2 + c2) / b2, (b2 - c2) / b2, (b2 - a2) / b2
    quartic = [
        (difference - 1.0) ** 2 - 4.0 * c2 / b2 * cos_a**2,
        4.0
        * (difference * (1.0 - difference) * cos_b - (1.0 - total) * cos_a * cos_c + 2.0 * c2 / b2 * cos_a**2 * cos_b),
        2.0
        * (
            difference**2
            - 1.0
            + 2.0 * difference**2 * cos_b**2
            + 2.0 * ca * cos_a**2
            - 4.0 * total * cos_a * cos_b * cos_c
            + 2.0 * cc * cos_c**2
        ),
        4.0
        * (-difference * (1.0 + difference) * cos_b + 2.0 * a2 / b2 * cos_c**2 * cos_b - (1.0 - total) * cos_a * cos_c),
        (1.0 + difference) ** 2 - 4.0 * a2 / b2 * cos_c**2,
    ]
    if abs(quartic[0]) < 1e-12 or not np.all(np.isfinite(quartic)):
        return []
    poses = []
    for root in np.roots(quartic):
        v = float(root.real)
        below = 2.0 * (cos_c - v * cos_a)
        if abs(root.imag) > 1e-6 * max(1.0, abs(v)) or v <= 0.0 or abs(below) < 1e-9:
            continue
        u = ((difference - 1.0) * v * v - 2.0 * difference * cos_b * v + 1.0 + difference) / below
        length = 1.0 + v * v - 2.0 * v * cos_b
        if u <= 0.0 or length <= 1e-12:
            continue
        first = np.sqrt(b2 / length)
        poses.append(rigid_between(points, rays * np.array([[first], [u * first], [v * first]])))
    return poses


def rigid_between(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(4, 4) rotation and translation that best maps ``source (n, 3)`` onto ``target (n, 3)`` (Kabsch)."""
    mean_source, mean_target = source.mean(axis=0), target.mean(axis=0)
    u, _, vt = np.linalg.svd((target - mean_target).T @ (source - mean_source))
    rotation = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt
    w2c = np.eye(4)
    w2c[:3, :3] = rotation
    w2c[:3, 3] = mean_target - rotation @ mean_source
    return w2c


def reprojection_errors(w2c: np.ndarray, points: np.ndarray, pixels: np.ndarray, K: np.ndarray) -> np.ndarray:
    """(n,) pixels between the projections of ``points (n, 3)`` and ``pixels (n, 2)``; inf behind the camera."""
    local = points @ w2c[:3, :3].T + w2c[:3, 3]
    ahead = local[:, 2] > 1e-3
    image = local @ K.T
    found = image[:, :2] / np.where(ahead, local[:, 2], 1.0)[:, None]
    return np.where(ahead, np.linalg.norm(found - pixels, axis=1), np.inf)


def recover_pose(
    points: np.ndarray,
    pixels: np.ndarray,
    K: np.ndarray,
    rng: np.random.Generator,
    threshold_px: float = 2.0,
    trials: int = 400,
) -> PoseFit | None:
    """The pose that most matches agree on, or ``None`` if fewer than :data:`MIN_INLIERS` do.

    Args:
        points: (n, 3) world metres. pixels: (n, 2) where they were found. K: (3, 3).
        threshold_px: an inlier's largest reprojection error. trials: of RANSAC (Fischler and Bolles 1981).
    """
    count = len(points)
    if count < MIN_INLIERS:
        return None
    rays = np.concatenate([pixels, np.ones((count, 1))], axis=1) @ np.linalg.inv(K).T
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    best, agreed = None, np.zeros(count, bool)
    for trial in range(trials):
        chosen = rng.choice(count, 3, replace=False)
        for w2c in three_point_poses(points[chosen], rays[chosen]):
            inliers = reprojection_errors(w2c, points, pixels, K) <= threshold_px
            if inliers.sum() > agreed.sum():
                best, agreed = w2c, inliers
        share = float(agreed.mean())
        if share > 0.0 and trial >= ENOUGH / max(1e-9, -np.log1p(-min(share**3, 1.0 - 1e-9))):
            break
    if best is None or agreed.sum() < MIN_INLIERS:
        return None
    for _ in range(3):
        best = refine(best, points[agreed], pixels[agreed], K)
        again = reprojection_errors(best, points, pixels, K) <= threshold_px
        if again.sum() < MIN_INLIERS or np.array_equal(again, agreed):
            break
        agreed = again
    rms = float(np.sqrt(np.mean(reprojection_errors(best, points[agreed], pixels[agreed], K) ** 2)))
    return PoseFit(best, agreed, rms)


def refine(w2c: np.ndarray, points: np.ndarray, pixels: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Least squares over the six parameters of ``w2c``, robust (soft L1 beyond one pixel)."""
    from scipy.optimize import least_squares
    from scipy.spatial.transform import Rotation

    def moved(delta: np.ndarray) -> np.ndarray:
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_rotvec(delta[:3]).as_matrix() @ w2c[:3, :3]
        pose[:3, 3] = w2c[:3, 3] + delta[3:]
        return pose

    def residuals(delta: np.ndarray) -> np.ndarray:
        pose = moved(delta)
        local = points @ pose[:3, :3].T + pose[:3, 3]
        image = local @ K.T
        return (image[:, :2] / np.maximum(local[:, 2:], 1e-3) - pixels).ravel()

    return moved(least_squares(residuals, np.zeros(6), loss="soft_l1", f_scale=1.0, max_nfev=40).x)
