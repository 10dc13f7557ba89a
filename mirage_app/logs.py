"""The log: a rotating file in the user's log folder; with ``--verbose`` the terminal too."""

from __future__ import annotations

import logging
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path

from mirage_app.config import log_dir

LOG_BYTES = 1_000_000
LOG_FILES_KEPT = 4
_FORMAT = "%(asctime)s %(levelname)s %(threadName)s %(name)s: %(message)s"


def log_file() -> Path:
    """Path of the current log."""
    return log_dir() / "mirage.log"


def start_logging(*, verbose: bool) -> None:
    """Send every logger to the file, and to stderr when ``verbose``; an unwritable folder costs the log alone."""
    root = logging.getLogger()
    for handler in [h for h in root.handlers if getattr(h, "mirage", False)]:
        root.removeHandler(handler)
        handler.close()
    handlers: list[logging.Handler] = []
    try:
        log_file().parent.mkdir(parents=True, exist_ok=True)
        handlers.append(
            RotatingFileHandler(
                log_file(), maxBytes=LOG_BYTES, backupCount=LOG_FILES_KEPT, encoding="utf-8", delay=True
            )
        )
    except OSError:
        verbose_only = logging.NullHandler()
        handlers.append(verbose_only)
    if verbose:
        handlers.append(logging.StreamHandler(sys.stderr))
    root.setLevel(logging.INFO)
    for handler in handlers:
        handler.mirage = True  # type: ignore[attr-defined]
        handler.setFormatter(logging.Formatter(_FORMAT))
        root.addHandler(handler)
    for chatty in ("matplotlib", "PIL", "numba", "OpenGL", "libav"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
