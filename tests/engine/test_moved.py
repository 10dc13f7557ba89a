"""Tokens that stand once more elsewhere look there as they do where they were."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from engine.camera import rotation_about_up
from engine.memory import LatentMemory, LatentView, MemoryConfig, ScaledView, add_moved, memory_at_scales
from engine.memory.grids import cell_of
from engine.places.scales import at_scales
from tests.engine.memory_support import CHANNELS, STRIDE, CentreNetwork, camera_at, planes_inverse_depth, samples_of

WALL = (np.array([1.0, 0.0, 0.0]), 6.0)
SIZE = (128, 192)


def motion(quarters: int, x: float, y: float) -> np.ndarray:
    made = np.eye(4)
    made[:3, :3], made[:2, 3] = rotation_about_up(0.5 * np.pi * quarters), (x, y)
    return made


def averaged(latents: Tensor) -> Tensor:
    return avg_pool2d(latents, 2)


def a_memory(scaled: bool) -> LatentMemory:
    camera = camera_at(0.0, 0.0, 1.5, size=SIZE)
    latents = torch.rand(CHANNELS, SIZE[0] // STRIDE, SIZE[1] // STRIDE, generator=torch.Generator().manual_seed(0))
    view = LatentView(camera, latents, torch.from_numpy(planes_inverse_depth(samples_of(camera), [WALL])))
    config = MemoryConfig(channels=CHANNELS, stride=STRIDE)
    scales = at_scales(view, STRIDE, averaged) if scaled else [view]
    return memory_at_scales(config, CentreNetwork(config.samples), [ScaledView(scales)])


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("taken", [motion(0, 40.0, 3.0), motion(1, -70.0, 0.5), motion(3, 0.0, 90.0)])
def test_they_look_there_as_they_do_where_they_were(scaled: bool, taken: np.ndarray) -> None:
    memory = a_memory(scaled)
    rows, views = memory.living(), [camera_at(x, 0.3, 1.4, 4.0, size=SIZE) for x in (-14.0, -3.0, 2.0)]
    before = [memory.readout(view) for view in views]
    new = add_moved(memory, rows, taken)
    assert len(new) == len(rows) and not len(np.intersect1d(new, rows))
    for view, was in zip(views, before, strict=True):
        here, there = memory.readout(view), memory.readout(view.posed(taken @ view.c2w))
        assert torch.equal(here.features, was.features), "where they were, too"
        assert torch.allclose(there.coverage, was.coverage, atol=1e-3)
        assert torch.allclose(there.inverse_depth, was.inverse_depth, atol=1e-4)
        same = (there.features - was.features).abs().amax(0) < 1e-2
        assert float(same[was.coverage > 0.99].float().mean()) > 0.98


def test_of_some_tokens_the_coarser_ones_come_along_that_stand_for_them() -> None:
    memory = a_memory(scaled=True)
    store, rows = memory.store, memory.living()
    fine = rows[store.finer.rows[store.keyframes_of(rows)] < 0]
    u, _ = store.cell(fine)
    some = fine[u < 5]
    coarser = rows[store.finer.rows[store.keyframes_of(rows)] >= 0]
    new = add_moved(memory, np.concatenate([some, coarser]), motion(0, 40.0, 0.0))
    keyframes = np.unique(store.keyframes_of(new))
    lives = []
    for keyframe in keyframes:
        (height, width), (first, count, _, _) = store.grids.rows[keyframe], store.spans.rows[keyframe]
        column, line = cell_of(store.cells.rows[first : first + count], int(width))
        lives.append(np.full((height, width), -1))
        lives[-1][line, column] = store.alive[first : first + count]
    assert (lives[-1] > 0).sum() == len(some)
    for coarse, finer in pairwise(lives):
        four = finer.reshape(coarse.shape[0], 2, coarse.shape[1], 2)
        assert ((coarse > 0) == (four.max(axis=(1, 3)) > 0)).all()
        assert (four.min(axis=(1, 3))[coarse >= 0] >= 0).all(), "all four are there"


def test_nothing_moved_is_nothing_added() -> None:
    memory = a_memory(scaled=True)
    count = len(memory.store)
    assert not len(add_moved(memory, np.empty(0, np.int64), motion(1, 1.0, 1.0)))
    assert len(memory.store) == count
