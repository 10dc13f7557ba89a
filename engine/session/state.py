"""What a session says about its world besides memory and frames, as JSON and back."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

from engine.camera import Camera
from engine.errors import SessionError
from engine.messages import MEMORY_VARIANTS, MemoryVariant, SetQuality
from engine.session.fields import Fields, camera_to_json

if TYPE_CHECKING:
    from engine.places import Match

MAX_RECORDED = 1_000_000
MAX_COUNTRIES = 100_000
MAX_NOTES_BYTES = 4 << 20
WORLD_KINDS = ("world", "nothing", "image")


@dataclass(frozen=True, eq=False)
class SessionState:
    """Everything small.

    Attributes:
        kind, biome, seed, time, memory, size: as :class:`engine.messages.WorldInfo`; ``seed`` also seeds the steps.
        model, checksum: the model that the memory's latents belong to.
        camera: where the user stood. next_index: number of the next step.
        recorded: step indices of the recorded flight.
        notes: small JSON of the window (keyframes, names, layout), kept and handed back unread.
        world_seed: of the procedural world behind it, ``None`` where there is none.
        match: the model's stored place that new ground goes on from, ``None`` where there is none. matches: the same of
            every country of the memory, by its number.
    """

    kind: Literal["world", "nothing", "image"]
    biome: str
    seed: int
    time: str
    memory: MemoryVariant
    size: tuple[int, int]
    model: str
    checksum: str
    camera: Camera
    next_index: int
    first: Camera | None = None
    quality: SetQuality = field(default_factory=SetQuality)
    budget_mib: float | None = None
    recorded: tuple[int, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)
    world_seed: int | None = None
    match: Match | None = None
    matches: dict[int, Match | None] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "kind": self.kind,
            "biome": self.biome,
            "seed": self.seed,
            "time": self.time,
            "memory": self.memory,
            "size": list(self.size),
            "model": self.model,
            "checksum": self.checksum,
            "camera": camera_to_json(self.camera),
            "first": camera_to_json(self.first) if self.first is not None else None,
            "next_index": self.next_index,
            "quality": {
                "steps": 0 if self.quality.steps == "auto" else self.quality.steps,
                "frame_budget_ms": self.quality.frame_budget_ms,
                "refinements": self.quality.refinements,
            },
            "budget_mib": self.budget_mib,
            "recorded": list(self.recorded),
            "notes": self.notes,
            "world_seed": self.world_seed,
            "match": _match_to_json(self.match) if self.match is not None else None,
            "matches": {str(number): _match_to_json(match) for number, match in self.matches.items() if match},
        }


def state_from_json(values: Any) -> SessionState:
    """The inverse of :meth:`SessionState.to_json`.

    Raises:
        SessionError: a field is missing, of another kind or out of bounds; the sentence names it.
    """
    fields = Fields(values, "manifest.json: world")
    size = fields.items("size", 2)
    if len(size) != 2 or not all(isinstance(side, int) and 8 <= side <= 8192 and side % 8 == 0 for side in size):
        raise SessionError(
            f"The frame size {size} in the session must be two multiples of 8 up to 8192; open an earlier copy of it."
        )
    recorded = fields.items("recorded", MAX_RECORDED)
    if not all(isinstance(index, int) and not isinstance(index, bool) and 0 <= index < 2**40 for index in recorded):
        raise SessionError(
            "The recorded flight in the session must be a list of step numbers; open an earlier copy of it."
        )
    # Earlier sessions knew one country only.
    matches = fields.object("matches") if "matches" in fields.values else Fields({}, "")
    if len(matches.values) > MAX_COUNTRIES or not all(number.isdecimal() for number in matches.values):
        raise SessionError(
            f"The session's places must be at most {MAX_COUNTRIES:,}, by number; open an earlier copy of it."
        )
    quality = fields.object("quality")
    steps = quality.integer("steps", 0, 256)
    return SessionState(
        kind=cast(Literal["world", "nothing", "image"], fields.choice("kind", WORLD_KINDS)),
        biome=fields.text("biome", 80),
        seed=fields.integer("seed", -(2**62), 2**62),
        time=fields.text("time", 80),
        memory=cast(MemoryVariant, fields.choice("memory", MEMORY_VARIANTS)),
        size=(size[0], size[1]),
        model=fields.text("model", 200),
        checksum=fields.text("checksum", 200),
        camera=fields.camera("camera"),
        first=fields.camera("first") if fields.values.get("first") is not None else None,
        next_index=fields.integer("next_index", 0, 2**40),
        quality=SetQuality(
            steps="auto" if steps == 0 else steps,
            frame_budget_ms=quality.number("frame_budget_ms", 1.0, 1e6),
            refinements=quality.integer("refinements", 0, 1000),
        ),
        budget_mib=fields.number("budget_mib", 1e-3, 1e9) if fields.values.get("budget_mib") is not None else None,
        recorded=tuple(recorded),
        notes=dict(fields.object("notes").values),
        world_seed=fields.integer("world_seed", 0, 2**40 - 1) if fields.values.get("world_seed") is not None else None,
        match=_match_from_json(fields.object("match")) if fields.values.get("match") is not None else None,
        matches={int(number): _match_from_json(matches.object(number)) for number in matches.values},
    )


def _match_to_json(match: Match) -> dict[str, Any]:
    """What a search would not find again; its error is of no use later (and JSON knows no infinity)."""
    x, y, z = match.anchor
    at = {} if match.chosen_at is None else {"at": dict(zip("xyz", match.chosen_at, strict=True))}
    return (
        {"place": match.place, "turn_rad": match.turn_rad, "scale": match.scale, "x": x, "y": y, "z": z}
        | {"light": list(match.light), "past": list(match.past)}
        | ({"bays": list(match.bays)} if match.bays else {})
        | ({"rooms": [_match_to_json(room) for room in match.rooms]} if match.rooms else {})
        | at
    )


def _match_from_json(fields: Fields, *, room: bool = False) -> Match:
    """The inverse of :func:`_match_to_json`; a ``room`` knows of no others."""
    from engine.places import ALL_BAYS, LIGHT_SIZES, MOST_PAST, MOST_ROOMS, Match

    x, y, z = (fields.number(axis, -1e9, 1e9) for axis in "xyz")
    at = fields.object("at") if "at" in fields.values else None
    given = fields.items("light", max(LIGHT_SIZES)) if "light" in fields.values else []
    light = Fields({str(n): value for n, value in enumerate(given)}, f"{fields.place}.light")
    if len(given) not in LIGHT_SIZES:
        raise SessionError(
            f"The light of {fields.place} in the session must be one of {LIGHT_SIZES} numbers; it is {len(given)}."
        )
    hung = fields.items("bays", ALL_BAYS) if "bays" in fields.values else []
    bays = Fields({str(n): value for n, value in enumerate(hung)}, f"{fields.place}.bays")
    if len(hung) not in (0, ALL_BAYS):
        raise SessionError(f"The bays of {fields.place} in the session must be {ALL_BAYS} or none; it has {len(hung)}.")
    listed = fields.items("past", MOST_PAST) if "past" in fields.values else []
    past = Fields({str(n): value for n, value in enumerate(listed)}, f"{fields.place}.past")
    known = fields.items("rooms", 0 if room else MOST_ROOMS) if "rooms" in fields.values else []
    rooms = Fields({str(n): value for n, value in enumerate(known)}, f"{fields.place}.rooms")
    return Match(
        place=fields.integer("place", 0, 2**31),
        turn_rad=fields.number("turn_rad", -1e3, 1e3),
        error=math.inf,
        anchor=(x, y, z),
        scale=fields.number("scale", 1e-3, 1e3),
        light=tuple(light.number(name, -1e3, 1e3) for name in light.values),
        chosen_at=None if at is None else tuple(at.number(axis, -1e9, 1e9) for axis in "xyz"),  # type: ignore[arg-type]
        past=tuple(past.integer(name, 0, 2**31) for name in past.values),
        rooms=tuple(_match_from_json(rooms.object(name), room=True) for name in rooms.values),
        bays=tuple(bays.integer(name, -1, ALL_BAYS - 1) for name in bays.values),
    )
