"""Pictures with depth: geometry that fits, and one sentence for everything that is none."""

from __future__ import annotations

import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.errors import InputError
from engine.images import RgbdImage, find_depth, load_rgbd, placed


def gradient(height: int = 64, width: int = 112) -> np.ndarray:
    """(H, W, 3) uint8; red grows to the right, green downwards."""
    v, u = np.mgrid[0:height, 0:width]
    return np.stack([255 * u // (width - 1), 255 * v // (height - 1), np.full_like(u, 40)], axis=-1).astype(np.uint8)


def save(folder: Path, rgb: np.ndarray, depth_m: np.ndarray, name: str = "photo.png") -> tuple[Path, Path]:
    Image.fromarray(rgb).save(folder / name)
    np.save(folder / "depth.npy", depth_m)
    return folder / name, folder / "depth.npy"


def refused(image: Path, depth: Path | None, *words: str, **keywords: object) -> None:
    with pytest.raises(InputError) as caught:
        load_rgbd(image, depth, size=(64, 112), **keywords)  # type: ignore[arg-type]
    sentence = str(caught.value)
    assert all(word in sentence for word in words), sentence
    assert sentence.endswith(".") and "\n" not in sentence


def test_same_size_is_taken_as_it_is(tmp_path: Path) -> None:
    rgb = gradient()
    depth_m = np.linspace(1.0, 50.0, 64 * 112).reshape(64, 112)
    view = load_rgbd(*save(tmp_path, rgb, depth_m), fov_deg=60.0, size=(64, 112))
    np.testing.assert_allclose(view.rgb, rgb.transpose(2, 0, 1) / 255.0, atol=1e-6)
    np.testing.assert_allclose(view.depth_m, depth_m, rtol=1e-6)
    assert view.rgb.dtype == view.depth_m.dtype == np.float32
    assert view.camera.fov_deg == pytest.approx(60.0) and view.camera.size == (64, 112)
    np.testing.assert_allclose(view.camera.forward, [1, 0, 0], atol=1e-12)


@pytest.mark.parametrize(("height", "width"), [(128, 448), (256, 224), (64, 64), (100, 300), (480, 640)])
def test_cropping_keeps_every_pixel_on_its_ray(tmp_path: Path, height: int, width: int) -> None:
    """The colour encodes where a pixel was in the whole image; the new intrinsics must send the same ray there."""
    image, depth = save(tmp_path, gradient(height, width), np.full((height, width), 5.0))
    view = load_rgbd(image, depth, fov_deg=70.0, size=(64, 112))
    focal = 0.5 * height / np.tan(np.radians(35.0))
    for v, u in ((5, 7), (40, 100), (32, 56)):
        ray = np.linalg.inv(view.camera.K) @ [u + 0.5, v + 0.5, 1.0]
        seen_u, seen_v = focal * ray[0] + 0.5 * width - 0.5, focal * ray[1] + 0.5 * height - 0.5
        assert view.rgb[0, v, u] * (width - 1) == pytest.approx(seen_u, abs=0.02 * width)
        assert view.rgb[1, v, u] * (height - 1) == pytest.approx(seen_v, abs=0.02 * height)
    assert view.camera.K[0, 0] == pytest.approx(view.camera.K[1, 1])


def test_depth_follows_the_crop_without_mixing(tmp_path: Path) -> None:
    depth_m = np.full((128, 448), 3.0)
    depth_m[:, 224:] = 90.0
    image, depth = save(tmp_path, gradient(128, 448), depth_m)
    view = load_rgbd(image, depth, size=(64, 112))
    assert set(np.unique(view.depth_m)) == {3.0, 90.0}
    assert (view.depth_m[:, :56] == 3.0).all() and (view.depth_m[:, 56:] == 90.0).all()
    np.save(depth, np.full((64, 112), 7.0))  # already at the wanted size
    assert (load_rgbd(image, depth, size=(64, 112)).depth_m == 7.0).all()


def test_png_depth_counts_millimetres_and_zero_is_sky(tmp_path: Path) -> None:
    millimetres = np.full((64, 112), 2500, np.uint16)
    millimetres[:20] = 0
    Image.fromarray(gradient()).save(tmp_path / "photo.jpg")
    Image.fromarray(millimetres).save(tmp_path / "photo_depth.png")
    view = load_rgbd(tmp_path / "photo.jpg", size=(64, 112))
    assert np.isinf(view.depth_m[:20]).all()
    np.testing.assert_allclose(view.depth_m[20:], 2.5)


def test_infinity_in_npy_is_sky_and_shapes_with_one_channel_work(tmp_path: Path) -> None:
    depth_m = np.full((64, 112), 4.0, np.float16)
    depth_m[:10] = np.inf
    for array in (depth_m[None], depth_m[..., None], depth_m):
        view = load_rgbd(*save(tmp_path, gradient(), array), size=(64, 112))
        assert np.isinf(view.depth_m[:10]).all() and (view.depth_m[10:] == 4.0).all()


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "1"])
def test_other_kinds_of_pictures(tmp_path: Path, mode: str) -> None:
    Image.fromarray(gradient()).convert(mode).save(tmp_path / ("x.jpg" if mode == "CMYK" else "x.png"))
    _, depth = save(tmp_path, gradient(), np.ones((64, 112)))
    view = load_rgbd(tmp_path / ("x.jpg" if mode == "CMYK" else "x.png"), depth, size=(64, 112))
    assert view.rgb.shape == (3, 64, 112) and 0.0 <= view.rgb.min() <= view.rgb.max() <= 1.0


