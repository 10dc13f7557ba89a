"""Icon buttons that look and speak alike everywhere: one tip, read aloud too."""

from __future__ import annotations

from collections.abc import Callable

from PyQt6.QtCore import QSize
from PyQt6.QtWidgets import QToolButton

from ui import icons, theme


def tool_button(
    icon: str, tip: str, action: Callable[[], object] | None = None, *, size_px: int = 18, checkable: bool = False
) -> QToolButton:
    """A quiet button with an icon; ``tip`` is its tool tip and its name for screen readers."""
    button = QToolButton()
    button.setIcon(icons.icon(icon))
    button.setIconSize(QSize(size_px, size_px))
    button.setToolTip(tip)
    button.setAccessibleName(tip)
    button.setCheckable(checkable)
    theme.set_role(button, "quiet")
    if action is not None:
        button.clicked.connect(lambda: action())
    return button
