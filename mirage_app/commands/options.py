"""Words that several commands take, so that they mean the same everywhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

import tyro

from engine.errors import InputError

MemoryKind = Literal["latent", "latent-flat", "latent-nearest", "append", "rgb", "none"]
DeviceName = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "full"]
Layout = Literal["generated", "side-by-side", "with-memory"]
MaybePath = Annotated[Path | None, tyro.conf.arg(metavar="PATH")]
MaybeInt = Annotated[int | None, tyro.conf.arg(metavar="INT")]
MaybeFloat = Annotated[float | None, tyro.conf.arg(metavar="FLOAT")]
MaybeText = Annotated[str | None, tyro.conf.arg(metavar="NAME")]

SIZE_MULTIPLE = 8
SIZE_LIMITS_PX = (64, 4096)


def parse_size(text: str) -> tuple[int, int]:
    """``"256x448"`` -> (height, width) in pixels.

    Raises:
        InputError: not two numbers, out of bounds, or not divisible by 8 (the message names the nearest size that is).
    """
    match = re.fullmatch(r"\s*(\d{1,9})\s*[xX×]\s*(\d{1,9})\s*", text)
    if not match:
        raise InputError(f"A size is written HEIGHTxWIDTH in pixels, for example 256x448; '{text}' came.")
    height, width = int(match[1]), int(match[2])
    low, high = SIZE_LIMITS_PX
    nearest = tuple(min(max(round(side / SIZE_MULTIPLE) * SIZE_MULTIPLE, low), high) for side in (height, width))
    if not (low <= height <= high and low <= width <= high):
        raise InputError(f"The sides of a picture must lie between {low} and {high} pixels; {height}x{width} came.")
    if nearest != (height, width):
        raise InputError(
            f"The sides of a picture must be divisible by {SIZE_MULTIPLE}; "
            f"{height}x{width} is not, {nearest[0]}x{nearest[1]} is."
        )
    return height, width


def require_at_least(name: str, value: float, least: float) -> None:
    """Raise :class:`InputError` when ``value`` of option ``name`` is below ``least`` or not finite."""
    if not least <= value < float("inf"):
        raise InputError(f"{name} must be at least {least:g}; {value:g} came.")


def resolve_device(name: str) -> str:
    """``auto`` -> ``cuda`` where there is one, else ``cpu``.

    Raises:
        InputError: ``cuda`` was asked for and there is none.
    """
    import torch

    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError("--device cuda was asked for, but torch finds no CUDA device here; use --device cpu.")
    if name == "auto":
        return "cuda" if available else "cpu"
    return name
