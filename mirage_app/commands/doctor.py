"""``mirage doctor``: what this machine has, and what is missing."""

from __future__ import annotations

from dataclasses import dataclass

from mirage_app.commands.base import Command


@dataclass(frozen=True, kw_only=True)
class Doctor(Command):
    """Say what this machine has and what is missing; exit code 1 when something needed is."""

    json: bool = False
    """Print JSON instead of a table."""

    def run(self) -> int:
        from mirage_app.doctor.report import examine

        return examine(as_json=self.json)
