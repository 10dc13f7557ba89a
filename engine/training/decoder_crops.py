"""What the decoder trains on: crops of true and of generated views, each at both sizes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from engine.errors import InputError
from engine.models.embedded.autoencoder import Autoencoder
from engine.models.embedded.condition import unpack_state
from engine.training.config import DecoderTraining
from engine.training.imagination import SEEDS, Imagination
from engine.training.patterns import pattern_pool
from engine.training.recall import LatentScene, choose_views, remember
from engine.training.scenes import SAMPLES, STRIDE, SceneStore

CROPS_PER_VIEW = 4
PATTERNS = 192
TWO_STEPS = 0.3
"""Share of views that are generated in two steps instead of one."""


@dataclass(frozen=True)
class Crops:
    """A batch for the decoder.

    Attributes:
        latents: (B, C, h, w).
        rgb: (B, 3, H, W) float in [0, 1], what is truly there. fine: (B, 3, sH, sW), the same at s times the size.
        known: (B, h, w) bool: elsewhere a generated view is an invention and the truth says nothing.
    """

    latents: Tensor
    rgb: Tensor
    fine: Tensor
    known: Tensor


class CropSource:
    """Draws crops from the scenes that were rendered at both sizes.

    Raises:
        InputError: there are none.
    """

    def __init__(self, config: DecoderTraining, autoencoder: Autoencoder) -> None:
        self.config = config
        self.autoencoder = autoencoder
        self.scale = autoencoder.config.fine_scale
        self.device = torch.device(config.loop.device)
        self.fine, self.eval_fine = (SceneStore(config.fine.folder, evaluation) for evaluation in (False, True))
        if not len(self.fine):
            raise InputError(
                f"There are no scenes at {self.scale} times the size in {config.fine.folder}; render some with `mirage "
                f"train scenes --set folder={config.fine.folder} height={self.scale * config.scenes.height} "
                f"width={self.scale * config.scenes.width} views={config.fine.views} scenes={config.fine.scenes}`."
            )
        self.imagination = Imagination(config.model, config.scenes, config.loop, config.max_sources)
        self.patterns = pattern_pool(
            PATTERNS if config.patterns else 0, 2 * self.scale * config.crop_width, config.loop.seed
        )

    @torch.no_grad()
    def draw(self, generator: torch.Generator) -> Crops:
        """One batch: generated crops, crops of true views, dead leaves."""
        config = self.config
        own = round(config.own * config.loop.batch)
        leaves = round(config.patterns * config.loop.batch)
        batch: list[Crops] = []
        for start in range(0, config.loop.batch - leaves, CROPS_PER_VIEW):
            count = min(CROPS_PER_VIEW, config.loop.batch - leaves - start)
            batch.append(self._of_view(count, generator, generated=start < own))
        batch += [self._of_pattern(generator) for _ in range(leaves)]
        return Crops(*(torch.cat([getattr(c, name) for c in batch]) for name in ("latents", "rgb", "fine", "known")))

    def _of_view(self, count: int, generator: torch.Generator, generated: bool) -> Crops:
        config = self.config
        index = int(torch.randint(len(self.fine), (), generator=generator))
        scene = self.imagination.scenes.scene(index)
        sources, target = choose_views(len(scene.cameras), config.max_sources, generator)
        target %= config.fine.views
        h, w = config.crop_height // STRIDE, config.crop_width // STRIDE
        rows, columns = scene.latents.shape[-2:]
        corners = [
            [int(torch.randint(whole - part + 1, (), generator=generator)) for whole, part in ((rows, h), (columns, w))]
            for _ in range(count)
        ]
        boxes = [(t * STRIDE, x * STRIDE, h * STRIDE, w * STRIDE) for t, x in corners]
        rgb = self._pixels(self.imagination.scenes.store, index, target, boxes)
        n = self.scale
        fine = self._pixels(self.fine, index, target, [(n * t, n * x, n * a, n * b) for t, x, a, b in boxes])
        if not generated:
            return self._encoded(rgb, fine)
        sources = [view for view in sources if view != target] or [(target + 1) % len(scene.cameras)]
        steps = 1 + int(torch.rand((), generator=generator) < TWO_STEPS)
        latents, known = self.generate(scene, sources, target, steps, generator)
        return Crops(
            torch.cat([latents[..., t : t + h, x : x + w] for t, x in corners]),
            rgb,
            fine,
            torch.cat([known[..., t : t + h, x : x + w] for t, x in corners]),
        )

    def _pixels(self, store: SceneStore, index: int, view: int, boxes: list[tuple[int, int, int, int]]) -> Tensor:
        return store.crops(index, [view] * len(boxes), boxes).to(self.device).float() / 255

    def _of_pattern(self, generator: torch.Generator) -> Crops:
        height, width = self.scale * self.config.crop_height, self.scale * self.config.crop_width
        picture = self.patterns[int(torch.randint(len(self.patterns), (), generator=generator))]
        top = int(torch.randint(picture.shape[1] - height + 1, (), generator=generator))
        left = int(torch.randint(picture.shape[2] - width + 1, (), generator=generator))
        fine = picture[None, :, top : top + height, left : left + width].to(self.device).float() / 255
        return self._encoded(avg_pool2d(fine, self.scale), fine)

    def _encoded(self, rgb: Tensor, fine: Tensor) -> Crops:
        latents = self.autoencoder.encoder(rgb.contiguous(memory_format=torch.channels_last))
        latents = latents + self.config.latent_noise * torch.randn_like(latents)
        known = torch.ones(len(rgb), *latents.shape[-2:], dtype=torch.bool, device=self.device)
        return Crops(latents, rgb, fine, known)

    def generate(
        self, scene: LatentScene, sources: list[int], target: int, steps: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """A view's latents (1, C, h, w) as the explorer would make them, and which cells were known (1, h, w)."""
        imagination, memory = self.imagination, remember(scene, sources)
        model, seed = imagination.model, int(torch.randint(SEEDS, (), generator=generator))
        state, known = imagination.imagine(memory, scene, target, model.denoiser, model.detail, steps, generator, seed)
        return unpack_state(state, imagination.mean, imagination.std, SAMPLES)[0], known > 0.99
