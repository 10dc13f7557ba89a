"""The benchmark's own arithmetic and a run at toy size."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from engine.evaluation.bench.chunks import APPEND_ALL, ChunkCosts, Course
from engine.evaluation.bench.report import benchmark_markdown, draw_benchmark
from engine.evaluation.bench.run import BenchSettings, run_benchmark, write_json
from engine.evaluation.bench.timing import interleaved, ratio, shuffled, spread
from engine.evaluation.bench.wan import run_wan
from engine.models.embedded import EmbeddedModel


def test_variants_take_turns_and_each_is_timed_as_often() -> None:
    order: list[str] = []
    tasks = {name: (lambda name=name: order.append(name)) for name in ("a", "b", "c")}
    times = interleaved(tasks, repeats=3, warmup=1)
    assert [len(values) for values in times.values()] == [3, 3, 3]
    assert sorted(order[-3:]) == ["a", "b", "c"]
    assert all(sorted(order[n : n + 3]) == ["a", "b", "c"] for n in (0, 3, 6, 9))
    orders = [shuffled(["a", "b", "c"], turn) for turn in range(300)]
    assert orders == [shuffled(["a", "b", "c"], turn) for turn in range(300)]
    followers = [order[order.index("a") - 1] for order in orders if order[0] != "a"]
    assert 0.35 < followers.count("c") / len(followers) < 0.65


def test_a_slower_task_is_measured_slower() -> None:
    times = interleaved({"quick": lambda: None, "slow": lambda: time.sleep(0.004)}, repeats=4, warmup=0)
    found = ratio(times["slow"], times["quick"])
    assert found.value > 3
    assert found.low <= found.value <= found.high


def test_a_ratio_of_medians_shrugs_off_outliers() -> None:
    found = ratio([20.0] * 9 + [2000.0], [10.0] * 10)
    assert found.value == pytest.approx(2.0)
    assert found.low == pytest.approx(2.0)
    assert spread([1.0, 2.0, 3.0]).median_ms == 2.0
    assert spread([]).n == 0
    assert np.isnan(ratio([], [1.0]).value)


def test_chunks_leave_the_given_first_frame_out_and_amdahl_counts_what_is_shared() -> None:
    def course(readout_ms: float, mib: float) -> Course:
        stages = {"readout": [99.0] + [readout_ms] * 5, "encode": [99.0] + [0.0] * 5, "imagine": [0.0] + [6.0] * 5}
        stages |= {"decode": [99.0] + [4.0] * 5, "write": [99.0] + [0.0] * 5}
        return Course(stages, [mib * (n + 1) for n in range(6)], [n + 1 for n in range(6)], [0.0] * 6)

    costs = ChunkCosts("straight", (64, 112), {"latent": course(2.0, 0.1), "rgb": course(30.0, 5.0)}, {}, {}, 3)
    assert [value.n for value in costs.per_chunk("latent")] == [2, 3]
    assert [value.median_ms for value in costs.per_chunk("latent", ("readout",))] == [2.0, 2.0]
    assert costs.mib_per_chunk("rgb") == [15.0, 30.0]
    assert costs.stage_ratio("rgb", "latent", ("readout", "encode")).value == pytest.approx(15.0)
    end_to_end, bound = costs.amdahl("rgb", "latent")
    assert end_to_end.value == pytest.approx(40.0 / 12.0)
    assert bound == pytest.approx(4.0)  # 40 ms against the 10 ms of imagining and decoding
    assert end_to_end.value < bound


def test_wan_shapes_without_the_encoder_time_reading_alone() -> None:
    costs = run_wan(1, 1, encode_size=None, size=(64, 96))
    assert costs.encoder == "not timed"
    assert not costs.ratios
    assert all(value.median_ms > 0 for value in costs.times.values())
    assert costs.rgb_mib > costs.latent_mib > 0


def test_a_toy_run_writes_tables_and_plots(tiny_model: EmbeddedModel, tmp_path: Path) -> None:
    settings = BenchSettings(
        frames=5,
        chunk_frames=2,
        paths=("loop",),
        variants=("latent", APPEND_ALL),
        wan_frames=0,
        memory_repeats=1,
        memory_large=False,
        memory_tokens=2000,
        live_sizes=((64, 112),),
        live_frames=2,
    )
    seen: list[tuple[int, int, str]] = []
    result = run_benchmark(tiny_model, settings, on_progress=lambda *state: seen.append(state))
    assert seen[-1][0] == seen[-1][1]
    latent, cloud = (result.chunks["loop"].courses[name] for name in ("latent", APPEND_ALL))
    assert latent.mib[-1] < cloud.mib[-1]
    assert min(np.diff(cloud.mib)) > 0.9 * cloud.mib[0]  # append-all grows by a whole frame every time
    text = benchmark_markdown(result, "mirage bench")
    assert "Amdahl" in text
    assert tiny_model.spec.checksum in text
    plots = draw_benchmark(result, tmp_path)
    assert plots[0].stat().st_size > 5000
    write_json(result.to_plain(), tmp_path / "bench.json")
    told = json.loads((tmp_path / "bench.json").read_text())
    assert told["chunks"]["loop"]["variants"]["latent"]["mib_per_chunk"]
    assert len(told["memory"]) >= 5