def test_sixteen_bit_grey_and_orientation(tmp_path: Path) -> None:
    grey = np.tile(np.linspace(0, 65535, 112).astype(np.uint16), (64, 1))
    Image.fromarray(grey).save(tmp_path / "grey.png")
    _, depth = save(tmp_path, gradient(), np.ones((64, 112)))
    view = load_rgbd(tmp_path / "grey.png", depth, size=(64, 112))
    np.testing.assert_allclose(view.rgb[1, 0], np.linspace(0, 1, 112), atol=0.005)
    exif = Image.Exif()
    exif[0x0112] = 3  # the camera was held upside down
    Image.fromarray(gradient()).save(tmp_path / "turned.png", exif=exif)
    turned = load_rgbd(tmp_path / "turned.png", depth, size=(64, 112))
    np.testing.assert_allclose(turned.rgb, gradient()[::-1, ::-1].transpose(2, 0, 1) / 255.0, atol=1e-6)


@pytest.mark.parametrize(("height", "width", "levels"), [(64, 112, 0), (80, 140, 0), (128, 224, 1), (480, 640, 2)])
def test_a_larger_picture_keeps_as_many_scales_as_it_has_pixels_for(
    tmp_path: Path, height: int, width: int, levels: int
) -> None:
    depth_m = np.tile(np.linspace(2.0, 20.0, width), (height, 1))
    image, depth = save(tmp_path, gradient(height, width), depth_m)
    view = load_rgbd(image, depth, size=(64, 112), levels=2)
    assert len(view.finer) == len(view.pyramid.finer) == levels
    for level, rgb in enumerate(view.finer, start=1):
        small = rgb.reshape(3, 64, 1 << level, 112, 1 << level).mean((2, 4))
        np.testing.assert_allclose(small, view.rgb, atol=0.02)
    if levels:
        assert view.fine_depth_m is not None and view.fine_depth_m.shape == view.finer[-1].shape[1:]
        middle = view.fine_depth_m[:, :: 1 << levels]
        np.testing.assert_allclose(middle[:: 1 << levels], view.depth_m, atol=0.2)
    assert not load_rgbd(image, depth, size=(64, 112)).finer


def test_depth_of_a_frames_size_has_no_finer_scales(tmp_path: Path) -> None:
    image, depth = save(tmp_path, gradient(256, 448), np.full((64, 112), 5.0))
    assert not load_rgbd(image, depth, size=(64, 112), levels=2).finer


def test_depth_beside_the_image_is_found_or_named(tmp_path: Path) -> None:
    image, depth = save(tmp_path, gradient(), np.ones((64, 112)))
    depth.unlink()
    refused(image, None, "photo.png needs depth", "photo_depth.npy")
    np.save(tmp_path / "photo.npy", np.ones((64, 112)))
    assert find_depth(image).name == "photo.npy"


