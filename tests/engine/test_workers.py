"""Processes that make examples for a trainer: what comes of them, what they learn of, how they end."""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine.errors import InputError
from engine.models.embedded import EmbeddedModel
from engine.training.config import FlightTraining, configure
from engine.training.flights import FlightStage
from engine.training.run import train
from engine.training.workers import TOLD_EVERY, Workers
from tests.engine.training_support import finishing


@dataclass(frozen=True)
class Number:
    """What the small maker makes."""

    weight: Tensor
    drawn: Tensor
    name: str


class Maker:
    """Makes what its network weighs; fails if asked to."""

    def __init__(self, name: str, fails: bool) -> None:
        self.name, self.fails = name, fails
        self.network: nn.Module = nn.Linear(1, 1, bias=False)

    def example(self, generator: torch.Generator) -> Number:
        if self.fails:
            raise ValueError("no numbers left")
        weight = self.network.get_parameter("weight").detach().clone()
        return Number(weight, torch.rand(1, generator=generator), self.name)


def weighing(value: float) -> nn.Linear:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, value)
    return network


def test_processes_make_examples_with_the_weights_that_the_trainer_has() -> None:
    network = weighing(3.0)
    workers: Workers[Number] = Workers(Maker, ("one", False), network, 2, seed=5, device=torch.device("cpu"))
    try:
        made = workers.ready(8)
        assert len(made) >= 8 and all(type(number.drawn) is Tensor and number.name == "one" for number in made)
        assert {float(number.weight) for number in made} == {3.0}
        assert len({float(number.drawn) for number in made}) == len(made), "no two processes make the same"
        nn.init.constant_(network.weight, 4.0)
        # How many were still waiting when the weights changed is chance: all that ever came is looked at.
        made += [number for _ in range(TOLD_EVERY) for number in workers.ready(0)]
        made += [number for _ in range(40) for number in workers.ready(16)]
        came = [float(number.weight) for number in made]
        assert came[-1] == 4.0 and set(came) == {3.0, 4.0}
    finally:
        workers.stop()
    assert not multiprocessing.active_children()


def test_what_fails_in_a_process_is_said() -> None:
    workers: Workers[Number] = Workers(Maker, ("one", True), weighing(0.0), 1, seed=0, device=torch.device("cpu"))
    try:
        with pytest.raises(InputError, match="has failed: ValueError: no numbers left"):
            workers.ready(1)
    finally:
        workers.stop()


def test_flights_learn_from_views_that_others_make(scenes: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    EmbeddedModel.tiny(image_size=(64, 112)).save(base)
    settings = finishing(scenes, base, tmp_path / "run")
    settings |= {"crops": 2, "crop_cells": 8, "pool": 4, "first_views": 3, "workers": 1, "finish.adversarial": 0.0}
    assert "flown_7m_db" in train("flights", None, settings)
    assert not multiprocessing.active_children()
    alone = FlightStage(configure(FlightTraining(), None, settings | {"workers": 0}))
    assert alone.pool.workers is None
    alone.close()
