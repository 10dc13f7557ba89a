"""Looking at the screen side: display, Qt's libraries, OpenGL."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from mirage_app.config import has_display
from mirage_app.doctor.finding import Finding, State

PROBE_TIMEOUT_S = 30.0


def display() -> Finding:
    """Whether a window could open."""
    where = [f"{name}={os.environ[name]}" for name in ("DISPLAY", "WAYLAND_DISPLAY") if os.environ.get(name)]
    if has_display():
        return Finding("Display", State.OK, ", ".join(where) or "native")
    return Finding(
        "Display", State.LIMITED, "none", "Without one `mirage` renders a film instead of opening its window."
    )


def qt_libraries() -> Finding:
    """The system libraries that Qt's X11 platform asks for."""
    plugin = _xcb_plugin()
    if plugin is None or shutil.which("ldd") is None:
        return Finding("Qt libraries", State.OK, "brought by PyQt6 on this system")
    listed = subprocess.run(["ldd", str(plugin)], capture_output=True, text=True, timeout=PROBE_TIMEOUT_S, check=False)
    absent = sorted(set(re.findall(r"^\s*(\S+) => not found", listed.stdout, flags=re.MULTILINE)))
    if not absent:
        return Finding("Qt libraries", State.OK, "all that the xcb platform needs")
    state = State.MISSING if has_display() else State.LIMITED
    advice = "`make run` installs them where it may; on Debian: sudo sh scripts/system_libraries.sh"
    return Finding("Qt libraries", state, f"without {', '.join(absent)}", advice)


def _xcb_plugin() -> Path | None:
    spec = importlib.util.find_spec("PyQt6")
    if spec is None or spec.origin is None:
        return None
    plugin = Path(spec.origin).parent / "Qt6" / "plugins" / "platforms" / "libqxcb.so"
    return plugin if plugin.exists() else None


def opengl() -> Finding:
    """Vendor and version of a context made in a process of its own, under Xvfb where there is no display."""
    command = [sys.executable, "-m", "mirage_app.doctor.gl_probe"]
    note = ""
    if not has_display():
        if shutil.which("xvfb-run") is None:
            return Finding("OpenGL", State.LIMITED, "not looked at: no display and no Xvfb here")
        command = ["xvfb-run", "-a", *command]
        note = ", under Xvfb"
    absence = State.MISSING if has_display() else State.LIMITED
    advice = "Install a driver; Mesa's software renderer is enough (on Debian: libgl1-mesa-dri)."
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))}
    if note:
        environment["QT_QPA_PLATFORM"] = "xcb"
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PROBE_TIMEOUT_S, check=False, env=environment
        )
    except subprocess.TimeoutExpired:
        return Finding("OpenGL", absence, f"no answer within {PROBE_TIMEOUT_S:.0f} s{note}", advice)
    try:
        said = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        reason = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        return Finding("OpenGL", absence, f"the probe failed{note}: {reason[0][:160]}", advice)
    if "error" in said:
        return Finding("OpenGL", absence, f"{said['error']}{note}", advice)
    found = f"{said['version']}, {said['renderer']}{note}"
    software = any(word in said["renderer"].lower() for word in ("llvmpipe", "softpipe", "swrast"))
    return Finding(
        "OpenGL", State.OK, found, "Software rendering: the memory panel draws fewer points." if software else ""
    )
