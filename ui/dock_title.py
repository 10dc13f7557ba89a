"""The title of a panel: its name, and small buttons to float and to close it."""

from __future__ import annotations

from PyQt6.QtCore import QSize
from PyQt6.QtWidgets import QDockWidget, QHBoxLayout, QLabel, QToolButton, QWidget

from ui import icons, theme


class DockTitle(QWidget):
    """Takes the place of Qt's own title bar; dragging it still moves the panel."""

    def __init__(self, dock: QDockWidget, icon: str) -> None:
        super().__init__(dock)
        sign = QLabel(self)
        sign.setPixmap(icons.pixmap(icon, 16, theme.TEXT_FAINT, self.devicePixelRatioF()))
        name = QLabel(dock.windowTitle(), self)
        theme.set_role(name, "section")
        row = QHBoxLayout(self)
        row.setContentsMargins(10, 3, 4, 3)
        row.setSpacing(8)
        row.addWidget(sign)
        row.addWidget(name, 1)
        for which, text, slot in (
            (
                "fullscreen",
                "Make this panel a window of its own, or put it back",
                lambda: dock.setFloating(not dock.isFloating()),
            ),
            ("close", "Close this panel; the View menu brings it back", dock.close),
        ):
            button = QToolButton(self)
            button.setIcon(icons.icon(which, theme.TEXT_FAINT))
            button.setIconSize(QSize(14, 14))
            button.setToolTip(text)
            button.setAccessibleName(f"{dock.windowTitle()}: {text}")
            theme.set_role(button, "quiet")
            button.setStyleSheet("padding: 2px; min-height: 14px;")
            button.clicked.connect(slot)
            row.addWidget(button)
