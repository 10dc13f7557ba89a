"""Processes that make examples while the trainer learns from others.

A view that a flight remembers takes a hundred times longer to make, on one core, than an accelerator takes to learn
from it. Each process is a stage of its own, with scenes and networks; what it makes comes through a queue, and what the
trainer's networks have learned meanwhile goes back through shared memory.
"""

from __future__ import annotations

import dataclasses
import os
import queue
import time
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
import torch.multiprocessing as mp
from torch import Tensor, nn

from engine.errors import InputError

T = TypeVar("T")
Made = TypeVar("Made", covariant=True)
WAITING = 64
"""Examples that may wait in the queue."""
TOLD_EVERY = 50
"""Draws between two times that the networks' weights go to the processes."""
PATIENCE_S = 5.0


class Maker(Protocol[Made]):
    """A stage as a process needs it."""

    @property
    def network(self) -> nn.Module: ...

    def example(self, generator: torch.Generator) -> Made:
        """A dataclass of tensors and whatever else can be sent."""


class Workers(Generic[T]):
    """Some processes that make examples until they are stopped.

    Args:
        build: makes a process's stage; a function or class that its process can import, with its ``arguments``.
        network: the trainer's, whose weights the processes work with. count: of processes. seed: theirs count on from
            it. device: where the examples go.
    """

    def __init__(
        self,
        build: Callable[..., Maker[T]],
        arguments: tuple[Any, ...],
        network: nn.Module,
        count: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self.network, self.device = network, device
        self._told = {name: tensor.detach().cpu().clone().share_memory_() for name, tensor in _weights(network).items()}
        context = mp.get_context("spawn")
        self._version = context.Value("q", 0)
        self._made = context.Queue(WAITING)
        self._draws = 0
        threads = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")}
        os.environ.update(dict.fromkeys(threads, "1"))  # read when a process imports torch and numba
        try:
            self._processes = [
                context.Process(
                    target=_work,
                    args=(build, arguments, self._told, self._version, self._made, seed + 1 + n),
                    daemon=True,
                )
                for n in range(count)
            ]
            for process in self._processes:
                process.start()
        finally:
            for name, value in threads.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})

    def ready(self, at_least: int) -> list[T]:
        """All that came in since the last call; waits until there are ``at_least`` so many.

        Raises:
            InputError: a process has failed.
        """
        if self._draws % TOLD_EVERY == 0:
            self._check()
            self._tell()
        self._draws += 1
        found: list[T] = []
        while True:
            try:
                item = self._made.get(timeout=PATIENCE_S) if len(found) < at_least else self._made.get_nowait()
            except queue.Empty:
                if len(found) >= at_least:
                    return found
                self._check()
                continue
            if isinstance(item, str):
                raise InputError(f"A process that makes examples has failed: {item}")
            found.append(_received(item, self.device))

    def stop(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()
        self._made.close()

    def _tell(self) -> None:
        for name, tensor in _weights(self.network).items():
            self._told[name].copy_(tensor.detach())
        self._version.value += 1

    def _check(self) -> None:
        dead = [process for process in self._processes if not process.is_alive()]
        if dead:
            raise InputError(
                f"{len(dead)} of {len(self._processes)} processes that make examples ended with code "
                f"{dead[0].exitcode}; fewer of them need less memory: set workers."
            )


def _weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in network.state_dict().items() if tensor.is_floating_point()}


def _work(
    build: Callable[..., Maker[Any]],
    arguments: tuple[Any, ...],
    told: dict[str, Tensor],
    version: Any,
    made: Any,
    seed: int,
) -> None:
    """The life of a process."""
    os.nice(5)
    try:
        stage = build(*arguments)
        generator = torch.Generator().manual_seed(seed)
        known = 0
        while True:
            if version.value != known:
                known = version.value
                with torch.no_grad():
                    for name, tensor in _weights(stage.network).items():
                        tensor.copy_(told[name])
            made.put(_plain(stage.example(generator)))
    except KeyboardInterrupt:
        return
    except Exception as error:
        made.put(f"{type(error).__name__}: {error}")
        time.sleep(PATIENCE_S)  # until the queue has sent it


def _plain(item: Any) -> Any:
    """A dataclass with its tensors as numpy's arrays, which go through a queue without file descriptors of their
    own."""
    return _with(item, Tensor, lambda tensor: tensor.cpu().numpy())


def _received(item: Any, device: torch.device) -> Any:
    """The dataclass that :func:`_plain` was given, its tensors on a device."""
    return _with(item, np.ndarray, lambda array: torch.from_numpy(array).to(device))


def _with(item: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """A dataclass with its fields of a kind changed."""
    fields = {f.name: getattr(item, f.name) for f in dataclasses.fields(item)}
    return dataclasses.replace(item, **{name: change(v) for name, v in fields.items() if isinstance(v, kind)})
