"""A complete tiny model in a folder, for tests of the commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.models.embedded import EmbeddedModel


@pytest.fixture(scope="session")
def tiny_model_dir(tiny_model: EmbeddedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a complete tiny model."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_model.save(folder)
    return folder
