"""What is dear to make and asked for by more than one file."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.places import PlaceBank
from engine.training.config import PlacesConfig, SceneConfig
from engine.training.places import render_places
from engine.training.scenes import render_scenes
from tests.engine.places_support import SMALL, packed


@pytest.fixture(scope="session")
def places_config(tmp_path_factory: pytest.TempPathFactory) -> PlacesConfig:
    """Four places, rendered."""
    config = PlacesConfig(folder=str(tmp_path_factory.mktemp("places")), **SMALL)
    assert list(render_places(config))[-1] == (4, 4)
    return config


@pytest.fixture(scope="session")
def bank(places_config: PlacesConfig) -> PlaceBank:
    """The same, packed."""
    return packed(places_config)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One training and one evaluation scene at 64x112."""
    folder = tmp_path_factory.mktemp("scenes")
    config = SceneConfig(folder=str(folder), scenes=1, evaluation_scenes=1, views=4, height=64, width=112)
    assert list(render_scenes(config)) == [(1, 2), (2, 2)]
    return folder


@pytest.fixture(scope="session")
def fine_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same two scenes at twice the size."""
    folder = tmp_path_factory.mktemp("fine")
    config = SceneConfig(folder=str(folder), scenes=1, evaluation_scenes=1, views=4, height=128, width=224)
    list(render_scenes(config))
    return folder
