"""What is dear to make and asked for by more than one file."""

from __future__ import annotations

import pytest

from engine.places import PlaceBank
from engine.training.config import PlacesConfig
from engine.training.places import render_places
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
