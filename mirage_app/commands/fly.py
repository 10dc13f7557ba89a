"""``mirage fly``: render a flight through a world to a film."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mirage_app.commands.base import Command
from mirage_app.commands.options import (
    DeviceName,
    Layout,
    MaybeFloat,
    MaybeInt,
    MaybePath,
    MaybeText,
    MemoryKind,
    Precision,
)


@dataclass(frozen=True, kw_only=True)
class Fly(Command):
    """Render a flight through an imagined world to a film, without a window."""

    world: MaybeText = None
    """The kind of world: meadow (the default), autumn, snow, desert, coast, ... (`mirage worlds` names them all)."""
    seed: int = 7
    """Which of its worlds, and which dream of it: the same seed, path and model give the same frames."""
    time: str = ""
    """Time of day; by default the seed chooses."""
    spawn: int = 0
    """Which of the world's starting places."""
    start: Literal["view", "nothing"] = "view"
    """Begin with the world's true first view, or with an empty memory so that the model imagines even that."""
    path: Annotated[str, tyro.conf.arg(metavar="PRESET|FILE")] = "loop"
    """A preset (loop, orbit, dolly, crane, spiral, look-around, figure-eight, straight), as in `orbit:radius_m=8`, or a
    camera-path file, as in `poses.txt` or `flight.json:anchor=start`."""
    frames: MaybeInt = None
    """Frames to generate; by default 120, or all of a path file."""
    fps: MaybeFloat = None
    """Frames a second of the film; by default 24, or the path file's own."""
    size: Annotated[str | None, tyro.conf.arg(metavar="HxW")] = None
    """Height and width of the generated frames, both divisible by 8; by default the model's own, 256x448."""
    plain: bool = False
    """Draw frames of the layout `generated` at the size at which they are generated, not at twice that."""
    places: bool = True
    """What is new goes on from the places that the model carries; with --no-places the denoiser invents it alone."""
    detail: bool = True
    """Frames get back the texture that averaging took; --no-detail leaves them without."""
    steps: MaybeInt = None
    """Denoising steps of a frame of which something is left to imagine; by default the model's own."""
    memory: MemoryKind = "latent"
    """Ours (latent), ours in one layer at one scale (latent-flat), the paper's readout or write policy (latent-nearest,
    append), what it replaces (rgb), or none."""
    budget_mib: MaybeFloat = None
    """Memory budget in MiB; by default unlimited."""
    layout: Layout = "generated"
    """The generated frame alone; beside it what the memory knew (decoded, and coverage); or the memory in 3D."""
    out: Path = Path("flythrough.mp4")
    """The film: .mp4 (H.264), .webm (VP9), .gif, or a folder of PNGs (a name without suffix)."""
    report: MaybePath = None
    """Also write what was measured to this JSON file."""
    image: MaybePath = None
    """Start from this picture instead of a generated world."""
    depth: MaybePath = None
    """Depth of --image: a 16-bit PNG in millimetres or a .npy in metres."""
    fov_deg: MaybeFloat = None
    """Vertical field of view in degrees; by default 60 for --image and 50 elsewhere."""
    session: MaybePath = None
    """Fly in this saved world, with its memory."""
    device: DeviceName = "auto"
    """Where the model runs."""
    precision: Precision = "auto"
    """Wide convolutions are multiplied in bytes where the processor is quick at that; `full` does without."""
    model: MaybePath = None
    """Folder of the model's weights; by default the one that Mirage ships."""

    def run(self) -> int:
        from mirage_app.flying import render_flight

        return render_flight(self)
