"""A photograph and its depth as the first view of a world.

**Image.** PNG, JPEG, WebP, BMP or TIFF; EXIF orientation is applied, transparency is laid over black, 16-bit greys are
scaled. It is scaled to cover the wanted size and cropped around its middle; the intrinsics follow. Where picture and
depth have more pixels than that, finer scales are kept too, for a memory that takes them.

**Depth** is z-depth, of the image's own size or of the wanted size:

===========  ============================================================================
file         unit and meaning
===========  ============================================================================
``.png``     16 bits, **millimetres** (as RealSense, Kinect, TUM-like tools write it)
``.npy``     **metres**, any real type, (H, W), (H, W, 1) or (1, H, W)
===========  ============================================================================

In both, **0 and infinity mean sky** (nothing there, infinitely far). Negative values and NaN are errors, and so is a
depth without any finite positive value. If no depth file is given, ``photo_depth.npy``, ``photo_depth.png``,
``photo.depth.npy``, ``photo.depth.png`` or ``photo.npy`` beside ``photo.jpg`` is taken, in this order.
"""

from __future__ import annotations

import math
import warnings
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from engine.camera import DEFAULT_FOV_DEG, Camera, c2w_from_angles
from engine.errors import InputError
from engine.formats.arrays import read_npy

if TYPE_CHECKING:
    from engine.pyramid import Pyramid

MAX_PIXELS = 100_000_000
MAX_FILE_BYTES = 512 << 20
MIN_SIDE_PX = 16
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
MAX_DEPTH_M = 1e5
EYE_HEIGHT_M = 1.7
DEPTH_NAMES = ("{}_depth.npy", "{}_depth.png", "{}.depth.npy", "{}.depth.png", "{}.npy")


@dataclass(frozen=True, eq=False)
class RgbdImage:
    """A view with depth.

    Attributes:
        rgb: (3, H, W) float32 in [0, 1].
        depth_m: (H, W) float32 z-depth in metres; inf is sky.
        camera: its camera, of size (H, W).
        finer, fine_depth_m: as in :class:`engine.pyramid.Pyramid`.
    """

    rgb: np.ndarray
    depth_m: np.ndarray
    camera: Camera
    finer: tuple[np.ndarray, ...] = ()
    fine_depth_m: np.ndarray | None = None

    def __post_init__(self) -> None:
        height, width = self.camera.size
        if self.rgb.shape != (3, height, width) or self.depth_m.shape != (height, width):
            raise InputError(
                f"An image with depth needs rgb (3, {height}, {width}) and depth ({height}, {width}); "
                f"it has {self.rgb.shape} and {self.depth_m.shape}."
            )

    @property
    def pyramid(self) -> Pyramid:
        """The same at all its scales."""
        from engine.pyramid import Pyramid  # what only reads pictures does without torch

        return Pyramid(self, self.finer, self.fine_depth_m)


def load_rgbd(
    image_path: str | Path,
    depth_path: str | Path | None = None,
    fov_deg: float = DEFAULT_FOV_DEG,
    size: tuple[int, int] = (256, 448),
    levels: int = 0,
) -> RgbdImage:
    """Read an image and its depth, cropped to the middle and scaled to ``size`` (height, width).

    Args:
        fov_deg: vertical field of view of the *whole* image, before cropping.
        levels: most finer scales to keep; no more than picture and depth have pixels for.

    Returns:
        The view of a level camera ``EYE_HEIGHT_M`` above the origin that looks along +X.

    Raises:
        InputError: one sentence naming the file and what is wrong with it.
    """
    image_path = Path(image_path)
    height, width = size
    if not (MIN_SIDE_PX <= height <= 8192 and MIN_SIDE_PX <= width <= 8192):
        raise InputError(f"Images are loaded at sides of {MIN_SIDE_PX} to 8192 pixels; {height}x{width} was asked for.")
    if not (math.isfinite(fov_deg) and 1.0 <= fov_deg <= 170.0):
        raise InputError(f"An image's field of view lies between 1 and 170 degrees; {fov_deg:g} was given.")
    picture = _open_image(image_path)
    full_width, full_height = picture.size
    # Scale by the side that needs it most, then crop the other one around the middle.
    scale = max(width / full_width, height / full_height)
    box_width, box_height = width / scale, height / scale
    left, top = 0.5 * (full_width - box_width), 0.5 * (full_height - box_height)
    box = (left, top, left + box_width, top + box_height)

    pose = c2w_from_angles(np.array([0.0, 0.0, EYE_HEIGHT_M]), 0.0, 0.0)
    camera = Camera.from_fov(pose, fov_deg, full_width, full_height)
    K = camera.K.copy()
    K[:2, 2] -= [left, top]
    K[0] *= width / box_width
    K[1] *= height / box_height
    camera = Camera(pose, K, width, height)
    depth_path = find_depth(image_path) if depth_path is None else Path(depth_path)
    depth = _load_depth(depth_path, (full_height, full_width), size)
    levels = 0 if depth.shape == size else min(levels, max(0, round(math.log2(box_width / width))))
    finest = height << levels, width << levels
    rgb, *finer = (_scaled(picture, (height << level, width << level), box) for level in range(levels + 1))
    depth_m = _on_grid(depth_path, depth, size, box)
    fine_depth_m = _on_grid(depth_path, depth, finest, box) if levels else None
    return RgbdImage(rgb, depth_m, camera, tuple(finer), fine_depth_m)


