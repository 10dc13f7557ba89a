"""A frame whose edge is unknown is imagined wider than it is shown."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.camera import Camera, c2w_from_angles
from engine.explorer import Explorer, ExplorerConfig
from engine.models.embedded import EmbeddedModel
from engine.overscan import (
    MARGIN_CELLS,
    edge_unknown,
    inventing_steps,
    much_unknown,
    shown_part,
    widened,
    without_edge,
)

STRIDE = 8


def camera_at(yaw_deg: float) -> Camera:
    return Camera.from_fov(c2w_from_angles(np.array([0.0, 0.0, 2.0]), yaw_deg, 0.0), 50.0, 112, 64)


@given(st.floats(0, 111.99), st.floats(0, 63.99))
def test_the_frame_lies_pixel_for_pixel_inside_the_wider_view(u: float, v: float) -> None:
    camera = camera_at(30.0)
    wide = widened(camera, STRIDE)
    rows, columns = (cells * STRIDE for cells in MARGIN_CELLS)
    ray = np.linalg.inv(camera.K) @ [u, v, 1.0]
    assert wide.K @ ray == pytest.approx([u + columns, v + rows, 1.0])
    assert wide.size == (64 + 2 * rows, 112 + 2 * columns)


@pytest.mark.parametrize("per_cell", [1, 2, 8])
def test_the_shown_part_is_what_lies_inside_the_margin(per_cell: int) -> None:
    rows, columns = MARGIN_CELLS
    wide = torch.zeros((8 + 2 * rows) * per_cell, (14 + 2 * columns) * per_cell)
    wide[rows * per_cell : -rows * per_cell, columns * per_cell : -columns * per_cell] = 1
    part = shown_part(wide, per_cell)
    assert part.shape == (8 * per_cell, 14 * per_cell)
    assert part.all()


def test_only_holes_at_the_edge_ask_for_a_wider_view() -> None:
    coverage = torch.ones(8, 14)
    coverage[2:6, 3:9] = 0
    assert not edge_unknown(coverage)
    coverage[:, 0] = 0
    assert edge_unknown(coverage)
    assert edge_unknown(torch.zeros(8, 14))


def test_a_turn_is_invented_at_once_and_then_remembered(tiny_model: EmbeddedModel) -> None:
    """The first step past the known edge writes a margin; the next small turns find it and write next to nothing."""
    explorer = Explorer(tiny_model, ExplorerConfig(biome="meadow", seed=3))
    first = explorer.begin(camera_at(0.0))
    assert first.rgb.shape == (64, 112, 3)
    assert first.tokens_written > 8 * 14
    assert first.inverse_depth.shape == (16, 28)
    turned = explorer.step(camera_at(4.0))
    assert turned.coverage[:, 0].mean() > 0.9
    assert not turned.wide
    heard: list[str] = []
    far = explorer.step(camera_at(75.0), progress=lambda fraction, text: heard.append(text))
    assert far.wide
    assert len(heard) == inventing_steps(explorer.default_steps) > explorer.default_steps
    assert far.tokens_written > turned.tokens_written


def test_the_edge_of_a_wider_view_is_not_remembered_unless_it_was_before(tiny_model: EmbeddedModel) -> None:
    known = torch.zeros(16, 28, dtype=torch.bool)
    known[:, :6] = True
    written = ~torch.isnan(without_edge(torch.ones(16, 28), known, samples=2))
    assert written[:, :6].all()
    assert written[2:-2, :-2].all()
    assert not written[:2, 6:].any()
    assert not written[-2:, 6:].any()
    assert not written[:, -2:].any()
    explorer = Explorer(tiny_model, ExplorerConfig(biome="meadow", seed=3))
    explorer.begin(camera_at(0.0))
    far = explorer.step(camera_at(90.0))
    assert far.wide
    covered = explorer.memory.readout(widened(camera_at(90.0), STRIDE)).readout.covered
    assert not covered[:, 0].any()
    assert float(shown_part(covered, 2).float().mean()) > 0.9


def test_without_memory_nothing_is_imagined_wider(tiny_model: EmbeddedModel) -> None:
    explorer = Explorer(tiny_model, ExplorerConfig(biome="meadow", seed=3, memory="none"))
    explorer.begin(camera_at(0.0))
    assert not explorer.step(camera_at(40.0)).wide


def test_invention_gets_more_steps_until_there_are_enough() -> None:
    assert [inventing_steps(steps) for steps in (1, 2, 8, 12, 16, 200)] == [4, 8, 16, 16, 16, 200]


def test_a_hole_in_the_middle_is_invented_with_care_and_a_speck_is_not() -> None:
    coverage = torch.ones(32, 56)
    assert not much_unknown(coverage)
    coverage[10:12, 10:12] = 0
    assert not much_unknown(coverage)
    coverage[10:20, 10:20] = 0
    assert much_unknown(coverage)
    assert not edge_unknown(coverage)
