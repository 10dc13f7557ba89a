"""An endless world: views, collision, good places to start."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from engine.camera import Camera
from engine.errors import InputError
from engine.threads import torch_threads_kept
from engine.worlds import objects as ob
from engine.worlds.bake import CELL_M, CELLS, CROSSING, SNAP_M, STEP_M, Window, bake, crossing
from engine.worlds.building import SPRING_M
from engine.worlds.march import FAR_M, lattice, trace
from engine.worlds.plan import BLOCK_M, COURT, EYE_M, GREAT, KINDS, ROOMS, VAULTED, nearest_block, purpose, style
from engine.worlds.shade import render_kernel
from engine.worlds.spec import BASE, DISC, HALLS, PANES, RIVER, SEA, SEED, SUN, WorldSpec, pack
from engine.worlds.terrain import ground

_WINDOWS_KEPT = 3
_FLOWN_OVER_M = 3.0
"""What stands higher in a building leaves no room below its ceiling to fly over it."""


@dataclass(frozen=True)
class Frame:
    """One rendered view.

    Attributes:
        rgb: (3, H, W) float32 in [0, 1].
        depth_m: (H, W) float32 exact z-depth of the ray through the pixel (its nearest sub-ray); inf = sky.
        sky: (H, W) bool.
    """

    rgb: torch.Tensor
    depth_m: torch.Tensor
    sky: torch.Tensor


def reconstruct(rgb: torch.Tensor) -> torch.Tensor:
    """Film reconstruction of rgb (3, H, W): each pixel gathers light binomially from one pixel around it.

    The soft filter of a lens instead of a box: no stair-steps or shimmer that only exists on the pixel grid.
    """
    taps = torch.tensor([0.25, 0.5, 0.25])
    padded = torch.nn.functional.pad(rgb[None], (1, 1, 1, 1), mode="replicate")[0]
    rows = taps[0] * padded[:, :-2] + taps[1] * padded[:, 1:-1] + taps[2] * padded[:, 2:]
    return taps[0] * rows[..., :-2] + taps[1] * rows[..., 1:-1] + taps[2] * rows[..., 2:]


def _array(values: torch.Tensor | np.ndarray) -> np.ndarray:
    """Any device's numbers as float64 in numpy."""
    return np.asarray(values.cpu() if isinstance(values, torch.Tensor) else values, np.float64)


