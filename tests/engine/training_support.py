"""What tests of training stages share."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file


def finishing(scenes: Path, model: Path, run: Path) -> dict[str, object]:
    """Settings of two steps of a stage that goes on from a model."""
    return {
        "scenes.folder": str(scenes),
        "scenes.views": 4,
        "model": str(model),
        "loop.run": str(run),
        "loop.steps": 2,
        "loop.batch": 2,
    }


def changed(base: Path, better: Path) -> set[str]:
    """The networks of a model that another has differently, autoencoders by their halves."""
    names = set()
    for path in base.glob("*.safetensors"):
        before, after = load_file(path), load_file(better / path.name)
        for name in before:
            if name not in after or not torch.equal(before[name], after[name]):
                names.add(name.split(".")[0] if path.stem == "autoencoder" else path.stem)
    return names
