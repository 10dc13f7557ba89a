"""Pictures of what is not a picture: coverage, depth, offsets, age, latents, points. Numpy in, uint8 RGB out.

The film layouts and the app's second view draw with the same functions, so a film shows what the app showed.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from engine.camera import Camera

INK = np.array([14, 17, 23], np.uint8)
"""Background of what is unknown."""
_HEAT = np.array(
    [[23, 27, 47], [52, 62, 120], [38, 121, 142], [60, 178, 140], [160, 215, 110], [252, 236, 170]], np.float64
)
_EMBER = np.array(
    [[31, 20, 52], [101, 34, 105], [178, 55, 92], [232, 104, 60], [250, 176, 64], [253, 240, 180]], np.float64
)


@lru_cache(maxsize=4)
def _table(name: str) -> np.ndarray:
    """(256, 3) uint8 colours, dark to bright."""
    anchors = _HEAT if name == "heat" else _EMBER
    at = np.linspace(0.0, len(anchors) - 1.0, 256)
    return (
        np.stack([np.interp(at, np.arange(len(anchors)), anchors[:, c]) for c in range(3)], axis=1)
        .round()
        .astype(np.uint8)
    )


def colourise(values: np.ndarray, table: str = "heat") -> np.ndarray:
    """``values (...)`` in [0, 1] (NaN: unknown) -> (..., 3) uint8."""
    known = np.isfinite(values)
    index = (np.clip(np.where(known, values, 0.0), 0.0, 1.0) * 255.0).astype(np.uint8)
    return np.where(known[..., None], _table(table)[index], INK)


def enlarge(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """``image (h, w, 3)`` to (height, width, 3), cells kept sharp."""
    rows = np.arange(height) * image.shape[0] // height
    columns = np.arange(width) * image.shape[1] // width
    return np.ascontiguousarray(image[rows[:, None], columns[None, :]])


def thumbnail(image: np.ndarray, height: int = 54) -> np.ndarray:
    """``image (H, W, 3)`` uint8 made ``height`` pixels high by area averaging, aspect kept."""
    from PIL import Image

    width = max(1, round(image.shape[1] * height / image.shape[0]))
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))


def coverage_image(coverage: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """``coverage (h, w)`` in [0, 1] over the dimmed ``frame (H, W, 3)``: bright where the memory knew, amber where it
    was invented.
    """
    height, width = frame.shape[:2]
    grey = frame.astype(np.float32).mean(axis=2, keepdims=True)
    share = enlarge(np.repeat(coverage[..., None].astype(np.float32), 3, axis=2), height, width)
    known = np.array([0.55, 0.95, 0.90], np.float32)
    invented = np.array([1.0, 0.62, 0.25], np.float32)
    tint = share * known + (1.0 - share) * invented
    return np.clip((0.25 + 0.55 * share) * grey * tint + 42.0 * (1.0 - share) * invented, 0, 255).astype(np.uint8)


def depth_image(inverse_depth: np.ndarray, height: int, width: int) -> np.ndarray:
    """``inverse_depth (hs, ws)`` 1/m, 0 is sky: log-depth from 1 m (bright) to 400 m (dark), sky as background."""
    with np.errstate(divide="ignore", invalid="ignore"):
        nearness = 1.0 + np.log(np.where(inverse_depth > 0.0, inverse_depth, np.nan)) / np.log(400.0)
    return enlarge(colourise(nearness, "ember"), height, width)


def offsets_image(offsets: np.ndarray, covered: np.ndarray, height: int, width: int) -> np.ndarray:
    """``offsets (2, h, w)`` in cells: hue is the direction, brightness the distance from the token's centre; ``covered
    (h, w)`` bool.
    """
    angle = np.arctan2(offsets[1], offsets[0])
    length = np.clip(np.hypot(offsets[0], offsets[1]) / 0.7, 0.0, 1.0)
    phase = angle[..., None] - np.array([0.0, 2.0, 4.0]) * np.pi / 3.0
    colour = (0.25 + 0.75 * length[..., None]) * (0.5 + 0.5 * np.cos(phase) * length[..., None])
    image = np.where(covered[..., None], (255.0 * colour).astype(np.uint8), INK)
    return enlarge(image, height, width)


def age_image(age_steps: np.ndarray, height: int, width: int) -> np.ndarray:
    """``age_steps (h, w)`` steps since each winner was written (-1: none): new is bright, old is dark, logarithmic."""
    age = np.where(age_steps >= 0, age_steps.astype(np.float64), np.nan)
    return enlarge(colourise(1.0 - np.log1p(age) / np.log1p(300.0)), height, width)


def latents_image(
    features: np.ndarray, covered: np.ndarray, basis: np.ndarray, mean: np.ndarray, height: int, width: int
) -> np.ndarray:
    """``features (C, h, w)`` through a PCA ``basis (C, 3)`` (columns scaled to unit deviation) around ``mean (C,)``;
    ``covered (h, w)`` bool.
    """
    flat = np.tensordot(features - mean[:, None, None], basis, axes=(0, 0))
    image = np.clip(127.5 + 55.0 * flat, 0, 255).astype(np.uint8)
    return enlarge(np.where(covered[..., None], image, INK), height, width)


def pca(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``features (n, C)`` -> basis (C, 3) whose projections have unit deviation, and mean (C,).

    Signs are fixed, so colours do not flip.
    """
    mean = features.mean(axis=0)
    centred = features - mean
    values, vectors = np.linalg.eigh(centred.T @ centred / max(1, len(features)))
    basis = vectors[:, ::-1][:, :3]
    basis = basis * np.where(np.abs(basis).max(axis=0) == basis.max(axis=0), 1.0, -1.0)
    return basis / np.sqrt(np.maximum(values[::-1][:3], 1e-8)), mean


