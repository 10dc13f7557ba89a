"""Whole evaluations at toy size: procedural worlds and a recorded clip, resumed and cancelled."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.camera import Camera, c2w_from_angles
from engine.camera_path import CameraPath
from engine.errors import Cancelled, InputError
from engine.evaluation.ablations import DOWNSAMPLINGS, flatten_tokens, resample_depth
from engine.evaluation.plots import draw
from engine.evaluation.recorded import MEDIAN_DEPTH_M, RecordedScene, find_clips
from engine.evaluation.run import evaluate
from engine.evaluation.settings import EvaluationSettings
from engine.evaluation.summary import summarise
from engine.evaluation.tables import evaluation_markdown
from engine.formats import write_path
from engine.models.embedded import EmbeddedModel
from engine.report import finite
from engine.world_model import CancelToken
from engine.worlds import World, WorldSpec

SETTINGS = EvaluationSettings(
    variants=("latent", "none"),
    scenes=1,
    loop_frames=5,
    loop_distance_m=1.0,
    loop_turn_deg=30.0,
    drift_frames=4,
    drift_scenes=1,
    drift_every=1,
    pose_frames=1,
    ablation_scenes=1,
    ablation_steps=(1,),
    supersample=1,
)


def write_clip(folder: Path, name: str = "clip", frames: int = 9, step_m: float = 0.35) -> list[torch.Tensor]:
    """A sideways flight as a RealEstate10K clip; returns the true depths."""
    world = World(WorldSpec("village", 1_000_011))
    start = world.spawn(112, 64)
    side = start.c2w[:3, 0]
    poses = []
    for n in range(frames):
        pose = start.c2w.copy()
        pose[:3, 3] += n * step_m * side
        poses.append(pose)
    path = CameraPath(tuple(start.posed(pose) for pose in poses), 24.0)
    (folder / name).mkdir()
    depths = []
    for camera, time_s in zip(path, path.times_s, strict=True):
        frame = world.render(camera)
        pixels = (frame.rgb.clamp(0, 1) * 255).to(torch.uint8).permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(folder / name / f"{round(time_s * 1e6)}.png")
        depths.append(frame.depth_m)
    write_path(path, folder / f"{name}.txt", "realestate10k")
    return depths


def test_an_evaluation_measures_resumes_and_reports(tiny_model: EmbeddedModel, tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    first = evaluate(tiny_model, SETTINGS, tmp_path, on_progress=lambda *state: seen.append(state))
    assert seen[-1][0] == seen[-1][1]
    assert list(first.measurements) == ["reference", "latent", "none", "ablations"]
    latent, none = (next(iter(first.measurements[part].values())) for part in ("latent", "none"))
    assert set(latent) >= {"novel", "loop", "drift"}
    assert latent["novel"]["1 m"]["coverage"] > 0.5 > none["novel"]["1 m"]["coverage"] == 0.0
    assert none["loop"]["mib"] == 0.0 < latent["loop"]["mib"]
    assert latent["loop"]["pairs"] == 2
    drift = latent["drift"]
    assert drift["true_sharpness_octaves"] == none["drift"]["true_sharpness_octaves"]
    assert drift["colour_drift"] <= drift["colour_change"] + drift["true_colour_change"] + 1e-9

    kept = sorted((tmp_path / "measurements").iterdir())
    assert len(kept) == 4
    damaged, kept_times = kept[-1], [file.stat().st_mtime_ns for file in kept]
    damaged.write_text("{}", encoding="utf-8")
    again = evaluate(tiny_model, replace(SETTINGS, variants=("latent", "none")), tmp_path)
    assert [file.stat().st_mtime_ns for file in kept[:-1]] == kept_times[:-1]  # only the damaged one was made again
    timed = "generate_ms"
    for part, scenes in first.measurements.items():
        for scene, figures in scenes.items():
            assert without(again.measurements[part][scene], timed) == without(figures, timed)

    text = evaluation_markdown(first, "mirage eval")
    for words in ("Closed loop", "Ablations", "LPIPS is not reported", tiny_model.spec.checksum, "1000100"):
        assert words in text
    assert json.loads(json.dumps(finite(summarise(first)), allow_nan=False))["tables"]["closed loop"]["latent"]
    drawn = draw(first, tmp_path)
    assert all(file.stat().st_size > 4000 for file in drawn)
    sheet = np.asarray(Image.open(tmp_path / "novel_views_sheet.png"))
    assert sheet.shape == (64, 3 * 112, 3)  # one scene; the truth and two memories
    assert {file.name for file in drawn} >= {"novel_views.png", "closed_loop.png", "drift.png", "loop_end_sheet.png"}


def without(value: object, key: str) -> object:
    """``value`` without anything under ``key``."""
    if isinstance(value, dict):
        return {name: without(item, key) for name, item in value.items() if name != key}
    return value


def test_a_cancelled_evaluation_keeps_what_was_finished(tiny_model: EmbeddedModel, tmp_path: Path) -> None:
    cancel = CancelToken()
    settings = replace(SETTINGS, ablation_scenes=0, drift_frames=0, variants=("none", "latent"))

    def stop(done: int, total: int, what: str) -> None:
        if what.endswith(": latent"):
            cancel.cancel()

    with pytest.raises(Cancelled):
        evaluate(tiny_model, settings, tmp_path, on_progress=stop, cancel=cancel)
    names = sorted(file.name for file in (tmp_path / "measurements").iterdir())
    assert names == ["meadow-1000100.none.json", "meadow-1000100.reference.json"]


def test_a_recorded_clip_goes_through_the_same_protocol(tiny_model: EmbeddedModel, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    depths = write_clip(folder)
    settings = replace(SETTINGS, loop_frames=9)
    name, text, frames, path = find_clips(folder)[0]
    assert (name, len(frames), len(path)) == ("clip", 9, 9)
    scene = RecordedScene(name, text, frames, path, settings, (64, 112))
    found = scene.true_view(scene.first).depth_m / scene.identity["scale"]
    near = torch.isfinite(found) & (depths[0] < 25.0)  # beyond, this baseline says little
    assert near.float().mean() > 0.02
    assert ((found - depths[0]).abs() / depths[0])[near].median() < 0.15
    positions = np.stack([camera.position for camera in scene.loop])
    assert np.allclose(positions, positions[::-1])
    known = scene.true_view(scene.first).depth_m
    assert float(known[torch.isfinite(known)].median()) == pytest.approx(MEDIAN_DEPTH_M, rel=1e-3)

    result = evaluate(tiny_model, settings, tmp_path / "out", recordings=folder)
    latent = result.measurements["latent"]["clip"]
    assert set(latent["novel"]) == {"25 %", "50 %", "100 %"}
    assert latent["loop"]["pairs"] >= 2
    assert "pose" not in latent["loop"]  # no exact depth to judge with
    assert latent["novel"]["25 %"]["hole_rate"] is not None  # but what was seen is known from stereo
    assert "recorded clips" in evaluation_markdown(result, "mirage eval")


def test_clips_that_do_not_fit_are_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a folder"):
        find_clips(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no camera file"):
        find_clips(tmp_path)
    write_clip(tmp_path, frames=4)
    extra = tmp_path / "clip" / "zzz.png"
    Image.new("RGB", (112, 64)).save(extra)
    (tmp_path / "clip" / "0.png").unlink()
    (tmp_path / "clip" / "41667.png").unlink()
    with pytest.raises(InputError, match="4 cameras, but there are 3 frames"):
        find_clips(tmp_path)
    for file in (tmp_path / "clip").iterdir():
        file.unlink()
    with pytest.raises(InputError, match=r"no frames for clip.txt"):
        find_clips(tmp_path)


def test_a_clip_whose_camera_stands_still_is_refused(tmp_path: Path) -> None:
    write_clip(tmp_path, "still", frames=3, step_m=0.0)
    with pytest.raises(InputError, match="never moves"):
        RecordedScene(*find_clips(tmp_path)[0], SETTINGS, (64, 112))


def test_ways_of_shrinking_depth() -> None:
    view = Camera.from_fov(c2w_from_angles(np.array([0.0, 0.0, 2.0]), 0.0, 0.0), 50.0, 64, 64)
    depth = torch.full(view.size, 8.0)
    depth[:, 30:] = torch.inf
    for how in DOWNSAMPLINGS:
        found = resample_depth(depth, (8, 8), how)
        assert found.shape == (8, 8)
        assert torch.allclose(found[:, :3], torch.tensor(1 / 8))
        assert (found[:, 4:] == 0).all()
    # The cell at the edge is three quarters wall: the median keeps it, a mean with infinity does not.
    assert resample_depth(depth, (8, 8), "median")[0, 3] == pytest.approx(1 / 8)
    assert resample_depth(depth, (8, 8), "area")[0, 3] == 0.0


def test_one_depth_a_token_is_the_mean_of_a_surface_and_the_nearer_side_of_an_edge() -> None:
    inverse = torch.tensor([[0.10, 0.102, 0.1, 0.5], [0.10, 0.102, 0.1, 0.1]])
    found = flatten_tokens(inverse, 2)
    assert torch.allclose(found[:, :2], torch.tensor(0.101))
    assert torch.allclose(found[:, 2:], torch.tensor(0.5))
