"""The peak memory of a process of its own, as that process tells it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# `ru_maxrss` will not do where /proc has the answer: on Linux it begins at what the parent held when it started the
# child, and a test run holds models.
PEAK = """
import sys
from pathlib import Path

def peak():
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024
    import resource
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
"""


def measured(script: str, *arguments: str | Path) -> list[float]:
    """Run `script`, which may call `peak()` for its peak in bytes, and return the numbers of its last line."""
    if sys.platform == "win32":
        pytest.skip("Windows tells a process's peak in another way")
    asked = [sys.executable, "-c", PEAK + script, *(str(each) for each in arguments)]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    return [float(each) for each in done.stdout.splitlines()[-1].split()]
