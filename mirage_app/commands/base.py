"""What every command has: its options, and how it runs."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Command:
    """The options that all commands share."""

    verbose: bool = False
    """Also write what goes into the log to the terminal."""
    debug: bool = False
    """Show the traceback of an error instead of its sentence alone."""

    @abstractmethod
    def run(self) -> int:
        """Do the work and return the exit code. Imports anything heavy itself, so that parsing stays light."""
