"""The RGB baseline: it must be good at what it does, or comparisons mean nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.camera import Camera
from engine.errors import InputError
from engine.rgb_memory import RgbMemory
from engine.zbuffer import zbuffer_reference
from tests.engine.memory_support import GROUND, camera_at, planes_inverse_depth


def frame(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """A smooth pattern painted on the ground under a plain sky: rgb (3, H, W) and depth (H, W)."""
    inverse = planes_inverse_depth(camera, (GROUND,)).astype(np.float64)
    with np.errstate(divide="ignore"):
        depth = 1.0 / inverse
    points = camera.position + camera.rays() * np.where(np.isfinite(depth), depth, 0.0)[..., None]
    fade = np.clip(4.0 * inverse, 0.0, 1.0)
    red = 0.5 + 0.4 * fade * np.sin(1.3 * points[..., 0]) * np.cos(1.1 * points[..., 1])
    rgb = np.stack([red, np.full_like(red, 0.3), np.where(inverse > 0, 0.1, 0.9)])
    return rgb.astype(np.float32), depth


def psnr(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> float:
    return float(-10 * np.log10(((a - b) ** 2).mean(axis=0)[mask].mean()))


def test_a_frame_reads_back_as_itself() -> None:
    camera = camera_at(0, 0, 1.6, 10, -12)
    rgb, depth = frame(camera)
    memory = RgbMemory()
    assert memory.write(camera, torch.from_numpy(rgb), torch.from_numpy(depth)) == 64 * 96 == len(memory)
    view = memory.render(camera)
    assert view.mask.all()
    np.testing.assert_allclose(view.rgb, rgb, atol=0.5 / 255 + 1e-6)
    np.testing.assert_allclose(view.depth_m, depth, rtol=1e-4)
    np.testing.assert_allclose(view.magnification, 1.0, rtol=1e-4)
    assert memory.used_bytes / len(memory) < 24


@pytest.mark.parametrize(
    ("place", "least_db", "least_covered"), [((0.4, 0.1, 1.6, 3, -12), 28, 0.9), ((1.5, 0.3, 1.5, -4, -10), 24, 0.8)]
)
def test_other_views_are_close_to_the_truth(place: tuple[float, ...], least_db: float, least_covered: float) -> None:
    source, target = camera_at(0, 0, 1.6, 0, -12), camera_at(*place)
    memory = RgbMemory()
    memory.write(source, *frame(source))
    view = memory.render(target)
    mask = view.mask.numpy()
    assert mask.mean() > least_covered
    assert psnr(view.rgb.numpy(), frame(target)[0], mask) > least_db


def test_depth_and_winners_agree_with_the_plain_zbuffer() -> None:
    source, target = camera_at(0, 0, 1.6, 0, -30), camera_at(-1.5, 0.2, 2.4, 5, -25)
    memory = RgbMemory()
    rgb, depth = frame(source)
    memory.write(source, rgb, depth)
    view = memory.render(target)
    _, plain = zbuffer_reference(memory._points.rows[: memory.stored], target)
    hit = np.isfinite(plain) & np.isfinite(view.depth_m.numpy())
    # Splats have extent, so the picture may show a nearer neighbour, never a farther point.
    assert (view.depth_m.numpy()[hit] <= plain[hit] * (1 + 1e-5)).all()
    assert np.median(plain[hit] / view.depth_m.numpy()[hit]) < 1.02


def test_novel_adds_nothing_twice_and_supersedes_what_is_seen_finer() -> None:
    path = [camera_at(0.5 * i, 0.0, 1.6, 4.0 * i, -12) for i in range(4)]
    memory = RgbMemory()
    for camera in path:
        memory.write(camera, *frame(camera))
    living = len(memory)
    assert sum(memory.write(camera, *frame(camera)) for camera in path[::-1]) <= 0.02 * living
    before, stored = len(memory), memory.stored
    near = camera_at(1.0, 0.0, 0.5, 0.0, -20)
    written = memory.write(near, *frame(near))
    assert written > 0 and before < memory.stored - 0 and len(memory) < before + written
    assert memory.retract() and len(memory) == before and memory.stored == stored
    everything = RgbMemory(policy="append")
    for camera in path:
        assert everything.write(camera, *frame(camera)) == 64 * 96


def test_sky_turns_and_unknown_depth_is_not_written() -> None:
    camera = camera_at(0, 0, 1.6)
    rgb, depth = frame(camera)
    memory = RgbMemory()
    memory.write(camera, rgb, depth)
    moved = memory.render(camera_at(3.0, 1.0, 1.6))
    assert torch.isinf(moved.depth_m[:20]).all() and moved.mask[:20].float().mean() > 0.9
    unknown = depth.copy()
    unknown[:, :48] = np.nan
    unknown[:, 48:60] = -1.0
    partial = RgbMemory()
    assert partial.write(camera, rgb, unknown) == 64 * 36
    assert not partial.render(camera).mask[:, :60].any()
    assert not RgbMemory().render(camera).mask.any()
    assert not RgbMemory().retract()
    with pytest.raises(InputError):
        memory.write(camera, rgb[:, :5], depth)


def test_its_readout_has_the_shape_of_any_other() -> None:
    camera = camera_at(0, 0, 1.6, 0, -12)
    memory = RgbMemory()
    memory.write(camera, *frame(camera))
    readout = memory.readout(camera_at(0, 0, 1.6, 30, -12), lambda rgb: torch.nn.functional.avg_pool2d(rgb, 8))
    assert readout.features.shape == (3, 8, 12) and readout.inverse_depth.shape == (16, 24)
    hole = readout.coverage == 0
    assert hole.any() and not readout.features[:, hole].any()
    assert not readout.inverse_depth[~readout.covered].any() and readout.sky.any()
    assert (readout.inverse_depth[readout.covered & ~readout.sky] > 0).all()
