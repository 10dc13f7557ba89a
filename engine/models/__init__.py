"""World models. ``embedded`` ships with Mirage and runs live on a laptop CPU."""

from __future__ import annotations

from pathlib import Path


def shipped_model_dir() -> Path:
    """The folder of the model that ships with Mirage."""
    return Path(__file__).resolve().parents[2] / "assets" / "models" / "embedded"
