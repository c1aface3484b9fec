"""How long a thread of a matrix product waits for the others before it sleeps. Imports no torch: call it before."""

from __future__ import annotations

import os

SPINS = 10_000
"""Rounds of waiting: some tens of microseconds."""


def wait_briefly() -> None:
    """Let threads of OpenMP (GNU's, which torch carries on Linux) that wait for each other sleep soon.

    By default they spin for milliseconds at every product. Beside one other busy program a step of a small model then
    took 1.5 seconds instead of 0.08; on a quiet machine it takes as long either way. Whoever has set
    `GOMP_SPINCOUNT` or `OMP_WAIT_POLICY` keeps it. It counts only where it is set before torch is loaded.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))
