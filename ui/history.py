"""What was flown in the open world: one summary a step, shared by the filmstrip, the memory panel and the provenance
card.
"""

from __future__ import annotations

import numpy as np
from PyQt6.QtCore import QObject, pyqtSignal

from engine.messages import StepSummary, Update
from ui.bridge import EngineBridge

MAX_STEPS = 4000
"""Above this the older half is thinned to every second step: thumbnails of 15 KiB must not grow with flying time."""


class StepHistory(QObject):
    """Summaries in order of arrival. Use :meth:`of`, so that every panel of a bridge shares one.

    Signals:
        grew(int): that many steps were added at the end. reset(): another world was opened; everything is gone.
            thinned(): old steps were dropped.
    """

    grew = pyqtSignal(int)
    reset = pyqtSignal()
    thinned = pyqtSignal()

    def __init__(self, bridge: EngineBridge) -> None:
        super().__init__(bridge)
        self.steps: list[StepSummary] = []
        self._by_index: dict[int, StepSummary] = {}
        self._by_node: dict[int, StepSummary] = {}
        self._epoch: int | None = None
        bridge.updated.connect(self._take)

    @classmethod
    def of(cls, bridge: EngineBridge) -> StepHistory:
        """The bridge's history, made at the first call."""
        found = bridge.findChild(cls)
        return found if found is not None else cls(bridge)

    def by_index(self, index: int) -> StepSummary | None:
        """The newest summary of a step."""
        return self._by_index.get(index)

    def by_node(self, node: int) -> StepSummary | None:
        """The newest summary of the step that ended at a tree node."""
        return self._by_node.get(node)

    def positions(self) -> np.ndarray:
        """(n, 3) flown path, world metres."""
        if not self.steps:
            return np.zeros((0, 3))
        return np.stack([step.camera.position for step in self.steps])

    def _take(self, update: Update) -> None:
        if update.world is not None and update.world.epoch != self._epoch:
            self._epoch = update.world.epoch
            self.steps.clear()
            self._by_index.clear()
            self._by_node.clear()
            self.reset.emit()
        if not update.steps:
            return
        added = 0
        for step in update.steps:
            if self.steps and self.steps[-1].index == step.index:  # refined, or looked at more closely
                self.steps[-1] = step
            else:
                self.steps.append(step)
                added += 1
            self._by_index[step.index] = step
            self._by_node[step.node] = step
        self.grew.emit(added)
        if len(self.steps) > MAX_STEPS:
            self._thin()

    def _thin(self) -> None:
        half = len(self.steps) // 2
        dropped = {id(step) for step in self.steps[:half:2]}
        self.steps = [step for step in self.steps if id(step) not in dropped]
        self._by_index = {step.index: step for step in self.steps}
        self._by_node = {step.node: step for step in self.steps}
        self.thinned.emit()
