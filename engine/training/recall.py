"""What the readout and denoiser stages train on: latents of scenes, and what a memory of some views shows of
another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.atomic import atomic_write
from engine.camera import Camera
from engine.errors import InputError
from engine.memory import LatentMemory, LatentView, MemoryConfig
from engine.memory.readout import SampleMap
from engine.models.embedded.autoencoder import Autoencoder
from engine.models.embedded.blocks import channels_last
from engine.models.embedded.config import AutoencoderConfig
from engine.models.embedded.readout import CENTRE, ReadoutNetwork
from engine.models.embedded.weights import file_checksum, load_network
from engine.training.precision import native_precision
from engine.training.scenes import SAMPLES, STRIDE, SceneStore
from engine.worlds import BIOMES


@dataclass(frozen=True)
class LatentScene:
    """A scene as the memory knows it.

    Attributes:
        latents: (V, C, h, w) float32.
        inverse_depth: (V, h*s, w*s) float32.
        cameras: V image-size cameras.
        biome: the world's biome.
        finer: the same views with twice as many pixels a side, where there are any.
    """

    latents: Tensor
    inverse_depth: Tensor
    cameras: tuple[Camera, ...]
    biome: str
    finer: LatentScene | None = None

    @property
    def biome_index(self) -> int:
        """Index into the biome embedding, whose first row is of no biome."""
        return 1 + BIOMES.index(self.biome)


def trained_weights(stage: str, run: str) -> Path:
    """The best weights of a run of ``stage``; raises :class:`InputError` if there are none."""
    path = Path(run) / "best.safetensors"
    if not path.exists():
        raise InputError(f"There is no trained {stage} at {path}; run `mirage train {stage}` first.")
    return path


def trained_autoencoder(run: str, device: torch.device) -> tuple[Autoencoder, Path]:
    """The best autoencoder of a run, frozen, and its file."""
    path = trained_weights("autoencoder", run)
    network = Autoencoder(AutoencoderConfig())
    load_network(network, path)
    return channels_last(network, device).eval().requires_grad_(False), path


class LatentScenes:
    """Scenes with their latents, encoded once per autoencoder and kept beside the scenes.

    Args:
        finer: the same scenes with twice as many pixels a side; then the views are remembered at two scales.
        quarters: the cameras are rolled by so many quarters of a circle.
    """

    def __init__(
        self,
        store: SceneStore,
        autoencoder: Autoencoder,
        weights: Path,
        device: torch.device,
        finer: LatentScenes | None = None,
        quarters: int = 0,
    ) -> None:
        self.store = store
        self.finer = finer
        self.weights = weights
        self.quarters = quarters
        self.autoencoder = autoencoder
        self.device = device
        which = f"-rolled-{quarters}" if quarters else ""
        self.folder = store.folder / f"latents-{file_checksum(weights)[:12]}{which}"
        self._rolled: dict[int, LatentScenes] = {}
        self.folder.mkdir(parents=True, exist_ok=True)
        store.require()

    def __len__(self) -> int:
        return len(self.store)

    def rolled(self, quarters: int) -> LatentScenes:
        """The same scenes, seen by rolled cameras."""
        if quarters not in self._rolled:
            finer = None if self.finer is None else self.finer.rolled(quarters)
            made = LatentScenes(self.store, self.autoencoder, self.weights, self.device, finer, quarters)
            self._rolled[quarters] = made
        return self._rolled[quarters]

    def refresh(self) -> None:
        """Look for new scenes; with a finer scale, for those that are there at both."""
        self.store.refresh()
        if self.finer is not None:
            self.finer.refresh()
            self.store.paths, self.finer.store.paths = _of_both(self.store, self.finer.store)

    def scene(self, index: int) -> LatentScene:
        """Scene ``index``; encodes it at the first visit."""
        path = self.folder / self.store.paths[index].name
        scene = self.store.scene(index, with_rgb=not path.exists())
        if path.exists():
            with safe_open(path, framework="pt") as file:
                latents = file.get_tensor("latents").float()
        else:
            latents = self._encode(torch.rot90(scene.rgb, self.quarters, (-2, -1)))
            with atomic_write(path) as temporary:
                save_file({"latents": latents.half().contiguous()}, temporary)
        finer = self.finer.scene(index) if self.finer is not None else None
        cameras = tuple(rolled(camera, self.quarters) for camera in scene.cameras)
        inverse_depth = torch.rot90(scene.inverse_depth, self.quarters, (-2, -1))
        return LatentScene(latents, inverse_depth, cameras, scene.biome, finer)

    def shifted(self, index: int, view: int, right: int, down: int) -> tuple[Camera, Tensor]:
        """A view of scene ``index`` shifted by pixels, less than a cell: its camera, and its latents (C, h, w), of
        which the last row and column, which nobody has seen, are 0."""
        picture, camera = self.store.picture(index, view), self.scene(index).cameras[view]
        k = camera.K.copy()
        k[:2, 2] -= right, down
        height, width = picture.shape[-2] - STRIDE, picture.shape[-1] - STRIDE
        latents = self._encode(picture[..., down : down + height, right : right + width])[0].float()
        return Camera(camera.c2w, k, *picture.shape[:1:-1]), nn.functional.pad(latents, (0, 1, 0, 1))

    @torch.inference_mode()
    def _encode(self, rgb: Tensor) -> Tensor:
        images = (rgb.float() / 255).to(self.device).contiguous(memory_format=torch.channels_last)
        with native_precision(self.device):
            return self.autoencoder.encoder(images).cpu()

    def statistics(self, scenes: int = 64) -> tuple[Tensor, Tensor]:
        """Per-channel mean and standard deviation (C,) of the latents of up to ``scenes`` scenes."""
        count = min(scenes, len(self))
        chosen = torch.linspace(0, len(self) - 1, count).long().tolist()
        latents = torch.cat([self.scene(index).latents for index in chosen])
        return latents.mean((0, 2, 3)), latents.std((0, 2, 3))


def rolled(camera: Camera, quarters: int) -> Camera:
    """The camera whose picture is that of ``camera`` turned counterclockwise by quarters of a circle, as
    :func:`torch.rot90` does."""
    for _ in range(quarters % 4):
        pose, (fx, fy, cx, cy) = camera.c2w.copy(), (camera.K[i] for i in ((0, 0), (1, 1), (0, 2), (1, 2)))
        pose[:, 0], pose[:, 1] = camera.c2w[:, 1], -camera.c2w[:, 0]
        k = np.array([[fy, 0.0, cy], [0.0, fx, camera.width - cx], [0.0, 0.0, 1.0]])
        camera = Camera(pose, k, camera.height, camera.width)
    return camera


def scaled_scenes(
    plain: str, fine: str, autoencoder: Autoencoder, weights: Path, device: torch.device, evaluation: bool = False
) -> LatentScenes:
    """The scenes of the folder ``plain``, whose finer scale is those of ``fine``: those that both hold, for more may
    be rendered meanwhile.

    Raises:
        InputError: they hold none alike.
    """
    stores = SceneStore(plain, evaluation), SceneStore(fine, evaluation)
    found = [len(store) for store in stores]
    stores[0].paths, stores[1].paths = _of_both(*stores)
    if not stores[0].paths:
        raise InputError(
            f"{stores[0].folder} and {stores[1].folder} must hold the same scenes, there are {found[0]} and "
            f"{found[1]}; render both with the same settings, but the second with twice the width and height."
        )
    finer = LatentScenes(stores[1], autoencoder, weights, device)
    return LatentScenes(stores[0], autoencoder, weights, device, finer)


def _of_both(plain: SceneStore, fine: SceneStore) -> tuple[list[Path], list[Path]]:
    """The scenes that two stores both hold, in the same order."""
    names = sorted({path.name for path in plain.paths} & {path.name for path in fine.paths})
    return [plain.folder / name for name in names], [fine.folder / name for name in names]


@dataclass(frozen=True)
class Recall:
    """What a memory shows of one view, ready for the readout network.

    Attributes:
        samples: the sample geometry.
        neighbourhood: (n, 9, C) float32 of the covered samples, row-major.
        valid: (n, 9) bool.
    """

    samples: SampleMap
    neighbourhood: Tensor
    valid: Tensor

    @property
    def covered(self) -> Tensor:
        """(h*s, w*s) bool."""
        return self.samples.token >= 0


def fresh_memory(channels: int, **settings: Any) -> LatentMemory:
    """An empty memory of the training grid; further ``settings`` of :class:`MemoryConfig`."""
    return LatentMemory(MemoryConfig(channels=channels, stride=STRIDE, samples=SAMPLES, **settings))


def remember(scene: LatentScene, views: Sequence[int], latents: Tensor | None = None, **settings: Any) -> LatentMemory:
    """A memory of some views of a scene, at all the scales that the scene has.

    Args:
        latents: (len(views), C, h, w) in place of the true ones. settings: of :class:`MemoryConfig`.
    """
    memory = fresh_memory(scene.latents.shape[1], **settings)
    for order, view in enumerate(views):
        tokens = scene.latents[view] if latents is None else latents[order]
        fine = scene.finer
        finer = [LatentView(fine.cameras[view], fine.latents[view], fine.inverse_depth[view])] if fine else []
        memory.write(LatentView(scene.cameras[view], tokens, scene.inverse_depth[view]), finer=finer)
    return memory


def recall(memory: LatentMemory, camera: Camera, asked: Tensor | None = None) -> Recall:
    """What the memory shows of ``camera``, of the samples that are ``asked`` for (h*s, w*s) bool; ``None``: of all."""
    samples = memory.sample_map(camera)
    if asked is not None:
        samples = replace(samples, token=torch.where(asked, samples.token, -1))
    neighbourhood, valid = memory.neighbourhood(samples.token[samples.token >= 0])
    return Recall(samples, neighbourhood.float(), valid)


def read_batch(network: ReadoutNetwork, recalls: Sequence[Recall], device: torch.device) -> tuple[Tensor, Tensor]:
    """The readout network on several recalls: features (B, C, h, w) and covered (B, h*s, w*s)."""
    inputs, base = [], []
    for item in recalls:
        neighbourhood = item.neighbourhood.to(device)
        inputs.append(network.sample_inputs(item.samples, neighbourhood, item.valid))
        base.append(neighbourhood[:, CENTRE])
    covered = torch.stack([item.covered for item in recalls]).to(device)
    dtype = next(network.parameters()).dtype  # one that is only used is kept in what the processor multiplies best
    return network(torch.cat(inputs).to(dtype), torch.cat(base), covered), covered


def cell_scale(samples: SampleMap) -> Tensor:
    """Log2 scale of each cell's nearest covered sample, as the readout has it: (h*s, w*s) -> (h, w), 0 in holes."""
    inverse_depth = torch.where(samples.token >= 0, samples.inverse_depth, -1.0)
    fold = nn.functional.pixel_unshuffle
    nearest, index = fold(inverse_depth[None], SAMPLES).max(dim=0)
    return fold(samples.log2_scale[None], SAMPLES).gather(0, index[None])[0] * (nearest >= 0)


def choose_views(views: int, max_sources: int, generator: torch.Generator) -> tuple[list[int], int]:
    """A target view and one to ``max_sources`` others, in the order they were passed."""
    order = torch.randperm(views, generator=generator).tolist()
    count = int(torch.randint(1, max_sources + 1, (), generator=generator))
    return sorted(order[1 : 1 + count]), order[0]
