"""What hangs in the air is told from what stands, or may."""

from __future__ import annotations

import numpy as np

from engine.evaluation.hanging import hanging
from tests.engine.memory_support import GROUND, camera_at, planes_inverse_depth, samples_of

H, W = 24, 40
CAMERA = camera_at(0.0, 0.0, 1.6, size=(8 * H, 8 * W))
"""Level: the horizon lies below row 11."""
CROWN, TRUNK = (slice(3, 8), slice(14, 24)), (slice(8, 16), slice(18, 20))


def found(*parts: tuple[tuple[slice, slice], float]) -> np.ndarray:
    """What hangs before ground and sky, of such cells at so many metres."""
    inverse = planes_inverse_depth(samples_of(CAMERA), (GROUND,))
    for (rows, columns), depth_m in parts:
        inverse[2 * rows.start : 2 * rows.stop, 2 * columns.start : 2 * columns.stop] = 1.0 / depth_m
    return hanging(inverse, CAMERA, (H, W))


def cells(*parts: tuple[slice, slice]) -> np.ndarray:
    shown = np.zeros((H, W), np.bool_)
    for part in parts:
        shown[part] = True
    return shown


def test_a_crown_hangs_without_its_trunk() -> None:
    assert not found((CROWN, 10.0), (TRUNK, 10.0)).any()
    assert np.array_equal(found((CROWN, 10.0)), cells(CROWN))


def test_what_reaches_beyond_an_edge_may_stand_there() -> None:
    for columns in (slice(0, 10), slice(30, W)):
        assert not found(((CROWN[0], columns), 10.0)).any()


def test_a_mountain_stands_behind_a_wood_and_hangs_before_a_sky() -> None:
    mountain, wood = (slice(3, 7), slice(8, 30)), (slice(7, 12), slice(4, 36))
    assert not found((mountain, 500.0), (wood, 50.0)).any()
    assert np.array_equal(found((mountain, 500.0)), cells(mountain))


def test_what_lies_on_something_that_hangs_hangs_too() -> None:
    above = (slice(1, 3), slice(14, 24))
    assert not found((CROWN, 10.0), (TRUNK, 10.0), (above, 30.0)).any()
    assert np.array_equal(found((CROWN, 10.0), (above, 30.0)), cells(CROWN, above))
