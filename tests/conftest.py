"""One thread a process, checked shapes, and fixtures that several folders share."""

from __future__ import annotations

import os
from collections.abc import Iterator

# Before torch or numpy is imported, here and in every process that a test starts: the processes of pytest-xdist take a
# core each, toy sizes are faster on one thread, and one thread adds up in the same order on every machine.
for each in (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "RAYON_NUM_THREADS",
):
    os.environ[each] = "1"

import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

from shapes import begin_test, check_shapes  # noqa: E402

check_shapes("scratchlm.model", "scratchlm.training", "scratchlm.generation")

from scripts import data, fuzzed, scripts  # noqa: E402

# The same examples in every process and on every machine, however slow.
settings.register_profile(
    "tests", deadline=None, database=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tests")

__all__ = ["data", "fuzzed", "scripts"]
MOST_PROCESSES = 4
"""Each holds torch and its models: about 1 GB."""


def pytest_xdist_auto_num_workers() -> int:
    """Return how many processes `-n auto` starts: one a core that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_PROCESSES)


LONGEST = ("tests/test_notes.py", "tests/lab/test_small.py")
"""Files whose slow tests take minutes each, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests, so that no process waits for another one's at the end."""
    place = {path: number for number, path in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.nodeid.partition("::")[0], len(place)))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Undo what a command that was told a number of threads left behind, and count calls anew."""
    begin_test()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(1)
