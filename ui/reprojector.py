"""Draws a ``FrameMesh`` from another camera with VisPy's gloo. Needs a current OpenGL context; knows nothing of Qt."""

from __future__ import annotations

from typing import Any

import numpy as np
from vispy import gloo
from vispy.gloo import gl
from vispy.gloo.context import GLContext, forget_canvas, set_current_canvas

from engine.camera import Camera
from ui import theme
from ui.reprojection import FrameMesh, normalised_intrinsics, relative_pose

_NEAR_M = 0.05
_SOFTWARE_RENDERERS = ("llvmpipe", "softpipe", "swiftshader", "software", "gdi generic")
_SOFTWARE_PIXELS = 300_000
_OVER = ("src_alpha", "one_minus_src_alpha", "one", "one_minus_src_alpha")
"""Colours mix, the view itself stays opaque: else what lies behind its window would shine through."""

_MESH_VERTEX = """
attribute vec2 a_uv;
attribute float a_q;
attribute float a_gap;
attribute float a_share;
uniform mat3 u_rotation;
uniform vec3 u_translation;
uniform vec4 u_source;   // fx, fy, cx, cy of the frame, in units of its size
uniform vec4 u_target;
uniform vec2 u_scale;    // share of the viewport that the picture takes
uniform float u_focal_px;
varying vec2 v_uv;
varying float v_share;
varying float v_cut;
void main() {
    vec3 ray = vec3((a_uv - u_source.zw) / u_source.xy, 1.0);
    vec3 p = u_rotation * ray + a_q * u_translation;
    float opened_px = a_gap * length(u_translation) * u_focal_px;
    v_cut = smoothstep(0.4, 1.6, opened_px);
    v_share = a_share;
    v_uv = a_uv;
    gl_Position = vec4(2.0 * (u_target.x * p.x + (u_target.z - 0.5) * p.z) * u_scale.x,
                       -2.0 * (u_target.y * p.y + (u_target.w - 0.5) * p.z) * u_scale.y,
                       (p.z - 2.0 * NEAR_M * a_q) * 0.9999, p.z);
}
""".replace("NEAR_M", str(_NEAR_M))

_MESH_FRAGMENT = """
uniform sampler2D u_picture;
uniform float u_feather;
varying vec2 v_uv;
varying float v_share;
varying float v_cut;
void main() {
    vec2 inside = min(v_uv, 1.0 - v_uv);
    float border = mix(1.0, smoothstep(0.0, 0.02, min(inside.x, inside.y)), u_feather);
    float alpha = mix(1.0, smoothstep(0.38, 0.62, v_share), v_cut) * border;
    if (alpha < 0.01) discard;
    gl_FragColor = vec4(texture2D(u_picture, v_uv).rgb, alpha);
}
"""

_QUAD_VERTEX = """
attribute vec2 a_corner;
uniform vec4 u_window;   // part of the picture that fills the quad: offset, extent
varying vec2 v_uv;
void main() { v_uv = u_window.xy + u_window.zw * (a_corner * 0.5 + 0.5); gl_Position = vec4(a_corner, 0.0, 1.0); }
"""

_COPY_FRAGMENT = """
uniform sampler2D u_picture;
uniform float u_share;
varying vec2 v_uv;
void main() { gl_FragColor = vec4(texture2D(u_picture, v_uv).rgb, u_share); }
"""

# Catmull-Rom in five bilinear taps: the frame has fewer pixels than the view, and bilinear alone looks like plasticine.
_SHARP_FRAGMENT = """
uniform sampler2D u_picture;
uniform vec2 u_size;
varying vec2 v_uv;
void main() {
    vec2 at = v_uv * u_size - 0.5;
    vec2 base = floor(at);
    vec2 f = at - base;
    vec2 w0 = f * (-0.5 + f * (1.0 - 0.5 * f));
    vec2 w1 = 1.0 + f * f * (-2.5 + 1.5 * f);
    vec2 w2 = f * (0.5 + f * (2.0 - 1.5 * f));
    vec2 w3 = f * f * (-0.5 + 0.5 * f);
    vec2 w12 = w1 + w2;
    vec2 t0 = (base - 0.5) / u_size;
    vec2 t3 = (base + 2.5) / u_size;
    vec2 t12 = (base + 0.5 + w2 / w12) / u_size;
    vec3 sum = texture2D(u_picture, t12).rgb * w12.x * w12.y;
    sum += texture2D(u_picture, vec2(t0.x, t12.y)).rgb * w0.x * w12.y;
    sum += texture2D(u_picture, vec2(t3.x, t12.y)).rgb * w3.x * w12.y;
    sum += texture2D(u_picture, vec2(t12.x, t0.y)).rgb * w12.x * w0.y;
    sum += texture2D(u_picture, vec2(t12.x, t3.y)).rgb * w12.x * w3.y;
    float weight = w12.x * w12.y + w0.x * w12.y + w3.x * w12.y + w12.x * w0.y + w12.x * w3.y;
    gl_FragColor = vec4(clamp(sum / weight, 0.0, 1.0), 1.0);
}
"""

