"""The top of the window, one row: where one is, the menus, the tools."""

from __future__ import annotations

from PyQt6.QtCore import QSize, Qt, pyqtSignal
from PyQt6.QtGui import QAction, QKeySequence
from PyQt6.QtWidgets import QHBoxLayout, QLabel, QMenu, QMenuBar, QSizePolicy, QToolButton, QWidget, QWidgetAction

from ui import icons, theme
from ui.window_actions import MENUS, WindowActions

_TOOLS = (("undo", "redo"), ("record", "pause", "export"), ("QUALITY",), ("hud", "fullscreen", "help"))


class Header(QWidget):
    """Signals: home_requested(): back to the gallery."""

    home_requested = pyqtSignal()

    def __init__(
        self, actions: WindowActions, panels: list[QAction], quality: QWidget, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._actions = actions
        home = QToolButton()
        home.setIcon(icons.app_icon())
        home.setIconSize(QSize(24, 24))
        home.setToolTip("Worlds")
        home.setAccessibleName("Back to the gallery of worlds")
        home.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        home.clicked.connect(self.home_requested)
        theme.set_role(home, "quiet")
        self._name = QLabel("Mirage")
        font = self._name.font()
        font.setBold(True)
        self._name.setFont(font)
        self.menus = QMenuBar(self)
        self.menus.setNativeMenuBar(False)
        self.menus.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Fixed)
        self._fill_menus(panels)
        self.quality_button = self._quality_button(quality)
        row = QHBoxLayout(self)
        row.setContentsMargins(10, 5, 10, 5)
        row.setSpacing(2)
        row.addWidget(home)
        row.addSpacing(4)
        row.addWidget(self._name)
        row.addSpacing(10)
        row.addWidget(self.menus, 0, Qt.AlignmentFlag.AlignVCenter)
        row.addStretch(1)
        self._add_tools(row)

    def set_name(self, name: str) -> None:
        """What is open."""
        self._name.setText(name)

    def _fill_menus(self, panels: list[QAction]) -> None:
        for title, entries in MENUS:
            menu = self.menus.addMenu(title)
            assert menu is not None
            for entry in entries.split():
                if entry == "-":
                    menu.addSeparator()
                elif entry == "PANELS":
                    menu.addActions(panels)
                else:
                    menu.addAction(self._actions[entry])

    def _add_tools(self, row: QHBoxLayout) -> None:
        for k, group in enumerate(_TOOLS):
            if k:
                line = QLabel()
                line.setFixedSize(1, 18)
                line.setStyleSheet(f"background: {theme.LINE_STRONG};")
                row.addSpacing(7)
                row.addWidget(line, 0, Qt.AlignmentFlag.AlignVCenter)
                row.addSpacing(7)
            for name in group:
                row.addWidget(self.quality_button if name == "QUALITY" else self._tool(self._actions[name]))

    @staticmethod
    def _tool(action: QAction) -> QToolButton:
        button = QToolButton()
        button.setDefaultAction(action)
        button.setIconSize(icons.TOOL_SIZE)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        name = action.text().replace("&", "").rstrip("…")
        keys = action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
        words = name if action.toolTip() == action.iconText() else action.toolTip()
        button.setToolTip(f"{words}  ({keys})" if keys else words)
        button.setAccessibleName(name)
        theme.set_role(button, "quiet")
        return button

    @staticmethod
    def _quality_button(panel: QWidget) -> QToolButton:
        button = QToolButton()
        button.setIcon(icons.icon("quality"))
        button.setIconSize(icons.TOOL_SIZE)
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.setToolTip("Quality of what is generated")
        button.setAccessibleName("Quality")
        theme.set_role(button, "quiet")
        menu = QMenu(button)
        holder = QWidgetAction(menu)
        holder.setDefaultWidget(panel)
        menu.addAction(holder)
        button.setMenu(menu)
        return button
