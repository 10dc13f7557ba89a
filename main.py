"""``python main.py`` is the ``mirage`` command."""

from __future__ import annotations

import sys

from mirage_app.cli import main

if __name__ == "__main__":
    sys.exit(main())
