"""Starting a stage by name: scenes, places, autoencoder, readout, denoiser, and on the model that these make decoder,
detail, flights, mirror, halving and kinds. What they made is put together by :mod:`engine.training.export`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.training.config import (
    AutoencoderTraining,
    DecoderTraining,
    DenoiserTraining,
    DetailTraining,
    FlightTraining,
    HalvingTraining,
    KindTraining,
    MirrorTraining,
    PlacesConfig,
    ReadoutTraining,
    SceneConfig,
    configure,
)
from engine.training.loop import Trainer
from engine.training.places import render_places
from engine.training.scenes import render_scenes

STAGES = (
    "scenes",
    "places",
    "autoencoder",
    "readout",
    "denoiser",
    "decoder",
    "detail",
    "flights",
    "mirror",
    "halving",
    "kinds",
    "export",
)


def train(stage: str, config_file: Path | None = None, overrides: dict[str, Any] | None = None) -> dict[str, float]:
    """Run one stage to its end; a killed run goes on where its last checkpoint stands.

    Args:
        stage: one of ``STAGES``.
        config_file: TOML with the stage's settings; unnamed ones keep their defaults.
        overrides: dotted names to values, applied last.

    Returns:
        The figures of the last evaluation; how many, for ``scenes`` and ``places``.

    Raises:
        InputError: unknown stage or setting, or an earlier stage is missing.
    """
    if stage == "scenes":
        scenes = configure(SceneConfig(), config_file, overrides)
        return _render(stage, render_scenes(scenes), scenes.scenes + scenes.evaluation_scenes)
    if stage == "places":
        places = configure(PlacesConfig(), config_file, overrides)
        return _render(stage, render_places(places), places.places)
    if stage == "autoencoder":
        from engine.training.autoencoder import AutoencoderStage

        autoencoder = configure(AutoencoderTraining(), config_file, overrides)
        return Trainer(AutoencoderStage(autoencoder), autoencoder.loop, autoencoder).run()
    if stage == "readout":
        from engine.training.readout import ReadoutStage

        readout = configure(ReadoutTraining(), config_file, overrides)
        return Trainer(ReadoutStage(readout), readout.loop, readout).run()
    if stage == "denoiser":
        from engine.training.denoiser import DenoiserStage

        denoiser = configure(DenoiserTraining(), config_file, overrides)
        return Trainer(DenoiserStage(denoiser), denoiser.loop, denoiser).run()
    if stage == "decoder":
        from engine.training.decoder import DecoderStage

        decoder = configure(DecoderTraining(), config_file, overrides)
        return Trainer(DecoderStage(decoder), decoder.loop, decoder).run()
    if stage == "detail":
        from engine.training.detail import DetailStage

        detail = configure(DetailTraining(), config_file, overrides)
        return Trainer(DetailStage(detail), detail.loop, detail).run()
    if stage == "flights":
        from engine.training.flights import FlightStage

        flights = configure(FlightTraining(), config_file, overrides)
        flying = FlightStage(flights)
        try:
            return Trainer(flying, flights.loop, flights).run()
        finally:
            flying.close()
    if stage == "mirror":
        from engine.training.mirror import MirrorStage

        mirror = configure(MirrorTraining(), config_file, overrides)
        return Trainer(MirrorStage(mirror), mirror.loop, mirror).run()
    if stage == "halving":
        from engine.training.halving import HalvingStage

        halving = configure(HalvingTraining(), config_file, overrides)
        return Trainer(HalvingStage(halving), halving.loop, halving).run()
    if stage == "kinds":
        from engine.training.kinds import KindStage

        kinds = configure(KindTraining(), config_file, overrides)
        return Trainer(KindStage(kinds), kinds.loop, kinds).run()
    raise InputError(f"Training knows no stage {stage!r}; the stages are {', '.join(STAGES[:-1])}.")


def _render(what: str, jobs: Iterator[tuple[int, int]], total: int) -> dict[str, float]:
    from rich.progress import track

    for _ in track(jobs, total=total, description=f"rendering {what}"):
        pass
    return {what: float(total)}
