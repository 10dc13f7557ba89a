"""Icons drawn for Mirage, tinted to the theme and sharp at every pixel ratio."""

from __future__ import annotations

from functools import lru_cache

from PyQt6.QtCore import QByteArray, QRectF, QSize, Qt
from PyQt6.QtGui import QIcon, QPainter, QPixmap
from PyQt6.QtSvg import QSvgRenderer

from ui import theme

_SIZES = (18, 20, 36, 40)
_APP_SIZES = (16, 24, 32, 48, 64, 128, 256, 512)


def _render(svg: bytes, size: int) -> QPixmap:
    pixmap = QPixmap(size, size)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    QSvgRenderer(QByteArray(svg)).render(painter, QRectF(0, 0, size, size))
    painter.end()
    return pixmap


def _source(name: str, color: str) -> bytes:
    path = theme.ICON_DIR / f"{name}.svg"
    return path.read_bytes().replace(b"currentColor", color.encode())


def pixmap(name: str, size: int = 20, color: str = theme.TEXT_SOFT, ratio: float = 1.0) -> QPixmap:
    """One icon at ``size`` device-independent pixels for a screen of pixel ratio ``ratio``."""
    result = _render(_source(name, color), round(size * ratio))
    result.setDevicePixelRatio(ratio)
    return result


@lru_cache(maxsize=256)
def icon(name: str, color: str = theme.TEXT_SOFT, checked: str = theme.ACCENT_HOVER) -> QIcon:
    """An icon by file name; brighter on hover, in ``checked`` while its button is down, faint when disabled."""
    result = QIcon()
    looks = (
        (color, QIcon.Mode.Normal, QIcon.State.Off),
        (theme.TEXT, QIcon.Mode.Active, QIcon.State.Off),
        (checked, QIcon.Mode.Normal, QIcon.State.On),
        (checked, QIcon.Mode.Active, QIcon.State.On),
        ("#4a5361", QIcon.Mode.Disabled, QIcon.State.Off),
        ("#4a5361", QIcon.Mode.Disabled, QIcon.State.On),
    )
    for tint, mode, state in looks:
        source = _source(name, tint)
        for size in _SIZES:
            result.addPixmap(_render(source, size), mode, state)
    return result


@lru_cache(maxsize=1)
def app_icon() -> QIcon:
    """The icon of the application itself."""
    svg = (theme.ICON_DIR / "mirage.svg").read_bytes()
    result = QIcon()
    for size in _APP_SIZES:
        result.addPixmap(_render(svg, size))
    return result


def logo(size: int, ratio: float = 1.0) -> QPixmap:
    """The application's icon as a picture."""
    result = _render((theme.ICON_DIR / "mirage.svg").read_bytes(), round(size * ratio))
    result.setDevicePixelRatio(ratio)
    return result


TOOL_SIZE = QSize(20, 20)
