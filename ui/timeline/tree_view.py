"""The world tree: where we are, what branched off, and the way back."""

from __future__ import annotations

from collections.abc import Callable

from PyQt6.QtCore import QEvent, QPoint, QPointF, QRectF, Qt, pyqtSignal
from PyQt6.QtGui import (
    QContextMenuEvent,
    QFont,
    QHelpEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
)
from PyQt6.QtWidgets import (
    QHBoxLayout,
    QInputDialog,
    QLabel,
    QMenu,
    QScrollArea,
    QSizePolicy,
    QToolTip,
    QVBoxLayout,
    QWidget,
)

from engine.messages import Branch, Checkout, Redo, RenameNode, TreeUpdate, Undo, Update
from ui import icons, theme
from ui.bridge import EngineBridge
from ui.buttons import tool_button
from ui.timeline.tree_layout import TreeItem, ancestors, layout_tree

COLUMN_PX = 34
LANE_PX = 28
PAD_PX = 20
NAME_PX = 120


def ask_name(parent: QWidget, title: str, text: str, done: Callable[[str], object]) -> QInputDialog:
    """Ask for a name without stopping the app; ``done`` gets it, stripped and bounded, unless the user cancels."""
    dialog = QInputDialog(parent)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setWindowTitle(title)
    dialog.setLabelText("Name of this place in the tree:")
    dialog.setTextValue(text)
    dialog.textValueSelected.connect(lambda name: done(name.strip()[:200]) if name.strip() else None)
    dialog.open()
    return dialog


