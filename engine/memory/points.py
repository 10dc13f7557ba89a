"""Tokens as the paper's points: one position each, derived from keyframe and geometry whenever somebody asks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.camera import Camera
from engine.errors import InputError
from engine.memory.kernels import ALIVE, PLANAR
from engine.memory.store import TokenStore

SKY_DRAWN_M = 1000.0
"""Sky lies at infinity; where a position is wanted (for drawing), it is this far away."""


def center_inverse_depth(store: TokenStore, rows: np.ndarray) -> np.ndarray:
    """(n,) float32: the mean of a token's samples, or its nearest surface where it straddles an edge; 0 is sky."""
    values = store.inverse_depth(rows)
    if values.shape[1] == 1:
        return values[:, 0]
    valid = values >= 0.0
    high = np.where(valid, values, np.float32(0.0)).max(axis=1)
    total = np.where(valid, values, np.float32(0.0)).sum(axis=1, dtype=np.float32)
    planar = (store.state.rows[rows] & PLANAR) > 0
    return np.where(planar, total / np.maximum(valid.sum(axis=1), 1).astype(np.float32), high)


def rays(store: TokenStore, rows: np.ndarray, cell_center: float) -> tuple[np.ndarray, np.ndarray]:
    """World rays (n, 3) with source z = 1 through tokens, and their keyframes' positions (n, 3), float64."""
    packed = store.keyframes.rows[store.keyframes_of(rows)]
    u, v = store.cell(rows)
    local = np.stack(
        [
            (u + cell_center - packed[:, 14]) / packed[:, 12],
            (v + cell_center - packed[:, 15]) / packed[:, 13],
            np.ones(len(rows)),
        ],
        axis=1,
    )
    return np.einsum("nij,nj->ni", packed[:, :9].reshape(-1, 3, 3), local), packed[:, 9:12]


def positions(store: TokenStore, rows: np.ndarray, cell_center: float = 0.5) -> np.ndarray:
    """(n, 3) float32 world points of tokens, metres; sky is put :data:`SKY_DRAWN_M` away."""
    directions, centers = rays(store, rows, cell_center)
    inverse_depth = center_inverse_depth(store, rows).astype(np.float64)
    return (centers + directions / np.where(inverse_depth > 0.0, inverse_depth, 1.0 / SKY_DRAWN_M)[:, None]).astype(
        np.float32
    )


def footprints_m(store: TokenStore, rows: np.ndarray) -> np.ndarray:
    """(n,) float32 side of a token on a surface that faces it, metres; infinite for sky."""
    focal = np.sqrt(store.keyframes.rows[store.keyframes_of(rows)][:, 12:14].prod(axis=1))
    with np.errstate(divide="ignore"):
        return (1.0 / (focal * center_inverse_depth(store, rows))).astype(np.float32)


def project(
    store: TokenStore, rows: np.ndarray, grid: Camera, cell_center: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens in ``grid`` cells: x, y and inverse depth there (n,) float64; NaN behind the camera."""
    directions, centers = rays(store, rows, cell_center)
    inverse_depth = center_inverse_depth(store, rows).astype(np.float64)
    P = grid.K @ grid.c2w[:3, :3].T
    seen = directions @ P.T + inverse_depth[:, None] * ((centers - grid.position) @ P.T)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(seen[:, 2] > 0.0, seen[:, 2], np.nan)
        return seen[:, 0] / z, seen[:, 1] / z, inverse_depth / z


@dataclass(frozen=True)
class TokenInfo:
    """Where tokens come from; every field has one entry per token asked for.

    Attributes:
        node: (n,) tree node that wrote it. keyframe: (n,). cell: (n, 2) column and line in the keyframe.
        depth_m: (n,) float32, z-depth in the keyframe, inf for sky. footprint_m: (n,) float32 side on a facing surface.
        reads: (n,) how many readouts it won a cell in (at most 255). alive, frozen: (n,) bool at the present node.
    """

    node: np.ndarray
    keyframe: np.ndarray
    cell: np.ndarray
    depth_m: np.ndarray
    footprint_m: np.ndarray
    reads: np.ndarray
    alive: np.ndarray
    frozen: np.ndarray


def token_info(store: TokenStore, rows: np.ndarray) -> TokenInfo:
    """Provenance of ``rows (n,)``."""
    keyframe = store.keyframes_of(rows)
    with np.errstate(divide="ignore"):
        depth_m = 1.0 / center_inverse_depth(store, rows)
    return TokenInfo(
        node=store.keyframe_node.rows[keyframe],
        keyframe=keyframe,
        cell=np.stack(store.cell(rows), axis=1),
        depth_m=depth_m,
        footprint_m=footprints_m(store, rows),
        reads=store.reads.rows[rows].astype(np.int64),
        alive=(store.state.rows[rows] & ALIVE) > 0,
        frozen=store.frozen_at(rows),
    )


@dataclass(frozen=True, eq=False)
class OrientedBox:
    """A box in the world.

    Attributes:
        center: (3,) metres. half_size_m: (3,) along its own axes. axes: (3, 3), columns are its axes; the identity
            stands upright.
    """

    center: np.ndarray
    half_size_m: np.ndarray
    axes: np.ndarray | None = None

    def __post_init__(self) -> None:
        center, half = np.asarray(self.center, float), np.asarray(self.half_size_m, float)
        axes = np.eye(3) if self.axes is None else np.asarray(self.axes, float)
        if center.shape != (3,) or half.shape != (3,) or axes.shape != (3, 3):
            raise InputError("A box needs a centre (3), half sizes (3) and axes (3, 3).")
        if not (np.isfinite(center).all() and np.isfinite(half).all() and (half > 0).all()):
            raise InputError("A box needs a finite centre and half sizes above 0 metres.")
        if not np.allclose(axes @ axes.T, np.eye(3), atol=1e-4):
            raise InputError("A box's axes must be perpendicular unit vectors.")
        for name, value in (("center", center), ("half_size_m", half), ("axes", axes)):
            object.__setattr__(self, name, value)

    def contains(self, points: np.ndarray) -> np.ndarray:
        """(n,) bool for world points (n, 3)."""
        local = (points - self.center) @ self.axes
        return np.asarray((np.abs(local) <= self.half_size_m).all(axis=1))
