"""Ablations that the shipped weights allow, on a memory of the true first view.

What they do not allow without training again: 4x4 geometry (the readout network folds 2x2 samples) and a denoiser that
is told the offsets of copied tokens (it has no such input).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.camera import c2w_from_angles
from engine.depth import SMOOTH_RATIO, sample_inverse_depth
from engine.evaluation.measures import mean_lab, sharpness_ratio
from engine.evaluation.protocol import FULL, Figures, Trial, hole_rate
from engine.evaluation.settings import EvaluationSettings
from engine.explorer import Explorer, ExplorerConfig, step_generator
from engine.memory import LatentMemory, LatentView, MemoryConfig, Readout
from engine.messages import StepResult
from engine.metrics import psnr_db
from engine.pixels import to_uint8
from engine.pyramid import FirstView
from engine.variants import LatentVariant, memory_config, readout_network
from engine.world_model import CancelToken, ChunkRequest, Progress, WorldModel

DOWNSAMPLINGS = ("bilinear", "nearest", "area", "median", "min of 4 (ours)")
TURNS, TURN_DEG = 26, 4.0
READOUTS = (
    "nearest",
    "nearest, released half cell",
    "2x2 nearest, averaged",
    "learned, one depth a token",
    "learned, 2x2",
)


class ConfiguredExplorer(Explorer):
    """An explorer whose latent memory has a configuration of its own.

    Args:
        memory: replaces the one that the variant's name would choose.
    """

    def __init__(self, model: WorldModel, config: ExplorerConfig, memory: MemoryConfig) -> None:
        super().__init__(model, config)
        self._memory_config = memory

    def begin(
        self,
        camera: Any,
        first: FirstView | None = None,
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> StepResult:
        """As :meth:`Explorer.begin`, from a given view only."""
        if first is None:
            return super().begin(camera, first, progress=progress, cancel=cancel)
        self.memory = LatentVariant(LatentMemory(self._memory_config, readout_network(self.model)))  # type: ignore[arg-type]
        self.index = 0
        result = self._encode(self.fit(camera), first, cancel or CancelToken())
        self.begun = True
        return result


class _Averaged:
    """A readout network that does nothing but average the tokens under a cell's samples: geometry without learning."""

    def __init__(self, samples: int) -> None:
        self._samples = samples

    def read(self, samples: Any, neighbourhood: Tensor, valid: Tensor, which: Tensor) -> Tensor:
        """As :meth:`engine.memory.ReadoutNetwork.read`."""
        covered = samples.token >= 0
        canvas = neighbourhood.new_zeros(*covered.shape, neighbourhood.shape[2], dtype=torch.float32)
        canvas[covered] = neighbourhood[which, 4].float()
        pool = torch.nn.functional.avg_pool2d
        weight = pool(covered[None, None].float(), self._samples)[0]
        return pool(canvas.permute(2, 0, 1)[None], self._samples)[0] / weight.clamp(min=1e-6)


