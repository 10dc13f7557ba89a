"""What an evaluation does: which scenes, which paths, which variants, how much of each."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass

from engine.errors import InputError
from engine.messages import MEMORY_VARIANTS, MemoryVariant
from engine.world_model import ModelSpec

PROTOCOL_VERSION = 6
"""Raised whenever a figure's meaning changes: results of another version are measured again, never mixed."""

FIRST_SEED = 1_000_100
"""Seeds from 1,000,000 on are kept for evaluation; the first hundred chose checkpoints while training, these did not.
"""


@dataclass(frozen=True)
class EvaluationSettings:
    """The protocol's sizes. Everything that changes a figure is in here and in the fingerprint.

    Attributes:
        variants: memories to compare. scenes: worlds, the biomes in turn. size: (height, width); ``None``: the model's.
        steps: denoising steps a frame; ``None``: the model's default.
        loop_frames: of the closed loop, there and back. loop_distance_m, loop_turn_deg: how far it goes and turns.
        drift_frames: of the long flight; 0 leaves it out. drift_scenes: scenes that fly it.
        drift_variants: memories that fly it (a cloud of pixels grows by megabytes a frame).
        drift_every: every how many frames it is measured.
        pose_frames: frames of a loop whose pose is recovered.
        ablation_scenes: scenes of the ablations; 0 leaves them out. ablation_steps: step counts that are compared.
        supersample: rays a pixel side of the true views.
    """

    variants: tuple[MemoryVariant, ...] = MEMORY_VARIANTS
    scenes: int = 16
    size: tuple[int, int] | None = None
    steps: int | None = None
    loop_frames: int = 65
    loop_distance_m: float = 10.0
    loop_turn_deg: float = 140.0
    drift_frames: int = 1000
    drift_scenes: int = 8
    drift_variants: tuple[MemoryVariant, ...] = ("latent", "latent-flat", "latent-nearest", "none")
    drift_every: int = 10
    pose_frames: int = 10
    ablation_scenes: int = 8
    ablation_steps: tuple[int, ...] = (1, 2, 4, 8)
    supersample: int = 2

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.variants) - set(MEMORY_VARIANTS)):
            raise InputError(
                f"There is no memory variant {unknown[0]!r}; the variants are {', '.join(MEMORY_VARIANTS)}."
            )
        if not self.variants:
            raise InputError(f"An evaluation needs at least one variant of {', '.join(MEMORY_VARIANTS)}.")
        if not 1 <= self.scenes <= 10_000:
            raise InputError(f"An evaluation needs between 1 and 10,000 scenes; {self.scenes} were asked for.")
        if self.loop_frames < 5 or self.loop_frames % 2 == 0:
            raise InputError(
                "A closed loop needs an odd number of at least 5 frames, the turning point once; it has "
                f"{self.loop_frames}."
            )

    @classmethod
    def quick(cls) -> EvaluationSettings:
        """Eight biomes once, short loops, one drift flight: minutes on two cores."""
        return cls(
            scenes=8,
            loop_frames=25,
            loop_distance_m=6.0,
            loop_turn_deg=75.0,
            drift_frames=60,
            drift_scenes=1,
            drift_every=4,
            pose_frames=6,
            ablation_scenes=2,
        )

    def fingerprint(self, model: ModelSpec, scene: str) -> str:
        """Identifies a measurement of one scene: settings that matter to it, model, what it multiplies in, and
        protocol, as 16 hex digits."""
        values = dataclasses.asdict(self)
        for name in ("variants", "scenes", "drift_scenes", "ablation_scenes", "drift_variants"):
            del values[name]  # how many others there are changes nothing about one scene
        identity = [PROTOCOL_VERSION, values, scene, model.name, model.checksum, model.arithmetic]
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
