"""Small helpers for text on screen."""

from __future__ import annotations


def sentence(text: str) -> str:
    """The engine speaks in phrases; on screen they begin with a capital."""
    return text[:1].upper() + text[1:]


def thousands(count: int) -> str:
    """A count with thin spaces between its thousands."""
    return f"{count:,}".replace(",", "\u2009")
