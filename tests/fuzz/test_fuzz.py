"""Every command on damaged files and impossible numbers; `python tests/fuzz --minutes 10` runs more of the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CASES = 450
"""Of some 6,000, from every command, every file that it reads and every numeric flag; a minute on two free cores."""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="cases are forks of one process, which this system does not have")
def test_no_damaged_file_and_no_impossible_number_ends_in_a_traceback_a_wait_or_half_a_result() -> None:
    asked = [sys.executable, str(Path(__file__).parent), "--count", str(CASES)]
    done = subprocess.run(
        asked, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
