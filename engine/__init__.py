"""The world: latent spatial memory, world models, explorer. Qt-free; everything here runs headless."""

from __future__ import annotations

import os

# OpenMP's threads spin at every barrier until the last one arrives, by default for milliseconds. Where threads
# outnumber processors (a window that rasterises in software, another program) they burn the very time that the last one
# needs: 50 times slower was measured. Spinning for microseconds costs nothing elsewhere. It counts before torch.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
os.environ.setdefault("KMP_BLOCKTIME", "1")
