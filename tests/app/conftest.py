"""What the command line's tests fly with: the real classes at a tiny width, a small picture with depth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.models.embedded import EmbeddedModel


@pytest.fixture(scope="session")
def tiny_model_dir(tiny_model: EmbeddedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a complete tiny model."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_model.save(folder)
    return folder


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A picture of 112x64 pixels and its depth in metres: a plane that recedes from 3 m to 20 m."""
    folder = tmp_path_factory.mktemp("picture")
    rng = np.random.default_rng(5)
    Image.fromarray(rng.integers(0, 255, (64, 112, 3), dtype=np.uint8)).save(folder / "place.png")
    depth_m = np.repeat(np.linspace(20.0, 3.0, 64, dtype=np.float32)[:, None], 112, axis=1)
    np.save(folder / "place_depth.npy", depth_m)
    return folder / "place.png", folder / "place_depth.npy"
