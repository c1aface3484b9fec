"""A process with limits ends with its owner."""

from __future__ import annotations

import subprocess
import sys

LEFT_OPEN = """
from scratchlm.base.limited import LimitedProcess
process = LimitedProcess("scratchlm.generation.grammar_trial", 2.0, 1 << 29)
print(process.process.pid)
"""


def test_a_process_that_nobody_closed_ends_with_python_without_a_warning() -> None:
    command = [sys.executable, "-X", "dev", "-W", "always::ResourceWarning", "-c", LEFT_OPEN]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    assert int(done.stdout) > 0
