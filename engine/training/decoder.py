"""Training the decoder alone, at the end, on what it will be given: latents that the memory and the denoiser made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from engine.models.embedded.condition import unpack_state
from engine.models.embedded.sampler import flow_times, sample_flow
from engine.models.embedded.weights import load_network
from engine.training.adversarial import Adversary, PatchCritic
from engine.training.autoencoder import AutoencoderStage
from engine.training.config import AutoencoderTraining, DecoderTraining, DenoiserTraining
from engine.training.denoiser import DenoiserStage
from engine.training.losses import cells_to_pixels, covered_psnr_db, psnr_db, reconstruction_loss, sharpness_ratio
from engine.training.recall import LatentScene, choose_views, remember
from engine.training.scenes import SAMPLES, STRIDE
from engine.worlds import BIOMES

CRITIC_WIDTHS = (64, 128, 192)
CRITIC_UNSHUFFLE = 4
CRITIC_PROBE = 0.03
CRITIC_LEAD = 0.1
"""The critic learns for this share of the training before it pulls."""
CROPS_PER_VIEW = 4
TWO_STEPS = 0.3
"""Share of views that are generated in two steps instead of one."""
SHARP_IS_WORTH_DB = 5.0
EVALUATED_VIEW = 2
"""The evaluation view three metres on."""


@dataclass(frozen=True)
class OwnCrops:
    """Crops of generated views.

    Attributes:
        latents: (n, C, h, w). rgb: (n, 3, H, W) what is truly there. covered: (n, h, w) in [0, 1], how much of a cell
            the memory knew; elsewhere the truth says nothing.
    """

    latents: Tensor
    rgb: Tensor
    covered: Tensor


class DecoderStage(AutoencoderStage):
    """Reconstruction of true and of generated views with the encoder frozen, under a critic."""

    score = "balance_db"

    def __init__(self, config: DecoderTraining) -> None:
        super().__init__(
            AutoencoderTraining(
                loop=config.loop,
                scenes=config.scenes,
                latent_noise=config.latent_noise,
                recolour=config.recolour,
                patterns=config.patterns,
                start_from=str(Path(config.autoencoder_run) / "best.safetensors"),
                crop_height=config.crop_height,
                crop_width=config.crop_width,
            )
        )
        self.settings = config
        self.network.encoder.requires_grad_(False)
        self.imagination = DenoiserStage(
            DenoiserTraining(
                loop=config.loop,
                scenes=config.scenes,
                autoencoder_run=config.autoencoder_run,
                readout_run=config.readout_run,
                adversarial=0.0,
            )
        )
        load_network(self.imagination.network, Path(config.denoiser_run) / "best.safetensors")
        self.imagination.network.eval().requires_grad_(False)
        if config.adversarial:
            critic = PatchCritic(3, CRITIC_WIDTHS, CRITIC_UNSHUFFLE)
            self.adversary = Adversary(critic, self.device, config.adversarial, CRITIC_PROBE)

    def loss(self, generator: torch.Generator, progress: float) -> tuple[Tensor, dict[str, float]]:
        """One batch of crops, a share of them generated."""
        config = self.settings
        true_rgb = self.batch(generator)
        with torch.no_grad():
            true_latents = self.network.encoder(true_rgb)
        true_latents = true_latents + config.latent_noise * torch.randn_like(true_latents)
        own = self.own_crops(round(config.own * config.loop.batch), generator)
        rgb = torch.cat([true_rgb, own.rgb])
        decoded = self.network.decoder(torch.cat([true_latents, own.latents]))
        known = torch.cat([torch.ones_like(own.covered[:1]).expand(len(true_rgb), -1, -1), own.covered])
        mask = cells_to_pixels(known > 0.99)
        loss = reconstruction_loss(decoded * mask, rgb * mask, config.gradient_weight, config.mse_weight)
        figures = {"train_psnr_db": float(psnr_db(decoded[: len(true_rgb)].detach(), true_rgb).mean())}
        if self.adversary is not None:
            figures["critic"] = self.adversary.learn(decoded, rgb)
            if progress >= CRITIC_LEAD:
                loss, figures["told_apart"] = self.adversary.pull(loss, decoded, rgb)
        return loss, figures

    @torch.no_grad()
    def own_crops(self, count: int, generator: torch.Generator) -> OwnCrops:
        """``count`` crops of views generated from memories of true views."""
        height, width = self.config.crop_height // STRIDE, self.config.crop_width // STRIDE
        latents: list[Tensor] = []
        rgb: list[Tensor] = []
        covered: list[Tensor] = []
        while len(latents) < count:
            index = int(torch.randint(len(self.imagination.scenes), (), generator=generator))
            scene = self.imagination.scenes.scene(index)
            sources, target = choose_views(len(scene.cameras), self.settings.max_sources, generator)
            steps = 1 + int(torch.rand((), generator=generator) < TWO_STEPS)
            made, known = self._generate(scene, sources, target, steps, generator)
            for _ in range(min(CROPS_PER_VIEW, count - len(latents))):
                top = int(torch.randint(made.shape[-2] - height + 1, (), generator=generator))
                left = int(torch.randint(made.shape[-1] - width + 1, (), generator=generator))
                box = (top * STRIDE, left * STRIDE, height * STRIDE, width * STRIDE)
                latents.append(made[0, :, top : top + height, left : left + width])
                covered.append(known[0, top : top + height, left : left + width])
                rgb.append(self.train_scenes.crops(index, [target], [box])[0].float() / 255)
        if not latents:
            return OwnCrops(
                torch.zeros(0, self.network.config.latent_channels, height, width, device=self.device),
                torch.zeros(0, 3, height * STRIDE, width * STRIDE, device=self.device),
                torch.zeros(0, height, width, device=self.device),
            )
        return OwnCrops(torch.stack(latents), torch.stack(rgb).to(self.device), torch.stack(covered))

    def _generate(
        self, scene: LatentScene, sources: list[int], target: int, steps: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """A view's latents (1, C, h, w) as the explorer would make them, and how much of each cell was known (1, h,
        w)."""
        stage = self.imagination
        condition = stage.source.condition(remember(scene, sources), scene.cameras[target])
        channels = self.network.config.latent_channels
        biome = torch.tensor([1 + BIOMES.index(scene.biome)], device=self.device)
        noise = torch.randn(
            (1, stage.network.config.state_channels, *condition.shape[-2:]), generator=generator
        ).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.loop.amp):
            state = sample_flow(
                lambda x, t: stage.network(x, torch.full((1,), t, device=self.device), condition, biome),
                noise,
                flow_times(steps),
            )
        return unpack_state(state.float(), stage.mean, stage.std, SAMPLES)[0], condition[:, channels]

    def evaluate(self, network: nn.Module, sheet: Path) -> dict[str, float]:
        """As the autoencoder's, and views generated three metres on: PSNR and sharpness on covered cells."""
        figures = super().evaluate(network, sheet)
        decode = network.get_submodule("decoder")
        scenes = self.imagination.eval_scenes
        generator = torch.Generator().manual_seed(0)
        psnr, sharpness = [], []
        for index in range(len(scenes)):
            latents, known = self._generate(scenes.scene(index), [0], EVALUATED_VIEW, 1, generator)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.loop.amp):
                made = decode(latents.contiguous(memory_format=torch.channels_last)).clamp(0, 1)
            truth = scenes.store.scene(index).rgb[EVALUATED_VIEW : EVALUATED_VIEW + 1].to(self.device).float() / 255
            psnr.append(float(covered_psnr_db(made, truth, known > 0.99)))
            sharpness.append(float(sharpness_ratio(made, truth, known > 0.99)))
        figures |= {"covered_3m_db": sum(psnr) / len(psnr), "covered_3m_sharpness": sum(sharpness) / len(sharpness)}
        balance = figures["covered_3m_db"] + SHARP_IS_WORTH_DB * min(1.0, figures["covered_3m_sharpness"])
        return figures | {"balance_db": balance}
