"""Country that was only ever imagined, replaced by a place when one arrives in it.

What lies behind things is imagined in strips, and what comes nearer is drawn anew from what it was seen as from afar.
Each time it loses shape: a wood becomes leaves without trees. While that is a small part of a view it does not matter;
when it is much of it, and most of what one sees is no longer what the first view showed, all of it is forgotten, and
one of the stored places (:mod:`engine.places`) that looks like it is set down in its stead, under the same sky and
behind what is at one's feet. So a flight can go on for as long as one likes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.ndimage import binary_closing
from torch import Tensor

from engine.camera import Camera, elevation_rad
from engine.cells import in_samples, only_sky
from engine.disocclusion import surfaces
from engine.ground import clearance_m
from engine.memory import WORN, LatentMemory, Readout
from engine.memory.countries import BEYOND
from engine.memory.points import project
from engine.places import Retold

if TYPE_CHECKING:
    from engine.places import Match

SHARE = 0.08
"""So much of a view must be worn, and nearer than it was ever drawn, before it is worth another place: who flies back
over it sees it no nearer than it was drawn."""
KEPT_M, FARTHEST_M, FARTHEST_HEIGHTS = 3.0, 80.0, 6.0
"""What is so near will soon be passed, what is so far, or so many times farther than the ground is below, is scenery:
neither is a reason, but for what is worn and rises above the horizon."""
TRUE_SHARE = 0.5
"""While so much of what is in between is what the first view showed, none of it goes."""
SCENERY_M = 400.0
"""Then all goes, however well it is known, but the sky, where it was not imagined, and what it showed that is farther:
what is left of one country stands in another like rubble, hills that lie elsewhere end as cut by a knife, and crowns
hang in the air. A mountain that was seen from the beginning stays where it stands."""
FORGOTTEN_WEAR = 1
"""Of a room only that goes which was ever drawn anew: the room that is set down is the one that it was."""
HORIZON_DEG = 3.0
"""What rises higher is above the horizon."""
INSIDE_M, INSIDE_SHARE = 1.5, 0.4
"""Where so much of a view is worn and nearer than eyes are above the ground, one is inside of what was imagined, a hill
or a crown: then nothing is kept for being near."""
MUCH, APART_M, MUCH_APART_M = 0.2, 10.0, 3.0
"""No place is set down nearer to the one before; where so much of a view is to be renewed, or one is inside of
something, nearer than that."""
ROOM_SHARE, ROOM_APART_M = 0.03, 2.0
"""So much of what one sees in a room must have been drawn anew, and no sooner after one was set right."""
GAPS = 2
"""Better known cells in between that are no wider than twice that go with the worn ones around them."""


@dataclass(frozen=True, eq=False)
class Renewal:
    """What is to be forgotten of a view.

    Attributes:
        memory: where from. kept_m: what is nearer stays, metres; 0 where one is inside of something worn.
        far_m: what is farther is scenery.
        room: whether it is one that is set right; in a building nothing is scenery.
    """

    memory: LatentMemory
    kept_m: float
    far_m: float = FARTHEST_M
    room: bool = False

    @property
    def inside(self) -> bool:
        """Nothing that is seen tells what is outside of what one is in."""
        return self.kept_m == 0.0

    def cells(self, readout: Readout) -> Tensor:
        """(h, w) bool: cells of ``readout`` that go, and gaps in between."""
        token = readout.token.cpu().numpy()
        goes = (token >= 0) & self._goes(np.maximum(token, 0), _nearness(readout))
        closed = binary_closing(np.pad(goes, GAPS + 1), np.ones((3, 3)), iterations=GAPS)
        inner = slice(GAPS + 1, -GAPS - 1)
        gone = goes | (closed[inner, inner] & _reached(readout, self.kept_m, self.far_m))
        return torch.from_numpy(gone & ~_frozen(self.memory, readout))

    def tokens(self, camera: Camera, readout: Readout, gone: Tensor) -> np.ndarray:
        """(n,) int64 ids of the tokens that go with the ``gone`` cells (h, w) of a view, ``readout``, hidden ones and
        those a little beyond its edges too; none that is frozen."""
        store = self.memory.store
        rows = np.flatnonzero(store.alive & ~store.frozen)
        x, y, inverse_depth = project(store, rows, camera, self.memory.config.cell_center)
        goes = self._goes(rows, inverse_depth)
        across, down = np.abs(x / camera.width - 0.5), np.abs(y / camera.height - 0.5)
        rows = rows[goes & (across < 0.5 + BEYOND) & (down < 0.5 + BEYOND)]
        seen = readout.samples
        if seen is None:
            return rows
        solid = in_samples(gone, seen.token) & (seen.token >= 0) & ~seen.sky
        shown = np.unique(seen.token[solid].numpy())
        return np.union1d(rows, shown[~store.frozen_at(shown)])

    def bare(self, behind: Readout, camera: Camera, gone: Tensor) -> Tensor:
        """(h, w) bool: cells of a view that nothing is left of, of those that are ``gone (h, w)``: of what the memory
        shows without their tokens, ``behind``, all but the sky above the horizon."""
        sky = only_sky(behind) & torch.from_numpy(_high(camera, gone.shape))
        return gone & ~sky

    def _goes(self, token: np.ndarray, nearness: np.ndarray) -> np.ndarray:
        """Whether a token that is seen so near (1/m), any shape, is forgotten."""
        if self.room:
            goes = self.memory.store.wear_at(token) >= FORGOTTEN_WEAR
        else:
            goes = (nearness > 1.0 / SCENERY_M) | ((nearness > 0.0) & ~_true(self.memory, token))
            goes |= (nearness == 0.0) & (self.memory.store.wear_at(token) >= int(WORN))
        return goes & (nearness * self.kept_m < 1.0)


def due(
    memory: LatentMemory,
    readout: Readout,
    camera: Camera,
    latest: Match | None,
    *,
    lent: bool = False,
    entered: bool = False,
) -> Renewal | None:
    """The renewal of what ``camera`` sees, ``readout``, if so much of it is worn and so little true that another place
    than the ``latest`` is better. In a room that is ``lent`` from a place, that still tells what was drawn anew:
    it is set right every few metres, and when one has ``entered`` it, for it was seen through a door before."""
    if not len(memory.store):
        return None
    if lent:
        drawn = (_wear(memory, readout) >= FORGOTTEN_WEAR) & ~_frozen(memory, readout)
        drawn &= _reached(readout, KEPT_M, FARTHEST_M)
        soon = not entered and latest is not None and math.dist(camera.position, latest.since) < ROOM_APART_M
        return None if soon or float(drawn.mean()) < ROOM_SHARE else Renewal(memory, KEPT_M, room=True)
    below_m = clearance_m(camera, readout.inverse_depth.cpu(), readout.token.cpu() >= 0)
    far_m = max(FARTHEST_M, FARTHEST_HEIGHTS * (below_m or 0.0))
    inside = _worn(memory, readout, 0.0, far_m) & (_nearness(readout) > 1.0 / INSIDE_M)
    kept_m = 0.0 if float(inside.mean()) > INSIDE_SHARE else KEPT_M
    nearer = readout.log2_scale.cpu().numpy() > 0.0
    share = float((_worn(memory, readout, kept_m, far_m, _high(camera, nearer.shape)) & nearer).mean())
    apart_m = MUCH_APART_M if kept_m == 0.0 or share >= MUCH else APART_M
    if share < SHARE or (latest is not None and math.dist(camera.position, latest.since) < apart_m):
        return None
    if memory.returned(camera):  # what one sees again is what one saw
        return None
    # Inside of something nothing true is seen.
    if kept_m > 0.0 and _true_share(memory, readout, far_m) >= TRUE_SHARE:
        return None
    return Renewal(memory, kept_m, far_m)


def retold_by_rooms(memory: LatentMemory, readout: Readout, lent: bool) -> Retold:
    """What rooms tell better than the memory, which has it from them: in a room that is ``lent`` all but what the user
    keeps; in the one that was truly seen all that was not; of what lies outside, what was never given."""
    free, token = ~_frozen(memory, readout), readout.token.cpu().numpy()
    wear = _wear(memory, readout)
    drawn = free & (wear >= FORGOTTEN_WEAR)
    later = drawn | (free & (token >= 0) & ~memory.began_with(np.maximum(token, 0)))
    told = torch.from_numpy(np.stack([free, drawn, later, free & (wear >= int(WORN))]))
    return Retold(told[0], told[1], told[2], told[3], lent, memory.began_at)


def wear_drawn(memory: LatentMemory, known: Readout, given: Tensor | None) -> Tensor:
    """(h, w) uint8, the wear (:attr:`engine.memory.store.TokenStore.wear`) of a view that was drawn from what was
    ``known``: an octave or more than that of what it shows; none where it was ``given (h, w)`` bool."""
    before = torch.from_numpy(_wear(memory, known).astype(np.int64))
    octaves = known.log2_scale.cpu().round().clamp(min=1).long()
    wear = torch.where(known.token.cpu() < 0, int(WORN), (before + octaves).clamp(max=int(WORN)))
    return (wear if given is None else torch.where(given.cpu(), 0, wear)).to(torch.uint8)


def _high(camera: Camera, shape: tuple[int, ...]) -> np.ndarray:
    """(h, w) bool, of ``shape``: cells of a view above the horizon."""
    return elevation_rad(camera.resized(shape[1], shape[0]).rays()) > np.deg2rad(HORIZON_DEG)


def _wear(memory: LatentMemory, readout: Readout) -> np.ndarray:
    """(h, w) uint8, of the tokens that a readout shows; WORN where it shows none."""
    token = readout.token.cpu().numpy()
    shown = token >= 0
    wear = np.full(token.shape, WORN)
    wear[shown] = memory.store.wear_at(token[shown])
    return wear


def _nearness(readout: Readout) -> np.ndarray:
    """(h, w), 1/m."""
    return surfaces(readout.inverse_depth, (readout.coverage.shape[0], readout.coverage.shape[1]))[0]


def _reached(readout: Readout, kept_m: float, far_m: float, high: np.ndarray | bool = False) -> np.ndarray:
    """(h, w) bool: cells that show something which is neither kept for being near nor for being far; what is ``high``
    is never too far."""
    nearness = _nearness(readout)
    return (nearness > np.where(high, 0.0, 1.0 / far_m)) & (nearness * kept_m < 1.0)


def _worn(
    memory: LatentMemory, readout: Readout, kept_m: float, far_m: float, high: np.ndarray | bool = False
) -> np.ndarray:
    """(h, w) bool: the same cells, where what they show is worn and nobody keeps it."""
    worn = (readout.token.cpu().numpy() >= 0) & (_wear(memory, readout) >= int(WORN))
    return worn & _reached(readout, kept_m, far_m, high) & ~_frozen(memory, readout)


def _true(memory: LatentMemory, token: np.ndarray) -> np.ndarray:
    """Whether tokens (any shape) are what the first view showed, and not what it hid."""
    return memory.began_with(token) & (memory.store.wear_at(token) == 0)


def _true_share(memory: LatentMemory, readout: Readout, far_m: float) -> float:
    """How much of what is neither near nor far in a view is true."""
    token = readout.token.cpu().numpy()
    reached = (token >= 0) & _reached(readout, KEPT_M, far_m)
    return float((_true(memory, np.maximum(token, 0)) & reached).sum()) / max(1, int(reached.sum()))


def _frozen(memory: LatentMemory, readout: Readout) -> np.ndarray:
    """(h, w) bool, cells that show what the user keeps."""
    token = readout.token.cpu().numpy()
    frozen = token >= 0
    frozen[frozen] = memory.store.frozen_at(token[frozen])
    return frozen
