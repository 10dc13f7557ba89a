"""The selected region of the memory: tokens by click or rectangle, their statistics, erase and freeze."""

from __future__ import annotations

import numpy as np
from PyQt6.QtCore import QObject, QPoint, QRect, pyqtSignal

from engine.messages import Erase, Failed, Freeze, RegionStats, SelectRegion
from ui.memory_panel.canvas import MemoryCanvas
from ui.memory_panel.content import MemoryContent
from ui.memory_panel.packing import pack_points
from ui.memory_panel.picking import nearest_point, points_in_rectangle, project

SELECTION_FOOTPRINT_M = 0.06


class RegionSelection(QObject):
    """What is selected in the cloud.

    Signals:
        changed(): another selection (see :attr:`tokens`). described(RegionStats): the engine's statistics for it.
    """

    changed = pyqtSignal()
    described = pyqtSignal(object)

    def __init__(self, canvas: MemoryCanvas, content: MemoryContent, parent: QObject) -> None:
        super().__init__(parent)
        self.canvas, self.content = canvas, content
        self.tokens = np.zeros(0, np.int64)
        self.frozen = False
        self.clip_box: tuple[np.ndarray, np.ndarray] | None = None
        self.front_only = True
        content.cloud_changed.connect(self._revise)

    def _candidates(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        positions, shown, tokens = self.content.cloud.points()
        if self.clip_box is not None:
            low, high = self.clip_box
            shown = shown & ((positions >= low) & (positions <= high)).all(axis=1)
        return positions, shown, tokens

    def _pixel(self, at: QPoint) -> tuple[float, float]:
        ratio = float(self.canvas.pixel_scale)
        return at.x() * ratio, at.y() * ratio

    def point_at(self, at: QPoint) -> np.ndarray | None:
        """World position (3,) of the point under the pointer, or ``None``."""
        positions, shown, _ = self._candidates()
        index = nearest_point(positions, shown, self.canvas.clip_from_world(), self.canvas.viewport_px, self._pixel(at))
        return None if index < 0 else positions[index].astype(float)

    def pick(self, at: QPoint) -> None:
        """Select the token under the pointer; clicking beside the cloud clears the selection."""
        positions, shown, tokens = self._candidates()
        index = nearest_point(positions, shown, self.canvas.clip_from_world(), self.canvas.viewport_px, self._pixel(at))
        self._select(tokens[index : index + 1] if index >= 0 else np.zeros(0, np.int64))

    def select_rectangle(self, area: QRect) -> None:
        """Select what is visible inside a rectangle (widget pixels). Thinned-out neighbours are taken along: the
        engine works on all tokens.
        """
        positions, shown, tokens = self._candidates()
        ratio = float(self.canvas.pixel_scale)
        sides = (area.left() * ratio, area.top() * ratio, (area.right() + 1) * ratio, (area.bottom() + 1) * ratio)
        if self.content.cloud.level:
            positions, shown, tokens = self._all_tokens()
        inside = points_in_rectangle(
            positions,
            shown,
            self.canvas.clip_from_world(),
            self.canvas.viewport_px,
            sides,
            self.front_only,
            round(10 * ratio),
        )
        self._select(tokens[inside])

    def _all_tokens(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        positions, shown, tokens = self.content.cloud.all_points()
        if self.clip_box is not None:
            low, high = self.clip_box
            shown = shown & ((positions >= low) & (positions <= high)).all(axis=1)
        return positions, shown, tokens

    def clear(self) -> None:
        """Nothing is selected."""
        self._select(np.zeros(0, np.int64))

    def _select(self, tokens: np.ndarray) -> None:
        self.tokens = np.asarray(tokens, np.int64)
        self.frozen = bool(len(self.tokens)) and self._all_frozen(self.tokens)
        self._draw()
        self.changed.emit()
        if len(self.tokens):
            asked = self.tokens
            self.content.bridge.do(SelectRegion(asked), lambda reply: self._describe(asked, reply))

    def _all_frozen(self, tokens: np.ndarray) -> bool:
        snapshot = self.content.cloud.snapshot
        return snapshot is not None and bool(snapshot.frozen[tokens].all())

    def _describe(self, asked: np.ndarray, reply: RegionStats | Failed) -> None:
        if isinstance(reply, RegionStats) and asked is self.tokens:
            self.described.emit(reply)

    def _draw(self) -> None:
        self.canvas.selection.clear()
        if len(self.tokens):
            positions, shown, tokens = self.content.cloud.points()
            rows = np.flatnonzero(shown & np.isin(tokens, self.tokens))
            footprint = np.full(len(rows), SELECTION_FOOTPRINT_M, np.float32)
            payload = np.zeros(len(rows), np.uint32)
            if len(rows):
                self.canvas.selection.append(pack_points(positions[rows], payload, footprint, np.ones(len(rows), bool)))
        self.canvas.update()

    def _revise(self) -> None:
        """The cloud changed: drop tokens that died."""
        if len(self.tokens) == 0:
            return
        snapshot = self.content.cloud.snapshot
        if snapshot is None or int(self.tokens.max()) >= snapshot.count:
            self.clear()
            return
        alive = snapshot.alive[self.tokens]
        if alive.all():
            frozen = self._all_frozen(self.tokens)
            if frozen != self.frozen:
                self.frozen = frozen
                self.changed.emit()
            self._draw()
        else:
            self._select(self.tokens[alive])

    def erase(self) -> None:
        """Forget the selected tokens."""
        if len(self.tokens):
            self.content.bridge.do(Erase(self.tokens))
            self.clear()

    def freeze(self, on: bool) -> None:
        """Keep the selected tokens from being superseded or evicted, or let them go again."""
        if len(self.tokens):
            self.content.bridge.do(Freeze(self.tokens, on))

    def screen_positions(self) -> np.ndarray:
        """(n, 2) device pixels of the selected, shown points; for tests and overlays."""
        positions, shown, tokens = self.content.cloud.points()
        rows = shown & np.isin(tokens, self.tokens)
        return project(positions[rows], self.canvas.clip_from_world(), *self.canvas.viewport_px)[0]
