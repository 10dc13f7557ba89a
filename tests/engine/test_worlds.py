"""Procedural worlds: the surfaces are where the depth says, the same every time, and everywhere."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.camera import Camera, c2w_from_angles
from engine.errors import InputError
from engine.worlds import TIMES, World, WorldSpec, contact_sheet
from engine.worlds import objects as ob
from engine.worlds.bake import CELL_M, CELLS, STEP_M
from engine.worlds.march import FAR_M, hit_object
from engine.worlds.spec import BRIDGE
from engine.worlds.terrain import ground, path_distance_m

WIDTH, HEIGHT = 112, 64


@pytest.fixture(scope="module")
def meadow() -> World:
    return World(WorldSpec("meadow", 1_000_001, "morning"))


def _ray(camera: Camera, u: float, v: float) -> tuple[np.ndarray, float]:
    """Unit direction (3,) in the world through pixel position (u, v), and z-depth per metre along it."""
    local = np.linalg.inv(camera.K) @ np.array([u, v, 1.0])
    cosine = 1.0 / float(np.linalg.norm(local))
    return camera.c2w[:3, :3] @ local * cosine, cosine


def _plane_heights(field: torch.Tensor, xy: torch.Tensor, x0: float, y0: float, step_m: float) -> torch.Tensor:
    """Bilinear heights (N,) of a lattice (n, n) at xy (N, 2): the plain torch reference."""
    u = (xy[:, 0] - x0) / step_m
    v = (xy[:, 1] - y0) / step_m
    i, j = u.floor().long(), v.floor().long()
    a, b = u - i, v - j
    near = field[j, i] * (1 - a) + field[j, i + 1] * a
    return near * (1 - b) + (field[j + 1, i] * (1 - a) + field[j + 1, i + 1] * a) * b


def _reference_depth_m(world: World, camera: Camera, u: float, v: float, reach_m: float) -> float:
    """z-depth of one ray by brute force: every object, the water plane, and the ground in steps of 5 cm (no cells)."""
    window = world._window(camera.c2w[0, 3], camera.c2w[1, 3])
    eye = camera.c2w[:3, 3]
    ray, cosine = _ray(camera, u, v)
    pixel = cosine / camera.K[1, 1]
    t = torch.arange(0.0, reach_m, 0.05, dtype=torch.float64)
    points = torch.tensor(eye) + t[:, None] * torch.from_numpy(ray)
    ground = _plane_heights(
        torch.from_numpy(window.heights).double(), points[:, :2], window.meta[2], window.meta[3], STEP_M
    )
    below = torch.nonzero(points[:, 2] < ground.clamp(min=0.0))
    best = float(t[below[0, 0]]) if len(below) else math.inf
    near = np.hypot(window.table[:, ob.X] - eye[0], window.table[:, ob.Y] - eye[1]) < reach_m + 30.0
    for row in window.table[near]:
        if row[ob.BOUND] > 0.0:
            hit = hit_object(row, *eye, *ray, 0.0, reach_m, pixel)
            best = min(best, hit if hit < FAR_M else math.inf)
    return best * cosine


def test_march_equals_brute_force(meadow: World) -> None:
    camera = meadow.spawn(WIDTH, HEIGHT)
    depth = meadow.render(camera).depth_m.numpy()
    rng = np.random.default_rng(4)
    reach_m, compared = 250.0, 0
    for col, row in zip(rng.integers(0, WIDTH, 24), rng.integers(HEIGHT // 4, HEIGHT, 24), strict=True):
        want = _reference_depth_m(meadow, camera, col + 0.5, row + 0.5, reach_m)
        if math.isinf(want):
            assert depth[row, col] > 0.98 * reach_m * _ray(camera, col + 0.5, row + 0.5)[1]
            continue
        compared += 1
        # the reference stops within one step of 5 cm behind the surface
        assert depth[row, col] == pytest.approx(want, abs=0.06, rel=2e-3), (col, row)
    assert compared > 9


@pytest.mark.parametrize("biome", ["meadow", "desert", "coast", "river"])
def test_neighbouring_views_see_the_same_surface(biome: str) -> None:
    world = World(WorldSpec(biome, 1_000_002, "afternoon"))
    camera = world.spawn(WIDTH, HEIGHT, index=1)
    c2w = camera.c2w.copy()
    c2w[:3, 3] += 0.7 * c2w[:3, 0]
    other = Camera(c2w=c2w, K=camera.K, width=WIDTH, height=HEIGHT)
    here, there = (frame.depth_m.numpy().astype(float) for frame in world.render_batch([camera, other]))
    v, u = np.nonzero(np.isfinite(here))
    z = here[v, u]
    local = np.linalg.inv(camera.K) @ np.stack([u + 0.5, v + 0.5, np.ones_like(z)]) * z
    points = camera.c2w[:3, :3] @ local + camera.c2w[:3, 3:]
    seen = c2w[:3, :3].T @ (points - c2w[:3, 3:])
    px = camera.K @ seen
    a, b = np.floor(px[0] / px[2]).astype(int), np.floor(px[1] / px[2]).astype(int)
    inside = (a >= 1) & (a < WIDTH - 1) & (b >= 1) & (b < HEIGHT - 1)
    # a point rarely lands on a pixel's centre: the surface must pass its depth within the 3 x 3 pixels around it
    patches = np.stack([there[b[inside] + dy, a[inside] + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)])
    want = seen[2][inside]
    agree = (patches.min(0) <= 1.01 * want) & (patches.max(0) >= 0.99 * want)
    occluded = patches.max(0) < 0.99 * want
    assert inside.sum() > 500
    assert agree[~occluded].mean() > 0.985
    assert occluded.mean() < 0.15


def test_a_river_runs_under_its_bridges_and_paths_over_them() -> None:
    world = World(WorldSpec("river", 1_000_003, "morning"))
    spawn = world.spawn(WIDTH, HEIGHT)
    window = world._window(spawn.c2w[0, 3], spawn.c2w[1, 3])
    bridges = window.table[window.table[:, ob.KIND] == BRIDGE]
    inside = np.abs(bridges[:, :2] - window.meta[:2] - 0.5 * CELLS * CELL_M).max(axis=1) < 0.4 * CELLS * CELL_M
    assert inside.sum() >= 3
    for bridge in bridges[inside]:
        middle, along = bridge[:2], np.array([bridge[ob.COS], bridge[ob.SIN]])
        assert ground(*middle, world._p) < -0.3, "there is water in the middle"
        assert path_distance_m(*middle, world._p) < 0.6 * bridge[ob.RADIUS], "a path leads there"
        for side in (-1.0, 1.0):
            assert ground(*(middle + side * bridge[ob.RADIUS] * along), world._p) > 0.3, "it ends on land"
        deck = float(world.ground_height_m(middle[None])[0])
        assert deck == pytest.approx(bridge[ob.HEIGHT], abs=0.05)
        assert world.is_free(np.array([*middle, 1.0]), 0.6), "one can fly through"
        assert not world.is_free(np.array([*middle, deck - 0.2]), 0.6)
        assert world.is_free(np.array([*middle, deck + 1.2]), 0.6), "and over it"


def test_the_first_views_of_river_worlds_show_water() -> None:
    shares = []
    for index in range(4):
        world = World(WorldSpec("river", 1_000_004, "noon"))
        camera = world.spawn(WIDTH, HEIGHT, index=index)
        depth_m = world.render(camera).depth_m.numpy()
        points = camera.position + camera.rays() * np.where(np.isinf(depth_m), 0.0, depth_m)[..., None]
        shares.append(float((np.abs(points[..., 2]) < 0.02).mean()))
    assert np.median(shares) > 0.04


def test_same_spec_gives_the_same_frame_bit_for_bit(meadow: World) -> None:
    again = World(WorldSpec("meadow", 1_000_001, "morning"))
    again.render(again.spawn(32, 18, index=3))  # another history of windows must not matter
    first, second = meadow.spawn(WIDTH, HEIGHT, index=2), again.spawn(WIDTH, HEIGHT, index=2)
    assert np.array_equal(first.c2w, second.c2w)
    a, b = meadow.render(first), again.render(second)
    assert torch.equal(a.rgb, b.rgb)
    assert torch.equal(a.depth_m, b.depth_m)


def test_seeds_and_biomes_differ(meadow: World) -> None:
    camera = meadow.spawn(WIDTH, HEIGHT)
    frames = [meadow.render(camera)]
    frames += [World(WorldSpec(b, s, "morning")).render(camera) for b, s in (("meadow", 5), ("snow", 1_000_001))]
    for n, one in enumerate(frames):
        for two in frames[n + 1 :]:
            assert (one.rgb - two.rgb).abs().mean() > 0.02


def test_frame_is_well_formed(meadow: World) -> None:
    frame = meadow.render(meadow.spawn(WIDTH, HEIGHT))
    assert frame.rgb.shape == (3, HEIGHT, WIDTH)
    assert frame.rgb.dtype == frame.depth_m.dtype == torch.float32
    assert float(frame.rgb.min()) >= 0.0 and float(frame.rgb.max()) <= 1.0
    assert torch.equal(frame.sky, torch.isinf(frame.depth_m))
    assert 0.05 < float(frame.sky.float().mean()) < 0.9
    assert float(frame.depth_m.min()) > 0.3


def test_supersampled_colour_is_smoother_and_depth_unmixed(meadow: World) -> None:
    camera = meadow.spawn(WIDTH, HEIGHT)
    one, two = meadow.render(camera), meadow.render(camera, supersample=2)
    assert (one.rgb - two.rgb).abs().mean() < 0.06
    # were depths averaged across an edge, sky pixels would turn finite or the skyline would hold invented depths
    assert torch.equal(two.sky, torch.isinf(two.depth_m))
    edge = (two.depth_m / one.depth_m - 1.0).abs() > 0.3
    assert edge[~one.sky & ~two.sky].float().mean() < 0.12


def test_the_sky_depends_on_rotation_alone(meadow: World) -> None:
    c2w = meadow.spawn(WIDTH, HEIGHT).c2w.copy()
    pitch = math.radians(40.0)
    c2w[:3, :3] = np.array([[1, 0, 0], [0, math.sin(pitch), math.cos(pitch)], [0, -math.cos(pitch), math.sin(pitch)]])
    c2w[2, 3] += 40.0
    moved = c2w.copy()
    moved[:3, 3] += (3.0, -2.0, 1.0)
    k = Camera.from_fov(c2w, 40.0, WIDTH, HEIGHT).K
    a, b = (meadow.render(Camera(c2w=pose, K=k, width=WIDTH, height=HEIGHT)) for pose in (c2w, moved))
    assert bool((a.sky & b.sky).all())
    assert torch.equal(a.rgb, b.rgb)


def test_the_sun_can_be_left_out_and_its_light_stays() -> None:
    spec = WorldSpec("desert", 3, "noon")
    with_sun, without = World(spec), World(spec, sun_disc=False)
    start = with_sun.spawn(112, 64)
    ground = start.posed(c2w_from_angles(start.position, start.yaw_deg, -40.0))
    assert torch.equal(with_sun.render(ground).rgb, without.render(ground).rgb)
    changed = []
    for yaw_deg in range(0, 360, 40):
        up = Camera.from_fov(c2w_from_angles(start.position, float(yaw_deg), 50.0), 60.0, 112, 64)
        bright, plain = with_sun.render(up).rgb, without.render(up).rgb
        assert bool((bright >= plain - 1e-6).all())
        changed.append(float((bright - plain).abs().amax(0).gt(0.02).float().mean()))
    assert 0.0 < max(changed) < 0.1
    assert min(changed) == 0.0


def test_worlds_are_endless(meadow: World) -> None:
    x, y = 5000.0, -5000.0
    top = float(meadow.ground_height_m(torch.tensor([[x, y]]))[0])
    eye = np.array([x, y, top + 4.0])
    frame = meadow.render(Camera.look_at(eye, eye + np.array([1.0, 0.3, -0.1]), 50.0, WIDTH, HEIGHT))
    assert bool(torch.isfinite(frame.rgb).all())
    assert float((~frame.sky).float().mean()) > 0.25
    assert float(frame.rgb.std()) > 0.03


def test_spawns_are_free_distinct_and_above_ground() -> None:
    for biome in ("meadow", "coast", "village"):
        world = World(WorldSpec(biome, 1_000_003))
        eyes = [world.spawn(64, 36, index=i).c2w[:3, 3] for i in range(2)]
        assert np.linalg.norm(eyes[0] - eyes[1]) > 2.0
        for eye in eyes:
            assert world.is_free(eye, 1.0)
            above = eye[2] - float(world.ground_height_m(eye[None, :2])[0])
            assert above > 1.0, biome


def test_collision_knows_ground_and_objects(meadow: World) -> None:
    camera = meadow.spawn(WIDTH, HEIGHT)
    window = meadow._window(*camera.c2w[:2, 3])
    x, y = camera.c2w[:2, 3]
    floor = float(meadow.ground_height_m(np.array([[x, y]]))[0])
    assert not meadow.is_free(np.array([x, y, floor - 1.0]))
    assert meadow.is_free(np.array([x, y, floor + 300.0]))
    tallest = window.table[np.argmax(window.table[:, ob.HEIGHT] * (np.abs(window.table[:, ob.X] - x) < 200.0))]
    middle = np.array([tallest[ob.X], tallest[ob.Y], tallest[ob.Z] + 0.5 * tallest[ob.HEIGHT]])
    assert not meadow.is_free(middle, 0.5)
    top = float(meadow.ground_height_m(middle[None, :2])[0])
    assert top > tallest[ob.Z] + 0.7 * tallest[ob.HEIGHT]


def test_spec_names_the_choices() -> None:
    with pytest.raises(InputError, match="meadow"):
        WorldSpec("moon", 1)
    with pytest.raises(InputError, match="dusk"):
        WorldSpec("meadow", 1, "teatime")
    with pytest.raises(InputError, match="seed"):
        WorldSpec("meadow", -1)
    assert WorldSpec("meadow", 7).resolved_time in TIMES


def test_supersample_must_be_sensible(meadow: World) -> None:
    with pytest.raises(InputError, match="Supersampling"):
        meadow.render(meadow.spawn(32, 18), supersample=0)


def test_contact_sheet_is_a_grid(tmp_path: Path) -> None:
    from PIL import Image

    target = tmp_path / "sheet.png"
    specs = [WorldSpec("desert", 1, "noon"), WorldSpec("snow", 2, "night"), WorldSpec("coast", 3, "dusk")]
    contact_sheet(target, specs, columns=2, width=64, height=36, supersample=1)
    with Image.open(target) as picture:
        assert picture.size == (128, 72)
        pixels = np.asarray(picture)
    assert pixels[:36].std() > 10.0
    assert pixels[36:, 64:].max() == 0  # the fourth place stays empty
