"""How finely training calculates."""

from __future__ import annotations

import torch

from engine.models.embedded.model import inference_dtype
from engine.training.config import LoopConfig


def mixed_precision(loop: LoopConfig, device: torch.device) -> torch.autocast:
    """bfloat16 where it is wanted and the device multiplies it natively: a processor that only emulates it is ten times
    slower for it."""
    native = inference_dtype(device) == torch.bfloat16
    return torch.autocast(device.type, torch.bfloat16, enabled=loop.amp and native)