def _scaled(picture: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float]) -> np.ndarray:
    """(3, H, W) float32 in [0, 1] of the ``box`` of a picture at ``size`` (height, width)."""
    resized = picture.resize((size[1], size[0]), Image.Resampling.LANCZOS, box=box)
    rgb = np.asarray(resized, dtype=np.float32).transpose(2, 0, 1) / np.float32(255.0)
    return np.ascontiguousarray(rgb)


def placed(view: RgbdImage, c2w: np.ndarray) -> RgbdImage:
    """The same picture, its camera standing at ``c2w (4, 4)``."""
    return replace(view, camera=view.camera.posed(c2w))


def find_depth(image_path: Path) -> Path:
    """The depth file beside an image, by name; :class:`InputError` saying what was looked for if there is none."""
    names = [name.format(image_path.stem) for name in DEPTH_NAMES]
    for name in names:
        if (image_path.parent / name).is_file():
            return image_path.parent / name
    raise InputError(
        f"{image_path.name} needs depth to become a world; give a depth file (16-bit .png in millimetres or .npy in "
        f"metres) or put {names[0]} or {names[1]} beside it."
    )


def _check_file(path: Path, what: str) -> None:
    try:
        if not path.exists():
            raise InputError(f"The {what} {path} does not exist.")
        if not path.is_file():
            raise InputError(f"The {what} {path} is not a file.")
        length = path.stat().st_size
    except OSError as error:
        raise InputError(f"The {what} {path} cannot be read ({error.strerror}).") from error
    if length == 0:
        raise InputError(f"The {what} {path} is empty.")
    if length > MAX_FILE_BYTES:
        limit = f"{MAX_FILE_BYTES >> 20} MiB"
        raise InputError(f"The {what} {path.name} has {length >> 20} MiB, and up to {limit} are read; make it smaller.")


def _decoded(path: Path, what: str, formats: tuple[str, ...]) -> Image.Image:
    """The decoded picture. Its size is checked from the header, before any pixel is decoded."""
    _check_file(path, what)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own size warning; the limit below is ours
            with Image.open(path, formats=formats) as picture:
                width, height = picture.size
                if width * height > MAX_PIXELS:
                    raise InputError(
                        f"The {what} {path.name} has {width}x{height} pixels, and up to {MAX_PIXELS // 1_000_000} "
                        f"million are read; scale it down."
                    )
                if width < MIN_SIDE_PX or height < MIN_SIDE_PX:
                    raise InputError(
                        f"The {what} {path.name} has only {width}x{height} pixels; at least "
                        f"{MIN_SIDE_PX}x{MIN_SIDE_PX} are needed."
                    )
                picture.load()
                return picture
    except Image.DecompressionBombError as error:
        raise InputError(
            f"The {what} {path.name} has more than {MAX_PIXELS // 1_000_000} million pixels; scale it down."
        ) from error
    except UnidentifiedImageError as error:
        kinds = ", ".join(formats)
        raise InputError(f"The {what} {path.name} is no picture that can be read; use one of {kinds}.") from error
    except InputError:
        raise
    except Exception as error:  # decoders raise whatever a damaged file makes them trip over
        raise InputError(f"The {what} {path.name} is damaged ({str(error)[:80]}); copy or export it again.") from error


