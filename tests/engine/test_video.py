"""Films: what is written is playable, whole and true to its frames, or not there at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.errors import InputError
from engine.video import FrameWriter, check_output, has_encoder, kind_of
from engine.video_reader import probe, read_frames

HEIGHT, WIDTH = 48, 64
NAMES = ("film.mp4", "film.webm", "film.gif", "film")


def frames(count: int = 6, height: int = HEIGHT, width: int = WIDTH) -> list[np.ndarray]:
    """Smooth colours that drift; every frame different."""
    v, u = np.mgrid[0:height, 0:width] / np.array([height, width]).reshape(2, 1, 1)
    return [
        (255 * np.stack([u, v, np.full_like(u, (i + 0.5) / count)], axis=-1)).astype(np.uint8) for i in range(count)
    ]


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    return float(10 * np.log10(255.0**2 / max(error, 1e-9)))


@pytest.fixture(params=NAMES)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


def leftovers(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_films_come_back_as_they_were(target: Path) -> None:
    film = frames()
    with FrameWriter(target, 12.0) as writer:
        for frame in film:
            writer.write(frame)
    again = list(read_frames(target))
    assert len(again) == len(film) and again[0].shape == (HEIGHT, WIDTH, 3)
    for ours, theirs in zip(film, again, strict=True):
        assert psnr(ours, theirs) > (28.0 if target.suffix == ".gif" else 36.0)
    assert leftovers(target.parent) == [target.name]


@pytest.mark.parametrize("fps", [24.0, 12.5, 30000 / 1001])
def test_mp4_is_what_players_want(tmp_path: Path, fps: float) -> None:
    with FrameWriter(tmp_path / "a.mp4", fps) as writer:
        for frame in frames(10):
            writer.write(frame)
    info = probe(tmp_path / "a.mp4")
    assert (info.codec, info.pixel_format, info.faststart) == ("h264", "yuv420p", True)
    assert (info.width, info.height, info.frames) == (WIDTH, HEIGHT, 10)
    assert info.fps == pytest.approx(fps) and info.seconds == pytest.approx(10 / fps)


def test_webm_gif_and_folder_say_what_they_are(tmp_path: Path) -> None:
    for name in ("a.webm", "a.gif", "a"):
        with FrameWriter(tmp_path / name, 24.0) as writer:
            for frame in frames(12):
                writer.write(frame)
    assert probe(tmp_path / "a.webm").codec == "vp9" and probe(tmp_path / "a.webm").frames == 12
    gif = probe(tmp_path / "a.gif")
    assert gif.frames == 12 and gif.seconds == pytest.approx(0.5, abs=0.011), "hundredths of a second, without drift"
    assert [name.name for name in sorted((tmp_path / "a").iterdir())][-1] == "frame_000011.png"
    with Image.open(tmp_path / "a" / "frame_000003.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), frames(12)[3])


def test_colours_are_tagged_and_true(tmp_path: Path) -> None:
    """Pure colours survive, so the matrix that encodes is the one that is declared."""
    for colour in ([255, 0, 0], [0, 255, 0], [0, 0, 255], [128, 128, 128]):
        frame = np.tile(np.array(colour, np.uint8), (HEIGHT, WIDTH, 1))
        with FrameWriter(tmp_path / "c.mp4") as writer:
            writer.write(frame)
        (again,) = read_frames(tmp_path / "c.mp4")
        assert np.abs(again.astype(int) - frame).max() <= 6, colour


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_film_stays_playable(target: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), FrameWriter(target, 24.0) as writer:
        for frame in frames(3):
            writer.write(frame)
        raise error
    assert len(list(read_frames(target))) == 3
    assert leftovers(target.parent) == [target.name]


def test_without_a_frame_nothing_is_left(target: Path) -> None:
    with FrameWriter(target, 24.0):
        pass
    with pytest.raises(RuntimeError), FrameWriter(target, 24.0):
        raise RuntimeError
    assert leftovers(target.parent) == []


def test_discarding_leaves_nothing_and_an_older_film_in_place(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"older")
    writer = FrameWriter(tmp_path / "a.mp4")
    writer.write(frames(1)[0])
    assert (tmp_path / "a.mp4").read_bytes() == b"older", "the target changes only when the film is whole"
    writer.discard()
    writer.close()
    assert leftovers(tmp_path) == ["a.mp4"] and (tmp_path / "a.mp4").read_bytes() == b"older"
    with FrameWriter(tmp_path / "a.mp4") as second:
        second.write(frames(1)[0])
    assert probe(tmp_path / "a.mp4").frames == 1


def test_closing_twice_and_writing_afterwards(target: Path) -> None:
    writer = FrameWriter(target, 24.0)
    writer.write(frames(1)[0])
    writer.close()
    writer.close()
    with pytest.raises(InputError, match="already finished"):
        writer.write(frames(1)[0])
    assert writer.frames == 1 and len(list(read_frames(target))) == 1


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.mp4", ".mp4"), ("a.MP4", ".mp4"), ("b.webm", ".webm"), ("c.gif", ".gif"), ("d", ""), ("e.v2/", "")],
)
def test_the_ending_decides(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_upper_case_endings_work(tmp_path: Path) -> None:
    with FrameWriter(tmp_path / "A.MP4") as writer:
        writer.write(frames(1)[0])
    assert len(list(read_frames(tmp_path / "A.MP4"))) == 1


def refused(*words: str, **keywords: object) -> None:
    with pytest.raises(InputError) as caught:
        check_output(**keywords)  # type: ignore[arg-type]
    sentence = str(caught.value)
    assert all(word in sentence for word in words), sentence
    assert sentence.endswith(".") and "\n" not in sentence


def test_everything_that_can_be_known_beforehand(tmp_path: Path) -> None:
    refused("ends in .avi", ".mp4", path=tmp_path / "a.avi")
    refused("does not exist", path=tmp_path / "none" / "a.mp4")
    (tmp_path / "file").write_text("x")
    refused("not a folder", path=tmp_path / "file" / "a.mp4")
    refused("is a file", path=str(tmp_path / "file") + "/")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "frame_000000.png").write_text("x")
    refused("not empty", path=tmp_path / "full")
    for fps in (0.0, -1.0, float("nan"), 1e6):
        refused("Frames per second", path=tmp_path / "a.mp4", fps=fps)
    refused("50 frames per second", path=tmp_path / "a.gif", fps=60.0)
    with pytest.raises(InputError, match="crf"):
        FrameWriter(tmp_path / "a.mp4", crf=99)
    refused("file name", path=tmp_path / ("x" * 300 + ".mp4"))
    refused("file name", path="a\0b.mp4")
    check_output(tmp_path / "a.gif", (63, 111))


@pytest.mark.parametrize("name", ["a.mp4", "a.webm"])
def test_odd_and_tiny_sizes_name_the_nearest_that_fits(tmp_path: Path, name: str) -> None:
    refused("63x111", "64x112", path=tmp_path / name, size=(63, 111))
    refused("2x64", "16x64", path=tmp_path / name, size=(2, 64))
    refused("1 to 8192", path=tmp_path / name, size=(0, 64))
    refused("1 to 8192", path=tmp_path / name, size=(64, 100_000))
    with pytest.raises(InputError, match="64x112"):
        FrameWriter(tmp_path / name).write(frames(1, 63, 111)[0])
    assert leftovers(tmp_path) == []


def test_frames_must_be_frames_of_one_size(target: Path) -> None:
    with FrameWriter(target) as writer:
        writer.write(frames(1)[0])
        for wrong, words in (
            (frames(1, 32, 64)[0], "32x64"),
            (frames(1)[0].astype(np.float32), "uint8"),
            (frames(1)[0][..., 0], "height, width, 3"),
        ):
            with pytest.raises(InputError, match=words):
                writer.write(wrong)
        writer.write(frames(2)[1])
    assert len(list(read_frames(target))) == 2


def test_frames_that_are_views_of_larger_arrays(target: Path) -> None:
    wide = np.ascontiguousarray(np.concatenate([frames(1)[0]] * 2, axis=1))
    with FrameWriter(target) as writer:
        writer.write(wide[:, ::-1][:, :WIDTH])
    (again,) = read_frames(target)
    assert psnr(again, frames(1)[0][:, ::-1]) > 28.0


def test_encoders_are_asked_for_by_name() -> None:
    assert has_encoder("libx264") and has_encoder("libvpx-vp9")
    assert not has_encoder("no-such-codec")


FULL_DISK = """
    import resource, signal, sys
    import numpy as np
    from engine.errors import InputError
    from engine.video import FrameWriter
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    rng = np.random.default_rng(0)
    try:
        with FrameWriter(sys.argv[1], 24.0) as writer:
            for _ in range(16):
                writer.write(rng.integers(0, 255, (96, 96, 3), dtype=np.uint8))
    except InputError as error:
        print(error)
        sys.exit(2)
