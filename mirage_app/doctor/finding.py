"""One line of the doctor's report."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a finding stands."""

    OK = "ok"
    LIMITED = "limited"
    """Something optional is absent: Mirage works, with less."""
    MISSING = "missing"
    """Something needed is absent."""


@dataclass(frozen=True)
class Finding:
    """What was looked at, what was found, and what to do if it is not enough."""

    topic: str
    state: State
    found: str
    advice: str = ""
