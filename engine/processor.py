"""What this machine's processor multiplies by itself."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def features() -> frozenset[str]:
    """Names of its instruction sets as Linux has them, of those that are asked for here; none where that is unknown."""
    try:
        return frozenset(Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore").split())
    except OSError:
        pass
    import torch

    told: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return frozenset(name for name, there in told.items() if there is True)


def has_bfloat16() -> bool:
    """Whether it multiplies bfloat16; one that does not emulates it, ten times as slowly."""
    return bool(features() & {"avx512_bf16", "amx_bf16"})


def has_bytes() -> bool:
    """Whether it adds up four products of bytes at once (VNNI), twice as many a second as of bfloat16. One with tiles
    (AMX) multiplies bfloat16 in about the time that rounding to bytes takes, and is left at that."""
    return bool(features() & {"avx512_vnni", "avx_vnni"}) and "amx_bf16" not in features()
