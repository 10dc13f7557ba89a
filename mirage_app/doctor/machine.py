"""Looking at the machine: Python, packages, processor, memory, disk."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from importlib import metadata
from pathlib import Path

from mirage_app.config import cache_dir, data_dir
from mirage_app.doctor.finding import Finding, State
from mirage_app.logs import log_file

# Import name: distribution name. What the engine and the window import.
PACKAGES = {
    "torch": "torch", "numpy": "numpy", "scipy": "scipy", "numba": "numba", "safetensors": "safetensors",
    "diffusers": "diffusers", "PyQt6": "PyQt6", "vispy": "vispy", "pyqtgraph": "pyqtgraph", "superqt": "superqt",
    "open3d": "open3d", "av": "av", "PIL": "pillow", "skimage": "scikit-image", "pydantic": "pydantic", "tyro": "tyro",
    "rich": "rich", "tqdm": "tqdm", "platformdirs": "platformdirs", "psutil": "psutil", "matplotlib": "matplotlib",
}  # fmt: skip
NEEDED_MEMORY_GIB = 2.5
NEEDED_DISK_GIB = 1.0


def python() -> Finding:
    """The interpreter."""
    return Finding("Python", State.OK, f"{platform.python_version()} ({sys.executable}) on {platform.platform()}")


def packages() -> Finding:
    """The libraries that Mirage is built on."""
    absent = [dist for name, dist in PACKAGES.items() if importlib.util.find_spec(name) is None]
    if absent:
        return Finding("Packages", State.MISSING, f"without {', '.join(absent)}", f"pip install {' '.join(absent)}")
    named = ("PyQt6", "vispy", "av", "open3d", "diffusers")
    return Finding("Packages", State.OK, ", ".join(f"{name} {_version(name)}" for name in named))


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "?"


def torch_device() -> Finding:
    """Where torch would run, with how many threads, and what is quick there."""
    try:
        import torch
    except Exception as error:  # a broken installation raises OSError, ImportError or worse
        return Finding("Torch", State.MISSING, f"cannot be imported ({error})", 'pip install "torch>=2.9,<2.14"')
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        memory_gib = properties.total_memory / 2**30
        bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
        return Finding("Torch", State.OK, f"{torch.__version__}, {properties.name}, {memory_gib:.0f} GiB, {bf16}")
    from engine.models.embedded.eight_bits import available
    from engine.processor import has_bfloat16

    quick = [name for name, there in (("bf16", has_bfloat16()), ("bytes", available())) if there]
    found = f"{torch.__version__}, CPU, {torch.get_num_threads()} threads, quick at {' and '.join(quick) or 'float32'}"
    advice = "" if quick else "Newer processors multiply bfloat16 or bytes and are two to four times as fast."
    return Finding("Torch", State.OK, found, advice)


def memory() -> Finding:
    """Main memory."""
    import psutil

    total_gib, free_gib = (
        value / 2**30 for value in (psutil.virtual_memory().total, psutil.virtual_memory().available)
    )
    found = f"{total_gib:.1f} GiB, {free_gib:.1f} GiB available, {os.cpu_count()} processors"
    if free_gib < NEEDED_MEMORY_GIB:
        return Finding(
            "Memory", State.LIMITED, found, f"Close something: a flight takes up to {NEEDED_MEMORY_GIB} GiB."
        )
    return Finding("Memory", State.OK, found)


def disk() -> Finding:
    """Room where films and sessions are written."""
    places = {place: shutil.disk_usage(place).free / 2**30 for place in (_existing(Path.cwd()), _existing(data_dir()))}
    found = ", ".join(f"{free:.1f} GiB free at {place}" for place, free in places.items())
    if min(places.values()) < NEEDED_DISK_GIB:
        return Finding("Disk", State.LIMITED, found, "Free some space: long films and sessions take hundreds of MiB.")
    return Finding("Disk", State.OK, found)


def _existing(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def folders() -> Finding:
    """Where Mirage keeps what it makes for itself."""
    return Finding("Folders", State.OK, f"log {log_file()}, cache {cache_dir()}, sessions {data_dir()}")
