"""What is left of a thing hangs in the air when its foot is forgotten: it goes too. What stands, or may, stays."""

from __future__ import annotations

import numpy as np
import torch

from engine.hanging import hanging
from engine.memory import WORN, LatentView, Readout
from engine.renewal import KEPT_M, Renewal
from tests.engine.memory_support import (
    GROUND,
    box_inverse_depth,
    camera_at,
    memory_of,
    planes_inverse_depth,
    random_latents,
    readout_of,
    samples_of,
)

H, W = 24, 40
CAMERA = camera_at(0.0, 0.0, 1.6, size=(8 * H, 8 * W))
"""Level: the horizon lies below row 11."""
CROWN, TRUNK = (slice(3, 8), slice(14, 24)), (slice(8, 16), slice(18, 20))
NOTHING, EVERYTHING = np.zeros((H, W), np.bool_), np.ones((H, W), np.bool_)


def view(*parts: tuple[tuple[slice, slice], float]) -> Readout:
    """Ground and sky, and such cells at so many metres."""
    inverse = torch.from_numpy(planes_inverse_depth(samples_of(CAMERA), (GROUND,)))
    for (rows, columns), depth_m in parts:
        inverse[2 * rows.start : 2 * rows.stop, 2 * columns.start : 2 * columns.stop] = 1.0 / depth_m
    return readout_of(torch.zeros(3, H, W), inverse)


def cells(*parts: tuple[slice, slice]) -> np.ndarray:
    found = NOTHING.copy()
    for part in parts:
        found[part] = True
    return found


def test_a_crown_hangs_without_its_trunk() -> None:
    tree = view((CROWN, 10.0), (TRUNK, 10.0))
    assert not hanging(tree, CAMERA, NOTHING, EVERYTHING).any()
    assert np.array_equal(hanging(tree, CAMERA, cells(TRUNK), EVERYTHING), cells(CROWN))


def test_what_reaches_beyond_an_edge_may_stand_there() -> None:
    for columns in (slice(0, 10), slice(30, W)):
        crown = (CROWN[0], columns)
        assert not hanging(view((crown, 10.0)), CAMERA, NOTHING, NOTHING).any()


def test_a_mountain_may_stand_behind_a_wood_that_is_forgotten() -> None:
    mountain, wood = (slice(3, 9), slice(8, 30)), (slice(9, 12), slice(4, 36))
    seen = view((mountain, 500.0), (wood, 50.0))
    assert not hanging(seen, CAMERA, cells(wood), EVERYTHING).any()
    assert np.array_equal(hanging(seen, CAMERA, cells(wood), NOTHING), cells(mountain))  # imagined there
    assert not hanging(seen, CAMERA, NOTHING, NOTHING).any()  # the wood hides its foot


def test_what_lies_on_something_that_hangs_hangs_too() -> None:
    above, far_above = (slice(1, 3), slice(14, 24)), (slice(0, 1), slice(14, 24))
    tree = view((CROWN, 10.0), (TRUNK, 10.0), (above, 30.0), (far_above, 100.0))
    assert not hanging(tree, CAMERA, NOTHING, EVERYTHING).any()
    assert np.array_equal(hanging(tree, CAMERA, cells(TRUNK), NOTHING), cells(CROWN, above, far_above))


def test_a_renewal_takes_what_would_hang_unless_the_user_keeps_it() -> None:
    """A trunk that is worn goes, and with it the crown that was given."""
    grid = samples_of(CAMERA)
    crown = box_inverse_depth(grid, np.array([9.0, -2.0, 4.0]), np.array([10.0, 2.0, 6.0]))
    trunk = box_inverse_depth(grid, np.array([9.0, -0.4, 0.0]), np.array([10.0, 0.4, 4.0]))
    ground = planes_inverse_depth(grid, (GROUND,))
    inverse = np.maximum(np.maximum(crown, trunk), ground)
    worn = (trunk.reshape(H, 2, W, 2).max((1, 3)) > 0) & (crown.reshape(H, 2, W, 2).max((1, 3)) == 0)
    memory = memory_of([])
    memory.write(LatentView(CAMERA, random_latents(0, CAMERA), inverse), wear=np.where(worn, WORN, 0))
    readout = memory.readout(CAMERA)
    hangs = (readout.inverse_depth[::2, ::2] > 0.0) & (torch.arange(H) < 8)[:, None]
    assert bool(hangs.any())
    gone = Renewal(memory, KEPT_M).cells(readout, CAMERA)
    assert bool(gone[torch.from_numpy(worn)].all()) and bool(gone[hangs].all())
    tokens = Renewal(memory, KEPT_M).tokens(CAMERA, readout, gone)
    assert np.isin(readout.token[hangs].numpy(), tokens).all()
    memory.freeze(np.unique(readout.token[hangs].numpy()))
    gone = Renewal(memory, KEPT_M).cells(readout, CAMERA)
    assert not bool(gone[hangs].any())
    assert not np.isin(readout.token[hangs].numpy(), Renewal(memory, KEPT_M).tokens(CAMERA, readout, gone)).any()
