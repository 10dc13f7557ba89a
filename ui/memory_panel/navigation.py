"""Mouse and keys of the memory panel: Qt events in, moves of the panel's camera and picks out."""

from __future__ import annotations

from PyQt6.QtCore import QEvent, QObject, QPoint, QRect, Qt, QTimer, pyqtSignal
from PyQt6.QtGui import QKeyEvent, QMouseEvent, QNativeGestureEvent, QWheelEvent
from PyQt6.QtWidgets import QApplication, QWidget

from ui.memory_panel.view_camera import ViewCamera

TURN_DEG_PER_PX = 0.3
FLY_TICK_MS = 16
FLY_KEYS: dict[int, tuple[int, int, int]] = {
    Qt.Key.Key_W: (0, 0, 1),
    Qt.Key.Key_S: (0, 0, -1),
    Qt.Key.Key_A: (-1, 0, 0),
    Qt.Key.Key_D: (1, 0, 0),
    Qt.Key.Key_E: (0, 1, 0),
    Qt.Key.Key_Q: (0, -1, 0),
}
"""Key -> (right, up, ahead)."""


class Navigator(QObject):
    """Watches a widget and steers a :class:`ViewCamera`.

    Left drag turns, middle or right drag (or Shift + left) slides, the wheel goes closer; Ctrl + left drag (or any left
    drag while
    :attr:`selecting`) draws a rectangle. In fly mode W A S D E Q move while the widget has the focus.

    Signals:
        changed(): the camera moved, redraw.
        picked(QPoint): a click without a drag. focused(QPoint): a double click.
        band_moved(QRect): the rectangle so far. band_selected(QRect): let go. band_dropped(): Esc or too small.
        cancelled(): Esc without a rectangle.
    """

    changed = pyqtSignal()
    picked = pyqtSignal(QPoint)
    focused = pyqtSignal(QPoint)
    band_moved = pyqtSignal(QRect)
    band_selected = pyqtSignal(QRect)
    band_dropped = pyqtSignal()
    cancelled = pyqtSignal()

    def __init__(self, widget: QWidget, camera: ViewCamera) -> None:
        super().__init__(widget)
        self.camera = camera
        self.selecting = False
        self.speed_m_s = 8.0
        self._widget = widget
        self._pressed_at: QPoint | None = None
        self._last = QPoint()
        self._button = Qt.MouseButton.NoButton
        self._dragging = False
        self._band = False
        self._held: set[int] = set()
        self._tick = QTimer(self)
        self._tick.setInterval(FLY_TICK_MS)
        self._tick.timeout.connect(self._fly)
        widget.installEventFilter(self)

    @property
    def busy(self) -> bool:
        """A drag or a held key is moving the camera right now."""
        return self._dragging or bool(self._held)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Qt's hook; handled events go no further."""
        if event is None:
            return False
        kind = event.type()
        if isinstance(event, QMouseEvent):
            if kind == QEvent.Type.MouseButtonPress:
                return self._press(event)
            if kind == QEvent.Type.MouseMove:
                return self._move(event)
            if kind == QEvent.Type.MouseButtonRelease:
                return self._release(event)
            if kind == QEvent.Type.MouseButtonDblClick:
                self.focused.emit(event.position().toPoint())
                return True
        if isinstance(event, QWheelEvent):
            return self._wheel(event)
        if isinstance(event, QNativeGestureEvent) and event.gestureType() == Qt.NativeGestureType.ZoomNativeGesture:
            self.camera.zoom(event.value() * 8.0)
            self.changed.emit()
            return True
        if isinstance(event, QKeyEvent) and not event.isAutoRepeat():
            if kind == QEvent.Type.KeyPress:
                return self._key(event)
            if kind == QEvent.Type.KeyRelease and event.key() in self._held:
                self._hold(event.key(), False)
                return True
        if kind in (QEvent.Type.FocusOut, QEvent.Type.Hide):
            self.release_all()
        return False

    def release_all(self) -> None:
        """Let go of every key and drag; nothing keeps moving."""
        self._held.clear()
        self._tick.stop()
        if self._band:
            self.band_dropped.emit()
        self._pressed_at, self._dragging, self._band = None, False, False

    def _press(self, event: QMouseEvent) -> bool:
        self._widget.setFocus(Qt.FocusReason.MouseFocusReason)
        self._pressed_at = self._last = event.position().toPoint()
        self._button = event.button()
        self._dragging = False
        wants_band = self.selecting or bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
        self._band = wants_band and event.button() == Qt.MouseButton.LeftButton
        return True

    def _move(self, event: QMouseEvent) -> bool:
        if self._pressed_at is None:
            return False
        now = event.position().toPoint()
        if not self._dragging and (now - self._pressed_at).manhattanLength() < QApplication.startDragDistance() // 2:
            return True
        self._dragging = True
        delta, self._last = now - self._last, now
        if self._band:
            self.band_moved.emit(QRect(self._pressed_at, now).normalized())
            return True
        shift = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        if self._button == Qt.MouseButton.LeftButton and not shift:
            self.camera.turn(delta.x() * TURN_DEG_PER_PX, -delta.y() * TURN_DEG_PER_PX)
        else:
            self.camera.pan(-delta.x(), delta.y(), self._widget.height())
        self.changed.emit()
        return True

    def _release(self, event: QMouseEvent) -> bool:
        pressed_at, dragged, band = self._pressed_at, self._dragging, self._band
        self._pressed_at, self._dragging, self._band = None, False, False
        if pressed_at is None:
            return False
        if band and dragged:
            area = QRect(pressed_at, event.position().toPoint()).normalized()
            if area.width() > 3 and area.height() > 3:
                self.band_selected.emit(area)
            else:
                self.band_dropped.emit()
        elif not dragged and event.button() == Qt.MouseButton.LeftButton:
            self.picked.emit(event.position().toPoint())
        return True

    def _wheel(self, event: QWheelEvent) -> bool:
        notches = event.angleDelta().y() / 120.0
        if notches:
            self.camera.zoom(notches)
            self.changed.emit()
        return True

    def _key(self, event: QKeyEvent) -> bool:
        if event.key() == Qt.Key.Key_Escape:
            if self._band:
                self.release_all()
            else:
                self.cancelled.emit()
            return True
        plain = not event.modifiers() & (Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier)
        if self.camera.mode == "fly" and plain and event.key() in FLY_KEYS:
            self._hold(event.key(), True)
            return True
        return False

    def _hold(self, key: int, down: bool) -> None:
        (self._held.add if down else self._held.discard)(key)
        if self._held and not self._tick.isActive():
            self._tick.start()
        elif not self._held:
            self._tick.stop()

    def _fly(self) -> None:
        right, up, ahead = (sum(FLY_KEYS[key][axis] for key in self._held) for axis in range(3))
        fast = bool(QApplication.keyboardModifiers() & Qt.KeyboardModifier.ShiftModifier)
        self.camera.move(right, up, ahead, FLY_TICK_MS / 1000.0, self.speed_m_s * (5.0 if fast else 1.0))
        self.changed.emit()
