"""The work behind ``mirage`` without a command: the window, or the same flight as a film where no window can be."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from engine.errors import InputError, MirageError
from mirage_app.commands.app import App
from mirage_app.commands.fly import Fly
from mirage_app.commands.options import resolve_device
from mirage_app.config import autosave_file, cache_dir, has_display, settings_file

FILM = Path("flythrough.mp4")
DEFAULT_WORLD = "meadow"
DEFAULT_SEED = 7

log = logging.getLogger(__name__)


def open_window(options: App) -> int:
    """Show the window until it is closed; without a display render a flight instead and say so.

    Raises:
        MirageError: what to open does not exist, or the window's system libraries are missing.
    """
    _check(options)
    if not has_display():
        return _film_instead(options)
    _check_libraries()
    if options.device == "cuda":
        resolve_device(options.device)
    from ui.app import AppOptions, run

    for folder in (settings_file().parent, autosave_file().parent, cache_dir()):
        _make(folder)
    return run(
        AppOptions(
            first=_first(options),
            settings_path=settings_file(),
            cache_dir=cache_dir(),
            autosave=autosave_file(),
            model_dir=options.model,
            device=options.device,
            in_full=options.precision == "full",
        )
    )


def _check(options: App) -> None:
    starts = [name for name in ("session", "world", "image") if getattr(options, name) is not None]
    if len(starts) > 1:
        raise InputError(f"Mirage opens one thing at a time; {' and '.join(starts)} were named.")
    if options.depth is not None and options.image is None:
        raise InputError("--depth belongs to a picture; name that with --image.")
    for path in (options.session, options.image, options.depth):
        if path is not None and not path.exists():
            raise InputError(f"{path} does not exist; check the name.")
    if options.model is not None and not options.model.is_dir():
        raise InputError(
            f"The model folder {options.model} does not exist; leave --model out for the one Mirage ships."
        )
    if options.world is not None or options.seed is not None or options.time:
        from engine.worlds import WorldSpec

        WorldSpec(options.world or DEFAULT_WORLD, DEFAULT_SEED if options.seed is None else options.seed, options.time)


def _check_libraries() -> None:
    """Qt ends the whole process when a library is missing, so look before."""
    if not sys.platform.startswith("linux"):
        return
    from mirage_app.doctor.finding import State
    from mirage_app.doctor.graphics import qt_libraries

    finding = qt_libraries()
    if finding.state is State.MISSING:
        raise MirageError(
            f"The window needs system libraries that are missing here ({finding.found.removeprefix('without ')}); "
            "`make run` installs them where it may, and `mirage fly` works without them."
        )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # nothing will be remembered there; the window works all the same
        log.warning("cannot make %s: %s", folder, error)


def _first(options: App):  # type: ignore[no-untyped-def]  # engine.messages.Command, imported when it is needed
    """What to open at once; ``None``: the gallery."""
    from engine.messages import OpenImage, OpenSession, OpenWorld

    seed = DEFAULT_SEED if options.seed is None else options.seed
    if options.session is not None:
        return OpenSession(options.session)
    if options.image is not None:
        fov_deg = OpenImage.fov_deg if options.fov_deg is None else options.fov_deg
        return OpenImage(options.image, options.depth, fov_deg=fov_deg, seed=seed)
    if options.world is not None or options.seed is not None or options.time:
        return OpenWorld(options.world or DEFAULT_WORLD, seed, options.time)
    return None


def _film_instead(options: App) -> int:
    from mirage_app.flying import render_flight

    sys.stderr.write(
        "There is no display here (neither DISPLAY nor WAYLAND_DISPLAY is set), "
        f"so the flight is rendered to {FILM} instead.\n"
    )
    return render_flight(
        Fly(
            verbose=options.verbose,
            debug=options.debug,
            session=options.session,
            world=options.world,
            seed=DEFAULT_SEED if options.seed is None else options.seed,
            time=options.time,
            image=options.image,
            depth=options.depth,
            fov_deg=options.fov_deg,
            device=options.device,
            precision=options.precision,
            model=options.model,
            out=FILM,
        )
    )
