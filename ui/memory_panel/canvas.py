"""The GL canvas of the memory panel: draws cloud, dome, path, frustum, keyframes, selection and clip box; redraws only
when told.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from vispy import app, gloo

from engine.camera import Camera
from ui.memory_panel.lines import Backdrop, LineVisual, Rgba, box_segments, frustum_segments
from ui.memory_panel.points import PointStyle, PointVisual
from ui.memory_panel.view_camera import ViewCamera

SOFTWARE_RENDERERS = ("llvmpipe", "softpipe", "swrast", "software rasterizer")


class MemoryCanvas(app.Canvas):
    """What the panel shows, without any Qt policy: callers set content, then call :meth:`update`.

    Attributes:
        camera: the panel's own camera; change it, then call ``update``.
        cloud, sky, selection, frozen: point visuals; the last two lie over the cloud.
        draws: frames drawn so far.
        renderer: the GL renderer's name once drawn, "" before.
    """

    def __init__(self, colors: dict[str, Rgba]) -> None:
        super().__init__(app="pyqt6", show=False, keys=None, autoswap=True, config={"samples": 0, "depth_size": 24})
        self.colors = colors
        self.camera = ViewCamera()
        self.cloud = PointVisual()
        self.sky = PointVisual()
        self.selection = PointVisual()
        self.frozen = PointVisual()
        self.backdrop = Backdrop(colors["zenith"], colors["horizon"], colors["ground"], colors["grid"])
        self.path = LineVisual(2.0)
        self.planned = LineVisual(3.0)
        self.frustum = LineVisual(2.0)
        self.keyframes = LineVisual(1.5)
        self.box = LineVisual(1.5)
        self.show_sky = True
        self.draws = 0
        self.renderer = ""
        self.on_first_draw: Callable[[str], None] | None = None
        self.frozen.set_style(
            PointStyle(smallest_px=2.5, largest_px=16.0, size=1.1, tint=(*colors["frozen"][:3], 0.85))
        )
        self.selection.set_style(
            PointStyle(smallest_px=4.0, largest_px=16.0, size=1.3, tint=(*colors["accent"][:3], 1.0))
        )

    # ------------------------------------------------------------------------------------------------- matrices

    @property
    def viewport_px(self) -> tuple[int, int]:
        """(width, height) in device pixels."""
        width, height = self.physical_size
        return max(int(width), 1), max(int(height), 1)

    def clip_from_world(self) -> np.ndarray:
        """(4, 4) projection @ view for the current size."""
        width, height = self.viewport_px
        return self.camera.projection(width, height) @ self.camera.view()

    @property
    def focal_px(self) -> float:
        """Focal length of the panel's camera in device pixels."""
        return 0.5 * self.viewport_px[1] / float(np.tan(np.radians(self.camera.fov_deg) / 2))

    # -------------------------------------------------------------------------------------------------- content

    def set_path(self, positions: np.ndarray) -> None:
        """The flown path ``(n, 3)``, oldest first; older parts fade."""
        if len(positions) < 2:
            self.path.set_segments(np.zeros((0, 2, 3)), np.zeros((0, 4)))
            return
        segments = np.stack([positions[:-1], positions[1:]], axis=1)
        alpha = np.linspace(0.35, 1.0, len(segments) + 1)
        colors = np.tile(np.array(self.colors["path"]), (len(segments), 2, 1))
        colors[:, 0, 3], colors[:, 1, 3] = alpha[:-1], alpha[1:]
        self.path.set_segments(segments, colors)

    def set_planned(self, positions: np.ndarray, colors: np.ndarray) -> None:
        """A path about to be flown: ``positions (n, 3)`` and ``colors (n, 3)`` uint8 saying how much of it is
        remembered.
        """
        if len(positions) < 2:
            self.planned.set_segments(np.zeros((0, 2, 3)), np.zeros((0, 4)))
            return
        rgba = np.concatenate([colors / 255.0, np.ones((len(colors), 1))], axis=1)
        self.planned.set_segments(
            np.stack([positions[:-1], positions[1:]], axis=1), np.stack([rgba[:-1], rgba[1:]], axis=1)
        )

    def set_frustum(self, camera: Camera | None, depth_m: float = 3.0) -> None:
        """The explorer's current view."""
        segments = np.zeros((0, 2, 3)) if camera is None else frustum_segments(camera, depth_m)
        self.frustum.set_segments(segments, np.tile(np.array(self.colors["frustum"]), (len(segments), 1)))

    def set_keyframes(self, cameras: list[Camera], depth_m: float = 1.2, highlight: int = -1) -> None:
        """Small frusta at the timeline's keyframes; ``highlight`` is drawn in the accent colour."""
        parts, colors = [], []
        for index, camera in enumerate(cameras):
            segments = frustum_segments(camera, depth_m * (1.5 if index == highlight else 1.0))
            parts.append(segments)
            color = self.colors["accent" if index == highlight else "keyframe"]
            colors.append(np.tile(np.array(color), (len(segments), 1)))
        if parts:
            self.keyframes.set_segments(np.concatenate(parts), np.concatenate(colors))
        else:
            self.keyframes.set_segments(np.zeros((0, 2, 3)), np.zeros((0, 4)))

    def set_clip_box(
        self, box: tuple[np.ndarray, np.ndarray] | None, edges: tuple[np.ndarray, np.ndarray] | None = None
    ) -> None:
        """Hide all outside ``box`` and draw ``edges`` (the box itself may reach on for ever); ``None`` removes it."""
        for visual in (self.cloud, self.frozen, self.selection):
            visual.set_clip_box(box)
        segments = np.zeros((0, 2, 3)) if edges is None else box_segments(*edges)
        self.box.set_segments(segments, np.tile(np.array(self.colors["box"]), (len(segments), 1)))

    # -------------------------------------------------------------------------------------------------- drawing

    def on_resize(self, event: object) -> None:
        """VisPy's hook: keep the viewport at the widget's size."""
        self.context.set_viewport(0, 0, *self.viewport_px)

    def on_draw(self, event: object) -> None:
        """VisPy's hook: draw everything once."""
        if not self.renderer:
            self.renderer = str(gloo.gl.glGetParameter(gloo.gl.GL_RENDERER))
            if self.on_first_draw is not None:
                self.on_first_draw(self.renderer)
        clip, viewport = self.clip_from_world(), self.viewport_px
        ratio = float(self.pixel_scale)
        self.context.set_viewport(0, 0, *viewport)
        self.context.set_state(depth_test=False, blend=False, cull_face=False)
        self.context.set_depth_mask(True)
        self.context.clear(color=(*self.colors["ground"][:3], 1.0), depth=True)
        self.backdrop.draw(clip, self.camera.eye)
        if self.show_sky:
            self.sky.draw(clip, self.focal_px)  # behind everything, however large the cloud is
        self.context.set_state(depth_test=True, blend=False)
        self.cloud.set_haze(self.colors["horizon"][:3], 2.2 * self.camera.distance_m)
        self.cloud.draw(clip, self.focal_px)
        self.context.set_depth_func("lequal")
        self.frozen.draw(clip, self.focal_px)
        self.context.set_depth_func("less")
        self.context.set_state(depth_test=False)
        self.selection.draw(clip, self.focal_px)
        self.context.set_state(depth_test=True, blend=True, blend_func=("src_alpha", "one_minus_src_alpha"))
        self.context.set_depth_mask(False)
        for lines in (self.box, self.path, self.planned):
            lines.draw(clip, viewport, ratio)
        self.context.set_state(depth_test=False)
        for lines in (self.keyframes, self.frustum):
            lines.draw(clip, viewport, ratio)
        self.draws += 1

    @property
    def software(self) -> bool:
        """The renderer is a CPU; known after the first draw."""
        return any(name in self.renderer.lower() for name in SOFTWARE_RENDERERS)
