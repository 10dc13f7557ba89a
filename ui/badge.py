"""The small badge that says whether a picture was generated or is only a preview of what was."""

from __future__ import annotations

from typing import Literal

from PyQt6.QtCore import QRectF, QSize, Qt
from PyQt6.QtGui import QFont, QFontMetrics, QPainter, QPaintEvent
from PyQt6.QtWidgets import QWidget

from ui import theme

ViewState = Literal["nothing", "preview", "generated"]
_TINTS = {"nothing": theme.TEXT_FAINT, "preview": theme.IMAGINED, "generated": theme.REMEMBERED}


class Badge(QWidget):
    """*preview* in amber with a hollow dot, *generated* in teal with a full one: colour is not the only difference."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.state: ViewState = "nothing"
        self.text = ""
        self.detail = ""
        self.setVisible(False)

    def set_state(self, state: ViewState, known: float | None = None) -> None:
        """``known``: share of the generated frame that the memory held, [0, 1]."""
        detail = f"{100 * known:.0f} % remembered" if state == "generated" and known is not None else ""
        if (state, detail) == (self.state, self.detail):
            return
        self.state, self.detail = state, detail
        self.text = "" if state == "nothing" else state
        self.setAccessibleName(f"The live view is {state}. {detail}".strip())
        self.setVisible(state != "nothing")
        self.resize(self.sizeHint())
        self.update()

    def _fonts(self) -> tuple[QFont, QFont]:
        strong, soft = QFont(self.font()), QFont(self.font())
        strong.setWeight(QFont.Weight.DemiBold)
        soft.setPointSizeF(self.font().pointSizeF() * 0.9)
        return strong, soft

    def sizeHint(self) -> QSize:
        strong, soft = self._fonts()
        width = 34 + QFontMetrics(strong).horizontalAdvance(self.text)
        if self.detail:
            width += 10 + QFontMetrics(soft).horizontalAdvance(self.detail)
        return QSize(width, QFontMetrics(strong).height() + 10)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        painter.setPen(theme.color("#ffffff", 0.08))
        painter.setBrush(theme.color(theme.GROUND, 0.78))
        painter.drawRoundedRect(box, box.height() / 2, box.height() / 2)
        tint = theme.color(_TINTS[self.state])
        dot = QRectF(11, box.center().y() - 4, 8, 8)
        pen = painter.pen()
        pen.setColor(tint)
        pen.setWidthF(1.8)
        painter.setPen(pen)
        painter.setBrush(tint if self.state == "generated" else Qt.BrushStyle.NoBrush)
        painter.drawEllipse(dot)
        strong, soft = self._fonts()
        painter.setFont(strong)
        painter.setPen(theme.color(theme.TEXT))
        area = box.adjusted(26, 0, -8, 0)
        middle = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        painter.drawText(area, middle, self.text)
        if self.detail:
            painter.setFont(soft)
            painter.setPen(theme.color(theme.TEXT_SOFT))
            painter.drawText(
                area.adjusted(10 + QFontMetrics(strong).horizontalAdvance(self.text), 0, 0, 0), middle, self.detail
            )
