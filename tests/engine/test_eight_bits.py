"""Convolutions in bytes: close to the true ones, used in inference alone, and only where the processor is quick."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import silu

from engine.messages import EngineSettings
from engine.metrics import psnr_db
from engine.models import shipped_model_dir
from engine.models.embedded import EmbeddedModel, eight_bits
from engine.models.embedded.blocks import ModulatedBlock, ResidualBlock
from engine.models.embedded.eight_bits import InBytes, in_eight_bits, in_levels
from engine.models.embedded.quick import QuickConv2d
from engine.models.embedded.weights import places_path, weight_path
from engine.places import PlaceBank
from engine.processor import features
from engine.worker.loading import load_model

quick = pytest.mark.skipif(not eight_bits.available(), reason="this processor does not add up products of bytes")


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([torch.float32, torch.bfloat16]),
    st.booleans(),
    st.floats(-40.0, 40.0),
    st.floats(1e-3, 30.0),
    st.integers(0, 2**31 - 1),
)
def test_what_comes_in_is_rounded_to_the_nearest_level(
    dtype: torch.dtype, activated: bool, middle: float, spread: float, seed: int
) -> None:
    """Half a level is the most that any number is off, 0 is a level of its own, and the shape stays."""
    generator = torch.Generator().manual_seed(seed)
    x = (middle + spread * torch.randn(2, 3, 5, 7, generator=generator)).to(dtype)
    levels, step, zero = in_levels(x, activated)
    assert (
        levels.shape == x.shape
        and levels.dtype == torch.uint8
        and levels.is_contiguous(memory_format=torch.channels_last)
    )
    told = (levels.float() - zero) * step
    true = silu(x.float()) if activated else x.float()
    assert 0 <= zero <= 255
    assert float((told - true).abs().max()) <= 1.01 * step
    inside = (levels > 0) & (levels < 255)  # where zero was rounded, an end may lie half a level outside
    assert float(((told - true).abs() * inside).max()) <= 0.501 * step


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_one_broken_number_does_not_spoil_the_others(broken: float) -> None:
    x = torch.linspace(-1.0, 1.0, 24).view(1, 2, 3, 4)
    whole, step, _ = in_levels(x, activated=False)
    x[0, 1, 2, 0] = broken
    levels, again, _ = in_levels(x, activated=False)
    assert again == step and int((levels != whole).sum()) == 1


def _away(told: Tensor, true: Tensor) -> float:
    return float((told.float() - true.float()).norm() / true.float().norm())


@quick
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("activated", [False, True])
@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(64, 80, 3, padding=1),
        nn.Conv2d(80, 64, 3, stride=2, padding=1),
        nn.Conv2d(69, 96, 3, padding=1, bias=False),
    ],
)
def test_a_product_in_bytes_is_within_two_hundredths(conv: nn.Conv2d, activated: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    conv, x = copy.deepcopy(conv).to(dtype).requires_grad_(False), 2.0 * torch.randn(2, conv.in_channels, 9, 14) + 0.5
    true = conv.float()(silu(x) if activated else x)
    told = InBytes(conv.to(dtype))(x.to(dtype), activated=activated)
    assert told.dtype == dtype and told.shape == true.shape
    assert _away(told, true) < 0.02


@quick
@pytest.mark.parametrize("value", [0.0, -3.0, 5.0])
def test_plain_input_keeps_its_value(value: float) -> None:
    """Also at the border, where what lies outside is 0 and not the lowest level."""
    conv, x = nn.Conv2d(64, 64, 3, padding=1).requires_grad_(False), torch.full((1, 64, 6, 6), value)
    assert torch.allclose(InBytes(conv)(x), conv(x), atol=0.02 * max(abs(value), 0.5))


@quick
def test_a_network_in_bytes_is_the_same_network() -> None:
    """Its weights keep their names, it learns as before, and what it infers follows the weights that it has now."""
    torch.manual_seed(2)
    network = nn.Sequential(
        nn.Conv2d(8, 64, 3, padding=1), ResidualBlock(64), nn.SiLU(), nn.Conv2d(64, 64, 3, padding=1), ResidualBlock(16)
    )[:4]
    nn.init.normal_(network[1].second.weight, std=0.05)
    quickly = in_eight_bits(copy.deepcopy(network))
    assert isinstance(quickly[3], QuickConv2d) and not isinstance(quickly[0], QuickConv2d)
    assert {name: t.shape for name, t in quickly.state_dict().items()} == {
        name: t.shape for name, t in network.state_dict().items()
    }
    layers = list(quickly.modules())
    assert list(in_eight_bits(quickly).modules()) == layers, "done once"
    x = torch.randn(1, 8, 12, 10)
    assert torch.equal(quickly(x), network(x))
    quickly(x).square().mean().backward()
    assert all(parameter.grad is not None for parameter in quickly.parameters())
    with torch.inference_mode():
        assert not torch.equal(quickly(x), network(x)) and _away(quickly(x), network(x)) < 0.03
        again = copy.deepcopy(quickly)
        assert torch.equal(again(x), quickly(x))
    for one in (network, quickly):
        with torch.no_grad():
            one[1].first.weight.mul_(-1.5)
            one[3].weight.mul_(2.0)
    with torch.inference_mode():
        assert _away(quickly(x), network(x)) < 0.03
        assert _away(again(x), network(x)) > 0.3


@quick
def test_a_modulated_block_in_bytes_adds_what_it_did() -> None:
    torch.manual_seed(3)
    blocks = nn.ModuleList([ModulatedBlock(64, 64, 16), ModulatedBlock(128, 64, 16)])
    for parameter in blocks.parameters():
        nn.init.normal_(parameter, std=0.05)
    quickly = in_eight_bits(copy.deepcopy(blocks))
    for before, now, width in zip(blocks, quickly, (64, 128), strict=True):
        x, embedding = torch.randn(2, width, 8, 6), torch.randn(2, 16)
        assert torch.equal(now(x, embedding), before(x, embedding))
        with torch.inference_mode():
            assert not torch.equal(now(x, embedding), before(x, embedding))
            assert _away(now(x, embedding) - now.skip(x), before(x, embedding) - before.skip(x)) < 0.03


@quick
def test_pictures_are_the_same_to_the_eye(tmp_path: Path) -> None:
    """50 dB, of which a decoder that is 40 dB from the world loses nothing; and what is given is encoded in full."""
    model, in_full = EmbeddedModel.load(), EmbeddedModel.load(in_full=True)
    assert model.in_bytes and not in_full.in_bytes
    assert model.spec.arithmetic == in_full.spec.arithmetic + " and bytes"
    assert model.spec.checksum == in_full.spec.checksum
    bank = PlaceBank.load(places_path(shipped_model_dir()))
    for place in (0, 40):
        latents = bank[place].latents[0][None]
        rgb, fine = model.decode_fine(latents)
        true, true_fine = in_full.decode_fine(latents)
        for told, truth in ((rgb, true), (fine, true_fine)):
            assert psnr_db(*(picture[0].permute(1, 2, 0).numpy() for picture in (told, truth))) > 50.0
        assert torch.equal(model.encode(true), in_full.encode(true))
    for which, name in ((model, "bytes"), (in_full, "full")):
        which.save(tmp_path / name)
    for network in model.networks():
        saved = [weight_path(tmp_path / name, network).read_bytes() for name in ("bytes", "full")]
        assert saved[0] == saved[1]


@pytest.mark.parametrize("in_full", [False, True])
def test_the_engine_of_the_window_multiplies_as_it_is_told(in_full: bool) -> None:
    model = load_model(EngineSettings(device="cpu", in_full=in_full), None)
    assert model.spec.arithmetic.endswith("and bytes") == (not in_full and eight_bits.available())


@pytest.mark.parametrize("kind", ["old", "with tiles"])
def test_a_processor_that_gains_nothing_does_without(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    other = features() - {"avx512_vnni", "avx_vnni"} if kind == "old" else features() | {"avx512_vnni", "amx_bf16"}
    monkeypatch.setattr("engine.processor.features", lambda: other)
    eight_bits.available.cache_clear()
    try:
        assert not eight_bits.available()
        model = EmbeddedModel.tiny()
        assert not model.in_bytes and "bytes" not in model.spec.arithmetic
    finally:
        eight_bits.available.cache_clear()


@quick
@pytest.mark.parametrize("problem", ["missing", "wrong"])
def test_a_torch_that_multiplies_otherwise_is_not_trusted(problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(self: InBytes, x: Tensor, **_: object) -> Tensor:
        if problem == "missing":
            raise AttributeError("no such product")
        return 1.1 * self.conv(x)

    monkeypatch.setattr(InBytes, "__call__", other)
    eight_bits.available.cache_clear()
    try:
        assert not eight_bits.available()
    finally:
        eight_bits.available.cache_clear()
