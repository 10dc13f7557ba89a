"""The embedded model as a :class:`engine.world_model.WorldModel`."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from engine.depth import filled
from engine.errors import InputError, ModelError
from engine.models import shipped_model_dir
from engine.models.embedded import eight_bits, weights, winograd
from engine.models.embedded.adapter import adapted
from engine.models.embedded.autoencoder import Autoencoder
from engine.models.embedded.blocks import channels_last
from engine.models.embedded.carried import load_kinds, load_latent_network
from engine.models.embedded.condition import (
    condition_from_readout,
    known_share,
    leaves_open,
    pack_state,
    unpack_state,
    with_known,
)
from engine.models.embedded.config import (
    AutoencoderConfig,
    DenoiserConfig,
    DetailConfig,
    EmbeddedConfig,
    ReadoutConfig,
)
from engine.models.embedded.denoiser import Denoiser
from engine.models.embedded.detail import DetailNetwork, gain, gain_of, limited_in, torn
from engine.models.embedded.kinds import KindNetwork
from engine.models.embedded.latent_network import HalvingNetwork, MirrorNetwork
from engine.models.embedded.readout import ReadoutNetwork
from engine.models.embedded.sampler import flow_times, sample_flow
from engine.places import Kinds, MirroredBank, PlaceBank, Places
from engine.processor import has_bfloat16, only_float32
from engine.world_model import Chunk, ChunkRequest, ModelSpec

if TYPE_CHECKING:
    from engine.camera import Camera
    from engine.memory import Readout

MAX_STEPS = 256
ADAPTED = ("denoiser", "detail")
"""The networks of which a biome may have its own."""
OWN_SHARE = 0.7
"""Detail that learned of one biome alone adds texture enough with less amplification; fitted to views indoors, to be as
sharp as the true world where the memory knows."""


def inference_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device multiplies it natively, float32 elsewhere."""
    return torch.bfloat16 if device.type == "cuda" or has_bfloat16() else torch.float32


