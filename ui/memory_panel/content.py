"""What the engine and the other panels say, put onto the canvas: cloud, sky, path, frustum, keyframes, plan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PyQt6.QtCore import QObject, QTimer, pyqtSignal

from engine.camera import Camera
from engine.messages import Update
from ui import theme
from ui.bridge import EngineBridge
from ui.history import StepHistory
from ui.memory_panel.canvas import MemoryCanvas
from ui.memory_panel.cloud import CloudStore, ColorMode
from ui.memory_panel.colormaps import colormap
from ui.memory_panel.decoded_colors import DecodedColors
from ui.memory_panel.packing import pack_points
from ui.memory_panel.points import PointStyle
from ui.path_model import PathModel

SOFTWARE_CAP = 100_000
HARDWARE_CAP = 4_000_000
SOFTWARE_REDRAW_MS, HARDWARE_REDRAW_MS = 120, 16
"""How long changes that nobody made in this panel are gathered before it draws."""
SKY_SHARE_OF_CAP = 0.15
PLAN_POINTS = 240
DOME_SHARE = 1.1
"""Radius of the sky dome as a share of the panel camera's distance when the cloud was last fitted."""


class MemoryContent(QObject):
    """Feeds a :class:`MemoryCanvas`; nothing is uploaded while :attr:`active` is False.

    Signals:
        cloud_changed(): points came, went or changed colour.
    """

    cloud_changed = pyqtSignal()

    def __init__(self, bridge: EngineBridge, canvas: MemoryCanvas, parent: QObject) -> None:
        super().__init__(parent)
        self.bridge, self.canvas = bridge, canvas
        self.history = StepHistory.of(bridge)
        self.path = PathModel.of(bridge)
        self.active = False
        self.following = False
        self.mode: ColorMode = "color"
        self.point_size = 1.0
        colors = DecodedColors(self.history)
        self.cloud = CloudStore(canvas.cloud, colors, sky=False, cap=SOFTWARE_CAP)
        self.sky = CloudStore(canvas.sky, colors, sky=True, cap=round(SOFTWARE_CAP * SKY_SHARE_OF_CAP))
        self._shown_snapshot: object = None
        self._fit_wanted = True
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._draw)
        bridge.updated.connect(self._take)
        bridge.camera_changed.connect(self._camera)
        self.history.grew.connect(self._path)
        self.history.reset.connect(self._world_changed)
        for signal in (self.path.changed, self.path.planned, self.path.selected):
            signal.connect(self._planned)
        self._style()

    # ------------------------------------------------------------------------------------------------------ cloud

    def activate(self, on: bool) -> None:
        """Follow the engine (the panel is visible) or rest."""
        self.active = on
        if on:
            self.refresh()
            self._path()
            self._planned()
            if self.bridge.camera is not None:
                self._camera(self.bridge.camera)

    def _take(self, update: Update) -> None:
        if update.snapshot is not None:
            self.refresh()

    def refresh(self) -> None:
        """Take the newest snapshot, uploading only what is new."""
        snapshot = self.bridge.snapshot
        if not self.active or snapshot is None or snapshot is self._shown_snapshot:
            return
        self._shown_snapshot = snapshot
        self.cloud.update(snapshot)
        self.sky.update(snapshot)
        self._style()
        self._frozen()
        self._ground()
        if self._fit_wanted and self.cloud.shown:
            self.fit()
        self.cloud_changed.emit()
        self._draw_soon()

    def set_mode(self, mode: ColorMode) -> None:
        """Colour by another property of the tokens."""
        self.mode = mode
        self.cloud.set_mode(mode)
        self.sky.set_mode(mode if mode in ("color", "latents", "age") else "color")
        self._style()
        self.cloud_changed.emit()
        self.canvas.update()

    def set_cap(self, cap: int) -> None:
        """Show at most that many points."""
        self.cloud.set_cap(cap)
        self.sky.set_cap(max(1000, round(cap * SKY_SHARE_OF_CAP)))
        self._style()
        self.cloud_changed.emit()
        self.canvas.update()

    def set_point_size(self, size: float) -> None:
        """1 draws tokens in their true size."""
        self.point_size = size
        self._style()
        self.canvas.update()

    def scale(self) -> tuple[float, float]:
        """Ends of the colour scale in units of the mode: step, reads, or footprint level."""
        return self._low, self._high

    def _style(self) -> None:
        rgb = self.mode in ("color", "latents")
        self._low, self._high = (0.0, 1.0) if rgb else self.cloud.payload_range()
        low, high = self._low, self._high
        log = self.mode == "reads"
        if log:
            low, high = float(np.log2(1 + low)), float(np.log2(1 + high))
        largest = 15.0 if self.canvas.software or not self.canvas.renderer else 20.0
        base = PointStyle(
            low=low,
            high=high,
            size=1.35 * self.point_size,
            smallest_px=1.6 * min(self.point_size, 2.0),
            largest_px=largest * self.point_size,
        )
        self.canvas.cloud.set_style(replace(base, rgb=rgb, footprint=self.mode == "footprint", log=log))
        haze = (*self.canvas.colors["horizon"][:3], 0.25)
        sky_rgb = self.sky.mode in ("color", "latents")
        self.canvas.sky.set_style(
            replace(base, rgb=sky_rgb, size=1.0, smallest_px=1.5, largest_px=5.0 * self.point_size, tint=haze)
        )
        if not rgb:
            colors = colormap(self.mode)
            colors = colors[::-1] if self.mode == "age" else colors
            self.canvas.cloud.set_map(colors)
            self.canvas.sky.set_map(colors)

    def _frozen(self) -> None:
        """Frozen tokens, drawn over the cloud in a colder colour."""
        snapshot, rows = self.cloud.snapshot, self.cloud.rows
        self.canvas.frozen.clear()
        if snapshot is None or not snapshot.frozen.any():
            return
        chosen = rows[snapshot.frozen[rows] & snapshot.alive[rows]]
        payload = np.zeros(len(chosen), np.uint32)
        living = np.ones(len(chosen), bool)
        self.canvas.frozen.append(
            pack_points(snapshot.positions[chosen], payload, snapshot.footprint_m[chosen], living)
        )

    def _ground(self) -> None:
        bounds = self.cloud.bounds()
        if bounds is None:
            return
        low, high = bounds
        self.canvas.backdrop.grid_z_m = float(low[2])
        extent = float(np.linalg.norm((high - low)[:2]))
        self.canvas.backdrop.cell_m = float(10.0 ** np.clip(np.floor(np.log10(max(extent, 1e-3) / 25.0)), -2, 3))

    def _dome(self) -> None:
        positions = self.history.positions()
        center = positions.mean(axis=0) if len(positions) else np.zeros(3)
        self.canvas.sky.set_dome(center, DOME_SHARE * self.canvas.camera.distance_m)

    def explored(self) -> tuple[np.ndarray, float] | None:
        """Centre (3,) and radius in metres of the explored part: the flight and half of the points around it.

        Far hills, seen once from afar, may lie outside. ``None`` without any point.
        """
        positions, shown, _ = self.cloud.points()
        positions = positions[shown]
        if len(positions) == 0:
            return None
        flown = self.history.positions()
        center = np.median(positions, axis=0) if len(flown) == 0 else flown.mean(axis=0)
        reach = np.linalg.norm(positions[:: max(1, len(positions) // 20_000)] - center, axis=1)
        extent = float(np.linalg.norm(np.ptp(flown, axis=0))) if len(flown) else 0.0
        return center, float(np.clip(np.percentile(reach, 50), 0.6 * extent + 2.0, 400.0))

    def fit(self) -> None:
        """Look at the explored part of the cloud."""
        found = self.explored()
        if found is None:
            return
        self._fit_wanted = False
        center, radius = found
        self.canvas.camera.frame(center - radius / np.sqrt(3), center + radius / np.sqrt(3))
        self._dome()
        self.rescale()
        self.canvas.update()

    # ------------------------------------------------------------------------------------------------------- lines

    def _frustum_depth_m(self) -> float:
        return float(np.clip(0.10 * self.canvas.camera.distance_m, 0.4, 60.0))

    def _camera(self, camera: Camera) -> None:
        if not self.active:
            return
        if self.following:
            self.canvas.camera.follow(camera)
        self._draw_soon()

    def _draw_soon(self) -> None:
        """Draw what the engine or the flight changed, a few times a second: the live view has the right of way."""
        if not self._soon.isActive():
            self._soon.start(SOFTWARE_REDRAW_MS if self.canvas.software else HARDWARE_REDRAW_MS)

    def _draw(self) -> None:
        if self.active:
            if self.bridge.camera is not None:
                self.canvas.set_frustum(self.bridge.camera, self._frustum_depth_m())
            self.canvas.update()

    def rescale(self) -> None:
        """The panel's camera went closer or away: keep frusta legible."""
        if self.bridge.camera is not None:
            self.canvas.set_frustum(self.bridge.camera, self._frustum_depth_m())
        self._keyframes()

    def _path(self, *_: object) -> None:
        if self.active:
            self.canvas.set_path(self.history.positions())
            self._draw_soon()

    def _keyframes(self) -> None:
        self.canvas.set_keyframes(self.path.keyframe_cameras(), 0.5 * self._frustum_depth_m(), self.path.selection)

    def _planned(self, *_: object) -> None:
        if not self.active:
            return
        self._keyframes()
        path = self.path.cameras()
        if path is None:
            self.canvas.set_planned(np.zeros((0, 3)), np.zeros((0, 3)))
        else:
            positions = path.positions[
                np.unique(np.linspace(0, len(path) - 1, min(len(path), PLAN_POINTS)).astype(int))
            ]
            coverage = self.path.coverage_at(np.linspace(0.0, self.path.seconds, len(positions)))
            plain = np.tile(np.array(theme.color(theme.TEXT_SOFT).getRgb()[:3]), (len(positions), 1))
            self.canvas.set_planned(positions, plain if coverage is None else theme.coverage_rgb(coverage))
        self.canvas.update()

    def _world_changed(self) -> None:
        self.cloud.clear()
        self.sky.clear()
        self.canvas.frozen.clear()
        self._shown_snapshot = None
        self._fit_wanted = True
        self._path()
        self.cloud_changed.emit()
        self.canvas.update()

    def step_name(self, node: int) -> str:
        """What to call the moment of a tree node."""
        step = self.history.by_node(node)
        return f"node {node}" if step is None else f"step {step.index}"
