"""What the memory panel does before GL: packing, thinning, uploads, picking, its camera. No display is needed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.camera import Camera
from engine.memory.snapshot import MemorySnapshot
from ui.memory_panel.cloud import CloudStore, thinned
from ui.memory_panel.packing import DEAD, PAYLOAD_MAX, pack_count, pack_points, pack_rgb, unpack_value
from ui.memory_panel.picking import nearest_point, points_in_rectangle, project
from ui.memory_panel.view_camera import ViewCamera


class Buffer:
    """A point buffer in plain memory that counts what it is sent."""

    def __init__(self) -> None:
        self.clear()
        self.sent = 0

    @property
    def packed(self) -> np.ndarray:
        return self._packed

    def clear(self) -> None:
        self._packed = np.zeros((0, 4), np.float32)

    def append(self, packed: np.ndarray) -> int:
        first = len(self._packed)
        self._packed = np.concatenate([self._packed, packed])
        self.sent += len(packed)
        return first

    def replace(self, first: int, packed: np.ndarray) -> None:
        self._packed[first : first + len(packed)] = packed
        self.sent += len(packed)


def snapshot(count: int, version: int = 1, seed: int = 0, sky_share: float = 0.2) -> MemorySnapshot:
    """The first ``count`` tokens of one endless random memory."""
    rng = np.random.default_rng(seed)
    positions = rng.normal(0, 10, (4096, 3)).astype(np.float32)[:count]
    sky = (rng.random(4096) < sky_share)[:count]
    return MemorySnapshot(
        generation=0,
        version=version,
        node=1,
        positions=positions,
        rgb=rng.integers(0, 256, (4096, 3), dtype=np.uint8)[:count],
        birth=np.arange(count, dtype=np.int32) // 50,
        keyframe=np.zeros(count, np.int32),
        footprint_m=np.where(sky, np.inf, 0.1).astype(np.float32),
        sky=sky,
        alive=np.ones(count, bool),
        frozen=np.zeros(count, bool),
        reads=np.zeros(count, np.uint16),
        keyframe_c2w=np.eye(4)[None],
        keyframe_node=np.zeros(1, np.int64),
    )


def grey(found: MemorySnapshot, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.full((len(rows), 3), 128, np.uint8), np.ones(len(rows), bool)


def store(cap: int = 10_000, sky: bool = False) -> tuple[CloudStore, Buffer]:
    buffer = Buffer()
    return CloudStore(buffer, grey, sky=sky, cap=cap), buffer


@given(
    st.lists(st.integers(0, PAYLOAD_MAX), min_size=1, max_size=40),
    st.floats(0.004, 200.0),
    st.booleans(),
)
def test_sixteen_bytes_carry_payload_and_size(payload: list[int], footprint_m: float, living: bool) -> None:
    count = len(payload)
    packed = pack_points(
        np.ones((count, 3), np.float32),
        pack_count(np.array(payload)),
        np.full(count, footprint_m, np.float32),
        np.full(count, living),
    )
    assert packed.nbytes == 16 * count
    found, size_m = unpack_value(packed[:, 3])
    if not living:
        assert (packed[:, 3] == DEAD).all() and (found == -1).all()
        return
    assert found.tolist() == payload
    assert np.abs(np.log2(size_m / footprint_m)).max() <= 0.1251  # a quarter octave a step


def test_colours_keep_six_bits_a_channel() -> None:
    rgb = np.array([[0, 0, 0], [255, 255, 255], [252, 4, 130]], np.uint8)
    payload = pack_rgb(rgb)
    back = np.stack([payload >> 12, (payload >> 6) & 63, payload & 63], axis=1) * 4
    assert np.abs(back.astype(int) - rgb).max() <= 3


@given(st.integers(0, 6))
def test_thinning_is_nested_and_even(level: int) -> None:
    tokens = np.arange(20_000)
    kept, coarser = thinned(tokens, level), thinned(tokens, level + 1)
    assert not (coarser & ~kept).any()
    assert kept.mean() == pytest.approx(2.0**-level, rel=0.15)


def test_uploads_are_what_is_new() -> None:
    cloud, buffer = store()
    cloud.update(snapshot(1000))
    surface = int((~snapshot(1000).sky).sum())
    assert buffer.sent == surface == cloud.shown
    cloud.update(snapshot(1500, version=2))
    assert buffer.sent == int((~snapshot(1500).sky).sum())
    cloud.update(snapshot(1500, version=3))
    assert buffer.sent == int((~snapshot(1500).sky).sum())  # nothing new, nothing sent


def test_liveness_changes_send_only_the_runs_that_changed() -> None:
    cloud, buffer = store()
    full = snapshot(3000, sky_share=0.0)
    cloud.update(full)
    before = buffer.sent
    alive = full.alive.copy()
    alive[[10, 40, 2900]] = False
    cloud.update(replace(full, version=2, alive=alive))
    assert buffer.sent - before == 31 + 1  # 10..40 travel as one run, 2900 alone
    assert cloud.shown == 2997
    assert (buffer.packed[[10, 40, 2900], 3] == DEAD).all()
    assert (buffer.packed[11:40, 3] != DEAD).all()
    cloud.update(replace(full, version=3))
    assert cloud.shown == 3000


def test_reads_travel_only_when_they_are_shown() -> None:
    cloud, buffer = store()
    full = snapshot(500)
    cloud.update(full)
    before = buffer.sent
    reads = np.arange(500, dtype=np.uint16)
    cloud.update(replace(full, version=2, reads=reads))
    assert buffer.sent == before
    cloud.set_mode("reads")
    payload, _ = unpack_value(buffer.packed[:, 3])
    assert payload.tolist() == reads[cloud.rows].tolist()
    assert cloud.payload_range() == (float(reads[cloud.rows].min()), float(reads[cloud.rows].max()))


def test_renumbered_tokens_are_drawn_anew() -> None:
    cloud, buffer = store()
    cloud.update(snapshot(1000))
    cloud.update(replace(snapshot(400, seed=5), generation=1))
    assert len(buffer.packed) == len(cloud.rows) == int((~snapshot(400, seed=5).sky).sum())


def test_colours_that_come_late_are_taken_later() -> None:
    known_now = np.zeros(4096, bool)

    def late(found: MemorySnapshot, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.where(known_now[rows, None], 252, 0).astype(np.uint8).repeat(3, axis=1), known_now[rows]

    buffer = Buffer()
    cloud = CloudStore(buffer, late, sky=False, cap=10_000)
    cloud.update(snapshot(300))
    known_now[:] = True
    cloud.update(snapshot(300, version=2))
    payload, _ = unpack_value(buffer.packed[:, 3])
    assert (payload == PAYLOAD_MAX).all()


def test_sky_becomes_directions() -> None:
    cloud, buffer = store(sky=True)
    cloud.update(snapshot(1000))
    assert np.allclose(np.linalg.norm(buffer.packed[:, :3], axis=1), 1.0, atol=1e-5)


def test_the_nearest_point_in_front_is_picked() -> None:
    camera = ViewCamera(pivot=np.zeros(3), distance_m=20.0, yaw_deg=0.0, pitch_deg=0.0)
    clip = camera.projection(800, 600) @ camera.view()
    positions = np.array([[0, 0, 0], [5, 0, 0], [0, 3, 0], [-30, 0, 0]], np.float32)  # the last one is behind the eye
    shown = np.ones(4, bool)
    pixels, depth = project(positions, clip, 800, 600)
    assert np.allclose(pixels[0], [400, 300])
    assert depth[0] == pytest.approx(20.0)
    assert depth[3] < 0
    assert nearest_point(positions, shown, clip, (800, 600), (402, 299)) == 0
    assert nearest_point(positions, np.array([False, True, True, True]), clip, (800, 600), (402, 299)) == 1
    assert nearest_point(positions, shown, clip, (800, 600), (10, 10)) == -1
    everything = (0.0, 0.0, 800.0, 600.0)
    assert points_in_rectangle(positions, shown, clip, (800, 600), everything, front_only=False).tolist() == [
        True,
        True,
        True,
        False,
    ]
    assert not points_in_rectangle(positions, shown, clip, (800, 600), everything, front_only=True)[1]


@given(st.floats(-180, 180), st.floats(-80, 80), st.floats(1.0, 100.0))
def test_the_view_is_rigid_and_looks_at_its_pivot(yaw_deg: float, pitch_deg: float, distance_m: float) -> None:
    camera = ViewCamera(pivot=np.array([3.0, -2.0, 1.0]), distance_m=distance_m, yaw_deg=yaw_deg, pitch_deg=pitch_deg)
    view = camera.view()
    assert np.allclose(view[:3, :3] @ view[:3, :3].T, np.eye(3), atol=1e-9)
    assert np.linalg.det(view[:3, :3]) == pytest.approx(1.0)
    assert np.allclose((view @ [3.0, -2.0, 1.0, 1.0])[:3], [0.0, 0.0, -distance_m], atol=1e-6)
    eye = camera.eye
    camera.turn(20.0, 5.0)
    assert np.allclose(camera.pivot, [3.0, -2.0, 1.0])
    camera.mode = "fly"
    eye = camera.eye
    camera.turn(20.0, 5.0)
    assert np.allclose(camera.eye, eye, atol=1e-9)


def test_following_rides_behind_the_explorer() -> None:
    explorer = Camera.look_at(np.array([1.0, 2.0, 3.0]), np.array([10.0, 2.0, 3.0]), 50.0, 64, 32)
    camera = ViewCamera(mode="follow", pitch_deg=-26.0)
    camera.follow(explorer, 12.0)
    assert np.allclose(camera.pivot, explorer.position)
    assert camera.eye[0] < explorer.position[0] and camera.eye[2] > explorer.position[2]
