"""Memory: how much there is, a refusal before what cannot fit is begun, and keeping what was freed. No torch."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from scratchlm.base.errors import UserError

LIMITS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)
"""Where a container reports what it may use and uses, in the two versions of control groups."""


def available_memory() -> int | None:
    """Return the bytes that this process may still take, or None where the system does not say."""
    amounts = []
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        amounts.append(int(text.split("MemAvailable:")[1].split()[0]) * 1024)
    except (OSError, IndexError, ValueError):
        if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
            amounts.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for limit, used in LIMITS:
        try:
            amounts.append(int(limit.read_text(encoding="ascii")) - int(used.read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue  # no such group, or `max`: no limit
    return min(amounts) if amounts else None


def peak_memory() -> int | None:
    """Return the most bytes that this process has held at once, or None where the system does not say."""
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(text.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError, ValueError):
        if sys.platform == "win32":
            return None
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def require_memory(needed: float, what: str, remedy: str) -> None:
    """Refuse what needs more bytes than there are. Raises `UserError`; what needs less than 1 GB always passes."""
    available = available_memory()
    if available is not None and needed > max(available, 1 << 30):
        raise UserError(
            f"{what}: needs about {needed / 1e9:,.1f} GB of memory and {available / 1e9:,.1f} GB are free; {remedy}"
        )


def keep_freed_memory() -> bool:
    """Keep freed memory in this process instead of handing it back; return whether the C library (glibc) can.

    Large tensors are freed and asked for again at every step, and a page that comes fresh from the system is cleared
    first: that took a third of the time of a step. The process stays as large as it was at its largest, which is its
    owner's to decide: the command line calls this for its commands that train, and `fit` never does.
    """
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # mallopt(3)
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False  # another C library
    return all(mallopt(*pair) for pair in [(mmap_max, 0), (trim_threshold, 2**31 - 1), (top_pad, 2**26)])
