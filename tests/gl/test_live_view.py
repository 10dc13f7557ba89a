"""The live view with real OpenGL: structure, not pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from PyQt6.QtGui import QImage
from pytestqt.qtbot import QtBot

from engine.camera import Camera, c2w_from_angles
from engine.messages import FrameUpdate, MemoryStats, StepResult
from tests.gl.window_support import picture, spread
from ui.live_view import LiveView
from ui.reprojector import is_software

pytestmark = pytest.mark.gl

HEIGHT, WIDTH = 64, 112
GRID = (16, 28)
RED, BLUE, GREEN = (220, 40, 40), (40, 60, 220), (40, 180, 60)


def camera(x: float = 0.0, y: float = 0.0, yaw_deg: float = 0.0) -> Camera:
    """Looking along +X from two metres up."""
    return Camera.from_fov(c2w_from_angles(np.array([x, y, 2.0]), yaw_deg, 0.0), 50.0, WIDTH, HEIGHT)


def frame(rgb: np.ndarray, inverse_depth: np.ndarray, cam: Camera | None = None, coverage: float = 0.5) -> FrameUpdate:
    known = np.full((8, 14), coverage, np.float32)
    result = StepResult(0, 1, cam or camera(), rgb, inverse_depth, known, None, {}, 1, 0, 0, MemoryStats())
    return FrameUpdate(result)


def halves() -> FrameUpdate:
    """A blue far wall with a red near box in the middle."""
    rgb = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    rgb[:] = BLUE
    rgb[20:44, 44:68] = RED
    q = np.full(GRID, 0.02, np.float32)
    q[5:11, 11:17] = 0.5
    return frame(rgb, q)


@pytest.fixture
def view(qtbot: QtBot) -> Iterator[LiveView]:
    widget = LiveView()
    widget.resize(WIDTH * 6, HEIGHT * 6)
    qtbot.addWidget(widget)
    with qtbot.waitSignal(widget.drawn, timeout=20_000):
        widget.show()
    yield widget
    widget.shut()


def at(image: QImage, u: float, v: float) -> tuple[int, int, int]:
    """Colour at a share of the picture's width and height."""
    colour = image.pixelColor(round(u * image.width()), round(v * image.height()))
    return colour.red(), colour.green(), colour.blue()


def close_to(colour: tuple[int, int, int], wanted: tuple[int, int, int], tolerance: int = 40) -> bool:
    return max(abs(a - b) for a, b in zip(colour, wanted, strict=True)) < tolerance


def test_before_the_first_frame_it_claims_nothing(view: LiveView) -> None:
    assert view.showing == "nothing"
    assert spread(picture(view)) < 2.0
    assert is_software(view.renderer) == view.software


def test_a_frame_is_shown_as_generated_and_a_moved_one_as_preview(view: LiveView) -> None:
    view.set_frame(halves())
    image = picture(view)
    assert view.showing == "generated" and view.badge.detail == "50 % remembered"
    assert close_to(at(image, 0.5, 0.5), RED) and close_to(at(image, 0.2, 0.8), BLUE)
    view.set_camera(camera(y=0.2))
    image = picture(view)
    assert view.showing == "preview"
    assert close_to(at(image, 0.56, 0.5), RED) and close_to(at(image, 0.42, 0.5), BLUE)  # the near box went right
    greens = [image.pixelColor(x, y).green() for x in range(200, 500) for y in range(60, image.height())]
    assert RED[1] - 3 <= min(greens) and max(greens) <= BLUE[1] + 3  # nothing of what lies behind the window
    view.set_camera(camera())
    assert view.showing == "generated"


def test_near_things_move_more_than_far_ones(view: LiveView) -> None:
    view.set_frame(halves())
    view.set_camera(camera(y=-0.6))  # to the right: the near box moves to the left by f * 0.6 * 0.5 = 20 of 112 pixels
    image = picture(view)
    assert close_to(at(image, 0.32, 0.5), RED)
    assert not close_to(at(image, 0.6, 0.5), RED)
    assert close_to(at(image, 0.8, 0.5), BLUE)  # the hole and the wall behind it


def test_holes_are_filled_with_what_lies_behind(view: LiveView) -> None:
    view.set_frame(halves())
    view.set_camera(camera(y=-0.6))
    red, green, blue = at(picture(view), 0.52, 0.5)
    assert blue > 120 and red < 110, (red, green, blue)


def test_turning_moves_the_sky_and_leaves_the_unknown_soft(view: LiveView) -> None:
    rgb = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    rgb[:] = GREEN
    rgb[:, 50:62] = RED
    view.set_frame(frame(rgb, np.zeros(GRID, np.float32)))
    view.set_camera(camera(yaw_deg=-15))  # to the right: the stripe goes left
    image = picture(view)
    assert close_to(at(image, 0.336, 0.5), RED, 60)  # f tan 15 deg = 18 of 112 pixels
    assert not close_to(at(image, 0.5, 0.5), RED, 60)
    unknown = at(image, 0.97, 0.5)
    assert unknown != (0, 0, 0) and unknown[1] < GREEN[1]  # the border's colour, fading


