"""The explorer on the real classes at a tiny width."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from engine.errors import Cancelled, InputError
from engine.explorer import Explorer, ExplorerConfig
from engine.messages import MEMORY_VARIANTS, MemoryVariant
from engine.models.embedded import EmbeddedModel
from engine.session.records import FrameRecord
from engine.stepping import check_size, step_generator
from engine.world_model import CancelToken, Chunk, ChunkRequest
from tests.engine.explorer_support import SIZE, camera, explorer, first_view

PATH = [camera(0.3 * i, 4.0 * i) for i in range(4)]


def test_same_seed_same_frames_other_seed_other_frames(tiny_model: EmbeddedModel) -> None:
    def fly(seed: int) -> list[np.ndarray]:
        one = explorer(tiny_model, seed=seed)
        return [one.begin(PATH[0]).rgb, *(one.step(camera).rgb for camera in PATH[1:])]

    first, again, other = fly(1), fly(1), fly(2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_steps_have_generators_of_their_own() -> None:
    draws = [torch.rand(4, generator=step_generator(seed, index)).tolist() for seed in (0, 1) for index in (0, 1)]
    assert len({tuple(draw) for draw in draws}) == 4
    assert torch.rand(4, generator=step_generator(1, 1)).tolist() == draws[3]


@pytest.mark.parametrize("variant", MEMORY_VARIANTS)
def test_every_memory_explores(tiny_model: EmbeddedModel, variant: MemoryVariant) -> None:
    one = explorer(tiny_model, variant)
    one.begin(camera(), first_view())
    result = one.step(camera(0.2, 3.0))
    assert result.rgb.shape == (*SIZE, 3) and result.rgb.dtype == np.uint8
    assert np.isfinite(result.inverse_depth).all() and (result.inverse_depth >= 0).all()
    assert {"readout", "imagine", "decode", "write"} <= set(result.timings_ms)
    if variant == "none":
        assert result.coverage_mean == 0.0 and one.coverage(camera()) == 0.0
    else:
        assert result.coverage_mean > 0.5 and one.coverage(camera()) > 0.9
    assert one.fork().step(camera(0.4)).index == 2 and one.index == 2


@pytest.mark.parametrize("variant", ["latent", "latent-flat", "latent-nearest", "append"])
def test_what_is_imagined_is_told_from_what_was_given(tiny_model: EmbeddedModel, variant: MemoryVariant) -> None:
    one = explorer(tiny_model, variant)
    one.begin(camera(), first_view())
    memory = one.memory.latent
    assert memory is not None
    given = len(memory.store) if variant != "latent" else int((memory.store.wear == 0).sum())
    one.step(camera(0.0, 40.0))
    assert len(memory.store) > given and int((memory.store.wear == 0).sum()) == given


def test_the_first_view_is_remembered(tiny_model: EmbeddedModel) -> None:
    one = explorer(tiny_model)
    view = first_view()
    result = one.begin(camera(), view)
    truth = tiny_model.decode(tiny_model.encode(torch.from_numpy(view.rgb)[None]))[0].permute(1, 2, 0).float()
    assert np.abs(result.rgb / 255.0 - truth.numpy()).max() < 0.01
    assert result.coverage_mean == 0.0 and 8 * 14 < result.tokens_written < 2 * 8 * 14, "the view and its backdrop"
    assert (result.inverse_depth[:7, :19] == 0.0).all(), "sky"
    assert np.allclose(result.inverse_depth[:8, 21:], 0.2), "the wall"
    assert one.preview(camera()).coverage.min() == 1.0


def test_who_stands_still_or_comes_back_sees_what_was_there(tiny_model: EmbeddedModel) -> None:
    one = explorer(tiny_model)
    first = one.begin(camera(), first_view())
    assert np.abs(one.step(camera()).rgb.astype(int) - first.rgb).max() <= 1, "half precision is all that is lost"
    there = one.step(camera(0.3))
    assert np.abs(there.rgb.astype(int) - first.rgb).max() > 1
    back = one.step(camera())
    assert np.abs(back.rgb.astype(int) - first.rgb).mean() < 0.5


def test_preview_writes_nothing_and_is_dark_where_nothing_is_known(tiny_model: EmbeddedModel) -> None:
    one = explorer(tiny_model)
    one.begin(camera(), first_view())
    stats = one.memory.stats()
    away = one.preview(camera(0.0, 180.0))
    assert away.coverage.max() == 0.0 and away.rgb.max() < 30 and (away.token == -1).all()
    assert dataclasses.replace(one.memory.stats(), hit_rate=0.0).tokens_stored == stats.tokens_stored and one.index == 1


def test_turning_back_adds_nothing(tiny_model: EmbeddedModel) -> None:
    one = explorer(tiny_model)
    one.begin(camera(), first_view())
    out = [camera(0.0, 5.0 * i) for i in range(1, 6)]
    for view in out:
        there = one.step(view)
    for view in [*reversed(out), camera()]:
        back = one.step(view)
    assert back.coverage_mean > 0.98
    assert back.stats.tokens_living <= 1.02 * there.stats.tokens_living


def test_append_grows_with_every_frame(tiny_model: EmbeddedModel) -> None:
    one = explorer(tiny_model, "append")
    one.begin(camera(), first_view())
    assert one.step(camera()).stats.tokens_living > 1.8 * one.memory.stats().tokens_living / 2
    assert one.memory.stats().tokens_living > 200


class Failing:
    """The real model, interrupted at one place."""

    def __init__(self, model: EmbeddedModel, error: BaseException) -> None:
        self._model, self._error = model, error
        self.armed = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._model, name)

    def imagine(self, request: ChunkRequest) -> Chunk:
        chunk = self._model.imagine(request)
        if self.armed:
            raise self._error
        return chunk

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return self._model.decode(latents)


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt(), Cancelled()])
def test_a_failed_step_leaves_no_trace(tiny_model: EmbeddedModel, error: BaseException) -> None:
    model = Failing(tiny_model, error)
    one, same = Explorer(model, ExplorerConfig(seed=1)), explorer(tiny_model)  # type: ignore[arg-type]
    same.config = one.config
    for each in (one, same):
        each.begin(camera(), first_view())
    model.armed = True
    with pytest.raises(type(error)):
        one.step(camera(0.5, 20.0))
    with pytest.raises(type(error)):
        one.begin(camera())
    model.armed = False
    a, b = one.step(camera(0.5, 20.0)), same.step(camera(0.5, 20.0))
    assert np.array_equal(a.rgb, b.rgb) and a.node == b.node and a.index == b.index
    assert a.stats.tokens_living == b.stats.tokens_living


def test_cancel_between_denoising_steps(tiny_model: EmbeddedModel) -> None:
    one = explorer(tiny_model)
    one.begin(camera(), first_view())
    cancel, seen = CancelToken(), []

    def progress(fraction: float, text: str) -> None:
        seen.append(fraction)
        if len(seen) == 3:
            cancel.cancel()

    with pytest.raises(Cancelled):
        one.step(camera(1.0, 120.0), steps=50, progress=progress, cancel=cancel)
    assert len(seen) == 3 and one.index == 1


def test_a_frame_of_which_all_is_known_takes_no_steps_and_is_not_refined(tiny_model: EmbeddedModel) -> None:
    one = explorer(tiny_model)
    one.begin(camera(), first_view())
    new = one.step(camera(0.4, 60.0), steps=2)
    assert new.steps == 2 and one.can_refine(new)
    again = one.step(camera(0.4, 60.0), steps=2)
    assert again.steps == 0 and again.tokens_written == 0 and not one.can_refine(again)
    with pytest.raises(InputError, match="imagined"):
        one.refine(again, steps=4)


def test_refining_replaces_what_the_draft_wrote(tiny_model: EmbeddedModel) -> None:
    one, straight = explorer(tiny_model), explorer(tiny_model)
    for each in (one, straight):
        each.begin(camera(), first_view())
    draft = one.step(camera(0.4, 15.0), steps=1)
    assert draft.tokens_written > 0
    better = one.refine(draft, steps=3)
    wanted = straight.step(camera(0.4, 15.0), steps=3)
    assert np.array_equal(better.rgb, wanted.rgb) and better.index == draft.index
    assert better.stats.tokens_stored == wanted.stats.tokens_stored and better.stats.nodes == wanted.stats.nodes
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        one.refine(better, steps=4, cancel=cancel)
    a, b = one.step(camera(0.6, 20.0)), straight.step(camera(0.6, 20.0))
    assert np.array_equal(a.rgb, b.rgb)
    with pytest.raises(InputError, match="newest"):
        one.refine(better, steps=2)


def test_a_fork_goes_its_own_way(tiny_model: EmbeddedModel) -> None:
    one = explorer(tiny_model)
    one.begin(camera(), first_view())
    before = one.memory.stats().tokens_stored
    other = one.fork(size=(96, 128))
    assert other.step(camera(0.0, 90.0)).rgb.shape == (96, 128, 3)
    assert one.memory.stats().tokens_stored == before and one.index == 1
    assert other.memory.stats().tokens_stored > before


def test_erasing_makes_the_model_invent_again(tiny_model: EmbeddedModel) -> None:
    one = explorer(tiny_model)
    one.begin(camera(), first_view())
    memory = one.memory.latent
    assert memory is not None
    memory.erase(memory.living()[:40])
    result = one.step(camera())
    assert result.coverage_mean < 0.75 and result.tokens_written >= 30


def test_a_smaller_size_goes_on_with_the_same_memory(tiny_model: EmbeddedModel) -> None:
    one = explorer(tiny_model)
    one.begin(camera(), first_view())
    one.resize((48, 80))
    assert one.step(camera()).rgb.shape == (48, 80, 3)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (ExplorerConfig(size=(60, 112)), "64x112 is the nearest"),
        (ExplorerConfig(size=(8, 8)), "at least 32"),
        (ExplorerConfig(biome="swamp"), "swamp"),
        (ExplorerConfig(budget_mib=-1.0), "budget"),
    ],
)
def test_bad_configurations_say_so(tiny_model: EmbeddedModel, config: ExplorerConfig, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Explorer(tiny_model, config)


def test_bad_beginnings_say_so(tiny_model: EmbeddedModel) -> None:
    one = explorer(tiny_model)
    with pytest.raises(InputError, match="Begin the world"):
        one.step(camera())
    view = first_view()
    with pytest.raises(InputError, match="no surface"):
        one.begin(camera(), SimpleNamespace(rgb=view.rgb, depth_m=np.full(SIZE, np.inf, np.float32)))
    with pytest.raises(InputError, match="64x112 with depth"):
        one.begin(camera(), SimpleNamespace(rgb=view.rgb[:, :32], depth_m=view.depth_m[:32]))
    with pytest.raises(InputError, match="Only a procedural world"):
        one.first_view(camera())
    check_size((64, 112), 8)


def test_the_fine_picture_is_the_same_frame_drawn_larger(tiny_model: EmbeddedModel) -> None:
    """What is generated and remembered does not depend on it, and measured pixels stay of the camera's size."""
    drawn = explorer(tiny_model)
    plain = Explorer(tiny_model, replace(drawn.config, fine=False))
    results = []
    for one in (drawn, plain):
        one.begin(camera(), first_view())
        results.append([one.step(camera(0.3 * k, 20.0 * k)) for k in range(3)])
    assert any(result.wide for result in results[0])
    for fine, coarse in zip(*results, strict=True):
        assert coarse.fine_rgb is None and coarse.picture is coarse.rgb
        assert fine.fine_rgb is not None and fine.picture is fine.fine_rgb
        assert fine.fine_rgb.shape == (2 * fine.rgb.shape[0], 2 * fine.rgb.shape[1], 3)
        assert np.array_equal(fine.rgb, coarse.rgb)
        assert np.array_equal(fine.coverage, coarse.coverage)
        reduced = fine.fine_rgb.reshape(fine.rgb.shape[0], 2, fine.rgb.shape[1], 2, 3).mean((1, 3))
        shifted = np.abs(reduced - np.roll(fine.rgb, 8, axis=1)).mean()
        assert np.abs(reduced - fine.rgb).mean() < shifted


def test_kept_frames_are_as_fine_as_they_were_drawn(tiny_model: EmbeddedModel) -> None:
    one = explorer(tiny_model)
    one.begin(camera(), first_view())
    result = one.step(camera(0.2))
    record = FrameRecord.of(result)
    assert record.picture().shape == result.picture.shape
    assert record.rgb().shape == result.rgb.shape
    again = record.result()
    assert again.picture.shape == result.picture.shape and again.rgb.shape == result.rgb.shape
    coarse = FrameRecord.of(replace(result, fine_rgb=None)).result()
    assert coarse.fine_rgb is None and coarse.rgb.shape == result.rgb.shape
