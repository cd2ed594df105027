"""Settings of the process that make small tensor operations fast. Import this before torch."""

from __future__ import annotations

import ctypes
import os
import sys

# Threads that wait for each other spin for a moment and then sleep. By default they spin so long that any other program
# on the machine slows this one down tenfold and more.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

if sys.platform == "linux":
    # Keep freed memory for the next minibatch. Giving it back costs a page fault a page, more than the arithmetic does.
    M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # not the GNU C library
        pass
    else:
        mallopt(M_TRIM_THRESHOLD, 1 << 30)
        mallopt(M_MMAP_THRESHOLD, 1 << 30)

import torch  # noqa: E402  now that the settings stand

# Numbers below the normal range count as 0: the processor takes a hundred times as long for them, and gradients of a
# model that is nearly sure are full of them.
torch.set_flush_denormal(True)
