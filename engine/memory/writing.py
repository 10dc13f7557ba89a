"""What a write stores beside its view: the layer behind it, and the same view at finer scales."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.camera import Camera
from engine.errors import InputError
from engine.memory import novelty
from engine.memory.checks import checked_view
from engine.memory.config import LatentView, MemoryConfig
from engine.memory.kernels import WORN
from engine.memory.store import TokenStore
from engine.memory.surface import planar_tokens, rims
from engine.memory.tree import Node

Checked = tuple[np.ndarray, np.ndarray, Camera]
"""Latents (C, h, w), inverse depth (h*s, w*s) and the camera on the latent grid."""


def sampled_cells(config: MemoryConfig, inverse_depth: np.ndarray) -> np.ndarray:
    """(h*s, w*s) -> (h, w, s*s), NaN where it is not to be written."""
    samples = novelty.cells(inverse_depth, config.samples)
    return samples if config.sky else np.where(samples == 0.0, np.float32(np.nan), samples)


def checked_scales(config: MemoryConfig, camera: Camera, finer: Sequence[LatentView]) -> list[Checked]:
    """The finer scales of a view whose latent camera is ``camera``.

    Raises:
        InputError: one is not the same view with twice as many tokens a side as the one before.
    """
    scales = []
    for view in finer:
        scales.append(checked_view(config, view))
        size, camera = camera.size, camera.resized(2 * camera.width, 2 * camera.height)
        found = scales[-1][2]
        if found.size != camera.size or not (np.allclose(found.K, camera.K) and np.allclose(found.c2w, camera.c2w)):
            raise InputError(f"A finer scale must be the same view with twice {size[0]}x{size[1]} tokens.")
    return scales


def write_backdrop(
    config: MemoryConfig, store: TokenStore, node: Node, latents: np.ndarray, inverse_depth: np.ndarray, camera: Camera
) -> int:
    """A keyframe behind the one that ``node`` wrote; returns its tokens."""
    samples = sampled_cells(config, inverse_depth)
    known = known_cells(samples)
    if count := int(known.sum()):
        node.backdrop = store.keyframes.count
        node.written += count
        planar = planar_tokens(inverse_depth, config.samples)
        store.append(
            camera, latents, samples, planar, known, node.id, wear=np.full_like(known, WORN, np.uint8), rear=True
        )
    return count


def write_scales(
    config: MemoryConfig, store: TokenStore, node: Node, scales: Sequence[Checked], written: np.ndarray
) -> int:
    """Keyframes that refine the one that ``node`` wrote, whose cells are ``written (h, w)`` bool; returns their tokens.

    A token is refined as a whole, by all four of the next scale, or not at all.
    """
    coarser, total = node.keyframe, 0
    for level, (latents, inverse_depth, camera) in enumerate(scales, start=1):
        samples = sampled_cells(config, inverse_depth)
        height, width = written.shape
        whole = known_cells(samples).reshape(height, 2, width, 2).all(axis=(1, 3))
        written = (written & whole).repeat(2, axis=0).repeat(2, axis=1)
        if not (count := int(written.sum())):
            break
        keyframe = store.keyframes.count
        planar = planar_tokens(inverse_depth, config.samples)
        rim = rims(latents, inverse_depth, config.samples, 2**level)
        store.append(camera, latents, samples, planar, written, node.id, refines=coarser, rim=rim)
        node.finer, node.written = (*node.finer, keyframe), node.written + count
        coarser, total = keyframe, total + count
    return total


def known_cells(samples: np.ndarray) -> np.ndarray:
    """(h, w, s*s) -> (h, w) bool: cells at least half of whose samples are known."""
    return np.asarray(2 * (samples >= 0.0).sum(axis=2) >= samples.shape[2])
