"""One JSON file a finished measurement, so that an interrupted evaluation goes on where it stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.atomic import atomic_write
from engine.errors import InputError
from engine.report import finite

MAX_BYTES = 64 << 20


class ResultStore:
    """Finished measurements in ``folder``; only those of the same fingerprint count.

    Raises:
        InputError: the folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "measurements"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"The folder {folder} cannot be made ({error.strerror}); choose another --out.") from error

    def path(self, scene: str, part: str) -> Path:
        """The file of a scene's ``part`` (a variant, ``reference`` or ``ablations``)."""
        return self.folder / f"{scene}.{part}.json"

    def read(self, scene: str, part: str, fingerprint: str) -> dict[str, Any] | None:
        """The figures, or ``None`` if they are missing, damaged or of other settings."""
        path = self.path(scene, part)
        try:
            if path.stat().st_size > MAX_BYTES:
                return None
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(content, dict) or content.get("fingerprint") != fingerprint:
            return None
        figures = content.get("figures")
        return figures if isinstance(figures, dict) else None

    def write(self, scene: str, part: str, fingerprint: str, figures: dict[str, Any]) -> dict[str, Any]:
        """Keep ``figures``; returns them as :meth:`read` will."""
        content = finite({"scene": scene, "part": part, "fingerprint": fingerprint, "figures": figures})
        with atomic_write(self.path(scene, part)) as temporary:
            temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        kept: dict[str, Any] = content["figures"]
        return kept
