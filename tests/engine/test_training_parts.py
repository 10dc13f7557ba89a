"""The parts that training leans on: the optimiser, the critic, the pictures of dead leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle

from engine.camera import Camera, c2w_from_angles
from engine.errors import ModelError
from engine.models.embedded.config import ReadoutConfig
from engine.models.embedded.readout import ReadoutNetwork
from engine.models.embedded.weights import load_network, save_network
from engine.training.adversarial import Adversary, PatchCritic
from engine.training.config import SceneConfig
from engine.training.losses import grid_loss, picture_metric, sharpness_ratio
from engine.training.optimizer import make_optimizer, orthogonalise
from engine.training.patterns import pattern_pool
from engine.training.readout import go_on_from
from engine.training.recall import rolled
from engine.training.scenes import walk
from engine.worlds import World, WorldSpec


@pytest.mark.parametrize("shape", [(24, 96), (96, 24), (3, 16, 40)])
def test_orthogonalising_evens_out_the_singular_values_and_keeps_the_directions(shape: tuple[int, ...]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 7.0
    found = orthogonalise(matrix)
    values = torch.linalg.svdvals(found)
    assert found.shape == matrix.shape
    assert 0.6 < float(values.min()) <= float(values.max()) < 1.25
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    turned = u.mT @ found @ vh.mT
    assert float((turned - torch.diag_embed(torch.diagonal(turned, dim1=-2, dim2=-1))).abs().max()) < 1e-3


def test_a_grid_is_told_from_texture_of_the_same_energy() -> None:
    generator = torch.Generator().manual_seed(0)
    true = torch.rand(2, 3, 1, 1, generator=generator).expand(-1, -1, 64, 64)
    texture = 0.02 * torch.randn(2, 3, 64, 64, generator=generator)
    grid = 0.02 * torch.randn(1, 1, 8, 8, generator=generator).repeat(2, 3, 8, 8)
    assert float(grid_loss(true, true, 8)) == 0.0
    assert float(grid_loss(true + 0.1, true, 8)) < 1e-10  # another colour is no grid
    assert float(grid_loss(true + grid, true, 8)) > 8.0 * float(grid_loss(true + texture, true, 8))


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.SiLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.SiLU(),
        nn.Conv2d(8, 1, 3, padding=1),
    )


def test_only_inner_kernels_are_whitened_and_a_frozen_part_is_left_alone() -> None:
    network = small_network()
    optimizer = make_optimizer(network, lr=0.01, weight_decay=0.0)
    whitened, others = (group["params"] for group in optimizer.param_groups)
    assert [p is network[2].weight for p in whitened] == [True]
    assert len(others) == 5
    network[0].requires_grad_(False)
    before = network[0].weight.clone()
    optimizer = make_optimizer(network, lr=0.01, weight_decay=0.1)
    network(torch.randn(1, 1, 8, 8)).square().mean().backward()
    optimizer.step()
    assert torch.equal(network[0].weight, before)


def test_the_optimiser_goes_on_from_its_state_as_if_never_stopped() -> None:
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))

    def train(network: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            (network(x) - x.flip(-1)).square().mean().backward()
            optimizer.step()

    straight, stopped = small_network(), small_network()
    whole, first = make_optimizer(straight, 0.02, 1e-4), make_optimizer(stopped, 0.02, 1e-4)
    train(straight, whole, 12)
    train(stopped, first, 5)
    second = make_optimizer(stopped, 0.02, 1e-4)
    second.load_state_dict(first.state_dict())
    train(stopped, second, 7)
    for a, b in zip(straight.parameters(), stopped.parameters(), strict=True):
        assert torch.equal(a, b)


def stripes(count: int, generator: torch.Generator) -> Tensor:
    """(count, 1, 16, 16): upright stripes of a pixel whose phase nobody can know."""
    phase = torch.randint(2, (count, 1, 1, 1), generator=generator)
    return ((torch.arange(16) + phase) % 2).float().expand(count, 1, 16, 16).contiguous()


def test_a_critic_makes_what_cannot_be_known_sharp_instead_of_grey() -> None:
    """Mean squares alone answer an unknown phase with grey; with a critic the answer has stripes."""

    def trained(share: float) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        network = small_network()
        optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
        adversary = Adversary(PatchCritic(1, (16, 16, 16)), torch.device("cpu"), share, probe=0.05, lr=2e-3)
        for _ in range(150):
            real = stripes(8, generator)
            # A hint of the stripes' direction, none of their phase.
            noise = torch.randn(8, 1, 1, 16, generator=generator).expand(8, 1, 16, 16)
            fake = network(noise)
            loss = (fake - real).square().mean()
            if share:
                adversary.learn(fake, real)
                loss, told_apart = adversary.pull(loss, fake, real)
                assert 0.0 <= told_apart <= 1.0
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            return network(torch.randn(32, 1, 1, 16, generator=generator).expand(32, 1, 16, 16))

    assert float(trained(0.0).std()) < 0.15
    assert float(trained(1.0).std()) > 0.25


def test_a_pull_keeps_the_losss_value_and_leaves_the_critic_alone() -> None:
    torch.manual_seed(0)
    adversary = Adversary(PatchCritic(1, (16, 16, 16)), torch.device("cpu"), 0.5, probe=0.05)
    fake = torch.rand(2, 1, 16, 16, requires_grad=True)
    real = torch.rand(2, 1, 16, 16)
    loss = (fake - real).square().mean()
    pulled, _ = adversary.pull(loss, fake, real)
    assert float(pulled.detach()) == pytest.approx(float(loss.detach()))
    pulled.backward()
    (own,) = torch.autograd.grad((fake - real).square().mean(), fake)
    assert float((fake.grad - own).norm() / own.norm()) == pytest.approx(0.5, rel=1e-3)
    assert all(p.grad is None for p in adversary.critic.parameters())


def test_a_blurred_picture_is_less_sharp_and_the_truth_is_as_sharp_as_itself() -> None:
    truth = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    blurred = nn.functional.avg_pool2d(truth, 3, stride=1, padding=1)
    everywhere = torch.ones(1, 4, 4, dtype=torch.bool)
    assert float(sharpness_ratio(truth, truth, everywhere)) == pytest.approx(1.0)
    assert float(sharpness_ratio(blurred, truth, everywhere)) < 0.3
    half = torch.zeros(1, 4, 4, dtype=torch.bool)
    half[..., :2] = True
    mixed = torch.cat([truth[..., :18], blurred[..., 18:]], dim=-1)
    assert float(sharpness_ratio(mixed, truth, half)) == pytest.approx(1.0)


def test_dead_leaves_are_varied_and_the_same_for_a_seed() -> None:
    pool = pattern_pool(4, 64, seed=3)
    assert pool.shape == (4, 3, 64, 64)
    assert pool.dtype == torch.uint8
    assert torch.equal(pool, pattern_pool(4, 64, seed=3))
    assert all(float(picture.float().std()) > 5 for picture in pool)
    assert len({int(picture.long().sum()) for picture in pool}) == 4
    assert pattern_pool(0, 64, seed=3).shape == (0, 3, 64, 64)


def test_a_walk_keeps_to_its_gaps_and_an_approach_goes_ahead() -> None:
    world = World(WorldSpec("desert", 3))
    near = SceneConfig(height=64, width=112)
    far = SceneConfig(
        height=64, width=112, shortest_gap_m=2.0, longest_gap_m=9.0, turn_deg_per_m=0.5, strays=0.0, views=12
    )
    for config, bounds in ((near, (0.3, 4.0)), (far, (2.0, 9.0))):
        cameras = walk(world, config, np.random.default_rng(0), 0)
        positions = np.stack([c.position for c in cameras])
        gaps = np.linalg.norm(np.diff(positions[:, :2], axis=0), axis=1)
        moved = gaps[gaps > 0.0]  # who finds no free way stays
        assert len(moved) >= 0.7 * len(gaps)
        assert bounds[0] * 0.999 <= moved.min() and moved.max() <= bounds[1] * 1.001
    ahead = np.array([c.forward[:2] / np.linalg.norm(c.forward[:2]) for c in cameras[:-1]])
    steps = np.diff(positions[:, :2], axis=0)
    assert ((ahead * steps).sum(1)[gaps > 0.0] > 0.5 * moved).mean() > 0.7


def test_an_error_of_a_latent_counts_as_it_does_in_the_picture() -> None:
    draws = torch.randn(48, 6, generator=torch.Generator().manual_seed(0))

    def decoder(latents: torch.Tensor) -> torch.Tensor:
        return pixel_shuffle(torch.einsum("pc,bchw->bphw", draws, latents), 4)

    expected = draws.T @ draws
    metric = picture_metric(decoder, torch.randn(2, 6, 16, 24))
    torch.testing.assert_close(metric, expected / expected.diagonal().mean(), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_rolled_camera_sees_the_turned_picture(quarters: int) -> None:
    k = np.array([[90.0, 0.0, 70.0], [0.0, 80.0, 20.0], [0.0, 0.0, 1.0]])
    camera = Camera(c2w_from_angles(np.array([1.0, 2.0, 3.0]), 40.0, -10.0), k, 112, 64)
    turned = rolled(camera, quarters)
    assert turned.size == (camera.size if quarters % 2 == 0 else camera.size[::-1])
    np.testing.assert_allclose(turned.rays(), np.rot90(camera.rays(), quarters), atol=1e-12)
    np.testing.assert_allclose(turned.position, camera.position)


def test_a_readout_from_before_kernels_goes_on_from_what_it_knows(tmp_path: Path) -> None:
    """Kernels come to it without a change in what it tells."""
    torch.manual_seed(0)
    small = ReadoutConfig(gate_hidden=8, sample_hidden=16, sample_width=8, cell_width=16)
    before, now = ReadoutNetwork(small), ReadoutNetwork(replace(small, kernels=3))
    for parameter in before.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    save_network(before, tmp_path / "before.safetensors")
    load_network(before, tmp_path / "before.safetensors")
    go_on_from(now, tmp_path / "before.safetensors")
    covered = torch.rand(2, 8, 8) < 0.7
    n = int(covered.sum())
    samples, base = torch.randn(n, before.mix.in_features), torch.randn(n, 16)
    assert torch.allclose(now(samples, base, covered), before(samples, base, covered), atol=1e-5)
    torch.nn.init.normal_(now.kernels.weight)
    save_network(now, tmp_path / "now.safetensors")
    load_network(now, tmp_path / "now.safetensors")
    again = ReadoutNetwork(now.config)
    go_on_from(again, tmp_path / "now.safetensors")
    assert torch.equal(again(samples, base, covered), now(samples, base, covered))
    assert not torch.allclose(again(samples, base, covered), before(samples, base, covered), atol=1e-2)
    with pytest.raises(ModelError, match="another configuration"):
        go_on_from(ReadoutNetwork(replace(small, kernels=3, cell_width=8)), tmp_path / "before.safetensors")
