"""Films: frames in, one playable file out.

The kind of film follows from the name: ``.mp4`` (H.264, yuv420p, faststart), ``.webm`` (VP9), ``.gif``, or a folder
of PNGs (a name without an ending, or with a closing slash). Everything is written beside the target under a temporary
name and renamed when it is whole, so a film is either there and playable or not there at all; closing early, by an
error or by Ctrl-C, keeps the frames so far.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import av.error
import numpy as np
from PIL import Image

from engine.atomic import check_writable_parent
from engine.camera_path import fps_fraction
from engine.errors import InputError

MAX_SIDE_PX = 8192
MAX_GIF_BYTES = 1 << 30
PALETTE_PIXELS = 8192
MAX_PNG_FRAMES = 1_000_000
MAX_NAME_BYTES = 200
"""Shorter than what file systems allow, for the temporary file's name is a little longer."""
KINDS = {
    ".mp4": "mp4 (H.264)",
    ".webm": "webm (VP9)",
    ".gif": "gif",
    "": "a folder of PNGs (a name without an ending, or with a closing slash)",
}
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def kind_of(path: str | os.PathLike[str]) -> str:
    """``.mp4``, ``.webm``, ``.gif`` or ``""`` (folder of PNGs); :class:`InputError` for any other ending."""
    text = os.fspath(path)
    if "\0" in text or len(os.path.basename(text).encode("utf-8", "replace")) > MAX_NAME_BYTES:
        raise InputError(f"The film's name {text[:40]!r}... cannot be a file name; choose a shorter, plainer one.")
    if text.endswith(("/", os.sep)) or Path(text).is_dir():
        return ""
    suffix = Path(text).suffix.lower()
    if suffix not in KINDS:
        raise InputError(f"{Path(text).name} ends in {suffix}, which is no film Mirage writes; use {_kinds()}.")
    return suffix


def _kinds() -> str:
    return ", ".join([".mp4", ".webm", ".gif"]) + " or a folder name for PNGs"


def check_output(path: str | os.PathLike[str], size: tuple[int, int] | None = None, fps: float = 24.0) -> None:
    """Raise :class:`InputError` for everything about a film that can be known before its first frame.

    That is: an unknown ending, a missing or read-only folder, a folder of PNGs that is not empty, a codec this machine
    lacks, a size (height, width) or a frame rate that the format cannot hold.
    """
    kind = kind_of(path)
    target = Path(path)
    rate = fps_fraction(fps)
    if kind == "":
        if target.exists() and not target.is_dir():
            raise InputError(f"{target} is a file, not a folder; choose another place for the frames.")
        if target.is_dir() and any(target.iterdir()):
            raise InputError(f"The folder {target} is not empty; choose a new one so that no two films mix.")
    elif target.is_dir():
        raise InputError(f"{target} is a folder; give a file name that ends in {kind}.")
    check_writable_parent(target.absolute())
    if kind in _CODECS and not has_encoder(_CODECS[kind]):
        raise InputError(
            f"This PyAV build lacks the {_CODECS[kind]} encoder that {kind} needs; write another kind ({_kinds()}) or "
            f"reinstall PyAV with: pip install --force-reinstall av."
        )
    if kind == ".gif" and rate > 50:
        raise InputError(f"A gif plays at most 50 frames per second; {fps:g} were asked for.")
    if size is not None:
        _check_size(kind, target, size)


def _check_size(kind: str, target: Path, size: tuple[int, int]) -> None:
    height, width = size
    if not (1 <= height <= MAX_SIDE_PX and 1 <= width <= MAX_SIDE_PX):
        raise InputError(f"Frames of a film have sides of 1 to {MAX_SIDE_PX} pixels; {height}x{width} was asked for.")
    if kind in _CODECS and (height % 2 or width % 2 or min(height, width) < 16):
        even = f"{max(16, height + height % 2)}x{max(16, width + width % 2)}"
        raise InputError(
            f"{target.name} needs frames with even sides of at least 16 pixels (yuv420p); {height}x{width} was given, "
            f"the nearest that fits is {even}."
        )


_CODECS = {".mp4": "libx264", ".webm": "libvpx-vp9"}


def has_encoder(codec: str) -> bool:
    """Whether this PyAV build can encode ``codec``."""
    try:
        av.codec.Codec(codec, "w")
    except (av.error.FFmpegError, ValueError):
        return False
    return True


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    """Turn what the system says while a film is written into one sentence."""
    try:
        yield
    except OSError as error:  # PyAV's errors with an errno are OSErrors as well
        if error.errno in NO_ROOM:
            raise InputError(
                f"There is no room left for {target.name} in {target.parent}; free some space or write it elsewhere."
            ) from error
        raise InputError(f"{target} cannot be written ({error.strerror or error}); choose another place.") from error
    except av.error.FFmpegError as error:
        raise InputError(f"{target.name} cannot be encoded ({error}); try another ending ({_kinds()}).") from error


