"""Runs an evaluation: every scene, every variant, then the tables and plots."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.evaluation.ablations import ablate, frames_of_ablations
from engine.evaluation.protocol import Figures, Trial, frames_of, measure
from engine.evaluation.recorded import RecordedScene, find_clips
from engine.evaluation.scenes import ProceduralScene, Scene, scene_names
from engine.evaluation.settings import PROTOCOL_VERSION, EvaluationSettings
from engine.evaluation.sheets import Album
from engine.evaluation.store import ResultStore
from engine.explorer import check_size
from engine.report import machine
from engine.world_model import CancelToken, WorldModel

OnProgress = Callable[[int, int, str], None]
"""Called with frames done, frames in all, and what is being measured."""
REFERENCE, ABLATIONS = "reference", "ablations"
PICTURES = "pictures"


@dataclass(frozen=True)
class Evaluation:
    """What was measured.

    Attributes:
        measurements: part (variant, ``reference``, ``ablations``) -> scene -> figures.
        scenes: scene -> where it comes from. about: model, machine, settings, duration.
    """

    measurements: dict[str, dict[str, Figures]]
    scenes: dict[str, dict[str, Any]]
    about: dict[str, Any]


@dataclass(frozen=True)
class _Planned:
    name: str
    make: Callable[[], Scene]
    parts: tuple[str, ...]
    drift: bool


def _plan(settings: EvaluationSettings, size: tuple[int, int], recordings: Path | None) -> list[_Planned]:
    if recordings is not None:
        clips = find_clips(recordings)[: settings.scenes]
        return [
            _Planned(
                name,
                lambda name=name, text=text, frames=frames, path=path: RecordedScene(  # type: ignore[misc]
                    name, text, frames, path, settings, size
                ),
                (REFERENCE, *settings.variants),
                False,
            )
            for name, text, frames, path in clips
        ]
    return [
        _Planned(
            name,
            lambda index=index: ProceduralScene(index, settings, size),  # type: ignore[misc]
            (REFERENCE, *settings.variants, *((ABLATIONS,) if index < settings.ablation_scenes else ())),
            index < settings.drift_scenes,
        )
        for index, name in enumerate(scene_names(settings))
    ]


def _frames(settings: EvaluationSettings, part: str, drift: bool) -> int:
    if part == REFERENCE:
        return 1
    if part == ABLATIONS:
        return frames_of_ablations(settings, 3)
    return frames_of(settings, 3, drift=drift and part in settings.drift_variants)


def evaluate(
    model: WorldModel,
    settings: EvaluationSettings,
    out: Path,
    *,
    recordings: Path | None = None,
    on_progress: OnProgress | None = None,
    cancel: CancelToken | None = None,
) -> Evaluation:
    """Measure what is missing in ``out`` and gather everything.

    Args:
        recordings: a folder in RealEstate10K's format instead of procedural worlds.

    Raises:
        InputError: the size or the recordings do not fit, or ``out`` cannot be written.
        Cancelled: as asked; what was finished is kept and not measured again.
    """
    started = time.perf_counter()
    cancel = cancel or CancelToken()
    size = settings.size or model.spec.image_size
    check_size(size, model.spec.spatial_stride)
    store = ResultStore(out)
    album = Album(out / PICTURES)
    planned = _plan(settings, size, recordings)
    total = sum(_frames(settings, part, scene.drift) for scene in planned for part in scene.parts)
    done = 0
    measurements: dict[str, dict[str, Figures]] = {}
    identities: dict[str, dict[str, Any]] = {}
    for plan in planned:
        scene: Scene | None = None
        trial: Trial | None = None
        for part in plan.parts:
            drift = plan.drift and part in settings.drift_variants
            identity = f"{plan.name}/{part}/{'drift' if drift else ''}/{size}/{recordings.name if recordings else ''}"
            fingerprint = settings.fingerprint(model.spec, identity)
            figures = store.read(plan.name, part, fingerprint)
            base = done
            if figures is None:
                cancel.check()
                label = f"{plan.name}: {part}"

                def tick(label: str = label) -> None:
                    nonlocal done
                    done += 1
                    cancel.check()
                    if on_progress is not None:
                        on_progress(done, total, label)

                if on_progress is not None:
                    on_progress(done, total, label)
                if trial is None:
                    scene = plan.make()
                    trial = Trial(model, scene, settings, size, cancel=cancel, album=album)
                trial.tick = tick
                measured = _measure(trial, part, drift) | {"scene": trial.scene.identity}
                figures = store.write(plan.name, part, fingerprint, measured)
            done = base + _frames(settings, part, plan.drift)
            if on_progress is not None:
                on_progress(done, total, f"{plan.name}: {part}")
            identities.setdefault(plan.name, figures.get("scene", {}))
            measurements.setdefault(part, {})[plan.name] = figures
    about = {
        "protocol": PROTOCOL_VERSION,
        "model": model.spec.name,
        "model_checksum": model.spec.checksum,
        "settings": dataclasses.asdict(settings) | {"size": size, "steps": settings.steps or model.spec.default_steps},
        "recordings": str(recordings) if recordings else None,
        "machine": dataclasses.asdict(machine(str(model.device), model.spec.arithmetic)),
        "seconds_this_run": time.perf_counter() - started,
    }
    return Evaluation(measurements, identities, about)


def _measure(trial: Trial, part: str, drift: bool) -> Figures:
    if part == REFERENCE:
        figures = trial.reference()
        trial.tick()
        return figures
    if part == ABLATIONS:
        return ablate(trial)
    return measure(trial, part, drift=drift)  # type: ignore[arg-type]
