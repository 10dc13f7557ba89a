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


def only_float32() -> bool:
    """Whether it is a processor with wide registers (AVX2) that is quick at neither bytes nor bfloat16: then threads
    compute apart (:func:`engine.threads.inferred_apart`), in :mod:`engine.models.embedded.winograd` among others."""
    return "avx2" in features() and not has_bytes() and not has_bfloat16()
