"""TSDF fusion of generated RGB-D frames by open3d (Curless and Levoy 1996; Zhou, Park and Koltun 2018).

Run as ``python -m engine.mesh_fusion <job>`` by :class:`engine.export.MeshJob`; the only file that imports open3d.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from engine.atomic import atomic_write
from engine.errors import InputError, MirageError
from engine.export import MESH_FAR_M

MIN_VOXEL_M = 0.02


def _full_depth_m(inverse_depth: np.ndarray, height: int, width: int, far_m: float) -> np.ndarray:
    """(height, width) float32 z-depth, nearest sample to keep edges; 0 (ignored) for sky and beyond ``far_m``."""
    rows = np.arange(height) * inverse_depth.shape[0] // height
    columns = np.arange(width) * inverse_depth.shape[1] // width
    full = inverse_depth[rows[:, None], columns[None, :]]
    depth_m = np.where(full > 1.0 / far_m, 1.0 / np.maximum(full, 1e-6), 0.0)
    # Samples on a silhouette belong to neither side: leave them out where depth jumps.
    jump = np.zeros(full.shape, bool)
    jump[1:] |= np.abs(full[1:] - full[:-1]) > 0.12 * np.maximum(full[1:], 1e-4)
    jump[:, 1:] |= np.abs(full[:, 1:] - full[:, :-1]) > 0.12 * np.maximum(full[:, 1:], 1e-4)
    return np.where(jump, 0.0, depth_m).astype(np.float32)


def fuse(folder: Path, path: Path, voxel_m: float | None) -> None:
    """Fuse the frames in ``folder`` into a mesh at ``path``.

    Raises:
        InputError: the frames show no surface within reach.
    """
    files = sorted(folder.glob("*.npz"))
    depths = []
    for file in files:
        with np.load(file, allow_pickle=False) as frame:
            inverse = frame["inverse_depth"]
        near = inverse[inverse > 1.0 / MESH_FAR_M]
        if near.size:
            depths.append(float(np.median(1.0 / near)))
    if not depths:
        raise InputError(
            f"The frames show nothing nearer than {MESH_FAR_M:g} m; fly closer to something before making a mesh."
        )
    voxel = voxel_m or max(MIN_VOXEL_M, float(np.median(depths)) / 100.0)
    import open3d as o3d

    core = o3d.core
    grid = o3d.t.geometry.VoxelBlockGrid(
        attr_names=("tsdf", "weight", "color"),
        attr_dtypes=(core.float32, core.float32, core.float32),
        attr_channels=((1), (1), (3)),
        voxel_size=voxel,
        block_resolution=8,
        block_count=8000,
        device=core.Device("CPU:0"),
    )
    for file in files:
        with np.load(file, allow_pickle=False) as frame:
            rgb, inverse, c2w, K = (frame[name] for name in ("rgb", "inverse_depth", "c2w", "K"))
        depth_m = _full_depth_m(inverse, rgb.shape[0], rgb.shape[1], MESH_FAR_M)
        if not (depth_m > 0.0).any():
            continue
        depth = o3d.t.geometry.Image(core.Tensor(depth_m[..., None]))
        colour = o3d.t.geometry.Image(core.Tensor(np.ascontiguousarray(rgb.astype(np.float32) / 255.0)))
        K[:2, 2] -= 0.5  # open3d puts pixel centres on integers
        intrinsic, extrinsic = core.Tensor(K), core.Tensor(np.ascontiguousarray(np.linalg.inv(c2w)))
        blocks = grid.compute_unique_block_coordinates(depth, intrinsic, extrinsic, 1.0, MESH_FAR_M)
        grid.integrate(blocks, depth, colour, intrinsic, intrinsic, extrinsic, 1.0, MESH_FAR_M)
    mesh = grid.extract_triangle_mesh(weight_threshold=1.0).to_legacy()
    if not len(mesh.triangles):
        raise InputError("The frames do not overlap enough to make a mesh; fly a slow loop around something first.")
    mesh.compute_vertex_normals()
    with atomic_write(path) as temporary:
        if not o3d.io.write_triangle_mesh(str(temporary), mesh):
            raise InputError(f"The mesh could not be written to {path}; choose another place.")


def main() -> int:
    """Run one job given as JSON on the command line."""
    job = json.loads(sys.argv[1])
    try:
        fuse(Path(job["folder"]), Path(job["path"]), job["voxel_m"])
    except MirageError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
