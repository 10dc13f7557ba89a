"""COLMAP's text model: a folder with ``cameras.txt`` and ``images.txt`` (and an empty ``points3D.txt``).

Poses are world-to-camera, a quaternion w x y z and a translation, OpenCV axes. COLMAP puts the centre of the top-left
pixel at (0.5, 0.5), as Mirage does. Images are flown in the natural order of their names.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from engine.atomic import atomic_write
from engine.camera import Camera
from engine.camera_path import MAX_CAMERAS, CameraPath
from engine.errors import InputError
from engine.formats.base import (
    MAX_POSITION,
    PathFormat,
    ReadOptions,
    check_count,
    fail,
    image_side,
    intrinsics,
    inverted,
    number_text,
    parse_floats,
    read_text,
)

CONVENTION = (
    "world-to-camera, unit quaternion w x y z and translation, OpenCV axes (x right, y down, z forward), metres; "
    "intrinsics in pixels, top-left pixel centred at 0.5"
)
MODELS: dict[str, tuple[int, int]] = {
    # name: (focal lengths, all parameters); what follows the principal point is lens distortion
    "SIMPLE_PINHOLE": (1, 3),
    "PINHOLE": (2, 4),
    "SIMPLE_RADIAL": (1, 4),
    "RADIAL": (1, 5),
    "OPENCV": (2, 8),
    "FULL_OPENCV": (2, 12),
}


def _model_folder(path: Path) -> Path:
    folder = path if path.is_dir() else path.parent
    for candidate in (folder, folder / "sparse" / "0", folder / "0", folder / "sparse"):
        if (candidate / "images.txt").is_file():
            return candidate
        if (candidate / "images.bin").is_file():
            raise fail(
                candidate / "images.bin",
                "",
                "this is COLMAP's binary model",
                "convert it with: colmap model_converter --output_type TXT",
            )
    return folder


def read(path: Path, options: ReadOptions) -> CameraPath:
    """Read the folder of a text model (or the model under ``sparse/0``)."""
    folder = _model_folder(path)
    lenses, distorted = _read_cameras(folder / "cameras.txt")
    images = folder / "images.txt"
    posed: list[tuple[str, Camera]] = []
    lines = read_text(images).split("\n")
    number = 0
    while number < len(lines):
        words = lines[number].split()
        number += 1
        if not words or words[0].startswith("#"):
            continue
        posed.append(_read_image(images, number, words, lenses))
        if len(posed) > MAX_CAMERAS:
            break
        # The 2D points of an image fill its second line, often empty. Some writers leave it out altogether; a pose has
        # ten words, and points come in threes.
        if number < len(lines) and len(lines[number].split()) != 10 and not lines[number].startswith("#"):
            number += 1
    check_count(images, len(posed))
    posed.sort(key=lambda item: _natural(item[0]))
    notes = ("The lens distortion in cameras.txt is left out; the path is flown as if its lens were perfect.",)
    return CameraPath(tuple(camera for _, camera in posed), notes=notes if distorted else ())


def _natural(name: str) -> list[tuple[int, int, str]]:
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in re.split(r"(\d{1,18})", name)]


def _read_image(
    path: Path, number: int, words: list[str], lenses: dict[str, tuple[np.ndarray, int, int]]
) -> tuple[str, Camera]:
    where = f"line {number}"
    if len(words) < 10:
        problem = f"an image needs an id, 7 pose numbers, a camera id and a name, and this line has {len(words)} words"
        raise fail(path, where, problem, "complete or remove it")
    values = parse_floats(path, where, words[1:8], "the pose")
    norm = float(np.linalg.norm(values[:4]))
    if abs(norm - 1.0) > 1e-2:
        raise fail(path, where, f"the quaternion has length {norm:.3g} instead of 1", "normalise it")
    if np.abs(values[4:]).max() > MAX_POSITION:
        raise fail(path, where, f"the translation is longer than {MAX_POSITION:g}", "rescale the model")
    if words[8] not in lenses:
        raise fail(path, where, f"there is no camera {words[8][:24]!r} in cameras.txt", "add it there")
    from scipy.spatial.transform import Rotation  # takes most of a second: only when there are quaternions to read

    w2c = np.eye(4)
    w2c[:3, :3] = Rotation.from_quat(values[[1, 2, 3, 0]]).as_matrix()
    w2c[:3, 3] = values[4:]
    K, width, height = lenses[words[8]]
    return " ".join(words[9:]), Camera(inverted(w2c), K, width, height)


def _read_cameras(path: Path) -> tuple[dict[str, tuple[np.ndarray, int, int]], bool]:
    lenses: dict[str, tuple[np.ndarray, int, int]] = {}
    distorted = False
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        where = f"line {number}"
        if len(words) < 5:
            raise fail(
                path, where, f"a camera needs id, model, width, height, parameters: {len(words)} words", "complete it"
            )
        if words[1] not in MODELS:
            raise fail(path, where, f"{words[1][:24]!r} lenses cannot be flown", f"use one of {', '.join(MODELS)}")
        focals, count = MODELS[words[1]]
        if len(words) != 4 + count:
            problem = f"a {words[1]} camera has {count} parameters, and this one {len(words) - 4}"
            raise fail(path, where, problem, "complete it")
        values = [float(v) for v in parse_floats(path, where, words[4:], "the parameters")]
        width = image_side(path, where, words[2], "the width")
        height = image_side(path, where, words[3], "the height")
        K = intrinsics(path, where, values[0], values[focals - 1], values[focals], values[focals + 1])
        lenses[words[0]] = (K, width, height)
        distorted |= any(v != 0.0 for v in values[focals + 2 :])
    if not lenses:
        raise fail(path, "", "it holds no camera", "export the model again")
    return lenses, distorted


def write(path: CameraPath, target: Path) -> tuple[str, ...]:
    """Write the folder ``target`` (made if it is missing) with one camera line per lens."""
    from scipy.spatial.transform import Rotation

    if target.exists() and not target.is_dir():
        raise InputError(f"A COLMAP model is a folder, and {target} is a file; choose another name.")
    if not target.is_dir():
        if not target.absolute().parent.is_dir():
            raise InputError(
                f"The folder {target.absolute().parent} does not exist; create it or choose another place."
            )
        try:
            target.mkdir()
        except OSError as error:
            raise InputError(f"The folder {target} cannot be made ({error.strerror}); choose another place.") from error
    lenses: dict[tuple[float, ...], int] = {}
    images = ["# Mirage camera path, COLMAP text model", f"# {CONVENTION}"]
    images += ["# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME", "# POINTS2D[] as (X, Y, POINT3D_ID)"]
    quaternions = Rotation.from_matrix(np.stack([camera.w2c[:3, :3] for camera in path.cameras])).as_quat()
    for i, camera in enumerate(path.cameras):
        K = camera.K
        focal, middle = (float(K[0, 0]), float(K[1, 1])), (float(K[0, 2]), float(K[1, 2]))
        lens: tuple[float, ...] = (float(camera.width), float(camera.height), *focal, *middle)
        lens_id = lenses.setdefault(lens, len(lenses) + 1)
        pose = [*quaternions[i][[3, 0, 1, 2]], *camera.w2c[:3, 3]]
        images.append(" ".join([str(i + 1), *map(number_text, pose), str(lens_id), f"frame_{i:06d}.png"]))
        images.append("")
    cameras = [
        "# Mirage camera path, COLMAP text model",
        "# CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[] (fx, fy, cx, cy)",
    ]
    for lens, lens_id in lenses.items():
        cameras.append(f"{lens_id} PINHOLE {int(lens[0])} {int(lens[1])} " + " ".join(map(number_text, lens[2:])))
    points = ["# 3D point list (empty): POINT3D_ID, X, Y, Z, R, G, B, ERROR, TRACK[] as (IMAGE_ID, POINT2D_IDX)"]
    for name, lines in (("cameras.txt", cameras), ("points3D.txt", points), ("images.txt", images)):
        with atomic_write(target / name) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return ()


def recognises(path: Path, head: bytes) -> bool:
    """A folder with a model in it, or one of the model's files by name."""
    if path.is_dir():
        folders = (path, path / "sparse" / "0", path / "0", path / "sparse")
        return any((folder / name).is_file() for folder in folders for name in ("images.txt", "images.bin"))
    return path.name in ("images.txt", "cameras.txt") and (path.parent / "images.txt").is_file()


FORMAT = PathFormat("colmap", "COLMAP text model (folder)", CONVENTION, "colmap", recognises, read, write)