class World:
    """A world that is a pure function of its spec and the position looked at.

    Rendering runs on the CPU, on as many threads as numba has; `device` is where frames are put. Windows of the world
    are baked on demand around the camera and kept in a small LRU. Not thread-safe.

    Without `sun_disc` all is lit as ever, but the sun itself is not seen.
    """

    def __init__(self, spec: WorldSpec, device: torch.device | str = "cpu", *, sun_disc: bool = True) -> None:
        self.spec = spec
        self.device = torch.device(device)
        self._p = pack(spec)
        if not sun_disc:
            self._p[DISC : DISC + 3] = 0.0
        self._windows: OrderedDict[tuple[int, int, bool], Window] = OrderedDict()

    def _window(self, x: float, y: float, panes: bool = False) -> Window:
        """What stands around a point; with ``panes`` that nobody sees through."""
        key = (round(x / SNAP_M), round(y / SNAP_M), panes)
        if key in self._windows:
            self._windows.move_to_end(key)
        else:
            with torch_threads_kept():
                p = self._p.copy()
                p[PANES] = panes
                self._windows[key] = bake(key[0] * SNAP_M, key[1] * SNAP_M, p)
            while len(self._windows) > _WINDOWS_KEPT:
                self._windows.popitem(last=False)
        return self._windows[key]

    def render(self, camera: Camera, supersample: int = 1, *, panes: bool = False) -> Frame:
        """Draw one view; `supersample` n averages n x n rays a pixel in linear light, then the film softens rgb.

        With `panes` depth ends at the windows of buildings, as if what one sees through them were pictures on their
        panes: so it is to be remembered, for between a window's bars no token tells both depths.

        Raises InputError for a supersample outside 1 to 8.
        """
        if not 1 <= supersample <= 8:
            raise InputError(f"Supersampling must lie between 1 and 8 rays a pixel's side, got {supersample}.")
        window = self._window(float(camera.c2w[0, 3]), float(camera.c2w[1, 3]))
        k_inv = np.linalg.inv(np.asarray(camera.K, np.float64))
        c2w = np.ascontiguousarray(camera.c2w, np.float64)
        rgb = np.empty((3, camera.height, camera.width), np.float32)
        depth = np.empty((camera.height, camera.width), np.float32)
        with torch_threads_kept():
            render_kernel(c2w, k_inv, camera.width, camera.height, supersample, self._p, *window, rgb, depth)
            if panes and self._p[HALLS] > 0.0:
                window, unseen = self._window(float(c2w[0, 3]), float(c2w[1, 3]), panes=True), np.empty_like(rgb)
                render_kernel(c2w, k_inv, camera.width, camera.height, supersample, self._p, *window, unseen, depth)
        sky = depth > 0.5 * FAR_M
        depth[sky] = np.inf
        film = reconstruct(torch.from_numpy(rgb))
        return Frame(
            film.to(self.device), torch.from_numpy(depth).to(self.device), torch.from_numpy(sky).to(self.device)
        )

    def render_batch(self, cameras: Sequence[Camera], supersample: int = 1) -> list[Frame]:
        """Draw several views."""
        return [self.render(camera, supersample) for camera in cameras]

    def ground_height_m(self, xy: torch.Tensor | np.ndarray) -> torch.Tensor:
        """Height (N,) float32 of the top of whatever is at xy (N, 2) metres: ground, water, roof or crown.

        In a building nobody gets over walls and pillars: where those stand, the height of its floor.
        """
        points = _array(xy).reshape(-1, 2)
        out = np.empty(len(points), np.float32)
        for n, (x, y) in enumerate(points):
            w = self._window(x, y)
            above = w.meta[6] if self._p[HALLS] == 0.0 else self._p[BASE] + SPRING_M - 0.1
            _, t, _ = trace(x, y, above, 0.0, 0.0, -1.0, 1e-4, *w)
            out[n] = above - t
        if self._p[HALLS] > 0.0:
            floor = np.float32(self._p[BASE])
            out[out > floor + _FLOWN_OVER_M] = floor
        return torch.from_numpy(out)

    def is_free(self, position: torch.Tensor | np.ndarray, radius_m: float = 1.0) -> bool:
        """Whether a sphere of radius_m at position (3,) metres touches nothing."""
        x, y, z = _array(position).tolist()
        w = self._window(x, y)
        floor = max(0.0, lattice(w.heights, x, y, w.meta[2], w.meta[3], STEP_M))
        if z < floor + radius_m:
            return False
        ci, cj = int((x - w.meta[0]) // CELL_M), int((y - w.meta[1]) // CELL_M)
        reach = math.ceil(radius_m / CELL_M)
        for j in range(max(0, cj - reach), min(CELLS, cj + reach + 1)):
            for i in range(max(0, ci - reach), min(CELLS, ci + reach + 1)):
                for row in w.items[w.start[j * CELLS + i] : w.start[j * CELLS + i + 1]]:
                    o = w.table[row]
                    apart = math.hypot(x - o[ob.X], y - o[ob.Y])
                    if apart > o[ob.BOUND] + radius_m or not o[ob.ZMIN] - radius_m < z < o[ob.ZMAX] + radius_m:
                        continue
                    if ob.distance(o, x, y, z, 0.0) < radius_m * 0.7:
                        return False
        return True

    def spawn(self, width: int, height: int, fov_deg: float = 50.0, index: int = 0) -> Camera:
        """A good view to start from; each `index` is another place, the same every time."""
        rng = np.random.default_rng([self.spec.seed, 9001, index])
        if self._p[HALLS] > 0.0:
            return self._spawn_indoors(rng, width, height, fov_deg)
        home = self._home(rng, index)
        best: tuple[float, Camera] | None = None
        tries = 0
        while tries < 14 or (best is None and tries < 300):
            tries += 1
            x, y = home + rng.uniform(-0.49, 0.49, 2) * SNAP_M  # inside one window: one bake
            above = float(np.exp(rng.uniform(math.log(1.7), math.log(11.0))))
            floor = max(0.0, ground(x, y, self._p))
            eye = np.array([x, y, floor + above])
            if (floor > 60.0 and tries < 150) or not self.is_free(eye, 1.5):
                continue
            for turn in range(3):
                yaw = rng.uniform(0.0, 2.0 * math.pi)
                if turn == 0 and self._p[SUN + 2] < 0.3:
                    yaw = math.atan2(self._p[SUN + 1], self._p[SUN]) + rng.uniform(-0.5, 0.5)
                pitch = math.radians(-2.0 - 7.0 * min(1.0, above / 11.0) + rng.uniform(-2.0, 2.0))
                ahead = np.array([math.cos(yaw) * math.cos(pitch), math.sin(yaw) * math.cos(pitch), math.sin(pitch)])
                camera = Camera.look_at(eye, eye + ahead, fov_deg, width, height)
                score = self._appeal(Camera.look_at(eye, eye + ahead, fov_deg, 48, max(12, round(48 * height / width))))
                if best is None or score > best[0]:
                    best = (score, camera)
        if best is None:  # every try inside something: hover
            eye = np.array([home[0], home[1], float(self.ground_height_m(home[None])[0]) + 4.0])
            return Camera.look_at(eye, eye + np.array([1.0, 0.0, -0.1]), fov_deg, width, height)
        return best[1]

    @property
    def module(self) -> tuple[float, tuple[float, float, float]] | None:
        """Side of the squares that a building's rooms fill, and the middle of one of them at eye level; metres."""
        if self._p[HALLS] == 0.0:
            return None
        return BLOCK_M, (0.5 * BLOCK_M, 0.5 * BLOCK_M, float(self._p[BASE]) + EYE_M)

    def room(self, index: int) -> np.ndarray:
        """The middle (3,) at eye level of a building's room of one kind after the other, near the origin."""
        assert self.module is not None
        bi, bj = nearest_block(int(self._p[SEED]), *ROOMS[index % len(ROOMS)])
        return np.array([(bi + 0.5) * BLOCK_M, (bj + 0.5) * BLOCK_M, self.module[1][2]])

    def room_kind(self, point: np.ndarray) -> int:
        """The kind of the room that a point (2 or 3,) lies in, as an index into ``KINDS``."""
        (bi, bj), seed = (point[:2] // BLOCK_M).astype(int).tolist(), int(self._p[SEED])
        what = style(bi, bj, seed)
        return KINDS.index((what, purpose(bi, bj, seed) if what == GREAT else 0))

    def _spawn_indoors(self, rng: np.random.Generator, width: int, height: int, fov_deg: float) -> Camera:
        """The most inviting of some views along the middle of a hall, through its portals."""
        best: tuple[float, Camera] | None = None
        wanted, seen = (VAULTED, GREAT)[int(rng.integers(2))], 0
        for tries in range(400):
            if seen >= 12:
                break
            corner = rng.integers(-2, 3, 2)
            what = style(int(corner[0]), int(corner[1]), int(self._p[SEED]))
            if what == COURT or (what != wanted and tries < 100):
                continue
            block = BLOCK_M * (corner + 0.5)
            quarter = int(rng.integers(4))
            axis = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]][quarter])
            across = np.array([-axis[1], axis[0]])
            spot = block - axis * rng.uniform(4.0, 13.5) + across * rng.normal(0.0, 1.2)
            eye = np.array([*spot, self._p[BASE] + rng.uniform(1.6, 2.6)])
            if not self.is_free(eye, 0.8):
                continue
            yaw, pitch = 0.5 * math.pi * quarter + rng.normal(0.0, 0.15), math.radians(rng.uniform(-3.0, 4.0))
            ahead = np.array([math.cos(yaw) * math.cos(pitch), math.sin(yaw) * math.cos(pitch), math.sin(pitch)])
            camera = Camera.look_at(eye, eye + ahead, fov_deg, width, height)
            seen += 1
            frame = self.render(camera.resized(48, max(12, round(48 * height / width))))
            log = frame.depth_m.clamp(1.0, 100.0).log()
            score = float(log.std()) + 3.0 * float(frame.rgb.std(dim=(1, 2)).mean())
            score -= 4.0 * float((frame.depth_m < 3.0).float().mean())
            if best is None or score > best[0]:
                best = score, camera
        if best is None:  # every try inside something: the middle of the first block
            eye = np.array([0.5 * BLOCK_M - 6.0, 0.5 * BLOCK_M, self._p[BASE] + 1.7])
            return Camera.look_at(eye, eye + np.array([1.0, 0.0, 0.0]), fov_deg, width, height)
        return best[1]

    def _home(self, rng: np.random.Generator, index: int) -> np.ndarray:
        """Centre (2,) of the window that spawn `index` lies in: gentle country, neither peaks nor open water."""
        best = math.inf
        home: np.ndarray = np.zeros(2)
        for n in range(60):
            reach = 1 + int(math.sqrt(index) + n / 6)
            centre = SNAP_M * rng.integers(-reach, reach + 1, 2)
            spots = [(centre[0] + 45.0 * i, centre[1] + 45.0 * j) for i in range(-2, 3) for j in range(-2, 3)]
            z = np.array([ground(x, y, self._p) for x, y in spots])
            dry = float((z > 0.8).mean())
            cost = max(0.0, float(z.max()) - 38.0) + 40.0 * max(0.0, 0.45 - dry)
            if self._p[SEA] > 0.0:
                cost += 40.0 * max(0.0, dry - 0.8)
            if self._p[RIVER] > 0.0:
                cost += 400.0 * max(0.0, 0.08 - float((z < 0.0).mean())) + 10.0 * (not self._has_bridge(centre))
            if cost < best:
                best, home = cost, centre
            if cost == 0.0:
                break
        return home

    def _has_bridge(self, centre: np.ndarray) -> bool:
        """Whether a bridge stands in one of the nine squares around ``centre`` (2,)."""
        i, j = (centre // (CROSSING * CELL_M)).astype(int).tolist()
        around = [(i + k, j + m) for k in (-1, 0, 1) for m in (-1, 0, 1)]
        return any(crossing(bi, bj, self._p, np.empty(5)) for bi, bj in around)

    def _appeal(self, camera: Camera) -> float:
        """How inviting a thumbnail of a view is: open in the middle, near and far things, some sky, lively colour."""
        frame = self.render(camera)
        depth, sky = frame.depth_m.cpu().numpy(), frame.sky.cpu().numpy()
        h, w = depth.shape
        middle = depth[h // 4 : 3 * h // 4, w // 4 : 3 * w // 4]
        log = np.log(np.clip(depth, 1.0, 1000.0))
        open_sky = float(sky.mean())
        score = -4.0 * abs(open_sky - 0.34) - 6.0 * float((depth < 6.0).mean()) - 5.0 * float((middle < 14.0).mean())
        score += 0.8 * float(log[~sky].std()) if (~sky).any() else -5.0
        skyline = np.argmin(sky, axis=0).astype(float)
        score += 0.9 * min(1.0, 8.0 * float(np.abs(np.diff(skyline)).mean()) / h)
        score += 3.0 * float(frame.rgb.cpu().numpy().std(axis=(1, 2)).mean())
        v, _ = np.mgrid[0:h, 0:w] + 0.5
        fall = camera.c2w[2, 1] * (v - camera.K[1, 2]) / camera.K[1, 1] + camera.c2w[2, 2]
        water = float((np.abs(camera.c2w[2, 3] + np.where(sky, 1.0, depth) * fall) < 0.02).mean())
        score += (4.0 if self._p[SEA] + self._p[RIVER] > 0.0 else 1.5) * (min(0.25, water) - max(0.0, water - 0.3))
        near = np.mean((depth > 8.0) & (depth < 90.0))
        return score + 1.2 * min(0.6, float(near))
