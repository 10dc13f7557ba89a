"""Errors that a user can act on.

A ``MirageError`` carries one sentence saying what was expected, what came and what to do. The command line prints it
and exits
with code 2; the app shows it as a message and stays alive. Anything else that escapes is a bug and keeps its traceback.
"""

from __future__ import annotations


class MirageError(Exception):
    """Something the user can mend. ``str(error)`` is the whole sentence; ``title`` is a few words for a message box."""

    title = "Mirage cannot do that"


class InputError(MirageError):
    """A value, file or folder the user gave does not fit."""

    title = "That input does not fit"


class ModelError(MirageError):
    """Model files are missing, damaged or of another configuration."""

    title = "The model cannot be loaded"


class SessionError(MirageError):
    """A saved world is damaged, of another version or made with another model."""

    title = "The session cannot be opened"


class Cancelled(Exception):
    """The user asked for the running work to stop. Not an error: nothing was written."""
