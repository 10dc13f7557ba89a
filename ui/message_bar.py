"""Messages that do not get in the way: what happened, and what to do about it."""

from __future__ import annotations

import re

from PyQt6.QtCore import QEvent, QObject, Qt, QTimer
from PyQt6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from engine.messages import Notice
from ui import icons, theme

_LOOKS = {"info": ("info", theme.ACCENT), "warning": ("warning", theme.WARNING), "error": ("error", theme.ERROR)}
_INFO_MS = 6000
_MOST = 3
_LONGEST = 260
_WIDTH = 520
_TOP = 62


def shorten(text: str) -> str:
    """One paragraph of bearable length without control codes; the log has the rest."""
    plain = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split())
    return plain if len(plain) <= _LONGEST else plain[: _LONGEST - 2].rsplit(" ", 1)[0] + " …"


class MessageBar(QFrame):
    """One notice with a cross to put it away."""

    def __init__(self, notice: Notice, parent: QWidget) -> None:
        super().__init__(parent)
        self.notice = notice
        self.count = 1
        name, tint = _LOOKS[notice.level]
        self.setObjectName("message")
        self.setStyleSheet(
            f"#message {{ background: {theme.RAISED}; border: 1px solid {theme.LINE_STRONG};"
            f" border-left: 3px solid {tint}; border-radius: 8px; }}"
        )
        self.setAccessibleName(f"{notice.title}. {notice.text}")
        sign = QLabel(self)
        sign.setPixmap(icons.pixmap(name, 20, tint, self.devicePixelRatioF()))
        self._title = QLabel(notice.title, self)
        font = self._title.font()
        font.setBold(True)
        self._title.setFont(font)
        text = QLabel(shorten(notice.text), self)
        text.setToolTip(notice.text if len(notice.text) > _LONGEST else "")
        text.setWordWrap(True)
        text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        theme.set_role(text, "soft")
        close = QToolButton(self)
        close.setIcon(icons.icon("close"))
        close.setAccessibleName("Put this message away")
        close.setToolTip("Put this message away")
        theme.set_role(close, "quiet")
        close.clicked.connect(self.close)
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addWidget(self._title)
        words.addWidget(text)
        row = QHBoxLayout(self)
        row.setContentsMargins(14, 10, 8, 10)
        row.setSpacing(12)
        row.addWidget(sign, 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(words, 1)
        row.addWidget(close, 0, Qt.AlignmentFlag.AlignTop)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        if notice.level == "info":
            QTimer.singleShot(_INFO_MS, self.close)

    def again(self) -> None:
        """The same thing happened once more."""
        self.count += 1
        self._title.setText(f"{self.notice.title}  ×{self.count}")


class MessageArea(QWidget):
    """Bars stacked at the top of its parent, newest last; what is said twice is counted, not repeated."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(8)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        parent.installEventFilter(self)
        self.hide()

    def bars(self) -> list[MessageBar]:
        """What is on show."""
        found = (self._column.itemAt(k) for k in range(self._column.count()))
        return [item.widget() for item in found if item is not None and isinstance(item.widget(), MessageBar)]  # type: ignore[misc]

    def show_notice(self, notice: Notice) -> None:
        """Say it."""
        for bar in self.bars():
            if bar.notice == notice:
                bar.again()
                return
        while len(self.bars()) >= _MOST:
            self._drop(self.bars()[0])
        bar = MessageBar(notice, self)
        bar.destroyed.connect(self._settle)
        self._column.addWidget(bar)
        bar.show()  # now, not with the next event: a layout takes what is hidden for nothing
        self.show()
        self.raise_()
        self._settle()

    def clear(self) -> None:
        """Put everything away."""
        for bar in self.bars():
            self._drop(bar)
        self._settle()

    def _drop(self, bar: MessageBar) -> None:
        self._column.removeWidget(bar)
        bar.close()

    def _settle(self) -> None:
        if not self.bars():
            self.hide()
            return
        parent = self.parentWidget()
        if parent is None:
            return
        width = min(_WIDTH, parent.width() - 32)
        self.setFixedWidth(width)
        self._column.invalidate()
        self.resize(width, self._column.totalHeightForWidth(width))
        self.move((parent.width() - width) // 2, _TOP)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        if event is not None and event.type() == QEvent.Type.Resize and self.isVisible():
            self._settle()
        return False