"""


@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_is_one_sentence_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    """The system refuses to let a file grow, as a full disk would; in a process of its own, for the limit stays."""
    folder = tmp_path / "out"
    folder.mkdir()
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(folder / name)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )
    assert run.returncode == 2, run.stderr
    assert "no room" in run.stdout and run.stdout.count("\n") == 1
    assert leftovers(folder) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to read-only folders")
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    refused("read-only", path=tmp_path / "a.mp4")
    tmp_path.chmod(0o700)


def test_a_place_where_nothing_can_be_created() -> None:
    if not Path("/proc/self").is_dir():
        pytest.skip("this system has no /proc")
    with pytest.raises(InputError, match=r"(cannot be written|read-only)"):
        writer = FrameWriter("/proc/a.mp4")
        writer.write(frames(1)[0])


def test_reading_what_is_no_film(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no film"):
        probe(tmp_path / "none.mp4")
    (tmp_path / "text.mp4").write_text("hello")
    with pytest.raises(InputError, match="not a film"):
        list(read_frames(tmp_path / "text.mp4"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no PNG"):
        probe(tmp_path / "empty")


CTRL_C = """
    import signal, sys, time
    import numpy as np
    from engine.video import FrameWriter
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent may have switched it off
    until = time.monotonic() + 20.0
    with FrameWriter(sys.argv[1], 24.0) as writer:
        while time.monotonic() < until:
            writer.write(np.full((64, 64, 3), writer.frames % 256, np.uint8))
            if writer.frames == 5:
                print("flying", flush=True)
            time.sleep(0.002)
"""


def test_ctrl_c_leaves_a_playable_film(tmp_path: Path) -> None:
    """The real signal, at whatever point of the encoding it arrives."""
    film = tmp_path / "a.mp4"
    command = [sys.executable, "-c", textwrap.dedent(CTRL_C), str(film)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as run:
        assert run.stdout is not None and run.stderr is not None
        assert run.stdout.readline() == "flying\n"
        run.send_signal(signal.SIGINT)
        try:
            _, said = run.communicate(timeout=40)
        finally:
            run.kill()
    assert "KeyboardInterrupt" in said
    info = probe(film)
    assert info.frames >= 5 and info.faststart and leftovers(tmp_path) == ["a.mp4"]
