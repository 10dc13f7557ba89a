"""How finely training calculates."""

from __future__ import annotations

import torch

from engine.models.embedded.model import inference_dtype
from engine.training.config import LoopConfig


def mixed_precision(loop: LoopConfig, device: torch.device) -> torch.autocast:
    """bfloat16 where it is wanted and pays."""
    return native_precision(device, wanted=loop.amp)


def native_precision(device: torch.device, wanted: bool = True) -> torch.autocast:
    """bfloat16 where the device multiplies it natively: a processor that only emulates it is ten times slower for
    it."""
    native = inference_dtype(device) == torch.bfloat16
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted and native)
