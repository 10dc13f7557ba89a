"""The protocol: one memory variant in one scene, from novel views over a closed loop to a long flight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine.camera import Camera
from engine.depth import sample_inverse_depth
from engine.evaluation.hanging import hanging
from engine.evaluation.measures import Look, change, depth_error, flicker, look_of, mean_lab, sharpness_ratio
from engine.evaluation.pose import PoseErrors, PoseProbe, pose_errors, probe_frames
from engine.evaluation.scenes import Scene, TrueView
from engine.evaluation.settings import EvaluationSettings
from engine.evaluation.sheets import HOME, TRUTH, Album
from engine.evaluation.statistics import mean_of
from engine.evaluation.visibility import Warp, cells_to_pixels, seen_from, whole_cells
from engine.explorer import Explorer, ExplorerConfig
from engine.flight import revisit_pairs
from engine.messages import MemoryVariant, StepResult
from engine.metrics import psnr_db, ssim
from engine.rgb_memory import RgbMemory
from engine.world_model import CancelToken, WorldModel

Figures = dict[str, Any]
Tick = Callable[[], None]
FULL = 0.99
"""A cell counts as covered when this share of it is."""
NOISE_SEED = 11
"""Of the model's noise; the same for every variant, so that they differ in memory alone."""


class Trial:
    """Measures memories in one scene. True views and their masks are made once and shared by all variants.

    Args:
        tick: called after every generated frame. cancel: checked between frames. album: keeps some of the pictures.
    """

    def __init__(
        self,
        model: WorldModel,
        scene: Scene,
        settings: EvaluationSettings,
        size: tuple[int, int],
        tick: Tick = lambda: None,
        cancel: CancelToken | None = None,
        album: Album | None = None,
    ) -> None:
        self.album = album
        self.model = model
        self.scene = scene
        self.settings = settings
        self.size = size
        self.stride = model.spec.spatial_stride
        self.tick = tick
        self.cancel = cancel or CancelToken()
        self._visible: dict[str, np.ndarray] = {}
        self._warps: list[Warp] = []
        self._probe: PoseProbe | None = None
        self._probed: list[int] | None = None

    def explorer(self, variant: MemoryVariant, steps: int | None = None) -> Explorer:
        """An explorer that has not begun."""
        biomes = self.model.spec.biomes
        biome = self.scene.biome if self.scene.biome in biomes else ""
        config = ExplorerConfig(
            fine=False, biome=biome, seed=NOISE_SEED, steps=steps or self.settings.steps, memory=variant, size=self.size
        )
        return Explorer(self.model, config)

    def begin(self, explorer: Explorer) -> StepResult:
        """Show the explorer the true first view."""
        result = explorer.begin(self.scene.first, self.scene.first_view(), cancel=self.cancel)
        self.tick()
        return result

    def step(self, explorer: Explorer, camera: Camera) -> StepResult:
        """One generated frame."""
        result = explorer.step(camera, cancel=self.cancel)
        self.tick()
        return result

    def visible(self, label: str) -> np.ndarray:
        """(h, w) bool: cells of the novel view ``label`` that the first view saw; one mask for all variants.

        By exact depth of both views, or, for a recording, where the points of its first view's stereo depth land.
        """
        if label not in self._visible:
            scene, camera = self.scene, self.scene.gaps[label]
            first, view = scene.true_view(scene.first), scene.true_view(camera)
            if scene.exact_depth:
                seen = seen_from(camera, view.depth_m, scene.first, first.depth_m)
            else:
                cloud = RgbMemory()
                cloud.write(scene.first, first.rgb, first.depth_m)
                seen = cloud.render(camera).mask
            self._visible[label] = whole_cells(seen, self.stride).numpy()
        return self._visible[label]

    def keep(self, part: str, label: str, image: np.ndarray) -> None:
        """Put a picture into the album, if there is one."""
        if self.album is not None:
            self.album.keep(self.scene.name, part, label, image)

    # ------------------------------------------------------------------------------------------- the three parts

    def novel_views(self, explorer: Explorer) -> Figures:
        """A memory of the true first view alone, asked for views at fixed gaps; each from the same memory."""
        figures: Figures = {}
        for label, camera in self.scene.gaps.items():
            forked = explorer.fork()
            result = self.step(forked, camera)
            truth = self.scene.true_view(camera)
            self.keep(explorer.config.memory, label, result.rgb)
            figures[label] = self.compare(label, result.rgb, truth) | {
                "coverage": result.coverage_mean,
                "hole_rate": hole_rate(result.coverage, self.visible(label)),
                "generate_ms": result.generate_ms,
            }
            if self.scene.exact_depth:
                errors = depth_error(result.inverse_depth, truth.depth_m)
                figures[label] |= {"depth_abs_rel": errors.abs_rel, "depth_1_25": errors.within_1_25}
                figures[label]["sky_iou"] = errors.sky_iou
            readout = forked.last_readout
            if readout is not None and bool((readout.coverage > 0).any()):
                decoded = self.decode(readout.features)
                cells = self.visible(label) & (result.coverage >= FULL)
                mask = self.pixels(cells)
                figures[label]["readout_psnr_db"] = psnr_db(decoded, truth.image, mask)
        return figures

    def closed_loop(self, explorer: Explorer, picture: str = "") -> Figures:
        """Leave, come back over the same poses, compare with first visits; the last frame is kept as ``picture``."""
        cameras = self.scene.loop
        results = [self.begin(explorer)]
        results += [self.step(explorer, camera) for camera in cameras[1:]]
        images = [result.rgb for result in results]
        if picture:
            self.keep(picture, HOME, images[-1])
        pairs = revisit_pairs(cameras)
        turn = len(cameras) // 2
        back = range(turn + 1, len(cameras))
        truths = [self.scene.true_view(camera) for camera in cameras]
        tokens = [result.stats.tokens_living for result in results]
        figures: Figures = {
            "psnr_c_db": mean_of([psnr_db(images[one], images[two]) for one, two in pairs]),
            "ssim_c": mean_of([ssim(images[one], images[two]) for one, two in pairs]),
            "psnr_c_first_db": psnr_db(truths[0].image, images[-1]),
            "ssim_c_first": ssim(truths[0].image, images[-1]),
            "pairs": len(pairs),
            "true_psnr_back_db": mean_of([psnr_db(images[n], truths[n].image) for n in back]),
            "sharpness": mean_of([sharpness_ratio(images[n], truths[n].image) for n in back]),
            "coverage_out": mean_of([results[n].coverage_mean for n in range(1, turn + 1)]),
            "coverage_back": mean_of([results[n].coverage_mean for n in back]),
            "coverage": [result.coverage_mean for result in results],
            "growth_after_return": tokens[-1] / tokens[turn] - 1.0 if tokens[turn] else None,
            "mib": results[-1].stats.mib,
            "tokens": tokens[-1],
            "colour_drift": mean_of(
                [float(np.linalg.norm(mean_lab(images[one]) - mean_lab(images[two]))) for one, two in pairs]
            ),
        }
        if self.scene.exact_depth:
            figures["flicker"] = mean_of(self.flickers(images, truths))
            figures["depth_abs_rel_back"] = mean_of(
                [depth_error(results[n].inverse_depth, truths[n].depth_m).abs_rel for n in back]
            )
            figures["pose"] = self.poses(images)
        return figures

    def drift(self, explorer: Explorer) -> Figures:
        """A long flight into the unknown: sharpness and colour against the true world's at the same cameras, and how
        either changed by itself, for other country is not the same country worse."""
        cameras, every = self.scene.drift, self.settings.drift_every
        self.begin(explorer)
        frames, sharp, psnr, coverage, hangs, true_hangs = [], [], [], [], [], []
        looks: list[Look] = []
        true_looks: list[Look] = []
        for n, camera in enumerate(cameras[1:], start=1):
            result = self.step(explorer, camera)
            if n % every and n != len(cameras) - 1:
                continue
            view = self.scene.true_view(camera)
            truth, shown = view.image, result.inverse_depth
            frames.append(n)
            hangs.append(float(hanging(shown, camera, result.coverage.shape).mean()))
            true_depth = sample_inverse_depth(view.depth_m, *shown.shape).nan_to_num().numpy()
            true_hangs.append(float(hanging(true_depth, camera, result.coverage.shape).mean()))
            sharp.append(sharpness_ratio(result.rgb, truth))
            looks.append(look_of(result.rgb))
            true_looks.append(look_of(truth))
            psnr.append(psnr_db(result.rgb, truth))
            coverage.append(result.coverage_mean)
        tenth = max(1, len(frames) // 10)
        first, last = mean_of(sharp[:tenth]), mean_of(sharp[-tenth:])
        own, true = (change(part[:tenth], part[-tenth:]) for part in (looks, true_looks))
        return {
            "frames": frames,
            "sharpness": sharp,
            "psnr_db": psnr,
            "coverage": coverage,
            "hanging": mean_of(hangs),
            "true_hanging": mean_of(true_hangs),
            "colour_from_truth": [float(np.linalg.norm(a.lab - b.lab)) for a, b in zip(looks, true_looks, strict=True)],
            "sharpness_change": last / first - 1.0 if first and last is not None else None,
            "colour_drift": float(np.linalg.norm(own.lab - true.lab)),
            "sharpness_octaves": own.sharpness,
            "true_sharpness_octaves": true.sharpness,
            "colour_change": float(np.linalg.norm(own.lab)),
            "true_colour_change": float(np.linalg.norm(true.lab)),
        }

    def reference(self) -> Figures:
        """What the protocol gives for the truth itself and for the autoencoder alone: floors and ceilings."""
        figures: Figures = {"novel": {}, "shared": {}}
        self.keep(TRUTH, HOME, self.scene.true_view(self.scene.first).image)
        for label, camera in self.scene.gaps.items():
            truth = self.scene.true_view(camera)
            self.keep(TRUTH, label, truth.image)
            latents = self.model.encode(truth.rgb[None].to(self.model.device))[0]
            figures["novel"][label] = self.compare(label, self.decode(latents), truth)
            figures["shared"][label] = float(self.visible(label).mean())
        if self.scene.exact_depth:
            truths = [self.scene.true_view(camera) for camera in self.scene.loop]
            images = [truth.image for truth in truths]
            figures["flicker"] = mean_of(self.flickers(images, truths))
            figures["pose"] = self.poses(images)
        return figures

    # ------------------------------------------------------------------------------------------- figures

    def compare(self, label: str, image: np.ndarray, truth: TrueView) -> Figures:
        """A picture of the novel view ``label`` against the truth: whole, where the first view saw it, and "
        "where not."""
        seen = self.pixels(self.visible(label))
        return {
            "psnr_db": psnr_db(image, truth.image),
            "ssim": ssim(image, truth.image),
            "psnr_seen_db": psnr_db(image, truth.image, seen),
            "ssim_seen": ssim(image, truth.image, seen),
            "sharpness": sharpness_ratio(image, truth.image),
            "sharpness_seen": sharpness_ratio(image, truth.image, seen),
            "sharpness_invented": sharpness_ratio(image, truth.image, ~seen),
        }

    def pixels(self, cells: np.ndarray) -> np.ndarray:
        """``cells (h, w)`` bool -> (H, W) bool."""
        import torch

        return cells_to_pixels(torch.from_numpy(cells), self.stride)

    def decode(self, latents: Any) -> np.ndarray:
        """``latents (C, h, w)`` -> (H, W, 3) uint8."""
        from engine.pixels import to_uint8

        return to_uint8(self.model.decode(latents[None].to(self.model.device))[0].float())

    def flickers(self, images: Sequence[np.ndarray], truths: Sequence[TrueView]) -> list[float]:
        """Warping errors of successive loop frames, the first (which is given, not generated) left out."""
        cameras = self.scene.loop
        if not self._warps:
            self._warps = [
                Warp(cameras[n], truths[n].depth_m, cameras[n + 1], truths[n + 1].depth_m)
                for n in range(1, len(cameras) - 1)
            ]
        return [flicker(images[n], images[n + 1], warp) for n, warp in enumerate(self._warps, start=1)]

    def poses(self, images: Sequence[np.ndarray]) -> Figures:
        """Pose errors of some loop frames; the same frames for every variant."""
        scene = self.scene
        if self._probe is None or self._probed is None:
            depths = [scene.true_view(camera).depth_m for camera in scene.loop]
            self._probe = PoseProbe(scene.first, scene.true_view(scene.first))
            self._probed = probe_frames(self._probe, scene.loop, depths, self.settings.pose_frames)
        return summarise(pose_errors(self._probe, scene.loop, images, self._probed))


def summarise(errors: PoseErrors) -> Figures:
    """Medians, and how many frames gave no pose."""

    def median(values: list[float]) -> float | None:
        return float(np.median(values)) if values else None

    return {
        "rotation_deg": median(errors.rotation_deg),
        "translation_m": median(errors.translation_m),
        "translation_share": median(errors.translation_share),
        "tried": errors.tried,
        "failed": errors.failed,
    }


def hole_rate(coverage: np.ndarray, visible: np.ndarray) -> float | None:
    """Share of the cells in ``visible (h, w)`` that the memory, by ``coverage (h, w)``, covers by less than half."""
    return float((coverage[visible] < 0.5).mean()) if visible.any() else None


def measure(trial: Trial, variant: MemoryVariant, *, drift: bool) -> Figures:
    """Everything about one variant in the trial's scene."""
    explorer = trial.explorer(variant)
    trial.begin(explorer)
    figures: Figures = {"novel": trial.novel_views(explorer)}
    figures["loop"] = trial.closed_loop(trial.explorer(variant), picture=variant)
    if drift and trial.scene.drift:
        figures["drift"] = trial.drift(trial.explorer(variant))
    return figures


def frames_of(settings: EvaluationSettings, gaps: int, *, drift: bool) -> int:
    """How often :func:`measure` ticks, for progress bars."""
    return 1 + gaps + settings.loop_frames + (settings.drift_frames if drift else 0)
