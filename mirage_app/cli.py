"""The ``mirage`` command: parse, run, and turn whatever happens into an exit code.

0: done. 1: a bug or a failing machine (the log has the traceback). 2: something the user can mend, said in one
sentence. 130: stopped by Ctrl-C; what was finished is kept.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

from engine.errors import Cancelled, MirageError
from mirage_app.logs import log_file, start_logging

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_INPUT = 2
EXIT_INTERRUPTED = 130

log = logging.getLogger("mirage")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (default: the process's own) and return its exit code; never lets an exception out."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    try:
        from mirage_app.parsing import parse

        command = parse(words)
        start_logging(verbose=command.verbose)
        log.info("mirage %s", " ".join(words))
        return command.run()
    except SystemExit as stop:  # help and version
        return stop.code if isinstance(stop.code, int) else EXIT_DONE
    except (KeyboardInterrupt, Cancelled):
        _say("Stopped.")
        return EXIT_INTERRUPTED
    except MirageError as error:
        if debug:
            _traceback()
        log.info("refused: %s", error)
        _say(str(error))
        return EXIT_INPUT
    except BrokenPipeError:  # the reader of our output went away, as `mirage doctor | head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except Exception as error:
        if debug:
            _traceback()
        log.exception("unexpected error")
        detail = " ".join(str(error).split())[:200]
        _say(f"Mirage failed unexpectedly ({type(error).__name__}: {detail}); the details are in {log_file()}.")
        return EXIT_FAILED


def _say(sentence: str) -> None:
    sys.stderr.write(sentence.replace("\n", " ") + "\n")
    sys.stderr.flush()


def _traceback() -> None:
    import traceback

    traceback.print_exc()


if __name__ == "__main__":
    sys.exit(main())
