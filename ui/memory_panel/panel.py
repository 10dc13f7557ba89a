"""The memory panel: toolbar, canvas with its overlays, occupancy strip."""

from __future__ import annotations

from typing import cast

import numpy as np
from PyQt6.QtCore import QPoint, QRect, Qt
from PyQt6.QtGui import QHideEvent, QKeyEvent, QResizeEvent, QShowEvent
from PyQt6.QtWidgets import (
    QLabel,
    QVBoxLayout,
    QWidget,
)

from engine.messages import RegionStats
from ui import theme
from ui.bridge import EngineBridge
from ui.memory_panel.canvas import MemoryCanvas
from ui.memory_panel.clip_box import ClipBoxControls
from ui.memory_panel.cloud import COLOR_MODES, ColorMode
from ui.memory_panel.colormaps import colormap
from ui.memory_panel.content import HARDWARE_CAP, SOFTWARE_CAP, MemoryContent
from ui.memory_panel.controls import MemoryTools, PointOptions, short_count
from ui.memory_panel.navigation import Navigator
from ui.memory_panel.occupancy import OccupancyStrip
from ui.memory_panel.overlays import Legend, RegionCard, SelectionBand
from ui.memory_panel.packing import FOOTPRINT_LOG2_MIN
from ui.memory_panel.region import RegionSelection
from ui.memory_panel.view_camera import CameraMode

MARGIN_PX = 10
CARD_ROOM_PX = 300


def gl_colors() -> dict[str, tuple[float, float, float, float]]:
    """The theme's colours as the canvas wants them."""
    return {
        "zenith": theme.rgba("#0b1017"),
        "horizon": theme.rgba("#1b2530"),
        "ground": theme.rgba("#0e1218"),
        "grid": theme.rgba("#3b4756"),
        "path": theme.rgba(theme.TEXT),
        "frustum": theme.rgba(theme.ACCENT_HOVER),
        "keyframe": theme.rgba(theme.TEXT_SOFT),
        "box": (*theme.rgba(theme.TEXT_SOFT)[:3], 0.7),
        "accent": theme.rgba(theme.IMAGINED),
        "frozen": theme.rgba("#a9d4ff"),
    }


