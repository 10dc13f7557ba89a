"""What every camera-path format shares: bounded reading, numbers, rigid poses, intrinsics, and one kind of error.

Limits, the same for all formats: at most ``MAX_CAMERAS`` poses, ``MAX_FILE_BYTES`` a file. A rotation may be off by
``RIGID_TOLERANCE`` (the largest entry of ``R^T R - I``); within that it is replaced by the nearest rotation, unless it
is already exact to ``EXACT_ROTATION``, when it is used to the last bit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.camera import DEFAULT_FOV_DEG, Camera
from engine.camera_path import MAX_CAMERAS, CameraPath
from engine.errors import InputError

MAX_FILE_BYTES = 64 << 20
MAX_POSITION = 1e7
MAX_SIDE_PX = 65_536
RIGID_TOLERANCE = 1e-3
EXACT_ROTATION = 1e-9
ASPECT_SLACK = 0.02
OPENGL_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])
"""Right-multiplied to a c2w: OpenCV (y down, z forward) to OpenGL (y up, z backward) axes, and back."""


@dataclass(frozen=True)
class ReadOptions:
    """What the reader may assume where a file does not say.

    Attributes:
        size: (height, width) the caller will render at; used for formats that know no image size.
        fov_deg: vertical field of view where a file has no intrinsics.
    """

    size: tuple[int, int] | None = None
    fov_deg: float = DEFAULT_FOV_DEG


@dataclass(frozen=True)
class PathFormat:
    """One way of storing a camera path.

    Attributes:
        name: what ``format=`` takes.
        about: a few words for menus.
        convention: pose direction, axes and intrinsics, as written into the files where they can hold it.
        default_name: a file or folder name that is recognised again.
        recognises: whether a path looks like this format, by name and by its first bytes; never raises.
        read: file or folder -> path; raises :class:`InputError` only.
        write: writes atomically and returns notes on what the format could not hold.
    """

    name: str
    about: str
    convention: str
    default_name: str
    recognises: Callable[[Path, bytes], bool]
    read: Callable[[Path, ReadOptions], CameraPath]
    write: Callable[[CameraPath, Path], tuple[str, ...]]


def fail(path: Path, where: str, problem: str, remedy: str) -> InputError:
    """The one sentence for a malformed file: which file, which line or field, what is wrong, what to do."""
    at = f", {where}" if where else ""
    return InputError(f"{path.name}{at}: {problem}; {remedy}.")


def read_bytes(path: Path) -> bytes:
    """The file's content; :class:`InputError` if it is missing, no regular file, unreadable, empty or too large."""
    try:
        if not path.is_file():
            raise fail(path, "", "there is no such file", f"look in {path.parent}")
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise fail(
                path,
                "",
                f"it has {size >> 20} MiB, and camera paths of up to {MAX_FILE_BYTES >> 20} MiB and "
                f"{MAX_CAMERAS:,} poses are read",
                "split it",
            )
        data = path.read_bytes()
    except OSError as error:
        raise fail(path, "", f"it cannot be read ({error.strerror})", "check its permissions") from error
    if not data.strip():
        raise fail(path, "", "it is empty", "export the camera path again")
    return data