# What lies outside every known pixel: the frame's own blur continued over its border and fading into the ground.
_BACKDROP_VERTEX = """
attribute vec2 a_corner;
uniform mat3 u_back;     // target to source rotation
uniform vec4 u_target;
uniform vec2 u_scale;
varying vec3 v_ray;
varying vec2 v_place;
void main() {
    v_place = a_corner / u_scale;
    vec2 uv = vec2(a_corner.x, -a_corner.y) / u_scale * 0.5 + 0.5;
    v_ray = u_back * vec3((uv - u_target.zw) / u_target.xy, 1.0);
    gl_Position = vec4(a_corner, 0.0, 1.0);
}
"""

_BACKDROP_FRAGMENT = """
uniform sampler2D u_soft;
uniform vec4 u_source;
uniform vec3 u_ground;
varying vec3 v_ray;
varying vec2 v_place;    // beyond 1: beside the picture
void main() {
    vec2 at = v_ray.xy / max(v_ray.z, 0.15) * u_source.xy + u_source.zw;
    vec2 beyond = max(abs(at - 0.5) - 0.5, 0.0);
    float far = beyond.x + beyond.y;
    vec3 colour = texture2D(u_soft, clamp(at, 0.02, 0.98)).rgb;
    float beside = step(1.0, max(abs(v_place.x), abs(v_place.y)));
    gl_FragColor = vec4(mix(colour, u_ground, max(0.88 * far / (far + 0.5), 0.72 * beside)), 1.0);
}
"""


def is_software(renderer: str) -> bool:
    """Whether a ``GL_RENDERER`` string names a rasteriser that runs on the CPU."""
    return any(name in renderer.lower() for name in _SOFTWARE_RENDERERS)


def fit(view_width: int, view_height: int, aspect: float) -> tuple[float, float]:
    """Shares of the view's width and height that a picture of ``aspect`` takes when it is shown whole."""
    view_aspect = view_width / max(view_height, 1)
    return (1.0, view_aspect / aspect) if view_aspect < aspect else (aspect / view_aspect, 1.0)


def _feather(mesh: FrameMesh, camera: Camera) -> float:
    """How soft the frame's border is, [0, 1]: it grows with the parallax, so that a small movement changes little."""
    rotation, translation = relative_pose(mesh.camera, camera)
    angle = float(np.arccos(np.clip(0.5 * (np.trace(rotation) - 1.0), -1.0, 1.0)))
    shift_px = camera.K[0, 0] * (angle + float(np.linalg.norm(translation)) * mesh.inverse_depth_mean)
    return min(shift_px / 16.0, 1.0)


class _Canvas:
    """What gloo asks of a canvas: a context, and which framebuffer its screen is (a Qt widget's own, not 0)."""

    def __init__(self) -> None:
        self.context = GLContext()
        self.framebuffer = 0
        self._backend = self

    def _vispy_get_fb_bind_location(self) -> int:
        return self.framebuffer


