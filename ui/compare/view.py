"""The second view and its header: source, layout, linked zoom, wipe, provenance."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal, cast

import numpy as np
from PyQt6.QtCore import QPoint, QRect, Qt
from PyQt6.QtGui import QHideEvent, QResizeEvent, QShowEvent, QStandardItemModel
from PyQt6.QtWidgets import (
    QBoxLayout,
    QButtonGroup,
    QComboBox,
    QHBoxLayout,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from engine.messages import (
    COMPARE_SOURCES,
    Checkout,
    CompareImage,
    CompareSource,
    Failed,
    FrameUpdate,
    Inspect,
    Provenance,
    SetCompareSource,
    TreeUpdate,
    Update,
    WorldInfo,
)
from ui import theme
from ui.bridge import EngineBridge
from ui.buttons import tool_button
from ui.compare.image_pane import ImagePane
from ui.compare.provenance import ProvenanceCard
from ui.compare.zoom import ZoomModel
from ui.history import StepHistory

CompareLayout = Literal["single", "both", "wipe"]
SHORT_NAMES: dict[CompareSource, str] = {
    "readout": "Memory, decoded",
    "readout-pca": "Memory, latents",
    "coverage": "Coverage",
    "offsets": "Sub-cell offsets",
    "depth": "Depth",
    "winners": "Tokens by age",
    "last-visit": "Last visit",
    "truth": "True world",
    "rgb-memory": "RGB memory",
    "branch": "Other branch",
}
BLOCKY: frozenset[CompareSource] = frozenset({"readout-pca", "coverage", "offsets", "winners"})
FRAMES_KEPT = 8
CARD_GAP_PX = 12


class CompareView(QWidget):
    """What the memory knew, beside or under the generated frame.

    While hidden it asks the engine for nothing; shown again, it asks for the chosen source.
    """

    def __init__(self, bridge: EngineBridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.bridge = bridge
        self.history = StepHistory.of(bridge)
        self.zoom = ZoomModel(self)
        self.mode: CompareLayout = "single"
        self.image: CompareImage | None = None
        self._source: CompareSource = "readout"
        self._branch: int | None = None
        self._asked: tuple[CompareSource, int | None] | None = None
        self._inspecting = 0
        self._frames: OrderedDict[int, np.ndarray] = OrderedDict()
        self._grid = (1, 1)
        self._build()
        bridge.updated.connect(self._take)
        self.history.reset.connect(self._forget)
        if bridge.world is not None:
            self._allow_truth(bridge.world)
        if bridge.tree is not None:
            self._list_branches(bridge.tree)
        if bridge.frame is not None:
            self._keep_frame(bridge.frame)
        self._relabel()

    # ------------------------------------------------------------------------------------------------- building

    def _build(self) -> None:
        self.setProperty("role", "panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.source_box = QComboBox()
        self.source_box.setAccessibleName("Source of the second view")
        for source in COMPARE_SOURCES:
            if source != "none":
                self.source_box.addItem(SHORT_NAMES[source], source)
                self.source_box.setItemData(
                    self.source_box.count() - 1, COMPARE_SOURCES[source], Qt.ItemDataRole.ToolTipRole
                )
        self.source_box.currentIndexChanged.connect(self._choose)
        self.branch_box = QComboBox()
        self.branch_box.setAccessibleName("Branch to compare with")
        self.branch_box.hide()
        self.branch_box.activated.connect(self._choose_branch)
        self._modes = QButtonGroup(self)
        header = QHBoxLayout()
        header.setContentsMargins(8, 6, 8, 6)
        header.setSpacing(6)
        header.addWidget(self.source_box)
        header.addWidget(self.branch_box)
        header.addStretch(1)
        self.mode_buttons: dict[CompareLayout, QToolButton] = {}
        for mode, icon, tip in (
            ("single", "image", "The source alone"),
            ("both", "compare", "Generated and source, with one zoom"),
            ("wipe", "wipe", "Generated over source, with a handle to wipe"),
        ):
            button = tool_button(icon, tip, checkable=True)
            button.clicked.connect(lambda _=False, m=mode: self.set_mode(cast(CompareLayout, m)))
            self._modes.addButton(button)
            self.mode_buttons[cast(CompareLayout, mode)] = button
            header.addWidget(button)
        self.mode_buttons["single"].setChecked(True)
        self.generated = ImagePane(self.zoom)
        self.generated.setAccessibleName("Generated frame")
        self.generated.labels = ("", "Generated")
        self.generated.hide()
        self.pane = ImagePane(self.zoom)
        self.pane.setAccessibleName("Second view")
        for pane in (self.generated, self.pane):
            pane.pixel_clicked.connect(self.inspect)
        self._panes = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._panes.setSpacing(2)
        self._panes.addWidget(self.generated, 1)
        self._panes.addWidget(self.pane, 1)
        self.caption = QElidingLabel()
        theme.set_role(self.caption, "faint")
        self.caption.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(header)
        layout.addLayout(self._panes, 1)
        footer = QHBoxLayout()
        footer.setContentsMargins(12, 4, 12, 6)
        footer.addWidget(self.caption)
        layout.addLayout(footer)
        self.card = ProvenanceCard(self)
        self.card.hide()
        self.card.closed.connect(self.close_card)
        self.card.go_to.connect(lambda node: self.bridge.do(Checkout(node)))

    # -------------------------------------------------------------------------------------------------- choices

    @property
    def source(self) -> CompareSource:
        """The chosen source."""
        return self._source

    def set_source(self, source: CompareSource, branch: int | None = None) -> None:
        """Choose what is shown; ``branch``: the tree node whose branch is compared, for ``"branch"``."""
        self._source = source
        if source == "branch" and branch is not None:
            self._branch = branch
            self.branch_box.setCurrentIndex(self.branch_box.findData(branch))
        self.source_box.blockSignals(True)
        self.source_box.setCurrentIndex(self.source_box.findData(source))
        self.source_box.blockSignals(False)
        self.branch_box.setVisible(source == "branch")
        self._relabel()
        self._ask()

    def set_mode(self, mode: CompareLayout) -> None:
        """``single``: the source alone; ``both``: two panes with one zoom; ``wipe``: in place."""
        self.mode = mode
        self.mode_buttons[mode].setChecked(True)
        self.generated.setVisible(mode == "both")
        self.pane.set_wiping(mode == "wipe")
        self._relabel()
        self._show_frame()

    def _choose(self) -> None:
        source = cast(CompareSource, self.source_box.currentData())
        if source == "branch" and self._branch is None and self.branch_box.count():
            self._branch = int(self.branch_box.itemData(0))
        self.set_source(source, self._branch if source == "branch" else None)

    def _choose_branch(self) -> None:
        self._branch = int(self.branch_box.currentData())
        self._ask()

    def _ask(self) -> None:
        wanted: tuple[CompareSource, int | None] = (self._source, self._branch if self._source == "branch" else None)
        if not self.isVisible():
            wanted = ("none", None)
        if wanted != self._asked:
            self._asked = wanted
            self.bridge.do(SetCompareSource(*wanted))

    def showEvent(self, event: QShowEvent | None) -> None:
        """Qt's hook: ask for the source again."""
        super().showEvent(event)
        self._ask()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Qt's hook: spare the engine the work."""
        super().hideEvent(event)
        self.close_card()
        self._ask()

    # --------------------------------------------------------------------------------------------------- updates

    def _take(self, update: Update) -> None:
        if update.world is not None:
            self._allow_truth(update.world)
        if update.tree is not None:
            self._list_branches(update.tree)
        if update.frame is not None:
            self._keep_frame(update.frame)
            self.close_card()
        if update.compare is not None and update.compare.source == self._source:  # not the answer to an older question
            self.image = update.compare
            self.pane.blocky = update.compare.source in BLOCKY
            self.pane.set_second(update.compare.rgb)
            self.caption.setText(update.compare.caption or COMPARE_SOURCES[update.compare.source])
            self.caption.setToolTip(self.caption.text())
        if update.frame is not None or update.compare is not None:
            self._show_frame()
            self._relabel()

    def _keep_frame(self, frame: FrameUpdate) -> None:
        result = frame.result
        self._grid = (result.coverage.shape[0], result.coverage.shape[1])
        self._frames[result.index] = result.rgb
        self._frames.move_to_end(result.index)
        while len(self._frames) > FRAMES_KEPT:
            self._frames.popitem(last=False)

    def _show_frame(self) -> None:
        """The generated frame of the same step as the second view, so that a wipe never compares two moments."""
        if not self._frames:
            return
        newest = next(reversed(self._frames.values()))
        matching = self._frames.get(self.image.index, newest) if self.image is not None else newest
        if self.mode == "both":
            self.generated.set_first(None)
            self.generated.set_second(matching)
        elif self.mode == "wipe":
            self.pane.set_first(matching)

    def _relabel(self) -> None:
        self.pane.labels = ("Generated", SHORT_NAMES[self._source] if self.mode != "single" else "")
        self.pane.placeholder = (
            "" if self.image is not None else "The second view fills with the first generated frame."
        )
        self.pane.update()

    def _allow_truth(self, world: WorldInfo) -> None:
        row = self.source_box.findData("truth")
        model = self.source_box.model()
        item = model.item(row) if isinstance(model, QStandardItemModel) else None
        if item is not None:
            item.setEnabled(world.has_truth)
        if not world.has_truth and self._source == "truth":
            self.set_source("readout")

    def _list_branches(self, tree: TreeUpdate) -> None:
        parents = {node.parent for node in tree.nodes}
        tips = [node for node in tree.nodes if node.id not in parents and node.id != tree.current]
        if self._branch is not None and all(node.id != self._branch for node in tips):
            tips += [node for node in tree.nodes if node.id == self._branch]
        self.branch_box.blockSignals(True)
        self.branch_box.clear()
        for node in sorted(tips, key=lambda n: -n.created):
            self.branch_box.addItem(node.label or f"node {node.id}", node.id)
        if self._branch is not None:
            self.branch_box.setCurrentIndex(self.branch_box.findData(self._branch))
        self.branch_box.blockSignals(False)

    def _forget(self) -> None:
        self.image, self._branch = None, None
        self._frames.clear()
        self.pane.set_first(None)
        self.pane.set_second(None)
        self.generated.set_second(None)
        self.caption.clear()
        self.close_card()
        self._relabel()

    # ------------------------------------------------------------------------------------------------ provenance

    def inspect(self, x: float, y: float) -> None:
        """Ask where the pixel at fractions ``x``, ``y`` of the picture came from and show the answer."""
        rows, columns = self._grid
        if not self._frames:
            return
        cell = (min(int(y * rows), rows - 1), min(int(x * columns), columns - 1))
        for pane in (self.generated, self.pane):
            pane.mark(cell, self._grid)
        self._inspecting = self.bridge.do(Inspect(cell), self._show_provenance)

    def _show_provenance(self, found: Provenance | Failed) -> None:
        if not isinstance(found, Provenance) or self.pane.marked != found.cell:
            return
        step = self.history.by_index(found.step)
        self.card.show_provenance(found, None if step is None else step.thumbnail, self._grid)
        self.card.show()
        self.card.raise_()
        self._place_card()

    def close_card(self) -> None:
        """Put the card and the outlined cell away."""
        self.card.hide()
        for pane in (self.generated, self.pane):
            pane.mark(None)

    def _place_card(self) -> None:
        """Where it hides nothing of what it explains: beside a small pane, else in the half without the marked cell."""
        window = self.window()
        if window is None:
            return
        if self.card.parentWidget() is not window:
            self.card.setParent(window)  # a small pane is no room for it
            self.card.show()
            self.card.raise_()
        self.card.adjustSize()
        area = QRect(self.pane.mapTo(window, QPoint(0, 0)), self.pane.size())
        width, height = self.card.width(), self.card.height()
        marked = self.pane.marked
        if area.width() < 2.2 * width and area.left() > width + CARD_GAP_PX:
            x = area.left() - width - CARD_GAP_PX
        elif marked is not None and marked[1] < self._grid[1] / 2:
            x = area.right() - width - CARD_GAP_PX
        else:
            x = area.left() + CARD_GAP_PX
        y = max(area.bottom() - height - CARD_GAP_PX, area.top() + CARD_GAP_PX)
        self.card.move(max(x, 0), max(min(y, window.height() - height - CARD_GAP_PX), 0))

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Qt's hook."""
        super().resizeEvent(event)
        wide = self.width() > 1.9 * (self.height() - 80)
        self._panes.setDirection(QBoxLayout.Direction.LeftToRight if wide else QBoxLayout.Direction.TopToBottom)
        if self.card.isVisible():
            self._place_card()
