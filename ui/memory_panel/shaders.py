"""GLSL of the memory panel (GLSL 1.20: what every desktop driver and llvmpipe accept)."""

from __future__ import annotations

POINT_VERTEX = """
attribute vec4 a_point;             // x, y, z, packed: 6 bits of log2 footprint, 18 bits of payload; < 0 is dead
uniform mat4 u_clip_from_world;
uniform vec3 u_box_low;
uniform vec3 u_box_high;
uniform vec2 u_range;               // payload range of the colour map
uniform float u_rgb;                // 1: the payload is a colour
uniform float u_footprint;          // 1: colour by the size bits
uniform float u_log;                // 1: log2(1 + payload)
uniform float u_focal_px;
uniform float u_size;               // 1: true size on the surface
uniform vec2 u_size_px;             // smallest and largest point
uniform float u_dome;               // 1: directions, drawn on a sphere
uniform vec3 u_dome_center;
uniform float u_dome_radius;
uniform vec4 u_tint;                // rgb, share
uniform vec4 u_haze;                // rgb of the distance, metres at which two thirds of a colour are left
uniform sampler2D u_map;
varying vec3 v_color;
varying float v_round;

void main() {
    float level = floor(a_point.w / 262144.0);
    float payload = a_point.w - level * 262144.0;
    float footprint_m = exp2(level * 0.25 - 8.0);
    vec3 world = mix(a_point.xyz, u_dome_center + a_point.xyz * u_dome_radius, u_dome);
    footprint_m = mix(footprint_m, footprint_m * u_dome_radius, u_dome);
    vec4 clip = u_clip_from_world * vec4(world, 1.0);
    bool outside = any(lessThan(world, u_box_low)) || any(greaterThan(world, u_box_high));
    if (a_point.w < 0.0 || outside) clip = vec4(0.0, 0.0, 2.0, 1.0);
    gl_Position = clip;
    float size = clamp(u_size * footprint_m * u_focal_px / max(clip.w, 1e-4), u_size_px.x, u_size_px.y);
    gl_PointSize = size;
    v_round = step(3.5, size);
    if (u_rgb > 0.5) {
        float red = floor(payload / 4096.0);
        float green = floor((payload - red * 4096.0) / 64.0);
        float blue = payload - red * 4096.0 - green * 64.0;
        v_color = vec3(red, green, blue) / 63.0;
    } else {
        float value = mix(payload, level, u_footprint);
        value = mix(value, log2(1.0 + value), u_log);
        float unit = clamp((value - u_range.x) / max(u_range.y - u_range.x, 1e-6), 0.0, 1.0);
        v_color = texture2D(u_map, vec2((unit * 255.0 + 0.5) / 256.0, 0.5)).rgb;
    }
    v_color = mix(v_color, u_tint.rgb, u_tint.a);
    v_color = mix(u_haze.rgb, v_color, max(exp(-0.4 * clip.w / u_haze.a), 0.25));
}
"""

POINT_FRAGMENT = """
varying vec3 v_color;
varying float v_round;

void main() {
    vec2 offset = gl_PointCoord - 0.5;
    if (v_round > 0.5 && dot(offset, offset) > 0.25) discard;
    gl_FragColor = vec4(v_color, 1.0);
}
"""

LINE_VERTEX = """
attribute vec3 a_from;
attribute vec3 a_to;
attribute vec2 a_corner;            // along the segment in {0, 1}, across it in {-1, 1}
attribute vec4 a_color;
uniform mat4 u_clip_from_world;
uniform vec2 u_half_px;              // half the viewport
uniform float u_width_px;
varying vec4 v_color;
varying float v_across;

void main() {
    vec4 from = u_clip_from_world * vec4(a_from, 1.0);
    vec4 to = u_clip_from_world * vec4(a_to, 1.0);
    float near = 0.01;
    if (from.w < near && to.w < near) {
        gl_Position = vec4(0.0, 0.0, 2.0, 1.0);
        v_color = vec4(0.0);
        v_across = 0.0;
        return;
    }
    if (from.w < near) from = mix(from, to, (near - from.w) / (to.w - from.w));
    if (to.w < near) to = mix(to, from, (near - to.w) / (from.w - to.w));
    vec2 a = from.xy / from.w * u_half_px;
    vec2 b = to.xy / to.w * u_half_px;
    vec2 along = b - a;
    float length_px = length(along);
    along = length_px > 1e-4 ? along / length_px : vec2(1.0, 0.0);
    vec4 clip = mix(from, to, a_corner.x);
    float half_px = 0.5 * u_width_px + 1.0;
    vec2 shift = vec2(-along.y, along.x) * a_corner.y * half_px + along * (a_corner.x * 2.0 - 1.0) * 0.5 * u_width_px;
    clip.xy += shift / u_half_px * clip.w;
    gl_Position = clip;
    v_color = a_color;
    v_across = a_corner.y * half_px;
}
"""

LINE_FRAGMENT = """
uniform float u_width_px;
varying vec4 v_color;
varying float v_across;

void main() {
    float alpha = clamp(0.5 * u_width_px + 0.5 - abs(v_across), 0.0, 1.0);
    gl_FragColor = vec4(v_color.rgb, v_color.a * alpha);
}
"""

BACKDROP_VERTEX = """
attribute vec2 a_corner;
uniform mat4 u_world_from_clip;
varying vec4 v_near;
varying vec4 v_far;

void main() {
    gl_Position = vec4(a_corner, 0.99999, 1.0);
    v_near = u_world_from_clip * vec4(a_corner, -1.0, 1.0);
    v_far = u_world_from_clip * vec4(a_corner, 1.0, 1.0);
}
"""

BACKDROP_FRAGMENT = """
#extension GL_OES_standard_derivatives : enable
uniform vec3 u_eye;
uniform vec3 u_zenith;
uniform vec3 u_horizon;
uniform vec3 u_ground;
uniform vec3 u_line;
uniform float u_grid;               // 0: no grid
uniform float u_grid_z;
uniform float u_cell_m;             // size of the small cells; every tenth line is bright
varying vec4 v_near;
varying vec4 v_far;

float lines(vec2 at, float cell, float width) {
    vec2 unit = at / cell;
    vec2 slope = max(fwidth(unit), vec2(1e-6));
    vec2 off = abs(fract(unit - 0.5) - 0.5) / slope;
    vec2 line = clamp(width + 0.5 - off, 0.0, 1.0) * clamp(1.2 - slope * 2.2, 0.0, 1.0);
    return max(line.x, line.y);
}

void main() {
    vec3 ray = normalize(v_far.xyz / v_far.w - v_near.xyz / v_near.w);
    float up = ray.z;
    vec3 color = mix(u_horizon, u_zenith, pow(clamp(up, 0.0, 1.0), 0.5));
    if (up < 0.0) color = mix(u_horizon, u_ground, pow(clamp(-up, 0.0, 1.0), 0.35));
    float distance_m = (u_grid_z - u_eye.z) / (abs(up) < 1e-5 ? 1e-5 : up);
    vec2 at = u_eye.xy + ray.xy * distance_m;
    float grid = 0.45 * lines(at, u_cell_m, 0.5) + 0.75 * lines(at, u_cell_m * 10.0, 0.7);
    float fade = exp(-abs(distance_m) / (u_cell_m * 90.0)) * clamp(abs(up) * 12.0, 0.0, 1.0);
    color = mix(color, u_line, clamp(distance_m > 0.0 ? grid * fade * u_grid : 0.0, 0.0, 1.0));
    gl_FragColor = vec4(color, 1.0);
}
"""
