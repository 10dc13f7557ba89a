"""What a world is: biome, seed, time of day, and the flat parameter vector that the kernels read."""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass

import numpy as np

from engine.errors import InputError

TIMES: dict[str, float] = {"dawn": 6.7, "morning": 9.0, "noon": 12.3, "afternoon": 15.8, "dusk": 17.75, "night": 22.0}

# Indices into the parameter vector. Colours are linear RGB and take three slots.
SEED, BASE, HILL, HILL_LEN, MOUNT, DUNE, MESA, SEA, PATH, FOREST = range(10)
TREE_KIND, TREE2_KIND, TREE2_SHARE, BUSH, ROCK, HOUSE, TOWER, TOWER_KIND, ARCH, BIOME = range(10, 20)
SUN, SUN_COLOUR, ZENITH, HORIZON, AMBIENT, BOUNCE = 20, 23, 26, 29, 32, 35
FOG, CLOUD, SNOW, NIGHT, FLOWERS, EXPOSURE, TREE_SIZE, FIELDS, WATER_Z, ICE = range(38, 48)
GRASS, GRASS2, SAND, CLIFF, TRACK, LEAF, LEAF2, LEAF3, BARK, WATER, DISC = range(48, 81, 3)
RIVER, HALLS = 81, 82
PLASTER, MARBLE, MARBLE2, WOOD, RUG, PAINT = range(83, 101, 3)
PANES = 101
SIZE = 104

BROADLEAF, CONIFER, BOULDER, SHRUB, CACTUS, PALM, ACACIA = range(7)
COTTAGE, KEEP, LIGHTHOUSE, GATE, MENHIR, MILL, BRIDGE = range(7, 14)
WALL, VAULT, COFFER, PILLAR, BOOKCASE, TABLE, CHAIR, STATUE, LAMP, CHANDELIER, POOL, POT, HEDGE = range(14, 27)


@dataclass(frozen=True)
class WorldSpec:
    """Names one endless world. `time` is a key of TIMES; "" lets the seed choose.

    Training draws seeds below 1,000,000, evaluation from 1,000,000 on.
    Raises InputError for an unknown biome or time, or a negative seed.
    """

    biome: str
    seed: int
    time: str = ""

    def __post_init__(self) -> None:
        if self.biome not in BIOMES:
            raise InputError(f"Unknown biome {self.biome!r}; choose one of {', '.join(BIOMES)}.")
        if self.time and self.time not in TIMES:
            raise InputError(f"Unknown time {self.time!r}; choose one of {', '.join(TIMES)}, or leave it empty.")
        if not 0 <= self.seed < 2**40:
            raise InputError(f"The world seed must lie in [0, 2^40), got {self.seed}; choose another.")

    @property
    def resolved_time(self) -> str:
        """The time of day by name, chosen by the seed if the spec leaves it open."""
        if self.time:
            return self.time
        names = ("dawn", "morning", "noon", "afternoon", "dusk", "morning", "afternoon", "dusk", "night")
        return names[int(np.random.default_rng([self.seed, 77]).integers(len(names)))]


def _hex(code: str) -> tuple[float, float, float]:
    """sRGB hex to linear RGB."""
    channels = [int(code[i : i + 2], 16) / 255.0 for i in (0, 2, 4)]
    r, g, b = (((c + 0.055) / 1.055) ** 2.4 if c > 0.04045 else c / 12.92 for c in channels)
    return r, g, b