class TreeGraph(QWidget):
    """Paints the tree; a click goes to a node.

    Signals:
        chosen(int): a node was clicked. menu_wanted(int, QPoint): right click, global position. renamed(int):
            double click.
    """

    chosen = pyqtSignal(int)
    menu_wanted = pyqtSignal(int, object)
    renamed = pyqtSignal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.items: list[TreeItem] = []
        self.tree: TreeUpdate | None = None
        self._hover = -1
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("World tree")
        self.setAccessibleDescription("Arrow keys move between nodes.")

    def set_tree(self, tree: TreeUpdate) -> None:
        """Draw this tree."""
        self.tree = tree
        self.items = layout_tree(tree)
        width = max((item.x for item in self.items), default=0) * COLUMN_PX + 2 * PAD_PX + NAME_PX
        height = (max((item.y for item in self.items), default=0) + 1) * LANE_PX + 14
        self.setMinimumSize(round(width), round(height))
        self.update()

    def place(self, item: TreeItem) -> QPointF:
        """Where an item is drawn."""
        return QPointF(PAD_PX + item.x * COLUMN_PX, 18 + item.y * LANE_PX)

    def current_item(self) -> TreeItem | None:
        """The drawn node we are at."""
        return next((item for item in self.items if self.tree is not None and item.node.id == self.tree.current), None)

    def item_at(self, at: QPointF) -> int:
        """Index of the item under a point, -1 for none."""
        for index, item in enumerate(self.items):
            place = self.place(item)
            if abs(place.x() - at.x()) <= 11 and abs(place.y() - at.y()) <= 11:
                return index
        return -1

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Qt's hook."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if not self.items:
            painter.setPen(theme.color(theme.TEXT_FAINT))
            painter.drawText(self.rect(), int(Qt.AlignmentFlag.AlignCenter), "The world tree grows as you fly.")
            return
        for on_path in (False, True):
            for item in self.items:
                if item.parent >= 0 and item.on_path == on_path:
                    self._paint_edge(painter, self.items[item.parent], item)
        for index, item in enumerate(self.items):
            self._paint_node(painter, item, index == self._hover)

    def _paint_edge(self, painter: QPainter, start: TreeItem, end: TreeItem) -> None:
        a, b = self.place(start), self.place(end)
        path = QPainterPath(a)
        if start.y == end.y:
            path.lineTo(b)
        else:
            bend = min(COLUMN_PX * 0.8, b.x() - a.x())
            path.cubicTo(a + QPointF(bend * 0.7, 0), QPointF(a.x() + bend * 0.3, b.y()), QPointF(a.x() + bend, b.y()))
            path.lineTo(b)
        color = theme.color(theme.ACCENT_PRESSED) if end.on_path else theme.color(theme.LINE_STRONG)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(color, 2.0))
        painter.drawPath(path)

    def _paint_node(self, painter: QPainter, item: TreeItem, hover: bool) -> None:
        place = self.place(item)
        current = self.tree is not None and item.node.id == self.tree.current
        radius = 6.5 if current else 4.5
        if hover:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.color(theme.ACCENT, 0.22))
            painter.drawEllipse(place, 10.5, 10.5)
        ring = theme.ACCENT_HOVER if current else theme.ACCENT_PRESSED if item.on_path else theme.TEXT_FAINT
        painter.setPen(QPen(theme.color(ring), 2.0))
        painter.setBrush(theme.color(theme.ACCENT if current else theme.PANEL))
        painter.drawEllipse(place, radius, radius)
        if not item.name:
            return
        font = QFont(self.font())
        font.setPointSizeF(font.pointSizeF() * 0.85)
        font.setWeight(QFont.Weight.DemiBold if current else QFont.Weight.Normal)
        painter.setFont(font)
        painter.setPen(theme.color(theme.TEXT if current else theme.TEXT_SOFT if item.on_path else theme.TEXT_FAINT))
        if item.tip:
            area = QRectF(place.x() + 12, place.y() - 9, NAME_PX, 18)
            align = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        else:
            area = QRectF(place.x() - 7, place.y() + 6, COLUMN_PX + 24, 15)
            align = Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft
        text = painter.fontMetrics().elidedText(item.name, Qt.TextElideMode.ElideRight, int(area.width()))
        painter.drawText(area, int(align), text)

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Qt's hook."""
        index = -1 if event is None else self.item_at(event.position())
        if index != self._hover:
            self._hover = index
            self.setCursor(Qt.CursorShape.PointingHandCursor if index >= 0 else Qt.CursorShape.ArrowCursor)
            self.update()

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        """Qt's hook."""
        if event is not None and event.button() == Qt.MouseButton.LeftButton:
            index = self.item_at(event.position())
            if index >= 0:
                self.chosen.emit(self.items[index].node.id)

    def mouseDoubleClickEvent(self, event: QMouseEvent | None) -> None:
        """Qt's hook."""
        index = -1 if event is None else self.item_at(event.position())
        if index >= 0:
            self.renamed.emit(self.items[index].node.id)

    def contextMenuEvent(self, event: QContextMenuEvent | None) -> None:
        """Qt's hook: by mouse on a node, by keyboard on the current one."""
        if event is None:
            return
        index = self.item_at(QPointF(event.pos()))
        item = self.items[index] if index >= 0 else self.current_item()
        if item is not None:
            self.menu_wanted.emit(item.node.id, event.globalPos())

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Qt's hook: to the drawn parent, the first drawn child, or the lane above or below."""
        item = self.current_item()
        if event is None or item is None:
            return
        here = self.items.index(item)
        key = event.key()
        target: TreeItem | None = None
        if key == Qt.Key.Key_Left and item.parent >= 0:
            target = self.items[item.parent]
        elif key == Qt.Key.Key_Right:
            target = next((other for other in self.items if other.parent == here), None)
        elif key in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            sign = -1 if key == Qt.Key.Key_Up else 1
            lanes = [other for other in self.items if (other.y - item.y) * sign > 0]
            target = min(lanes, key=lambda other: (abs(other.y - item.y), abs(other.x - item.x)), default=None)
        else:
            super().keyPressEvent(event)
        if target is not None:
            self.chosen.emit(target.node.id)

    def leaveEvent(self, event: QEvent | None) -> None:
        """Qt's hook."""
        self._hover = -1
        self.update()

    def event(self, event: QEvent | None) -> bool:
        """Qt's hook: tool tips."""
        if isinstance(event, QHelpEvent):
            index = self.item_at(QPointF(event.pos()))
            if index >= 0:
                item = self.items[index]
                folded = f", after {item.folded} more" if item.folded else ""
                what = (
                    f"step {item.node.frame}" if item.node.frame >= 0 else "start" if item.node.parent < 0 else "edit"
                )
                QToolTip.showText(event.globalPos(), f"{item.name or what} (node {item.node.id}, {what}{folded})", self)
            else:
                QToolTip.hideText()
            return True
        return super().event(event)