class EmbeddedModel:
    """Encode, decode, imagine. One frame a chunk; not thread-safe.

    Args:
        config: sizes. checksum: by which sessions know it. device: where it runs.
        in_full: without :mod:`engine.models.embedded.eight_bits`, which else is used where there is a gain.

    Attributes:
        apart: threads compute apart, in :mod:`engine.models.embedded.winograd` among others.
    """

    def __init__(
        self, config: EmbeddedConfig, checksum: str, device: torch.device | str = "cpu", *, in_full: bool = False
    ) -> None:
        self.config = config
        self.device = torch.device(device)
        self.dtype = inference_dtype(self.device)
        self.in_bytes = not in_full and self.device.type == "cpu" and eight_bits.available()
        self.apart = self.device.type == "cpu" and only_float32()
        self.autoencoder = Autoencoder(config.autoencoder)
        self.readout_network = ReadoutNetwork(config.readout)
        self.denoiser = Denoiser(config.denoiser)
        self.detail = DetailNetwork(config.detail, config.denoiser) if config.detail else None
        self.spec = ModelSpec(
            name="embedded",
            latent_channels=config.autoencoder.latent_channels,
            spatial_stride=config.autoencoder.stride,
            temporal_stride=1,
            frames_per_chunk=1,
            image_size=config.image_size,
            geometry_samples=config.denoiser.samples,
            biomes=config.denoiser.biomes,
            default_steps=config.default_steps,
            checksum=checksum,
            fine_scale=config.autoencoder.fine_scale,
            arithmetic=str(self.dtype).removeprefix("torch.") + (" and bytes" if self.in_bytes else ""),
        )
        self.mirror: MirrorNetwork | None = None
        self.halving: HalvingNetwork | None = None
        self.kinds: KindNetwork | None = None
        self._bank: PlaceBank | None = None
        self._updates: dict[str, dict[str, Tensor]] = {}
        self._own: dict[str, dict[str, torch.nn.Module]] = {}
        self._mean = torch.tensor(config.latents_mean, device=self.device)[:, None, None]
        self._std = torch.tensor(config.latents_std, device=self.device)[:, None, None]

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str] | None = None,
        device: torch.device | str = "cpu",
        *,
        in_full: bool = False,
    ) -> EmbeddedModel:
        """The model in ``folder`` (the shipped one by default); arguments as for the class.

        Raises:
            ModelError: files are missing, damaged or of another configuration.
        """
        path = Path(folder) if folder is not None else shipped_model_dir()
        config = EmbeddedConfig.read(path / weights.CONFIG_NAME)
        model = cls(config, checksum="", device=device, in_full=in_full)
        for name, module in model.networks().items():
            weights.load_network(module, weights.weight_path(path, name))
        for biome, stored in weights.adapter_paths(path).items():
            try:
                model.adopt(biome, weights.load_tensors(stored))
            except InputError as error:
                raise ModelError(
                    f"{stored} does not fit the model ({error}); restore the adapter that belongs to its config.json."
                ) from error
        for stored in weights.places_paths(path):
            found = PlaceBank.load(stored)
            try:
                model._bank = found if model._bank is None else model._bank.joined(found)
            except InputError as error:
                raise ModelError(f"{stored} does not belong to the model's other places: {error}") from error
            token = model.spec.latent_channels, model.spec.spatial_stride, model.spec.geometry_samples
            if found.token != token:
                raise ModelError(
                    f"{stored} holds tokens of (channels, stride, samples) {found.token}, but the model's are "
                    f"{token}; restore the places that belong to its config.json."
                )
        if (stored := weights.weight_path(path, weights.MIRROR)).exists():
            model.mirror = load_latent_network(stored, MirrorNetwork, model.spec.latent_channels)
        if (stored := weights.weight_path(path, weights.HALVING)).exists():
            model.halving = load_latent_network(stored, HalvingNetwork, model.spec.latent_channels)
        if (stored := weights.weight_path(path, weights.KINDS)).exists():
            model.kinds = load_kinds(stored, model.spec.latent_channels, model.stored_rooms)
        model.spec = replace(model.spec, checksum=weights.folder_checksum(path))
        return model._ready()

    @cached_property
    def places(self) -> Places | None:
        """Completes what a memory does not know, where the model carries places."""
        if self._bank is None:
            return None
        colours = torch.cartesian_prod(*[torch.linspace(0.1, 0.9, 3)] * 3)[:, :, None, None]
        flat = self.encode(colours.expand(-1, -1, 24, 24))[:, :, 1, 1]
        bank = self._bank if self.mirror is None else MirroredBank.from_bank(self._bank, self.turned_over)
        told = None if self.kinds is None else Kinds(self.tell_kind, tuple(self.kinds.of_rooms.tolist()))
        halve = None if self.halving is None else self.halved
        return Places(bank, self.readout_network, self._mean, self._std, flat, told, halve)

    @property
    def stored_rooms(self) -> int:
        """How many of the places are rooms of buildings."""
        return 0 if self._bank is None else sum(biome in self._bank.modules for biome in self._bank.biomes)

    @classmethod
    def tiny(cls, seed: int = 0, image_size: tuple[int, int] = (64, 112)) -> EmbeddedModel:
        """The same classes at a tiny width with random weights: fast, structure without looks, for tests and dry
        runs."""
        from engine.worlds import BIOMES

        config = EmbeddedConfig(
            AutoencoderConfig(
                encoder_width_4=16,
                encoder_width_8=16,
                encoder_blocks_8=1,
                decoder_width_8=16,
                decoder_blocks_8=1,
                decoder_width_4=16,
                decoder_blocks_4=1,
            ),
            ReadoutConfig(sample_hidden=16, sample_width=8, cell_width=16),
            DenoiserConfig(widths=(16, 16, 32), embedding_width=16, heads=2, biomes=BIOMES),
            DetailConfig(width=16, blocks=1),
            image_size=image_size,
            default_steps=1,
        )
        state = torch.random.get_rng_state()
        try:
            torch.manual_seed(seed)
            model = cls(config, checksum=f"tiny-{seed}")
            for module in model.networks().values():
                for parameter in module.parameters():
                    if not parameter.any():  # branches that training starts at zero: random too, or nothing moves
                        torch.nn.init.normal_(parameter, std=0.05)
        finally:
            torch.random.set_rng_state(state)
        return model._ready()

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the model's folder: ``config.json`` and one safetensors file a network, and its places."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        weights.save_config(self.config, path)
        for name, module in self.networks().items():
            weights.save_network(module, weights.weight_path(path, name))
        for biome, updates in self._updates.items():
            weights.save_tensors(updates, weights.adapter_path(path, biome))
        if self._bank is not None:
            weights.save_places(self._bank, path)
        if self.mirror is not None:
            weights.save_network(self.mirror, weights.weight_path(path, weights.MIRROR))
        if self.halving is not None:
            weights.save_network(self.halving, weights.weight_path(path, weights.HALVING))
        if self.kinds is not None:
            weights.save_network(self.kinds, weights.weight_path(path, weights.KINDS))

    def carry(self, bank: PlaceBank) -> None:
        """Take places along from now on; :meth:`save` writes them."""
        self._bank = bank
        self.__dict__.pop("places", None)

    def adopt(self, biome: str, updates: dict[str, Tensor]) -> None:
        """Draw worlds of a biome with updates of its own, :func:`engine.models.embedded.adapter.learned_updates` of
        denoiser and detail by the networks' names, from now on; :meth:`save` writes them.

        Raises:
            InputError: the model does not know the biome, or they are updates of other networks.
        """
        self._biome_index(biome)
        own: dict[str, torch.nn.Module] = {}
        for name in sorted({key.partition(".")[0] for key in updates}):
            network = self.networks().get(name)
            if network is None or name not in ADAPTED:
                raise InputError(f"adapters are of {' and '.join(ADAPTED)}, not of {name!r}")
            better = own[name] = self._at_work(adapted(network, weights.of_network(updates, name)))
            if isinstance(better, DetailNetwork):
                better.share = OWN_SHARE
        self._own[biome], self._updates[biome] = own, updates

    def encode(self, rgb: Tensor) -> Tensor:
        """``rgb (T, 3, H, W)`` in [0, 1] -> latents ``(T, C, H/8, W/8)`` float32."""
        with torch.inference_mode():
            return self.autoencoder.encoder(self._input(rgb))

    def turned_over(self, latents: Tensor) -> Tensor:
        """Latents (C, h, w) of a picture -> those of its mirror image, float32, where they were.

        Raises:
            ModelError: the model carries no network for that.
        """
        if self.mirror is None:
            raise ModelError("This model does not mirror; export it with a mirror_run.")
        return self._made_of(latents, self.mirror)

    def halved(self, latents: Tensor) -> Tensor:
        """Latents (C, 2h, 2w) of a picture -> (C, h, w) of it at half the size, float32, where they were.

        Raises:
            ModelError: the model carries no network for that.
        """
        if self.halving is None:
            raise ModelError("This model does not halve; export it with a halving_run.")
        return self._made_of(latents, self.halving)

    def _made_of(self, latents: Tensor, network: torch.nn.Module) -> Tensor:
        """What a network for normalised latents makes of some."""
        with torch.inference_mode():
            made = network(self._input(((latents.to(self._mean) - self._mean) / self._std)[None]))[0]
            return (made * self._std + self._mean).to(latents.device)

    def tell_kind(self, cells: Tensor) -> Tensor:
        """(n, C + GEOMETRY) cells of a view through a door, :func:`engine.places.kinds.described` -> (kinds,) how
        likely each kind of room is.

        Raises:
            ModelError: the model carries no network for that.
        """
        if self.kinds is None:
            raise ModelError("This model tells no kinds of rooms; export it with a kinds_run.")
        with torch.inference_mode():
            there = torch.ones(1, len(cells), dtype=torch.bool, device=self.device)
            return self.kinds(cells[None].to(self.device), there)[0].softmax(dim=0).cpu()

    def decode(self, latents: Tensor) -> Tensor:
        """latents ``(T, C, h, w)`` -> ``rgb (T, 3, 8h, 8w)`` float32 in [0, 1]."""
        with torch.inference_mode():
            return self.autoencoder.decoder(self._input(latents)).clamp_(0.0, 1.0)

    def decode_fine(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """latents ``(T, C, h, w)`` -> ``rgb (T, 3, 8h, 8w)`` as :meth:`decode` gives it, and the same picture at
        ``spec.fine_scale`` times the size, both float32 in [0, 1]."""
        with torch.inference_mode():
            rgb, fine = self.autoencoder.decoder.both(self._input(latents))
            return rgb.clamp_(0.0, 1.0), fine.clamp_(0.0, 1.0)

    def imagine(self, request: ChunkRequest) -> Chunk:
        """One frame: what its readout knows, and the rest denoised, if there is any; finished with detail where the
        model can.

        Raises:
            InputError: an unknown biome, or a number of steps outside [1, 256].
            Cancelled: between steps, when asked to stop.
        """
        if not 1 <= request.steps <= MAX_STEPS:
            raise InputError(f"The number of steps must be between 1 and {MAX_STEPS}; it is {request.steps}.")
        biome = self._biome_index(request.biome)
        _, detail = self._drawn_by(request.biome)
        channels, samples = self.config.autoencoder.latent_channels, self.config.denoiser.samples
        with torch.inference_mode():
            condition = torch.cat(
                [
                    condition_from_readout(readout, camera, self._mean, self._std, samples)
                    for readout, camera in zip(request.readouts, request.cameras, strict=True)
                ]
            )
            denoised = leaves_open(condition, channels)
            if denoised:
                state = self._denoised(request, condition, biome)
                inverse_depth = unpack_state(state, self._mean, self._std, samples)[1]
            else:
                inverse_depth = torch.stack([filled(told.inverse_depth, told.covered) for told in request.readouts])
                inverse_depth = inverse_depth.to(self.device).float()
                latents = condition[:, :channels] * self._std + self._mean
                state = pack_state(latents, inverse_depth, self._mean, self._std, samples)
            if detail is not None and request.detail:
                built, told = self._built(request.biome), request.readouts
                amplified = torch.stack([gain_of(readout, built=built, renewed=request.renewed) for readout in told])
                limited = torch.stack([limited_in(readout, built=built) for readout in told])
                state = detail.finish(state, condition, request.cameras, request.seed, amplified, limited)
            latents = state[:, :channels] * self._std + self._mean
        return Chunk(latents, inverse_depth, denoised)

    def _denoised(self, request: ChunkRequest, condition: Tensor, biome: int) -> Tensor:
        """What a request leaves open, imagined: the state (B, C + s*s, h, w)."""
        denoiser, _ = self._drawn_by(request.biome)
        channels = self.config.autoencoder.latent_channels
        b, _, h, w = condition.shape
        biomes = torch.full((b,), biome, device=self.device)
        noise = torch.randn(b, self.config.denoiser.state_channels, h, w, generator=request.generator)

        def predict(state: Tensor, t: float) -> Tensor:
            data = denoiser(state, torch.full((b,), t, device=self.device), condition, biomes)
            return with_known(data, condition, channels)

        def between(step: int) -> None:
            request.cancel.check()
            if request.progress is not None:
                request.progress(step / request.steps, f"imagining, step {step + 1} of {request.steps}")

        known = known_share(condition, channels)
        return sample_flow(predict, noise.to(self.device), flow_times(request.steps), between, known)

    def textured(self, readout: Readout, camera: Camera, biome: str, seed: int) -> Tensor:
        """What a readout shows, (C, h, w) latents, with the texture that resampling took, where the model can."""
        _, detail = self._drawn_by(biome)
        if detail is None:
            return readout.features
        samples = self.config.denoiser.samples
        with torch.inference_mode():
            condition = condition_from_readout(readout, camera, self._mean, self._std, samples)
            features, depth = (x.to(self.device)[None].float() for x in (readout.features, readout.inverse_depth))
            state = pack_state(features, depth, self._mean, self._std, samples)
            amplified, limited = gain(torn(readout)), limited_in(readout, built=self._built(biome))
            state = detail.finish(state, condition, [camera], seed, amplified[None], limited[None])
            return unpack_state(state, self._mean, self._std, samples)[0][0]

    def _built(self, biome: str) -> bool:
        """Whether the worlds of a biome are buildings."""
        return self._bank is not None and biome in self._bank.modules

    def _drawn_by(self, biome: str) -> tuple[Denoiser, DetailNetwork | None]:
        """The networks that imagine worlds of a biome."""
        own = self._own.get(biome, {})
        return cast(Denoiser, own.get("denoiser", self.denoiser)), cast(
            DetailNetwork | None, own.get("detail", self.detail)
        )

    def _biome_index(self, biome: str) -> int:
        if not biome:
            return 0
        if biome not in self.spec.biomes:
            raise InputError(
                f"The model does not know the biome {biome!r}; choose one of {', '.join(self.spec.biomes)}."
            )
        return 1 + self.spec.biomes.index(biome)

    def networks(self) -> dict[str, torch.nn.Module]:
        """The networks by the names of their weight files."""
        networks = {"autoencoder": self.autoencoder, "readout": self.readout_network, "denoiser": self.denoiser}
        return networks if self.detail is None else networks | {"detail": self.detail}

    def _ready(self) -> EmbeddedModel:
        for module in self.networks().values():
            self._at_work(module)
        for network in (self.mirror, self.halving):
            if network is not None:
                self._at_work(network)
        if self.kinds is not None:  # a few hundred numbers at a time: float32 costs nothing
            self.kinds.to(self.device).float().eval().requires_grad_(False)
        return self

    def _at_work(self, network: torch.nn.Module) -> torch.nn.Module:
        network = channels_last(network, self.device, self.dtype).eval().requires_grad_(False)
        # Texture is faint: rounded, some of it is lost. And rooms are halved once.
        if self.in_bytes and not isinstance(network, DetailNetwork | HalvingNetwork):
            # What is given is encoded in full, so that it is shown as it came.
            eight_bits.in_eight_bits(network.decoder if isinstance(network, Autoencoder) else network)
        if self.apart:
            winograd.in_tiles(network)
            if isinstance(network, ReadoutNetwork):
                network.apart = True
        return network

    def _input(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, self.dtype).contiguous(memory_format=torch.channels_last)