_COMMON: dict[int, float | str] = {
    BASE: 7.0, HILL: 13.0, HILL_LEN: 190.0, MOUNT: 260.0, PATH: 1.5, FOREST: 0.55, TREE_KIND: BROADLEAF,
    TREE2_KIND: CONIFER, TREE2_SHARE: 0.25, BUSH: 0.3, ROCK: 0.1, HOUSE: 0.1, TOWER: 0.04, TOWER_KIND: KEEP,
    FOG: 1500.0, TREE_SIZE: 1.0, EXPOSURE: 0.86,
    GRASS: "66893a", GRASS2: "a2ab58", SAND: "d9c795", CLIFF: "8d877d", TRACK: "a98f68", LEAF: "587c3c",
    LEAF2: "7b9648", LEAF3: "47683f", BARK: "5d4632", WATER: "1d5a6b",
}  # fmt: skip
_TABLE: dict[str, dict[int, float | str]] = {
    "meadow": {FLOWERS: 1.0, TREE2_SHARE: 0.15, HOUSE: 0.1},
    "autumn": {FOREST: 0.75, GRASS: "a08c3e", GRASS2: "c2a552", LEAF: "c8702c", LEAF2: "dba63c", LEAF3: "a8472e",
               BARK: "8a7a68", TREE2_SHARE: 0.12, FOG: 1100.0, HOUSE: 0.08, WATER: "244d55"},
    "snow": {SNOW: 1.0, MOUNT: 420.0, TREE_KIND: CONIFER, TREE2_SHARE: 0.0, GRASS: "e9eef5", GRASS2: "dfe8f3",
             SAND: "cfd8e2", CLIFF: "6d7078", TRACK: "b5aa9c", LEAF: "3b6650", LEAF2: "2f5a4d", LEAF3: "48705a",
             HOUSE: 0.11, FOG: 1300.0, WATER: "2b5266", FOREST: 0.65, ICE: 1.0, BUSH: 0.1},
    "desert": {BASE: 13.0, HILL: 5.0, MOUNT: 0.0, DUNE: 7.0, MESA: 85.0, PATH: 0.0, FOREST: 0.22, TREE_KIND: CACTUS,
               TREE2_KIND: PALM, TREE2_SHARE: 0.0, BUSH: 0.22, ROCK: 0.16, GRASS: "e0a868", GRASS2: "edc48a",
               SAND: "e8c690", CLIFF: "b5623c", TRACK: "c99a62", LEAF: "6c8b4a", LEAF2: "86985a", LEAF3: "9a9a58",
               ARCH: 0.22, HOUSE: 0.03, TOWER: 0.0, FOG: 1900.0, WATER: "1f6f78"},
    "coast": {BASE: 3.0, HILL: 9.0, SEA: 16.0, MOUNT: 160.0, TREE_KIND: PALM, TREE2_KIND: BROADLEAF,
              TREE2_SHARE: 0.3, TOWER_KIND: LIGHTHOUSE, TOWER: 0.1, HOUSE: 0.12, GRASS: "76964a", GRASS2: "b5b06c",
              SAND: "f0dcac", CLIFF: "b3a48c", LEAF: "5f9440", LEAF2: "7da845", LEAF3: "477c3c", WATER: "0e7a86",
              FLOWERS: 0.5, FOG: 1900.0},
    "highland": {BASE: 14.0, HILL: 26.0, HILL_LEN: 260.0, MOUNT: 520.0, FOREST: 0.3, TREE_KIND: CONIFER,
                 TREE2_KIND: BROADLEAF, TREE2_SHARE: 0.2, ROCK: 0.4, BUSH: 0.4, HOUSE: 0.03, TOWER: 0.08, ARCH: 0.22,
                 GRASS: "6d7f3e", GRASS2: "94885a", CLIFF: "7b7a7a", FLOWERS: -1.0, FOG: 1200.0, WATER: "20424f",
                 TRACK: "97866b", LEAF: "3f6a3c", LEAF2: "55783c"},
    "savanna": {BASE: 9.0, HILL: 7.0, HILL_LEN: 240.0, MOUNT: 150.0, TREE_KIND: ACACIA, TREE2_KIND: BROADLEAF,
                TREE2_SHARE: 0.1, FOREST: 0.3, GRASS: "c4a24c", GRASS2: "dcc072", TRACK: "b58a5e", LEAF: "6d8a38",
                LEAF2: "8a963e", LEAF3: "56793a", BARK: "6b523a", ROCK: 0.22, HOUSE: 0.05, TOWER: 0.0, BUSH: 0.4,
                CLIFF: "a87858", FOG: 1500.0, WATER: "2d6a6a"},
    "village": {HOUSE: 0.55, HILL: 8.0, FOREST: 0.35, FIELDS: 1.0, TOWER: 0.12, TOWER_KIND: MILL, FLOWERS: 0.6,
                PATH: 1.8, GRASS: "6f943e", GRASS2: "a6b25c", TREE2_SHARE: 0.1},
    "river": {RIVER: 6.5, BASE: 9.0, HILL: 12.0, MOUNT: 330.0, FOREST: 0.6, HOUSE: 0.2, TOWER: 0.06, TOWER_KIND: MILL,
              PATH: 1.7, FLOWERS: 0.8, BUSH: 0.45, ROCK: 0.22, TREE2_SHARE: 0.2, GRASS: "5f8c3c", GRASS2: "98ad52",
              SAND: "c2b594", LEAF: "4f7c3a", LEAF2: "7a9a3e", LEAF3: "5b8a58", WATER: "24646a", FOG: 1400.0},
    "interior": {HALLS: 1.0, BASE: 1.2, HILL: 0.0, MOUNT: 0.0, PATH: 0.0, FOREST: 0.0, BUSH: 0.0, ROCK: 0.0,
                 HOUSE: 0.0, TOWER: 0.0, FOG: 6000.0, GRASS: "5f8c3c", GRASS2: "86a34a", SAND: "c9b795",
                 PLASTER: "e6dcc8", MARBLE: "d9d2c4", MARBLE2: "6f655c", WOOD: "8a6138", RUG: "7d2a2a",
                 PAINT: "35507a"},
}  # fmt: skip
BIOMES: tuple[str, ...] = tuple(_TABLE)