def flatten_tokens(inverse_depth: Tensor, samples: int) -> Tensor:
    """One depth a token: its samples' mean where they are one surface, else the nearest; (hs, ws) -> (hs, ws)."""
    rows, columns = inverse_depth.shape
    cells = inverse_depth.view(rows // samples, samples, columns // samples, samples)
    high, low = cells.amax((1, 3)), cells.amin((1, 3))
    one = torch.where(high <= SMOOTH_RATIO * low, cells.mean((1, 3)), high)
    return one.repeat_interleave(samples, 0).repeat_interleave(samples, 1)


def resample_depth(depth_m: Tensor, shape: tuple[int, int], how: str) -> Tensor:
    """``depth_m (H, W)`` (inf is sky) -> inverse depth ``shape``, by the ways of the paper's table and ours.

    Bilinear takes the 2x2 pixels around the centre without a prefilter, as the paper does; area and median take every
    pixel
    under the cell. Sky takes part as inverse depth 0.
    """
    inverse = torch.where(torch.isinf(depth_m), 0.0, depth_m.float().reciprocal())
    h, w = shape
    stride = depth_m.shape[0] // h, depth_m.shape[1] // w
    blocks = inverse[: h * stride[0], : w * stride[1]].view(h, stride[0], w, stride[1]).permute(0, 2, 1, 3).flatten(2)
    depth = torch.where(blocks > 0, blocks.reciprocal(), torch.inf)
    if how == "area":
        found = depth.mean(2)
    elif how == "median":
        found = depth.median(2).values
    elif how == "nearest":
        found = depth_m[:: stride[0], :: stride[1]][:h, :w]
    elif how == "bilinear":
        rows, columns = (torch.arange(n) * s + (s - 1) // 2 for n, s in ((h, stride[0]), (w, stride[1])))
        corners = [depth_m[(rows + i)[:, None], (columns + j)[None, :]] for i in (0, 1) for j in (0, 1)]
        found = torch.stack(corners).mean(0)
    else:
        return sample_inverse_depth(depth_m, h, w)
    return torch.where(torch.isinf(found), 0.0, found.reciprocal())


class Ablations:
    """The ablations of one scene; every method gives ``{row: figures}``."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.model = trial.model
        self.scene = trial.scene
        self.config = memory_config("latent", self.model.spec, None)
        truth = self.scene.true_view(self.scene.first)
        self._latents = self.model.encode(truth.rgb[None].to(self.model.device))[0].float().cpu()
        grid = (self.scene.first.height // self.config.stride, self.scene.first.width // self.config.stride)
        self._grid = grid
        s = self.config.samples
        self._inverse = sample_inverse_depth(truth.depth_m, grid[0] * s, grid[1] * s)

    def memory(self, config: MemoryConfig, network: Any, inverse_depth: Tensor | None = None) -> LatentMemory:
        """A memory of the true first view."""
        memory = LatentMemory(config, network)
        written = self._inverse if inverse_depth is None else inverse_depth
        memory.write(LatentView(self.scene.first, self._latents, written))
        return memory

    def _row(self, label: str, readout: Readout, steps: int | None = None) -> Figures:
        """One readout at one gap: decoded alone, and as the condition of a generated view."""
        trial, camera = self.trial, self.scene.gaps[label]
        truth, visible = self.scene.true_view(camera), self.trial.visible(label)
        coverage = readout.coverage.numpy()
        mask = trial.pixels(visible & (coverage >= FULL))
        chosen = steps or self.trial.settings.steps or self.model.spec.default_steps
        request = ChunkRequest(
            cameras=[camera],
            readouts=[readout],
            biome=self.scene.biome if self.scene.biome in self.model.spec.biomes else "",
            generator=step_generator(0, 1),
            steps=chosen,
            cancel=trial.cancel,
        )
        chunk = self.model.imagine(request)
        image = to_uint8(self.model.decode(chunk.latents)[0].float())
        trial.tick()
        return trial.compare(label, image, truth) | {
            "readout_psnr_db": psnr_db(trial.decode(readout.features), truth.image, mask),
            "hole_rate": hole_rate(coverage, visible),
        }

    def readouts(self) -> dict[str, Figures]:
        """How tokens get from the memory into the view."""
        network, s = readout_network(self.model), self.config.samples
        flat = flatten_tokens(self._inverse, s)
        nearest = replace(self.config, readout="nearest")
        memories = (
            self.memory(nearest, network),
            self.memory(replace(nearest, cell_center=0.0), network),
            self.memory(self.config, _Averaged(s)),
            self.memory(self.config, network, flat),
            self.memory(self.config, network),
        )
        return {
            name: {label: self._row(label, memory.readout(camera)) for label, camera in self.scene.gaps.items()}
            for name, memory in zip(READOUTS, memories, strict=True)
        }

    def steps(self, counts: Sequence[int]) -> dict[str, Figures]:
        """Denoising steps; the first row's speed is in the benchmark."""
        memory = self.memory(self.config, readout_network(self.model))
        return {
            str(count): {label: self._row(label, memory.readout(c), count) for label, c in self.scene.gaps.items()}
            for count in counts
        }

    def sky(self) -> dict[str, Figures]:
        """The sky remembered at infinity, or forgotten (the paper drops it): novel views and a closed loop each."""
        found: dict[str, Figures] = {}
        for name, kept in (("remembered", True), ("forgotten", False)):
            config = replace(self.config, sky=kept)
            memory = self.memory(config, readout_network(self.model))
            rows = {label: self._row(label, memory.readout(c)) for label, c in self.scene.gaps.items()}
            base = self.trial.explorer("latent").config
            rows["loop"] = self.trial.closed_loop(ConfiguredExplorer(self.model, base, config))
            found[name] = rows
        return found

    def invention(self) -> dict[str, Figures]:
        """What is new goes on from the model's stored places, or the denoiser invents it alone: novel views, wider than
        the frame as a flight's are, and a closed loop."""
        found: dict[str, Figures] = {}
        for name, places in (("from stored places", True), ("without them", False)):
            explorer, rows = self._flown(replace(self.trial.explorer("latent").config, places=places))
            if self.scene.exact_depth:
                rows["turned"] = self._turned_away(explorer.fork())
            found[name] = rows
        return found

    def detail(self) -> dict[str, Figures]:
        """Frames are finished with detail, or shown and remembered without: novel views and a closed loop."""
        base = self.trial.explorer("latent").config
        wanted = {"finished with detail": True, "left without": False}
        return {name: self._flown(replace(base, detail=detail))[1] for name, detail in wanted.items()}

    def _flown(self, config: ExplorerConfig) -> tuple[Explorer, Figures]:
        """Novel views and a closed loop of explorers so configured, and one of them at the first view."""
        explorer = Explorer(self.model, config)
        self.trial.begin(explorer)
        rows: Figures = {}
        for label, camera in self.scene.gaps.items():
            truth = self.scene.true_view(camera)
            rows[label] = self.trial.compare(label, self.trial.step(explorer.fork(), camera).rgb, truth)
        rows["loop"] = self.trial.closed_loop(Explorer(self.model, config))
        return explorer, rows

    def _turned_away(self, explorer: Explorer) -> Figures:
        """Turning on the spot until nothing of the first view is left: all of the picture is new."""
        first = self.scene.first
        for turn in range(1, TURNS + 1):
            pose = c2w_from_angles(first.position, first.yaw_deg - turn * TURN_DEG, first.pitch_deg)
            result = self.trial.step(explorer, first.posed(pose))
        image, truth = result.rgb, self.scene.true_view(result.camera).image
        colour = np.linalg.norm(mean_lab(image) - mean_lab(truth))
        return {"sharpness_new": sharpness_ratio(image, truth), "colour_new": float(colour)}

    def downsampling(self) -> dict[str, Figures]:
        """Hole rates of the paper's point readout by how depth came to the token grid, and of splatted footprints."""
        truth = self.scene.true_view(self.scene.first)
        config = replace(self.config, samples=1, readout="nearest")
        found: dict[str, Figures] = {}
        for how in DOWNSAMPLINGS:
            memory = self.memory(config, None, resample_depth(truth.depth_m, self._grid, how))
            found[how] = {
                label: self._holes(memory.readout_nearest(camera).coverage.numpy(), label)
                for label, camera in self.scene.gaps.items()
            }
        splat = self.memory(self.config, None)
        found["footprints splatted, 2x2 (ours)"] = {
            label: self._holes(self._coverage(splat.sample_map(camera).covered), label)
            for label, camera in self.scene.gaps.items()
        }
        return found

    def _coverage(self, covered: Tensor) -> np.ndarray:
        """(hs, ws) bool -> (h, w) share."""
        return torch.nn.functional.avg_pool2d(covered[None, None].float(), self.config.samples)[0, 0].numpy()

    def _holes(self, coverage: np.ndarray, label: str) -> Figures:
        return {
            "hole_rate": hole_rate(coverage, self.trial.visible(label)),
            "hole_rate_all": float((coverage < 0.5).mean()),
        }


def ablate(trial: Trial) -> Figures:
    """All ablations of the trial's scene."""
    ablations = Ablations(trial)
    found = {"readout": ablations.readouts(), "steps": ablations.steps(trial.settings.ablation_steps)}
    found["sky"] = ablations.sky()
    found["invention"] = ablations.invention()
    found["detail"] = ablations.detail()
    if trial.scene.exact_depth:
        found["downsampling"] = ablations.downsampling()
    return found


def frames_of_ablations(settings: EvaluationSettings, gaps: int) -> int:
    """How often :func:`ablate` ticks."""
    return gaps * (len(READOUTS) + len(settings.ablation_steps) + 6) + 6 * settings.loop_frames + 2 * (1 + TURNS)