class _Layer:
    """GL copies of one ``FrameMesh``."""

    def __init__(self) -> None:
        self.mesh: FrameMesh | None = None
        self.picture = gloo.Texture2D(np.zeros((2, 2, 3), np.uint8), interpolation="linear", wrapping="clamp_to_edge")
        self.far = gloo.Texture2D(np.zeros((2, 2, 3), np.uint8), interpolation="linear", wrapping="clamp_to_edge")
        self.soft = gloo.Texture2D(np.zeros((2, 2, 3), np.uint8), interpolation="linear", wrapping="clamp_to_edge")
        self.vertices: Any = None
        self.far_vertices: Any = None
        self.solid = gloo.IndexBuffer()
        self.edges = gloo.IndexBuffer()
        self.far_indices = gloo.IndexBuffer()

    def upload(self, mesh: FrameMesh) -> None:
        self.mesh = mesh
        for texture, data in ((self.picture, mesh.rgb), (self.far, mesh.far_rgb), (self.soft, mesh.soft_rgb)):
            if texture.shape != data.shape:
                texture.resize(data.shape)
            texture.set_data(data)
        if self.vertices is None or self.vertices.size != len(mesh.vertices):
            self.vertices = gloo.VertexBuffer(mesh.vertices)
            self.far_vertices = gloo.VertexBuffer(mesh.far_vertices)
        else:
            self.vertices.set_data(mesh.vertices)
            self.far_vertices.set_data(mesh.far_vertices)
        self.solid.set_data(mesh.solid)
        if len(mesh.edges):
            self.edges.set_data(mesh.edges)
        self.far_indices.set_data(mesh.far_indices)


