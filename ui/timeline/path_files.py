"""Camera paths from and to files, in every format the engine knows."""

from __future__ import annotations

import logging
from pathlib import Path

from PyQt6.QtCore import QObject, Qt, pyqtSignal
from PyQt6.QtWidgets import QFileDialog, QWidget

from engine.errors import MirageError
from engine.formats import FORMATS, detect_format, mirage, read_path, write_path
from engine.messages import Notice
from ui.path_model import PathModel

log = logging.getLogger(__name__)


class PathFiles(QObject):
    """Import and export of a :class:`PathModel`; errors become notices.

    Signals:
        noticed(Notice): what was assumed, lost or wrong.
    """

    noticed = pyqtSignal(object)

    def __init__(self, model: PathModel, parent: QWidget) -> None:
        super().__init__(parent)
        self.model = model
        self._parent = parent

    def ask_import(self) -> QFileDialog:
        """Choose a file to fly."""
        dialog = QFileDialog(self._parent, "Import a camera path")
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setNameFilters(["Camera paths (*.json *.txt *.npz *.npy)", "All files (*)"])
        dialog.fileSelected.connect(lambda name: self.load(Path(name)))
        return self._open(dialog)

    def ask_export(self) -> QFileDialog:
        """Choose where and in which format to save the path."""
        dialog = QFileDialog(self._parent, "Save the camera path")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        filters = {f"{entry.about} ({_pattern(entry.default_name)})": name for name, entry in FORMATS.items()}
        dialog.setNameFilters(list(filters))
        dialog.selectFile("flight.json")
        dialog.filterSelected.connect(lambda text: dialog.selectFile(FORMATS[filters[text]].default_name))
        dialog.fileSelected.connect(lambda name: self.save(Path(name), filters[dialog.selectedNameFilter()]))
        return self._open(dialog)

    def _open(self, dialog: QFileDialog) -> QFileDialog:
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setOption(QFileDialog.Option.DontUseNativeDialog, False)
        dialog.open()
        return dialog

    def load(self, path: Path) -> bool:
        """Take a path from a file: Mirage's own keyframes stay editable, everything else is flown exactly as it is."""
        camera = self.model.bridge.camera
        fov_deg = camera.fov_deg if camera is not None else 50.0
        try:
            cameras = read_path(path, size=self.model.size, fov_deg=fov_deg)
            if detect_format(path).name == mirage.FORMAT.name:
                try:
                    self.model.set_spec(mirage.read_spec(path), cameras.fps)
                    return True
                except MirageError:
                    log.info("%s holds cameras and no keyframes; they are flown as they are", path)
            self.model.set_fixed(cameras, path.name)
        except MirageError as error:
            self.noticed.emit(Notice("warning", "That path cannot be read", str(error)))
            return False
        if cameras.notes:
            self.noticed.emit(Notice("info", path.name, " ".join(cameras.notes)))
        return True

    def save(self, path: Path, format_name: str | None = None) -> bool:
        """Write the path; in Mirage's own format keyframes are kept as such, and the evaluated cameras beside them."""
        cameras = self.model.cameras()
        if cameras is None:
            return False
        try:
            own = format_name == mirage.FORMAT.name or (format_name is None and path.suffix.lower() == ".json")
            if own:
                notes = mirage.write(cameras, path, self.model.spec)
            else:
                notes = write_path(cameras, path, format_name)
        except MirageError as error:
            self.noticed.emit(Notice("warning", "The path was not saved", str(error)))
            return False
        text = f"Saved {len(cameras)} cameras to {path.name}."
        self.noticed.emit(Notice("info", "Camera path saved", " ".join([text, *notes])))
        return True


def _pattern(default_name: str) -> str:
    suffix = Path(default_name).suffix
    return f"*{suffix}" if suffix else "*"
