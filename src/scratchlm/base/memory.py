"""The memory of a process that is there for training. Imports no torch, so that a command can call it first."""

from __future__ import annotations

import ctypes


def keep_freed_memory() -> bool:
    """Keep freed memory in this process instead of handing it back; tell whether the C library (glibc) could be told.

    Large tensors are freed and asked for again at every step, and a page that comes fresh from the system is cleared
    first: that took a third of the time of a step. The process stays as large as it was at its largest, which is its
    owner's to decide: the command line calls this for its verbs that train, and `fit` never does.
    """
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # mallopt(3)
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False  # another C library
    return all(mallopt(*pair) for pair in [(mmap_max, 0), (trim_threshold, 2**31 - 1), (top_pad, 2**26)])
