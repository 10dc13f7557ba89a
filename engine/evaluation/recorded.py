"""Recorded clips in RealEstate10K's format, through the same protocol: frames in a folder, cameras in a text file.

A folder holds one or more ``NAME.txt``. The frames of each lie in ``NAME/`` beside it (or, for a single clip, beside
the
text file), named by their timestamps in microseconds or sorted, one a line of the file.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.camera import Camera
from engine.camera_path import CameraPath
from engine.errors import InputError
from engine.evaluation.scenes import TrueView
from engine.evaluation.settings import EvaluationSettings
from engine.evaluation.stereo import plane_sweep

IMAGES = (".png", ".jpg", ".jpeg", ".webp")
GAP_SHARES = (0.25, 0.5, 1.0)
MEDIAN_DEPTH_M = 10.0
"""Recordings know no metres: scenes are scaled so that the first view's median depth is this."""
SWEEP_VIEWS = 6
MIN_DEPTH_SHARE = 0.05
MAX_PIXELS = 64_000_000


class RecordedScene:
    """One clip. The way out takes frames evenly from the whole clip, the way back returns over the same poses.

    True views exist at the clip's own cameras. Their depth is known for the first frame alone, from stereo.
    """

    exact_depth = False
    drift: tuple[Camera, ...] = ()

    def __init__(
        self,
        name: str,
        text: Path,
        frames: list[Path],
        path: CameraPath,
        settings: EvaluationSettings,
        size: tuple[int, int],
    ) -> None:
        self.name = name
        self.biome = ""
        half = (settings.loop_frames + 1) // 2
        chosen = np.unique(np.linspace(0, len(frames) - 1, half).round().astype(int)).tolist()
        images, cameras = [], []
        for n in chosen:
            image, camera = fit_frame(frames[n], path[n], size)
            images.append(image)
            cameras.append(camera)
        depth = _first_depth(name, images, cameras)
        scale = MEDIAN_DEPTH_M / float(depth[torch.isfinite(depth)].median())
        cameras = [replace(camera, c2w=_scaled(camera.c2w, cameras[0].position, scale)) for camera in cameras]
        self.identity: dict[str, Any] = {
            "file": text.name,
            "frames": len(frames),
            "used": len(chosen),
            "scale": scale,
            "depth_share": float(torch.isfinite(depth).float().mean()),
        }
        self._views = {
            camera.c2w.tobytes(): TrueView(image, depth * scale if n == 0 else torch.full_like(depth, torch.nan))
            for n, (image, camera) in enumerate(zip(images, cameras, strict=True))
        }
        self.first = cameras[0]
        self.loop = (*cameras, *cameras[-2::-1])
        self.gaps = {f"{100 * share:.0f} %": cameras[round(share * (len(cameras) - 1))] for share in GAP_SHARES}

    def true_view(self, camera: Camera) -> TrueView:
        """The recorded frame of one of this clip's cameras."""
        return self._views[camera.c2w.tobytes()]

    def first_view(self) -> TrueView:
        """A recording is as fine as its frames."""
        return self.true_view(self.first)


def _scaled(c2w: np.ndarray, origin: np.ndarray, scale: float) -> np.ndarray:
    moved = c2w.copy()
    moved[:3, 3] = (c2w[:3, 3] - origin) * scale
    return moved


def _first_depth(name: str, images: list[Tensor], cameras: list[Camera]) -> Tensor:
    """Depth (H, W) of the first frame in the clip's units."""
    away = [float(np.linalg.norm(camera.position - cameras[0].position)) for camera in cameras]
    if max(away) < 1e-6:
        raise InputError(f"The camera of the clip {name} never moves, so no depth can be had; leave that clip out.")
    usable = [n for n in range(1, len(cameras)) if away[n] > 0.02 * max(away)][: 2 * SWEEP_VIEWS]
    picked = [usable[i] for i in np.unique(np.linspace(0, len(usable) - 1, SWEEP_VIEWS).round().astype(int))]
    depth = plane_sweep(images[0], cameras[0], [(images[n], cameras[n]) for n in picked])
    if float(torch.isfinite(depth).float().mean()) < MIN_DEPTH_SHARE:
        raise InputError(
            f"The frames of the clip {name} do not agree on a depth for its first one; check that the poses "
            "belong to the "
            "frames, or leave the clip out."
        )
    return depth


