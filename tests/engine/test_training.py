"""Training: settings, a loop that survives a kill, one real step of every stage."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from engine.errors import InputError
from engine.models import shipped_model_dir
from engine.models.embedded import EmbeddedModel
from engine.models.embedded.readout import CENTRE
from engine.models.embedded.weights import load_tensors
from engine.training.autoencoder import AutoencoderStage, recolour
from engine.training.config import (
    AutoencoderTraining,
    DenoiserTraining,
    ExportConfig,
    FlightTraining,
    LoopConfig,
    ReadoutTraining,
    configure,
)
from engine.training.denoiser import DenoiserStage
from engine.training.examples import forget
from engine.training.export import export
from engine.training.flights import FlightStage
from engine.training.loop import Trainer, learning_rate
from engine.training.losses import covered_psnr_db, psnr_db
from engine.training.pool import Pool
from engine.training.readout import ReadoutStage
from engine.training.run import train
from tests.engine.training_support import changed, finishing

SMALL = {"scenes.height": 64, "scenes.width": 112, "scenes.views": 4}
SMALL_PLACES = {"fine_height": 80, "fine_width": 160, "height": 112, "width": 88, "supersample": 1}


class LineStage:
    """Learns y = 2 x: the smallest thing with a loss and an evaluation."""

    score = "closeness"
    adversary = None

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network: nn.Module = nn.Linear(1, 1)

    def loss(self, generator: torch.Generator, progress: float) -> tuple[Tensor, dict[str, float]]:
        x = torch.randn(32, 1, generator=generator)
        return (self.network(x) - 2 * x).square().mean(), {}

    def evaluate(self, network: nn.Module, sheet: Path) -> dict[str, float]:
        return {"closeness": -abs(float(network(torch.ones(1, 1))) - 2.0)}


def test_settings_come_from_defaults_a_file_and_overrides_in_that_order(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("latent_noise = 0.1\n[loop]\nminutes = 3\nbatch = 2\n")
    config = configure(AutoencoderTraining(), path, {"loop.batch": 5})
    assert (config.latent_noise, config.loop.minutes, config.loop.batch) == (0.1, 3.0, 5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nose = 1", "no setting nose"),
        ("[loop]\nbatch = 'many'", "loop.batch must be a int"),
        ("loop = 3", "table of settings"),
        ("= 3", "not readable TOML"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        configure(AutoencoderTraining(), path)


def test_the_learning_rate_warms_up_and_falls() -> None:
    config = LoopConfig(learning_rate=1.0, warmup=0.1)
    rates = [learning_rate(config, p) for p in (0.0, 0.05, 0.1, 0.5, 1.0)]
    assert rates[0] == 0.0
    assert rates[1] == pytest.approx(0.5)
    assert rates[2] == pytest.approx(1.0)
    assert rates[2] > rates[3] > rates[4] == pytest.approx(config.noise_floor)


def test_a_run_learns_keeps_the_best_and_goes_on_after_a_kill(tmp_path: Path) -> None:
    config = LoopConfig(run=str(tmp_path), steps=80, learning_rate=1.0, ema=0.5, checkpoint_minutes=0.0001)
    trainer = Trainer(LineStage(), config, config)
    figures = trainer.run()
    assert figures["closeness"] > -0.05
    assert json.loads((tmp_path / "best.json").read_text())["closeness"] == pytest.approx(trainer.best)
    assert (tmp_path / "best.safetensors").exists()
    assert (tmp_path / "curves.png").exists()

    longer = LoopConfig(**{**config.__dict__, "steps": 120})
    resumed = Trainer(LineStage(), longer, longer)
    assert (resumed.step, resumed.seconds, resumed.best) == (trainer.step, trainer.seconds, trainer.best)
    resumed.run()
    assert (trainer.step, resumed.step) == (80, 120)
    assert not list(tmp_path.glob(".checkpoint*"))


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    config = LoopConfig(run=str(tmp_path), steps=1)
    Trainer(LineStage(), config, config).run()
    other = LineStage()
    other.network = nn.Linear(2, 1)
    with pytest.raises(InputError, match="another configuration"):
        Trainer(other, config, config)


def test_the_first_stages_train_and_their_best_becomes_a_model(scenes: Path, tmp_path: Path) -> None:
    """The recipe up to a model, in miniature: real networks, real scenes, a fraction of a second each."""
    runs = {f"{name}_run": str(tmp_path / name) for name in ("autoencoder", "readout")}
    common = {**SMALL, "scenes.folder": str(scenes), "loop.steps": 2, "loop.batch": 1}
    figures = train(
        "autoencoder", None, {**common, "loop.run": runs["autoencoder_run"], "crop_height": 64, "crop_width": 64}
    )
    assert figures["psnr_db"] > 3
    figures = train(
        "readout", None, {**common, "loop.run": runs["readout_run"], "autoencoder_run": runs["autoencoder_run"]}
    )
    assert {"learned_3m_db", "nearest_3m_db", "ceiling_3m_db"} <= set(figures)
    denoiser = {**common, **runs, "loop.run": str(tmp_path / "denoiser")}
    figures = train("denoiser", None, denoiser)
    assert {"covered_3m_1_step_db", "whole_7m_2_step_db", "balance_db"} <= set(figures)
    assert (tmp_path / "denoiser" / "sheet.png").exists()
    runs["denoiser_run"] = str(tmp_path / "denoiser")
    options = {**{k: v for k, v in SMALL.items() if k != "scenes.views"}, **runs, "scenes.folder": str(scenes)}
    places = {"folder": str(tmp_path / "places"), "places": 2, **SMALL_PLACES}
    options |= {f"places.{name}": value for name, value in places.items()}
    with pytest.raises(InputError, match="mirage train places"):
        export(configure(ExportConfig(), None, options), tmp_path / "model")
    assert train("places", None, places) == {"places": 2.0}
    model = export(configure(ExportConfig(), None, options), tmp_path / "model")
    assert EmbeddedModel.load(tmp_path / "model").spec == model.spec
    assert model.places is not None
    assert len(model.places.bank) == 2
    assert set(json.loads((tmp_path / "model" / "metrics.json").read_text())) == {"autoencoder", "readout", "denoiser"}
    anew = {"model": str(tmp_path / "model"), "new_places": True, **{k: v for k, v in options.items() if "places" in k}}
    fewer = export(configure(ExportConfig(), None, anew | {"places.places": 1}), tmp_path / "fewer")
    assert fewer.places is not None
    assert len(fewer.places.bank) == 1
    assert torch.equal(fewer.places.bank.packed[0], model.places.bank.packed[0])
    assert changed(tmp_path / "model", tmp_path / "fewer") == {"places"}
    smaller = EmbeddedModel.tiny()
    smaller.save(tmp_path / "smaller")
    asked = {"model": str(tmp_path / "smaller"), "new_readout_run": runs["readout_run"]}
    grown = export(configure(ExportConfig(), None, asked), tmp_path / "grown")
    assert changed(tmp_path / "smaller", tmp_path / "grown") == {"readout"}
    assert grown.config.readout.sample_hidden > smaller.config.readout.sample_hidden, "it may be of another size"


def test_only_the_decoder_of_a_model_goes_on_learning(scenes: Path, fine_scenes: Path, tmp_path: Path) -> None:
    base, run, out = tmp_path / "base", tmp_path / "run", tmp_path / "out"
    EmbeddedModel.tiny(image_size=(64, 112)).save(base)
    settings = finishing(scenes, base, run)
    settings |= {"crop_height": 32, "crop_width": 48, "own": 0.5, "patterns": 0.25, "loop.batch": 8}
    with pytest.raises(InputError, match=r"at 2 times the size.*height=128"):
        train("decoder", None, {**settings, "scenes.height": 64, "fine.folder": str(tmp_path / "none")})
    figures = train("decoder", None, {**settings, "fine.folder": str(fine_scenes), "fine.views": 4})
    assert {"psnr_db", "fine_db", "covered_3m_db", "covered_3m_fine_sharpness"} <= set(figures)
    assert (run / "sheet.png").exists()
    export(configure(ExportConfig(), None, {"model": str(base), "decoder_run": str(run)}), out)
    assert changed(base, out) == {"decoder"}
    assert set(json.loads((out / "metrics.json").read_text())) == {"decoder"}
    named = "set new_readout_run, decoder_run, .*_run, mirror_run, halving_run, kinds_run, new_places or new_biomes"
    with pytest.raises(InputError, match=named):
        export(configure(ExportConfig(), None, {"model": str(base)}), out)


def test_denoiser_and_detail_learn_from_flights_of_their_own(scenes: Path, tmp_path: Path) -> None:
    base, run, out = tmp_path / "base", tmp_path / "run", tmp_path / "out"
    EmbeddedModel.tiny(image_size=(64, 112)).save(base)
    settings = finishing(scenes, base, run)
    settings |= {"crops": 2, "crop_cells": 8, "pool": 2, "first_views": 2, "finish.adversarial_from": 0.0}
    figures = train("flights", None, settings | {"own_memory": 1.0, "pure_noise": 1.0, "loop.learning_rate": 0.01})
    assert {"covered_3m_db", "soft_whole_3m_sharpness", "flown_7m_db", "balance_db"} <= set(figures)
    assert (run / "sheet.png").exists()
    export(configure(ExportConfig(), None, {"model": str(base), "flight_run": str(run)}), out)
    assert changed(base, out) == {"denoiser", "detail"}
    assert EmbeddedModel.load(out).detail is not None
    halfway = tmp_path / "halfway"
    export(configure(ExportConfig(), None, {"model": str(base), "flight_run": str(run), "flight_share": 0.5}), halfway)
    ends = [load_file(folder / "denoiser.safetensors") for folder in (base, out)]
    for key, middle in load_file(halfway / "denoiser.safetensors").items():
        assert torch.allclose(middle.float(), (ends[0][key].float() + ends[1][key].float()) / 2, atol=1e-3), key
    assert changed(out, halfway) == {"denoiser"}, "detail goes all the way"
    other = tmp_path / "other"
    EmbeddedModel.tiny(image_size=(64, 112)).save(other)
    save_file({"stem.weight": torch.zeros(1)}, other / "denoiser.safetensors")
    with pytest.raises(InputError, match="another model"):
        export(configure(ExportConfig(), None, {"model": str(other), "flight_run": str(run)}), tmp_path / "never")
    plain = tmp_path / "plain"
    model = EmbeddedModel.tiny(image_size=(64, 112))
    model.detail, model.config = None, replace(model.config, detail=None)
    model.save(plain)
    with pytest.raises(InputError, match="has no detail yet"):
        train("flights", None, settings | {"model": str(plain)})


def test_pictures_move_the_denoiser_only_as_far_as_they_may(scenes: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    EmbeddedModel.tiny(image_size=(64, 112)).save(base)
    settings = finishing(scenes, base, tmp_path / "run") | {"crop_cells": 8, "first_views": 1, "pool": 1}
    settings |= {"pure_noise": 1.0, "covered_weight": 0.0, "invented_weight": 0.0, "finish.adversarial": 0.0}
    moved = []
    for through in (0.0, 0.5, 1.0):
        stage = FlightStage(configure(FlightTraining(), None, settings | {"through": through}))
        with torch.autocast("cpu", torch.bfloat16):
            loss, _ = stage.loss(torch.Generator().manual_seed(0), progress=0.0)
        loss.backward()
        assert all(p.grad is not None for p in stage.detail.parameters())
        gradients = [p.grad for p in stage.denoiser.parameters() if p.grad is not None]
        moved.append(float(torch.stack([g.square().sum() for g in gradients]).sum().sqrt()))
    assert moved[0] == 0.0
    assert moved[2] == pytest.approx(2.0 * moved[1], rel=0.05)


def test_a_pool_is_renewed_little_by_little() -> None:
    made = iter(range(100))
    pool = Pool(lambda _: next(made), size=5, first=3, renew_steps=2)
    generator = torch.Generator().manual_seed(0)
    for draw in range(9):
        assert len(pool.draw(4, generator)) == 4
        assert len(pool.items) == min(5, 3 + draw // 2)
    assert next(made) == 3 + 4  # two filled it, two took the place of others


def test_a_step_on_self_made_memory_has_a_finite_loss(scenes: Path, tmp_path: Path) -> None:
    runs = {f"{name}_run": str(tmp_path / name) for name in ("autoencoder", "readout")}
    common = {**SMALL, "scenes.folder": str(scenes), "loop.steps": 1, "loop.batch": 1}
    train("autoencoder", None, {**common, "loop.run": runs["autoencoder_run"], "crop_height": 64, "crop_width": 64})
    train("readout", None, {**common, "loop.run": runs["readout_run"], "autoencoder_run": runs["autoencoder_run"]})
    settings = {**common, **runs, "self_memory": 1.0, "empty": 0.0, "adversarial": 0.5}
    stage = DenoiserStage(configure(DenoiserTraining(), None, settings))
    generator = torch.Generator().manual_seed(0)
    loss, logs = stage.loss(generator, progress=1.0)
    loss.backward()
    assert torch.isfinite(loss)
    assert {"latent", "depth", "critic", "told_apart"} == set(logs)


def test_a_critic_goes_on_where_it_stopped(scenes: Path, tmp_path: Path) -> None:
    runs = {f"{name}_run": str(tmp_path / name) for name in ("autoencoder", "readout")}
    common = {**SMALL, "scenes.folder": str(scenes), "loop.steps": 1, "loop.batch": 1}
    train("autoencoder", None, {**common, "loop.run": runs["autoencoder_run"], "crop_height": 64, "crop_width": 64})
    train("readout", None, {**common, "loop.run": runs["readout_run"], "autoencoder_run": runs["autoencoder_run"]})
    settings = {**common, **runs, "loop.run": str(tmp_path / "denoiser"), "loop.steps": 2, "adversarial": 0.5}
    train("denoiser", None, settings)
    config = configure(DenoiserTraining(), None, settings)
    stage = DenoiserStage(config)
    assert stage.adversary is not None
    fresh = stage.adversary.critic.heads[0].judge.weight.clone()
    Trainer(stage, config.loop, config)
    saved = torch.load(tmp_path / "denoiser" / "checkpoint.pt", weights_only=True)
    saved = saved["adversary"]["critic"]["heads.0.judge.weight"]
    assert torch.equal(stage.adversary.critic.heads[0].judge.weight, saved)
    assert not torch.equal(fresh, saved)


def test_a_readout_learns_on_views_remembered_at_two_scales(scenes: Path, fine_scenes: Path, tmp_path: Path) -> None:
    common = {**SMALL, "scenes.folder": str(scenes), "loop.steps": 1, "loop.batch": 1}
    autoencoder = str(tmp_path / "autoencoder")
    train("autoencoder", None, {**common, "loop.run": autoencoder, "crop_height": 64, "crop_width": 64})
    settings = {**common, "autoencoder_run": autoencoder, "plain": str(scenes), "fine": str(fine_scenes)}
    settings["fine_share"] = 1.0
    stage = ReadoutStage(configure(ReadoutTraining(), None, settings))
    assert stage.fine is not None
    generator = torch.Generator().manual_seed(0)
    shapes, scales = set(), []
    for _ in range(6):
        seen, target = stage.example(generator)
        shapes.add((tuple(seen.covered.shape), tuple(target.shape[1:])))
        scales.append(seen.samples.log2_scale[seen.covered])
    assert shapes == {((16, 28), (8, 14))}
    assert float(torch.cat(scales).min()) < -0.5, "finer tokens are among those that are shown"
    loss, _ = stage.loss(generator, 0.0)
    loss.backward()
    assert all(parameter.grad is not None for parameter in stage.network.parameters())
    figures = stage.evaluate(stage.network, tmp_path / "sheet.png")
    assert stage.score in figures and {"scaled_1m_db", "rolled_7m_db", "learned_3m_db"} <= set(figures)
    plain = stage.fine.scene(0)
    fine = plain.finer
    assert fine is not None
    assert plain.cameras[0].size == (64, 112) and fine.cameras[0].size == (128, 224)
    assert plain.latents.shape[-2:] == (8, 14) and fine.latents.shape[-2:] == (16, 28)
    with pytest.raises(InputError, match="must hold the same scenes"):
        ReadoutStage(configure(ReadoutTraining(), None, settings | {"plain": str(tmp_path)}))


def test_flights_may_begin_at_two_scales(scenes: Path, fine_scenes: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    EmbeddedModel.tiny(image_size=(64, 112)).save(base)
    settings = finishing(scenes, base, tmp_path / "run") | {"plain": str(scenes)}
    settings |= {"fine": str(fine_scenes), "fine_share": 1.0}
    stage = FlightStage(configure(FlightTraining(), None, settings))
    assert stage.imagination.eval_scenes.finer is not None, "it is measured on such scenes too"
    generator = torch.Generator().manual_seed(0)
    for own_memory in (0.0, 1.0):
        seen = [stage.imagination.seen(own_memory, generator, stage.denoiser) for _ in range(3)]
        assert all(view.rgb.shape == (1, 3, 64, 112) and view.scene.finer is not None for view in seen)
        scale = torch.cat([view.condition[:, -3] for view in seen])
        assert scale.isfinite().all()


def test_a_readout_learns_what_was_seen_from_the_other_side(scenes: Path, tmp_path: Path) -> None:
    common = {**SMALL, "scenes.folder": str(scenes), "loop.steps": 1, "loop.batch": 1}
    autoencoder, rooms = str(tmp_path / "autoencoder"), {**SMALL_PLACES, "biomes": "interior", "places": 1}
    train("autoencoder", None, {**common, "loop.run": autoencoder, "crop_height": 64, "crop_width": 64})
    rooms["folder"] = str(tmp_path / "rooms")
    settings = {**common, "autoencoder_run": autoencoder, "rolled": 1.0, "shifted": 0.0}
    seen, _ = ReadoutStage(configure(ReadoutTraining(), None, settings)).example(torch.Generator().manual_seed(0))
    turned = seen.samples.jacobian[:, :, seen.covered]
    assert float(turned[0, 0].median()) < 0.5, "no source stands upright"
    of_rooms = settings | {"room_share": 1.0} | {f"places.{name}": value for name, value in rooms.items()}
    with pytest.raises(InputError, match=r"as large as a frame.*mirage train places"):
        ReadoutStage(configure(ReadoutTraining(), None, of_rooms))
    assert train("places", None, rooms | {"width": 128}) == {"places": 1.0}
    stage = ReadoutStage(configure(ReadoutTraining(), None, of_rooms | {"places.width": 128}))
    seen, target = stage.example(torch.Generator().manual_seed(0))
    assert target.shape[1:] == (8, 14) and seen.covered.shape == (16, 28) and seen.covered.float().mean() > 0.3
    loss, _ = stage.loss(torch.Generator().manual_seed(0), 0.0)
    assert loss.isfinite()


def test_a_readout_learns_to_shift_pictures_and_to_leave_alone_what_is_plain(scenes: Path, tmp_path: Path) -> None:
    common = {**SMALL, "scenes.folder": str(scenes), "loop.steps": 1, "loop.batch": 2}
    autoencoder = str(tmp_path / "autoencoder")
    train("autoencoder", None, {**common, "loop.run": autoencoder, "crop_height": 64, "crop_width": 64})
    settings = {**common, "autoencoder_run": autoencoder, "shifted": 1.0}
    stage = ReadoutStage(configure(ReadoutTraining(), None, settings))
    plain = shifted = 0
    for seed in range(12):
        seen, target = stage.example(torch.Generator().manual_seed(seed))
        assert target.shape[1:] == (8, 14) and seen.covered.shape == (16, 28)
        if float(target.std(dim=(1, 2)).max()) == 0.0:
            plain += 1
            assert torch.equal(seen.neighbourhood[:, CENTRE], target[:, 0, 0].expand(len(seen.neighbourhood), -1))
        else:
            shifted += 1
            assert seen.covered[:-2, :-2].all() and not seen.covered[-2:].any() and not seen.covered[:, -2:].any()
            assert not target[:, -1].any() and not target[:, :, -1].any()
    assert plain > 0 and shifted > plain
    loss, _ = stage.loss(torch.Generator().manual_seed(0), 0.0)
    assert loss.isfinite()


def test_a_shifted_picture_is_what_its_camera_sees(scenes: Path, tmp_path: Path) -> None:
    common = {**SMALL, "scenes.folder": str(scenes), "loop.steps": 1, "loop.batch": 1}
    autoencoder = str(tmp_path / "autoencoder")
    train("autoencoder", None, {**common, "loop.run": autoencoder, "crop_height": 64, "crop_width": 64})
    stage = ReadoutStage(configure(ReadoutTraining(), None, {**common, "autoencoder_run": autoencoder}))
    camera, latents = stage.scenes.shifted(0, 0, right=3, down=5)
    given = stage.scenes.scene(0).cameras[0]
    point = given.position + given.rays()[40, 60] * 7.0
    for view, pixel in ((given, (60.5, 40.5)), (camera, (57.5, 35.5))):
        x, y, z = view.K @ (view.w2c[:3, :3] @ point + view.w2c[:3, 3])
        assert (x / z, y / z) == pytest.approx(pixel, abs=1e-6)
    picture = stage.scenes.store.picture(0, 0)[:, :, 5 : 5 + 56, 3 : 3 + 104].float() / 255
    with torch.no_grad():
        assert torch.allclose(latents[:, :-1, :-1], stage.autoencoder.encoder(picture)[0].float(), atol=0.1)


@pytest.mark.parametrize("stage", ["autoencoder", "readout", "denoiser"])
def test_training_can_begin_with_given_weights(scenes: Path, tmp_path: Path, stage: str) -> None:
    runs = {f"{name}_run": str(tmp_path / name) for name in ("autoencoder", "readout")}
    crops = {"crop_height": 64, "crop_width": 64}
    common = {**SMALL, "scenes.folder": str(scenes), "loop.steps": 1, "loop.batch": 1}
    train("autoencoder", None, {**common, **crops, "loop.run": runs["autoencoder_run"]})
    train("readout", None, {**common, "loop.run": runs["readout_run"], "autoencoder_run": runs["autoencoder_run"]})
    shipped = shipped_model_dir() / f"{stage}.safetensors"
    settings = {**common, "start_from": str(shipped)}
    made: AutoencoderStage | ReadoutStage | DenoiserStage
    if stage == "autoencoder":
        made = AutoencoderStage(configure(AutoencoderTraining(), None, {**settings, **crops}))
    elif stage == "readout":
        made = ReadoutStage(
            configure(ReadoutTraining(), None, {**settings, "autoencoder_run": runs["autoencoder_run"]})
        )
    else:
        made = DenoiserStage(configure(DenoiserTraining(), None, {**settings, **runs}))
    for name, value in load_tensors(shipped).items():
        assert torch.equal(made.network.state_dict()[name], value)


@pytest.mark.parametrize(("stage", "words"), [("scenery", "no stage"), ("readout", "no trained autoencoder")])
def test_what_is_missing_is_named(scenes: Path, tmp_path: Path, stage: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        train(
            stage,
            None,
            {"scenes.folder": str(scenes), "autoencoder_run": str(tmp_path / "none")} if stage == "readout" else {},
        )


def test_training_without_scenes_says_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mirage train scenes"):
        AutoencoderStage(configure(AutoencoderTraining(), None, {"scenes.folder": str(tmp_path)}))
    with pytest.raises(InputError, match="no trained autoencoder"):
        ReadoutStage(configure(ReadoutTraining(), None, {"autoencoder_run": str(tmp_path)}))


def test_forgetting_drops_whole_cells_and_adds_none() -> None:
    generator = torch.Generator().manual_seed(0)
    covered = torch.rand(16, 28, generator=generator) < 0.8
    for _ in range(20):
        kept = forget(covered, generator)
        assert not (kept & ~covered).any()
        assert kept.sum() < covered.sum()


def test_recolouring_touches_the_share_asked_for() -> None:
    rgb = torch.rand(8, 3, 4, 4)
    generator = torch.Generator().manual_seed(0)
    assert torch.equal(recolour(rgb, 0.0, generator), rgb)
    changed = recolour(rgb, 1.0, generator)
    assert changed.shape == rgb.shape
    assert 0 <= float(changed.min()) <= float(changed.max()) <= 1


def test_psnr_by_hand() -> None:
    truth = torch.zeros(1, 3, 16, 16)
    wrong = truth.clone()
    wrong[..., :8] = 0.1
    assert psnr_db(wrong, truth).item() == pytest.approx(-10 * torch.log10(torch.tensor(0.005)).item(), abs=1e-3)
    covered = torch.tensor([[[True, False], [True, False]]])
    assert covered_psnr_db(wrong, truth, covered).item() == pytest.approx(20.0, abs=1e-3)
    assert covered_psnr_db(wrong, truth, ~covered).item() > 90
