"""Maps of cells: their means over samples, their distances from each other, what belongs together, one laid over
another."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from scipy.ndimage import distance_transform_cdt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor
from torch.nn.functional import avg_pool2d

if TYPE_CHECKING:
    from engine.memory import Readout
    from engine.memory.readout import SampleMap

    T = TypeVar("T", Readout, SampleMap)

FAR, ALIKE = 0.005, 0.4
"""Inverse depth, 1/m, beyond which all is alike; and the difference of log-depth to which it is otherwise."""


def cell_means(samples: Tensor, like: Tensor) -> Tensor:
    """(h*s, w*s) -> (h, w), the shape of ``like``."""
    return avg_pool2d(samples[None], samples.shape[-1] // like.shape[-1])[0]


def in_samples(cells: Tensor, samples: Tensor) -> Tensor:
    """The inverse: (h, w) -> (h*s, w*s), the shape of ``samples``."""
    side = samples.shape[-1] // cells.shape[-1]
    return cells.repeat_interleave(side, 0).repeat_interleave(side, 1)


def distance_to(cells: Tensor) -> Tensor:
    """(h, w) bool -> (h, w) float: how many cells away the nearest true one is (chessboard); far if there is none."""
    if not bool(cells.any()):
        return torch.full(cells.shape, 1e3)
    return torch.from_numpy(distance_transform_cdt(~cells.numpy(), metric="chessboard")).float()


def connected(cells: np.ndarray, nearness: np.ndarray, ratio: float) -> np.ndarray:
    """(h, w) int64 labels: neighbours of ``cells (h, w)`` bool whose ``nearness (h, w)``, 1/m, differs by no more than
    ``ratio`` belong together; every other cell is alone."""
    cell = np.arange(cells.size).reshape(cells.shape)
    pairs = []
    for a, b in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        near, far = np.maximum(nearness[a], nearness[b]), np.minimum(nearness[a], nearness[b])
        one = cells[a] & cells[b] & (near <= ratio * far)
        pairs.append(np.stack([cell[a][one], cell[b][one]]))
    first, second = np.concatenate(pairs, axis=1)
    graph = coo_matrix((np.ones(len(first), np.bool_), (first, second)), shape=(cells.size, cells.size))
    return connected_components(graph, directed=False)[1].reshape(cells.shape).astype(np.int64)


def sky_share(readout: Readout, like: Tensor) -> Tensor:
    """(h, w) in [0, 1], how much of what is known of each cell is sky."""
    return cell_means(readout.sky.float(), like) / cell_means(readout.covered.float(), like).clamp(min=1e-6)


def only_sky(readout: Readout) -> Tensor:
    """(h, w) bool: cells that are known to be nothing but sky."""
    return (readout.coverage > 0.99) & (sky_share(readout, readout.coverage) > 0.99)


def unroofed(readout: Readout) -> Tensor:
    """(h, w) bool: cells that show sky, with nothing above them in the view but sky and what is not known."""
    share = sky_share(readout, readout.coverage)
    solid = (readout.coverage > 0.0) & (share <= 0.5)
    return (readout.coverage > 0.0) & (share > 0.5) & ~solid.cummax(0).values


def alike(here: Tensor, there: Tensor) -> Tensor:
    """Where inverse depths (h, w) are about the same: a tree is not sand in another light."""
    return torch.log(here.clamp(min=FAR) / there.clamp(min=FAR)).abs() < ALIKE


def local_mean(values: Tensor, part: Tensor, side: int) -> Tensor:
    """Means of ``values (n, h, w)`` over the cells of ``part (h, w)`` bool in a square around each."""
    weight = avg_pool2d(part[None].float(), side, 1, side // 2)
    return avg_pool2d(values * part, side, 1, side // 2) / weight.clamp(min=1e-6)


def overlaid(under: Readout, over: Readout, cells: Tensor) -> Readout:
    """``under``, but ``over`` in those ``cells (h, w)`` bool."""
    samples = in_samples(cells, under.covered)
    return replace(
        under,
        features=torch.where(cells, over.features, under.features),
        coverage=torch.where(cells, over.coverage, under.coverage),
        inverse_depth=torch.where(samples, over.inverse_depth, under.inverse_depth),
        covered=torch.where(samples, over.covered, under.covered),
        sky=torch.where(samples, over.sky, under.sky),
        log2_scale=torch.where(cells, over.log2_scale, under.log2_scale),
        parallax=torch.where(cells, 0.0, under.parallax),
        exact=torch.where(cells, 0.0, under.exact),
    )


def spliced(under: Readout, over: Readout, cells: Tensor) -> Readout:
    """``under``, but ``over`` in those ``cells (h, w)`` bool, down to the tokens that their samples see: both are of
    one memory."""
    fine = in_samples(cells, under.covered)
    whole = chosen(under, over, cells, fine)
    if under.samples is None or over.samples is None:
        return whole
    return replace(whole, samples=chosen(under.samples, over.samples, cells, fine))


def chosen(here: T, there: T, cells: Tensor, fine: Tensor) -> T:
    """The tensors of ``here``, but of ``there`` in those ``cells (h, w)`` bool; in ``fine (h*s, w*s)``, the same in
    samples, where they are of samples."""
    tensors = {field.name: getattr(here, field.name) for field in fields(here)}
    parts: dict[str, Any] = {
        name: torch.where(cells if part.shape[-2:] == cells.shape else fine, getattr(there, name), part)
        for name, part in tensors.items()
        if isinstance(part, Tensor)
    }
    return replace(here, **parts)


def without(readout: Readout, cells: Tensor) -> Readout:
    """``readout`` that knows nothing of ``cells (h, w)`` bool."""
    fine = in_samples(cells, readout.covered)
    samples = readout.samples
    if samples is not None:
        samples = replace(
            samples,
            token=torch.where(fine, -1, samples.token),
            log2_scale=torch.where(fine, 0.0, samples.log2_scale),
            inverse_depth=torch.where(fine, 0.0, samples.inverse_depth),
            sky=samples.sky & ~fine,
        )
    return replace(
        readout,
        features=torch.where(cells.to(readout.features.device), 0.0, readout.features),
        coverage=torch.where(cells, 0.0, readout.coverage),
        inverse_depth=torch.where(fine, 0.0, readout.inverse_depth),
        covered=readout.covered & ~fine,
        sky=readout.sky & ~fine,
        token=torch.where(cells, -1, readout.token),
        log2_scale=torch.where(cells, 0.0, readout.log2_scale),
        parallax=torch.where(cells, 0.0, readout.parallax),
        exact=torch.where(cells, 0.0, readout.exact),
        samples=samples,
    )
