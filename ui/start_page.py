"""Where Mirage begins: a gallery of worlds, a seed, a time of day, a picture of one's own, and what was open before."""

from __future__ import annotations

import math
from pathlib import Path

from PyQt6.QtCore import QEvent, QObject, QSize, Qt, pyqtSignal
from PyQt6.QtGui import QPixmap
from PyQt6.QtWidgets import (
    QButtonGroup,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from engine.messages import Notice, OpenImage, OpenWorld, ProgressInfo, WorkerState
from ui import icons, theme
from ui.bridge import EngineBridge
from ui.catalogue import GALLERY, SURPRISE, gallery_world
from ui.settings import SettingsStore
from ui.start_panel import StartPanel
from ui.thumbnails import Thumbnails
from ui.wording import sentence
from ui.world_card import CARD_ASPECT, WorldCard

_MIN_CARD = 218
_MAX_COLUMNS = 3


class StartPage(QWidget):
    """Chooses what to open.

    Signals:
        open_requested(command): an ``OpenWorld``, ``OpenImage`` or ``OpenSession``. noticed(Notice).
    """

    open_requested = pyqtSignal(object)
    noticed = pyqtSignal(object)

    def __init__(
        self, bridge: EngineBridge, store: SettingsStore, thumbnails: Thumbnails, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self._store = store
        self._thumbnails = thumbnails
        self.setAcceptDrops(True)
        self.setAccessibleName("Start page")
        self.cards = [WorldCard(world, self) for world in (*GALLERY, SURPRISE)]
        self._group = QButtonGroup(self)
        self._group.setExclusive(True)
        for card in self.cards:
            self._group.addButton(card)
            card.entered.connect(self.enter)
        self.panel = StartPanel(store, self)
        self._grid_host = QWidget(self)
        self._grid = QGridLayout(self._grid_host)
        self._grid.setContentsMargins(0, 0, 8, 0)
        self._grid.setSpacing(12)
        self._columns = 0
        self._status = QLabel(self)
        self._bar = QProgressBar(self)
        self._build()
        chosen = next((card for card in self.cards if card.world.biome == store.values.biome), self.cards[0])
        chosen.setChecked(True)
        self._group.buttonToggled.connect(lambda _button, on: self._choose() if on else None)
        self.panel.changed.connect(self._ask_pictures)
        self.panel.enter_requested.connect(self.enter)
        self.panel.open_requested.connect(self.open_requested)
        self.panel.noticed.connect(self.noticed)
        thumbnails.arrived.connect(self._show_picture)
        bridge.progress_changed.connect(self._show_progress)
        bridge.state_changed.connect(self._show_state)
        self._choose()
        self._ask_pictures()
        self._show_state(bridge.state)

    def _build(self) -> None:
        mark = QLabel(self)
        mark.setPixmap(icons.logo(52, self.devicePixelRatioF()))
        name = QLabel("Mirage", self)
        theme.set_role(name, "display")
        line = QLabel("Worlds imagined as you fly, and remembered when you turn around.", self)
        theme.set_role(line, "soft")
        head = QHBoxLayout()
        head.setSpacing(16)
        head.addWidget(mark)
        words = QVBoxLayout()
        words.setSpacing(0)
        words.addWidget(name)
        words.addWidget(line)
        head.addLayout(words, 1)
        scroll = QScrollArea(self)
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        inner = QWidget(self)
        column = QVBoxLayout(inner)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._grid_host)
        column.addStretch(1)
        scroll.setWidget(inner)
        viewport = scroll.viewport()
        assert viewport is not None
        self._viewport = viewport
        viewport.installEventFilter(self)
        self._bar.setTextVisible(False)
        self._bar.setFixedWidth(220)
        self._bar.setAccessibleName("Engine progress")
        theme.set_role(self._status, "faint")
        foot = QHBoxLayout()
        foot.setSpacing(14)
        foot.addWidget(self._bar)
        foot.addWidget(self._status, 1)
        left = QVBoxLayout()
        left.setSpacing(0)
        left.addLayout(head)
        left.addSpacing(24)
        left.addWidget(scroll, 1)
        left.addSpacing(12)
        left.addLayout(foot)
        page = QHBoxLayout(self)
        page.setContentsMargins(40, 30, 40, 24)
        page.setSpacing(32)
        page.addLayout(left, 1)
        page.addWidget(self.panel)
        self._reflow()

    def _reflow(self) -> None:
        """As many columns as fit; big screens get big pictures."""
        width, height = self._viewport.width() - self._grid.contentsMargins().right(), self._viewport.height()
        columns = max(1, min(_MAX_COLUMNS, width // _MIN_CARD))
        rows = -(-len(self.cards) // columns)
        gap = self._grid.spacing()
        natural = round((width - (columns - 1) * gap) / columns / CARD_ASPECT)
        fitting = (height - (rows - 1) * gap) // rows
        for card in self.cards:
            card.setFixedHeight(fitting if 0.7 * natural < fitting < natural else natural)
        if columns == self._columns:
            return
        self._columns = columns
        for card in self.cards:
            self._grid.removeWidget(card)
        for k, card in enumerate(self.cards):
            row, column = divmod(k, columns)
            rest = columns - column if card is self.cards[-1] else 1  # the dice take what is left of their row
            self._grid.addWidget(card, row, column, 1, rest)
        for column in range(_MAX_COLUMNS):
            self._grid.setColumnStretch(column, 1 if column < columns else 0)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        if event is not None and event.type() == QEvent.Type.Resize:
            self._reflow()
        return False

    def sizeHint(self) -> QSize:
        return QSize(1280, 760)

    @property
    def chosen(self) -> WorldCard:
        """The card that is checked."""
        return next(card for card in self.cards if card.isChecked())

    def command(self) -> OpenWorld:
        """What *enter* would open."""
        values = self._store.values
        return OpenWorld(
            biome=self.chosen.world.biome or self.panel.any_biome(),
            seed=self.panel.seed,
            time=self.panel.time,
            start="nothing" if self.panel.from_nothing else "view",
            memory=self.panel.memory,
            fov_deg=values.fov_deg,
        )

    def picture_of(self, command: object) -> QPixmap | None:
        """The picture of a world that is about to be opened, if there is one."""
        if isinstance(command, OpenWorld):
            return self._thumbnails.find(command.biome, command.seed, command.time)
        if isinstance(command, OpenImage):
            return QPixmap(str(command.image))
        return None

    def enter(self) -> None:
        """Open the chosen world."""
        command = self.command()
        values = self._store.values
        values.biome, values.seed, values.time = command.biome, command.seed, command.time
        values.start, values.memory = command.start, command.memory
        self._store.save()
        self.open_requested.emit(command)

    def activate(self, on: bool) -> None:
        """The page is on screen (or not): pictures are only rendered while it is."""
        if on:
            self.panel.refresh_recent()
        awake = self._bridge.state not in (None, WorkerState.WARMING)
        self._thumbnails.allow(on and awake)

    def _choose(self) -> None:
        world = self.chosen.world
        if not world.biome:
            self.panel.throw()
        self.panel.set_world(world)

    def _ask_pictures(self) -> None:
        """Every card shows the seed and the time that are set; the chosen one is asked for last and so comes first."""
        seed, time = self.panel.seed, self.panel.time
        for card in [*(c for c in reversed(self.cards) if not c.isChecked()), self.chosen]:
            if not card.world.biome:
                continue
            card.set_picture(self._thumbnails.ask(card.world.biome, seed, time))

    def _show_picture(self, biome: str, seed: int, time: str, picture: QPixmap) -> None:
        if (seed, time) != (self.panel.seed, self.panel.time):
            return
        for card in self.cards:
            if card.world.biome == biome:
                card.set_picture(picture)

    def _show_progress(self, progress: ProgressInfo | None) -> None:
        self._bar.setVisible(progress is not None)
        if progress is None:
            self._show_state(self._bridge.state)
            return
        known = progress.fraction >= 0 and math.isfinite(progress.fraction)
        self._bar.setRange(0, 1000 if known else 0)
        if known:
            self._bar.setValue(round(1000 * progress.fraction))
        self._status.setText(sentence(progress.text))

    def _show_state(self, state: WorkerState | None) -> None:
        if state in (None, WorkerState.WARMING):
            self._status.setText("Waking the model")
            self._bar.setRange(0, 0)
            self._bar.show()
            return
        self._bar.hide()
        quality = self._bridge.quality
        device = f" on {quality.device}" if quality is not None else ""
        self._status.setText("The engine has stopped" if state is WorkerState.STOPPED else f"Ready{device}")
        self.activate(self.isVisible())

    # ------------------------------------------------------------------------------------------ drag and drop

    def dragEnterEvent(self, event: object) -> None:
        self.panel.drag_entered(event)

    def dragLeaveEvent(self, event: object) -> None:
        self.panel.drag_left()

    def dropEvent(self, event: object) -> None:
        self.panel.dropped(event)


def title_of(biome: str) -> str:
    """What a biome is called on screen."""
    return gallery_world(biome).title


def missing(path: Path) -> Notice:
    """What to say when a recent session is gone."""
    return Notice(
        "warning",
        "That session is gone",
        f"{path.name} is no longer in {path.parent}; open it from where it was moved to.",
    )
