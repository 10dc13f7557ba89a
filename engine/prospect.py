"""What a step is about to imagine: how wide a view, and what it may build on; and what came of it.

The frame is widened where its edge is unknown (:mod:`engine.overscan`), and what the memory does not know of it is
completed from a stored place where the model carries some (:mod:`engine.places`), or, where that is a strip behind a
near thing, from what lies beside it (:mod:`engine.disocclusion`). Where most of what it knows is worn, that is
forgotten first (:mod:`engine.renewal`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from engine.camera import Camera
from engine.cells import in_samples, without
from engine.disocclusion import extend_background
from engine.memory import Mosaic
from engine.overscan import edge_unknown, inventing_steps, much_unknown, widened
from engine.places import Forgotten
from engine.renewal import FORGOTTEN_WEAR, due, retold_by_rooms, wear_drawn

if TYPE_CHECKING:
    from engine.memory import LatentMemory, LatentView, Readout
    from engine.places import Match, Places


@dataclass(frozen=True, eq=False)
class Prospect:
    """The view to imagine.

    Attributes:
        camera: the frame's, or a wider one.
        known: what the memory knows of it and is to stay; its features, where it shows that as it was seen.
        believed: the same, completed; what the model builds on.
        inventive: much of it is new.
        steps: denoising steps it is worth.
        match: the place it was completed from, or the one before.
        given: (h, w) bool, cells that come from a place, or ``None``. anew: those of them that are known, too.
        wear: (h, w) uint8 of what is imagined, or ``None`` where no latent memory keeps account of it.
        renewed: (n,) tokens that it replaces. seamless: by what they were, in a room of a building that was there
            before. founds: by another country.
    """

    camera: Camera
    known: Readout
    believed: Readout
    inventive: bool
    steps: int
    match: Match | None
    given: Tensor | None = None
    anew: Tensor | None = None
    wear: Tensor | None = None
    renewed: np.ndarray | tuple[()] = ()
    seamless: bool = False
    founds: bool = False

    def news(self, latents: Tensor, lasting: Tensor, shown: Tensor, writable: Tensor) -> News:
        """What came of it; see :class:`News`."""
        return News(
            self.camera,
            self.known,
            latents,
            lasting,
            shown,
            writable,
            match=self.match,
            wear=self.wear,
            renewed=self.renewed,
            founds=self.founds,
        )


@dataclass(frozen=True, eq=False)
class News:
    """A view about to be shown and written.

    Attributes:
        camera: the view; wider than the frame where its edge was unknown.
        readout: what the memory knew of it.
        latents: (C, h, w), to be shown. lasting: the same, to be remembered.
        shown: (hs, ws) finite inverse depth. writable: the same to be remembered, NaN where it must not be.
        depth_m: (H, W) where depth of full resolution is known.
        match: the place that the next view goes on from.
        finer: the same view at finer scales, and behind: what stands behind its near things, where these are given.
        wear, renewed, founds: see :class:`Prospect`.
    """

    camera: Camera
    readout: Readout
    latents: Tensor
    lasting: Tensor
    shown: Tensor
    writable: Tensor
    depth_m: Tensor | None = None
    match: Match | None = None
    finer: Sequence[LatentView] = ()
    behind: LatentView | None = None
    wear: Tensor | None = None
    renewed: np.ndarray | tuple[()] = ()
    founds: bool = False


def look_ahead(
    camera: Camera,
    known: Mosaic,
    read: Callable[[Camera], Mosaic],
    places: Places | None,
    *,
    stride: int,
    biome: str,
    steps: int,
    generator: torch.Generator,
    latest: Match | None,
    before: Camera | None,
    memory: LatentMemory | None = None,
    renews: bool = False,
) -> Prospect:
    """Decide what to imagine for a frame.

    Args:
        camera: the frame's. known: what the memory knows of it.
        read: reads the memory for another camera.
        places: what completes it; ``None`` leaves that to what lies beside and to the denoiser.
        stride: pixels a token.
        steps: denoising steps of a frame that is remembered.
        generator: chooses a place where nothing is known.
        latest: the place that the view before was completed from.
        before: the view before; what a glance aside shows at once must fit to it, though they share nothing.
        memory: what was read, if it keeps account of wear; where it ``renews``, what is worn gives way to a place.
    """

    def trusted(view: Mosaic, camera: Camera) -> Mosaic:
        hides = None if places is None else places.roofed(view.sight, camera, biome, latest)
        return view if hides is None else view.without(hides)

    known, came_from = trusted(known, camera), latest
    renewal, entered, lent = None, False, False
    if memory is not None and places is not None and renews:
        entered = places.another_room(latest, camera, biome)
        # The room that one began in was truly seen, and stays what it is.
        lent = places.built(biome) and not places.in_room_of(memory.began_at, camera, biome, latest)
        # While one only looks in, the walls that one sees are those of the room that one stands in.
        if not places.built(biome) or (lent and not places.about_to_enter(camera, biome, latest)):
            renewal = due(memory, known.sight, camera, latest, lent=lent, entered=entered)
    wide = renewal is not None or edge_unknown(known.sight.coverage)
    # In a building places know best what goes on behind a pillar; elsewhere what lies beside does.
    built = places is not None and places.built(biome)
    believed = known if built else Mosaic(extend_background(known.readout, between=True))
    inventive = wide or much_unknown(believed.sight.coverage)
    asks = places is not None and built and (lent or not bool(places.known(known.sight, biome).all()))
    told_by = memory if built and renews else None
    asks = asks or (told_by is not None and bool(retold_by_rooms(told_by, known.sight, lent).later.any()))
    if not inventive and not asks:
        worn = _wear(memory, known.sight, None)
        return Prospect(camera, known.readout, extend_background(believed.readout), False, steps, latest, wear=worn)
    if wide:
        camera = widened(camera, stride)
        known = trusted(read(camera), camera)
    forgotten: Forgotten | None = None
    renewed: np.ndarray | tuple[()] = ()
    if renewal is not None:
        gone = renewal.cells(known.sight)
        renewed = renewal.tokens(camera, known.sight, gone)
        forgotten = Forgotten(known, None if renewal.inside else latest, gone)
        with renewal.memory.overlooking(renewed):
            behind = read(camera)
            believed = known = trusted(behind.without(renewal.bare(behind.sight, camera, gone)), camera)
        if not renewal.inside:  # there the place that one came from is the best guess
            latest = None
    elif wide:
        believed = known if built else Mosaic(extend_background(known.readout, between=True))
    view = known.sight
    given = anew = provisional = None
    if places is not None:
        if latest is None and before is not None and not bool((view.coverage > 0.0).any()):
            latest = places.complete(read(before), before, biome, generator).match
        retold = None if told_by is None else retold_by_rooms(told_by, view, lent)
        completed = places.complete(believed, camera, biome, generator, latest, forgotten, retold)
        latest, given, anew = completed.match, completed.taken, completed.anew
        view = without(view, completed.hidden)
        view = replace(view, exact=torch.where(anew, 0.0, view.exact))
        provisional, believed = completed.outside, Mosaic(completed.readout)
    complete = believed.readout
    # Where it is shown as it was seen, it is believed as it is known.
    view = replace(view, features=torch.where(view.exact > 0.0, complete.features, 0.0))
    complete = extend_background(complete)
    if much_unknown(complete.coverage):
        steps = inventing_steps(steps)
    wear = _wear(memory, view, given)
    if wear is not None and provisional is not None:  # until one enters that room
        wear = torch.where(provisional, FORGOTTEN_WEAR, wear)
    foreseen = came_from is not None and latest is not None and came_from.room(latest.anchor) is not None
    seamless = renewal is not None and renewal.room and (foreseen or not entered)
    founds = renewal is not None and not renewal.room
    return Prospect(camera, view, complete, inventive, steps, latest, given, anew, wear, renewed, seamless, founds)


def _wear(memory: LatentMemory | None, known: Readout, given: Tensor | None) -> Tensor | None:
    return wear_drawn(memory, known, given) if memory is not None else None


def as_remembered(known: Readout, latents: Tensor) -> Tensor:
    """Latents (C, h, w) to show: what was imagined, but where a cell shows a token just as it was seen, that.

    Of a frame that was made from here before, that is what was new in it; of the first view, all.
    """
    return torch.lerp(latents, known.features.to(latents), known.exact.to(latents))


def as_given(ahead: Prospect, latents: Tensor, shown: Tensor, writable: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Latents (C, h, w) to remember, depth (hs, ws) to show and depth to remember: what was imagined, but where a cell
    comes from a place, that.

    A place has true latents and exact depth. What is drawn of them for show has passed through denoiser and detail;
    remembered, it would pass through both again.
    """
    if ahead.given is None or not bool(ahead.given.any()):
        return latents, shown, writable
    believed = ahead.believed
    known = ahead.known.covered
    if ahead.anew is not None:
        known = known & ~in_samples(ahead.anew, known)
    fine = in_samples(ahead.given, believed.covered) & believed.covered & ~known
    fine, given = fine.to(shown.device), ahead.given.to(latents.device)
    return (
        torch.where(given, believed.features.to(latents), latents),
        torch.where(fine, believed.inverse_depth, shown),
        torch.where(fine, believed.inverse_depth, writable),
    )