def read_text(path: Path) -> str:
    """The file as text; :class:`InputError` if it is not UTF-8."""
    data = read_bytes(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise fail(path, f"byte {error.start}", "this is not text", "give the camera path, not a picture") from error
    if "\0" in text:
        raise fail(path, f"byte {text.index(chr(0))}", "this is not text", "give the camera path, not a picture")
    return text


def read_json(path: Path) -> Any:
    """The file as JSON; :class:`InputError` naming line and column if it is malformed or cut off."""
    text = read_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise fail(path, where, f"the JSON is broken ({error.msg})", "export the file again") from error
    except (ValueError, RecursionError) as error:
        raise fail(path, "", "the JSON holds numbers or nesting beyond reason", "export the file again") from error


def numbers(path: Path, where: str, values: Any, count: int | None, what: str) -> np.ndarray:
    """``values`` (nested sequences) as a flat float64 array of ``count`` finite numbers."""
    try:
        flat = np.array(values, dtype=np.float64).reshape(-1)
    except (ValueError, TypeError, OverflowError) as error:
        raise fail(path, where, f"{what} must be numbers", "correct or remove it") from error
    if count is not None and flat.size != count:
        raise fail(path, where, f"{what} needs {count} numbers and has {flat.size}", "complete or remove it")
    if not np.isfinite(flat).all():
        raise fail(path, where, f"{what} holds NaN or infinity", "correct or remove it")
    return flat


def parse_floats(path: Path, where: str, words: Sequence[str], what: str) -> np.ndarray:
    """Words as finite float64 numbers, naming the first word that is none."""
    values = np.empty(len(words))
    for i, word in enumerate(words):
        try:
            values[i] = float(word) if "_" not in word else math.nan
        except ValueError:
            values[i] = math.nan
        if not math.isfinite(values[i]):
            raise fail(path, f"{where}, number {i + 1}", f"{word[:24]!r} in {what} is no finite number", "correct it")
    return values


def check_count(path: Path, count: int) -> None:
    """Raise :class:`InputError` for no pose at all or for too many."""
    if count == 0:
        raise fail(path, "", "it holds no camera pose", "export the camera path again")
    if count > MAX_CAMERAS:
        raise fail(path, "", f"it holds {count:,} poses, and at most {MAX_CAMERAS:,} are read", "split or thin it out")


def rigid(path: Path, where: str, matrix: np.ndarray, what: str) -> np.ndarray:
    """(3, 4) or (4, 4) pose -> (4, 4) rigid float64; :class:`InputError` saying how it fails to be one."""
    pose = np.eye(4)
    pose[:3] = matrix[:3]
    if matrix.shape == (4, 4) and np.abs(matrix[3] - pose[3]).max() > 1e-6:
        raise fail(path, where, f"the last row of {what} must be 0 0 0 1", "check that the matrix is stored by rows")
    if np.abs(pose[:3, 3]).max() > MAX_POSITION:
        raise fail(path, where, f"the position in {what} is further than {MAX_POSITION:g} away", "rescale the path")
    rotation = pose[:3, :3]
    if np.abs(rotation).max() > 10.0:
        raise fail(path, where, f"the rotation in {what} is no rotation", "remove scale from the pose")
    error = float(np.abs(rotation.T @ rotation - np.eye(3)).max())
    if error > RIGID_TOLERANCE:
        problem = f"the rotation in {what} is not rigid (off by {error:.2g}, {RIGID_TOLERANCE:g} is allowed)"
        raise fail(path, where, problem, "remove scale and shear from the pose")
    if np.linalg.det(rotation) < 0.0:
        raise fail(path, where, f"the rotation in {what} mirrors space", "check the axis convention it was exported in")
    if error > EXACT_ROTATION:
        left, _, right = np.linalg.svd(rotation)
        pose[:3, :3] = left @ right
    return pose


def inverted(pose: np.ndarray) -> np.ndarray:
    """The inverse of a rigid (4, 4) pose: w2c to c2w and back."""
    inverse = np.eye(4)
    inverse[:3, :3] = pose[:3, :3].T
    inverse[:3, 3] = -pose[:3, :3].T @ pose[:3, 3]
    return inverse


def intrinsics(path: Path, where: str, fx: float, fy: float, cx: float, cy: float) -> np.ndarray:
    """(3, 3) pixels (or shares of the image); :class:`InputError` for focal lengths that are not positive."""
    for name, value in (("fx", fx), ("fy", fy)):
        if not 1e-6 < value < 1e7:
            raise fail(path, where, f"the focal length {name} must be positive and is {value:g}", "correct it")
    if max(abs(cx), abs(cy)) > 1e7:
        raise fail(path, where, f"the principal point ({cx:g}, {cy:g}) is out of reason", "correct it")
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def image_side(path: Path, where: str, value: Any, what: str) -> int:
    """A positive whole number of pixels."""
    try:
        side = float(value)
    except (TypeError, ValueError, OverflowError):
        side = math.nan
    if not (math.isfinite(side) and side == int(side) and 1 <= side <= MAX_SIDE_PX) or isinstance(value, bool):
        shown = repr(value)[:24]
        raise fail(path, where, f"{what} must be 1 to {MAX_SIDE_PX} whole pixels and is {shown}", "correct it")
    return int(side)


def camera_from_shares(c2w: np.ndarray, shares: np.ndarray, options: ReadOptions) -> Camera:
    """A camera from intrinsics given as shares of width and height, ``shares (3, 3)``.

    Such files do not know their image size. Where square pixels at the size that will be rendered explain the shares
    (to within ``ASPECT_SLACK``), that size is taken as it is; otherwise the width that makes the pixels square.
    """
    height, width = options.size or (512, 0)
    square_width = height * shares[1, 1] / shares[0, 0]
    if width == 0 or abs(square_width / width - 1.0) > ASPECT_SLACK:
        width = int(np.clip(round(square_width), 1, MAX_SIDE_PX))
    return Camera(c2w, np.diag([width, height, 1.0]) @ shares, width, height)


def shares_of(camera: Camera) -> np.ndarray:
    """(3, 3) intrinsics as shares of width and height."""
    return np.diag([1.0 / camera.width, 1.0 / camera.height, 1.0]) @ camera.K


def as_matrices(path: Path, where: str, values: np.ndarray, what: str) -> np.ndarray:
    """``values`` as (n, 4, 4) or (n, 3, 4) poses; a single pose counts as one."""
    poses = values[None] if values.ndim == 2 else values
    if poses.ndim != 3 or poses.shape[1:] not in ((3, 4), (4, 4)):
        raise fail(path, where, f"{what} must have shape (n, 4, 4) or (n, 3, 4) and has {values.shape}", "export again")
    check_count(path, len(poses))
    if not np.isfinite(poses).all():
        first = int(np.flatnonzero(~np.isfinite(poses).all(axis=(1, 2)))[0])
        raise fail(path, f"{where}[{first}]", f"{what} holds NaN or infinity", "correct or remove that pose")
    return poses


def as_intrinsics(path: Path, where: str, values: np.ndarray, count: int) -> np.ndarray:
    """``values`` of shape (3, 3), (4,), (n, 3, 3) or (n, 4) as (count, 3, 3); (4,) is fx, fy, cx, cy."""
    if not np.isfinite(values).all():
        raise fail(path, where, "the intrinsics hold NaN or infinity", "correct them")
    if values.shape in ((3, 3), (4,)):
        values = values[None]
    if values.ndim not in (2, 3) or values.shape[1:] not in ((3, 3), (4,)):
        problem = f"the intrinsics must have shape (n, 3, 3) or (n, 4) and have {values.shape}"
        raise fail(path, where, problem, "export again")
    if len(values) == 1:
        values = np.repeat(values, count, axis=0)
    if len(values) < count:
        raise fail(path, where, f"there are {len(values)} intrinsics for {count} poses", "give one, or one a pose")
    flat = [v if v.shape == (4,) else np.array([v[0, 0], v[1, 1], v[0, 2], v[1, 2]]) for v in values[:count]]
    return np.stack([intrinsics(path, f"{where}[{i}]", *map(float, v)) for i, v in enumerate(flat)])


def share_intrinsics_of(cameras: Sequence[Camera]) -> bool:
    """Whether all cameras have the same size and intrinsics."""
    first = cameras[0]
    return all(camera.size == first.size and np.array_equal(camera.K, first.K) for camera in cameras)


def one_size(path: CameraPath, what: str) -> tuple[int, int]:
    """(height, width) of all cameras; :class:`InputError` if they differ and the format holds only one."""
    size = path[0].size
    if any(camera.size != size for camera in path.cameras):
        raise InputError(f"{what} holds one image size for the whole path; resize the path before exporting it.")
    return size


def number_text(value: float) -> str:
    """The shortest text that reads back as the same float64."""
    return repr(float(value) + 0.0)
