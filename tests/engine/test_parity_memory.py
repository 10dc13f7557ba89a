"""Our memory against results of the paper's released code (reference data, not code)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.camera import Camera
from engine.errors import InputError
from engine.geometry import lift, resize_bilinear
from engine.memory import LatentMemory
from engine.memory.references import plan_chunks, select_references, visible_points, voxel_iou, voxel_set
from engine.memory.released import latent_intrinsics, released_camera, released_config, released_points, released_view
from engine.zbuffer import zbuffer, zbuffer_reference

PARITY = Path(os.environ.get("MIRAGE_PARITY_DIR", Path(__file__).parents[2] / ".." / "shared" / "parity"))
pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif(
        not (PARITY / "A_memory_index.json").is_file(),
        reason=f"the released code's results are not in {PARITY}; set MIRAGE_PARITY_DIR to their folder",
    ),
]
CASES = ("identity", "posed_invalid", "multi", "occlusion", "nondivisible", "ties", "empty_update")
EDGE = 1e-3
"""So near to the border of a grid, in cells, rounding decides whether a point is seen, as the reference has it too."""


def load(name: str) -> dict[str, np.ndarray]:
    with np.load(PARITY / name, allow_pickle=False) as data:
        return {key: data[key] for key in data.files}


def fill(case: dict[str, np.ndarray]) -> LatentMemory:
    memory = LatentMemory(released_config(case["latent"].shape[1]))
    for i in range(len(case["depth"])):
        mask = case["mask"][i] if case["has_mask"][i] else None
        memory.write(released_view(case["depth"][i], case["K"][i], case["cam2world"][i], case["latent"][i], mask))
    return memory


def in_file_order(memory: LatentMemory) -> np.ndarray:
    """Token ids in the order of the released code: frame by frame, row-major."""
    rows = memory.living()
    info = memory.token_info(rows)
    return rows[np.lexsort((info.cell[:, 0], info.cell[:, 1], info.keyframe))]


@pytest.mark.parametrize("name", CASES)
def test_parity_points_and_features(name: str) -> None:
    case = load(f"A_memory_{name}.npz")
    memory = fill(case)
    rows = in_file_order(memory)
    valid = case["valid"]
    assert len(rows) == valid.sum()
    order = np.searchsorted(memory.living(), rows)
    points, features = memory.points()
    np.testing.assert_allclose(points[order], case["points"][valid], atol=1e-5, rtol=1e-5)
    np.testing.assert_array_equal(features[order], case["features"][valid])


@pytest.mark.parametrize("name", CASES)
def test_parity_nearest_readout(name: str) -> None:
    case = load(f"A_memory_{name}.npz")
    memory = fill(case)
    _, height, width = case["latent"].shape[1:]
    compared = 0
    for i, c2w in enumerate(case["target_cam2world"]):
        readout = memory.readout(released_camera(c2w, case["target_K"][i], height, width))
        clear = ~case["ambiguous"][i]
        covered = readout.covered.numpy()
        np.testing.assert_array_equal(covered[clear], case["warped_mask"][i][clear])
        np.testing.assert_array_equal(readout.features.numpy()[:, clear], case["warped_latent"][i][:, clear])
        z = np.where(covered, 1.0 / np.maximum(readout.inverse_depth.numpy(), 1e-9), 0.0)
        np.testing.assert_allclose(z[clear], case["ref64_z"][i][clear], rtol=1e-5, atol=1e-6)
        compared += int((clear & covered).sum())
    assert compared > 0 or name == "ties"


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")),
    ],
)
def test_parity_point_zbuffers(name: str, device: str) -> None:
    case = load(f"A_memory_{name}.npz")
    _, height, width = case["latent"].shape[1:]
    points, features = case["points"][case["valid"]], case["features"][case["valid"]]
    for i, c2w in enumerate(case["target_cam2world"]):
        camera = released_camera(c2w, case["target_K"][i], height, width, stride=1)
        plain, _ = zbuffer_reference(points, camera, cell_center=0.0)
        fast, _ = zbuffer(torch.from_numpy(points).to(device), camera, cell_center=0.0)
        clear = ~case["ambiguous"][i]
        for winner in (plain, fast.cpu().numpy()):
            np.testing.assert_array_equal((winner >= 0)[clear], case["warped_mask"][i][clear])
            hit = clear & (winner >= 0)
            np.testing.assert_array_equal(features[winner[hit]].T, case["warped_latent"][i][:, hit])


def test_parity_lift() -> None:
    case = load("A_memory_identity.npz")
    height, width = case["latent"].shape[2:]
    depth = resize_bilinear(case["depth"][0], height, width)
    camera = released_camera(case["cam2world"][0], case["K_latent"], height, width, stride=1)
    np.testing.assert_allclose(lift(depth, camera, cell_center=0.0).reshape(-1, 3), case["points"], atol=1e-5)


def test_parity_chunk_plans() -> None:
    reference = json.loads((PARITY / "B_plan.json").read_text())
    checked = 0
    for plan in reference["plans"]:
        for start, chunks in plan["chunks"].items():
            for preceding in range(4):
                ours = plan_chunks(plan["num_frames"], start_frame=int(start), preceding=preceding)
                assert [[c.start, c.end, c.model_frames] for c in ours] == plan["plan"]
                for mine, theirs in zip(ours, chunks, strict=True):
                    assert list(mine.target_poses) == theirs["target_pose_indices"]
                    assert mine.first_latent == theirs["first_latent_index"]
                    assert list(mine.preceding_latents) == theirs[f"preceding_latent_indices_P{preceding}"]
                    assert list(mine.new_latents) == theirs["new_output_latent_indices"]
                    assert list(mine.new_poses) == theirs["new_pose_indices"]
                    checked += 1
    assert checked > 100
    for invalid in reference["invalid"]:
        with pytest.raises(InputError):
            plan_chunks(invalid["num_frames"])


def test_parity_voxel_overlap() -> None:
    data, cases = load("B_references.npz"), json.loads((PARITY / "B_references.json").read_text())["iou_cases"]
    for case in cases:
        sets = [voxel_set(data[f"iou_{case[side]}"], case["voxel_size"]) for side in "ab"]
        assert voxel_iou(*sets) == pytest.approx(case["iou"], abs=1e-12)


def within(points: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """(n,) bool, twice: points (n, 3) that a camera sees however one rounds, and those that it may see. A frame's own
    border points lie on its border, and each processor's matrix product puts others of them outside.
    """
    x, y, z = (np.asarray(points, np.float64) @ camera.w2c[:3, :3].T + camera.w2c[:3, 3]).T
    with np.errstate(divide="ignore", invalid="ignore"):
        u, v = camera.K[0, 0] * x / z + camera.K[0, 2], camera.K[1, 1] * y / z + camera.K[1, 2]
    inside = np.minimum.reduce([u, camera.width - u, v, camera.height - v])
    return (z > 0) & (inside > EDGE), (z > 0) & (inside > -EDGE)


def overlap_within(few: np.ndarray, many: np.ndarray, sure: np.ndarray, possible: np.ndarray) -> tuple[float, float]:
    """The least and the most that two voxel sets may overlap, of each of which only bounds are known."""
    least = len(np.intersect1d(few, sure)) / max(1, len(np.union1d(many, possible)))
    return least, min(1.0, len(np.intersect1d(many, possible)) / max(1, len(np.union1d(few, sure))))


@pytest.mark.parametrize("number", range(4))
def test_parity_reference_frames(number: int) -> None:
    data = load("B_references.npz")
    reference = json.loads((PARITY / "B_references.json").read_text())
    case, (height, width) = reference["reference_cases"][number], reference["latent_hw"]
    config, depth_of = case["config"], {int(pose): i for i, pose in enumerate(data["depth_pose_index"])}
    K = latent_intrinsics(data["K"], data["depth"].shape[1:], height, width)
    memory = LatentMemory(released_config(data["latent"].shape[1]))

    points: list[np.ndarray] = []

    def write(pose: int, latent: int) -> None:
        depth = data["depth"][depth_of[pose]]
        memory.write(released_view(depth, data["K"], data["poses"][pose], data["latent"][latent], None))
        points.append(released_points(depth, data["K"], data["poses"][pose], height, width))

    def seen(poses: tuple[int, ...]) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
        """Points in view of each pose, those that are so however one rounds, and those that may be."""
        everything = np.concatenate(points)
        cameras = [released_camera(data["poses"][pose], K, height, width, 1) for pose in poses]
        surely, maybe = zip(*(within(everything, camera) for camera in cameras), strict=True)
        masks = [[visible_points(everything, camera) for camera in cameras], surely, maybe]
        return tuple([everything[mask] for mask in part] for part in masks)  # type: ignore[return-value]

    write(0, 0)
    # The released code counts the invalid cells of the first frame as points.
    invalid_first = height * width - len(memory.living())
    history: dict[int, np.ndarray] = {}
    bounds: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for chunk, theirs in zip(plan_chunks(reference["num_frames"]), case["chunks"], strict=True):
        visible, surely, maybe = seen(chunk.target_poses)
        assert len(memory.living()) + invalid_first == theirs["n_points_in_memory"]
        for found, few, many, count in zip(visible, surely, maybe, theirs["visible_counts"], strict=True):
            assert len(few) <= count <= len(many) and len(few) <= len(found) <= len(many)
        target = voxel_set(np.concatenate(visible), config["voxel_size"])
        sure, possible = (voxel_set(np.concatenate(part), config["voxel_size"]) for part in (surely, maybe))
        chosen, overlap = select_references(
            history, target, max_references=config["max_reference_frames"], iou_min=config["iou_threshold"]
        )
        assert overlap.keys() == {int(frame) for frame in theirs["history_iou"]}
        within_bounds = {frame: overlap_within(*sets, sure, possible) for frame, sets in bounds.items()}
        for frame, iou in theirs["history_iou"].items():
            least, most = within_bounds[int(frame)]
            assert least - 1e-12 <= iou <= most + 1e-12 and least - 1e-12 <= overlap[int(frame)] <= most + 1e-12
        assert len(chosen) == len(theirs["selected"])
        for mine, theirs_is in zip(chosen, theirs["selected"], strict=True):  # another only if rounding may decide it
            (least, most), (low, high) = within_bounds[mine], within_bounds[theirs_is]
            assert mine == theirs_is or max(least, low) <= min(most, high)
        if number == 0:
            for i, pose in enumerate(chunk.target_poses):
                readout = memory.readout(released_camera(data["poses"][pose], K, height, width))
                clear = ~data[f"target_scene_ambiguous_{theirs['iter_idx']}"][i]
                expected = data[f"target_scene_{theirs['iter_idx']}"][:, i]
                np.testing.assert_array_equal(readout.features.numpy()[:, clear], expected[:, clear])
        for pose, latent in zip(chunk.new_poses, chunk.new_latents, strict=True):
            write(pose, latent + 1)
        for latent, *found in zip(chunk.new_latents, *seen(chunk.new_poses), strict=True):
            history[latent], few, many = (voxel_set(part, config["voxel_size"]) for part in found)
            bounds[latent] = few, many
            ours, least, most = (len(part) for part in found)
            assert least <= ours <= most and least <= case["history_visible_counts"][str(latent)] <= most
