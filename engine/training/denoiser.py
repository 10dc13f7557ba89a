"""Training the denoiser on what a memory shows of a view, in the end a memory of its own making."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, smooth_l1_loss

from engine.camera import Camera
from engine.depth import reconcile
from engine.errors import InputError
from engine.memory import LatentMemory, LatentView
from engine.models.embedded.blocks import channels_last
from engine.models.embedded.condition import build_condition, pack_state, ray_elevation, unpack_state
from engine.models.embedded.config import DenoiserConfig, ReadoutConfig
from engine.models.embedded.denoiser import Denoiser
from engine.models.embedded.readout import ReadoutNetwork
from engine.models.embedded.sampler import flow_times, sample_flow
from engine.models.embedded.weights import load_network
from engine.training.config import DenoiserTraining
from engine.training.curves import write_sheet
from engine.training.losses import covered_psnr_db
from engine.training.recall import (
    LatentScene,
    LatentScenes,
    cell_scale,
    choose_views,
    fresh_memory,
    read_batch,
    recall,
    remember,
    trained_autoencoder,
)
from engine.training.scenes import EVALUATION_GAPS_M, SAMPLES, SceneStore
from engine.worlds import BIOMES

WEIGHT_FLOOR = 0.1
ROLLOUT_STEPS = 2


@dataclass(frozen=True)
class Example:
    """One view to be denoised.

    Attributes:
        condition: (condition_channels, h, w).
        target: (C + s*s, h, w) the true state.
        biome: index into the biome embedding.
    """

    condition: Tensor
    target: Tensor
    biome: int


def forget_rectangles(covered: Tensor, generator: torch.Generator) -> Tensor:
    """Drop one to three rectangles, or everything to one side, from a memory's coverage (h*s, w*s) bool; whole cells
    only."""
    hs, ws = covered.shape
    keep = torch.ones(hs // SAMPLES, ws // SAMPLES, dtype=torch.bool)
    h, w = keep.shape
    if torch.rand((), generator=generator) < 0.4:  # what a turn of the head reveals
        width = int(torch.randint(1, max(2, w // 2), (), generator=generator))
        if torch.rand((), generator=generator) < 0.5:
            keep[:, :width] = False
        else:
            keep[:, w - width :] = False
    else:
        for _ in range(int(torch.randint(1, 4, (), generator=generator))):
            rows, columns = (int(torch.randint(1, max(2, int(n * 0.6)), (), generator=generator)) for n in (h, w))
            top, left = (
                int(torch.randint(0, n - m + 1, (), generator=generator)) for n, m in ((h, rows), (w, columns))
            )
            keep[top : top + rows, left : left + columns] = False
    return covered & keep.repeat_interleave(SAMPLES, 0).repeat_interleave(SAMPLES, 1)


class DenoiserStage:
    """Rectified flow with data prediction; remembered cells start as a copy of the readout."""

    score = "balance_db"

    def __init__(self, config: DenoiserTraining) -> None:
        self.config = config
        self.device = torch.device(config.loop.device)
        torch.manual_seed(config.loop.seed)
        self.network = channels_last(Denoiser(DenoiserConfig(biomes=BIOMES)), self.device)
        self.autoencoder, weights = trained_autoencoder(config.autoencoder_run, self.device)
        self.readout = ReadoutNetwork(ReadoutConfig())
        path = Path(config.readout_run) / "best.safetensors"
        if not path.exists():
            raise InputError(f"There is no trained readout at {path}; run `mirage train readout` first.")
        load_network(self.readout, path)
        channels_last(self.readout, self.device).eval().requires_grad_(False)
        self.scenes = LatentScenes(SceneStore(config.scenes.folder), self.autoencoder, weights, self.device)
        self.eval_scenes = LatentScenes(
            SceneStore(config.scenes.folder, evaluation=True), self.autoencoder, weights, self.device
        )
        mean, std = self.scenes.statistics()
        self.mean, self.std = (x[:, None, None].to(self.device) for x in (mean, std))

    def loss(self, generator: torch.Generator, progress: float) -> tuple[Tensor, dict[str, float]]:
        """One batch: each view with several times and noises."""
        config = self.config
        examples = [self.example(generator, progress) for _ in range(config.loop.batch)]
        repeat = config.noises_per_view
        condition = torch.stack([e.condition for e in examples]).repeat_interleave(repeat, 0)
        target = torch.stack([e.target for e in examples]).repeat_interleave(repeat, 0)
        biome = torch.tensor([e.biome for e in examples]).repeat_interleave(repeat).to(self.device)
        b = len(target)
        t = torch.sigmoid(1.1 * torch.randn(b, generator=generator) - 0.4)
        t[torch.rand(b, generator=generator) < config.pure_noise] = 0.0
        t = t.to(self.device)
        noise = torch.randn(target.shape, generator=generator).to(self.device)
        noisy = torch.lerp(noise, target, t[:, None, None, None])
        predicted = self.network(noisy, t, condition, biome)
        # Between the weight of the data and that of the velocity, 1 / (1 - t)^2: late steps matter, but do not drown
        # the first.
        weight = (1.0 / (1.0 - t + WEIGHT_FLOOR))[:, None, None, None]
        channels = self.network.config.latent_channels
        latent_loss = ((predicted[:, :channels] - target[:, :channels]).square() * weight).mean()
        depth_error = smooth_l1_loss(predicted[:, channels:], target[:, channels:], beta=0.1, reduction="none")
        depth_loss = (depth_error * weight).mean()
        return latent_loss + config.depth_weight * depth_loss, {
            "latent": float(latent_loss.detach()),
            "depth": float(depth_loss.detach()),
        }

    def example(self, generator: torch.Generator, progress: float) -> Example:
        """A view, and what a memory of true or of imagined views knows of it."""
        config = self.config
        scene = self.scenes.scene(int(torch.randint(len(self.scenes), (), generator=generator)))
        sources, target = choose_views(len(scene.cameras), config.max_sources, generator)
        roll = float(torch.rand((), generator=generator))
        perturb = config.perturb * float(torch.rand((), generator=generator))
        if roll < config.empty:
            memory = fresh_memory(scene.latents.shape[1])
        elif roll > 1.0 - config.self_memory * max(0.0, 2.0 * progress - 1.0) and len(sources) > 1:
            memory = self.imagined_memory(scene, sources, generator)
        else:
            latents = scene.latents[sources]
            memory = remember(scene, sources, latents + perturb * torch.randn(latents.shape, generator=generator))
        forget = config.empty <= roll and float(torch.rand((), generator=generator)) < config.dropped
        with torch.no_grad():
            condition = self.condition(memory, scene.cameras[target], generator if forget else None)
        state = pack_state(
            scene.latents[target : target + 1].to(self.device),
            scene.inverse_depth[target : target + 1].to(self.device),
            self.mean,
            self.std,
            SAMPLES,
        )
        return Example(condition[0], state[0], 1 + BIOMES.index(scene.biome))

    def condition(self, memory: LatentMemory, camera: Camera, forget: torch.Generator | None = None) -> Tensor:
        """(1, condition_channels, h, w): the memory read out for ``camera``, with parts forgotten if a generator is
        given."""
        item = recall(memory, camera)
        features, covered = read_batch(self.readout, [item], self.device)
        if forget is not None:
            covered = forget_rectangles(covered[0].cpu(), forget)[None].to(self.device)
            features = features * (avg_pool2d(covered.float()[:, None], SAMPLES) > 0)
        elevation = ray_elevation(camera, *features.shape[-2:]).to(self.device)
        return build_condition(
            (features.float() - self.mean) / self.std,
            covered,
            item.samples.inverse_depth[None].to(self.device) * covered,
            cell_scale(item.samples)[None].to(self.device),
            elevation[None],
            SAMPLES,
        )

    @torch.no_grad()
    def imagined_memory(self, scene: LatentScene, sources: list[int], generator: torch.Generator) -> LatentMemory:
        """A memory that starts from one true view and goes on with the model's own."""
        memory = remember(scene, sources[:1])
        for view in sources[1:]:
            self.imagine_into(memory, scene.cameras[view], 1 + BIOMES.index(scene.biome), generator)
        return memory

    def imagine_into(
        self,
        memory: LatentMemory,
        camera: Camera,
        biome: int,
        generator: torch.Generator,
        network: nn.Module | None = None,
    ) -> Tensor:
        """Imagine a view from a memory and write it, as the explorer does; returns its latents (C, h, w)."""
        network = network or self.network
        condition = self.condition(memory, camera)
        noise = torch.randn((1, self.network.config.state_channels, *condition.shape[-2:]), generator=generator).to(
            self.device
        )
        index = torch.tensor([biome], device=self.device)
        state = sample_flow(
            lambda x, t: network(x, torch.full((1,), t, device=self.device), condition, index),
            noise,
            flow_times(ROLLOUT_STEPS),
        )
        latents, inverse_depth = unpack_state(state.float(), self.mean, self.std, SAMPLES)
        samples = memory.sample_map(camera)
        _, writable, _ = reconcile(inverse_depth[0].cpu(), samples.inverse_depth, samples.covered, samples.sky)
        memory.write(LatentView(camera, latents[0].cpu(), writable))
        return latents[0]

    def evaluate(self, network: nn.Module, sheet: Path) -> dict[str, float]:
        """Generated views at each gap against the truth, on covered cells and whole; the sheet shows 1, 2, 4 and 8
        steps."""
        self.eval_scenes.store.refresh()
        figures: dict[str, list[float]] = {}
        rows: list[list[Tensor]] = []
        for index in range(len(self.eval_scenes)):
            scene, images = self.eval_scenes.scene(index), self.eval_scenes.store.scene(index).rgb.float() / 255
            biome = torch.tensor([1 + BIOMES.index(scene.biome)], device=self.device)
            for view, gap_m in enumerate(EVALUATION_GAPS_M, start=1):
                memory = remember(scene, [0])
                condition = self.condition(memory, scene.cameras[view])
                outputs = {
                    steps: self._generate(network, condition, biome, steps, seed=index)
                    for steps in (1, 2, 4, 8)
                    if steps == 2 or index < 5
                }
                covered = memory.sample_map(scene.cameras[view]).covered[None].float()[:, None]
                cells = (avg_pool2d(covered, SAMPLES)[:, 0] > 0.99).to(self.device)
                truth = images[view : view + 1].to(self.device)
                figures.setdefault(f"generated_{gap_m:g}m_db", []).append(
                    float(covered_psnr_db(outputs[2], truth, cells))
                )
                figures.setdefault(f"whole_{gap_m:g}m_db", []).append(
                    float(covered_psnr_db(outputs[2], truth, torch.ones_like(cells)))
                )
                if gap_m == 7.0 and index < 5:
                    c = self.network.config.latent_channels
                    known = self._decode(condition[:, :c] * self.std + self.mean) * cells_to_pixels(cells)
                    rows.append([known, *outputs.values(), truth])
        nothing = self._nothing(network)
        write_sheet([torch.cat([row[i] for row in rows] + [nothing[i]]) for i in range(len(rows[0]))], sheet)
        means = {name: sum(values) / len(values) for name, values in figures.items()}
        # What is remembered must stay, and what is not must be invented well: the best weights do both.
        return means | {"balance_db": 0.5 * (means["generated_3m_db"] + means["whole_7m_db"])}

    def _nothing(self, network: nn.Module) -> list[Tensor]:
        """A row of views imagined from an empty memory, one biome each."""
        camera = self.eval_scenes.scene(0).cameras[0]
        condition = self.condition(fresh_memory(self.mean.shape[0]), camera)
        return [
            self._generate(network, condition, torch.tensor([1 + i % len(BIOMES)], device=self.device), 8, seed=i)
            for i in range(6)
        ]

    def _generate(self, network: nn.Module, condition: Tensor, biome: Tensor, steps: int, seed: int) -> Tensor:
        noise = torch.randn(
            (1, self.network.config.state_channels, *condition.shape[-2:]),
            generator=torch.Generator().manual_seed(seed),
        ).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16):
            state = sample_flow(
                lambda x, t: network(x, torch.full((1,), t, device=self.device), condition, biome),
                noise,
                flow_times(steps),
            )
        return self._decode(unpack_state(state.float(), self.mean, self.std, SAMPLES)[0])

    def _decode(self, latents: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16):
            return self.autoencoder.decoder(latents.contiguous(memory_format=torch.channels_last)).clamp(0, 1)


def cells_to_pixels(cells: Tensor) -> Tensor:
    """(B, h, w) bool -> (B, 1, 8h, 8w) float."""
    return cells[:, None].repeat_interleave(8, 2).repeat_interleave(8, 3).float()
