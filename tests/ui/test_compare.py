"""The second view on a real engine: sources, wipe, linked zoom, provenance."""

# ruff: noqa: F811 - fixtures are taken by name

from __future__ import annotations

import numpy as np
import pytest
from PyQt6.QtCore import QPoint, QPointF, Qt
from PyQt6.QtGui import QWheelEvent
from PyQt6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from engine.messages import COMPARE_SOURCES, Undo
from tests.ui.panels_support import WAIT_MS, bridge, fly_on, shared_bridge  # noqa: F401
from ui.bridge import EngineBridge
from ui.compare import CompareView
from ui.compare.image_pane import ImagePane
from ui.compare.view import SHORT_NAMES


@pytest.fixture
def view(qtbot: QtBot, bridge: EngineBridge) -> CompareView:
    widget = CompareView(bridge)
    qtbot.addWidget(widget)
    widget.resize(900, 460)
    widget.show()
    qtbot.waitExposed(widget)
    fly_on(qtbot, bridge, 1)
    qtbot.waitUntil(lambda: widget.image is not None, timeout=WAIT_MS)
    return widget


def wheel(pane: ImagePane, at: QPointF, notches: int) -> None:
    """Turn the wheel over a pane."""
    event = QWheelEvent(
        at,
        pane.mapToGlobal(at),
        QPoint(),
        QPoint(0, 120 * notches),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(pane, event)


def test_every_source_can_be_chosen(qtbot: QtBot, bridge: EngineBridge, view: CompareView) -> None:
    assert set(SHORT_NAMES) == set(COMPARE_SOURCES) - {"none"}
    for row in range(view.source_box.count()):
        source = view.source_box.itemData(row)
        if source in ("truth", "branch"):  # an imagined world has no truth; there is one branch only
            continue
        view.source_box.setCurrentIndex(row)
        assert view.source == source
        qtbot.waitUntil(lambda wanted=source: view.image.source == wanted, timeout=WAIT_MS)
        assert view.image.rgb.shape == bridge.frame.result.rgb.shape
        assert view.caption.text()
    item = view.source_box.model().item(view.source_box.findData("truth"))
    assert not item.isEnabled()


def test_a_wipe_shows_the_generated_frame_of_the_same_step(
    qtbot: QtBot, bridge: EngineBridge, view: CompareView
) -> None:
    qtbot.mouseClick(view.mode_buttons["wipe"], Qt.MouseButton.LeftButton)
    pane = view.pane
    assert pane.wiping
    target = pane.picture_rect()
    grip = QPoint(round(target.left() + 0.5 * target.width()), round(target.center().y()))
    qtbot.mousePress(pane, Qt.MouseButton.LeftButton, pos=grip)
    qtbot.mouseMove(pane, grip + QPoint(90, 0))
    qtbot.mouseRelease(pane, Qt.MouseButton.LeftButton, pos=grip + QPoint(90, 0))
    assert pane.wipe == pytest.approx(0.5 + 90 / target.width(), abs=0.01)
    assert not view.card.isVisible()  # dragging the handle is not a click on a pixel
    picture = pane.grab().toImage()
    frame = bridge.frame.result.rgb
    assert view.image.index == bridge.frame.result.index
    left = picture.pixelColor(round(target.left() + 0.2 * target.width()), round(target.top() + 0.7 * target.height()))
    shown = np.array([left.red(), left.green(), left.blue()])
    around = frame[
        round(0.66 * frame.shape[0]) : round(0.74 * frame.shape[0]),
        round(0.16 * frame.shape[1]) : round(0.24 * frame.shape[1]),
    ]
    assert (shown >= around.min(axis=(0, 1)) - 3).all()
    assert (shown <= around.max(axis=(0, 1)) + 3).all()
    pane.setFocus()
    before = pane.wipe
    qtbot.keyClick(pane, Qt.Key.Key_Left)
    assert pane.wipe == pytest.approx(before - 0.02)


def test_zoom_is_linked_and_stays_at_the_pointer(view: CompareView) -> None:
    view.set_mode("both")
    QApplication.processEvents()
    pane = view.pane
    target = pane.picture_rect()
    at = QPointF(target.left() + 0.75 * target.width(), target.top() + 0.25 * target.height())
    wheel(pane, at, 6)
    assert view.zoom.scale > 2.5
    enlarged = pane.picture_rect()
    assert (at.x() - enlarged.left()) / enlarged.width() == pytest.approx(0.75, abs=0.01)
    assert view.generated.picture_rect().size() == enlarged.size()
    wheel(pane, at, -20)
    assert view.zoom.scale == 1.0
    assert pane.picture_rect() == target


def test_a_click_tells_where_a_pixel_came_from(qtbot: QtBot, bridge: EngineBridge, view: CompareView) -> None:
    pane = view.pane
    coverage = bridge.frame.result.coverage
    row, column = np.unravel_index(int(np.argmax(coverage)), coverage.shape)
    assert coverage[row, column] > 0
    target = pane.picture_rect()
    rows, columns = coverage.shape
    at = QPoint(
        round(target.left() + (column + 0.5) / columns * target.width()),
        round(target.top() + (row + 0.5) / rows * target.height()),
    )
    qtbot.mouseClick(pane, Qt.MouseButton.LeftButton, pos=at)
    qtbot.waitUntil(lambda: view.card.isVisible(), timeout=WAIT_MS)
    assert pane.marked == (row, column)
    assert f"Cell {row}, {column}" in view.card._title.text()
    assert "step" in view.card._text.text()
    assert not view.card.geometry().contains(pane.geometry().topLeft() + at)  # the card does not hide what it explains
    view.card.closed.emit()
    assert pane.marked is None


def test_another_branch_can_be_compared(qtbot: QtBot, bridge: EngineBridge, view: CompareView) -> None:
    tip = bridge.tree.current
    bridge.do(Undo())
    qtbot.waitUntil(lambda: bridge.tree.current != tip, timeout=WAIT_MS)
    fly_on(qtbot, bridge, 1, yaw_deg=-40.0)
    view.set_source("branch", tip)
    assert view.branch_box.isVisible()
    assert view.branch_box.currentData() == tip
    qtbot.waitUntil(lambda: view.image is not None and view.image.source == "branch", timeout=WAIT_MS)


def test_a_hidden_view_asks_for_nothing(qtbot: QtBot, bridge: EngineBridge, view: CompareView) -> None:
    asked = view._asked
    assert asked == (view.source, None)
    view.hide()
    assert view._asked == ("none", None)
    image = view.image
    fly_on(qtbot, bridge, 1)
    assert view.image is image
    view.show()
    qtbot.waitUntil(lambda: view.image is not image, timeout=WAIT_MS)
