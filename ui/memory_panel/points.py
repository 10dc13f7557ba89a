"""The lean point visual: one preallocated vertex buffer of 16 bytes a point, uploads of what is new, one draw call."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from vispy import gloo
from vispy.gloo.context import get_current_canvas

from ui.memory_panel.shaders import POINT_FRAGMENT, POINT_VERTEX

NO_LOW = np.full(3, -1e30, np.float32)
NO_HIGH = np.full(3, 1e30, np.float32)
FIRST_CAPACITY = 16_384


@dataclass(frozen=True)
class PointStyle:
    """How payloads become colours and footprints become sizes.

    Attributes:
        rgb: payloads are packed colours; otherwise numbers for the colour map between ``low`` and ``high``.
        footprint: colour by the footprint bits (0..63) instead of the payload. log: map log2(1 + payload).
        size: 1 draws tokens in their true size; ``smallest_px`` and ``largest_px`` bound it on screen.
        tint: (r, g, b, share) mixed over every point.
    """

    rgb: bool = True
    footprint: bool = False
    log: bool = False
    low: float = 0.0
    high: float = 1.0
    size: float = 1.0
    smallest_px: float = 2.0
    largest_px: float = 12.0
    tint: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


class PointVisual:
    """Draws packed points (see :mod:`ui.memory_panel.packing`). Needs a current GL canvas when drawn, not when filled.

    Attributes:
        count: points in use; the buffer may be longer.
        uploaded: points sent to the GPU since the visual was made, for tests and for the curious.
    """

    def __init__(self) -> None:
        self.count = 0
        self.uploaded = 0
        self._mirror = np.zeros((FIRST_CAPACITY, 4), np.float32)
        self._buffer = gloo.VertexBuffer(self._mirror.copy())
        self._program = gloo.Program(POINT_VERTEX, POINT_FRAGMENT)
        self._program["a_point"] = self._buffer
        self.set_clip_box(None)
        self.set_dome(None, 0.0)
        self.set_haze((0.0, 0.0, 0.0), 1e30)
        self.set_map(np.repeat(np.linspace(0, 255, 256).astype(np.uint8)[:, None], 3, axis=1))
        self.set_style(PointStyle())

    @property
    def capacity(self) -> int:
        """Points that fit before the buffer grows."""
        return len(self._mirror)

    @property
    def packed(self) -> np.ndarray:
        """(count, 4) float32 as uploaded; not to be written to."""
        return self._mirror[: self.count]

    def clear(self) -> None:
        """Forget every point; the buffer stays."""
        self.count = 0

    def append(self, packed: np.ndarray) -> int:
        """Add ``packed (n, 4)`` float32; returns the index of the first. Only these points travel, unless the buffer
        must grow.
        """
        first = self.count
        self._reserve(first + len(packed))
        self.count = first + len(packed)
        self.replace(first, packed)
        return first

    def replace(self, first: int, packed: np.ndarray) -> None:
        """Overwrite points from index ``first`` on with ``packed (n, 4)`` float32."""
        if len(packed) == 0:
            return
        self._mirror[first : first + len(packed)] = packed
        self._buffer.set_subdata(np.ascontiguousarray(packed, np.float32), offset=first, copy=True)
        self.uploaded += len(packed)

    def _reserve(self, count: int) -> None:
        if count <= self.capacity:
            return
        capacity = self.capacity
        while capacity < count:
            capacity *= 2
        grown = np.zeros((capacity, 4), np.float32)
        grown[: self.count] = self._mirror[: self.count]
        self._mirror = grown
        self._buffer.set_data(grown, copy=True)
        self.uploaded += self.count

    def set_style(self, style: PointStyle) -> None:
        """Colours and sizes from now on; costs a few uniforms, no upload."""
        program = self._program
        program["u_rgb"] = float(style.rgb)
        program["u_footprint"] = float(style.footprint)
        program["u_log"] = float(style.log)
        program["u_range"] = (style.low, style.high)
        program["u_size"] = style.size
        program["u_size_px"] = (style.smallest_px, style.largest_px)
        program["u_tint"] = style.tint

    def set_map(self, colors: np.ndarray) -> None:
        """Colour map ``colors (256, 3)`` uint8 for payloads that are numbers."""
        self._program["u_map"] = gloo.Texture2D(
            np.ascontiguousarray(colors[None]), interpolation="linear", wrapping="clamp_to_edge"
        )

    def set_clip_box(self, box: tuple[np.ndarray, np.ndarray] | None) -> None:
        """Show only what lies between two corners ``(3,)``, ``(3,)`` in world metres; ``None`` shows everything."""
        low, high = box if box is not None else (NO_LOW, NO_HIGH)
        self._program["u_box_low"] = np.asarray(low, np.float32)
        self._program["u_box_high"] = np.asarray(high, np.float32)

    def set_dome(self, center: np.ndarray | None, radius_m: float) -> None:
        """Treat positions as directions on a sphere around ``center (3,)``; ``None``: positions are positions."""
        self._program["u_dome"] = float(center is not None)
        self._program["u_dome_center"] = np.zeros(3, np.float32) if center is None else np.asarray(center, np.float32)
        self._program["u_dome_radius"] = float(radius_m)

    def set_haze(self, color: tuple[float, float, float], distance_m: float) -> None:
        """Let colours fade towards ``color`` over ``distance_m``, so that near and far tell apart."""
        self._program["u_haze"] = (*color, float(distance_m))

    def draw(self, clip_from_world: np.ndarray, focal_px: float) -> None:
        """One draw call; ``clip_from_world (4, 4)``, ``focal_px`` of the panel's camera."""
        if self.count == 0:
            return
        self._program["u_clip_from_world"] = clip_from_world.T.astype(np.float32)
        self._program["u_focal_px"] = float(focal_px)
        _draw_first(self._program, self.count)


def _draw_first(program: gloo.Program, count: int) -> None:
    """Draw the used part of a preallocated buffer; ``Program.draw`` knows only whole buffers."""
    canvas = get_current_canvas()
    if canvas is None:
        raise RuntimeError("Points can only be drawn while a GL canvas is current.")
    glir = canvas.context.glir
    glir.associate(program.glir)
    glir.command("DRAW", program.id, "points", (0, count), 1)
    canvas.context.flush_commands()
