"""Taking a film home."""

from __future__ import annotations

from ui.export_dialog.dialog import ExportDialog

__all__ = ["ExportDialog"]
