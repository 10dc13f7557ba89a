"""Is the camera where it was asked to be? Poses recovered from generated frames by matching them with the true first
view.

Features are found in pictures alone (ORB) and lifted with the first view's depth, and the pose that they give is made
finer by the grey levels of all that is textured; nothing of the memory and nothing of the requested pose enters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from engine.camera import Camera
from engine.evaluation.alignment import Alignment
from engine.evaluation.pnp import recover_pose
from engine.evaluation.scenes import TrueView, path_length_m
from engine.evaluation.visibility import seen_from

KEYPOINTS = 700
MIN_OVERLAP = 0.3
MIN_PATH_M = 0.5
"""On shorter ways a share of the way means nothing."""


@dataclass(frozen=True)
class PoseErrors:
    """What the pose recovery found in one flight.

    Attributes:
        rotation_deg, translation_m, translation_share: one value per recovered frame; the last is metres of error over
            metres flown until then.
        tried, failed: frames with enough in common with the first view, and those of them without a pose.
    """

    rotation_deg: list[float]
    translation_m: list[float]
    translation_share: list[float]
    tried: int
    failed: int


def pose_distance(found_w2c: np.ndarray, asked: Camera) -> tuple[float, float]:
    """Degrees and metres between a recovered pose and the camera asked for."""
    rotation = found_w2c[:3, :3] @ asked.c2w[:3, :3]
    degrees = np.degrees(np.arccos(np.clip((np.trace(rotation) - 1.0) / 2.0, -1.0, 1.0)))
    centre = -found_w2c[:3, :3].T @ found_w2c[:3, 3]
    return float(degrees), float(np.linalg.norm(centre - asked.position))


class PoseProbe:
    """Recovers poses against one reference view.

    Args:
        camera, view: the reference, with exact depth.
    """

    def __init__(self, camera: Camera, view: TrueView) -> None:
        self.camera = camera
        self.view = view
        pixels, self._descriptors = features(view.image)
        depth = view.depth_m.numpy()
        rows, columns = (pixels[:, axis].astype(int).clip(0, depth.shape[axis - 1] - 1) for axis in (1, 0))
        depth_m = np.where(np.isfinite(depth) & _smooth(depth), depth, np.nan)
        local = np.concatenate([pixels, np.ones((len(pixels), 1))], axis=1) @ np.linalg.inv(camera.K).T
        points = (local * depth_m[rows, columns, None]) @ camera.c2w[:3, :3].T + camera.position
        usable = np.isfinite(points).all(axis=1)
        self._points, self._descriptors = points[usable], self._descriptors[usable]
        self._alignment = Alignment(_grey(view.image), camera.rays() * depth_m[..., None] + camera.position)

    def recover(self, image: np.ndarray, asked: Camera, seed: int) -> np.ndarray | None:
        """w2c (4, 4) of ``image (H, W, 3)`` uint8 taken with the lens of ``asked``, or ``None``."""
        from skimage.feature import match_descriptors

        pixels, descriptors = features(image)
        if not len(self._points) or not len(pixels):
            return None
        matches = match_descriptors(self._descriptors, descriptors, cross_check=True, max_ratio=0.85)
        if not len(matches):
            return None
        rng = np.random.default_rng(seed)
        fit = recover_pose(self._points[matches[:, 0]], pixels[matches[:, 1]], asked.K, rng)
        return None if fit is None else self._alignment.aligned(fit.w2c, _grey(image), asked.K)


def _grey(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (H, W) in [0, 255]."""
    from skimage.color import rgb2gray

    return np.asarray(255.0 * rgb2gray(image))


def _smooth(depth_m: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels away from depth edges, where a corner in the picture lies on one surface."""
    from scipy.ndimage import maximum_filter, minimum_filter

    inverse = 1.0 / np.maximum(depth_m, 1e-3)
    return maximum_filter(inverse, 3) <= 1.1 * minimum_filter(inverse, 3)


def features(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ORB keypoints (n, 2), x and y, pixel centres at 0.5, and descriptors (n, 256) of ``image (H, W, 3)`` uint8."""
    from skimage.color import rgb2gray
    from skimage.feature import ORB

    detector = ORB(n_keypoints=KEYPOINTS, fast_threshold=0.02, n_scales=4, downscale=1.3)
    try:
        detector.detect_and_extract(rgb2gray(image))
    except (RuntimeError, ValueError, IndexError):  # what scikit-image raises for a picture without corners
        return np.empty((0, 2)), np.empty((0, 256), bool)
    return detector.keypoints[:, ::-1] + 0.5, detector.descriptors


def probe_frames(
    probe: PoseProbe, cameras: Sequence[Camera], depths_m: Sequence[torch.Tensor], count: int
) -> list[int]:
    """Up to ``count`` frames, evenly over those that truly share at least :data:`MIN_OVERLAP` with the reference.

    Args:
        depths_m: true depth (H, W) of each camera.
    """
    way = path_length_m(cameras)
    shared = [
        n
        for n, camera in enumerate(cameras)
        if way[n] >= MIN_PATH_M
        and float(seen_from(camera, depths_m[n], probe.camera, probe.view.depth_m).float().mean()) >= MIN_OVERLAP
    ]
    if len(shared) <= count:
        return shared
    return [shared[i] for i in np.unique(np.linspace(0, len(shared) - 1, count).round().astype(int))]


def pose_errors(
    probe: PoseProbe, cameras: Sequence[Camera], images: Sequence[np.ndarray], chosen: Sequence[int]
) -> PoseErrors:
    """Recover the poses of the ``chosen`` frames among ``images`` ((H, W, 3) uint8, one a camera)."""
    way = path_length_m(cameras)
    rotation_deg, translation_m, share, failed = [], [], [], 0
    for n in chosen:
        w2c = probe.recover(images[n], cameras[n], seed=n)
        if w2c is None:
            failed += 1
            continue
        degrees, metres = pose_distance(w2c, cameras[n])
        rotation_deg.append(degrees)
        translation_m.append(metres)
        share.append(metres / way[n])
    return PoseErrors(rotation_deg, translation_m, share, len(chosen), failed)
