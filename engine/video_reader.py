"""Reading films back: what a file holds, and its frames."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import av.error
import numpy as np
from PIL import Image

from engine.errors import InputError


@dataclass(frozen=True)
class VideoInfo:
    """What a film holds.

    Attributes:
        width, height: pixels.
        frames: counted, not taken from the header.
        fps: mean frames per second; 0 where the film does not say (a folder of PNGs).
        codec, pixel_format: FFmpeg's names.
        seconds: shown length; 0 where the film does not say.
        faststart: whether a player can start before the whole file has arrived (mp4: the index comes first).
    """

    width: int
    height: int
    frames: int
    fps: float
    codec: str
    pixel_format: str
    seconds: float
    faststart: bool


def read_frames(path: str | os.PathLike[str]) -> Iterator[np.ndarray]:
    """Yield each frame of an mp4, webm, gif or folder of PNGs as (H, W, 3) uint8 RGB.

    Raises:
        InputError: there is no such film, or it is damaged.
    """
    film = Path(path)
    if film.is_dir():
        for name in _pngs(film):
            with Image.open(name) as picture:
                yield np.asarray(picture.convert("RGB"))
        return
    with _open(film) as container:
        try:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24")
        except av.error.FFmpegError as error:
            raise InputError(f"The film {film} is damaged ({error}); write it again.") from error


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """What the film holds, by decoding all of it. Raises :class:`InputError` as :func:`read_frames` does."""
    film = Path(path)
    if film.is_dir():
        names = _pngs(film)
        with Image.open(names[0]) as picture:
            return VideoInfo(picture.width, picture.height, len(names), 0.0, "png", picture.mode, 0.0, True)
    with _open(film) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        try:
            count = sum(1 for _ in container.decode(video=0))
        except av.error.FFmpegError as error:
            raise InputError(f"The film {film} is damaged ({error}); write it again.") from error
        fps = float(stream.average_rate or 0.0)
        seconds = count / fps if fps else 0.0
        if container.duration and film.suffix.lower() == ".gif":
            seconds = container.duration / av.time_base
        faststart = _index_first(film) if film.suffix.lower() == ".mp4" else True
        return VideoInfo(
            context.width, context.height, count, fps, context.name, str(context.pix_fmt), seconds, faststart
        )


def _open(film: Path) -> av.container.InputContainer:
    if not film.is_file():
        raise InputError(f"There is no film {film}.")
    try:
        container = av.open(str(film))
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(f"{film} is not a film that can be read ({error}).") from error
    if not container.streams.video:
        container.close()
        raise InputError(f"{film} holds no picture.")
    return container


def _pngs(folder: Path) -> list[Path]:
    names = sorted(folder.glob("*.png"))
    if not names:
        raise InputError(f"The folder {folder} holds no PNG frames.")
    return names


def _index_first(film: Path) -> bool:
    """Whether an mp4's ``moov`` box comes before its ``mdat``."""
    with open(film, "rb") as stream:
        while True:
            header = stream.read(8)
            if len(header) < 8:
                return False
            length, kind = int.from_bytes(header[:4], "big"), header[4:]
            if kind == b"moov":
                return True
            if kind == b"mdat" or length < 8:
                return False
            stream.seek(length - 8, os.SEEK_CUR)
