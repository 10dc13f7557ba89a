"""Worlds that outlive the process: one ``.mirage`` file, or a folder of the same layout that autosave grows step by
step.

Layout (a ``.mirage`` file is a zip of it, stored, not compressed)::

    manifest.json            what the world is, where we stand, which of the files below count
    manifest.previous.json   the manifest before that (folders only)
    memory-<n>/              the latent memory with its tree
    frames-<n>.safetensors   generated frames: JPEG bytes, inverse depth, coverage, and what is known of each step

Nothing in a session is trusted: every size, name, shape and number is checked before anything is opened. Torch is not
    needed here.
"""

from __future__ import annotations

from engine.session.records import FrameRecord, FrameStore
from engine.session.state import SessionState
from engine.session.store import FolderSession, OpenedSession, open_session, save_session

__all__ = [
    "FolderSession",
    "FrameRecord",
    "FrameStore",
    "OpenedSession",
    "SessionState",
    "open_session",
    "save_session",
]