class WorldTreePanel(QWidget):
    """The tree with its buttons.

    Signals:
        compare_wanted(int): show that branch in the second view.
    """

    compare_wanted = pyqtSignal(int)

    def __init__(self, bridge: EngineBridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.bridge = bridge
        self.graph = TreeGraph()
        self.graph.chosen.connect(self.go_to)
        self.graph.renamed.connect(self.rename)
        self.graph.menu_wanted.connect(self._menu)
        self.scroller = QScrollArea()
        self.scroller.setWidgetResizable(True)
        self.scroller.setWidget(self.graph)
        self.scroller.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)
        title = QLabel("World tree")
        theme.set_role(title, "section")
        header = QHBoxLayout()
        header.setContentsMargins(10, 4, 6, 4)
        header.setSpacing(2)
        header.addWidget(title, 1)
        self.undo = tool_button("undo", "Undo the last write (Ctrl+Z)", lambda: bridge.do(Undo()))
        self.redo = tool_button("redo", "Redo (Ctrl+Shift+Z)", lambda: bridge.do(Redo()))
        self.branch = tool_button("branch", "Branch: name this place and go on from here", self.start_branch)
        self.compare = tool_button("compare", "Compare the newest other branch with this one", self._compare_newest)
        for button in (self.undo, self.redo, self.branch, self.compare):
            button.setEnabled(False)
            header.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(header)
        layout.addWidget(self.scroller, 1)
        bridge.updated.connect(self._take)
        if bridge.tree is not None:
            self._show(bridge.tree)

    def _take(self, update: Update) -> None:
        if update.tree is not None:
            self._show(update.tree)

    def _show(self, tree: TreeUpdate) -> None:
        self.graph.set_tree(tree)
        self.undo.setEnabled(tree.can_undo)
        self.redo.setEnabled(tree.can_redo)
        self.branch.setEnabled(True)
        self.compare.setEnabled(self._newest_other() is not None)
        item = self.graph.current_item()
        if item is not None:
            place = self.graph.place(item).toPoint()
            self.scroller.ensureVisible(place.x(), place.y(), 90, 24)

    def _newest_other(self) -> int | None:
        tree = self.graph.tree
        if tree is None:
            return None
        here = ancestors(tree, tree.current)
        others = [item.node for item in self.graph.items if item.tip and item.node.id not in here]
        # A tip below the current node is its own future, not another branch.
        others = [node for node in others if tree.current not in ancestors(tree, node.id)]
        return max(others, key=lambda node: node.created).id if others else None

    def _compare_newest(self) -> None:
        node = self._newest_other()
        if node is not None:
            self.compare_wanted.emit(node)

    def go_to(self, node: int) -> None:
        """Make a node the present."""
        self.bridge.do(Checkout(node))

    def start_branch(self) -> None:
        """Ask for a name; what follows grows from here."""
        ask_name(self, "Branch from here", "", lambda name: self.bridge.do(Branch(name)))

    def _branch_from(self, node: int) -> None:
        self.go_to(node)
        self.start_branch()

    def rename(self, node: int) -> None:
        """Ask for another label."""
        tree = self.graph.tree
        label = next((item.label for item in tree.nodes if item.id == node), "") if tree is not None else ""
        ask_name(self, "Rename", label, lambda name: self.bridge.do(RenameNode(node, name)))

    def _menu(self, node: int, at: QPoint) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for icon, text, action in (
            ("step-back", "Go here", lambda: self.go_to(node)),
            ("key", "Rename…", lambda: self.rename(node)),
            ("branch", "Branch from here…", lambda: self._branch_from(node)),
            ("compare", "Compare with the present", lambda: self.compare_wanted.emit(node)),
        ):
            entry = menu.addAction(icons.icon(icon), text)
            assert entry is not None
            entry.triggered.connect(action)
        menu.popup(at)
