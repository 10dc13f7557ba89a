"""Training the denoiser on what a memory shows of a view, in the end a memory of its own making."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

from engine.models.embedded.blocks import channels_last
from engine.models.embedded.condition import known_share, magnification
from engine.models.embedded.config import READOUT, DenoiserConfig
from engine.models.embedded.denoiser import Denoiser
from engine.models.embedded.readout import ReadoutNetwork
from engine.models.embedded.weights import load_network
from engine.training.adversarial import Adversary
from engine.training.config import DenoiserTraining
from engine.training.curves import write_sheet
from engine.training.examples import ExampleSource
from engine.training.flow_critic import FlowCritic
from engine.training.losses import cells_to_pixels, covered_psnr_db, sharpness_ratio
from engine.training.precision import native_precision
from engine.training.recall import LatentScenes, fresh_memory, remember, trained_autoencoder, trained_weights
from engine.training.scenes import EVALUATION_GAPS_M, SAMPLES, SceneStore
from engine.worlds import BIOMES

WEIGHT_FLOOR = 0.1
FEW_STEP_TIMES = (0.25, 0.5, 0.75)
"""Where samplers of two and four steps look besides t = 0."""
CRITIC_NOISE = 0.2
MAGNIFIED = 0.5
"""log2 of the magnification from which on remembered cells are the critic's too."""
MEASURED_STEPS = (1, 2, 4)
SHARP_IS_WORTH_DB = 5.0
"""In the score, inventing as sharply as the true world weighs as much as so many dB of faithfulness to memory."""


def flow_loss(
    predicted: Tensor,
    target: Tensor,
    certain: Tensor,
    t: Tensor,
    covered_weight: float,
    invented_weight: float,
    depth_weight: float,
) -> tuple[Tensor, dict[str, float]]:
    """Weighted error of latents and log-depth, and both apart to log.

    Args:
        predicted, target: (B, C + s*s, h, w) states. t: (B,) of the flow.
        certain: (B, 1, h, w) in [0, 1], how much the memory knows of the truth.
        covered_weight, invented_weight, depth_weight: see :class:`engine.training.config.DenoiserTraining`.
    """
    channels = target.shape[1] - SAMPLES**2
    # Between the weight of the data and that of the velocity, 1 / (1 - t)^2: late steps matter, but do not drown the
    # first. Errors where the memory knows are small and would drown in those where nobody can know.
    weight = (1.0 / (1.0 - t + WEIGHT_FLOOR))[:, None, None, None]
    weight = weight * torch.lerp(certain.new_tensor(invented_weight), certain.new_tensor(covered_weight), certain)
    latent_loss = ((predicted[:, :channels] - target[:, :channels]).square() * weight).mean()
    depth_error = smooth_l1_loss(predicted[:, channels:], target[:, channels:], beta=0.1, reduction="none")
    depth_loss = (depth_error * weight).mean()
    figures = {"latent": float(latent_loss.detach()), "depth": float(depth_loss.detach())}
    return latent_loss + depth_weight * depth_loss, figures


