"""Mouse and touchpad over the live view: looking around and the speed of flight."""

from __future__ import annotations

from PyQt6.QtCore import QEvent, QObject, QPoint, QPointF, Qt, pyqtSignal
from PyQt6.QtGui import QCursor, QGuiApplication, QInputDevice, QMouseEvent, QWheelEvent
from PyQt6.QtWidgets import QWidget

_CLICK_PX = 4
_NOTCH = 120.0


class LookMouse(QObject):
    """Turns events of the live view into turns of the head.

    Hold the right button and move to look; or click to capture the pointer until Esc or another click. Two fingers on a
    touchpad look, too; a wheel changes the speed. Where the pointer cannot be moved by a program (Wayland) only holding
    works.

    Signals:
        turned(float, float): pixels to the right and down. scrolled(float): notches of the wheel, up is positive.
        looking_changed(bool), captured_changed(bool).
    """

    turned = pyqtSignal(float, float)
    scrolled = pyqtSignal(float)
    looking_changed = pyqtSignal(bool)
    captured_changed = pyqtSignal(bool)

    def __init__(self, view: QWidget) -> None:
        super().__init__(view)
        self._view = view
        self.click_captures = True
        self.enabled = True
        self.captured = False
        self._holding = False
        self._last = QPointF()
        self._pressed_at: QPointF | None = None
        self._can_warp = QGuiApplication.platformName() in ("xcb", "windows", "cocoa")
        view.installEventFilter(self)

    @property
    def looking(self) -> bool:
        """Whether mouse motion turns the head now."""
        return self._holding or self.captured

    def release(self) -> bool:
        """Give the pointer back; True when it was taken."""
        was = self.looking
        self._holding = False
        if self.captured:
            self.captured = False
            self._view.setMouseTracking(False)
            self._view.releaseMouse()
            self.captured_changed.emit(False)
        if was:
            self._view.unsetCursor()
            self.looking_changed.emit(False)
        return was

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        if event is None or watched is not self._view:
            return False
        kind = event.type()
        if kind in (QEvent.Type.FocusOut, QEvent.Type.Hide, QEvent.Type.WindowDeactivate):
            self.release()
            return False
        if not self.enabled:
            return False
        if isinstance(event, QMouseEvent):
            if kind in (QEvent.Type.MouseButtonPress, QEvent.Type.MouseButtonDblClick):
                return self._press(event)
            if kind == QEvent.Type.MouseButtonRelease:
                return self._release(event)
            if kind == QEvent.Type.MouseMove:
                return self._move(event)
        if isinstance(event, QWheelEvent):
            return self._wheel(event)
        return False

    def _begin(self, at: QPointF) -> None:
        was = self.looking
        self._last = at
        self._view.setFocus(Qt.FocusReason.MouseFocusReason)
        if not was:
            self._view.setCursor(Qt.CursorShape.BlankCursor)

    def _press(self, event: QMouseEvent) -> bool:
        if event.button() == Qt.MouseButton.RightButton:
            self._begin(event.position())
            self._holding = True
            self.looking_changed.emit(True)
            return True
        if event.button() == Qt.MouseButton.LeftButton:
            self._view.setFocus(Qt.FocusReason.MouseFocusReason)
            self._pressed_at = event.position()
            return True
        return False

    def _release(self, event: QMouseEvent) -> bool:
        if event.button() == Qt.MouseButton.RightButton and self._holding:
            self._holding = False
            if not self.captured:
                self._view.unsetCursor()
                self.looking_changed.emit(False)
            return True
        if event.button() == Qt.MouseButton.LeftButton and self._pressed_at is not None:
            moved = event.position() - self._pressed_at
            self._pressed_at = None
            if self.captured:
                self.release()
            elif self.click_captures and self._can_warp and moved.manhattanLength() <= _CLICK_PX:
                self._capture(event.position())
            return True
        return False

    def _capture(self, at: QPointF) -> None:
        self._begin(at)
        self.captured = True
        self._view.setMouseTracking(True)
        self._view.grabMouse()
        self.captured_changed.emit(True)
        self.looking_changed.emit(True)
        self._warp()

    def _warp(self) -> None:
        """Put the pointer back into the middle of the view, so that it never runs into the edge of the screen."""
        if not self._can_warp:
            return
        middle = QPoint(self._view.width() // 2, self._view.height() // 2)
        self._last = QPointF(middle)
        QCursor.setPos(self._view.mapToGlobal(middle))

    def _move(self, event: QMouseEvent) -> bool:
        if not self.looking:
            return False
        delta = event.position() - self._last
        self._last = event.position()
        if delta.isNull():
            return True
        self.turned.emit(delta.x(), delta.y())
        margin = min(self._view.width(), self._view.height()) // 4
        if not self._view.rect().adjusted(margin, margin, -margin, -margin).contains(event.position().toPoint()):
            self._warp()
        return True

    def _wheel(self, event: QWheelEvent) -> bool:
        device = event.device()
        touchpad = device is not None and device.type() == QInputDevice.DeviceType.TouchPad
        scrolling = event.phase() != Qt.ScrollPhase.NoScrollPhase
        if touchpad or (scrolling and not event.pixelDelta().isNull()):
            delta = event.pixelDelta() if not event.pixelDelta().isNull() else event.angleDelta() / 4
            self.turned.emit(-float(delta.x()), -float(delta.y()))
            return True
        notches = event.angleDelta().y() / _NOTCH
        if notches:
            self.scrolled.emit(notches)
        return True
