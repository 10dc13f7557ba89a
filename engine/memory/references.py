"""Choosing which earlier frames a chunk of video should see again, and cutting a film into chunks, as the released code
does.

A latent frame stands for ``temporal_stride`` video frames. The first chunk makes 1 + 4 k frames; every later one starts
from the last latent of the one before and adds up to 32. Reference frames are those past frames that see the same
places: the voxels in view of the chunk to come are compared with the voxels in view of every past frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from engine.camera import Camera
from engine.errors import InputError

TEMPORAL_STRIDE = 4
MAX_FRAMES = 33


@dataclass(frozen=True)
class ChunkPlan:
    """One run of the model.

    Attributes:
        start, end: video frames it brings, ``end`` not included. model_frames: frames the model makes, the first one
            given in later chunks.
        target_poses: video frame number of each latent it makes.
        first_latent: latent that it starts from, None in the first chunk.
        preceding_latents: latents before that one given as context, oldest first.
        new_latents: latents it adds. new_poses: their video frame numbers.
    """

    start: int
    end: int
    model_frames: int
    target_poses: tuple[int, ...]
    first_latent: int | None
    preceding_latents: tuple[int, ...]
    new_latents: tuple[int, ...]
    new_poses: tuple[int, ...]


def plan_chunks(
    frames: int,
    *,
    start_frame: int = 0,
    preceding: int = 0,
    temporal_stride: int = TEMPORAL_STRIDE,
    max_frames: int = MAX_FRAMES,
) -> list[ChunkPlan]:
    """Cut a film of ``frames`` video frames into chunks.

    Args:
        frames: 1 + a multiple of ``temporal_stride``.
        start_frame: number of the film's first camera; added to every pose number.
        preceding: how many latents before a chunk's first one it is given.

    Raises:
        InputError: the length cannot be made.
    """
    if frames < 1 or (frames - 1) % temporal_stride:
        raise InputError(
            f"A film must have 1 + a multiple of {temporal_stride} frames, at least 1; {frames} were asked for."
        )
    chunks: list[ChunkPlan] = []
    end = 0
    while end < frames:
        # A later chunk makes one frame again: the one it starts from.
        begin = end - 1 if chunks else 0
        made = min(max_frames, frames - begin)
        targets = tuple(start_frame + begin + i for i in range(0, made, temporal_stride))
        first = begin // temporal_stride if chunks else None
        fresh = slice(1 if chunks else 0, None)
        chunks.append(
            ChunkPlan(
                start=end,
                end=begin + made,
                model_frames=made,
                target_poses=targets,
                first_latent=first,
                preceding_latents=() if first is None else tuple(range(max(0, first - preceding), first)),
                new_latents=tuple(range(begin // temporal_stride, begin // temporal_stride + len(targets)))[fresh],
                new_poses=targets[fresh],
            )
        )
        end = begin + made
    return chunks


def visible_points(points: np.ndarray, camera: Camera) -> np.ndarray:
    """(n,) bool: world points (n, 3) before the camera and inside its grid, occlusion disregarded.

    In float32 and in the released code's order of operations: a frame's own border points project to 0 up to rounding,
    and whether they count decides overlaps.
    """
    w2c = torch.linalg.inv(torch.from_numpy(camera.c2w.astype(np.float32)))
    K = torch.from_numpy(camera.K.astype(np.float32))
    x, y, z = (torch.from_numpy(points.astype(np.float32)) @ w2c[:3, :3].T + w2c[:3, 3]).unbind(1)
    column, line = K[0, 0] * x / z + K[0, 2], K[1, 1] * y / z + K[1, 2]
    seen = (z > 0) & (column >= 0) & (column < camera.width) & (line >= 0) & (line < camera.height)
    return np.asarray(seen.numpy())


def voxel_set(points: np.ndarray, voxel_m: float) -> np.ndarray:
    """Sorted distinct voxels (m,) of points (n, 3), each as one opaque element that compares equal for equal voxels."""
    cells = np.floor(np.asarray(points) / np.asarray(voxel_m, np.asarray(points).dtype)).astype(np.int64)
    rows = np.ascontiguousarray(cells).view(np.dtype((np.void, 24))).ravel()
    return np.unique(rows)


def voxel_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two voxel sets from :func:`voxel_set`; 0 if both are empty."""
    common = len(np.intersect1d(a, b, assume_unique=True))
    union = len(a) + len(b) - common
    return common / union if union else 0.0


def select_references(
    visible: dict[int, np.ndarray],
    target: np.ndarray,
    *,
    max_references: int = 4,
    iou_min: float = 0.04,
    exclude: frozenset[int] = frozenset(),
) -> tuple[list[int], dict[int, float]]:
    """Past frames that see most of what the target sees.

    Args:
        visible: voxel set of every past latent frame, by its number.
        target: voxel set of the frames to come.
        max_references, iou_min: at most so many, each with at least that overlap.
        exclude: frames that the model is given anyway (the released code may pick those again; pass none to do as it
            does).

    Returns:
        Frame numbers, best first (equal ones in the order of ``visible``), and the overlap of each.
    """
    overlap = {frame: voxel_iou(voxels, target) for frame, voxels in visible.items()}
    fit = [frame for frame in visible if overlap[frame] >= iou_min and frame not in exclude]
    fit.sort(key=lambda frame: -overlap[frame])
    return fit[:max_references], overlap