# hour -> sun elevation (degrees), sun colour, zenith, horizon, ambient, cloudiness tint handled in the sky
_LIGHT: dict[str, tuple[float, tuple[float, float, float], str, str, str]] = {
    "dawn": (9.0, (3.6, 2.15, 1.25), "5f86bd", "f3c9a8", "8fa3cf"),
    "morning": (27.0, (3.7, 3.1, 2.4), "3a7bc8", "cfe0ee", "93b4de"),
    "noon": (56.0, (3.7, 3.45, 3.05), "2a6fc4", "bcdaf0", "8fb8e6"),
    "afternoon": (33.0, (3.8, 3.1, 2.2), "3678c2", "d8dfe2", "95b2da"),
    "dusk": (6.5, (3.9, 1.75, 0.75), "4a5f9e", "f5a873", "a3a0d0"),
    "night": (32.0, (0.62, 0.80, 1.15), "0d1b3d", "2c4673", "34508c"),
}


def pack(spec: WorldSpec) -> np.ndarray:
    """The parameter vector (SIZE,) float64 of a world. A little of it is drawn from the seed."""
    rng = np.random.default_rng([spec.seed, BIOMES.index(spec.biome)])
    out = np.zeros(SIZE)
    for slot, value in {**_COMMON, **_TABLE[spec.biome]}.items():
        if isinstance(value, str):
            out[slot : slot + 3] = _hex(value)
        else:
            out[slot] = value
    out[BIOME] = BIOMES.index(spec.biome)
    out[SEED] = int(rng.integers(1, 2**30))
    out[FOREST] = np.clip(out[FOREST] * rng.uniform(0.6, 1.3), 0.0, 0.95)
    out[HILL] *= rng.uniform(0.7, 1.35)
    out[MOUNT] *= rng.uniform(0.6, 1.3)
    out[BASE] += rng.uniform(-2.5, 3.0)
    out[CLOUD] = rng.uniform(0.2, 0.75)
    out[FOG] *= rng.uniform(0.6, 1.25)
    for slot in (GRASS, GRASS2, LEAF, LEAF2, LEAF3, SAND):  # each world has its own slight cast
        hue, light, sat = colorsys.rgb_to_hls(*out[slot : slot + 3])
        shifted = colorsys.hls_to_rgb(hue + rng.uniform(-0.018, 0.018), light * rng.uniform(0.88, 1.12), sat)
        out[slot : slot + 3] = shifted
    elevation, sun, zenith, horizon, ambient = _LIGHT[spec.resolved_time]
    azimuth = rng.uniform(0.0, 2.0 * math.pi)
    e = math.radians(elevation * rng.uniform(0.9, 1.1))
    out[SUN : SUN + 3] = (math.cos(e) * math.cos(azimuth), math.cos(e) * math.sin(azimuth), math.sin(e))
    out[SUN_COLOUR : SUN_COLOUR + 3] = sun
    out[ZENITH : ZENITH + 3] = _hex(zenith)
    out[HORIZON : HORIZON + 3] = _hex(horizon)
    out[AMBIENT : AMBIENT + 3] = np.array(_hex(ambient)) * 1.35
    out[BOUNCE : BOUNCE + 3] = 0.16 * np.array(sun) * out[GRASS : GRASS + 3] * max(0.3, math.sin(e))
    out[NIGHT] = 1.0 if spec.resolved_time == "night" else (0.55 if spec.resolved_time == "dusk" else 0.0)
    if spec.resolved_time == "dawn":
        out[NIGHT] = 0.3
        out[FOG] *= 0.75
    if out[HALLS] > 0.0:
        out[BASE], out[HILL], out[MOUNT] = _TABLE["interior"][BASE], 0.0, 0.0
    out[DISC : DISC + 3] = np.array(sun) / max(sun) if spec.resolved_time != "night" else (0.75, 0.8, 0.9)
    return out
