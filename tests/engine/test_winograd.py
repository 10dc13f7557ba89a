"""Convolutions in tiles, and threads that compute apart: the same pictures, on processors quick at nothing else."""

from __future__ import annotations

import copy
import math
import threading
import time
from collections.abc import Iterator
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import silu

from engine.memory.readout import SampleMap
from engine.metrics import psnr_db
from engine.models import shipped_model_dir
from engine.models.embedded import EmbeddedModel, eight_bits
from engine.models.embedded.blocks import ModulatedBlock, ResidualBlock
from engine.models.embedded.config import ReadoutConfig
from engine.models.embedded.quick import QuickConv2d
from engine.models.embedded.readout import ReadoutNetwork
from engine.models.embedded.weights import places_path
from engine.models.embedded.winograd import FEWEST_TILES, SIDE, InTiles, in_tiles
from engine.places import PlaceBank
from engine.processor import features
from engine.threads import MOST_THREADS, in_parts, inferred_apart


def _away(told: Tensor, true: Tensor) -> float:
    return float((told - true).norm() / true.norm())


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A processor that is quick at neither bytes nor bfloat16."""
    quick = {"avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16"}
    monkeypatch.setattr("engine.processor.features", lambda: (features() | {"avx2"}) - quick)
    eight_bits.available.cache_clear()
    yield
    eight_bits.available.cache_clear()


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 2),
    st.integers(1, 70),
    st.integers(1, 70),
    st.integers(1, 61),
    st.integers(1, 61),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**31 - 1),
)
def test_a_convolution_in_tiles_is_that_convolution(
    batch: int, inner: int, outer: int, height: int, width: int, bias: bool, activated: bool, seed: int
) -> None:
    """Whatever the size: tiles that stick out over the picture, or so few that it is computed as ever."""
    torch.manual_seed(seed)
    conv = nn.Conv2d(inner, outer, 3, padding=1, bias=bias).requires_grad_(False)
    x = 2.0 * torch.randn(batch, inner, height, width) + 0.5
    true = conv.double()(silu(x.double()) if activated else x.double())
    told = InTiles(conv.float())(x, activated=activated)
    assert told.dtype == torch.float32 and told.shape == true.shape
    assert _away(told.double(), true) < 1e-5


def test_one_broken_number_stays_where_it_is() -> None:
    """It spoils the tiles that it lies in, and no other."""
    conv, x = nn.Conv2d(8, 8, 3, padding=1).requires_grad_(False), torch.randn(1, 8, 40, 40)
    whole = InTiles(conv)(x)
    x[0, 3, 20, 20] = math.nan
    broken = InTiles(conv)(x)
    far = torch.ones(40, 40, dtype=torch.bool)
    far[20 - SIDE - 1 : 20 + SIDE + 2, 20 - SIDE - 1 : 20 + SIDE + 2] = False
    assert torch.equal(broken[0, :, far], whole[0, :, far]) and bool(broken[0, :, 20, 20].isnan().all())


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_make_no_difference_and_get_their_count_back(threads: int) -> None:
    torch.manual_seed(4)
    conv, x = nn.Conv2d(70, 66, 3, padding=1).requires_grad_(False), torch.randn(1, 70, 50, 46)
    alone, before = InTiles(conv)(x), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert torch.allclose(InTiles(conv)(x), alone, atol=1e-5)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("most", [1, 2, 5])
def test_all_is_done_once_and_by_itself(most: int) -> None:
    done = torch.zeros(11, dtype=torch.int64)

    def work(first: int, last: int) -> None:
        assert torch.get_num_threads() == 1 and torch.is_inference_mode_enabled()
        done[first:last] += 1

    inferred_apart(len(done), work, most)
    assert done.tolist() == [1] * 11
    inferred_apart(0, work)


def test_threads_stay_however_many_are_asked_for() -> None:
    """Layers of different sizes come in turns; to begin threads for each would take longer than what they do."""

    def working() -> set[int | None]:
        return {thread.ident for thread in threading.enumerate() if thread.name.startswith("mirage-parts")}

    in_parts(MOST_THREADS, MOST_THREADS, lambda *_: time.sleep(0.05))
    there = working()
    for threads in (2, 3, MOST_THREADS, 2, 1):
        in_parts(12, threads, lambda *_: time.sleep(0.01))
        assert working() == there
    assert len(there) < MOST_THREADS, "the caller works, too"


def test_what_fails_in_a_thread_fails() -> None:
    def work(first: int, _: int) -> None:
        if first:
            raise ValueError("the second half")

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ValueError, match="the second half"):
            inferred_apart(8, work)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_network_in_tiles_is_the_same_network() -> None:
    """Its weights keep their names, it learns as before, and what it infers follows the weights that it has now."""
    torch.manual_seed(2)
    network = nn.Sequential(nn.Conv2d(8, 64, 3, padding=1), ResidualBlock(64), ModulatedBlock(64, 80, 16))
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.05)

    def infer(layers: nn.Sequential, x: Tensor) -> Tensor:
        return layers[2](layers[1](layers[0](x)), torch.ones(len(x), 16))

    quickly = in_tiles(copy.deepcopy(network))
    assert isinstance(quickly[1].second, QuickConv2d) and not isinstance(quickly[0], QuickConv2d)
    assert list(quickly.state_dict()) == list(network.state_dict())
    layers = list(quickly.modules())
    assert list(in_tiles(quickly).modules()) == layers, "done once"
    x = torch.randn(1, 8, 4 * SIDE, FEWEST_TILES)
    assert torch.equal(infer(quickly, x), infer(network, x))
    infer(quickly, x).square().mean().backward()
    assert all(parameter.grad is not None for parameter in quickly.parameters())
    with torch.inference_mode():
        assert not torch.equal(infer(quickly, x), infer(network, x))
        assert _away(infer(quickly, x), infer(network, x)) < 1e-5
        again = copy.deepcopy(quickly)
        assert torch.equal(infer(again, x), infer(quickly, x))
    for one in (network, quickly):
        with torch.no_grad():
            one[1].first.weight.mul_(-1.5)
            one[2].second.weight.mul_(2.0)
    with torch.inference_mode():
        assert _away(infer(quickly, x), infer(network, x)) < 1e-5 < 0.3 < _away(infer(again, x), infer(network, x))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 90), st.sampled_from([0, 4]), st.integers(0, 2**31 - 1))
def test_samples_resampled_apart_are_the_same(tokens: int, kernels: int, seed: int) -> None:
    """A token that several samples see is computed once; few tokens at a time, in whichever thread."""
    torch.manual_seed(seed)
    config = ReadoutConfig(sample_hidden=16, sample_width=8, cell_width=16, kernels=kernels)
    network = ReadoutNetwork(config).requires_grad_(False)
    if kernels:
        nn.init.normal_(network.kernels.weight, std=0.1)
    token = torch.where(torch.rand(16, 28) < 0.7, torch.randint(0, tokens, (16, 28)), -1)
    samples = SampleMap(
        token=token,
        uv=torch.rand(2, 16, 28) - 0.5,
        log2_scale=torch.rand(16, 28),
        inverse_depth=torch.rand(16, 28),
        sky=torch.rand(16, 28) < 0.2,
        jacobian=torch.randn(2, 2, 16, 28),
        relief=torch.randn(4, 16, 28),
    )
    which = token[samples.covered]
    around, valid = torch.randn(tokens, 9, 16), torch.rand(tokens, 9) < 0.9
    true = network.read(samples, around, valid, which)
    network.apart = True
    with mock.patch("engine.models.embedded.readout.AT_ONCE", 20):
        told = network.read(samples, around, valid, which)
    assert torch.allclose(told, true, atol=1e-5)


@pytest.mark.usefixtures("plain")
def test_pictures_are_the_same_on_a_processor_that_is_quick_at_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    apart = EmbeddedModel.load()
    assert apart.apart and apart.spec.arithmetic == "float32" and apart.readout_network.apart
    monkeypatch.setattr("engine.models.embedded.model.only_float32", lambda: False)
    plainly = EmbeddedModel.load()
    assert not plainly.apart and not any(isinstance(module, QuickConv2d) for module in plainly.autoencoder.modules())
    assert apart.spec.checksum == plainly.spec.checksum
    latents = PlaceBank.load(places_path(shipped_model_dir()))[0].latents[0][None]
    pictures = [
        [picture[0].permute(1, 2, 0).numpy() for picture in model.decode_fine(latents)] for model in (apart, plainly)
    ]
    for told, truth in zip(*pictures, strict=True):
        assert psnr_db(told, truth) > 90.0
    given = torch.from_numpy(pictures[1][0]).permute(2, 0, 1)[None]
    assert float((apart.encode(given) - plainly.encode(given)).abs().max()) < 1e-3