class _Sink(ABC):
    """One film being written under a temporary name. ``size`` is (height, width)."""

    def __init__(self, target: Path, fps: Fraction, size: tuple[int, int], crf: int) -> None:
        self.target, self.fps, self.size, self.crf = target, fps, size, crf
        self.temporary = self._reserve()

    def _reserve(self) -> Path:
        handle, name = tempfile.mkstemp(
            prefix=f".{self.target.stem}-", suffix=self.target.suffix, dir=self.target.parent
        )
        os.close(handle)
        return Path(name)

    @abstractmethod
    def add(self, rgb: np.ndarray) -> None:
        """Take one frame (H, W, 3) uint8, contiguous."""

    @abstractmethod
    def finish(self) -> None:
        """Complete the temporary film; nothing may be added afterwards."""

    def publish(self) -> None:
        """Give the finished film its name."""
        with open(self.temporary, "rb+") as written:
            os.fsync(written.fileno())
        umask = os.umask(0)
        os.umask(umask)
        self.temporary.chmod(0o666 & ~umask)
        os.replace(self.temporary, self.target)

    def discard(self) -> None:
        """Remove whatever was written."""
        self.temporary.unlink(missing_ok=True)


class _Encoded(_Sink):
    """mp4 or webm through FFmpeg."""

    def __init__(self, target: Path, fps: Fraction, size: tuple[int, int], crf: int) -> None:
        super().__init__(target, fps, size, crf)
        self._open_container: av.container.OutputContainer | None = None
        try:
            self._open()
        except BaseException:
            self.discard()
            raise

    @property
    def _container(self) -> av.container.OutputContainer:
        if self._open_container is None:
            raise InputError(f"{self.target.name} is already finished; open a new film for more frames.")
        return self._open_container

    def _open(self) -> None:
        mp4 = self.target.suffix.lower() == ".mp4"
        options = {"movflags": "+faststart"} if mp4 else {}
        form = "mp4" if mp4 else "webm"
        self._open_container = av.open(str(self.temporary), "w", format=form, options=options)
        stream = self._container.add_stream(_CODECS[self.target.suffix.lower()], rate=self.fps)
        stream.height, stream.width = self.size
        stream.pix_fmt = "yuv420p"
        stream.time_base = 1 / self.fps
        if mp4:
            stream.options = {"crf": str(self.crf), "preset": "veryfast"}
        else:
            quality = {"crf": str(min(63, self.crf + 10)), "b": "0"}
            stream.options = {**quality, "deadline": "good", "cpu-used": "5", "row-mt": "1"}
        context = stream.codec_context
        # Say which matrix the colours went through: players otherwise guess by the size of the picture.
        context.color_range, context.colorspace = 1, 1
        context.color_primaries, context.color_trc = 1, 1
        self._stream = stream
        self._count = 0

    def add(self, rgb: np.ndarray) -> None:
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
        frame = frame.reformat(
            format="yuv420p", dst_colorspace="ITU709", src_color_range="JPEG", dst_color_range="MPEG"
        )
        frame.pts, frame.time_base = self._count, 1 / self.fps
        self._count += 1
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        self._container.mux(self._stream.encode(None))
        container, self._open_container = self._container, None
        container.close()

    def discard(self) -> None:
        if self._open_container is not None:
            container, self._open_container = self._open_container, None
            with suppress(OSError, av.error.FFmpegError):  # thrown away anyway: its end need not reach the disk
                container.close()
        super().discard()