class DenoiserStage:
    """Rectified flow with data prediction; remembered cells start as a copy of the readout."""

    score = "balance_db"

    def __init__(self, config: DenoiserTraining) -> None:
        self.config = config
        self.device = torch.device(config.loop.device)
        torch.manual_seed(config.loop.seed)
        self.network = channels_last(Denoiser(DenoiserConfig(biomes=BIOMES)), self.device)
        if config.start_from:
            load_network(self.network, Path(config.start_from))
        self.autoencoder, weights = trained_autoencoder(config.autoencoder_run, self.device)
        self.scenes, self.eval_scenes = (
            LatentScenes(SceneStore(config.scenes.folder, evaluation), self.autoencoder, weights, self.device)
            for evaluation in (False, True)
        )
        mean, std = self.scenes.statistics()
        self.mean, self.std = (x[:, None, None].to(self.device) for x in (mean, std))
        self.source = ExampleSource(config, self.scenes, self._trained_readout(), self.mean, self.std)
        self.adversary: Adversary | None = None
        if config.adversarial:
            critic = FlowCritic(self.network, CRITIC_NOISE).requires_grad_(True)
            self.adversary = Adversary(critic, self.device, config.adversarial, CRITIC_NOISE, slope_weight=1.0)

    def _trained_readout(self) -> ReadoutNetwork:
        readout = ReadoutNetwork(READOUT)
        load_network(readout, trained_weights("readout", self.config.readout_run))
        return channels_last(readout, self.device).eval().requires_grad_(False)

    def loss(self, generator: torch.Generator, progress: float) -> tuple[Tensor, dict[str, float]]:
        """One batch: each view with several times and noises."""
        config = self.config
        examples = [self.source.example(generator, progress, self.network) for _ in range(config.loop.batch)]
        repeat = config.noises_per_view
        condition = torch.stack([e.condition for e in examples]).repeat_interleave(repeat, 0)
        target = torch.stack([e.target for e in examples]).repeat_interleave(repeat, 0)
        biome = torch.tensor([e.biome for e in examples]).repeat_interleave(repeat).to(self.device)
        t = self.times(len(target), generator).to(self.device)
        noise = torch.randn(target.shape, generator=generator).to(self.device)
        noisy = torch.lerp(noise, target, t[:, None, None, None])
        predicted = self.network(noisy, t, condition, biome)
        weights = config.covered_weight, config.invented_weight, config.depth_weight
        known = known_share(condition, self.network.config.latent_channels)
        loss, figures = flow_loss(predicted, target, known, t, *weights)
        if self.adversary is not None and progress >= config.adversarial_from:
            since = progress - config.adversarial_from
            unknown = 1.0 - known
            context = torch.cat([condition, biome[:, None, None, None].expand_as(unknown)], dim=1)
            # What came near lacks detail as what was never seen does.
            wanting = torch.maximum(unknown, (magnification(condition) > MAGNIFIED).float())
            loss, told = self.adversary.join(loss, predicted, target, since, context, wanting)
            figures |= told
        return loss, figures

    def times(self, count: int, generator: torch.Generator) -> Tensor:
        """(count,) in [0, 1): where few-step samplers look, and everywhere else."""
        config = self.config
        t = torch.sigmoid(1.1 * torch.randn(count, generator=generator) - 0.4)
        kind = torch.rand(count, generator=generator)
        grid = torch.tensor(FEW_STEP_TIMES)[torch.randint(len(FEW_STEP_TIMES), (count,), generator=generator)]
        t = torch.where(kind < config.pure_noise + config.few_step, grid, t)
        return torch.where(kind < config.pure_noise, 0.0, t)

    def evaluate(self, network: nn.Module, sheet: Path) -> dict[str, float]:
        """Views generated in one, two and four steps at each gap against the truth: PSNR on covered cells and whole,
        and at 7 m the sharpness of what was invented; the sheet shows 1, 2, 4 and 8 steps."""
        self.eval_scenes.store.refresh()
        figures: dict[str, list[float]] = {}
        rows: list[list[Tensor]] = []
        for index in range(len(self.eval_scenes)):
            scene, images = self.eval_scenes.scene(index), self.eval_scenes.store.scene(index).rgb.float() / 255
            biome = scene.biome_index
            for view, gap_m in enumerate(EVALUATION_GAPS_M, start=1):
                memory, camera = remember(scene, [0]), scene.cameras[view]
                condition = self.source.condition(memory, camera)
                shown = gap_m == 7.0 and index < 5
                counts = (*MEASURED_STEPS, 8) if shown else MEASURED_STEPS
                outputs = {n: self._generate(network, condition, biome, n, seed=index) for n in counts}
                coverage = self.source.remembered(memory, camera)[:, 0]
                cells, holes = coverage > 0.99, coverage < 0.01
                truth = images[view : view + 1].to(self.device)
                for n in MEASURED_STEPS:
                    where = f"{gap_m:g}m_{n}_step"
                    found = {
                        f"covered_{where}_db": covered_psnr_db(outputs[n], truth, cells),
                        f"whole_{where}_db": covered_psnr_db(outputs[n], truth, torch.ones_like(cells)),
                    }
                    if gap_m == 7.0 and int(holes.sum()) > 50:
                        found[f"sharpness_invented_{n}_step"] = sharpness_ratio(outputs[n], truth, holes)
                        found[f"sharpness_whole_{n}_step"] = sharpness_ratio(outputs[n], truth, torch.ones_like(cells))
                    for name, value in found.items():
                        figures.setdefault(name, []).append(float(value))
                if shown:
                    c = self.network.config.latent_channels
                    known = self._decode(condition[:, :c] * self.std + self.mean) * cells_to_pixels(cells)
                    rows.append([known, *outputs.values(), truth])
        nothing = self._nothing(network)
        write_sheet([torch.cat([row[i] for row in rows] + [nothing[i]]) for i in range(len(rows[0]))], sheet)
        means = {name: sum(values) / len(values) for name, values in figures.items()}
        # What is remembered must stay, and what is not must be invented well: the best weights do both.
        sharp = min(1.0, means.get("sharpness_invented_4_step", 0.0))
        return means | {"balance_db": means["covered_3m_1_step_db"] + SHARP_IS_WORTH_DB * sharp}

    def _nothing(self, network: nn.Module) -> list[Tensor]:
        """A row of views imagined from an empty memory, one biome each."""
        camera = self.eval_scenes.scene(0).cameras[0]
        condition = self.source.condition(fresh_memory(self.mean.shape[0]), camera)
        return [self._generate(network, condition, 1 + i % len(BIOMES), 8, seed=i) for i in range(6)]

    def _generate(self, network: nn.Module, condition: Tensor, biome: int, steps: int, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return self._decode(self.source.imagine(network, condition, biome, steps, generator)[0])

    def _decode(self, latents: Tensor) -> Tensor:
        with native_precision(self.device):
            return self.autoencoder.decoder(latents.contiguous(memory_format=torch.channels_last)).clamp(0, 1)