def fit_frame(file: Path, camera: Camera, size: tuple[int, int]) -> tuple[Tensor, Camera]:
    """A frame scaled to cover ``size`` (height, width) and cropped in the middle: (3, H, W) float32, and its camera.

    Raises:
        InputError: the file is no image that can be read.
    """
    from PIL import Image

    height, width = size
    try:
        with Image.open(file) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise InputError(f"{file} has {opened.width}x{opened.height} pixels, more than a frame can have here.")
            scale = max(width / opened.width, height / opened.height)
            scaled = (max(width, round(opened.width * scale)), max(height, round(opened.height * scale)))
            native = camera.resized(opened.width, opened.height).resized(*scaled)
            picture = opened.convert("RGB").resize(scaled, Image.Resampling.LANCZOS)
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{file} cannot be read as an image ({error}); replace or remove it.") from error
    left, top = (scaled[0] - width) // 2, (scaled[1] - height) // 2
    pixels = np.asarray(picture, np.uint8)[top : top + height, left : left + width]
    K = native.K.copy()
    K[0, 2] -= left
    K[1, 2] -= top
    image = torch.from_numpy(pixels.astype(np.float32) / 255.0).permute(2, 0, 1).contiguous()
    return image, Camera(camera.c2w, K, width, height)


def find_clips(folder: Path) -> list[tuple[str, Path, list[Path], CameraPath]]:
    """Name, camera file, frames and cameras of every clip in ``folder``, by name.

    Raises:
        InputError: no clips, or the frames of one do not match its camera file.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; --import-re10k takes one with frames and camera files.")
    texts = sorted(file for file in folder.glob("*.txt") if file.is_file())
    if not texts:
        raise InputError(f"There is no camera file (.txt) in {folder}; RealEstate10K keeps one a clip.")
    return [_clip(text, alone=len(texts) == 1) for text in texts]


def _clip(text: Path, *, alone: bool) -> tuple[str, Path, list[Path], CameraPath]:
    from engine.formats import read_path

    folders = [text.with_suffix("")] + ([text.parent] if alone else [])
    images: list[Path] = []
    for folder in folders:
        if folder.is_dir():
            images = [
                file for file in folder.iterdir() if file.suffix.lower() in IMAGES and not file.name.startswith(".")
            ]
        if images:
            break
    if not images:
        raise InputError(f"There are no frames for {text.name}; put them into the folder {text.with_suffix('').name}/.")
    path = read_path(text, format="realestate10k", size=_size_of(images[0]))
    by_stem = {file.stem: file for file in images}
    stamps = [str(round(time_s * 1e6)) for time_s in path.times_s]
    if all(stamp in by_stem for stamp in stamps):
        frames = [by_stem[stamp] for stamp in stamps]
    elif len(images) == len(path):
        frames = sorted(images, key=_natural)
    else:
        raise InputError(
            f"{text.name} has {len(path)} cameras, but there are {len(images)} frames, not named by their timestamps; "
            "remove those without a camera."
        )
    if len(frames) < 3:
        raise InputError(f"The clip {text.stem} has {len(frames)} frames; the protocol needs at least 3.")
    return re.sub(r"[^A-Za-z0-9_.-]", "_", text.stem), text, frames, path


def _size_of(file: Path) -> tuple[int, int]:
    """(height, width) of an image file."""
    from PIL import Image

    try:
        with Image.open(file) as opened:
            return opened.height, opened.width
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{file} cannot be read as an image ({error}); replace or remove it.") from error


def _natural(file: Path) -> list[tuple[int, int, str]]:
    """Sorts 2 before 10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", file.stem) if part]
