"""One training loop for all stages: schedule by time, EMA, checkpoints that survive a kill, progress, curves, best
weights."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from engine.atomic import atomic_write
from engine.errors import InputError
from engine.models.embedded.weights import save_network
from engine.training.adversarial import Adversary
from engine.training.config import LoopConfig
from engine.training.curves import draw_curves
from engine.training.optimizer import make_optimizer
from engine.training.precision import mixed_precision

METRICS_NAME = "metrics.jsonl"
Parameters = tuple[Tensor, ...] | list[Tensor]


class Stage(Protocol):
    """What a stage brings to the loop.

    Attributes:
        network: the module whose EMA weights are exported.
        score: name of the evaluation figure that decides which weights are best (higher is better).
        adversary: trained along, if there is one, and checkpointed.
    """

    score: str

    @property
    def adversary(self) -> Adversary | None: ...

    @property
    def network(self) -> nn.Module: ...

    def loss(self, generator: torch.Generator, progress: float) -> tuple[Tensor, dict[str, float]]:
        """One batch's loss and figures to log; ``progress`` is the share of the training time that has passed."""

    def evaluate(self, network: nn.Module, sheet: Path) -> dict[str, float]:
        """Figures on evaluation scenes with the given (EMA) weights; writes a sample sheet."""


def warming_average(decay: float) -> Callable[[Parameters, Parameters, Tensor | int], None]:
    """Exponential moving average that is short at first, so that early weights are soon forgotten."""

    @torch.no_grad()
    def update(averaged: Parameters, current: Parameters, updates: Tensor | int) -> None:
        count = float(updates)
        torch._foreach_lerp_(averaged, current, 1.0 - min(decay, (1.0 + count) / (10.0 + count)))

    return update


def learning_rate(config: LoopConfig, progress: float) -> float:
    """Linear warm-up, then cosine to the floor."""
    if progress < config.warmup:
        return config.learning_rate * progress / config.warmup
    phase = min(1.0, (progress - config.warmup) / (1.0 - config.warmup))
    return config.learning_rate * (
        config.noise_floor + (1 - config.noise_floor) * 0.5 * (1 + math.cos(math.pi * phase))
    )


class Trainer:
    """Trains one stage for ``minutes``; start it again and it goes on from the last checkpoint."""

    def __init__(self, stage: Stage, config: LoopConfig, description: Any) -> None:
        self.stage = stage
        self.config = config
        self.folder = Path(config.run)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.device = torch.device(config.device)
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise InputError('Training on CUDA was asked for, but torch finds no CUDA device; use device = "cpu".')
        self.parameters = [p for p in stage.network.parameters() if p.requires_grad]
        self.optimizer = make_optimizer(stage.network, config.learning_rate, config.weight_decay)
        self.ema = AveragedModel(stage.network, multi_avg_fn=warming_average(config.ema))
        self.generator = torch.Generator().manual_seed(config.seed)
        self.step, self.seconds, self.best = 0, 0.0, -math.inf
        settings = json.dumps(dataclasses.asdict(description), indent=2)
        with atomic_write(self.folder / "training.json") as temporary:
            temporary.write_text(settings + "\n", encoding="utf-8")
        self._resume()

    @property
    def progress(self) -> float:
        """Share of the training that has passed, by time or by steps, whichever is further."""
        by_steps = self.step / self.config.steps if self.config.steps else 0.0
        return min(1.0, max(self.seconds / (60.0 * self.config.minutes), by_steps))

    def run(self) -> dict[str, float]:
        """Train to the end of the time; returns the last evaluation."""
        config = self.config
        last_checkpoint = last_evaluation = self.seconds
        recent: deque[float] = deque(maxlen=100)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        metrics: dict[str, float] = {}
        with Progress(*columns) as bar:
            task = bar.add_task(self.folder.name, total=60.0 * config.minutes, completed=int(self.seconds))
            while self.progress < 1.0:
                started = time.perf_counter()
                loss, logs = self._update()
                recent.append(loss)
                elapsed = time.perf_counter() - started
                self.seconds += elapsed
                self.step += 1
                bar.update(
                    task,
                    completed=self.seconds,
                    description=f"{self.folder.name} step {self.step} loss {sum(recent) / len(recent):.4f}",
                )
                if self.step % 50 == 0:
                    self._log({"loss": sum(recent) / len(recent), **logs, "seconds_per_step": elapsed})
                if self.seconds - last_evaluation > 60.0 * config.evaluate_minutes:
                    metrics = self.evaluate()
                    last_evaluation = self.seconds
                if self.seconds - last_checkpoint > 60.0 * config.checkpoint_minutes:
                    self.checkpoint()
                    last_checkpoint = self.seconds
        metrics = self.evaluate()
        self.checkpoint()
        return metrics

    def _update(self) -> tuple[float, dict[str, float]]:
        self.stage.network.train()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.progress)
        with mixed_precision(self.config, self.device):
            loss, logs = self.stage.loss(self.generator, self.progress)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.clip_norm)
        if torch.isfinite(norm):
            self.optimizer.step()
            self.ema.update_parameters(self.stage.network)
        return float(loss.detach()), logs

    def evaluate(self) -> dict[str, float]:
        """Evaluate the EMA weights; keep them as ``best`` if they are. Evaluation takes no training time."""
        network = self.ema.module.eval()
        with torch.inference_mode():
            metrics = self.stage.evaluate(network, self.folder / "sheet.png")
        self._log({f"eval_{name}": value for name, value in metrics.items()})
        draw_curves(self.folder / METRICS_NAME, self.folder / "curves.png")
        save_network(network, self.folder / "latest.safetensors")
        if metrics[self.stage.score] > self.best:
            self.best = metrics[self.stage.score]
            save_network(network, self.folder / "best.safetensors")
            with atomic_write(self.folder / "best.json") as temporary:
                temporary.write_text(
                    json.dumps({"step": self.step, "minutes": self.seconds / 60.0, **metrics}, indent=2) + "\n",
                    encoding="utf-8",
                )
        return metrics

    def checkpoint(self) -> None:
        """Everything needed to go on, written beside the old file and renamed: a kill at any moment leaves one whole
        checkpoint."""
        state = {
            "network": self.stage.network.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
        }
        if self.stage.adversary is not None:
            state["adversary"] = self.stage.adversary.state_dict()
        with atomic_write(self.folder / "checkpoint.pt") as temporary:
            torch.save(state, temporary)

    def _resume(self) -> None:
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            self.stage.network.load_state_dict(state["network"])
            self.ema.load_state_dict(state["ema"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self.stage.adversary is not None and "adversary" in state:
                self.stage.adversary.load_state_dict(state["adversary"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise InputError(
                f"{path} was written with another configuration ({error}); choose another run folder or remove it."
            ) from error
        self.generator.set_state(state["generator"].cpu())
        self.step, self.seconds, self.best = state["step"], state["seconds"], state["best"]

    def _log(self, values: dict[str, float]) -> None:
        line = {"step": self.step, "minutes": self.seconds / 60.0, **values}
        with open(self.folder / METRICS_NAME, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