def test_placing_a_view_moves_its_camera_alone(tmp_path: Path) -> None:
    view = load_rgbd(*save(tmp_path, gradient(), np.ones((64, 112))), size=(64, 112))
    c2w = view.camera.c2w.copy()
    c2w[:3, 3] = [5, 6, 7]
    moved = placed(view, c2w)
    assert np.array_equal(moved.camera.position, [5, 6, 7]) and np.array_equal(moved.camera.K, view.camera.K)
    assert moved.rgb is view.rgb


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has next to no pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = b"IDAT" + zlib.compress(bytes(100))
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (body, pixels)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_bad_images(tmp_path: Path) -> None:
    image, depth = save(tmp_path, gradient(), np.ones((64, 112)))
    refused(tmp_path / "none.png", depth, "does not exist")
    refused(tmp_path, depth, "not a file")
    (tmp_path / "empty.png").touch()
    refused(tmp_path / "empty.png", depth, "empty.png", "empty")
    (tmp_path / "text.png").write_text("not a picture")
    refused(tmp_path / "text.png", depth, "text.png", "no picture")
    whole = image.read_bytes()
    image.write_bytes(whole[: len(whole) // 2])
    refused(image, depth, "photo.png", "damaged")
    for width, height in ((60_000, 60_000), (20_000, 10_000), (2**31 - 1, 2**31 - 1)):
        image.write_bytes(png_header(width, height))
        refused(image, depth, "photo.png", "million")
    Image.fromarray(gradient(8, 300)).save(image)
    refused(image, depth, "300x8", "16x16")


def test_bad_numbers(tmp_path: Path) -> None:
    image, depth = save(tmp_path, gradient(), np.ones((64, 112)))
    refused(image, depth, "field of view", fov_deg=0.0)
    refused(image, depth, "field of view", fov_deg=float("nan"))
    with pytest.raises(InputError, match="16 to 8192"):
        load_rgbd(image, depth, size=(0, 112))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: np.zeros_like(d), ("no surface",)),
        (lambda d: d * np.inf, ("no surface",)),
        (lambda d: np.where(d == d[3, 4], np.nan, d), ("NaN", "row 3, column 4")),
        (lambda d: np.where(d == d[3, 4], -1.0, d), ("negative", "row 3, column 4")),
        (lambda d: -d, ("negative", "100 %")),
        (lambda d: np.where(d == d[3, 4], -np.inf, d), ("negative",)),
        (lambda d: d[:40], ("40x112", "64x112")),
        (lambda d: d[None, None], ("1x1x64x112", "64x112")),
        (lambda d: np.float64(3.0), ("a single number",)),
        (lambda d: d * 1e9, ("limit", "metres")),
        (lambda d: d * 1e-9, ("millimetre",)),
    ],
)
def test_bad_depth(tmp_path: Path, change, words: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    image, depth = save(tmp_path, gradient(), change(np.linspace(1.0, 2.0, 64 * 112).reshape(64, 112)))
    refused(image, depth, "depth.npy", *words)


def test_bad_depth_files(tmp_path: Path) -> None:
    image, depth = save(tmp_path, gradient(), np.ones((64, 112)))
    refused(image, tmp_path / "none.npy", "does not exist")
    refused(image, tmp_path / "depth.tif", "ends in .tif")
    Image.fromarray(gradient()).save(tmp_path / "d.png")
    refused(image, tmp_path / "d.png", "RGB", "16 bits")
    Image.fromarray(gradient()[..., 0]).save(tmp_path / "d.png")
    refused(image, tmp_path / "d.png", "16 bits")
    depth.write_bytes(b"junk")
    refused(image, depth, "depth.npy", "no NumPy array")
    np.save(depth, np.array([{}], dtype=object), allow_pickle=True)
    refused(image, depth, "never pickled")
    np.save(depth, np.ones((64, 112)))
    depth.write_bytes(depth.read_bytes()[:500])
    refused(image, depth, "cut off")
    np.save(depth, np.full((64, 112), "x"))
    refused(image, depth, "text")


def test_depth_that_is_sky_where_it_is_used(tmp_path: Path) -> None:
    depth_m = np.full((64, 448), np.inf)
    depth_m[:, :10] = 3.0
    image, depth = save(tmp_path, gradient(64, 448), depth_m)
    refused(image, depth, "sky in the part")


def test_views_must_fit_together() -> None:
    from engine.camera import Camera

    camera = Camera.from_fov(np.eye(4), 50.0, 112, 64)
    with pytest.raises(InputError, match="depth"):
        RgbdImage(np.zeros((3, 64, 112), np.float32), np.ones((60, 112), np.float32), camera)


@settings(max_examples=60, deadline=None)
@given(
    at=st.integers(0, 4000),
    junk=st.binary(min_size=1, max_size=30),
    kind=st.sampled_from(["png", "jpg", "npy", "webp"]),
)
def test_damaged_files_give_a_view_or_one_sentence(at: int, junk: bytes, kind: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image, depth = save(folder, gradient(), np.ones((64, 112)), "photo.png" if kind == "npy" else f"photo.{kind}")
        target = depth if kind == "npy" else image
        data = target.read_bytes()
        at %= len(data)
        target.write_bytes(data[:at] + junk + data[at + len(junk) :])
        try:
            view = load_rgbd(image, depth, size=(64, 112))
        except InputError as error:
            assert str(error).endswith(".")
        else:
            assert np.isfinite(view.rgb).all() and not np.isnan(view.depth_m).any()
