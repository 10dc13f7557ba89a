"""Where Mirage keeps its files on this machine. ``MIRAGE_HOME`` moves all of it into one folder."""

from __future__ import annotations

import os
from pathlib import Path

APP_NAME = "mirage"


def _home() -> Path | None:
    home = os.environ.get("MIRAGE_HOME")
    return Path(home).expanduser() if home else None


def log_dir() -> Path:
    """Folder of the rotating log."""
    import platformdirs

    home = _home()
    return home / "log" if home else Path(platformdirs.user_log_dir(APP_NAME, appauthor=False))


def cache_dir() -> Path:
    """Folder of what can be made again: thumbnails, compiled kernels."""
    import platformdirs

    home = _home()
    return home / "cache" if home else Path(platformdirs.user_cache_dir(APP_NAME, appauthor=False))


def data_dir() -> Path:
    """Folder of what the user made without naming a place: autosaves."""
    import platformdirs

    home = _home()
    return home / "data" if home else Path(platformdirs.user_data_dir(APP_NAME, appauthor=False))


def has_display() -> bool:
    """Whether a window could be shown here."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")) or os.name == "nt"


def settings_file() -> Path:
    """What the window remembers of its user."""
    import platformdirs

    home = _home()
    folder = home / "config" if home else Path(platformdirs.user_config_dir(APP_NAME, appauthor=False))
    return folder / "settings.json"


def autosave_file() -> Path:
    """Where the window keeps the open world safe while nobody has saved it."""
    return data_dir() / "autosave.mirage"