class MemoryPanel(QWidget):
    """The latent spatial memory as a point cloud that follows the engine by snapshots.

    While hidden it uploads and draws nothing. Close it by :meth:`shut` before the application ends, so that GL goes
    with its context.
    """

    def __init__(self, bridge: EngineBridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.bridge = bridge
        self.setProperty("role", "panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.canvas = MemoryCanvas(gl_colors())
        self.view = cast(QWidget, self.canvas.native)
        self.view.setParent(self)
        self.view.setMinimumSize(160, 120)
        self.view.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.view.setAccessibleName("Memory in 3D")
        self.view.setAccessibleDescription(
            "Drag to turn, Shift and drag to slide, wheel to zoom, click to pick, Ctrl and drag to select."
        )
        self.content = MemoryContent(bridge, self.canvas, self)
        self.navigator = Navigator(self.view, self.canvas.camera)
        self.region = RegionSelection(self.canvas, self.content, self)
        self.occupancy = OccupancyStrip(bridge)
        self.tools = MemoryTools()
        self._build_overlays()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.tools)
        layout.addWidget(self.view, 1)
        layout.addWidget(self.occupancy)
        self._connect()
        self.set_color_mode("color")
        self._cap_for_renderer("")

    # ------------------------------------------------------------------------------------------------- building

    def _build_overlays(self) -> None:
        self.note = QLabel(self.view)
        self.note.setStyleSheet(
            f"background: rgba(13, 16, 20, 184); color: {theme.TEXT_SOFT};"
            f"border-radius: {theme.RADIUS}px; padding: 3px 9px;"
        )
        self.note.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.legend = Legend(self.view)
        self.legend.hide()
        self.band = SelectionBand(self.view)
        self.card = RegionCard(self.view)
        self.clip = ClipBoxControls(self.view)
        self.options = PointOptions(self.view)

    def _connect(self) -> None:
        self.canvas.on_first_draw = self._cap_for_renderer
        self.navigator.changed.connect(self._camera_moved)
        self.navigator.picked.connect(self.region.pick)
        self.navigator.focused.connect(self._focus_on)
        self.navigator.band_moved.connect(self._show_band)
        self.navigator.band_selected.connect(self._select_band)
        self.navigator.band_dropped.connect(self.band.hide)
        self.navigator.cancelled.connect(self._escape)
        self.region.changed.connect(self._region_changed)
        self.region.described.connect(self._region_described)
        self.card.erase.connect(self.region.erase)
        self.card.freeze.connect(self.region.freeze)
        self.card.closed.connect(self.region.clear)
        self.clip.changed.connect(self._set_clip)
        self.content.cloud_changed.connect(self._describe_cloud)
        self.tools.colored.connect(self.set_color_mode)
        self.tools.camera_chosen.connect(self.set_camera_mode)
        self.tools.fit_wanted.connect(self.content.fit)
        self.tools.selecting.connect(self._set_selecting)
        self.tools.clipping.connect(self._toggle_clip)
        self.tools.options_shown.connect(self._toggle_options)
        self.options.sized.connect(self.content.set_point_size)
        self.options.capped.connect(self.content.set_cap)
        self.options.sky_shown.connect(self._set_sky)
        self.options.grid_shown.connect(self._set_grid)
        self.options.front_only.connect(self._set_front)

    # --------------------------------------------------------------------------------------------------- choices

    def set_color_mode(self, mode: ColorMode) -> None:
        """Colour the points by a property of their tokens."""
        self.tools.set_color(mode)
        self.content.set_mode(mode)

    def set_camera_mode(self, mode: CameraMode) -> None:
        """Orbit, fly or follow."""
        self.tools.camera_buttons[mode].setChecked(True)
        self.navigator.release_all()
        self.canvas.camera.mode = mode
        self.content.following = mode == "follow"
        if mode == "follow" and self.bridge.camera is not None:
            self.canvas.camera.pitch_deg = -26.0
            self.canvas.camera.follow(self.bridge.camera, min(self.canvas.camera.distance_m, 30.0))
        self.canvas.update()

    def _set_selecting(self, on: bool) -> None:
        self.navigator.selecting = on
        self.view.setCursor(Qt.CursorShape.CrossCursor if on else Qt.CursorShape.ArrowCursor)

    def _toggle_clip(self, on: bool) -> None:
        if on:
            found = self.content.explored()
            if found is not None:
                center, radius = found
                self.clip.set_bounds(center - 1.6 * radius, center + 1.6 * radius)
        self.clip.setVisible(on)
        self._place()

    def _toggle_options(self, on: bool) -> None:
        self.options.setVisible(on)
        self._place()

    def _set_clip(self, box: tuple[np.ndarray, np.ndarray] | None) -> None:
        self.region.clip_box = box
        low, high = self.clip.low, self.clip.high
        edges = None if box is None else (np.clip(box[0], low, high), np.clip(box[1], low, high))
        self.canvas.set_clip_box(box, edges)
        self.canvas.update()

    def _set_sky(self, on: bool) -> None:
        self.canvas.show_sky = on
        self.canvas.update()

    def _set_grid(self, on: bool) -> None:
        self.canvas.backdrop.grid = on
        self.canvas.update()

    def _set_front(self, on: bool) -> None:
        self.region.front_only = on

    def _cap_for_renderer(self, renderer: str) -> None:
        """Software GL draws fewer points: choose the cap and say so."""
        cap = SOFTWARE_CAP if self.canvas.software or not renderer else HARDWARE_CAP
        self.options.show_cap(cap)
        if cap != self.content.cloud.cap:
            self.content.set_cap(cap)
        self._describe_cloud()

    # --------------------------------------------------------------------------------------------------- updates

    def _camera_moved(self) -> None:
        if self.content.following and self.canvas.camera.mode == "follow" and self.bridge.camera is not None:
            self.canvas.camera.pivot = self.bridge.camera.position.copy()
        self.content.rescale()
        self.canvas.update()

    def _focus_on(self, at: QPoint) -> None:
        point = self.region.point_at(at)
        if point is not None and self.canvas.camera.mode == "orbit":
            self.canvas.camera.pivot = point
            self.canvas.update()

    def _show_band(self, area: QRect) -> None:
        self.band.setGeometry(area)
        self.band.show()
        self.band.raise_()

    def _select_band(self, area: QRect) -> None:
        self.band.hide()
        self.region.select_rectangle(area)

    def _escape(self) -> None:
        if self.tools.select.isChecked():
            self.tools.select.setChecked(False)
        else:
            self.region.clear()

    def _region_changed(self) -> None:
        if len(self.region.tokens):
            self.card.show_count(len(self.region.tokens), self.region.frozen)
        else:
            self.card.hide()
        self._place()

    def _region_described(self, stats: RegionStats) -> None:
        self.card.show_stats(stats)
        self._place()

    def _describe_cloud(self) -> None:
        cloud, sky = self.content.cloud, self.content.sky
        parts = []
        if cloud.level or sky.level:
            parts.append(f"{short_count(cloud.shown)} of {short_count(cloud.living)} points, 1 in {2**cloud.level}")
        elif cloud.living:
            parts.append(f"{short_count(cloud.shown)} points")
        if sky.living and self.canvas.show_sky:
            parts.append(f"{short_count(sky.shown)} sky")
        if self.canvas.software:
            parts.append(f"software OpenGL, at most {short_count(cloud.cap)}")
        self.note.setText("   ".join(parts) if cloud.living else "The memory is empty")
        self.note.setAccessibleName(self.note.text())
        self._describe_scale()
        self._place()

    def _describe_scale(self) -> None:
        mode = self.content.mode
        if mode in ("color", "latents"):
            self.legend.hide()
            return
        low, high = self.content.scale()
        colors = colormap(mode)
        if mode == "footprint":
            ends = [f"{100 * 2 ** (level / 4 + FOOTPRINT_LOG2_MIN):.0f} cm" for level in (low, high)]
        elif mode == "age":
            ends, colors = [self.content.step_name(int(low)), self.content.step_name(int(high))], colors[::-1]
        else:
            ends = [f"{low:.0f}", f"{high:.0f} times"]
        self.legend.show_scale(COLOR_MODES[mode], colors, *ends)

    # ------------------------------------------------------------------------------------------------ Qt's hooks

    def _place(self) -> None:
        """Put the overlays into their corners."""
        width, height = self.view.width(), self.view.height()
        self.note.adjustSize()
        self.note.move(MARGIN_PX, height - self.note.height() - MARGIN_PX)
        self.legend.move(width - self.legend.width() - MARGIN_PX, height - self.legend.height() - MARGIN_PX)
        for overlay in (self.clip, self.options):
            overlay.adjustSize()
            overlay.move(max(width - overlay.width() - MARGIN_PX, 0), MARGIN_PX)
        self.card.set_compact(height < CARD_ROOM_PX)
        self.card.adjustSize()
        self.card.move(MARGIN_PX, MARGIN_PX)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Qt's hook."""
        super().resizeEvent(event)
        self._place()

    def showEvent(self, event: QShowEvent | None) -> None:
        """Qt's hook: follow the engine."""
        super().showEvent(event)
        self.content.activate(True)
        self._place()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Qt's hook: rest."""
        self.navigator.release_all()
        self.content.activate(False)
        super().hideEvent(event)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Qt's hook: Home shows everything, B selects, Delete erases the selection."""
        if event is None:
            return
        if event.key() == Qt.Key.Key_Home:
            self.content.fit()
        elif event.key() == Qt.Key.Key_B:
            self.tools.select.toggle()
        elif event.key() == Qt.Key.Key_Delete and len(self.region.tokens):
            self.region.erase()
        else:
            super().keyPressEvent(event)

    def shut(self) -> None:
        """Stop drawing and release GL; call once, before the window goes."""
        self.navigator.release_all()
        self.content.activate(False)
        self.canvas.on_first_draw = None
        self.canvas.close()
