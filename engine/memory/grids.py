"""Order of cells inside a keyframe: 8 x 8 tiles, so that runs of rows are compact patches that cull well."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from engine.errors import InputError

TILE = 8
MAX_CODES = 1 << 16


def fits_memory(height: int, width: int) -> bool:
    """Whether a latent grid has no more codes than 16 bits hold."""
    return 0 < -(-height // TILE) * -(-width // TILE) * TILE * TILE <= MAX_CODES


@lru_cache(maxsize=32)
def tile_order(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Row-major cell indices in tile order (height*width,) int64 and their codes (height*width,) uint16, ascending.

    Raises:
        InputError: the latent grid is empty or has more codes than 16 bits hold.
    """
    if height < 1 or width < 1 or not fits_memory(height, width):
        raise InputError(f"A latent grid of {height} x {width} tokens does not fit the memory; at most 256 x 256 do.")
    v, u = np.divmod(np.arange(height * width), width)
    codes = codes_of(u, v, width)
    order = np.argsort(codes, kind="stable")
    codes = codes[order].astype(np.uint16)
    order.setflags(write=False)
    codes.setflags(write=False)
    return order, codes


def cell_of(codes: np.ndarray, width: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
    """Column u and line v (n,) of cell ``codes (n,)`` in keyframes ``width`` cells wide."""
    code = codes.astype(np.int64)
    tiles_across = -(-np.asarray(width, dtype=np.int64) // TILE)
    tile, within = code // (TILE * TILE), code % (TILE * TILE)
    return (tile % tiles_across) * TILE + within % TILE, (tile // tiles_across) * TILE + within // TILE


def codes_of(u: np.ndarray, v: np.ndarray, width: int) -> np.ndarray:
    """The inverse: codes (n,) int64 of cells in a keyframe ``width`` cells wide."""
    tiles_across = -(-width // TILE)
    return ((v // TILE) * tiles_across + u // TILE) * TILE * TILE + (v % TILE) * TILE + u % TILE


def dilate(mask: np.ndarray) -> np.ndarray:
    """``mask (h, w)`` bool grown by its 8 neighbours."""
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    wide = grown.copy()
    wide[:, 1:] |= grown[:, :-1]
    wide[:, :-1] |= grown[:, 1:]
    return wide