def points_image(positions_m: np.ndarray, colours: np.ndarray, camera: Camera, size_px: int = 2) -> np.ndarray:
    """``positions_m (n, 3)`` with ``colours (n, 3)`` uint8 seen from ``camera``, nearest in front; (height, width, 3)
    uint8.
    """
    height, width = camera.size
    image = np.tile(INK, (height, width, 1))
    seen = positions_m @ camera.w2c[:3, :3].T + camera.w2c[:3, 3]
    front = seen[:, 2] > 0.1
    seen, colours = seen[front], colours[front]
    u = (camera.K[0, 0] * seen[:, 0] / seen[:, 2] + camera.K[0, 2]).astype(np.int64)
    v = (camera.K[1, 1] * seen[:, 1] / seen[:, 2] + camera.K[1, 2]).astype(np.int64)
    order = np.argsort(-seen[:, 2], kind="stable")  # far first: the nearest is painted last
    u, v, colours, depth_m = u[order], v[order], colours[order], seen[order, 2]
    shade = np.clip(1.15 - 0.16 * np.log1p(depth_m), 0.35, 1.0)[:, None]
    shaded = (colours * shade).astype(np.uint8)
    for dv in range(size_px):
        for du in range(size_px):
            inside = (u + du >= 0) & (u + du < width) & (v + dv >= 0) & (v + dv < height)
            image[v[inside] + dv, u[inside] + du] = shaded[inside]
    return image


def chase_camera(camera: Camera, distance_m: float = 14.0, height_m: float = 9.0) -> Camera:
    """A level view from behind and above ``camera``, for looking at the memory around it."""
    flat = camera.forward * np.array([1.0, 1.0, 0.0])
    flat = flat / max(1e-6, float(np.linalg.norm(flat)))
    eye = camera.position - distance_m * flat + np.array([0.0, 0.0, height_m])
    target = camera.position + distance_m * flat
    return Camera.look_at(eye, target, max(50.0, camera.fov_deg), camera.width, camera.height)


@lru_cache(maxsize=64)
def _stamp(text: str, size_px: int) -> np.ndarray:
    """(h, w) float32 in [0, 1]: ``text`` as coverage."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=size_px)
    left, top, right, bottom = font.getbbox(text)
    canvas = Image.new("L", (int(right - left) + 2, int(bottom - top) + 2))
    ImageDraw.Draw(canvas).text((1 - left, 1 - top), text, fill=255, font=font)
    return np.asarray(canvas, np.float32) / 255.0


def label(image: np.ndarray, text: str) -> np.ndarray:
    """A copy of ``image (H, W, 3)`` uint8 with small ``text`` at the lower left on a darkened patch."""
    size_px = max(9, image.shape[0] // 22)
    stamp = _stamp(text, size_px)
    pad = size_px // 3
    h, w = min(stamp.shape[0], image.shape[0] - 3 * pad), min(stamp.shape[1], image.shape[1] - 3 * pad)
    if h <= 0 or w <= 0:
        return image
    out = image.copy()
    bottom, left = image.shape[0] - pad, pad
    patch = out[bottom - h - 2 * pad : bottom, left : left + w + 2 * pad]
    patch[:] = (0.45 * patch).astype(np.uint8)
    text_area = patch[pad : pad + h, pad : pad + w].astype(np.float32)
    ink = stamp[:h, :w, None]
    patch[pad : pad + h, pad : pad + w] = (text_area * (1.0 - ink) + 235.0 * ink).astype(np.uint8)
    return out


def beside(*images: np.ndarray) -> np.ndarray:
    """Images (H, W_i, 3) of one height in a row, with a thin dark line between them; the width is kept even."""
    height = images[0].shape[0]
    line = np.tile(INK, (height, 2, 1))
    row: list[np.ndarray] = []
    for image in images:
        row += [image, line]
    joined = np.concatenate(row[:-1], axis=1)
    return np.ascontiguousarray(joined[:, : joined.shape[1] // 2 * 2])
