"""Flights: films, reports, revisits, metrics."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine import panels
from engine.errors import InputError
from engine.flight import Flight, fly, layout_frame, revisit_pairs
from engine.metrics import psnr_db, ssim
from engine.models.embedded import EmbeddedModel
from engine.report import REPORT_VERSION
from engine.video import FrameWriter
from engine.world_model import CancelToken
from tests.engine.explorer_support import camera, explorer, first_view

LOOP = [camera(0.0, yaw) for yaw in (0.0, 6.0, 12.0, 6.0, 0.0)]


class Shelf:
    """A writer that keeps frames."""

    fps = 24.0

    def __init__(self) -> None:
        self.frames: list[np.ndarray] = []
        self.closed = False

    def write(self, rgb: np.ndarray) -> None:
        self.frames.append(rgb)

    def close(self) -> None:
        self.closed = True


def test_revisits_are_pairs_that_were_left_in_between() -> None:
    assert revisit_pairs(LOOP) == [(1, 3), (0, 4)]
    assert revisit_pairs([camera()] * 5) == []
    assert revisit_pairs([camera(0.02 * i) for i in range(5)]) == []
    zoomed = camera().from_fov(camera().c2w, 30.0, 112, 64)
    assert revisit_pairs([camera(), camera(3.0), zoomed]) == []
    assert revisit_pairs([]) == []


def test_a_flight_reports_what_it_cost(tiny_model: EmbeddedModel, tmp_path: Path) -> None:
    shelf, seen = Shelf(), []
    report = fly(
        explorer(tiny_model),
        LOOP,
        shelf,
        first=first_view(),
        on_step=lambda number, result: seen.append((number, result.index)),
        report_path=tmp_path / "fly.json",
    )
    assert seen == [(i, i) for i in range(5)] and shelf.closed and len(shelf.frames) == 5
    values = json.loads((tmp_path / "fly.json").read_text())
    assert values["version"] == REPORT_VERSION and values["frames"] == 5 and not values["cancelled"]
    assert {"readout", "complete", "imagine", "decode", "write", "encode", "film"} == set(values["stages"])
    assert values["stages"]["imagine"]["p95_ms"] >= values["stages"]["imagine"]["median_ms"] > 0
    assert len(values["points"]) == len(values["coverage"]) == len(values["mib"]) == len(values["points_added"]) == 5
    assert values["points"][-1] == sum(values["points_added"])
    assert [(pair["first"], pair["second"]) for pair in values["revisits"]] == [(1, 3), (0, 4)]
    assert values["revisit_psnr_db"] > 0 and values["growth_after_return"] <= 0.02
    assert values["model_checksum"] == "tiny-0" and values["config"]["memory"] == "latent"
    assert values["machine"]["cores"] >= 1 and values["machine"]["torch"] and values["peak_rss_mib"] > 50
    assert values["generated_fps"] > 0 and report.first_frame_s > 0


def test_flying_on_from_a_begun_explorer(tiny_model: EmbeddedModel) -> None:
    one = explorer(tiny_model)
    one.begin(camera(), first_view())
    report = fly(one, LOOP[:2], steps=2)
    assert one.index == 3 and report.frames == 2 and report.config["steps"] == 2


@pytest.mark.parametrize("stop", ["cancel", "ctrl-c"])
def test_stopping_keeps_a_playable_film(tiny_model: EmbeddedModel, tmp_path: Path, stop: str) -> None:
    cancel = CancelToken()

    def on_step(number: int, result: object) -> None:
        if number == 2:
            if stop == "ctrl-c":
                raise KeyboardInterrupt
            cancel.cancel()

    film = tmp_path / "fly.mp4"
    report = fly(explorer(tiny_model), LOOP, FrameWriter(film), first=first_view(), on_step=on_step, cancel=cancel)
    assert report.cancelled and report.frames == 3 and report.asked == 5
    import av

    with av.open(str(film)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 3
    assert list(tmp_path.iterdir()) == [film]


@pytest.mark.parametrize(
    ("layout", "size"), [("generated", (128, 224)), ("side-by-side", (64, 340)), ("with-memory", (64, 226))]
)
def test_layouts(tiny_model: EmbeddedModel, layout: str, size: tuple[int, int]) -> None:
    shelf = Shelf()
    fly(explorer(tiny_model), LOOP[:2], shelf, layout=layout, first=first_view())  # type: ignore[arg-type]
    assert {frame.shape for frame in shelf.frames} == {(*size, 3)}
    assert all(frame.dtype == np.uint8 for frame in shelf.frames)


def test_the_same_flight_gives_the_same_film(tiny_model: EmbeddedModel) -> None:
    shelves = [Shelf(), Shelf()]
    for shelf in shelves:
        fly(explorer(tiny_model), LOOP, shelf, layout="side-by-side", first=first_view())
    assert all(np.array_equal(a, b) for a, b in zip(shelves[0].frames, shelves[1].frames, strict=True))


def test_bad_flights_say_so(tiny_model: EmbeddedModel) -> None:
    with pytest.raises(InputError, match="at least one camera"):
        Flight(explorer(tiny_model), [])
    with pytest.raises(InputError, match="cinema"):
        Flight(explorer(tiny_model), LOOP, layout="cinema")  # type: ignore[arg-type]


def test_metrics_know_equal_and_different_images() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (32, 40, 3)).astype(np.uint8)
    noisy = np.clip(image + rng.normal(0, 25.5, image.shape), 0, 255).astype(np.uint8)
    assert psnr_db(image, image) == 100.0 and ssim(image, image) == pytest.approx(1.0)
    assert 19.0 < psnr_db(image, noisy) < 22.5 and 0.1 < ssim(image, noisy) < 0.98
    half = np.full((10, 10, 3), 0.5)
    assert psnr_db(half, half + 0.1) == pytest.approx(20.0)
    mask = np.zeros((32, 40), bool)
    assert np.isnan(psnr_db(image, noisy, mask)) and np.isnan(ssim(image, noisy, mask))
    mask[:16] = True
    mixed = np.where(mask[..., None], image, noisy)
    assert psnr_db(image, mixed, mask) == 100.0 and psnr_db(image, mixed, ~mask) < 25.0
    with pytest.raises(InputError, match="one shape"):
        psnr_db(image, image[:8])
    with pytest.raises(InputError, match="11x11"):
        ssim(image[:8], image[:8])


def test_panels_draw_what_they_say() -> None:
    frame = np.full((64, 112, 3), 128, np.uint8)
    cover = np.zeros((8, 14))
    cover[:, :7] = 1.0
    image = panels.coverage_image(cover, frame).astype(int)
    assert image[:, :50, 2].mean() > image[:, :50, 0].mean(), "remembered is teal"
    assert image[:, 60:, 0].mean() > image[:, 60:, 2].mean(), "invented is amber"
    labelled = panels.label(frame, "generated")
    assert (labelled != frame).any() and (labelled[:32] == frame[:32]).all()
    points = np.array([[5.0, 0.0, 2.0], [50.0, 0.0, 2.0]], np.float32)
    seen = panels.points_image(points, np.array([[255, 0, 0], [0, 255, 0]], np.uint8), camera())
    assert seen[..., 0].max() > 150 and seen[..., 1].max() < 60, "the near point hides the far one"
    basis, mean = panels.pca(np.random.default_rng(0).normal(size=(200, 8)))
    assert basis.shape == (8, 3) and mean.shape == (8,)


def test_a_frame_without_a_memory_can_be_laid_out(tiny_model: EmbeddedModel) -> None:
    one = explorer(tiny_model, "none")
    result = one.begin(camera(), first_view())
    assert layout_frame(result, "with-memory", one).shape == (64, 226, 3)
