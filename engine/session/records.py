"""Generated frames as they are kept: JPEG for the eye, half-precision depth for meshes, and what is known of the step.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from engine.camera import Camera
from engine.errors import SessionError
from engine.messages import MemoryStats, StepResult, StepSummary
from engine.panels import thumbnail
from engine.session.container import parse_json
from engine.session.fields import MAX_SIDE_PX, Fields, camera_to_json

JPEG_QUALITY = 95
MAX_FRAMES = 1_000_000


@dataclass(frozen=True, eq=False)
class FrameRecord:
    """One step as it is kept.

    Attributes:
        summary: cameras, counts and timings, with the thumbnail.
        jpeg: the frame, as fine as it was drawn; empty when only the summary was kept.
        inverse_depth: (hs, ws) float16, 1/m, 0 is sky. coverage: (h, w) float16.
    """

    summary: StepSummary
    jpeg: bytes
    inverse_depth: np.ndarray
    coverage: np.ndarray

    @classmethod
    def of(cls, result: StepResult, refinement: int = 0) -> FrameRecord:
        """Keep ``result``."""
        return cls(
            summarise(result, refinement),
            encode_jpeg(result.picture),
            result.inverse_depth.astype(np.float16),
            result.coverage.astype(np.float16),
        )

    def picture(self) -> np.ndarray:
        """(H, W, 3) uint8 or a multiple of that size: the finest picture that was kept."""
        return decode_jpeg(self.jpeg)

    def rgb(self) -> np.ndarray:
        """(H, W, 3) uint8, of the camera's size."""
        return _reduced(self.picture(), self.summary.camera.size)

    def result(self) -> StepResult:
        """The step again, as far as it was kept."""
        summary = self.summary
        picture = self.picture()
        rgb = _reduced(picture, summary.camera.size)
        return StepResult(
            index=summary.index,
            node=summary.node,
            camera=summary.camera,
            rgb=rgb,
            fine_rgb=picture if picture is not rgb else None,
            inverse_depth=self.inverse_depth.astype(np.float32),
            coverage=self.coverage.astype(np.float32),
            readout_rgb=None,
            timings_ms=dict(summary.timings_ms),
            steps=summary.steps,
            tokens_written=summary.tokens_written,
            tokens_superseded=0,
            stats=MemoryStats(tokens_living=summary.tokens_living, mib=summary.mib),
            renewed=summary.renewed,
        )


def summarise(result: StepResult, refinement: int = 0) -> StepSummary:
    """The small form of a step."""
    columns = np.array_split(result.coverage.mean(axis=0), 16)
    return StepSummary(
        index=result.index,
        node=result.node,
        camera=result.camera,
        thumbnail=thumbnail(result.rgb),
        coverage_mean=result.coverage_mean,
        coverage_strip=np.array([part.mean() if part.size else 0.0 for part in columns], np.float32),
        tokens_written=result.tokens_written,
        tokens_living=result.stats.tokens_living,
        mib=result.stats.mib,
        timings_ms=dict(result.timings_ms),
        steps=result.steps,
        refinement=refinement,
        renewed=result.renewed,
    )


def _reduced(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """``picture`` itself if it is of ``size`` (height, width) already, else averaged down to it."""
    if picture.shape[:2] == size:
        return picture
    from PIL import Image

    return np.asarray(Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.BOX))


def encode_jpeg(rgb: np.ndarray) -> bytes:
    """``rgb (H, W, 3)`` uint8 as JPEG with full colour resolution."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def decode_jpeg(data: bytes) -> np.ndarray:
    """(H, W, 3) uint8.

    Raises:
        SessionError: not a JPEG of a sane size.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            if max(image.size) > MAX_SIDE_PX:
                raise SessionError(
                    f"A frame in the session is {image.size[0]}x{image.size[1]} pixels, more than {MAX_SIDE_PX} a side."
                )
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise SessionError(
            f"A frame in the session is not a readable JPEG ({error}); open an earlier copy of it."
        ) from error


class FrameStore:
    """Frames of the open world, in the order they were made.

    Pixels of the oldest go when there are more than ``limit``.
    """

    def __init__(self, limit: int = 2000) -> None:
        self._limit = limit
        self._records: list[FrameRecord] = []
        self._by_node: dict[int, FrameRecord] = {}
        self._pixels_from = 0

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[FrameRecord]:
        return iter(self._records)

    def add(self, record: FrameRecord) -> None:
        """Append; a refinement takes the place of the frame it refines for :meth:`at_node`."""
        self._records.append(record)
        self._by_node[record.summary.node] = record
        while len(self._records) - self._pixels_from > self._limit:
            self._replace(self._pixels_from, replace(self._records[self._pixels_from], jpeg=b""))
            self._pixels_from += 1

    def _replace(self, position: int, record: FrameRecord) -> None:
        node = record.summary.node
        if self._by_node.get(node) is self._records[position]:
            self._by_node[node] = record
        self._records[position] = record

    def since(self, position: int) -> list[FrameRecord]:
        """Records from ``position`` on."""
        return self._records[position:]

    def at_node(self, node: int) -> FrameRecord | None:
        """The newest frame with pixels that ended at ``node``."""
        record = self._by_node.get(node)
        return record if record is not None and record.jpeg else None

    def at_index(self, index: int) -> FrameRecord | None:
        """The frame of a step."""
        return next((record for record in reversed(self._records) if record.summary.index == index), None)

    def nearest(self, camera: Camera, before: int, nodes: set[int] | None = None) -> FrameRecord | None:
        """The frame with pixels older than step ``before`` whose view is most like ``camera``: the last visit to this
        place.

        The distance is metres plus 4 m a radian, and at most 2 of it; ``nodes`` limits the search to a branch.
        """
        usable = [
            r
            for r in self._records
            if r.jpeg and r.summary.index < before and (nodes is None or r.summary.node in nodes)
        ]
        if not usable:
            return None
        poses = np.stack([record.summary.camera.c2w for record in usable])
        distance = np.linalg.norm(poses[:, :3, 3] - camera.position, axis=1)
        distance += 4.0 * np.arccos(np.clip(poses[:, :3, 2] @ camera.forward, -1.0, 1.0))
        best = int(np.lexsort((-np.arange(len(usable)), distance))[0])
        return usable[best] if distance[best] < 2.0 else None


