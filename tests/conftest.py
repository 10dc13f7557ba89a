"""What all tests share: a display of their own, quiet threads, reproducible hypothesis, one tiny model.

Qt takes one platform a process. Where Xvfb is installed the tests start one and use ``xcb``, so that OpenGL is real
(Mesa's software renderer); elsewhere widgets run on ``offscreen`` and tests marked ``gl`` say why they are skipped.
``MIRAGE_TEST_DISPLAY=1`` uses the display that is there.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")  # numba's OpenMP pool would otherwise raise torch's threads again
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("NO_AT_BRIDGE", "1")

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from engine.models.embedded.model import EmbeddedModel

SCREEN = "2560x1440x24"

settings.register_profile(
    "mirage",
    deadline=None,
    derandomize=True,
    max_examples=25,
    print_blob=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("thorough", parent=settings.get_profile("mirage"), derandomize=False, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "mirage"))

_xvfb: subprocess.Popen[bytes] | None = None


def _start_xvfb() -> subprocess.Popen[bytes] | None:
    """Start a private X server on a free display and point ``DISPLAY`` at it; None where there is no Xvfb."""
    if shutil.which("Xvfb") is None:
        return None
    read_end, write_end = os.pipe()
    command = ["Xvfb", "-displayfd", str(write_end), "-screen", "0", SCREEN, "-nolisten", "tcp", "-noreset"]
    server = subprocess.Popen(
        command, pass_fds=(write_end,), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(write_end)
    with os.fdopen(read_end) as ready:  # a line comes when the server accepts clients, an end of file when it gave up
        number = ready.readline().strip()
    if not number:
        server.wait()
        return None
    os.environ["DISPLAY"] = f":{number}"
    return server


def pytest_configure(config: pytest.Config) -> None:
    global _xvfb
    if config.option.collectonly:
        return
    os.environ.setdefault("LIBGL_ALWAYS_SOFTWARE", "1")
    os.environ.pop("WAYLAND_DISPLAY", None)
    if os.environ.get("MIRAGE_TEST_DISPLAY") != "1":
        os.environ.pop("DISPLAY", None)
        _xvfb = _start_xvfb()
    if "QT_QPA_PLATFORM" not in os.environ:
        os.environ["QT_QPA_PLATFORM"] = "xcb" if os.environ.get("DISPLAY") else "offscreen"


def pytest_unconfigure(config: pytest.Config) -> None:
    if _xvfb is not None:
        _xvfb.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            _xvfb.wait(timeout=5)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("DISPLAY") and os.environ.get("QT_QPA_PLATFORM") == "xcb":
        return
    skip = pytest.mark.skip(
        reason="OpenGL tests need a display or Xvfb (Debian: apt-get install xvfb), and none is here"
    )
    for item in items:
        if "gl" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Small tensors on several threads spend their time waiting for each other, the more so on a busy machine."""
    if importlib.util.find_spec("torch"):
        import torch

        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def mirage_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """No test reads or writes the user's own logs, settings or sessions."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("MIRAGE_HOME", str(home))
    for variable in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(variable, str(home / variable.split("_")[1].lower()))
    yield home


@pytest.fixture(scope="session")
def tiny_model() -> EmbeddedModel:
    """The embedded model's real classes at a tiny width with random weights; (64, 112) images."""
    from engine.models.embedded import EmbeddedModel

    return EmbeddedModel.tiny()


def pytest_report_header(config: pytest.Config) -> list[str]:
    where = f"display {os.environ['DISPLAY']}" if os.environ.get("DISPLAY") else "no display"
    return [f"qt: {os.environ.get('QT_QPA_PLATFORM', '?')}, {where}"]
