"""The rendered scenes: what they hold, how they come to be, at two sizes, and while training reads them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import avg_pool2d

from engine.errors import InputError
from engine.models.embedded import EmbeddedModel
from engine.training.config import TRAINING_SEEDS, SceneConfig
from engine.training.recall import scaled_scenes
from engine.training.scenes import SceneStore, render_scenes, scene_spec


def test_a_scene_holds_what_the_stages_need(scenes: Path) -> None:
    for evaluation in (False, True):
        scene = SceneStore(scenes, evaluation).scene(0)
        assert scene.rgb.shape == (4, 3, 64, 112)
        assert scene.rgb.float().std() > 10
        assert scene.inverse_depth.shape == (4, 16, 28)
        assert torch.isfinite(scene.inverse_depth).all()
        assert (scene.inverse_depth > 0).any()
        assert len(scene.cameras) == 4


def test_rendering_goes_on_where_it_stopped(scenes: Path) -> None:
    path = SceneStore(scenes).paths[0]
    before = path.stat().st_mtime_ns
    config = SceneConfig(folder=str(scenes), scenes=1, evaluation_scenes=1, views=4, height=64, width=112)
    list(render_scenes(config))
    assert path.stat().st_mtime_ns == before


def test_training_never_sees_an_evaluation_seed() -> None:
    config = SceneConfig()
    assert scene_spec(config, 0, evaluation=True)[0].seed >= TRAINING_SEEDS
    assert scene_spec(config, config.scenes - 1, evaluation=False)[0].seed < TRAINING_SEEDS
    with pytest.raises(InputError, match="kept for evaluation"):
        scene_spec(config, TRAINING_SEEDS * config.walks_per_world, evaluation=False)


def test_scenes_at_twice_the_size_show_the_same_views(scenes: Path, fine_scenes: Path) -> None:
    for evaluation in (False, True):
        plain, fine = (SceneStore(folder, evaluation).scene(0) for folder in (scenes, fine_scenes))
        for view in range(3):
            assert np.allclose(plain.cameras[view].c2w, fine.cameras[view].c2w)
            assert np.allclose(2 * plain.cameras[view].K[:2], fine.cameras[view].K[:2])
        reduced = avg_pool2d(fine.rgb[:3].float(), 2)
        assert float((reduced - plain.rgb[:3].float()).abs().mean()) < 6.0


def test_scenes_rendered_side_by_side_are_those_rendered_in_turn(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("alone", "together")]
    small = SceneConfig(scenes=3, evaluation_scenes=1, views=2, height=32, width=48, biomes="desert,interior")
    for folder, workers in zip(folders, (0, 2), strict=True):
        done = list(render_scenes(replace(small, folder=str(folder), workers=workers)))
        assert done[-1] == (4, 4)
    files = [sorted(path.relative_to(folder) for path in folder.rglob("scene_*")) for folder in folders]
    assert files[0] == files[1] and len(files[0]) == 4
    for path in files[0]:
        alone, together = (load_file(folder / path) for folder in folders)
        assert all(torch.equal(alone[name], together[name]) for name in alone), path


def test_scenes_that_come_while_training_runs_are_drawn_too(scenes: Path, fine_scenes: Path, tmp_path: Path) -> None:
    plain, fine = (tmp_path / name for name in ("plain", "fine"))
    for folder, source in ((plain, scenes), (fine, fine_scenes)):
        shutil.copytree(source, folder)
    model = EmbeddedModel.tiny(image_size=(64, 112))
    model.save(tmp_path / "model")
    weights = tmp_path / "model" / "autoencoder.safetensors"
    both = scaled_scenes(str(plain), str(fine), model.autoencoder, weights, torch.device("cpu"))
    first = both.store.paths[0]
    before = len(both)
    shutil.copyfile(first, first.with_name("scene_90000.safetensors"))
    both.refresh()
    assert len(both) == before, "not yet at both scales"
    finer = fine / "training" / first.name
    shutil.copyfile(finer, finer.with_name("scene_90000.safetensors"))
    both.refresh()
    assert len(both) == before + 1
    last = both.scene(before)
    assert last.finer is not None and last.finer.latents.shape[-1] == 2 * last.latents.shape[-1]
