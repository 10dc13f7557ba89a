"""Conditioning at the shapes of a Wan2.2-class video model: 704x1280 pixels, 44x80 tokens of 48 channels.

The memory's part is real. The encoder is a stand-in with the real architecture and random weights: diffusers'
``AutoencoderKLWan`` in Wan2.2's configuration, whose time does not depend on its weights. The denoiser is not run, so
nothing here is a time per generated frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor

from engine.camera import Camera
from engine.depth import sample_inverse_depth
from engine.evaluation.bench.timing import Ratio, Spread, interleaved, ratio, spread
from engine.memory import LatentMemory, LatentView, MemoryConfig
from engine.models.embedded.config import READOUT
from engine.models.embedded.readout import ReadoutNetwork
from engine.presets import Straight
from engine.rgb_memory import RgbMemory
from engine.world_model import CancelToken
from engine.worlds import World, WorldSpec

CHANNELS, STRIDE, SAMPLES = 48, 16, 2
SIZE = (704, 1280)
SMALLER_SIZE = (176, 320)
"""Where a quick run times the encoder: a sixteenth of the pixels. Its middle attention grows with the square of the
pixels, so
scaling in proportion to them says rather too little than too much."""
NEEDED_GIB = 10.0
WAN22_VAE: dict[str, Any] = {
    "base_dim": 160,
    "decoder_base_dim": 256,
    "z_dim": CHANNELS,
    "dim_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "temperal_downsample": [False, True, True],
    "is_residual": True,
    "in_channels": 12,
    "out_channels": 12,
    "patch_size": 2,
    "scale_factor_temporal": 4,
    "scale_factor_spatial": 16,
    "latents_mean": [0.0] * CHANNELS,
    "latents_std": [1.0] * CHANNELS,
}


@dataclass(frozen=True)
class WanCosts:
    """Conditioning at Wan's shapes.

    Attributes:
        frames: keyframes in the memories. times: stage -> milliseconds a frame. encoder: how it was timed, in words.
        encode_ms: per conditioning frame. latent_mib, rgb_mib: caches after ``frames`` (``append`` for both).
        latent_novel_mib: with our write policy. ratios: conditioning against ours.
    """

    frames: int
    times: dict[str, Spread]
    encoder: str
    encode_ms: float
    latent_mib: float
    latent_novel_mib: float
    rgb_mib: float
    ratios: dict[str, Ratio] = field(default_factory=dict)
    note: str = ""


class WanEncoder:
    """The encoder of Wan2.2's video autoencoder, random weights, no decoder.

    Args:
        device: where it runs. The weights' type is bfloat16 where that is quick, else float32.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        from diffusers import AutoencoderKLWan

        from engine.models.embedded.model import inference_dtype

        self.device = torch.device(device)
        self.dtype = inference_dtype(self.device)
        with torch.device("meta"):
            self.vae = AutoencoderKLWan(**WAN22_VAE)
        # One pool of numbers, repeated: time does not depend on weights, as long as no value dies out or explodes.
        pool = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0))
        for part in (self.vae.encoder, self.vae.quant_conv):
            part.to_empty(device="cpu")
            for parameter in part.parameters():
                fan_in = max(1, parameter[0].numel()) if parameter.ndim > 1 else parameter.numel()
                repeats = -(-parameter.numel() // len(pool))
                parameter.data = pool.repeat(repeats)[: parameter.numel()].view(parameter.shape) / fan_in**0.5
            for buffer in part.buffers():
                buffer.zero_()
            part.to(self.device, self.dtype).eval().requires_grad_(False)

    @property
    def parameters(self) -> int:
        """Of the encoder alone."""
        return sum(p.numel() for part in (self.vae.encoder, self.vae.quant_conv) for p in part.parameters())

    @torch.inference_mode()
    def encode(self, rgb: Tensor) -> Tensor:
        """``rgb (T, 3, H, W)`` in [0, 1], T = 1 + 4n -> latents (t, C, h, w)."""
        video = (rgb * 2.0 - 1.0).permute(1, 0, 2, 3)[None].to(self.device, self.dtype)
        hidden = self.vae._encode(video)
        return hidden[0, :CHANNELS].permute(1, 0, 2, 3).float()


def run_wan(
    frames: int = 33,
    repeats: int = 7,
    *,
    encode_frames: int = 1,
    encode_repeats: int = 2,
    encode_size: tuple[int, int] | None = SIZE,
    size: tuple[int, int] = SIZE,
    device: str = "cpu",
    on_frame: Callable[[str], None] = lambda text: None,
    cancel: CancelToken | None = None,
) -> WanCosts:
    """Fill both memories along a straight flight, then time reading them.

    Args:
        frames: keyframes of real depth; their latents are random, which changes no time.
        encode_frames: frames encoded at once (1 + 4n); encode_size: at this size, scaled by pixels; ``None``: leave
            it out.
        size: of the frames; smaller in tests.
    """
    cancel = cancel or CancelToken()
    world = World(WorldSpec("meadow", 1_000_300))
    start = world.spawn(size[1], size[0])
    cameras = Straight(step_m=0.3).path(start, frames + 1).cameras
    network = ReadoutNetwork(replace(READOUT, latent_channels=CHANNELS)).eval().requires_grad_(False)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    config = MemoryConfig(channels=CHANNELS, stride=STRIDE, samples=SAMPLES)
    append = LatentMemory(replace(config, policy="append"), network)
    novel = LatentMemory(config, network)
    cloud = RgbMemory(policy="append")
    generator = torch.Generator().manual_seed(0)
    grid = (size[0] // STRIDE, size[1] // STRIDE)
    for camera in cameras[:-1]:
        cancel.check()
        frame = world.render(camera)
        latents = torch.randn(CHANNELS, *grid, generator=generator)
        view = LatentView(camera, latents, sample_inverse_depth(frame.depth_m, grid[0] * SAMPLES, grid[1] * SAMPLES))
        append.write(view)
        novel.write(view)
        cloud.write(camera, frame.rgb, frame.depth_m)
        on_frame("Wan shapes: filling the memories")
    target = cameras[-1]
    tasks: dict[str, Callable[[], object]] = {
        "nearest readout, append": lambda: append.readout_nearest(target),
        "nearest readout, novel": lambda: novel.readout_nearest(target),
        "learned readout, novel": lambda: novel.readout_learned(target),
        "rasterise": lambda: cloud.render(target),
    }
    on_frame("Wan shapes: reading")
    times = interleaved(tasks, repeats)
    encode_ms, words = _encode_ms(cloud, target, encode_frames, encode_repeats, encode_size, device, on_frame, cancel)
    ratios = {}
    if np.isfinite(encode_ms):
        rgb = [value + encode_ms for value in times["rasterise"]]
        ratios = {name: ratio(rgb, times[name]) for name in tasks if name != "rasterise"}
    return WanCosts(
        frames=frames,
        times={name: spread(values) for name, values in times.items()},
        encoder=words,
        encode_ms=encode_ms,
        latent_mib=append.stats().mib,
        latent_novel_mib=novel.stats().mib,
        rgb_mib=cloud.used_bytes / 2**20,
        ratios=ratios,
    )


def _encode_ms(
    cloud: RgbMemory,
    target: Camera,
    frames: int,
    repeats: int,
    size: tuple[int, int] | None,
    device: str,
    on_frame: Callable[[str], None],
    cancel: CancelToken,
) -> tuple[float, str]:
    """Milliseconds to encode one conditioning frame, and how that was found."""
    if size is None:
        return float("nan"), "not timed"
    free_gib = psutil.virtual_memory().available / 2**30
    if device == "cpu" and free_gib < NEEDED_GIB:
        return float("nan"), f"not timed: it needs {NEEDED_GIB:g} GiB and {free_gib:.1f} are free"
    encoder = WanEncoder(device)
    rgb = torch.nn.functional.interpolate(cloud.render(target).rgb[None], size, mode="area").repeat(frames, 1, 1, 1)
    wait = torch.cuda.synchronize if encoder.device.type == "cuda" else None
    encoder.encode(rgb[:1, :, :64, :96])  # kernels are chosen and weights laid out on the first call

    def encode() -> None:
        cancel.check()
        on_frame("Wan shapes: encoding")
        encoder.encode(rgb)

    values = interleaved({"encode": encode}, repeats, warmup=0, wait=wait)["encode"]
    scale = target.height * target.width / (size[0] * size[1])
    words = (
        f"encoder of Wan2.2's autoencoder ({encoder.parameters / 1e6:.0f} M parameters, random weights, "
        f"{str(encoder.dtype).removeprefix('torch.')}), {frames} frame(s) at {size[0]}x{size[1]}, best of {repeats}"
    )
    if scale != 1.0:
        words += f", scaled by {scale:.3g} to {target.height}x{target.width} in proportion to its pixels"
    return float(min(values)) * scale / frames, words


def summary_rows(costs: WanCosts) -> Sequence[tuple[str, str]]:
    """What the table shows: label and value."""
    rows = [
        (name, f"{value.median_ms:.1f} ms [{value.low_ms:.1f}, {value.high_ms:.1f}]")
        for name, value in costs.times.items()
    ]
    rows.append(("encode one frame", f"{costs.encode_ms:.0f} ms" if np.isfinite(costs.encode_ms) else "–"))
    rows += [(f"rasterise + encode against {name}", str(value)) for name, value in costs.ratios.items()]
    return rows