def pack_records(records: Iterable[FrameRecord]) -> dict[str, np.ndarray]:
    """Arrays of a ``frames-<n>.safetensors`` file."""
    tensors: dict[str, np.ndarray] = {}
    known: list[dict[str, Any]] = []
    for position, record in enumerate(records):
        summary = record.summary
        tensors[f"{position}.jpeg"] = np.frombuffer(record.jpeg or b"\0", np.uint8)
        tensors[f"{position}.thumbnail"] = np.frombuffer(encode_jpeg(summary.thumbnail), np.uint8)
        tensors[f"{position}.inverse_depth"] = np.ascontiguousarray(record.inverse_depth)
        tensors[f"{position}.coverage"] = np.ascontiguousarray(record.coverage)
        known.append(
            {
                "index": summary.index,
                "node": summary.node,
                "camera": camera_to_json(summary.camera),
                "tokens_written": summary.tokens_written,
                "tokens_living": summary.tokens_living,
                "mib": round(float(summary.mib), 4),
                "timings_ms": {stage: round(float(ms), 3) for stage, ms in summary.timings_ms.items()},
                "steps": summary.steps,
                "refinement": summary.refinement,
                "renewed": summary.renewed,
                "pixels": bool(record.jpeg),
            }
        )
    tensors["known"] = np.frombuffer(json.dumps({"frames": known}, allow_nan=False).encode(), np.uint8)
    return tensors


def unpack_records(tensors: dict[str, np.ndarray], place: str) -> list[FrameRecord]:
    """The inverse of :func:`pack_records`, everything checked.

    Raises:
        SessionError: something is missing or of the wrong kind.
    """
    if "known" not in tensors or tensors["known"].dtype != np.uint8:
        raise SessionError(f"{place} in the session says nothing about its frames; open an earlier copy of it.")
    known = Fields(parse_json(tensors["known"].tobytes(), place), place)
    return [
        _unpack_record(tensors, position, Fields(values, place))
        for position, values in enumerate(known.items("frames", MAX_FRAMES))
    ]


def _unpack_record(tensors: dict[str, np.ndarray], position: int, fields: Fields) -> FrameRecord:
    def array(name: str, kind: str, dimensions: int) -> np.ndarray:
        value = tensors.get(f"{position}.{name}")
        if value is None or value.dtype.kind != kind or value.ndim != dimensions or not value.size:
            raise SessionError(
                f"{fields.place} in the session lacks the {name} of frame {position}; open an earlier copy of it."
            )
        return value

    timings = fields.object("timings_ms")
    coverage = array("coverage", "f", 2)
    inverse_depth = array("inverse_depth", "f", 2)
    if coverage.min() < 0 or coverage.max() > 1 or inverse_depth.min() < 0:
        raise SessionError(
            f"{fields.place} in the session has values out of range (frame {position}); open an earlier copy of it."
        )
    jpeg = array("jpeg", "u", 1).tobytes() if fields.flag("pixels") else b""
    if jpeg and not jpeg.startswith(b"\xff\xd8"):
        raise SessionError(
            f"Frame {position} of {fields.place} in the session is not a JPEG; open an earlier copy of it."
        )
    columns = np.array_split(coverage.astype(np.float32).mean(axis=0), 16)
    summary = StepSummary(
        index=fields.integer("index", 0, 2**40),
        node=fields.integer("node", 0, 2**40),
        camera=fields.camera("camera"),
        thumbnail=decode_jpeg(array("thumbnail", "u", 1).tobytes()),
        coverage_mean=float(coverage.astype(np.float32).mean()),
        coverage_strip=np.array([part.mean() if part.size else 0.0 for part in columns], np.float32),
        tokens_written=fields.integer("tokens_written", 0, 2**40),
        tokens_living=fields.integer("tokens_living", 0, 2**40),
        mib=fields.number("mib", 0.0, 1e9),
        timings_ms={stage: timings.number(stage, 0.0, 1e9) for stage in timings.values},
        steps=fields.integer("steps", 0, 10_000),
        refinement=fields.integer("refinement", 0, 10_000),
        renewed=fields.flag("renewed"),
    )
    return FrameRecord(summary, jpeg, inverse_depth.astype(np.float16), coverage.astype(np.float16))
