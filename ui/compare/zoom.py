"""One zoom for several panes: the same part of the picture is enlarged in each."""

from __future__ import annotations

from PyQt6.QtCore import QObject, QPointF, QRectF, QSizeF, pyqtSignal

MAX_SCALE = 24.0


class ZoomModel(QObject):
    """Scale (1 fits the whole picture) and the point of the picture in the pane's middle, in fractions of its width
    and height.
    """

    changed = pyqtSignal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.scale = 1.0
        self.center = QPointF(0.5, 0.5)

    def reset(self) -> None:
        """Show the whole picture."""
        self._set(1.0, QPointF(0.5, 0.5))

    def zoom_at(self, anchor: QPointF, factor: float) -> None:
        """Enlarge by ``factor`` so that the picture's point ``anchor`` (fractions) stays where it is."""
        scale = min(max(self.scale * factor, 1.0), MAX_SCALE)
        keep = self.scale / scale
        center = anchor + (self.center - anchor) * keep
        self._set(scale, center)

    def pan(self, delta: QPointF) -> None:
        """Move the picture by ``delta`` fractions of its size."""
        self._set(self.scale, self.center - delta)

    def _set(self, scale: float, center: QPointF) -> None:
        margin = 0.5 / scale
        bounded = QPointF(min(max(center.x(), margin), 1 - margin), min(max(center.y(), margin), 1 - margin))
        if scale != self.scale or bounded != self.center:
            self.scale, self.center = scale, bounded
            self.changed.emit()

    def target(self, area: QRectF, picture: QSizeF) -> QRectF:
        """Where the whole picture lies in widget coordinates when ``area`` is the pane; may reach beyond it."""
        if picture.isEmpty() or area.isEmpty():
            return QRectF()
        fit = min(area.width() / picture.width(), area.height() / picture.height()) * self.scale
        width, height = picture.width() * fit, picture.height() * fit
        left = area.center().x() - self.center.x() * width
        top = area.center().y() - self.center.y() * height
        if width <= area.width():
            left = area.center().x() - width / 2
        if height <= area.height():
            top = area.center().y() - height / 2
        return QRectF(left, top, width, height)
