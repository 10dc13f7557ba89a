"""Figures over the live view: how fast, how late, and what it costs."""

from __future__ import annotations

import math

from PyQt6.QtCore import QRectF, QSize, Qt, pyqtSignal
from PyQt6.QtGui import QFont, QFontMetrics, QPainter, QPaintEvent, QResizeEvent, QShowEvent
from PyQt6.QtWidgets import QWidget

from engine.messages import FrameUpdate, MemoryStats, QualityInfo, Update
from ui import theme
from ui.bridge import EngineBridge

STAGES: tuple[tuple[str, str], ...] = (
    ("readout", "#7fc8c2"),
    ("complete", "#a9c987"),
    ("imagine", "#e9b072"),
    ("decode", "#9db4e8"),
    ("write", "#c9a2d8"),
)
_PAD = 14
_BAR = 6


def _figure(value: float, digits: int = 0) -> str:
    return "–" if math.isnan(value) else f"{value:,.{digits}f}".replace(",", "\u2009")


class Hud(QWidget):
    """A quiet table; it repaints only when a frame arrived.

    Signals:
        resized(): it grew or shrank and wants its place again.
    """

    resized = pyqtSignal()

    def __init__(self, bridge: EngineBridge, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAccessibleName("Figures")
        self._frame: FrameUpdate | None = bridge.frame
        self._stats: MemoryStats | None = bridge.stats
        self._quality: QualityInfo | None = bridge.quality
        self._shown_fps = math.nan
        self.preview_fps = math.nan
        bridge.updated.connect(self._take)
        self.resize(self.sizeHint())

    def _take(self, update: Update) -> None:
        if update.frame is not None:
            self._frame = update.frame
        if update.stats is not None:
            self._stats = update.stats
        if update.quality is not None:
            self._quality = update.quality
        if self.isVisible():
            self.resize(self.sizeHint())
            self.setAccessibleDescription(", ".join(f"{name} {value}" for name, value in self.rows()))
            self.update()

    def showEvent(self, event: QShowEvent | None) -> None:
        super().showEvent(event)
        self.resize(self.sizeHint())

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        self.resized.emit()

    def rows(self) -> list[tuple[str, str]]:
        """What it says, as (name, value)."""
        frame, stats = self._frame, self._stats
        if stats is None and frame is not None:
            stats = frame.result.stats
        rows = [
            ("generated", f"{_figure(frame.fps, 1)} fps" if frame and frame.fps > 0 else "–"),
            ("input to photon", f"{_figure(frame.input_to_photon_ms)} ms" if frame else "–"),
        ]
        if not math.isnan(self.preview_fps):
            rows.append(("preview", f"{_figure(self.preview_fps)} fps"))
        if frame is not None:
            rows += [
                ("steps", str(frame.result.steps)),
                ("remembered", f"{100 * frame.result.coverage_mean:.0f} %"),
            ]
        if stats is not None:
            limit = f" of {_figure(stats.budget_mib)}" if stats.budget_mib is not None else ""
            rows += [("points", _figure(stats.tokens_living)), ("memory", f"{_figure(stats.mib, 2)}{limit} MiB")]
        if self._quality is not None:
            height, width = self._quality.size
            rows += [("size", f"{width} × {height}"), ("device", self._quality.device)]
        return rows

    def stages(self) -> list[tuple[str, float, str]]:
        """(name, milliseconds, colour) of the newest frame."""
        timings = self._frame.result.timings_ms if self._frame is not None else {}
        return [(name, timings[name], tint) for name, tint in STAGES if name in timings]

    def _fonts(self) -> tuple[QFont, QFont]:
        plain = QFont(self.font())
        plain.setPointSizeF(self.font().pointSizeF() * 0.9)
        return plain, theme.mono_font(plain.pointSizeF())

    def sizeHint(self) -> QSize:
        plain, mono = self._fonts()
        line = QFontMetrics(plain).height() + 3
        wide = max(
            (
                QFontMetrics(mono).horizontalAdvance(v) + QFontMetrics(plain).horizontalAdvance(k)
                for k, v in self.rows()
            ),
            default=0,
        )
        stages = self.stages()
        height = 2 * _PAD + line * (len(self.rows()) + len(stages)) + (_BAR + 16 if stages else 0)
        return QSize(max(200, wide + 24 + 2 * _PAD), height)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(theme.color("#ffffff", 0.08))
        painter.setBrush(theme.color(theme.GROUND, 0.8))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 10, 10)
        plain, mono = self._fonts()
        line = QFontMetrics(plain).height() + 3
        top = float(_PAD)
        for name, value in self.rows():
            self._row(painter, top, line, name, value, plain, mono)
            top += line
        stages = self.stages()
        if not stages:
            return
        top += 8
        total = sum(ms for _, ms, _ in stages) or 1.0
        left, width = float(_PAD), self.width() - 2.0 * _PAD
        painter.setPen(Qt.PenStyle.NoPen)
        for _name, ms, tint in stages:
            share = width * ms / total
            painter.setBrush(theme.color(tint))
            painter.drawRoundedRect(QRectF(left, top, max(share - 1.5, 1.0), _BAR), 2, 2)
            left += share
        top += _BAR + 6
        for name, ms, tint in stages:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.color(tint))
            painter.drawEllipse(QRectF(_PAD, top + line / 2 - 3.5, 6, 6))
            self._row(painter, top, line, name, f"{ms:.0f} ms", plain, mono, indent=13)
            top += line

    def _row(
        self,
        painter: QPainter,
        top: float,
        line: int,
        name: str,
        value: str,
        plain: QFont,
        mono: QFont,
        indent: int = 0,
    ) -> None:
        area = QRectF(_PAD + indent, top, self.width() - 2 * _PAD - indent, line)
        painter.setFont(plain)
        painter.setPen(theme.color(theme.TEXT_SOFT))
        painter.drawText(area, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, name)
        painter.setFont(mono)
        painter.setPen(theme.color(theme.TEXT))
        painter.drawText(area, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, value)
