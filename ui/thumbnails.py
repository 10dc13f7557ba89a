"""Asks for pictures of worlds and hands them out: from the cache at once, else rendered by a child process at low
priority.
"""

from __future__ import annotations

import logging
import os
import sys
from collections import deque
from pathlib import Path

from PyQt6.QtCore import QObject, QProcess, QProcessEnvironment, pyqtSignal
from PyQt6.QtGui import QPixmap

from engine.thumbnails import thumbnail_name

log = logging.getLogger(__name__)
_ROOT = Path(__file__).resolve().parent.parent

World = tuple[str, int, str]
"""biome, seed, time ("" for the seed's own)."""


class Thumbnails(QObject):
    """Pictures by world.

    Signals:
        arrived(str, int, str, QPixmap): a picture that was asked for.
    """

    arrived = pyqtSignal(str, int, str, object)

    def __init__(self, folder: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._folder = folder
        self._queue: deque[World] = deque()
        self._running: World | None = None
        self._process: QProcess | None = None
        self._allowed = False

    def find(self, biome: str, seed: int, time: str) -> QPixmap | None:
        """The picture, if it has been rendered before."""
        path = self._folder / thumbnail_name(biome, seed, time)
        if not path.exists():
            return None
        picture = QPixmap(str(path))
        if picture.isNull():
            path.unlink(missing_ok=True)
            return None
        return picture

    def ask(self, biome: str, seed: int, time: str) -> QPixmap | None:
        """The picture if it is there; otherwise it will arrive, the newest request first."""
        picture = self.find(biome, seed, time)
        if picture is not None:
            return picture
        world = (biome, seed, time)
        if world != self._running:
            if world in self._queue:
                self._queue.remove(world)
            self._queue.appendleft(world)
            self._next()
        return None

    def allow(self, on: bool) -> None:
        """Rendering takes a processor from the engine: allow it only while the gallery is on screen and the model is
        awake.
        """
        self._allowed = on
        if on:
            self._next()

    def stop(self) -> None:
        """End the child process."""
        self._queue.clear()
        self._allowed = False
        process, self._process, self._running = self._process, None, None
        if process is None:
            return
        process.readyReadStandardOutput.disconnect(self._read)
        process.finished.disconnect(self._ended)
        process.closeWriteChannel()
        if not process.waitForFinished(50):
            process.kill()
            process.waitForFinished(500)
        process.deleteLater()

    def _next(self) -> None:
        if not self._allowed or self._running is not None or not self._queue:
            return
        if self._process is None:
            self._process = self._start()
        self._running = self._queue.popleft()
        biome, seed, time = self._running
        self._process.write(f"{biome} {seed} {time or '-'}\n".encode())

    def _start(self) -> QProcess:
        process = QProcess(self)
        environment = QProcessEnvironment.systemEnvironment()
        paths = [str(_ROOT), environment.value("PYTHONPATH", "")]
        environment.insert("PYTHONPATH", os.pathsep.join(p for p in paths if p))
        environment.insert("OMP_NUM_THREADS", "1")
        process.setProcessEnvironment(environment)
        process.setProcessChannelMode(QProcess.ProcessChannelMode.ForwardedErrorChannel)
        process.readyReadStandardOutput.connect(self._read)
        process.finished.connect(self._ended)
        process.start(sys.executable, ["-m", "engine.thumbnails", str(self._folder)])
        return process

    def _read(self) -> None:
        process = self._process
        while process is not None and process.canReadLine():
            answer = bytes(process.readLine().data()).decode(errors="replace").strip()
            world, self._running = self._running, None
            if world is None:
                continue
            if answer.startswith("!"):
                log.warning("No picture of %s: %s", world, answer[2:])
            else:
                picture = QPixmap(str(self._folder / answer))
                if not picture.isNull():
                    self.arrived.emit(*world, picture)
            self._next()

    def _ended(self) -> None:
        if self._running is not None:
            log.warning("The thumbnail process ended early; %s stays without a picture.", self._running)
        self._process, self._running = None, None
        self._queue.clear()