def test_looking_away_altogether_is_not_black_and_not_the_frame(view: LiveView) -> None:
    view.set_frame(halves())
    view.set_camera(camera(yaw_deg=180))
    image = picture(view)
    assert view.showing == "preview"
    assert not close_to(at(image, 0.5, 0.5), RED) and max(at(image, 0.5, 0.5)) > 8


def test_flying_through_a_surface_does_not_break_it(view: LiveView) -> None:
    view.set_frame(halves())
    for x in (1.0, 1.99, 2.0, 2.5, 60.0):
        view.set_camera(camera(x=x))
        assert not picture(view).isNull()
    assert view.showing == "preview"


def test_it_draws_only_when_something_changed(view: LiveView, qtbot: QtBot) -> None:
    view.set_frame(halves())
    picture(view)
    qtbot.wait(60)  # what was asked for is drawn at the pace of software OpenGL
    drawn = len(view.draw_ms)
    qtbot.wait(120)
    assert len(view.draw_ms) == drawn
    view.set_camera(camera(y=0.1))
    qtbot.waitUntil(lambda: len(view.draw_ms) > drawn, timeout=5000)


def test_of_many_frames_only_the_last_is_uploaded(view: LiveView) -> None:
    first = halves()
    last = frame(np.full((HEIGHT, WIDTH, 3), 200, np.uint8), np.full(GRID, 0.1, np.float32))
    for update in (first, first, first, last):
        view.set_frame(update)
    image = picture(view)
    assert close_to(at(image, 0.5, 0.5), (200, 200, 200))


def test_sizes_of_frame_and_window_may_change(view: LiveView) -> None:
    view.set_frame(halves())
    picture(view)
    rgb = np.full((96, 160, 3), 90, np.uint8)
    cam = Camera.from_fov(c2w_from_angles(np.array([0.0, 0.0, 2.0]), 0.0, 0.0), 50.0, 160, 96)
    view.set_frame(frame(rgb, np.full((24, 40), 0.1, np.float32), cam))
    view.set_camera(camera(y=0.05))
    view.resize(900, 700)
    image = picture(view)
    assert close_to(at(image, 0.5, 0.5), (90, 90, 90))
    view.set_camera(cam)
    assert view.showing == "generated"


def test_clearing_forgets_the_frame(view: LiveView) -> None:
    view.set_frame(halves())
    picture(view)
    view.clear()
    assert view.showing == "nothing"
    assert spread(picture(view)) < 2.0


def test_large_views_are_drawn_at_a_lower_resolution_in_software(view: LiveView) -> None:
    view.resize(1600, 914)
    view.set_frame(halves())
    view.set_camera(camera(y=-0.1))
    image = picture(view)
    assert close_to(at(image, 0.05, 0.05), BLUE, 60) and close_to(at(image, 0.47, 0.5), RED, 60)
    if view.software:
        assert view._painter is not None and view._painter._buffer is not None


def test_a_frame_with_other_country_fades_in_and_then_the_view_rests(view: LiveView, qtbot: QtBot) -> None:
    def plain(colour: tuple[int, int, int], index: int, renewed: bool) -> FrameUpdate:
        update = frame(np.full((HEIGHT, WIDTH, 3), colour, np.uint8), np.full(GRID, 0.02, np.float32))
        return replace(update, result=replace(update.result, index=index, renewed=renewed))

    view.set_frame(plain(RED, 0, False))
    picture(view)
    view.set_frame(plain(BLUE, 1, True))
    seen = [at(picture(view), 0.5, 0.5)]
    while not close_to(seen[-1], BLUE, 3) and len(seen) < 400:
        seen.append(at(picture(view), 0.5, 0.5))
    reds = [colour[0] for colour in seen]
    assert len(seen) > 2 and reds[0] > BLUE[0] + 20  # it began with the frame before
    assert all(later <= earlier + 2 for earlier, later in pairwise(reds)) and close_to(seen[-1], BLUE, 3)
    view.set_frame(plain(BLUE, 1, True))  # the same frame, drawn better: nothing to fade
    assert close_to(at(picture(view), 0.5, 0.5), BLUE, 3)
    view.set_frame(plain(GREEN, 2, False))
    assert close_to(at(picture(view), 0.5, 0.5), GREEN, 3)
    qtbot.wait(100)
    drawn = len(view.draw_ms)
    qtbot.wait(120)
    assert len(view.draw_ms) == drawn