def _open_image(path: Path) -> Image.Image:
    picture = _decoded(path, "image", FORMATS)
    with suppress(Exception):  # a damaged EXIF block says nothing about the pixels: the picture is used as it lies
        picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I") or picture.mode == "F":
        values = np.asarray(picture, dtype=np.float64)
        top = 65535.0 if values.max() > 255.0 else 255.0
        picture = Image.fromarray((np.clip(values / top, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8))
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, (0, 0, 0, 255)), picture.convert("RGBA"))
    return picture.convert("RGB")


def _load_depth(path: Path, full: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Checked metres, inf for sky, as large as the ``full`` image or of the wanted ``size``."""
    suffix = path.suffix.lower()
    if suffix == ".png":
        picture = _decoded(path, "depth", ("PNG",))
        if not picture.mode.startswith("I"):
            raise InputError(
                f"The depth {path.name} is a {picture.mode} picture; depth PNGs have one channel of 16 bits, "
                f"in millimetres."
            )
        depth_m = np.asarray(picture, dtype=np.float64) * 1e-3
    elif suffix == ".npy":
        _check_file(path, "depth")
        depth_m = read_npy(path)
        if not np.issubdtype(depth_m.dtype, np.floating):
            raise InputError(f"The depth {path.name} holds text; it must hold metres.")
        if depth_m.ndim == 3 and 1 in (depth_m.shape[0], depth_m.shape[2]):
            depth_m = depth_m[0] if depth_m.shape[0] == 1 else depth_m[..., 0]
    else:
        raise InputError(f"The depth {path.name} ends in {suffix or 'nothing'}; use a 16-bit .png (mm) or a .npy (m).")
    if depth_m.ndim != 2 or depth_m.shape not in (full, size):
        shape = "x".join(map(str, depth_m.shape)) or "a single number"
        raise InputError(
            f"The depth {path.name} is {shape}, but the image is {full[0]}x{full[1]}; give depth of the image's size."
        )
    _check_depth(path, depth_m)
    return np.asarray(np.where(depth_m == 0.0, np.inf, depth_m))


def _on_grid(
    path: Path, depth_m: np.ndarray, size: tuple[int, int], box: tuple[float, float, float, float]
) -> np.ndarray:
    """(H, W) float32 of depth's ``box`` on the grid of ``size``; nearest sample, so that no depth is made up across
    edges."""
    if depth_m.shape != size:
        left, top, right, bottom = box
        rows = top + (np.arange(size[0]) + 0.5) * (bottom - top) / size[0]
        columns = left + (np.arange(size[1]) + 0.5) * (right - left) / size[1]
        rows = np.clip(rows.astype(np.int64), 0, depth_m.shape[0] - 1)
        columns = np.clip(columns.astype(np.int64), 0, depth_m.shape[1] - 1)
        depth_m = depth_m[np.ix_(rows, columns)]
        if not np.isfinite(depth_m).any():
            raise InputError(f"The depth {path.name} is nothing but sky in the part of the image that is used.")
    return np.ascontiguousarray(depth_m, dtype=np.float32)


def _check_depth(path: Path, depth_m: np.ndarray) -> None:
    """Refuse what is no depth, naming the first pixel (row, column) at fault."""
    for wrong, what in ((np.isnan(depth_m), "NaN"), (depth_m < 0.0, "negative")):
        if wrong.any():
            row, column = (int(v) for v in np.argwhere(wrong)[0])
            share = 100.0 * float(wrong.mean())
            raise InputError(
                f"The depth {path.name} is {what} at row {row}, column {column} ({share:.3g} % of it); write metres "
                f"greater than 0, and 0 or inf for sky."
            )
    seen = np.isfinite(depth_m) & (depth_m > 0.0)
    if not seen.any():
        raise InputError(f"The depth {path.name} holds no surface at all, only 0 or inf; check how it was exported.")
    if float(depth_m[seen].max()) > MAX_DEPTH_M:
        raise InputError(
            f"The depth {path.name} reaches {float(depth_m[seen].max()):.3g} m, and {MAX_DEPTH_M:g} m is the limit; "
            f"write metres, and inf for sky."
        )
    if float(np.median(depth_m[seen])) < 1e-3:
        raise InputError(
            f"The depth {path.name} is mostly less than a millimetre; a .png counts millimetres, a .npy metres."
        )
