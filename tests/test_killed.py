"""Commands that are killed for good go on as if they had not been; the whole table is `python -m tests.kills`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="kills are counted as Linux does")
@pytest.mark.parametrize(("kills", "only"), [(10, ""), (8, "pretrain")])
def test_killed_commands_lose_and_leave_nothing(kills: int, only: str) -> None:
    # In a process of its own: those that pytest runs in have threads, which are not to be forked.
    command = [sys.executable, "-m", "tests.kills", "--kills", str(kills), "--only", only]
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stderr + done.stdout
    assert f"\n{kills} kills, 0 went wrong" in done.stdout
