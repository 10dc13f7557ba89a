"""How well a denoiser and its detail imagine, on evaluation scenes: what both late stages are measured by."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from engine.memory import LatentMemory
from engine.models.embedded.detail import DetailNetwork
from engine.training.curves import write_sheet
from engine.training.imagination import Imagination
from engine.training.losses import covered_psnr_db, sharpness_ratio
from engine.training.recall import LatentScene, remember
from engine.training.scenes import EVALUATION_GAPS_M

SHARP_IS_WORTH_DB = 10.0
"""In the score, being as sharp as the true world weighs as much as so many dB of faithfulness to memory."""
FLIGHT_STEP_M = 0.6
SHOWN = 7
"""Evaluation scenes on the sheet."""


class Inspection:
    """Views at each gap from one true view, and the farthest once more after a flight there."""

    def __init__(self, imagination: Imagination) -> None:
        self.imagination = imagination
        self.source = imagination.source

    def measure(self, denoiser: nn.Module, detail: DetailNetwork, sheet: Path) -> dict[str, float]:
        """Before (``soft_``) and after detail: PSNR and sharpness of remembered cells, sharpness of invented ones and
        of all; of the view after a flight (``flown``), which is finished on its way, PSNR and sharpness of all. The
        sheet shows before, after, flown and truth."""
        figures: dict[str, list[float]] = {}
        columns: list[list[Tensor]] = [[], [], [], []]
        last, scenes = len(EVALUATION_GAPS_M), self.imagination.eval_scenes
        for index in range(len(scenes)):
            scene = scenes.scene(index)
            images = scenes.store.scene(index).rgb.to(self.imagination.device).float() / 255
            seen, flown = remember(scene, [0]), self._flown(scene, denoiser, detail, index)
            for view, gap_m in enumerate(EVALUATION_GAPS_M, start=1):
                truth = images[view : view + 1]
                found: dict[str, Tensor] = {}
                pictures: list[Tensor] = []
                for name, finish in (("soft_", None), ("", detail)):
                    picture, coverage = self._imagined(scene, view, seen, denoiser, finish, index)
                    pictures.append(picture)
                    known, holes, everywhere = coverage > 0.99, coverage < 0.01, coverage >= 0.0
                    found[f"{name}covered_{gap_m:g}m_db"] = covered_psnr_db(picture, truth, known)
                    found[f"{name}covered_{gap_m:g}m_sharpness"] = sharpness_ratio(picture, truth, known)
                    found[f"{name}whole_{gap_m:g}m_sharpness"] = sharpness_ratio(picture, truth, everywhere)
                    if int(holes.sum()) > 50:
                        found[f"{name}invented_{gap_m:g}m_sharpness"] = sharpness_ratio(picture, truth, holes)
                if view == last:
                    pictures.append(self._imagined(scene, view, flown, denoiser, detail, index)[0])
                    found[f"flown_{gap_m:g}m_db"] = covered_psnr_db(pictures[-1], truth, everywhere)
                    found[f"flown_{gap_m:g}m_sharpness"] = sharpness_ratio(pictures[-1], truth, everywhere)
                for key, value in found.items():
                    figures.setdefault(key, []).append(float(value))
                if view == last and index < SHOWN:
                    for column, picture in zip(columns, (*pictures, truth), strict=True):
                        column.append(picture)
        write_sheet([torch.cat(column) for column in columns], sheet)
        means = {name: sum(values) / len(values) for name, values in figures.items()}
        sharp = sum(1.0 - abs(1.0 - means[f"{which}_sharpness"]) for which in ("whole_3m", "flown_7m")) / 2
        faithful = (means["covered_3m_db"] + means["flown_7m_db"]) / 2
        return means | {"balance_db": faithful + SHARP_IS_WORTH_DB * sharp}

    def _imagined(
        self,
        scene: LatentScene,
        view: int,
        memory: LatentMemory,
        denoiser: nn.Module,
        detail: DetailNetwork | None,
        seed: int,
    ) -> tuple[Tensor, Tensor]:
        """:meth:`Imagination.imagine` in one step, as a picture (1, 3, H, W) in [0, 1]."""
        generator = torch.Generator().manual_seed(seed)
        state, known = self.imagination.imagine(memory, scene, view, denoiser, detail, 1, generator, seed)
        return self.imagination.decode(state).float().clamp(0, 1), known

    def _flown(self, scene: LatentScene, denoiser: nn.Module, detail: DetailNetwork, seed: int) -> LatentMemory:
        """A memory of the first view and of a flight from there to the last."""
        generator = torch.Generator().manual_seed(seed)
        memory, way = remember(scene, [0]), scene.cameras[: len(EVALUATION_GAPS_M) + 1]
        before, self.source.detail = self.source.detail, detail
        self.source.fly(memory, way, FLIGHT_STEP_M, scene.biome_index, generator, denoiser)
        self.source.detail = before
        return memory