class Reprojector:
    """Shows the newest frame from any camera: backdrop, far layer, surfaces, depth edges, in that order.

    Make it, and call every method, with the widget's context current.
    """

    def __init__(self) -> None:
        self._canvas = _Canvas()
        set_current_canvas(self._canvas)
        self.renderer = str(gl.glGetParameter(gl.GL_RENDERER))
        self.software = is_software(self.renderer)
        corners = np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]], np.float32)
        self._mesh_program = gloo.Program(_MESH_VERTEX, _MESH_FRAGMENT)
        self._backdrop = gloo.Program(_BACKDROP_VERTEX, _BACKDROP_FRAGMENT)
        self._copy = gloo.Program(_QUAD_VERTEX, _COPY_FRAGMENT)
        self._sharp = gloo.Program(_QUAD_VERTEX, _SHARP_FRAGMENT)
        for program in (self._backdrop, self._copy, self._sharp):
            program["a_corner"] = corners
        self._backdrop["u_ground"] = theme.rgba(theme.GROUND)[:3]
        self._layer, self._leaving = _Layer(), _Layer()
        self._buffer: Any = None
        self._buffer_colour: Any = None

    @property
    def mesh(self) -> FrameMesh | None:
        """The frame being shown."""
        return self._layer.mesh

    def set_frame(self, mesh: FrameMesh, *, fading: bool = False) -> None:
        """Upload a frame; where it is ``fading`` in, the one before stays at hand."""
        set_current_canvas(self._canvas)
        if fading:
            self._layer, self._leaving = self._leaving, self._layer
        self._layer.upload(mesh)

    def close(self) -> None:
        """Let gloo forget this context, which is about to go."""
        forget_canvas(self._canvas)

    def clear_frame(self) -> None:
        """Show nothing until the next frame."""
        self._layer.mesh = self._leaving.mesh = None

    def draw(
        self,
        camera: Camera | None,
        exact: bool,
        view_size: tuple[int, int],
        framebuffer: int,
        leaving: float = 0.0,
    ) -> None:
        """Draw into ``framebuffer``.

        Args:
            exact: the camera is the frame's own. view_size: (width, height) in device pixels.
            leaving: so much of the frame before the one that fades in is still to be seen, [0, 1].
        """
        self._canvas.framebuffer = framebuffer
        set_current_canvas(self._canvas)
        width, height = view_size
        if self._layer.mesh is None or camera is None:
            gloo.set_viewport(0, 0, width, height)
            gloo.clear(color=theme.rgba(theme.GROUND), depth=True)
        else:
            scale = fit(width, height, camera.width / camera.height)
            shrink = min(1.0, float(np.sqrt(_SOFTWARE_PIXELS / (width * height)))) if self.software else 1.0
            if exact or shrink > 0.98:
                self._draw_scene(self._layer, camera, exact, (width, height), scale)
            else:
                self._draw_scaled(self._layer, camera, (width, height), scale, shrink)
            if leaving > 0.0 and self._leaving.mesh is not None:
                self._draw_scaled(self._leaving, camera, (width, height), scale, shrink, leaving)
        self._canvas.context.flush_commands()

    def _draw_scaled(
        self,
        layer: _Layer,
        camera: Camera,
        size: tuple[int, int],
        scale: tuple[float, float],
        shrink: float,
        share: float = 1.0,
    ) -> None:
        """Draw at a lower resolution and stretch it: software rasterisers pay by the pixel, and the frame has fewer
        pixels anyway. A ``share`` below 1 leaves some of what is there.
        """
        inner = (max(2, round(size[0] * shrink)), max(2, round(size[1] * shrink)))
        shape = (inner[1], inner[0])
        if self._buffer is None:
            self._buffer_colour = gloo.Texture2D(
                (*shape, 3), format="rgb", interpolation="linear", wrapping="clamp_to_edge"
            )
            self._buffer = gloo.FrameBuffer(self._buffer_colour, gloo.RenderBuffer(shape))
        elif self._buffer_colour.shape[:2] != shape:
            self._buffer.resize(shape)
        with self._buffer:
            self._draw_scene(layer, camera, False, inner, scale)
        gloo.set_viewport(0, 0, *size)
        gloo.set_state(depth_test=False, blend=share < 1.0, blend_func=_OVER, cull_face=False)
        self._copy["u_share"] = share
        self._copy["u_picture"] = self._buffer_colour
        self._copy["u_window"] = (0.0, 0.0, 1.0, 1.0)
        self._copy.draw("triangle_strip")

    def _draw_scene(
        self,
        layer: _Layer,
        camera: Camera,
        exact: bool,
        size: tuple[int, int],
        scale: tuple[float, float],
    ) -> None:
        mesh = layer.mesh
        assert mesh is not None
        rotation, translation = relative_pose(mesh.camera, camera)
        source, target = normalised_intrinsics(mesh.camera), normalised_intrinsics(camera)
        gloo.set_viewport(0, 0, *size)
        gloo.clear(color=theme.rgba(theme.GROUND), depth=True)
        gloo.set_state(depth_test=False, blend=False, cull_face=False)
        back = self._backdrop
        back["u_soft"] = layer.soft
        back["u_back"] = rotation.astype(np.float32)  # gloo hands matrices over transposed: this is the inverse
        back["u_source"], back["u_target"], back["u_scale"] = source, target, scale
        back.draw("triangle_strip")
        if exact:
            self._draw_exact(layer, size, scale)
            return
        program = self._mesh_program
        program["u_rotation"] = rotation.T.astype(np.float32)
        program["u_translation"] = translation.astype(np.float32)
        program["u_source"], program["u_target"], program["u_scale"] = source, target, scale
        program["u_focal_px"] = float(camera.K[0, 0])
        width, height = round(size[0] * scale[0]), round(size[1] * scale[1])
        gloo.set_scissor((size[0] - width) // 2, (size[1] - height) // 2, width, height)
        gloo.set_state(depth_test=True, blend=True, blend_func=_OVER, scissor_test=True)
        gloo.set_depth_mask(True)
        program.bind(layer.far_vertices)
        program["u_picture"], program["u_feather"] = layer.far, _feather(mesh, camera)
        program.draw("triangles", layer.far_indices)
        gloo.clear(color=False, depth=True)
        program.bind(layer.vertices)
        program["u_picture"] = layer.picture
        program.draw("triangles", layer.solid)
        if len(mesh.edges):
            gloo.set_depth_mask(False)
            program.draw("triangles", layer.edges)
            gloo.set_depth_mask(True)
        gloo.set_state(scissor_test=False)

    def _draw_exact(self, layer: _Layer, size: tuple[int, int], scale: tuple[float, float]) -> None:
        """The generated frame itself, pixel for pixel where it was made, resampled smoothly."""
        width, height = round(size[0] * scale[0]), round(size[1] * scale[1])
        gloo.set_viewport((size[0] - width) // 2, (size[1] - height) // 2, width, height)
        self._sharp["u_picture"] = layer.picture
        self._sharp["u_size"] = (layer.picture.shape[1], layer.picture.shape[0])
        self._sharp["u_window"] = (0.0, 1.0, 1.0, -1.0)
        self._sharp.draw("triangle_strip")
