"""The work behind ``mirage eval`` and ``mirage bench``: check, load, measure with progress, write tables and plots."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from engine.errors import InputError
from engine.evaluation.bench.report import Benchmark, Startup, benchmark_markdown, draw_benchmark
from engine.evaluation.bench.run import BenchSettings, run_benchmark, write_json
from engine.evaluation.plots import draw
from engine.evaluation.recorded import find_clips
from engine.evaluation.run import evaluate as run_evaluation
from engine.evaluation.settings import EvaluationSettings
from engine.evaluation.summary import summarise
from engine.evaluation.tables import evaluation_markdown, write_markdown
from engine.models.embedded import EmbeddedModel
from engine.models.embedded.model import MAX_STEPS
from engine.world_model import CancelToken
from mirage_app.commands.bench import Bench
from mirage_app.commands.evaluate import Eval
from mirage_app.commands.options import parse_size, resolve_device
from mirage_app.interrupt import cancel_on_ctrl_c

ROOT = Path(__file__).resolve().parents[1]
START_FRAMES = 13
START_TIMEOUT_S = 240.0


class MeasuringProgress:
    """A rich bar on stderr that says what is being measured; where that is no terminal, a line every twentieth."""

    def __init__(self, label: str) -> None:
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[what]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._label = label
        self._task = self._bar.add_task(label, total=None, what="")
        self._said = -1

    def __enter__(self) -> MeasuringProgress:
        self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bar.stop()

    def __call__(self, done: int, total: int, what: str) -> None:
        """``done`` of ``total`` frames; ``what`` is being measured."""
        self._bar.update(self._task, completed=done, total=total, what=what)
        part = 20 * done // max(total, 1)
        if not self._console.is_terminal and part != self._said:
            self._said = part
            sys.stderr.write(f"{self._label}: {5 * part} % ({what})\n")
            sys.stderr.flush()


def evaluate(options: Eval) -> int:
    """Measure, write ``results.json``, ``results.md`` and the plots into ``options.out``, print where latent memory
    stands.

    Raises:
        MirageError: something does not fit.
        Cancelled: Ctrl-C; the finished measurements are kept, the same command goes on.
    """
    settings = evaluation_settings(options)
    device = resolve_device(options.device)
    if options.import_re10k is not None:
        find_clips(options.import_re10k)  # before the model is loaded
    _make_folder(options.out)
    cancel = CancelToken()
    with cancel_on_ctrl_c(cancel):
        model = EmbeddedModel.load(options.model, device, in_full=options.precision == "full")
        with MeasuringProgress("Evaluating") as progress:
            evaluation = run_evaluation(
                model, settings, options.out, recordings=options.import_re10k, on_progress=progress, cancel=cancel
            )
    text = evaluation_markdown(evaluation, command_line())
    write_json(summarise(evaluation), options.out / "results.json")
    write_markdown(text, options.out / "results.md")
    drawn = draw(evaluation, options.out)
    _print(text)
    sys.stdout.write(f"\nWrote results.json, results.md and {len(drawn)} plots to {options.out}.\n")
    return 0


def evaluation_settings(options: Eval) -> EvaluationSettings:
    """The options as settings.

    Raises:
        InputError: a number of scenes, steps or a size that cannot be.
    """
    settings = EvaluationSettings.quick() if options.quick else EvaluationSettings()
    if options.scenes is not None and not 1 <= options.scenes <= 10_000:
        raise InputError(f"--scenes must lie between 1 and 10,000; {options.scenes} came.")
    changes: dict[str, object] = {"steps": _steps(options.steps)}
    if options.variants:
        changes["variants"] = tuple(dict.fromkeys(options.variants))
    if options.scenes is not None:
        changes["scenes"] = options.scenes
    if options.size is not None:
        changes["size"] = parse_size(options.size)
    return dataclasses.replace(settings, **changes)  # type: ignore[arg-type]


def bench(options: Bench) -> int:
    """Measure, write ``bench.json``, ``bench.md`` and the plots into ``options.out``, print the tables.

    Raises:
        MirageError: something does not fit.
        Cancelled: Ctrl-C; nothing is written.
    """
    _make_folder(options.out)
    device = resolve_device(options.device)
    if options.ui:
        from mirage_app.window_bench import bench_window

        return bench_window(options)
    settings = BenchSettings.quick() if options.quick else BenchSettings()
    size = parse_size(options.size) if options.size is not None else None
    settings = dataclasses.replace(settings, size=size, steps=_steps(options.steps))
    cancel = CancelToken()
    with cancel_on_ctrl_c(cancel):
        started = measure_start(options.model, device, options.precision)  # first, while this process holds nothing yet
        cancel.check()
        model = EmbeddedModel.load(options.model, device, in_full=options.precision == "full")
        with MeasuringProgress("Benchmarking") as progress:
            result = run_benchmark(model, settings, on_progress=progress, cancel=cancel)
    result.startup = started
    finish_bench(result, options.out)
    return 0


def finish_bench(result: Benchmark, out: Path) -> None:
    """Write and print a benchmark."""
    text = benchmark_markdown(result, command_line())
    write_json(result.to_plain(), out / "bench.json")
    write_markdown(text, out / "bench.md")
    drawn = draw_benchmark(result, out)
    _print(text)
    sys.stdout.write(f"\nWrote bench.json, bench.md and {len(drawn)} plots to {out}.\n")


def measure_start(model: Path | None, device: str, precision: str) -> Startup | None:
    """A short flight and ``--help``, each in a process of its own; ``None`` if the flight fails (the log says why)."""
    command = [sys.executable, str(ROOT / "main.py")]
    began = time.perf_counter()
    subprocess.run([*command, "--help"], capture_output=True, timeout=START_TIMEOUT_S, check=False)
    help_s = time.perf_counter() - began
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "fly.json"
        words = ["fly", "--world", "meadow", "--seed", "1000301", "--path", "straight", "--frames", str(START_FRAMES)]
        words += ["--device", device, "--precision", precision]
        words += ["--out", str(Path(folder) / "fly.mp4"), "--report", str(report)]
        if model is not None:
            words += ["--model", str(model)]
        done = subprocess.run([*command, *words], capture_output=True, timeout=START_TIMEOUT_S, check=False, text=True)
        if done.returncode != 0:
            sys.stderr.write(f"The start could not be measured: {done.stderr.strip().splitlines()[-1:]}\n")
            return None
        told = json.loads(report.read_text(encoding="utf-8"))
    return Startup(
        first_frame_s=float(told["extra"]["process_start_to_first_frame_s"]),
        peak_rss_mib=float(told["peak_rss_mib"]),
        help_s=help_s,
        generated_fps=float(told["generated_fps"]),
    )


def command_line() -> str:
    """The command as it was typed, for the report."""
    return " ".join(["mirage", *sys.argv[1:]])


def _steps(steps: int | None) -> int | None:
    if steps is not None and not 1 <= steps <= MAX_STEPS:
        raise InputError(f"--steps must lie between 1 and {MAX_STEPS}; {steps} came.")
    return steps


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be made ({error.strerror}); choose another --out.") from error


def _print(text: str) -> None:
    """Markdown as a terminal shows it, or as it is into a file or pipe."""
    if sys.stdout.isatty():
        from rich.markdown import Markdown

        Console().print(Markdown(text))
    else:
        sys.stdout.write(text)
