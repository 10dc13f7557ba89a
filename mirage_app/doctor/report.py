"""Telling what was found, as a table or as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict

from rich import box
from rich.console import Console
from rich.table import Table

from mirage_app.doctor import graphics, machine, media
from mirage_app.doctor.finding import Finding, State

_MARKS = {State.OK: "[green]✓[/]", State.LIMITED: "[yellow]![/]", State.MISSING: "[red]✗[/]"}
_LOOKS: tuple[Callable[[], Finding], ...] = (
    machine.python,
    machine.packages,
    machine.torch_device,
    machine.memory,
    machine.disk,
    graphics.display,
    graphics.qt_libraries,
    graphics.opengl,
    media.codecs,
)


def look() -> list[Finding]:
    """Every finding. A look that fails unexpectedly is a finding itself."""
    findings = []
    for step in _LOOKS:
        try:
            findings.append(step())
        except Exception as error:
            findings.append(_failed(step.__name__, error))
    try:
        findings += media.model()
    except Exception as error:
        findings.append(_failed("model", error))
    findings.append(machine.folders())
    return findings


def _failed(name: str, error: Exception) -> Finding:
    topic = name.replace("_", " ").capitalize()
    return Finding(topic, State.MISSING, f"could not be looked at: {type(error).__name__}: {error}")


def examine(*, as_json: bool) -> int:
    """Print the report; 1 when something needed is missing, else 0."""
    findings = look()
    missing = [finding.topic for finding in findings if finding.state is State.MISSING]
    console = Console(soft_wrap=as_json)
    if as_json:
        rows = [{**asdict(finding), "state": finding.state.value} for finding in findings]
        console.out(json.dumps({"ok": not missing, "findings": rows}, indent=2), highlight=False)
        return int(bool(missing))
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False, padding=(0, 1))
    table.add_column(width=1)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        text = finding.found.replace("[", r"\[")
        if finding.advice:
            text += f"\n[dim]{finding.advice.replace('[', chr(92) + '[')}[/]"
        table.add_row(_MARKS[finding.state], finding.topic, text)
    console.print(table)
    if missing:
        console.print(f"[red]Missing: {', '.join(missing)}.[/]")
    else:
        console.print("[green]Everything that Mirage needs is here.[/]")
    return int(bool(missing))
