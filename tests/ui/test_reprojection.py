"""The mesh of a frame, in plain numpy: where its vertices land, and what counts as an edge."""

from __future__ import annotations

import numpy as np
import pytest

from engine.camera import Camera, c2w_from_angles
from ui.reprojection import build_mesh, edge_gaps, relative_pose, same_view
from ui.reprojector import fit, is_software

SIZE = (64, 112)
GRID = (16, 28)


def camera(position: tuple[float, float, float] = (0, 0, 2), yaw_deg: float = 0.0, pitch_deg: float = 0.0) -> Camera:
    return Camera.from_fov(c2w_from_angles(np.array(position, float), yaw_deg, pitch_deg), 50.0, SIZE[1], SIZE[0])


def ground_inverse_depth(cam: Camera) -> np.ndarray:
    """(16, 28) float32 inverse depth of the plane z = 0, sky above the horizon."""
    rays = cam.resized(GRID[1], GRID[0]).rays()
    return np.maximum(-rays[..., 2] / cam.position[2], 0.0).astype(np.float32)


def picture() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 255, (*SIZE, 3), dtype=np.uint8)


def test_vertices_land_where_the_points_are_seen_from_another_camera() -> None:
    source, target = camera(pitch_deg=-10), camera((0.4, -0.3, 2.2), yaw_deg=5, pitch_deg=-12)
    mesh = build_mesh(source, picture(), ground_inverse_depth(source))
    rotation, translation = relative_pose(source, target)
    vertices = mesh.vertices[np.unique(mesh.solid)]
    below = vertices[vertices["a_q"] > 0.05]
    inner = below[(below["a_uv"] > 0.05).all(1) & (below["a_uv"] < 0.95).all(1)]
    assert len(inner) > 20
    pixels = np.concatenate([inner["a_uv"] * [SIZE[1], SIZE[0]], np.ones((len(inner), 1))], axis=1)
    rays = pixels @ np.linalg.inv(source.K).T
    drawn = rays @ rotation.T + inner["a_q"][:, None] * translation  # what the vertex shader computes
    world = (rays / inner["a_q"][:, None]) @ source.c2w[:3, :3].T + source.position
    np.testing.assert_allclose(world[:, 2], 0.0, atol=1e-4)
    seen = (world - target.position) @ target.c2w[:3, :3]
    np.testing.assert_allclose(drawn / drawn[:, 2:], seen / seen[:, 2:], atol=1e-5)


def test_every_part_of_the_picture_is_covered_exactly_once() -> None:
    q = ground_inverse_depth(camera(pitch_deg=-10))
    q[5:11, 9:15] = 0.6  # a box in front
    mesh = build_mesh(camera(pitch_deg=-10), picture(), q)
    uv = mesh.vertices["a_uv"].astype(float)

    def area(indices: np.ndarray) -> float:
        a, b, c = (uv[indices[k::3]] for k in range(3))
        cross = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
        return float(np.abs(cross).sum() / 2)

    assert area(mesh.solid) + area(mesh.edges) / 2 == pytest.approx(1.0, abs=1e-5)  # edge quads are there twice
    assert len(mesh.edges) > 0


def test_a_plane_has_no_edges_and_a_step_has() -> None:
    plane = np.linspace(0.0, 0.5, 28)[None, :].repeat(16, 0).astype(np.float32)
    assert (edge_gaps(plane) == 0).all()
    step = np.full((16, 28), 0.1, np.float32)
    step[:, 14:] = 0.4
    gaps = edge_gaps(step)
    assert (gaps[:, 13] > 0.25).all()
    assert (np.delete(gaps, 13, axis=1) == 0).all()


def test_both_sides_of_an_edge_keep_their_own_depth() -> None:
    q = np.full(GRID, 0.1, np.float32)
    q[:, 14:] = 0.5
    mesh = build_mesh(camera(), picture(), q)
    edge = mesh.vertices[np.unique(mesh.edges)]
    assert set(np.round(edge["a_q"], 5)) == {np.float32(0.1), np.float32(0.5)}
    assert (edge["a_gap"] > 0.3).all()
    halves = len(edge) // 2
    assert (edge["a_q"][:halves] < 0.2).all() and (edge["a_q"][halves:] > 0.4).all()  # far copies first
    np.testing.assert_array_equal(edge["a_share"][:halves] + edge["a_share"][halves:], 1.0)


def test_flat_ground_costs_few_triangles() -> None:
    flat = build_mesh(camera(), picture(), np.full(GRID, 0.1, np.float32))
    rough_q = 0.1 + 0.01 * np.random.default_rng(0).random(GRID).astype(np.float32)
    rough = build_mesh(camera(), picture(), rough_q)
    assert len(flat.solid) < 0.6 * len(rough.solid)


def test_depth_that_is_not_finite_counts_as_sky() -> None:
    q = np.full(GRID, np.nan, np.float32)
    q[0] = np.inf
    q[1] = -1.0
    mesh = build_mesh(camera(), picture(), q)
    assert (mesh.vertices["a_q"] == 0.0).all()
    assert np.isfinite(mesh.far_vertices["a_q"]).all()


def test_the_far_layer_lies_behind() -> None:
    q = np.full(GRID, 0.05, np.float32)
    q[6:10, 12:16] = 0.8
    rgb = np.zeros((*SIZE, 3), np.uint8)
    rgb[24:40, 48:64] = 255
    mesh = build_mesh(camera(), rgb, q)
    assert mesh.far_vertices["a_q"].max() < 0.1
    assert mesh.far_rgb[8, 14].max() < 40  # the bright box does not bleed into what is behind it


def test_odd_and_coarse_depth_maps_work() -> None:
    for shape in ((2, 2), (7, 11), (16, 29)):
        mesh = build_mesh(camera(), picture(), np.full(shape, 0.2, np.float32))
        assert mesh.solid.max() < len(mesh.vertices)
        assert mesh.far_indices.max() < len(mesh.far_vertices)


def test_same_view() -> None:
    here = camera()
    assert same_view(here, camera())
    assert not same_view(here, camera((0.0, 0.01, 2.0)))
    assert not same_view(here, camera(yaw_deg=0.1))
    assert not same_view(here, Camera.from_fov(here.c2w, 60.0, SIZE[1], SIZE[0]))
    assert same_view(here, here.resized(SIZE[1] * 2, SIZE[0] * 2))


def test_fit_shows_the_whole_picture() -> None:
    assert fit(1000, 1000, 2.0) == (1.0, 0.5)
    assert fit(2000, 500, 2.0) == (0.5, 1.0)


def test_software_renderers_are_known() -> None:
    assert is_software("llvmpipe (LLVM 15.0.6, 256 bits)")
    assert not is_software("NVIDIA GeForce RTX 4090/PCIe/SSE2")