class _Gif(_Sink):
    """An endless gif. Frames wait as 8-bit palettes, for the format wants its frames at once."""

    def __init__(self, target: Path, fps: Fraction, size: tuple[int, int], crf: int) -> None:
        super().__init__(target, fps, size, crf)
        self._frames: list[Image.Image] = []

    def add(self, rgb: np.ndarray) -> None:
        if (len(self._frames) + 1) * rgb.shape[0] * rgb.shape[1] > MAX_GIF_BYTES:
            raise InputError(
                f"{self.target.name} would hold more than {len(self._frames):,} frames of {rgb.shape[0]}x{rgb.shape[1]}"
                ", too many for a gif; write an mp4 instead."
            )
        picture = Image.fromarray(rgb)
        # Colours chosen on a small copy are nearly as good (0.2 dB) and cost a tenth.
        shrink = max(1, math.isqrt(picture.width * picture.height // PALETTE_PIXELS))
        palette = picture.reduce(shrink).quantize(256, Image.Quantize.MEDIANCUT)
        self._frames.append(picture.quantize(palette=palette, dither=Image.Dither.NONE))

    def finish(self) -> None:
        # A gif counts hundredths of a second: carry the rounding along so that the whole film keeps its length.
        ends = [round(Fraction(100 * (i + 1)) / self.fps) for i in range(len(self._frames))]
        starts = [0, *ends[:-1]]
        durations_ms = [10 * max(2, end - start) for start, end in zip(starts, ends, strict=True)]
        first, rest = self._frames[0], self._frames[1:]
        first.save(self.temporary, "GIF", save_all=True, append_images=rest, duration=durations_ms, loop=0, disposal=1)


class _Folder(_Sink):
    """Numbered PNGs."""

    def _reserve(self) -> Path:
        self._count = 0
        return Path(tempfile.mkdtemp(prefix=f".{self.target.name}-", dir=self.target.parent))

    def add(self, rgb: np.ndarray) -> None:
        if self._count >= MAX_PNG_FRAMES:
            raise InputError(f"A folder of PNGs holds at most {MAX_PNG_FRAMES:,} frames; write an mp4 instead.")
        Image.fromarray(rgb).save(self.temporary / f"frame_{self._count:06d}.png", compress_level=4)
        self._count += 1

    def finish(self) -> None:
        pass

    def publish(self) -> None:
        umask = os.umask(0)
        os.umask(umask)
        self.temporary.chmod(0o777 & ~umask)
        os.replace(self.temporary, self.target)  # an empty folder gives way, one that was filled meanwhile does not

    def discard(self) -> None:
        shutil.rmtree(self.temporary, ignore_errors=True)


class FrameWriter:
    """Writes a film frame by frame; a context manager.

    Leaving the block normally, by Ctrl-C or by any other exception finishes the film with the frames so far, if there
    is at least one. Only a failure of the writing itself (no room, no permission) leaves nothing behind.

    Args:
        path: where the finished film goes; its ending decides the kind (see the module's docstring).
        fps: frames per second.
        size: (height, width), to be checked before the first frame; otherwise the first frame's own.
        crf: quality of mp4 and webm, lower is better and larger (0 to 51).

    Raises:
        InputError: from the constructor as :func:`check_output` says; later when the disk is full.
    """

    def __init__(
        self, path: str | os.PathLike[str], fps: float = 24.0, size: tuple[int, int] | None = None, crf: int = 18
    ) -> None:
        if not 0 <= crf <= 51:
            raise InputError(f"The quality (crf) of a film lies between 0 and 51; {crf} was asked for.")
        check_output(path, size, fps)
        self.kind = kind_of(path)
        self.path = Path(path).absolute()
        self.fps = fps_fraction(fps)
        self.frames = 0
        self._size = size
        self._crf = crf
        self._sink: _Sink | None = None
        self._closed = False

    def write(self, rgb: np.ndarray) -> None:
        """Add one frame, (H, W, 3) uint8; all frames have the size of the first."""
        if self._closed:
            raise InputError(f"{self.path.name} is already finished; open a new film for more frames.")
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
            raise InputError(f"A film takes frames of (height, width, 3) uint8; it got {rgb.shape} {rgb.dtype}.")
        size = (rgb.shape[0], rgb.shape[1])
        if self._size is not None and size != self._size:
            raise InputError(
                f"Every frame of {self.path.name} must be {self._size[0]}x{self._size[1]}; "
                f"one of {size[0]}x{size[1]} came."
            )
        try:
            with _explained(self.path):
                if self._sink is None:
                    _check_size(self.kind, self.path, size)
                    sink = {".gif": _Gif, "": _Folder}.get(self.kind, _Encoded)
                    self._sink = sink(self.path, self.fps, size, self._crf)
                    self._size = size
                self._sink.add(np.ascontiguousarray(rgb))
        except InputError:
            self.discard()
            raise
        self.frames += 1

    def close(self) -> None:
        """Finish the film and give it its name; without a single frame nothing is left. Closing twice does no harm."""
        if self._closed:
            return
        if self._sink is None or self.frames == 0:
            self.discard()
            return
        try:
            with _explained(self.path):
                self._sink.finish()
                self._sink.publish()
        except BaseException:
            self.discard()
            raise
        self._closed, self._sink = True, None

    def discard(self) -> None:
        """Stop and leave nothing behind."""
        self._closed = True
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.discard()

    def __enter__(self) -> FrameWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
